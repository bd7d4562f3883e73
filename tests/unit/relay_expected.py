"""What each connection of the model test must be sent, told naively.

There are no cursors, cohorts or frames here. There are lists, which say of every event that comes whether it is the
next one that must come.
"""

from collections.abc import Iterable
from typing import Any

import attrs

from streamer.bus.patterns import matches
from tests.unit.relaying import NOWHERE, TAKE_BACK, Fact, Node, offset_of


@attrs.define(eq=False)
class Wanted:
    """One subscription.

    Args:
        begun: the offset after which it began.
        start: the offset after which all it wants has been sent or will be; rises when the connection lags.
    """

    id: str
    topics: tuple[str, ...]
    strict: bool
    begun: int
    start: int

    def wants(self, fact: Fact) -> bool:
        """What takes something back concerns everybody."""
        return fact.kind in TAKE_BACK or self.matches(fact)

    def matches(self, fact: Fact) -> bool:
        """By its patterns alone."""
        return any(matches(pattern, fact.topic) for pattern in self.topics)


@attrs.define(eq=False)
class History:
    """What a subscription is still to be sent of the past; others count on it for what they share."""

    owner: Wanted
    slots: list[int]
    later: list[Wanted] = attrs.field(factory=list)  # subscriptions that were made after it
    relying: list[Wanted] | None = None  # those of them that there were when its owner went


