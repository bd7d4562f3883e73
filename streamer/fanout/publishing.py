# -*- test-case-name: tests.unit.test_fanout_publishing -*-
"""Events that clients publish: what they may say, and the CloudEvent that becomes of it.

A client chooses a topic, the data and, if it likes, an id and a subject. Everything by which readers judge an event
is the relay's: the type follows from the topic's first word, the times are the relay's, and the source is
`/clients/<subject of its token>`. So nobody can speak as one of the sources or as another subject, and as a deletion
takes back only what has its own source, nobody can delete what is another's.

An id of the client's makes publishing again harmless: journal and readers drop an event whose source and id they have
had. Clients without a token share the source `/clients/anonymous`, and with it the ids: theirs should be random.

A grant of `#` is meant for topics that an application makes up. The first words of `RESERVED` are the house's: the
types `streamer.delete` and `streamer.scrub` are sent to every client whatever it subscribed to, pages take a `gap`, a
`trend` or `stats` for the house's own word, and the last three are the relay's about a connection. Each needs a grant
whose first word is that word, literally.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from streamer.errors import ClientError
from streamer.fanout.logged import EVENT_LIMIT
from streamer.fanout.topics import matcher
from streamer.message import CLOUDEVENT, EVENTS, TOPIC_LIMIT, Message, Topic, rfc3339, topic_word

if TYPE_CHECKING:
    from streamer.fanout.grants import Grants

# First words that must be granted by name.
RESERVED = frozenset({"delete", "scrub", "gap", "trend", "stats", "lag", "subscribed", "error"})
ID_LIMIT = 128  # characters of an event's id
ABOUT_LIMIT = 256  # characters of an event's subject
NAME_LIMIT = 96  # characters of a source after `/clients/`: with the id it must fit AMQP's 255 bytes
DEPTH_LIMIT = 32  # objects and lists in each other, counting `data` itself
# Of the characters that CloudEvents' strings may not hold, those that JSON can bring;
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]*\Z"
QUOTED_LIMIT = 80  # characters of a client's own words in a sentence for it
ANONYMOUS = "anonymous"
_SOURCE = "/clients/"
_ID = re.compile(rf"[A-Za-z0-9._:~@+=-]{{1,{ID_LIMIT}}}")
_OUTCOMES = {"forbidden": "forbidden", "unavailable": "unavailable"}


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client asks to be published; an unknown key is refused, for we would not do what it says.

    Args:
        topic: of the event, written as topics are; see `checked_topic`.
        id: of the client's choosing, so that it may publish again without saying it twice.
        subject: what the event is about, for readers.
    """

    topic: str
    data: dict[str, Any]
    id: str | None = None
    subject: Annotated[str, Meta(min_length=1, max_length=ABOUT_LIMIT, pattern=_PLAIN)] | None = None


class Published(msgspec.Struct, frozen=True):
    """What the event is called: no other has the same two."""

    id: str
    source: str


Done = Callable[[Published | ClientError], None]


class Publishes(Protocol):
    """What hands clients' events to the bus."""

    def publish(self, publication: Publication, grants: Grants, done: Done) -> None:
        """Publish, if that is granted.

        Args:
            done: called once: with the event's name when the bus has taken responsibility, with an error when it
                was not asked to or has not answered in time. Perhaps before this returns.
        """


_decode = msgspec.json.Decoder(Publication).decode
_encode = msgspec.json.Encoder().encode


