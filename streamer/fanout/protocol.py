# -*- test-case-name: tests.unit.test_fanout_protocol -*-
"""The words of `relay.v1.json`, from which alone one can write a client.

**Connecting.** Open a websocket at `/ws`, offering the subprotocol `relay.v1.json` (others may be offered beside it).
A browser's origin must be one that the relay's operator has listed; programs send none. Every message, either way, is
one text frame with one JSON array whose first item names it. A client's frame has at most `FRAME_IN_LIMIT` bytes. Do
not send binary frames. Ignore frames from the server whose name you do not know, and object keys you do not know.

**What a client says.** `n` is a number of yours (0 to 2^53); the answer repeats it.

    ["hello", {"token": JWT?, "resume": POSITION?}]
        May be left out. Only before the first `sub`. `resume` is the last POSITION of an earlier connection: the
        subscriptions made in the next `RESUME_WINDOW` seconds begin there, unless they name a `since` or a `last`.
        `token`: see "tokens" below.
    ["sub", n, {"id": ID, "topics": [PATTERN, …], "last": N?, "since": POSITION|AGO?, "policy": POLICY?}]
        ID is yours, 1 to `ID_LIMIT` characters, not in use on this connection. A PATTERN is an AMQP topic pattern, `*`
        for one word and `#` for any number of words, matched against the `topic` of events. `last` asks for the N most
        recent matching events (at most `LAST_LIMIT`; fewer where they are rare), `since` for all after a position, or
        for all that came to the relay within the time AGO, a text such as "300s", "5m" or "2h" of 24 h at most (to
        within some seconds; what it read when it started counts by the events' time stamps); with both, `last` is
        what you get when `since` cannot be served. With neither, events begin now. `policy`: see "slow" below.
    ["pub", n, {"topic": TOPIC, "data": {…}, "id": EVENT_ID?, "subject": TEXT?}]
        Publishes an event where that is granted. TOPIC has no wildcards and is written as those of the events you get.
        EVENT_ID is yours, 1 to 128 of `A-Za-z0-9._:~@+=-`; events with the same one count as one. The source is
        `/clients/…`, the type `streamer.` and the first word; words of `publishing.RESERVED` must be granted by name.
    ["refresh", n, JWT]
        A new token in place of the one there is, before that ends.
    ["unsub", n, ID]          ["ping", n]

**What the server says.**

    ["welcome", {"session", "position", "heartbeat", "limits", "expires"?, "recovered"?, "reason"?, "oldest"?}]
        Always the first frame: the answer to `hello`, else sent before the answer to your first frame, else after
        a second of silence; who has said nothing `HELLO_WITHIN` seconds after connecting is closed. `heartbeat` is in
        seconds. `expires`, only with a token, is when that ends, in seconds since the epoch by the relay's clock. The
        last three only when you sent `resume`.
    ["subd", n, {"id", "position", "recovered", "replayed", "reason"?, "oldest"?}]
        Subscribed. `replayed` events from before this moment follow because of it, exactly, then live ones.
        `recovered` is false where the position you named (here or in `hello`) could not be served; then `reason` is
        `expired` (it is older than what the relay remembers) or `unknown` (it is of no log this relay reads), what you
        asked for begins with `last` or now, and `oldest` is the oldest position you may still subscribe `since`.
        Where not all is there that came within the AGO you named that is `expired`, too, and begins with `last` or
        at `oldest`.
    ["ev", POSITION, [EVENT, …]]
        Events, each a CloudEvent. They do not name subscriptions: route each by its `topic`. An event that several of
        your subscriptions match comes once.
    ["pos", POSITION]         Nothing was missed up to here. At least every `heartbeat` seconds when no `ev` is sent.
    ["lag", {"skipped": N, "from": POSITION, "to": POSITION, "why": "slow"|"conflated"}]
        You read too slowly: N events you had asked for have left the relay's memory, or were not the newest of their
        topic ("conflated").
    ["pubd", n, {"id", "source"}]
        The log has your event. Where an `err` says `unavailable` instead, it may: repeat it with the same EVENT_ID.
    ["refreshed", n, {"expires"?}]
        The new token counts. For each subscription that it does not grant, an `err` with the code `forbidden` and an
        `unsubd` follow, both with the same n: it has ended.
    ["unsubd", n, {"id"}]     ["pong", n]
    ["err", n, {"code", "message", "retry"}]
        Your frame n was not served (n is null where it could not be read). `message` is for you, not for your users.
    ["draining", {"in_ms"}]   The relay is about to stop: reconnect after so many milliseconds.

**Tokens.** What you may read and publish without one is up to the relay's operator; mostly it is to read everything.
A token is a JSON Web Token (https://www.rfc-editor.org/rfc/rfc7519) of at most 8192 characters with `exp`, and the
claim `streamer`: `{"read": [PATTERN, …], "publish": [PATTERN, …]}`, at most 50 of each, which are granted to you
besides. Show it once: as the item `relay.bearer.JWT` among the subprotocols you offer (it is never echoed), as
`Authorization: Bearer JWT`, or in `hello`. In the handshake a bad one is answered by HTTP 401 with a sentence, in
`hello` by closing with 4001. Where the relay does not know its key yet, that is 503 and 4200: try again.
A `sub` is served if each of its patterns lies within one granted pattern, that is if no topic could match it that
the other does not match; else it is answered by `err` with the code `forbidden`. When your token ends the connection
is closed with 4001; `refresh` it before. A bad token in `refresh` is answered by `err` with the code `token`, and the
one there was goes on. A relay without keys ignores tokens.

**Positions** are opaque, and valid on every relay that reads the same log. Keep the last one you were told, in
whatever frame it came, and name it as `resume` when you reconnect: you will miss nothing, and be sent again only what
you had not been told of. Until everything that you asked for with a position is answered (`subd`), keep that position
instead: what you are told meanwhile is of other subscriptions. While history is sent beside a live subscription,
positions go back; a `pos` restores them.

A position that is ahead of the relay may be of an event on its way there: the `subd` then waits for `AHEAD_GRACE`
seconds or somewhat more, while other frames are answered; and `welcome` says nothing of it. One that has left the
relay's memory is read from the log again: then the `subd` waits for ten seconds at most. What is no longer in the log,
or more than the relay reads again, is `expired`; a position of another log is `unknown`.

**Deletions.** An event of the type `streamer.delete` says that a post is gone, and is sent to every subscription
whatever its patterns, for whoever holds the post must drop it. `replayed` counts it, the N of `last` does not: it gets
N matching events and the deletions among and after them. Events of the post that the relay remembers are replaced by
the deletion, which therefore can come more than once; drop repeats by `source` and `id`.

So is one of the type `streamer.scrub`, which takes locations back: forget those you hold of the author `data.author`
(an id), for all posts up to and with `data.up_to` (an id; ids are compared as numbers), also where such a post comes
later. Remembered events of the type `streamer.geo` are replaced by it, and posts are remembered without their `geo`.

**Order.** Live events come in the order of the log. History that a new subscription asks for comes in the order of the
log too, before newer live ones; events that other subscriptions of the connection brought already are left out of it.
Unsubscribing forgets that; asking for history again sends it again.

**Slow.** Nothing is queued for you: the relay remembers where you are, and its memory has an end. With the policy
`skip` (the default) you are told by `lag` and go on with what is newest; when any of your subscriptions is `strict`,
the connection is closed with 4108 instead, and nothing is left out in between. With `conflate` you are given, whenever
more than a hundred events wait for you, only the newest of each topic, unless another of your subscriptions wants them
all; history that you asked for is not conflated. Whatever the policy, a connection that takes
no bytes at all, or answers no websocket ping, is closed.

**Too fast.** Pings, pongs, and each websocket frame of a message after its first, count as frames. You have
`COMMAND_BURST` frames, and gain `COMMAND_RATE` each second; beyond that, 4129. Beside that, `sub` and `unsub` are
charged for the work they make, to the connection and to its address: searching `WORK_UNIT` remembered events costs as
much as one more frame. Your balance may fall below nothing by that; until it has recovered they are answered by `err`
with the code `rate` and `retry`. A connection has at most `SUBSCRIPTIONS_LIMIT` subscriptions and `PATTERNS_LIMIT`
patterns; of one subscription's, at most `topics.SEARCHING_LIMIT` have a `#` before their end. `pub` has a rate of its
own, `PUBLISH_RATE` after `PUBLISH_BURST`, and at most `PENDING_LIMIT` may wait for their answers: `err` beyond that.

**Close codes.** 40xx, and 1009 for a frame that is too long: final, do not reconnect. 41xx: reconnect, backing off.
42xx and 1012: reconnect after a random wait of up to some seconds. See `Close`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streamer.errors import ClientError
from streamer.fanout.arrivals import AGO_LIMIT, ago
from streamer.fanout.publishing import Publication

SUBPROTOCOL = "relay.v1.json"

FRAME_IN_LIMIT = 16_384  # bytes of one frame, and of one message, from a client
SUBSCRIPTIONS_LIMIT = 50  # of one connection
ID_LIMIT = 64  # characters of a subscription's id
LAST_LIMIT = 500  # events that `last` can ask for
TOPICS_IN_LIMIT = 20  # patterns of one subscription
COMMAND_RATE = 10.0  # frames a second
COMMAND_BURST = 50.0  # frames
PATTERNS_LIMIT = 100  # patterns of one connection
WORDS_LIMIT = 500  # words of all of them
PUBLISH_RATE = 5.0  # events a second
PUBLISH_BURST = 20.0  # events
PENDING_LIMIT = 16  # events of one connection that wait for their answer, or whose answer waits to be sent
WORK_UNIT = 10_000  # entries searched, that cost as much as a frame
AHEAD_GRACE = 2.0  # seconds in which a position that the relay has not read yet may still turn up
RESUME_WINDOW = 30.0  # seconds after `hello` in which subscriptions begin at `resume`
HELLO_WAIT = 1.0  # seconds of silence after which `welcome` is sent unasked
HELLO_WITHIN = 10.0  # seconds of silence after which who never said anything is closed
WRONG_LIMIT = 200  # characters of an explanation that quotes what a client sent


class Close(enum.IntEnum):
    """Websocket close codes; https://www.rfc-editor.org/rfc/rfc6455#section-7.4 leaves 4000 to 4999 to us."""

    BAD_REQUEST = 4000  # what you sent is no frame of this protocol
    TOKEN = 4001  # your token is wrong or has expired
    FORBIDDEN = 4003
    LIMIT = 4009  # you asked for more than one connection may have
    VERSION = 4010  # you speak a version we do not
    SLOW = 4108  # a strict subscription could not be kept, or you take no bytes
    RATE = 4129  # too many frames
    STATE_LOST = 4200  # we forgot you; reconnect
    TOO_LONG = 1009  # your frame is longer than FRAME_IN_LIMIT; final
    RESTARTING = 1012  # the relay restarts; reconnect


