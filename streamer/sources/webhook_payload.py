# -*- test-case-name: tests.unit.test_sources_webhook -*-
"""What the body of a webhook says, as far as it can be guessed or the configuration tells: `decode`.

Every sender has a form of its own. What is found is taken as plain text, and what does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamer.activity import Activity, Author
from streamer.errors import DecodeError
from streamer.message import Item
from streamer.policy.pointer import Pointer
from streamer.sources.webhook_calls import CLOUDEVENT, NO_EVENT, parsed
from streamer.sources.webhook_settings import Places
from streamer.sources.x_text import TIMES, UNREADABLE, iso_milliseconds

TITLE_LIMIT = 300  # characters
TEXT_LIMIT = 5_000  # characters
NAME_LIMIT = 200  # characters of an author, an action, a scope
URL_LIMIT = 2_000  # characters
NUMBER_LIMIT = 2**63
SECONDS_LIMIT = 100_000_000_000  # a time up to here is in seconds since the epoch, else in milliseconds


def decode(item: Item, places: Places, named: frozenset[str] = frozenset()) -> Activity:
    """The meaning of a call.

    Args:
        named: parts whose places the configuration gives.

    Raises:
        DecodeError: it is no JSON.
    """
    try:
        document = parsed(item.body)
    except UNREADABLE as error:
        raise DecodeError(f"{item.kind} {item.id} of {item.source} is no JSON: {error}") from error
    where = [document]
    if item.content_type == CLOUDEVENT and isinstance(document, dict):
        where.append(document.get("data"))

    def first(pointers: tuple[Pointer, ...], limit: int) -> str | None:
        return next((text for value in _values(where, pointers) if (text := _text(value, limit))), None)

    event = item.id.partition("/")[0]
    action = None if event == NO_EVENT or "action" in named else event
    title, author = first(places.title, TEXT_LIMIT), first(places.author, NAME_LIMIT)
    return Activity(
        item=item,
        kind=item.kind,
        id=item.id,
        action=action or first(places.action, NAME_LIMIT) or item.kind,
        title=None if title is None else title.splitlines()[0][:TITLE_LIMIT],
        url=next((url for value in _values(where, places.url) if (url := _url(value))), None),
        text=first(places.text, TEXT_LIMIT),
        author=None if author is None else Author(author, name=author),
        scope=first(places.scope, NAME_LIMIT),
        created=next((ms for value in _values(where, places.created) if (ms := _time(value)) is not None), None),
    )


def _values(documents: list[Any], pointers: tuple[Pointer, ...]) -> Iterator[Any]:
    for document in documents:
        for pointer in pointers:
            yield pointer.find(document)


def _text(value: object, limit: int) -> str | None:
    """A string, or a number as one; None of anything else, or of nothing but blanks."""
    if isinstance(value, str):
        return value[: 2 * limit].replace("\0", "\ufffd").strip()[:limit] or None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < NUMBER_LIMIT:
        return str(value)
    return None


def _url(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > URL_LIMIT or not value.isprintable() or " " in value:
        return None
    return value if value.lower().startswith(("http://", "https://")) else None


def _time(value: object) -> int | None:
    """A time, ms since the epoch: written as ISO 8601, or a number of seconds or milliseconds."""
    if isinstance(value, str):
        return iso_milliseconds(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < NUMBER_LIMIT:
        return None
    found = int(value * 1000 if value < SECONDS_LIMIT else value)
    return found if found in TIMES else None
