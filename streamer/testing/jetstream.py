# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""A Jetstream, simulated: `SimulatedJetstream(clock).resource` is what a host such as jetstream1.us-east serves.

https://github.com/bluesky-social/jetstream — posts of people that do not exist, and their likes, reposts and follows.
"""

from __future__ import annotations

import random
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.testing.control import ControlFolder
from streamer.testing.faults import Close, Disconnect, DisconnectCode, Fault, Faults, Lasting, Status
from streamer.testing.history import History, Line
from streamer.testing.jetstream_events import Event, EventGenerator
from streamer.testing.jetstream_page import ON_DEMAND, SubscribePage
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder, lead
from streamer.testing.recorder import Recorder
from streamer.testing.simulation import Run, impossible
from streamer.testing.socket_frames import closing
from streamer.testing.sockets import PING_AFTER, Sockets
from streamer.testing.terms import Manners

KEPT = 36 * 3600.0  # seconds that a cursor can reach back
BUFFER_LIMIT = 8 * 1024 * 1024  # bytes
SLOW = Close(1008, "ConsumerTooSlow")  # is not said: who is too slow is dropped without a word


def _farewell(fault: Close) -> bytes:
    return b"" if fault is SLOW else closing(fault)


MANNERS = Manners(_farewell, replaced=Close(1001, "replaced"), slow=SLOW)


@attrs.define
class JetstreamFeed:
    """Makes events and puts them where connections read.

    Args:
        others: events that are no posts, for each post.
        edited, deleted: shares of posts after which an earlier one is changed or deleted.
        chance: decides when.
    """

    generator: EventGenerator
    ledger: Ledger
    recorder: Recorder
    others: float
    edited: float
    deleted: float
    chance: random.Random
    _due: float = 0.0  # other events

    def make(self, number: int) -> int:
        """Make that many posts. Returns how many."""
        now_ms, lines = self.recorder.now_ms, []
        for _ in range(number):
            lines.append(self._posted(self.generator.post(now_ms)))
            if self.chance.random() < self.edited:
                edit = self.generator.edit(now_ms)
                lines += [] if edit is None else [_line(edit)]
            if self.chance.random() < self.deleted:
                gone = self.generator.delete(now_ms)
                if gone is not None:
                    self.ledger.deleted(gone[1])
                    lines.append(_line(gone[0]))
            self._due += self.others
            while self._due >= 1:
                self._due -= 1
                lines.append(_line(self.generator.other(now_ms)))
        self.recorder.put(lines)
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Make one post with this text; see `EventGenerator.inject`. Returns its item's id."""
        made = self.generator.inject(self.recorder.now_ms, text, **fields)
        self.recorder.put([self._posted(made)])
        return made.id

    def _posted(self, made: Event) -> Line:
        self.ledger.posted(made.id, made.about.time_us // 1000)
        return _line(made)


def _line(made: Event) -> Line:
    return Line(made.line, made.id, made.about)


class SimulatedJetstream:
    """A simulated Jetstream.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: posts a second.
        count: posts in all, then only pings; None never ends.
        wait_for_client: make the first post only after a stream was opened.
        others: likes and the like, for each post.
        edited, deleted: shares of posts after which an earlier one is changed or deleted.
        dictionary: of `compress=true`; None has it refused.
        deflate: accept permessage-deflate.
        ping_after: seconds between two pings.
        buffer_limit: bytes that a client may be behind before it is dropped.
    """

    name = "Jetstream"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        count: int | None = None,
        wait_for_client: bool = False,
        others: float = 1.0,
        edited: float = 0.01,
        deleted: float = 0.01,
        dictionary: bytes | None = None,
        deflate: bool = True,
        ping_after: float = PING_AFTER,
        buffer_limit: int = BUFFER_LIMIT,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History(kept=KEPT)
        recorder = Recorder(clock, self.history, self.faults)
        generator = EventGenerator(seed)
        self._feed = JetstreamFeed(generator, self.ledger, recorder, others, edited, deleted, random.Random(seed))
        self._run = Run(clock, rate, count, wait_for_client, self._feed, recorder)
        self.connections = self._run.connect(
            self.ledger,
            MANNERS,
            most=1_000,
            keep_alive=ping_after,
            buffer_limit=buffer_limit,
        )
        self.sockets = Sockets(clock, self.connections, ping_after=ping_after, deflate=deflate)
        self.resource = Folder()
        page = SubscribePage(clock, self.sockets, self.history, self.faults, dictionary)
        lead(self.resource, "subscribe", page)
        lead(self.resource, "_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to make posts, or to wait for the first client."""
        self._run.start()

    def stop(self) -> None:
        """Make no more posts and drop every stream; nothing is left on the clock."""
        self._run.stop()
        self.sockets.abort()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`.

        Raises:
            ValueError: a Jetstream cannot go wrong in this way.
        """
        if not isinstance(fault, Lasting) or isinstance(fault, Disconnect | DisconnectCode):
            raise impossible("a Jetstream", fault)
        if isinstance(fault, Status) and fault.status not in ON_DEMAND:
            raise impossible("a Jetstream", fault)
        self.connections.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Send one post with this text now; see `EventGenerator.inject`. Returns its id."""
        id_: str = self._run.now(lambda: self._feed.inject(text, **fields))
        return id_

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {**self._run.status(), "deleted": len(self.ledger.deletes)}
