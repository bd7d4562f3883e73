# -*- test-case-name: tests.unit.test_events_notice -*-
"""`streamer.notice`: that there is a post, and no more.

For those who want to know cheaply, or may not be given the text.
"""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IEventKind
from streamer.message import Event, topic


class NoticeData(msgspec.Struct, frozen=True, gc=False):
    """Ids only."""

    id: str


@implementer(IPlugin, IEventKind)
@attrs.frozen
class NoticeKind:
    """Topic `notice.<source>.<author>`."""

    name: str = "notice"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of a new post; an edit is not news."""
        item, author = activity.item, activity.author
        if activity.kind != "post":
            return None
        return Event(
            id=f"notice:{activity.id}",
            source=item.source,
            type="streamer.notice",
            topic=topic("notice", item.source, (author.handle or author.id) if author else None),
            data=NoticeData(activity.id),
            time=item.received if activity.created is None else activity.created,
            received=item.received,
            enriched=now_ms,
            subject=f"@{author.handle}" if author and author.handle else None,
        )


notice = NoticeKind()
