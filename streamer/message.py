# -*- test-case-name: tests.unit.test_message -*-
"""The values that travel: Item, Event and the Message that carries either over the bus.

All are frozen msgspec structs: they are made once per message on the hot path, where they cost a fifth of an
attrs class. Thousands of items and messages are in flight at once, and none can be part of a cycle, so the garbage
collector need not look at them (`gc=False`). Times are integers, milliseconds since the epoch, until they are written
as RFC 3339.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NewType

import msgspec

RAW = "streamer.raw"  # exchange of items, as the upstream sent them
EVENTS = "streamer.events"  # exchange of events, as clients get them

CLOUDEVENT = "application/cloudevents+json"
# Header: what must stay in order with its like; https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/partitioning.md
PARTITION_KEY = "partitionkey"
TOPIC_LIMIT = 255  # bytes; AMQP 0-9-1 short string, https://www.rabbitmq.com/amqp-0-9-1-reference
WORD_LIMIT = 80  # bytes of one topic word; longer ones are cut, so that a hostile handle cannot use up the key
ABSENT = "-"  # the topic word for what is not known

Topic = NewType("Topic", str)
Headers = Mapping[str, str | int]

_NO_HEADERS: Headers = {}
_UNSAFE = re.compile(r"[.*#%\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encode_json = msgspec.json.Encoder().encode


class Decision(enum.Enum):
    """What becomes of a delivery once its handler is done."""

    ACK = "ack"  # done; the bus may forget it
    RETRY = "retry"  # not done, try again (counted; a poison message ends at the delivery limit)
    REJECT = "reject"  # can never be done: dead-letter it now
    RETURN = "return"  # neither done nor failed: hand it back, to be delivered again


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An envelope as the bus carries it.

    Args:
        exchange: `RAW` or `EVENTS`.
        topic: routing key, at most `TOPIC_LIMIT` bytes.
        message_id: stable across redelivery and replay; consumers drop repeats by it.
        kind: AMQP `type`.
        timestamp_ms: when it was made; AMQP itself keeps whole seconds only.
        headers: short strings and 64-bit integers only, for AMQP field tables carry little else portably.
    """

    exchange: str
    topic: Topic
    body: bytes
    message_id: str
    kind: str
    timestamp_ms: int
    content_type: str
    headers: Headers = _NO_HEADERS


class Death(msgspec.Struct, frozen=True):
    """Why a message is where dead letters go.

    Args:
        queue: in which it died first.
        reason: `rejected` by a worker, or `delivery_limit` after too many failures; RabbitMQ knows more.
        at: when, seconds since the epoch; RabbitMQ keeps whole seconds.
    """

    queue: str
    reason: str
    at: int


