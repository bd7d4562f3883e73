# -*- test-case-name: tests.integration.test_soak -*-
"""What the upstreams made and what came out → which promises were broken.

What is promised of X, which can repeat five minutes: every post and every delete arrives, and no gap is announced.
Of Twitter, which repeats nothing: every post arrives or was made within a gap, and no gap is much longer than what is
missing in it. Of both: a post that comes after one that was made later was missed, and came by a later
connection, so it was received later too; apart from that, order is kept. Repeats are allowed: at least once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import attrs
import msgspec

from streamer.gap import Gap
from tests.soak.consumer import Arrival
from tests.soak.upstreams import Made, posted_ms

TOLERANCE = 1_000  # ms that a post may lie outside of the gap that covers it
EXCESS = 10_000  # ms that a gap may be longer than what is missing: a margin of five, and a cursor that is seconds old
LATER = "limit"  # the cause of single losses, which are announced once a minute, over that minute
MOST = 0.97  # of a run that gaps may cover, where it is not too short
MOST_OF = 60_000  # ms
SHOWN = 8  # items of a broken promise that are named

Span = tuple[int, int]  # ms since the epoch


@attrs.frozen
class Broken:
    """A promise that was not kept.

    Args:
        times: when it happened, seconds since the epoch; what went wrong about then is shown.
    """

    promise: str
    what: str
    times: tuple[float, ...] = ()


def delivered(arrivals: Iterable[Arrival], source: str) -> list[Arrival]:
    """The first delivery of each item of a source, in order."""
    first: dict[str, Arrival] = {}
    for arrival in arrivals:
        if arrival.source == source:
            first.setdefault(arrival.id, arrival)
    return list(first.values())


def newest(arrivals: Iterable[Arrival]) -> dict[str, int]:
    """The id of the post made last that arrived, by source."""
    found: dict[str, int] = {}
    for arrival in arrivals:
        if arrival.kind == "post":
            found[arrival.source] = max(found.get(arrival.source, 0), int(arrival.id))
    return found


def gaps(arrivals: Iterable[Arrival]) -> list[Gap]:
    """The gaps announced."""
    return [msgspec.json.decode(arrival.body, type=Gap) for arrival in arrivals if arrival.kind == "gap"]


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not touch."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def length(spans: Iterable[Span]) -> int:
    """Milliseconds that they cover."""
    return sum(end - start for start, end in union(spans))


def missing_spans(made: Sequence[str], arrived: set[str]) -> list[Span]:
    """Times in which posts are missing, each from its first missing post to its last."""
    spans: list[Span] = []
    before = False
    for id_ in made:
        missing, ms = id_ not in arrived, posted_ms(id_)
        if missing and before:
            spans[-1] = (spans[-1][0], ms)
        elif missing:
            spans.append((ms, ms))
        before = missing
    return spans


def judge_replayable(name: str, made: Made, first: Sequence[Arrival]) -> list[Broken]:
    """An upstream that can repeat all that was missed."""
    arrived = {arrival.id for arrival in first}
    broken = []
    lost = [id_ for id_ in made.posts if id_ not in arrived]
    if lost:
        broken.append(_about(f"every post of {name} arrives", lost))
    undeleted = [id_ for id_ in made.deletes if f"delete:{id_}" not in arrived]
    if undeleted:
        what = f"{len(undeleted)} of {len(made.deletes)} deletes did not arrive: {_some(undeleted)}"
        broken.append(Broken(f"every delete of {name} arrives", what))
    false = gaps(first)
    if false:
        what = f"{len(false)} gaps were announced, though the upstream repeats five minutes: {_some(false)}"
        broken.append(Broken(f"{name} misses nothing", what, tuple(gap.end / 1000 for gap in false)))
    return broken


def judge_announced(name: str, made: Made, first: Sequence[Arrival]) -> list[Broken]:
    """An upstream that can repeat nothing: what is missing must have been announced, and not much more."""
    arrived = {arrival.id for arrival in first}
    announced = gaps(first)
    spans = union((gap.start - TOLERANCE, gap.end + TOLERANCE) for gap in announced)
    lost = [id_ for id_ in made.posts if id_ not in arrived]
    silent = [id_ for id_ in lost if not any(start <= posted_ms(id_) <= end for start, end in spans)]
    broken = []
    if silent:
        broken.append(_about(f"every post of {name} arrives or lies in a gap", silent))
    for gap in announced:
        more = excess(gap, lost)
        if gap.cause != LATER and more > EXCESS:
            what = f"{gap.cause}, {gap.start} to {gap.end}, is {more / 1000:.1f} s longer than what is missing in it"
            broken.append(Broken(f"gaps of {name} say no more than is missing", what, (gap.end / 1000,)))
    run = posted_ms(made.posts[-1]) - posted_ms(made.posts[0])
    covered = length((gap.start, gap.end) for gap in announced)
    if covered > MOST * run and run > MOST_OF:
        what = f"they cover {covered / 1000:.1f} s of {run / 1000:.1f} s"
        broken.append(Broken(f"gaps of {name} leave some of the run", what))
    return broken


def excess(gap: Gap, lost: Sequence[str]) -> int:
    """Milliseconds of a gap that pass before the first and after the last post that is missing in it."""
    inside = [ms for ms in map(posted_ms, lost) if gap.start <= ms <= gap.end]
    return gap.end - gap.start - (inside[-1] - inside[0] if inside else 0)


def judge_order(name: str, made: Made, first: Sequence[Arrival]) -> list[Broken]:
    """First deliveries: as received; and as made, within what was received on one connection."""
    place = {id_: number for number, id_ in enumerate(made.posts)}
    posts = [arrival for arrival in first if arrival.id in place]
    swapped: list[tuple[Arrival, Arrival]] = []
    newest: Arrival | None = None  # the one made last, so far
    for arrival in posts:
        if newest is None or place[arrival.id] > place[newest.id]:
            newest = arrival
        elif arrival.received <= newest.received:
            swapped.append((newest, arrival))
    if not swapped:
        return []
    shown = [
        f"{late.id} (received {late.received}, delivered {late.at:.3f}) after {early.id} "
        f"(received {early.received}, delivered {early.at:.3f})"
        for early, late in swapped
    ]
    times = tuple(late.at for _, late in swapped)
    return [Broken(f"the order of {name} is kept", f"{len(swapped)} posts came too late: {_some(shown)}", times)]


def judge_strangers(name: str, made: Made, first: Sequence[Arrival]) -> list[Broken]:
    """Nothing comes out that did not go in; what was made after the upstream was asked is left out."""
    known, last = set(made.posts), int(made.posts[-1])
    posts = [arrival.id for arrival in first if arrival.kind == "post"]
    strange = [id_ for id_ in posts if id_ not in known and int(id_) <= last]
    if not strange:
        return []
    return [Broken(f"{name} brings only what was made", f"{len(strange)} posts are unknown: {_some(strange)}")]


def repeats(arrivals: Iterable[Arrival]) -> tuple[int, int]:
    """Deliveries of what had been delivered: by the broker again, and by the streamer again."""
    again = Counter[bool]()
    seen: set[str] = set()
    for arrival in arrivals:
        if arrival.message_id in seen:
            again[arrival.redelivered] += 1
        seen.add(arrival.message_id)
    return again[True], again[False]


@attrs.frozen
class Summary:
    """One source in numbers.

    Args:
        replayed: first deliveries of posts older than one delivered before: missed, and repeated later.
    """

    made: int
    arrived: int
    connections: int
    gaps: list[Gap]
    absent_ms: int
    run_ms: int
    replayed: int

    def __str__(self) -> str:
        covered = length((gap.start, gap.end) for gap in self.gaps)
        share = 100 * covered / max(1, self.run_ms)
        causes = Counter(gap.cause for gap in self.gaps)
        return (
            f"{self.made} posts made, {self.arrived} arrived over {self.connections} connections, "
            f"{self.replayed} times out of the order of making; {len(self.gaps)} gaps cover "
            f"{covered / 1000:.1f} s ({share:.0f}% of the run; posts are missing in {self.absent_ms / 1000:.1f} s)"
            + (": " + ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items())) if causes else "")
        )


def summary(name: str, made: Made, first: Sequence[Arrival]) -> Summary:
    """One source in numbers."""
    place = {id_: number for number, id_ in enumerate(made.posts)}
    places = [place[arrival.id] for arrival in first if arrival.id in place]
    return Summary(
        made=len(place),
        arrived=len(places),
        connections=len(made.sent),
        gaps=gaps(first),
        absent_ms=length(missing_spans(made.posts, {arrival.id for arrival in first})),
        run_ms=posted_ms(made.posts[-1]) - posted_ms(made.posts[0]),
        replayed=sum(after < before for before, after in pairwise(places)),
    )


def _about(promise: str, ids: Sequence[str]) -> Broken:
    times = tuple(posted_ms(id_) / 1000 for id_ in ids)
    what = f"{len(ids)} posts did not: {_some([f'{id_} made at {posted_ms(id_)}' for id_ in ids])}"
    return Broken(promise, what, times)


def _some(things: Sequence[object]) -> str:
    more = f" … and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
    return ", ".join(map(str, things[:SHOWN])) + more


Judgement = Callable[[str, Made, Sequence[Arrival]], list[Broken]]

JUDGEMENTS: dict[str, tuple[Judgement, ...]] = {
    "x": (judge_replayable, judge_order, judge_strangers),
    "twitter": (judge_announced, judge_order, judge_strangers),
}
