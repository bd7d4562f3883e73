# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""A Mastodon server, simulated: `SimulatedMastodon(clock).resource` is what `https://mastodon.example/` serves.

Its streams by server-sent events and by websocket, its timelines, and what it says of itself. Wiring only. One thing
is simpler than in truth: a websocket that subscribed to several channels of one status gets it once.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from streamer.testing.control import ControlFolder
from streamer.testing.faults import Close, Disconnect, DisconnectCode, Fault, Faults, Kill, Lasting, Status, Timelines
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.mastodon_feed import MastodonFeed
from streamer.testing.mastodon_feed import Timelines as Kept
from streamer.testing.mastodon_gate import LIMIT, Gate
from streamer.testing.mastodon_pages import MastodonFolder, StreamingPage, Streams, heard
from streamer.testing.mastodon_refusals import ON_DEMAND
from streamer.testing.mastodon_statuses import StatusGenerator
from streamer.testing.mastodon_timelines import InstancePage, TimelinesPage
from streamer.testing.pages import Folder, lead
from streamer.testing.recorder import Recorder
from streamer.testing.simulation import Run, impossible
from streamer.testing.socket_frames import Closing, closing
from streamer.testing.sockets import PING_AFTER, Sockets
from streamer.testing.terms import Manners

TOKEN = "simulated-token"
KEEP_ALIVE = 15.0  # seconds
BUFFER_LIMIT = 8 * 1024 * 1024  # bytes
CONNECTIONS = 1_000  # at once


def _farewell(fault: Any) -> Closing:
    return closing(fault)


MANNERS = Manners(
    _farewell,
    replaced=Close(),
    slow=Close(1001),
    content_type="text/event-stream",
    greeting=b":)\n",
    beat=b":thump\n",
)


class SimulatedMastodon:
    """A simulated Mastodon server, with one account that may listen; it follows everybody, and has the list 42.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: statuses a second, up to about 1,000.
        count: statuses in all, then only keep-alives; None never ends.
        wait_for_client: make the first status only after a stream was opened.
        token: to ask for; None lets everybody in.
        keep_alive: seconds of silence before a `:thump`.
        ping_after: seconds between two pings of a websocket.
        requests: to the timelines, in five minutes.
        buffer_limit: bytes that a client may be behind before it is dropped.
        deleted, edited, reposted, notified: shares of statuses after which an earlier one is deleted, edited or
            reposted, or a notification is sent.
    """

    name = "Mastodon"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        count: int | None = None,
        wait_for_client: bool = False,
        token: str | None = TOKEN,
        keep_alive: float = KEEP_ALIVE,
        ping_after: float = PING_AFTER,
        requests: int = LIMIT,
        buffer_limit: int = BUFFER_LIMIT,
        deleted: float = 0.01,
        edited: float = 0.01,
        reposted: float = 0.05,
        notified: float = 0.02,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History()
        self.gate = Gate(clock, token, requests)
        recorder = Recorder(clock, self.history, self.faults)
        kept = Kept()
        self.feed = MastodonFeed(
            StatusGenerator(seed), kept, self.ledger, recorder, deleted, edited, reposted, notified
        )
        self._run = Run(clock, rate, count, wait_for_client, self.feed, recorder)
        self.connections = self._run.connect(
            self.ledger,
            MANNERS,
            most=CONNECTIONS,
            keep_alive=keep_alive,
            buffer_limit=buffer_limit,
        )
        self.sockets = Sockets(clock, self.connections, heard, ping_after)
        self._timelines = TimelinesPage(self.gate, kept)
        self.resource: Folder = MastodonFolder()
        lead(self.resource, "api/v1/streaming", StreamingPage(Streams(self.gate, self.connections, self.sockets)))
        lead(self.resource, "api/v1/timelines", self._timelines)
        lead(self.resource, "api/v2/instance", InstancePage())
        lead(self.resource, "_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to make statuses, or to wait for the first client."""
        self._run.start()

    def stop(self) -> None:
        """Make no more statuses and drop every stream; nothing is left on the clock."""
        self._run.stop()
        self.sockets.abort()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`.

        Raises:
            ValueError: Mastodon cannot go wrong in this way.
        """
        match fault:
            case Kill():
                self.gate.revoked = True
                if len(self.connections):
                    self.connections.fault(Close(1000, ""))
            case Timelines():
                self._timelines.fault = fault
            case Status(status=status) if status not in ON_DEMAND:
                raise impossible("Mastodon", fault)
            case Disconnect() | DisconnectCode():
                raise impossible("Mastodon", fault)
            case _ if isinstance(fault, Lasting):
                self.connections.fault(fault)
            case _:
                raise impossible("Mastodon", fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Send one status with this text now; see `StatusGenerator.inject`. Returns its id."""
        id_: str = self._run.now(lambda: self.feed.inject(text, **fields))
        return id_

    def say(self, event: str, payload: str, *channels: str) -> None:
        """Send any event to these channels, the user's by default."""
        self._run.now(lambda: self.feed.say(event, payload.encode(), frozenset(channels or ("user",))))

    def delete(self, id_: str) -> None:
        """Delete a status."""
        self._run.now(lambda: self.feed.delete(id_))

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {**self._run.status(), "deleted": len(self.ledger.deletes)}
