# -*- test-case-name: tests.unit.test_testing_twitter -*-
"""Twitter's v1.1 streams, simulated: `SimulatedTwitter(clock).resource` is what `https://stream.twitter.com/` served.

Retired by Twitter in 2023; services compatible with it, and recordings of it, live on. Wiring only.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.interfaces import IReactorTime

from streamer.testing.control import ControlFolder
from streamer.testing.faults import Close, Control, Disconnect, DisconnectCode, Fault, Faults, Lasting, Status
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder, lead
from streamer.testing.recorder import Recorder
from streamer.testing.simulation import Run, impossible
from streamer.testing.terms import Manners
from streamer.testing.twitter_auth import Credentials, Gate
from streamer.testing.twitter_feed import TwitterFeed
from streamer.testing.twitter_messages import disconnection
from streamer.testing.twitter_refusals import ON_DEMAND
from streamer.testing.twitter_stream import Service, TwitterFolder, TwitterStreamPage
from streamer.testing.twitter_tweets import TweetGenerator
from streamer.testing.window import Window

CREDENTIALS = Credentials()
KEEP_ALIVE = 30.0  # seconds
BUFFER_LIMIT = 8 * 1024 * 1024  # bytes
CONNECT_LIMIT = 100  # connects in 15 minutes; Twitter told nobody its own
FILTER = "1.1/statuses/filter.json"
SAMPLE = "1.1/statuses/sample.json"
MANNERS = Manners(disconnection, replaced=DisconnectCode(7), slow=DisconnectCode(4))


class SimulatedTwitter:
    """A simulated Twitter.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: tweets a second, up to about 1,000.
        credentials: of the one account; None lets everybody in.
        count: tweets in all, then only keep-alives; None never ends.
        wait_for_client: make the first tweet only after a stream was opened.
        max_connections: streams at once of the account, of whichever endpoint.
        refuse: one stream too many is refused with 420, and does not close the oldest one.
        forgets_after: seconds for which a connection that is gone still counts, where `refuse`.
        connect_limit: requests for streams in 15 minutes; more are refused with 420.
        elevated: whether the account may ask for a count.
        keep_alive: seconds of silence before an empty line.
        buffer_limit: bytes that a client may be behind, those it did not ask for counted, before it is dropped.
        gzip: compress streams for clients that ask for it.
        sample_share: of all tweets, in the sample.
        deleted, scrubbed, withheld: shares of tweets after which there is such news of an earlier one.
        limited: share of the tweets asked for that are held back, with a `limit` in their place.
    """

    name = "Twitter"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        credentials: Credentials | None = CREDENTIALS,
        count: int | None = None,
        wait_for_client: bool = False,
        max_connections: int = 1,
        refuse: bool = False,
        forgets_after: float = 0.0,
        connect_limit: int = CONNECT_LIMIT,
        elevated: bool = True,
        keep_alive: float = KEEP_ALIVE,
        buffer_limit: int = BUFFER_LIMIT,
        gzip: bool = False,
        sample_share: float = 0.01,
        deleted: float = 0.01,
        scrubbed: float = 0.0,
        withheld: float = 0.0,
        limited: float = 0.0,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History()
        self.generator = TweetGenerator(seed)
        chance = random.Random(seed)
        recorder = Recorder(clock, self.history, self.faults)
        self._feed = TwitterFeed(self.generator, self.ledger, recorder, deleted, scrubbed, withheld, chance)
        self._run = Run(clock, rate, count, wait_for_client, self._feed, recorder)
        self.connections = self._run.connect(
            self.ledger,
            MANNERS,
            most=max_connections,
            replace_oldest=not refuse,
            forgets_after=forgets_after,
            keep_alive=keep_alive,
            buffer_limit=buffer_limit,
            gzip=gzip,
        )
        service = Service(
            gate=Gate(clock, credentials),
            connects=Window(clock, connect_limit),
            connections=self.connections,
            faults=self.faults,
            elevated=elevated,
            limited=limited,
            chance=chance,
            serial=lambda: self._feed.serial,
        )
        self.resource: Folder = TwitterFolder()
        lead(self.resource, FILTER, TwitterStreamPage(service))
        lead(self.resource, SAMPLE, TwitterStreamPage(service, sample_share))
        lead(self.resource, "_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to make tweets, or to wait for the first client."""
        self._run.start()

    def stop(self) -> None:
        """Make no more tweets and drop every stream; nothing is left on the clock."""
        self._run.stop()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`.

        Raises:
            ValueError: Twitter cannot go wrong in this way, or not yet.
        """
        if isinstance(fault, Close | Disconnect) or (isinstance(fault, Status) and fault.status not in ON_DEMAND):
            raise impossible("Twitter", fault)
        if not isinstance(fault, Lasting | Control):
            raise impossible("Twitter", fault)
        if isinstance(fault, Control):
            self._run.now(lambda: self._feed.control(fault))
        else:
            self.connections.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Send one tweet with this text now, to those it matches; see `TweetGenerator.inject`. Returns its id."""
        id_: str = self._run.now(lambda: self._feed.inject(text, **fields))
        return id_

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {**self._run.status(), "deleted": len(self.ledger.deletes)}
