# -*- test-case-name: tests.unit.test_events_scrub -*-
"""`streamer.scrub`: an author took the locations of their posts back.

They must go from every client and every buffer that has them, up to a post; the rule for X is "location deletion
notices", https://web.archive.org/web/20150323012945/https://dev.twitter.com/streaming/overview/messages-types
"""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IEventKind
from streamer.message import Event, topic


class ScrubData(msgspec.Struct, frozen=True, gc=False):
    """Whose posts lose their location: those of the author (an id) up to and with the post `up_to` (an id)."""

    author: str
    up_to: str


@implementer(IPlugin, IEventKind)
@attrs.frozen
class ScrubKind:
    """Topic `scrub.<source>`."""

    name: str = "scrub"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of locations taken back: by the activity's author, up to the post that it is about."""
        item, author = activity.item, activity.author
        if activity.kind != "scrub" or author is None:
            return None
        return Event(
            id=f"scrub:{author.id}:{activity.id}",
            source=item.source,
            type="streamer.scrub",
            topic=topic("scrub", item.source),
            data=ScrubData(author.id, activity.id),
            time=item.received if activity.created is None else activity.created,
            received=item.received,
            enriched=now_ms,
        )


scrub = ScrubKind()
