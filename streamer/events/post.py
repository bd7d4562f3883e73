# -*- test-case-name: tests.unit.test_events_post -*-
"""`streamer.post`: the whole post, as clients show it."""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity, Author, Facet, Geo, Media
from streamer.interfaces import IEventKind
from streamer.message import Event, rfc3339, topic


class PostData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Text is plain text; `facets`, `tags` and `media` are always there, perhaps empty."""

    id: str
    url: str | None = None
    author: Author | None = None
    text: str
    facets: tuple[Facet, ...]
    lang: str | None = None
    created: str | None = None
    reply_to: str | None = None
    thread: str | None = None
    tags: tuple[str, ...]
    media: tuple[Media, ...]
    geo: Geo | None = None
    sensitive: bool | None = None


@implementer(IPlugin, IEventKind)
@attrs.frozen
class PostKind:
    """Topic `post.<source>.<lang>.<author>[.<tag>…]`."""

    name: str = "post"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """The event of a new or edited post; None where there is no text.

        The edit of a post is an event of its own, named after its item, for some upstreams keep the post's id.
        """
        text = activity.text
        if activity.kind not in ("post", "edit") or text is None:
            return None
        item, author, created = activity.item, activity.author, activity.created
        data = PostData(
            id=activity.id,
            url=activity.url,
            author=author,
            text=text,
            facets=activity.facets or (),
            lang=activity.lang,
            created=None if created is None else rfc3339(created),
            reply_to=activity.reply_to,
            thread=activity.thread,
            tags=activity.tags,
            media=activity.media,
            geo=activity.geo,
            sensitive=activity.sensitive,
        )
        return Event(
            id=f"post:{activity.id if activity.kind == 'post' else item.id}",
            source=item.source,
            type="streamer.post",
            topic=topic(
                "post",
                item.source,
                activity.lang,
                (author.handle or author.id) if author else None,
                optional=activity.tags,
            ),
            data=data,
            time=item.received if created is None else created,
            received=item.received,
            enriched=now_ms,
            subject=f"@{author.handle}" if author and author.handle else None,
        )


post = PostKind()
