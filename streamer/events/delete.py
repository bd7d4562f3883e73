# -*- test-case-name: tests.unit.test_events_delete -*-
"""`streamer.delete`: a post is gone. It must reach every client and every buffer that has the post."""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IEventKind
from streamer.message import Event, topic


class DeleteData(msgspec.Struct, frozen=True, gc=False):
    """The id of the post that is gone."""

    id: str


@implementer(IPlugin, IEventKind)
@attrs.frozen
class DeleteKind:
    """Topic `delete.<source>`."""

    name: str = "delete"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of a deletion."""
        if activity.kind != "delete":
            return None
        item = activity.item
        return Event(
            id=f"delete:{activity.id}",
            source=item.source,
            type="streamer.delete",
            topic=topic("delete", item.source),
            data=DeleteData(activity.id),
            time=item.received if activity.created is None else activity.created,
            received=item.received,
            enriched=now_ms,
        )


delete = DeleteKind()
