# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""One event as the journal holds it, checked before it may stand in everybody's frame.

And what it takes back: a deletion a post, a scrub the locations of an author's posts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streamer.errors import DecodeError
from streamer.fanout.position import written
from streamer.fanout.scrubs import SCRUB, Located, Scrub, located, scrub, without_location
from streamer.message import CLOUDEVENT, Entry, Message

EVENT_LIMIT = 256_000  # bytes of one event; longer ones are not events for a browser
DELETE = "streamer.delete"
TAKE_BACK = frozenset({DELETE, SCRUB})  # types of events that must reach every client
OF_A_POST = ("post", "geo", "notice")  # kinds of events that hold something of a post's

Word = Annotated[str, Meta(min_length=1)]


class _Attributes(msgspec.Struct):
    """What every client relies on. Other attributes, and the data, are between the publisher and its readers."""

    specversion: Literal["1.0"]
    id: Word
    source: Word
    type: Word
    topic: Word
    data: Any = None


_decode = msgspec.json.Decoder(_Attributes).decode


class Logged(msgspec.Struct, frozen=True, gc=False):
    """One event; `event` is its JSON.

    Args:
        deletion: it takes something back, so every client is sent it, whatever it subscribed to.
        gone: `message_id` of the events that it leaves nothing of; only the deletion of a post has some.
        scrub: the locations that it takes back, if it is a scrub.
        located: whose location it holds, if it holds one and says whose.
    """

    offset: int
    topic: str
    event: bytes
    message_id: str
    deletion: bool = False
    gone: tuple[str, ...] = ()
    scrub: Scrub | None = None
    located: Located | None = None

    @property
    def position(self) -> str:
        """The place after this entry."""
        return written(self.message_id, self.offset)

    @property
    def size(self) -> int:
        """Bytes it is counted with."""
        return len(self.event) + len(self.topic) + len(self.message_id)

    def replaced(self, by: Logged) -> Logged:
        """This entry with another's content: place and position stay what they are."""
        return Logged(self.offset, self.topic, by.event, self.message_id, self.deletion)

    def scrubbed(self, by: Logged) -> Logged:
        """This entry without its location: a post goes on without one, a location itself is replaced."""
        if self.located is None or self.located.whole:
            return self.replaced(by)
        return Logged(self.offset, self.topic, without_location(self.event), self.message_id, self.deletion)


def logged(entry: Entry) -> Logged:
    """Check an entry of the log.

    Raises:
        DecodeError: clients could not parse or route it; count it and go on.
    """
    message = entry.message
    attributes = _checked(message)
    type_, source, data = attributes.type, attributes.source, attributes.data
    gone: tuple[str, ...] = ()
    if type_ == DELETE and isinstance(data, dict):
        gone = tuple(f"{source}#{kind}:{data.get('id')}" for kind in OF_A_POST)
    return Logged(
        entry.offset,
        message.topic,
        message.body,
        message.message_id,
        type_ in TAKE_BACK,
        gone,
        scrub(source, data) if type_ == SCRUB else None,
        located(type_, source, data),
    )


def _checked(message: Message) -> _Attributes:
    if len(message.body) > EVENT_LIMIT:
        raise DecodeError(f"an event has {len(message.body)} bytes; {EVENT_LIMIT} are allowed")
    if message.content_type != CLOUDEVENT:
        raise DecodeError(f"an event is {message.content_type!r}; it must be {CLOUDEVENT!r}")
    if not message.message_id:
        raise DecodeError("an event has no message_id, by which repeats are told")
    try:
        message.body.decode()  # msgspec does not look at what it skips, and a browser hangs up on what is no UTF-8
        attributes: _Attributes = _decode(message.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"an event is no CloudEvent: {error}") from error
    if attributes.topic != message.topic:
        raise DecodeError(f"an event's topic {attributes.topic!r} is not its routing key {message.topic!r}")
    return attributes
