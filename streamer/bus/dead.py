# -*- test-case-name: tests.unit.test_bus_dead -*-
"""What lies in `streamer.dead` and `streamer.unrouted`: what is known of each letter, which ones somebody wants, and
where one would go if it were published again.

A letter's body may have 16 MB, and there may be thousands of letters. So most are held without it, as `bare` has them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any

import msgspec

from streamer.bus import envelope
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.limits import check
from streamer.bus.patterns import matches
from streamer.bus.shards import routed
from streamer.bus.topology import DEAD, UNROUTED
from streamer.errors import MessageRefused
from streamer.message import EVENTS, PARTITION_KEY, RAW, Death, Message, Topic

QUEUES = {"dead": DEAD, "unrouted": UNROUTED}  # by the name an operator gives

_SHARDED = re.compile(r"(raw\.[^.]+\.[^.]+)\.s[0-9]{2}")
_SOURCES = "/sources/"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One of them.

    Args:
        tag: by which its queue is told what becomes of it.
        id: its `message_id`; where somebody published it without one, a digest of what it says.
        message: as it was published, the exchange it was published to included.
        size: bytes of its body.
        death: None where it never died, as everything that no binding wanted.
        deaths: how often it died there, by the broker's count; 0 where it never did.
        returned: how often it was taken from here and handed back.
    """

    tag: int
    id: str
    message: Message
    size: int
    death: Death | None
    deaths: int
    returned: int

    @property
    def source(self) -> str:
        """The configured name of the source it is of; empty where that cannot be told."""
        message_id = self.message.message_id
        if self.message.exchange == EVENTS:
            before, hash_, _ = message_id.partition("#")
            return before.removeprefix(_SOURCES) if hash_ and before.startswith(_SOURCES) else ""
        return message_id.partition("/")[0] if "/" in message_id else ""

    @property
    def since(self) -> float:
        """Since when it is here, seconds since the epoch; where it never died, since when it is anywhere."""
        return self.death.at if self.death is not None else self.message.timestamp_ms / 1000

    def bare(self) -> Letter:
        """Without its body."""
        return msgspec.structs.replace(self, message=msgspec.structs.replace(self.message, body=b""))


def letter(method: Deliver, found: Properties, body: bytes) -> Letter:
    """What was delivered."""
    delivery = envelope.delivery(method, found, body)
    message, headers = delivery.message, found.headers or {}
    return Letter(
        tag=method.delivery_tag,
        id=message.message_id or _digest(message),
        message=message,
        size=len(body),
        death=delivery.death,
        deaths=0 if delivery.death is None else _deaths(headers.get(envelope.DEATHS), delivery.death),
        returned=delivery.attempt - 1,
    )


def _digest(message: Message) -> str:
    return "sha256:" + hashlib.sha256(message.topic.encode("utf-8", "replace") + b"\0" + message.body).hexdigest()[:16]


def _deaths(rows: Any, death: Death) -> int:
    counts = [
        row.get("count")
        for row in rows or ()
        if isinstance(row, dict) and (row.get("queue"), row.get("reason")) == (death.queue, death.reason)
    ]
    return sum(count for count in counts if isinstance(count, int)) or 1


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are wanted: those that all of this holds for.

    Args:
        ids: any of them; all letters where empty.
        topic: AMQP's pattern.
        reason: of its death, as `rejected`.
        source: a configured name.
    """

    ids: frozenset[str] = frozenset()
    topic: str = "#"
    reason: str | None = None
    source: str | None = None

    @property
    def everything(self) -> bool:
        """Whether every letter is wanted."""
        return self == Wish()

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is wanted."""
        if self.ids and letter.id not in self.ids:
            return False
        if self.reason is not None and (letter.death is None or letter.death.reason != self.reason):
            return False
        if self.source is not None and letter.source != self.source:
            return False
        return matches(self.topic, letter.message.topic)


def missing(wish: Wish, found: Collection[Letter]) -> list[str]:
    """Ids that were asked for and are not among those found."""
    return sorted(wish.ids - {letter.id for letter in found})


def again(message: Message, shards: int | None) -> Message:
    """The message as it is to be published again: by the same name, to where it was published.

    Args:
        shards: how many there are now, see `bus.shards`; None where that is not known, and its topic is left alone.

    Raises:
        MessageRefused: it can never be; the text says why.
    """
    if message.exchange in (DEAD, UNROUTED):
        raise MessageRefused(f"it was published to {message.exchange!r} itself, so there is nowhere to replay it to")
    if shards is not None and message.exchange == RAW and PARTITION_KEY in message.headers:
        old = _SHARDED.fullmatch(message.topic)
        message = routed(msgspec.structs.replace(message, topic=Topic(old[1] if old else message.topic)), shards)
    check(message)
    return message
