# -*- test-case-name: tests.unit.test_testing_trial -*-
"""What every source promises, checked with bytes of its upstream: for whoever writes one.

made = check_source(kind.build("mine", settings), recorded_bytes)
assert [activity.text for activity in made.activities] == [...]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from zope.interface.verify import verifyObject

from streamer.activity import Activity
from streamer.errors import DecodeError
from streamer.interfaces import IEventKind, ISource
from streamer.message import Event, Item
from streamer.registry import plugins

SIZES = (1, 2, 3, 7, 64, 4096)  # bytes of a piece
RECEIVED_MS = 1_700_000_000_000  # ms since the epoch


@attrs.frozen
class Trial:
    """What a source made of some bytes.

    Args:
        words: what was no item.
        bad: why frames were not understood.
        activities: of the items, in their order.
        events: that all kinds of events derive from them.
    """

    items: Sequence[Item]
    words: Sequence[Any]
    bad: Sequence[str]
    activities: Sequence[Activity]
    events: Sequence[Event]


def check_source(source: ISource, stream: bytes, received_ms: int = RECEIVED_MS) -> Trial:
    """Let a source read what its upstream sends, and see whether it keeps the promises of `ISource`.

    Args:
        stream: the bytes of a whole answer, or of a part of a stream that ends with a whole frame.
        received_ms: when they came.

    Raises:
        AssertionError: a promise is broken; the text says which.
    """
    verifyObject(ISource, source)
    outcomes, bad = _read(source, [stream], received_ms)
    for size in SIZES:
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        _promise(
            _read(source, pieces, received_ms) == (outcomes, bad), f"in pieces of {size} bytes it reads otherwise"
        )
    items = [outcome for outcome in outcomes if isinstance(outcome, Item)]
    ids = [item.id for item in items]
    _promise(len(set(ids)) == len(ids), "two items have one id; make it unique over all kinds")
    activities = [_decoded(source, item) for item in items]
    events = [event for activity in activities for event in _derived(activity, received_ms)]
    words = [outcome for outcome in outcomes if not isinstance(outcome, Item)]
    return Trial(items, words, bad, activities, events)


def _read(source: ISource, pieces: Sequence[bytes], received_ms: int) -> tuple[list[Any], list[str]]:
    framer, outcomes, bad = source.framer(), list[Any](), list[str]()
    for piece in pieces:
        for frame in framer.feed(piece):
            try:
                outcomes += source.outcomes(frame, received_ms)
            except DecodeError as error:
                bad.append(str(error))
    return outcomes, bad


def _decoded(source: ISource, item: Item) -> Activity:
    _promise(item.source == source.name, f"item {item.id} names another source than {source.name}")
    _promise(Item.from_message(item.message()) == item, f"item {item.id} does not survive the bus")
    posted = source.posted(item)
    _promise(posted is None or isinstance(posted, int), f"posted() of {item.id} is neither milliseconds nor None")
    activity = source.decode(item)
    _promise(activity.item is item, f"the activity of {item.id} has lost its item")
    for facet in activity.facets or ():
        size = len(activity.text or "")
        _promise(0 <= facet.start < facet.end <= size, f"a facet of {item.id} lies outside of its text")
    return activity


def _derived(activity: Activity, now_ms: int) -> Iterator[Event]:
    for kind in plugins(IEventKind).values():
        event = kind.derive(activity, now_ms)
        if event is not None:
            event.message()
            yield event


def _promise(kept: bool, otherwise: str) -> None:
    if not kept:
        raise AssertionError(otherwise)
