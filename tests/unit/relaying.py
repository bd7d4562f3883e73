"""What the model test of the relay drives: a log, relays that read it, and what each of them holds of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from streamer.bus.memory import MemoryBus
from streamer.metrics import Metrics
from streamer.services.relay import RelayService
from streamer.tables import RelaySettings
from streamer.testing.relay_events import entry

TAKE_BACK = ("delete", "scrub")
NOWHERE = -1  # the offset that the position before the first entry stands for
AUTHOR = "ann"


def offset_of(position: str) -> int:
    """Who is told the position has everything up to this offset behind him."""
    _, check, offset = position.split(".")
    return NOWHERE if check == "-" else int(offset)


@attrs.frozen
class Fact:
    """One entry of the log; `about` is the number of the post that it is, or tells of."""

    offset: int
    kind: str
    topic: str
    about: int

    @property
    def id(self) -> str:
        """Of the event."""
        return f"{self.kind}:{self.about}"


class Reactor(MemoryReactorClock):
    """Its calls can be looked at one by one."""

    def pass_time(self, seconds: float, after: Callable[[], object]) -> None:
        """Like `advance`; `after` is called after each call that was due."""
        end = self.seconds() + seconds
        while self.calls and self.calls[0].getTime() <= end:
            call = self.calls.pop(0)
            self.rightNow = max(self.rightNow, call.getTime())
            call.called = 1
            call.func(*call.args, **call.kw)
            self._sortCalls()
            after()
        self.rightNow = end


class Log:
    """The bus, and what was published on it. Posts are by one author, every third one has a place."""

    def __init__(self, reactor: Reactor, kept: int) -> None:
        self.bus = MemoryBus(reactor, Metrics())
        self.bus._broker.log.ring.max_entries = kept
        self.facts: list[Fact] = []
        self.posts: list[Fact] = []

    def publish(self, kind: str, topic: str, about: int) -> None:
        """Add an entry; events with one id are repeats."""
        fact = Fact(len(self.facts), kind, topic, about)
        data: dict[str, Any] = {"id": str(about)}
        if kind == "post":
            data["author"] = {"id": AUTHOR}
            if about % 3 == 0:
                data["geo"] = {"lat": 1.0}
        elif kind == "geo":
            data |= {"post": str(about), "author": AUTHOR}
        elif kind == "scrub":
            data = {"author": AUTHOR, "up_to": str(about)}
        self.facts.append(fact)
        self.bus.publish(entry(fact.offset, topic, id_=fact.id, kind=kind, **data).message)

    def taker(self, fact: Fact, taken_by: Fact) -> bool:
        """Whether a deletion or scrub leaves nothing of an event."""
        if taken_by.kind == "delete":
            return fact.kind in ("post", "geo") and fact.about == taken_by.about
        return taken_by.kind == "scrub" and fact.kind == "geo" and fact.about <= taken_by.about


class Node:
    """One relay and what it holds.

    Attributes:
        slots: offset to id of what it has taken for a first sight: what clients must be sent, if they want it.
        floor: the offset of the oldest that it holds.
        head: the offset of the entry it has read last.
    """

    def __init__(self, reactor: Reactor, log: Log, port: int, settings: dict[str, Any]) -> None:
        self.reactor, self.log, self.port, self.settings = reactor, log, port, settings
        self.metrics = Metrics()
        self.cold = settings["cold_bytes"] >= 100_000  # no stretch of the log is longer
        self.begin(600.0)

    def begin(self, history: float) -> None:
        """A new process, which has read so many seconds of history."""
        table = RelaySettings(listen=f"tcp:{self.port}", history=history, drain=0.0, **self.settings)
        broken: list[str] = []
        self.service = RelayService(self.log.bus, table, self.reactor, self.metrics, broken.append, Path("none"))
        self.slots: dict[int, str] = {}
        self._known: set[str] = set()
        self._seen: tuple[int, ...] = ()
        self.stopping = False
        self.service.startService()
        self.first = self.head = self.service._reader.next - 1
        self.floor = self.first + 1

    @property
    def site(self) -> Any:
        """What listens; None while it does not."""
        return (
            next(server[1] for server in reversed(self.reactor.tcpServers) if server[0] == self.port)
            if self.service.port is not None
            else None
        )

    def hold(self) -> None:
        """The log is not read on; once the relay listens, for until then it would not."""
        if self.site is not None:
            self.service._reader.pause()

    def go(self) -> None:
        """It is."""
        if self.service._reader is not None:
            self.service._reader.resume()

    def stop(self) -> Deferred[None]:
        """End it."""
        self.stopping = True
        return self.service.stopService()

    def look(self) -> None:
        """See what it holds now, and that nothing is missing."""
        journal = self.service._hub.journal
        read = self.service._reader.next - 1 if self.service._reader is not None else self.head
        seen = (journal.floor, journal.head, read)
        if seen == self._seen:
            return
        self._seen = seen
        held = [journal.held[place] for place in range(journal.floor, journal.head)]
        offsets = [one.offset for one in held]
        assert offsets == sorted(set(offsets)), f"offsets must rise: {offsets}"
        for fact in self.log.facts[self.head + 1 : read + 1]:
            if fact.id not in self._known and fact.id not in self.slots.values():
                self.slots[fact.offset] = fact.id
            self._known.add(fact.id)
        self.head, self.floor = read, offsets[0] if offsets else read + 1
        warm = held[journal.held.warm - journal.floor].offset if journal.held.warm < journal.head else read + 1
        for offset in [one for one in self.slots if self.floor <= one < warm]:
            del self.slots[offset]
        self.slots |= {one.offset: one.message_id.partition("#")[2] for one in held if one.offset < warm}
        there = [one for one in sorted(self.slots) if one >= self.floor]
        assert there == offsets, f"{offsets} are held, {there} should be, of {self.log.facts}, since {self.first}"
        there = {one.message_id.partition("#")[2] for one in held}
        for fact in self.log.facts[self.floor : self.head + 1]:
            assert fact.id in there or fact.id in self._known, f"{fact} was not taken"
            assert self.slots.get(fact.offset, fact.id) == fact.id, (
                f"{self.slots[fact.offset]} stands where {fact} was"
            )

    def contents(self, fact: Fact) -> set[str]:
        """The ids of the events that may be told where an entry stands: its own, unless that was taken back."""
        oldest = min(self.first + 1, self.floor)
        known = [one for one in self.log.facts[: self.head + 1] if self.log.taker(fact, one)]
        certain = any(one.offset >= oldest for one in known)
        return {one.id for one in known} | (set() if certain else {fact.id})

    def may_have_place(self, fact: Fact) -> bool:
        """Whether a post may be told with its location."""
        known = self.log.facts[min(self.first + 1, self.floor) : self.head + 1]
        return fact.about % 3 == 0 and not any(one.kind == "scrub" and fact.about <= one.about for one in known)