def read_publication(body: bytes) -> Publication:
    """Read the body of a request.

    Raises:
        ClientError: `bad-request`; it is no JSON object, or not this one.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise _bad(f"the event is not understood: {str(error)[:200]}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(f"the body must be one JSON object: {str(error)[:200]}") from error


def checked_topic(text: str) -> Topic:
    """See that a text is the topic of one event, in the one way it can be written.

    That way is `message.topic_word` of each word: lower case, with what AMQP or a reader would stumble over
    percent-encoded. Were others let pass, the same room could have two names.

    Raises:
        ClientError: `bad-topic`; the sentence says how to write it.
    """
    size = len(text.encode())
    if size > TOPIC_LIMIT:
        raise _bad_topic(text, f"has {size} bytes; {TOPIC_LIMIT} are allowed")
    for word in text.split("."):
        if not word:
            raise _bad_topic(text, "has an empty word; write an absent one as `-`")
        if word in ("*", "#"):
            raise _bad_topic(
                text, f"has the wildcard `{word}`; an event has one topic, write `%2A` or `%23` for a word"
            )
        proper = topic_word(unquote(word))
        if word != proper:
            raise _bad_topic(text, f"has the word {word[:QUOTED_LIMIT]!r}, which is written {proper!r}")
    return Topic(text)


def source_of(subject: str) -> str:
    """The source of what a token's subject publishes; that of clients without one for the empty subject.

    Different subjects have different sources, and none has the anonymous one: an over-long subject is replaced by
    `~` and its SHA-256, and no other encodes to something with a `~` in it.
    """
    if not subject:
        return _SOURCE + ANONYMOUS
    name = quote(subject, safe="", errors="surrogatepass").replace("~", "%7E")
    if name == ANONYMOUS:
        name = f"%{ord(name[0]):02X}{name[1:]}"  # the same, https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.2
    if len(name) > NAME_LIMIT:
        name = "~" + hashlib.sha256(name.encode()).hexdigest()
    return _SOURCE + name


def granted(grants: Grants, topic: Topic) -> bool:
    """Whether somebody with these grants may publish on a topic; see the module's words on `RESERVED`."""
    first = topic.partition(".")[0]
    if first not in RESERVED:
        return grants.may_publish(topic)
    by_name = frozenset(pattern for pattern in grants.publish if pattern.partition(".")[0] == first)
    return bool(by_name) and bool(matcher(by_name)(topic))


def event_of(publication: Publication, grants: Grants, now: float, random_id: str) -> tuple[Published, Message]:
    """The event and its envelope.

    Args:
        now: seconds since the epoch.
        random_id: for a publication without an id.

    Raises:
        ClientError: `bad-topic`, `bad-request`, `too-long` or `forbidden`.
    """
    topic = checked_topic(publication.topic)
    if publication.id is not None and not _ID.fullmatch(publication.id):
        raise _bad(f"an event's id has 1 to {ID_LIMIT} characters: letters and digits of ASCII, and . _ : ~ @ + = -")
    if not granted(grants, topic):
        who = f"{grants.subject[:QUOTED_LIMIT]!r} has" if grants.subject else "without a token you have"
        raise ClientError("forbidden", f"{who} no grant to publish on {topic[:QUOTED_LIMIT]!r}")
    published = Published(publication.id or random_id, source_of(grants.subject))
    type_ = f"streamer.{topic.partition('.')[0]}"
    now_ms = int(now * 1000)
    return published, Message(
        exchange=EVENTS,
        topic=topic,
        body=_body(publication, published, type_, rfc3339(now_ms)),
        message_id=f"{published.source}#{published.id}",
        kind=type_,
        timestamp_ms=now_ms,
        content_type=CLOUDEVENT,
    )


def outcome(answer: Published | ClientError) -> str:
    """The label of `metrics.CLIENT_PUBLISHED`."""
    return "confirmed" if isinstance(answer, Published) else _OUTCOMES.get(answer.code, "refused")


def _body(publication: Publication, published: Published, type_: str, time: str) -> bytes:
    """The structured JSON form, with the attributes of `message.Event`, which knows no source but the configured."""
    if _depth(publication.data) > DEPTH_LIMIT:
        raise _bad(f"the data has more than {DEPTH_LIMIT} objects and lists in each other")
    attributes: dict[str, Any] = {"specversion": "1.0", "id": published.id, "source": published.source, "type": type_}
    attributes["time"] = time
    if publication.subject is not None:
        attributes["subject"] = publication.subject
    attributes |= {"topic": publication.topic, "received": time, "enriched": time}
    attributes |= {"datacontenttype": "application/json", "data": publication.data}
    body: bytes = _encode(attributes)
    if len(body) > EVENT_LIMIT:
        raise ClientError("too-long", f"the event has {len(body)} bytes; {EVENT_LIMIT} are allowed")
    return body


def _depth(data: Any) -> int:
    level, depth = [data], 0
    while level and depth <= DEPTH_LIMIT:
        depth += 1
        inside = (part.values() if isinstance(part, dict) else part for part in level)
        level = [child for children in inside for child in children if isinstance(child, dict | list)]
    return depth


def _bad(sentence: str) -> ClientError:
    return ClientError("bad-request", sentence)


def _bad_topic(topic: str, why: str) -> ClientError:
    return ClientError("bad-topic", f"the topic {topic[:QUOTED_LIMIT]!r} {why}")