Number = Annotated[int, Meta(ge=0, le=2**53)]
Id = Annotated[str, Meta(min_length=1, max_length=ID_LIMIT)]
Position = Annotated[str, Meta(max_length=64)]
Token = Annotated[str, Meta(max_length=8192)]


class Greeting(msgspec.Struct, frozen=True):
    """What `hello` carries; unknown keys are ignored, for a greeting promises nothing."""

    token: Token | None = None
    resume: Position | None = None


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `sub` carries; an unknown key is refused, for it may be a filter we would silently not apply."""

    id: Id
    topics: Annotated[tuple[str, ...], Meta(min_length=1, max_length=TOPICS_IN_LIMIT)]
    last: Annotated[int, Meta(ge=0, le=LAST_LIMIT)] | None = None
    since: Position | None = None  # or `arrivals.ago`
    policy: Literal["skip", "strict", "conflate"] = "skip"

    def __post_init__(self) -> None:
        if self.since is not None and (ago(self.since) or 0.0) > AGO_LIMIT:
            raise ValueError(f"`since` reaches back {AGO_LIMIT / 3600:g} h at most; longer ago there are positions")


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello", forbid_unknown_fields=True):
    """`["hello", {…}]`"""

    greeting: Greeting = Greeting()


class Sub(msgspec.Struct, frozen=True, array_like=True, tag="sub", forbid_unknown_fields=True):
    """`["sub", n, {…}]`"""

    n: Number
    wish: Wish


class Pub(msgspec.Struct, frozen=True, array_like=True, tag="pub", forbid_unknown_fields=True):
    """`["pub", n, {…}]`"""

    n: Number
    publication: Publication


class Unsub(msgspec.Struct, frozen=True, array_like=True, tag="unsub", forbid_unknown_fields=True):
    """`["unsub", n, ID]`"""

    n: Number
    id: Id


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping", forbid_unknown_fields=True):
    """`["ping", n]`"""

    n: Number


class Refresh(msgspec.Struct, frozen=True, array_like=True, tag="refresh", forbid_unknown_fields=True):
    """`["refresh", n, JWT]`"""

    n: Number
    token: Token


Command = Hello | Sub | Pub | Unsub | Ping | Refresh

_encode = msgspec.json.Encoder().encode


def events_payload(position: str, events: Sequence[bytes]) -> bytes:
    """`["ev", POSITION, [event, …]]`, the events' JSON spliced in as it is."""
    return b'["ev","%b",[%b]]' % (position.encode(), b",".join(events))


def position_payload(position: str) -> bytes:
    """`["pos", POSITION]`"""
    return b'["pos","%b"]' % position.encode()


def payload(name: str, *arguments: Any) -> bytes:
    """Any other frame of the server's."""
    return _encode([name, *arguments])


def error_payload(n: int | None, error: ClientError) -> bytes:
    """`["err", n, {…}]`"""
    return payload("err", n, {"code": error.code, "message": error.message, "retry": error.retry})


def limits() -> dict[str, int | float]:
    """What `welcome` tells about limits."""
    return {
        "frame_bytes": FRAME_IN_LIMIT,
        "subscriptions": SUBSCRIPTIONS_LIMIT,
        "topics": TOPICS_IN_LIMIT,
        "patterns": PATTERNS_LIMIT,
        "words": WORDS_LIMIT,
        "last": LAST_LIMIT,
        "publish_pending": PENDING_LIMIT,
        "publish_per_second": PUBLISH_RATE,
        "commands_per_second": COMMAND_RATE,
        "commands_burst": COMMAND_BURST,
    }
