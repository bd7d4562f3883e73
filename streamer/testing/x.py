# -*- test-case-name: tests.unit.test_testing_x -*-
"""The streams of the X API v2, simulated: `SimulatedX(clock).resource` is what `https://api.x.com/` serves.

It speaks the documented protocol, checks what clients ask, can be made to fail, and keeps a ledger of what it sent.
Wiring only; the parts are listed in the package's docstring.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from streamer.testing.control import ControlFolder
from streamer.testing.faults import Close, Disconnect, DisconnectCode, Fault, Faults, Lasting, Status
from streamer.testing.feed import Feed
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder, lead
from streamer.testing.posts import PostGenerator
from streamer.testing.recorder import Recorder
from streamer.testing.rule_book import RULE_LIMIT, RuleBook, Wanted
from streamer.testing.simulation import Run, impossible
from streamer.testing.terms import Manners
from streamer.testing.x_admission import STREAM_LIMIT, Admission
from streamer.testing.x_endpoints import FILTERED, FIREHOSE, LANGUAGES, Endpoint, samples
from streamer.testing.x_problems import ON_DEMAND, disconnection
from streamer.testing.x_rules import RulesPage
from streamer.testing.x_stream import StreamPage

TOKEN = "simulated-token"
KEEP_ALIVE = 20.0  # seconds
BUFFER_LIMIT = 8 * 1024 * 1024  # bytes


def _farewell(fault: Disconnect) -> bytes:
    return disconnection(fault.disconnect_type)


MANNERS = Manners(_farewell, replaced=Disconnect("ForceDisconnect"), slow=Disconnect("SlowReader"))


class SimulatedX:
    """A simulated X: the filtered stream with its rules, the samples and the firehose, all with the same posts.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: posts a second, up to about 20,000 with `fast`.
        token: the bearer token to ask for; None lets everybody in.
        count: posts in all, then only keep-alives; None never ends.
        wait_for_client: make the first post only after a stream was opened.
        fast: posts written beforehand and sent whole, whatever fields were asked for.
        rules: rules that are there from the start, as (value, tag).
        max_connections: streams at once, of each endpoint and partition; recoveries are counted apart, two at most.
        replace_oldest: one stream too many closes the oldest one instead of being refused.
        forgets_after: seconds for which a connection that is gone still counts, so that a new one is refused.
        connect_limit: requests for each stream in 15 minutes.
        rule_limit: rules at once.
        keep_alive: seconds of silence before an empty line.
        buffer_limit: bytes that a client may be behind before it is dropped as a slow reader.
        deleted: share of posts after which an earlier one is deleted.
        gzip: compress streams for clients that ask for it.
        sample_share, sample10_share: of all posts, in the streams so named.
    """

    name = "X"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        token: str | None = TOKEN,
        count: int | None = None,
        wait_for_client: bool = False,
        fast: bool = False,
        rules: Iterable[tuple[str, str | None]] = (),
        max_connections: int = 1,
        replace_oldest: bool = False,
        connect_limit: int = STREAM_LIMIT,
        rule_limit: int = RULE_LIMIT,
        keep_alive: float = KEEP_ALIVE,
        buffer_limit: int = BUFFER_LIMIT,
        deleted: float = 0.01,
        forgets_after: float = 0.0,
        gzip: bool = False,
        sample_share: float = 0.01,
        sample10_share: float = 0.1,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History()
        self.rules = RuleBook(rule_limit)
        self.rules.add([Wanted(value, tag) for value, tag in rules])
        self.generator = PostGenerator(seed, fast=fast)
        recorder = Recorder(clock, self.history, self.faults)
        self._feed = Feed(self.generator, self.rules, self.ledger, recorder, deleted, random.Random(seed))
        self._run = Run(clock, rate, count, wait_for_client, self._feed, recorder)
        self.connections = self._run.connect(
            self.ledger,
            MANNERS,
            most=max_connections,
            replace_oldest=replace_oldest,
            forgets_after=forgets_after,
            keep_alive=keep_alive,
            buffer_limit=buffer_limit,
            gzip=gzip,
        )

        def page(endpoint: Endpoint) -> StreamPage:
            admission = Admission(clock, token, connect_limit)
            return StreamPage(
                clock,
                endpoint,
                admission,
                self.rules,
                self.connections,
                self.faults,
                fast,
                self._feed.unleash,
            )

        self.resource = Folder()
        for endpoint in (FILTERED, *samples(sample_share, sample10_share), FIREHOSE, *LANGUAGES):
            lead(self.resource, endpoint.path, page(endpoint))
        lead(self.resource, FILTERED.path + "/rules", RulesPage(clock, token, self.rules))
        lead(self.resource, "_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to make posts, or to wait for the first client."""
        self._run.start()

    def stop(self) -> None:
        """Make no more posts and drop every stream; nothing is left on the clock."""
        self._run.stop()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`.

        Raises:
            ValueError: X cannot go wrong in this way.
        """
        if not isinstance(fault, Lasting) or isinstance(fault, Close | DisconnectCode):
            raise impossible("X", fault)
        if isinstance(fault, Status) and fault.status not in ON_DEMAND:
            raise impossible("X", fault)
        self.connections.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Send one post with this text now; see `PostGenerator.inject`. Returns its id.

        Raises:
            NothingMatches: there is no rule; add one first.
        """
        id_: str = self._run.now(lambda: self._feed.inject(text, **fields))
        return id_

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {**self._run.status(), "deleted": len(self.ledger.deletes), "rules": len(self.rules)}
