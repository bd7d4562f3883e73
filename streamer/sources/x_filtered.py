# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""X's filtered stream: `type = "x-filtered"`.

https://docs.x.com/x-api/posts/filtered-stream/introduction — rules live on the server; the stream carries posts
that match any of them, one JSON object a line, with a keep-alive line at least every 20 seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.errors import DecodeError
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy.transport import checked_base_url, checked_token
from streamer.secrets import Secret
from streamer.sources import x_answers, x_payload, x_rules
from streamer.upstream import Ending, Request, Response
from streamer.wire.lines import Lines

STREAM = "/2/tweets/search/stream"
STALL_AFTER = 45.0  # seconds; twice the 20 s keep-alive and a margin, for they are often late (tweepy 4.12.1)
BACKFILL_LIMIT = 5  # minutes

# Everything hydrators and events read, and no more: the fields are paid for in bytes on every leg.
FIELDS = {
    "tweet.fields": "attachments,author_id,conversation_id,created_at,edit_history_tweet_ids,entities,geo,"
    "in_reply_to_user_id,lang,note_tweet,possibly_sensitive,referenced_tweets,text",
    "expansions": "attachments.media_keys,author_id,geo.place_id,in_reply_to_user_id,referenced_tweets.id.author_id",
    "media.fields": "alt_text,media_key,preview_image_url,type,url",
    "place.fields": "country_code,full_name,geo,id,place_type",
    "user.fields": "id,name,username",
}


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.<name>.predicates]`; with no rules here those on the server are left as they are."""

    rules: tuple[x_rules.Rule, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "x-filtered"`."""

    token: Secret
    base_url: str = "https://api.x.com"
    predicates: Predicates = Predicates()
    backfill_minutes: Annotated[int, Meta(ge=0, le=BACKFILL_LIMIT)] = 0
    stall_after: Annotated[float, Meta(gt=0, le=3600)] = STALL_AFTER


class _Id(msgspec.Struct):
    id: str


class _Deleted(msgspec.Struct):
    id: int | str | None = None
    id_str: str | None = None


class _Delete(msgspec.Struct):
    status: _Deleted


class _Line(msgspec.Struct):
    """The little that must be known of a line to carry it; everything else is the enricher's business."""

    data: _Id | None = None
    delete: _Delete | None = None
    errors: msgspec.Raw = msgspec.Raw()  # beside `data` they only say what could not be had; then nobody reads them


_decode_line = msgspec.json.Decoder(_Line).decode


def _checked_id(id_: str) -> str:
    """An id goes into topics' messages, logs and memories, so it has to be one."""
    if not x_payload.ID.fullmatch(id_):
        raise DecodeError(f"an id that is none: {id_[:40]!r}")
    return id_


@implementer(ISource)
@attrs.frozen
class XFiltered:
    """One filtered stream."""

    name: str
    settings: Settings
    base_url: str
    profile: str = "x"

    @property
    def stall_after(self) -> float:
        """Seconds; see `ISource`."""
        return self.settings.stall_after

    def prepare(self) -> Preparation:
        """Make the server's rules those of the configuration; see `x_rules.reconcile`."""
        wanted = self.settings.predicates.rules
        if not wanted:
            return None
        return (yield from x_rules.reconcile(self._request(x_rules.PATH), wanted))

    def request(self, last_received_ms: int | None, now_ms: int) -> Request:
        """The stream, with back-fill for the minutes since the last confirmed item where that is configured.

        A new process does not know what the one before it confirmed, so it asks for all it may; repeats are dropped
        by their ids further on.
        """
        query = dict(FIELDS)
        limit = self.settings.backfill_minutes
        if limit:
            missed = limit if last_received_ms is None else -(-(now_ms - last_received_ms) // 60_000)  # rounded up
            query["backfill_minutes"] = str(max(1, min(missed, limit)))
        return self._request(f"{STREAM}?{urlencode(query, safe=',')}")

    def refusal(self, response: Response) -> Ending:
        """See `x_answers.refusal`."""
        return x_answers.refusal(response)

    def framer(self) -> IFramer:
        """One object a line."""
        return Lines()

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """A post, a deletion, or the end of the connection; see `ISource`."""
        try:
            line = _decode_line(frame)
        except x_payload.UNREADABLE as error:
            line = self._second_look(frame, error)
        if line.data is not None:
            id_ = _checked_id(line.data.id)
            return [self._item("post", id_, id_, frame, received_ms)]
        if line.delete is not None:
            id_ = _checked_id(line.delete.status.id_str or str(line.delete.status.id))
            return [self._item("delete", f"delete:{id_}", None, frame, received_ms)]
        if line.errors:
            return [x_answers.in_stream(line.errors)]
        raise DecodeError("an object that is neither post, deletion nor error")

    def decode(self, item: Item) -> Activity:
        """See `x_payload.decode`."""
        return x_payload.decode(item)

    def _second_look(self, frame: bytes, error: Exception) -> _Line:
        """Lone surrogate escapes are no Unicode, and still no reason to lose a post: its id is not in them."""
        try:
            return _decode_line(x_payload.without_lone_surrogates(frame))
        except x_payload.UNREADABLE:
            raise DecodeError(f"not a stream object: {error}") from error

    def _item(self, kind: str, id_: str, cursor: str | None, frame: bytes, received_ms: int) -> Item:
        return Item(source=self.name, kind=kind, id=id_, cursor=cursor, received=received_ms, body=frame)

    def _request(self, path: str) -> Request:
        return Request(
            url=self.base_url + path,
            headers={"Authorization": f"Bearer {self.settings.token.reveal()}", "Accept": "application/json"},
        )


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _XFilteredType:
    name: str = "x-filtered"
    settings: type = Settings

    def build(self, name: str, settings: Settings) -> XFiltered:
        x_rules.check(settings.predicates.rules)
        checked_token(settings.token.reveal())
        return XFiltered(name, settings, checked_base_url(settings.base_url))


x_filtered = _XFilteredType()
