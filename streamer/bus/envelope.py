# -*- test-case-name: tests.unit.test_bus_envelope -*-
"""A delivery's AMQP properties → the Message that `bus.frames` made them of, exactly."""

from __future__ import annotations

from typing import Any

from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.limits import RESERVED_PREFIX, TIMESTAMP_HEADER
from streamer.message import Message, Topic

ORIGIN = "x-first-death-exchange"  # where a dead letter was published first
DELIVERY_COUNT = "x-delivery-count"  # a quorum queue's: failed deliveries before this one
OFFSET = "x-stream-offset"


def message(method: Deliver, found: Properties, body: bytes) -> Message:
    """What was delivered. A message of somebody else's lacks things; it gets empty strings and the broker's second."""
    headers: dict[str, str | int] = {}
    origin = method.exchange
    precise: Any = None
    for name, value in (found.headers or {}).items():
        if name == TIMESTAMP_HEADER:
            precise = value
        elif name == ORIGIN:
            origin = value
        elif not name.startswith(RESERVED_PREFIX):
            headers[name] = value if isinstance(value, (str, int)) else str(value)
    return Message(
        exchange=origin,
        topic=Topic(method.routing_key),
        body=body,
        message_id=found.message_id or "",
        kind=found.type or "",
        timestamp_ms=precise if isinstance(precise, int) else (found.timestamp or 0) * 1000,
        content_type=found.content_type or "",
        headers=headers,
    )


def attempt(found: Properties) -> int:
    """Which delivery this is, from 1."""
    count = (found.headers or {}).get(DELIVERY_COUNT, 0)
    return count + 1 if isinstance(count, int) else 1
