# -*- test-case-name: tests.unit.test_services_dead_decoding -*-
"""What would become of a dead item now: the reason why somebody looks at it.

The way of `Enricher` up to its first error, but without hydrators: they may ask others, and their failures kill
nothing.
"""

from __future__ import annotations

from streamer.activity import Activity
from streamer.errors import DecodeError
from streamer.interfaces import IEventKind
from streamer.message import RAW, Item, Message
from streamer.registry import find
from streamer.services.enricher import NEVER_DECODED
from streamer.tables import Settings

UNKNOWN = "not known; give --config FILE to have its source decode it"


def verdict(message: Message, settings: Settings | None, now_ms: int) -> str:
    """A sentence on what happens when the message is decoded by what a configuration says."""
    if message.exchange != RAW:
        return f"no item: what is published to {message.exchange} is decoded by nobody"
    try:
        item = Item.from_message(message)
    except ValueError as error:
        return f"rejected again: {error}"
    if settings is None:
        return UNKNOWN
    try:
        activity = _decoded(item, settings)
        kinds = [IEventKind(find(IEventKind, name)) for name in settings.enrich.events]
        events = [event.message() for kind in kinds if (event := kind.derive(activity, now_ms)) is not None]
    except DecodeError as error:
        return f"rejected again: {error}"
    except Exception as error:
        return f"fails again, by a defect of ours: {type(error).__name__}: {error}"
    return f"it decodes now, and becomes {len(events)} event{'' if len(events) == 1 else 's'}"


def _decoded(item: Item, settings: Settings) -> Activity:
    if item.kind in NEVER_DECODED:
        return Activity(item=item, kind=item.kind, id=item.id)
    table = settings.sources.get(item.source)
    if table is None:
        raise DecodeError(f"no source {item.source!r} is configured (known: {', '.join(settings.sources) or 'none'})")
    return table.source.decode(item)