@attrs.define(eq=False)
class Expected:
    """What one connection must be sent.

    Attributes:
        live: up to this offset the live flow has been sent.
        lost: events that it will never be sent and was not told of yet.
        late: some of what the live flow is owed has left the relay's memory at some moment. It may have been read from
            the log again since; then it is sent or given up.
        unsure: that was so when a subscription was made or ended, which may have given it up.
        doubtful: what it was owed then.
    """

    node: Node
    subs: dict[str, Wanted] = attrs.field(factory=dict)
    history: list[History] = attrs.field(factory=list)
    live: int = NOWHERE
    lost: int = 0
    late: bool = False
    unsure: bool = False
    doubtful: list[int] = attrs.field(factory=list)
    told_last: str = ""

    @property
    def strict(self) -> bool:
        """Whether it would rather be closed than miss something."""
        return any(one.strict for one in self.subs.values())

    def owed(self) -> list[int]:
        """Of the live flow."""
        return [offset for offset in self.between(self.live, self.node.head) if self.covered(offset)]

    def between(self, start: int, stop: int) -> list[int]:
        """Slots after one offset, up to another."""
        return sorted(offset for offset in self.node.slots if start < offset <= stop)

    def covered(self, offset: int) -> bool:
        """Whether any subscription has it sent."""
        fact = self.node.log.facts[offset]
        return any(one.start < offset and one.wants(fact) for one in self.subs.values())

    def catch_up(self) -> None:
        """What has left the relay's memory is lost: of history that, of the live flow everything up to now."""
        floor = self.node.floor
        for part in self.history:
            kept = [offset for offset in part.slots if offset >= floor]
            self.lost += len(part.slots) - len(kept)
            part.slots = kept
        owed = self.owed()
        if owed and owed[0] < floor and not self.unsure:
            self.give_up()

    def give_up(self, live: int | None = None) -> None:
        """The live flow goes on with what is newest, or was when it was given up."""
        live = self.node.head if live is None else live
        self.lost += sum(offset <= live for offset in self.owed())
        self.live, self.late, self.unsure, self.doubtful = live, False, False, []
        for one in self.subs.values():
            one.start = self.live

    def look(self) -> None:
        """Time has passed."""
        owed = self.owed()
        self.late = bool(owed) and (self.late or owed[0] < self.node.floor)

    def end_strict(self) -> None:
        """It is closed rather than told of a loss."""
        self.catch_up()
        assert self.strict, "closed as too slow, and it would rather have been told"
        assert self.lost or self.late or self.unsure, "closed as too slow, and nothing was lost"

    def subscribed(self, wanted: Wanted, facts: dict[str, Any], asked_at: int | None = None) -> None:
        """`subd`; where it was made at some offset up to now, `asked_at` is the lowest that this can be."""
        self.catch_up()
        others, head = bool(self.subs), self.node.head
        stretch = [offset for offset in self.between(wanted.start, head) if wanted.wants(self.node.log.facts[offset])]
        new = [offset for offset in stretch if not self.covered(offset)]
        if self.late and facts["replayed"] != len(new):
            self.give_up()
            new = [offset for offset in stretch if not self.covered(offset)]
        self.unsure = self.unsure or self.late
        least = len([offset for offset in new if asked_at is None or offset <= asked_at])
        assert least <= facts["replayed"] <= len(new), f"replayed {facts['replayed']}, should be {new}"
        if others:
            self.live = next(iter(self.owed()), head + 1) - 1
            before = [offset for offset in new if offset <= self.live]
            self.history.append(History(wanted, before))
        else:
            self.live = wanted.start
        for part in self.history:
            if part.owner is not wanted and part.relying is None:
                part.later.append(wanted)
        self.subs[wanted.id] = wanted
        if "position" in facts:
            self.told(facts["position"])

    def unsubscribed(self, id_: str) -> None:
        """`unsubd`"""
        self.catch_up()
        if self.late and not self.unsure:
            self.unsure, self.doubtful = True, self.owed()
        self.live = next(iter(self.owed()), self.node.head + 1) - 1
        gone = self.subs.pop(id_)
        for part in self.history:
            if part.owner is gone:
                part.relying = part.later
            elif gone in part.later:
                part.later.remove(gone)
            if part.relying is not None:
                part.slots = [offset for offset in part.slots if self._counted_on(part.relying, offset)]

    def event(self, event: dict[str, Any]) -> int:
        """An event came; returns the offset where it stands."""
        assert not self.lost, f"{event['id']} came before the loss of {self.lost} was told"
        part = next((part for part in self.history if part.slots), None)
        owed = part.slots if part is not None else self.owed()
        assert owed, f"{event['id']} came, and nothing is owed"
        fact = self.node.log.facts[owed[0]]
        allowed = self.node.contents(fact)
        assert event["id"] in allowed, f"{event['id']} came, and {allowed} should have ({owed[:5]}, {part})"
        if event["id"] == fact.id and fact.kind == "post":
            assert "geo" not in event["data"] or self.node.may_have_place(fact), f"{fact.id} still has its place"
        if part is not None:
            del part.slots[0]
        else:
            self.live, self.unsure, self.doubtful = fact.offset, False, []
        return fact.offset

    def lag(self, facts: dict[str, Any]) -> None:
        """`lag`"""
        self.catch_up()
        if (self.late or self.unsure) and facts["skipped"] > self.lost:
            owed, count = self.owed(), facts["skipped"] - self.lost
            if count == len(self.doubtful):
                self.lost, self.live, owed = facts["skipped"], max(self.live, self.doubtful[-1]), self.doubtful
                self.late = self.unsure = False
            assert count <= len(owed), f"told of {facts}, owed were {owed}"
            if self.lost < facts["skipped"]:
                self.give_up(owed[count - 1] if count < len(owed) else None)
        assert not self.strict, "a strict client is closed instead"
        assert facts["skipped"] == self.lost > 0, f"told of {facts}, lost were {self.lost}"
        told = offset_of(self.told_last) if self.told_last else NOWHERE
        assert told <= offset_of(facts["from"]), f"{facts}, told last was {self.told_last}"
        self.lost = 0
        self.told(facts["to"])

    def told(self, position: str) -> None:
        """Who resumes from this position misses nothing."""
        self.catch_up()
        offset = offset_of(position)
        assert offset <= self.node.head
        missed = [one for part in self.history for one in part.slots if one <= offset]
        missed += [one for one in self.owed() if one <= offset]
        assert not missed, f"who resumes from {position} misses {missed}"
        self.told_last = position

    def left(self) -> list[int]:
        """What is still to come."""
        return [one for part in self.history for one in part.slots] + self.owed()

    def _counted_on(self, relying: Iterable[Wanted], offset: int) -> bool:
        fact = self.node.log.facts[offset]
        return any(one.begun < offset and one.wants(fact) for one in relying)