class Delivery(msgspec.Struct, frozen=True):
    """A message handed to a worker; `attempt` is 1 the first time, more after a redelivery.

    `death` is there where it died in another queue before.
    """

    message: Message
    attempt: int = 1
    death: Death | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of the log; `offset` is the log's own number, rising, not always by one."""

    offset: int
    message: Message


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frame that we understood enough to name.

    Args:
        source: the configured name, not the type.
        kind: `post`, `delete`, `edit`, `scrub`, `limit`, `warning`, `disconnect`, `withheld`, `gap`
            or an upstream's own.
        id: unique within the source; with it forms the bus's `message_id`.
        received: when its first byte came in, ms since the epoch.
        body: the upstream's bytes, untouched.
        cursor: where to go on after this item, in the upstream's own words; None where it has none.
        partition: items that share it are kept in order (see `bus.shards`): an author's id; None where order is no
            matter.
    """

    source: str
    kind: str
    id: str
    received: int
    body: bytes
    cursor: str | None = None
    content_type: str = "application/json"
    partition: str | None = None

    def message(self) -> Message:
        """The envelope for the `streamer.raw` exchange, topic `raw.<source>.<kind>`."""
        headers: dict[str, str | int] = {"received": self.received}
        if self.cursor is not None:
            headers["cursor"] = self.cursor
        if self.partition is not None:
            headers[PARTITION_KEY] = self.partition
        return Message(
            exchange=RAW,
            topic=_raw_topic(self.source, self.kind),
            body=self.body,
            message_id=f"{self.source}/{self.id}",
            kind=self.kind,
            timestamp_ms=self.received,
            content_type=self.content_type,
            headers=headers,
        )

    @classmethod
    def from_message(cls, message: Message) -> Item:
        """Read an envelope back.

        Raises:
            ValueError: it was not made by `message()`; reject the delivery.
        """
        source, slash, id_ = message.message_id.partition("/")
        received = message.headers.get("received")
        if not slash or not source or not isinstance(received, int):
            raise ValueError(f"message {message.message_id!r} on {message.topic!r} is not an item")
        cursor, partition = message.headers.get("cursor"), message.headers.get(PARTITION_KEY)
        return cls(
            source=source,
            kind=message.kind,
            id=id_,
            received=received,
            body=message.body,
            cursor=None if cursor is None else str(cursor),
            content_type=message.content_type,
            partition=None if partition is None else str(partition),
        )


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What we derive from items and publish: one CloudEvent 1.0.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md

    Args:
        id: unique within the source, `<kind>:<upstream id>`.
        source: the configured name; written as `/sources/<name>`.
        type: `streamer.post`, …
        topic: see `post_topic` and its like in `events/`.
        data: anything msgspec encodes.
        time: when it happened upstream, ms since the epoch.
        received: when our first byte of it came in, ms since the epoch.
        enriched: when the event was made, ms since the epoch.
    """

    id: str
    source: str
    type: str
    topic: Topic
    data: Any
    time: int
    received: int
    enriched: int
    subject: str | None = None

    def message(self) -> Message:
        """The envelope for the `streamer.events` exchange; the body is the structured JSON form."""
        source = f"/sources/{self.source}"
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": self.type,
            "time": rfc3339(self.time),
        }
        if self.subject is not None:
            attributes["subject"] = self.subject
        attributes["topic"] = self.topic
        attributes["received"] = rfc3339(self.received)
        attributes["enriched"] = rfc3339(self.enriched)
        attributes["datacontenttype"] = "application/json"
        attributes["data"] = self.data
        return Message(
            exchange=EVENTS,
            topic=self.topic,
            body=_encode_json(attributes),
            message_id=f"{source}#{self.id}",
            kind=self.type,
            timestamp_ms=self.enriched,
            content_type=CLOUDEVENT,
        )


@functools.lru_cache(maxsize=8192)
def topic_word(text: str | None) -> str:
    """One word of a topic: lower case, percent-encoded where AMQP's syntax or a reader would stumble.

    Returns:
        `-` for None and for the empty string; at most `WORD_LIMIT` bytes.
    """
    if not text:
        return ABSENT
    word = text.lower()
    if len(word) * 9 > WORD_LIMIT:  # an escaped character takes up to nine bytes, `%E2%80%A8`
        word = _cut(word)
    return _UNSAFE.sub(_escape, word)


def topic(*words: str | None, optional: Iterable[str] = ()) -> Topic:
    """Join words into a topic, escaping each.

    Args:
        words: always present; None becomes `-`.
        optional: added while the key stays within `TOPIC_LIMIT` bytes, the rest is left out.
    """
    key = ".".join(map(topic_word, words))
    size = len(key.encode())
    for extra in optional:
        word = topic_word(extra)
        size += 1 + len(word.encode())
        if size > TOPIC_LIMIT:
            break
        key = f"{key}.{word}"
    return Topic(key)


@functools.lru_cache(maxsize=1024)
def _raw_topic(source: str, kind: str) -> Topic:
    return topic("raw", source, kind)


def rfc3339(ms: int) -> str:
    """`1519` → `1970-01-01T00:00:01.519Z`."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@functools.lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Most of a time stands still for a thousand milliseconds; every event has three of them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _cut(word: str) -> str:
    size = 0
    for index, char in enumerate(word):
        size += 3 * len(char.encode("utf-8", "surrogatepass")) if _UNSAFE.match(char) else len(char.encode())
        if size > WORD_LIMIT:
            return word[:index]
    return word
