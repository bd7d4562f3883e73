# -*- test-case-name: tests.unit.test_policy_event_line -*-
"""A CloudEvent → one line for people, as `streamer tail` prints it: local time, topic, author, text.

What stands in `data` depends on the type (DESIGN §3), and a later version may add types; of an unknown one the whole
`data` is shown. Nothing here trusts that a field has the type it should have.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from streamer.policy.terminal import harmless

TEXT_LIMIT = 2_000  # characters of a line's text; longer ones are cut
AUTHOR_FIELDS = ("handle", "name", "id")
TEXT_FIELDS = ("text", "body", "title", "summary")

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def line(body: bytes, zone: tzinfo | None = None) -> str:
    """The line, without its end.

    Args:
        body: the CloudEvent's JSON.
        zone: None is this machine's.
    """
    try:
        event = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return harmless(body[:TEXT_LIMIT].decode(errors="replace"))
    data = event.get("data")
    words = [local_time(seconds(event), zone), str(event.get("topic") or event.get("type") or "-")]
    fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
    author = _author(fields)
    if author:
        words.append(author)
    text = _text(str(event.get("type") or ""), fields, data)
    words.append(text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}…")
    return harmless("  ".join(words))


def seconds(event: Mapping[str, Any]) -> float | None:
    """When an event was made or posted, seconds since the epoch; None where it does not tell."""
    written = event.get("time")
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def local_time(when: float | None, zone: tzinfo | None = None) -> str:
    """`12:03:11`; eight dashes where the time is not known."""
    if when is None:
        return "--:--:--"
    try:
        return datetime.fromtimestamp(when, zone).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _author(fields: Mapping[str, Any]) -> str:
    author = fields.get("author", fields.get("actor", fields.get("from")))
    if isinstance(author, dict):
        for field in AUTHOR_FIELDS:
            if isinstance(name := author.get(field), str) and name:
                return f"@{name}" if field == "handle" else name
        return ""
    return author if isinstance(author, str) and not _is_span(fields) else ""


def _is_span(fields: Mapping[str, Any]) -> bool:
    """Whether `from` is the beginning of a span of time, as in a gap, and no author."""
    return "cause" in fields and "to" in fields


def _text(kind: str, fields: Mapping[str, Any], data: Any) -> str:
    if kind == "streamer.delete":
        return f"deleted: {fields.get('id')}"
    if kind == "streamer.gap":
        return f"missed {fields.get('from')} to {fields.get('to')} because of {fields.get('cause')}"
    if kind == "streamer.change":
        said = [fields.get("title"), fields.get("summary")]
        return " ".join(" – ".join(text for text in said if isinstance(text, str) and text).split())
    for field in TEXT_FIELDS:
        if isinstance(text := fields.get(field), str) and text:
            return " ".join(text.split())
    return "" if data is None else _encode(data).decode()
