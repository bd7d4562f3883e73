# -*- test-case-name: tests.unit.test_testing_wikimedia -*-
"""Wikimedia's EventStreams, simulated: `SimulatedWikimedia(clock).resource` is `https://stream.wikimedia.org/`.

Edits by people who do not exist, on wikis that do not either; told as the service tells them, with its ids, its
canaries and its habit of hanging up every fifteen minutes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime

from streamer.testing.control import ControlFolder
from streamer.testing.faults import Close, Disconnect, DisconnectCode, Fault, Faults, Lasting, Status
from streamer.testing.history import History, Line
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder, lead
from streamer.testing.recorder import Recorder
from streamer.testing.simulation import Run, impossible
from streamer.testing.terms import Manners
from streamer.testing.wikimedia_edits import RECENT, Document, Edits
from streamer.testing.wikimedia_stream import ON_DEMAND, About, StreamsFolder, error_event

CUT_AFTER = 900.0  # seconds
CANARY_EVERY = 600.0  # seconds: several times an hour
KEPT = 3600.0  # seconds of the past; the real streams keep a week
LATE = 60  # ms that an event may be older than the one before it
SILENT = 1e8  # seconds until a keep-alive: there is none
BUFFER_LIMIT = 1024 * 1024 * 1024  # bytes

MANNERS = Manners(
    error_event,
    replaced=Close(),
    slow=Close(),
    content_type="text/event-stream; charset=utf-8",
    greeting=b":ok\n\n",
)


@attrs.define
class WikimediaFeed:
    """Makes events and records them.

    Args:
        streams: those in which something happens.
        canary_every: seconds.
    """

    edits: Edits
    ledger: Ledger
    recorder: Recorder
    chance: random.Random
    streams: Sequence[str]
    canary_every: float
    canaries: int = 0
    _canary_ms: float = 0.0  # when the last one was, ms since the epoch

    def make(self, number: int) -> int:
        """Let so much happen; returns how much did."""
        for _ in range(number):
            self._happened({})
        now_ms = self.recorder.now_ms
        if self.canary_every and now_ms >= self._canary_ms + self.canary_every * 1000:
            self._canary_ms = now_ms
            self.canaries += len(self.streams)
            self.recorder.put(
                Line(msgspec.json.encode(self.edits.canary(now_ms, stream)), "", self._about(stream, now_ms))
                for stream in self.streams
            )
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Let an edit happen with this comment; returns its id."""
        return self._happened({"type": "edit", **fields, "comment": text})

    def _happened(self, fields: Document) -> str:
        at_ms = self.recorder.now_ms - self.chance.randrange(LATE)
        change = self.edits.change(at_ms, **fields)
        told = [(RECENT, change)]
        again = self.edits.told_again(change)
        if again is not None:
            told.append(again)
        for stream, event in told:
            if stream in self.streams:
                self.ledger.posted(event["meta"]["id"], at_ms)
                about = self._about(stream, at_ms)
                self.recorder.put([Line(msgspec.json.encode(event), event["meta"]["id"], about)])
        id_: str = change["meta"]["id"]
        return id_

    def _about(self, stream: str, at_ms: int) -> About:
        """What the line that is written next is."""
        return About(stream, at_ms, self.recorder.history.end)


class SimulatedWikimedia:
    """A simulated EventStreams service.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: changes a second; the real one has about 30.
        count: changes in all; None never ends.
        wait_for_client: let the first happen only after a stream was opened.
        streams: those in which something happens, of recentchange, page-create and page-delete.
        cut_after: seconds after which each connection is ended; 0 for never.
        canary_every: seconds between canaries; 0 for none.
        kept: seconds of the past that can be asked for.
        max_connections: at once, from all addresses together.
        strict: refuse who does not say in the User-Agent how he can be reached.
        buffer_limit: bytes that a client may be behind before it is dropped; the real service drops nobody for that.
    """

    name = "Wikimedia"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        count: int | None = None,
        wait_for_client: bool = False,
        streams: Sequence[str] = (RECENT,),
        cut_after: float = CUT_AFTER,
        canary_every: float = CANARY_EVERY,
        kept: float = KEPT,
        max_connections: int = 8,
        strict: bool = False,
        buffer_limit: int = BUFFER_LIMIT,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.history = History(kept=kept)
        chance = random.Random(seed)
        recorder = Recorder(clock, self.history, self.faults)
        self._feed = WikimediaFeed(Edits(chance), self.ledger, recorder, chance, streams, canary_every)
        self._run = Run(clock, rate, count, wait_for_client, self._feed, recorder)
        self.connections = self._run.connect(
            self.ledger,
            MANNERS,
            most=max_connections,
            keep_alive=SILENT,
            buffer_limit=buffer_limit,
        )
        self.resource = Folder()
        page = StreamsFolder(clock, self.connections, self.faults, streams, strict, cut_after)
        lead(self.resource, "v2/stream", page)
        lead(self.resource, "_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to let things happen, or to wait for the first client."""
        self._run.start()

    def stop(self) -> None:
        """Let nothing more happen and drop every stream; nothing is left on the clock."""
        self._run.stop()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong, now or when its time comes; see `faults`. A `Close` says an error event first.

        Raises:
            ValueError: Wikimedia cannot go wrong in this way.
        """
        if not isinstance(fault, Lasting) or isinstance(fault, Disconnect | DisconnectCode):
            raise impossible("Wikimedia", fault)
        if isinstance(fault, Status) and fault.status not in ON_DEMAND:
            raise impossible("Wikimedia", fault)
        self.connections.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Let one edit happen now, with this comment and these fields of `recentchange`. Returns its id."""
        id_: str = self._run.now(lambda: self._feed.inject(text, **fields))
        return id_

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {**self._run.status(), "canaries": self._feed.canaries}
