# -*- test-case-name: tests.unit.test_events_change -*-
"""`streamer.change`: something was done that is no post: a page edited, commits pushed, an entry published."""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity, Author
from streamer.interfaces import IEventKind
from streamer.message import Event, rfc3339, topic


class ChangeData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was done (`action`) to what (`title`, at `url`) by whom (`actor`), and where (`scope`).

    `summary` is plain text.
    """

    id: str
    action: str
    scope: str | None = None
    title: str | None = None
    url: str | None = None
    actor: Author | None = None
    summary: str | None = None
    created: str | None = None
    tags: tuple[str, ...] = ()


@implementer(IPlugin, IEventKind)
@attrs.frozen
class ChangeKind:
    """Topic `change.<source>.<action>.<scope>.<actor>[.<tag>…]`."""

    name: str = "change"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of an activity that names its action.

        It is named after its item: what is done to one page ten times is ten changes.
        """
        action = activity.action
        if action is None:
            return None
        item, actor, created = activity.item, activity.author, activity.created
        data = ChangeData(
            id=activity.id,
            action=action,
            scope=activity.scope,
            title=activity.title,
            url=activity.url,
            actor=actor,
            summary=activity.text,
            created=None if created is None else rfc3339(created),
            tags=activity.tags,
        )
        return Event(
            id=f"change:{item.id}",
            source=item.source,
            type="streamer.change",
            topic=topic(
                "change",
                item.source,
                action,
                activity.scope,
                (actor.handle or actor.id) if actor else None,
                optional=activity.tags,
            ),
            data=data,
            time=item.received if created is None else created,
            received=item.received,
            enriched=now_ms,
            subject=activity.title,
        )


change = ChangeKind()
