# -*- test-case-name: tests.unit.test_sources_x_stream -*-
"""What X's streams have in common: how they are asked for, now, again, and for a span of the past.

https://docs.x.com/x-api/fundamentals/recovery-and-redundancy
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

import attrs
from msgspec import Meta

from streamer.policy.transport import account, checked_base_url, checked_token
from streamer.secrets import Secret
from streamer.upstream import Request, Resume

BASE_URL = "https://api.x.com"
STALL_AFTER = 45.0  # seconds; twice the 20 s keep-alive and a margin, for they are often late (tweepy 4.12.1)
BACKFILL_LIMIT = 5  # minutes
REWIND = 5_000  # ms that a back-fill reaches back further than it must: X's clock is not ours, and it sorts nothing
MINUTE = 60_000  # ms
RECOVERY_LIMIT = 24 * 60 * MINUTE  # ms before now that a recovery can begin
RECOVERY_MARGIN = MINUTE  # ms that we stay inside of that: a request takes a while, and clocks differ
RECOVERY_OVERLAP = 2  # seconds that it reaches into what the live stream or the back-fill brings

# The keys that every one of these sources has.
Backfill = Annotated[int, Meta(ge=0, le=BACKFILL_LIMIT)]  # minutes
StallAfter = Annotated[float, Meta(gt=0, le=3600)]  # seconds
Profile = Literal["x", "2010"]

# Everything hydrators and events read, and no more: the fields are paid for in bytes on every leg.
FIELDS = {
    "tweet.fields": "attachments,author_id,conversation_id,created_at,edit_history_tweet_ids,entities,geo,"
    "in_reply_to_user_id,lang,note_tweet,possibly_sensitive,referenced_tweets,text",
    "expansions": "attachments.media_keys,author_id,geo.place_id,in_reply_to_user_id,referenced_tweets.id.author_id",
    "media.fields": "alt_text,media_key,preview_image_url,type,url",
    "place.fields": "country_code,full_name,geo,id,place_type",
    "user.fields": "id,name,username",
}


@attrs.frozen
class XStream:
    """One stream of X: where it is and how far it can be asked back.

    Args:
        base_url: without a slash at its end.
        path: of the stream.
        params: of its own, such as the partition.
        backfill_minutes: at most so many are asked for; 0 where the contract has none.
        recovers: whether the contract has the recovery of up to 24 hours.
    """

    base_url: str
    token: Secret
    path: str
    params: Mapping[str, str] = attrs.field(factory=dict)
    backfill_minutes: int = 0
    recovers: bool = False

    @classmethod
    def checked(
        cls,
        base_url: str,
        token: Secret,
        path: str,
        backfill_minutes: int,
        params: Mapping[str, str] | None = None,
        recovers: bool = False,
    ) -> XStream:
        """As the constructor, from settings.

        Raises:
            ValueError: the URL or the token cannot be used; the text says how to mend it.
        """
        checked_token(token.reveal())
        return cls(checked_base_url(base_url), token, path, params or {}, backfill_minutes, recovers)

    @property
    def credential(self) -> str:
        """See `ISource`: X counts the connects of an application, and a token is one application's."""
        return account(self.base_url, self.token.reveal())

    @property
    def lane(self) -> str:
        """See `ISource`: of each stream, and of each partition of it, an application may have one connection."""
        return " ".join([self.credential, self.path, *(f"{key}={value}" for key, value in self.params.items())])

    def request(self, resume: Resume | None, now_ms: int) -> Request:
        """The stream, with back-fill for the minutes since what is safe where that is configured.

        A source that knows of nothing safe asks for all it may; repeats are dropped by their ids further on.
        """
        query = dict(FIELDS)
        limit = self.backfill_minutes
        if not limit:
            return self._ask(query, None)
        missed = limit if resume is None else -((resume.received - REWIND - now_ms) // MINUTE)  # rounded up
        minutes = max(1, min(missed, limit))
        query["backfill_minutes"] = str(minutes)
        return self._ask(query, now_ms - minutes * MINUTE)

    def recovery(self, from_ms: int, to_ms: int) -> Request | None:
        """A request for a span of the past; None where the contract has none, or nothing of the span can be had.

        The span must end where the back-fill begins, or now where there is none: how old its beginning may be is
        counted from there. The answer repeats a little at either end, for X takes whole seconds, and its clock is
        not ours.
        """
        oldest = to_ms - RECOVERY_LIMIT + self.backfill_minutes * MINUTE + RECOVERY_MARGIN
        start, end = max(from_ms, oldest) // 1000, -(-to_ms // 1000) + RECOVERY_OVERLAP
        if not self.recovers or from_ms >= to_ms:
            return None
        return self._ask({**FIELDS, "start_time": _written(start), "end_time": _written(end)}, start * 1000)

    def short(self, path: str) -> Request:
        """A request to another endpoint, with the same credentials."""
        headers = {"Authorization": f"Bearer {self.token.reveal()}", "Accept": "application/json"}
        return Request(url=self.base_url + path, headers=headers)

    def _ask(self, query: Mapping[str, str], replays_from: int | None) -> Request:
        asked = self.short(f"{self.path}?{urlencode({**query, **self.params}, safe=',:')}")
        return Request(url=asked.url, headers=asked.headers, replays_from=replays_from)


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
