# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""Log entries for tests of what reads the log."""

from __future__ import annotations

import json
from typing import Any

from streamer.message import CLOUDEVENT, EVENTS, Entry, Message, Topic


def entry(
    offset: int, topic: str = "post.x", id_: str | None = None, size: int = 0, kind: str = "post", **data: Any
) -> Entry:
    """One entry of the log.

    Args:
        id_: of the event; made from the offset by default.
        size: bytes of padding in its data.
        kind: of event; the id is made from it, too.
    """
    name = id_ or f"{kind}:{offset}"
    event = {"specversion": "1.0", "id": name, "source": "/sources/x", "type": f"streamer.{kind}", "topic": topic}
    event["data"] = {"pad": "." * size, **data}  # type: ignore[assignment]
    return Entry(offset, message(json.dumps(event).encode(), topic, f"/sources/x#{name}"))


def message(body: bytes, topic: str = "post.x", message_id: str = "/sources/x#1") -> Message:
    """An envelope as the bus would carry it."""
    return Message(
        exchange=EVENTS,
        topic=Topic(topic),
        body=body,
        message_id=message_id,
        kind="streamer.post",
        timestamp_ms=0,
        content_type=CLOUDEVENT,
    )
