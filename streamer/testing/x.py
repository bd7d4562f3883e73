# -*- test-case-name: tests.unit.test_testing_x -*-
"""The filtered stream of the X API v2, simulated: `SimulatedX(clock).resource` is what `https://api.x.com/` serves.

It speaks the documented protocol, checks what clients ask, can be made to fail, and keeps a ledger of what it sent.
Wiring only; the parts are listed in the package's docstring.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from streamer.testing.connections import Connections
from streamer.testing.faults import Fault, Faults
from streamer.testing.feed import Feed
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.posts import PostGenerator
from streamer.testing.production import Production
from streamer.testing.rule_book import RULE_LIMIT, RuleBook, Wanted
from streamer.testing.x_admission import STREAM_LIMIT, Admission
from streamer.testing.x_control import ControlFolder
from streamer.testing.x_pages import Folder
from streamer.testing.x_rules import RulesPage
from streamer.testing.x_stream import StreamPage

TOKEN = "simulated-token"
KEEP_ALIVE = 20.0  # seconds
BUFFER_LIMIT = 8 * 1024 * 1024  # bytes


class SimulatedX:
    """A simulated X.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: posts a second, up to about 20,000 with `fast`.
        token: the bearer token to ask for; None lets everybody in.
        count: posts in all, then only keep-alives; None never ends.
        wait_for_client: make the first post only after a stream was opened.
        fast: posts written beforehand and sent whole, whatever fields were asked for.
        rules: rules that are there from the start, as (value, tag).
        max_connections: streams at once.
        replace_oldest: one stream too many closes the oldest one instead of being refused.
        connect_limit: requests for the stream in 15 minutes.
        rule_limit: rules at once.
        keep_alive: seconds of silence before an empty line.
        buffer_limit: bytes that a client may be behind before it is dropped as a slow reader.
        deleted: share of posts after which an earlier one is deleted.
    """

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
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History()
        self.rules = RuleBook(rule_limit)
        self.rules.add([Wanted(value, tag) for value, tag in rules])
        self.connections = Connections(
            clock=clock,
            history=self.history,
            ledger=self.ledger,
            faults=self.faults,
            most=max_connections,
            replace_oldest=replace_oldest,
            keep_alive=keep_alive,
            buffer_limit=buffer_limit,
            send_everything=fast,
            opened=self._opened,
        )
        self.generator = PostGenerator(seed, fast=fast)
        self._feed = Feed(
            clock=clock,
            generator=self.generator,
            book=self.rules,
            history=self.history,
            ledger=self.ledger,
            faults=self.faults,
            deleted=deleted,
            chance=random.Random(seed),
        )
        self._production = Production(clock, rate, count, self._make, self._ended)
        self._wait_for_client = wait_for_client
        self._started = False
        self.resource = self._resources(clock, token, connect_limit)

    def start(self) -> None:
        """Begin to make posts, or to wait for the first client."""
        self._started = True
        if not self._wait_for_client:
            self._production.start()

    def stop(self) -> None:
        """Make no more posts and drop every stream; nothing is left on the clock."""
        self._started = False
        self._production.stop()
        self.connections.abort()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`."""
        self.connections.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Send one post with this text now; see `PostGenerator.inject`. Returns its id.

        Raises:
            NothingMatches: there is no rule; add one first.
        """
        id_ = self._feed.inject(text, **fields)
        self.connections.flush()
        return id_

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {
            "rate": self._production.rate,
            "running": self._production.running,
            "produced": self.ledger.produced,
            "deleted": len(self.ledger.deletes),
            "connections": len(self.connections),
            "connected": len(self.ledger.connections),
            "rules": len(self.rules),
            "history": {"lines": self.history.end - self.history.first, "bytes": self.history.size},
        }

    def _resources(self, clock: IReactorTime, token: str | None, connect_limit: int) -> Folder:
        stream = StreamPage(clock, Admission(clock, token, connect_limit), self.rules, self.connections, self.faults)
        stream.putChild(b"rules", RulesPage(clock, token, self.rules))
        root, version, tweets, search = Folder(), Folder(), Folder(), Folder()
        root.putChild(b"2", version)
        version.putChild(b"tweets", tweets)
        tweets.putChild(b"search", search)
        search.putChild(b"stream", stream)
        root.putChild(b"_sim", ControlFolder(self.ledger.as_json, self.status, self.fault, self.inject))
        return root

    def _opened(self) -> None:
        if self._started:
            self._production.start()

    def _make(self, number: int) -> int:
        made = self._feed.make(number)
        self.connections.flush()
        return made

    def _ended(self) -> None:
        self._feed.release()
        self.connections.flush()
