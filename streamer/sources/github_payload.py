# -*- test-case-name: tests.unit.test_sources_github -*-
"""What one of GitHub's events says: https://docs.github.com/en/rest/using-the-rest-api/github-event-types

Every field is looked for where it may be, for the payloads have changed often: those of 2012 name the repository in
another place, those of 2025 have left out most of a pull request. What is not there, or is no text, is left out; only
what is no object at all is no event.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from streamer.activity import Activity, Author
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.sources import github_types
from streamer.sources.github_fields import one_line, text_at
from streamer.sources.x_text import UNREADABLE, iso_milliseconds, milliseconds, without_lone_surrogates

OTHER = "event"  # kind of what has no type that we know
TEXT_LIMIT = 5_000  # characters

_ID = re.compile(r"[0-9A-Za-z_-]{1,40}")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BOT = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,99})\[bot\]")


class _Named(msgspec.Struct):
    id: Any = None
    created_at: Any = None


_decode_named = msgspec.json.Decoder(_Named).decode


def read(body: bytes) -> dict[str, Any]:
    """Read an event.

    Raises:
        DecodeError: it is none.
    """
    try:
        found: Any = msgspec.json.decode(body)
    except UNREADABLE as error:
        try:
            found = msgspec.json.decode(without_lone_surrogates(body))
        except UNREADABLE:
            raise DecodeError(f"no event of GitHub's: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise DecodeError("no event of GitHub's: it has no type")
    return found


def identity(body: bytes) -> str:
    """The event's id, which is a string of digits; of one without, a name that the same bytes will have again."""
    id_ = _named(body).id
    written = str(id_) if isinstance(id_, str | int) and not isinstance(id_, bool) else ""
    return written if _ID.fullmatch(written) else f"sha256-{hashlib.sha256(body).hexdigest()[:32]}"


def created(body: bytes) -> int | None:
    """When it happened, ms since the epoch."""
    return _moment(_named(body).created_at)


def item(source: str, body: bytes, received_ms: int) -> Item:
    """An event as an item.

    Raises:
        DecodeError: it is none.
    """
    event = read(body)
    author = _author(event, "")
    return Item(
        source=source,
        kind=kind_of(event),
        id=identity(body),
        received=received_ms,
        body=body,
        partition=None if author is None else author.id,
    )


def kind_of(event: dict[str, Any]) -> str:
    """`PullRequestEvent` → `pull-request`; `delete-ref` for the deletion of a branch, since `delete` is for posts."""
    return github_types.KINDS.get(event["type"].removesuffix("Event"), OTHER)


def decode(made: Item, web: str) -> Activity:
    """The meaning of an event.

    Args:
        web: where people look at it, without a slash at its end.

    Raises:
        DecodeError: it is none.
    """
    event = read(made.body)
    kind = kind_of(event)
    repository = _repository(event)
    home = f"{web}/{quote(repository)}" if repository else None
    told = github_types.tell(kind, event.get("payload"), repository, home)
    action = kind if kind != OTHER else one_line(event["type"]) or OTHER
    text = (told.text or "").strip()
    return Activity(
        item=made,
        kind=made.kind,
        id=made.id,
        action=action,
        scope=repository,
        title=told.title or repository,
        url=told.url or home,
        author=_author(event, web),
        text=text[:TEXT_LIMIT] or None,
        created=_moment(event.get("created_at")),
        tags=told.tags,
    )


def _named(body: bytes) -> _Named:
    try:
        return _decode_named(body)
    except UNREADABLE:
        try:
            return _decode_named(without_lone_surrogates(body))
        except UNREADABLE:
            return _Named()


def _repository(event: dict[str, Any]) -> str | None:
    name = text_at(event, "repo", "name") or text_at(event, "repository", "name")
    owner = text_at(event, "repository", "owner")
    return one_line(f"{owner}/{name}" if name and owner and "/" not in name else name)


def _author(event: dict[str, Any], web: str) -> Author | None:
    actor = event.get("actor")
    login = one_line(actor if isinstance(actor, str) else text_at(actor, "login"))
    number = actor.get("id") if isinstance(actor, dict) else None
    id_ = str(number) if isinstance(number, int) and not isinstance(number, bool) and number > 0 else login
    if not id_:
        return None
    bot = _BOT.fullmatch(login or "")
    path = f"apps/{bot[1]}" if bot else login if _LOGIN.fullmatch(login or "") else None
    return Author(id_[:100], login, url=f"{web}/{path}" if path else None)


def _moment(written: object) -> int | None:
    """A time as GitHub writes it, in 2012 with slashes."""
    if not isinstance(written, str):
        return None
    if (found := iso_milliseconds(written)) is not None:
        return found
    try:
        return milliseconds(datetime.strptime(written, "%Y/%m/%d %H:%M:%S %z"))
    except (ValueError, OverflowError):
        return None
