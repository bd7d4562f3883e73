# -*- test-case-name: tests.unit.test_events_gap -*-
"""`streamer.gap`: what happened upstream in this time has not reached us. Always said, never silence."""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.errors import DecodeError
from streamer.gap import KIND, Gap
from streamer.interfaces import IEventKind
from streamer.message import Event, Item, rfc3339, topic

LAST = 253_402_300_799_999  # ms since the epoch; RFC 3339 §1 counts years with four digits


class GapData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"start": "from", "end": "to"}):
    """The span as RFC 3339; `filled`: it has been replayed after all; `missed`: how many items, where known."""

    start: str
    end: str
    cause: str
    filled: bool
    missed: int | None = None


@implementer(IPlugin, IEventKind)
@attrs.frozen
class GapKind:
    """Topic `gap.<source>`."""

    name: str = KIND

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of a gap.

        Raises:
            DecodeError: the item cannot be read as a gap; dead-letter it.
        """
        if activity.kind != KIND:
            return None
        item = activity.item
        gap = _checked(item)
        return Event(
            id=f"gap:{gap.start}-{gap.end}:{gap.cause}",
            source=item.source,
            type="streamer.gap",
            topic=topic("gap", item.source),
            data=GapData(
                start=rfc3339(gap.start), end=rfc3339(gap.end), cause=gap.cause, filled=gap.filled, missed=gap.missed
            ),
            time=gap.end,
            received=item.received,
            enriched=now_ms,
        )


def _checked(item: Item) -> Gap:
    gap = Gap.from_item(item)
    if not (0 <= gap.start <= LAST and 0 <= gap.end <= LAST):
        raise DecodeError(f"gap {item.id} of {item.source} is at no time that can be written: {gap.start}–{gap.end}")
    return gap


gap = GapKind()
