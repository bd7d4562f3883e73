# -*- test-case-name: tests.unit.test_bus_envelope -*-
"""A delivery's AMQP properties → the Message that `bus.frames` made them of, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.limits import RESERVED_PREFIX, TIMESTAMP_HEADER
from streamer.message import Death, Delivery, Message, Topic

ORIGIN = "x-first-death-exchange"  # where a dead letter was published first
DIED_IN = "x-first-death-queue"
DIED_OF = "x-first-death-reason"
DEATHS = "x-death"  # the broker's list, the last one first; each has the keys queue, reason, time, count
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


def delivery(method: Deliver, found: Properties, body: bytes) -> Delivery:
    """What a worker is handed."""
    headers = found.headers
    dead = death(headers) if headers is not None and DIED_IN in headers else None
    return Delivery(message(method, found, body), attempt(found), dead)


def death(headers: Mapping[str, Any]) -> Death:
    """Where and of what a dead letter died first, and when it did so last."""
    queue, reason = str(headers.get(DIED_IN)), str(headers.get(DIED_OF))
    at = 0
    for row in headers.get(DEATHS) or ():
        if isinstance(row, dict) and row.get("queue") == queue and isinstance(row.get("time"), datetime):
            at = int(row["time"].replace(tzinfo=UTC).timestamp())
    return Death(queue, reason, at)
