# -*- test-case-name: tests.unit.test_net_poller -*-
"""What a source may ask for in place of one HTTP stream (`upstream.Request`): values, which an adapter carries out.

| value    | what it is                                            | carried out by |
|----------|-------------------------------------------------------|----------------|
| `Dial`   | a websocket, at the first host that answers           | `net.dialer`   |
| `Poll`   | requests again and again, as a generator              | `net.poller`   |
| `Listen` | requests that others make to us                       | `net.hooks`    |
| `Play`   | a recording                                           | `net.player`   |

Their frames come whole, so their sources use the framer `wire.whole.Whole`. Whatever ends one of them is an `Ending`
like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from streamer.upstream import Ending, Request, Response


@attrs.frozen
class Dial:
    """A websocket to open. Each message, text or binary, is a frame.

    Its closing is told to `ISource.refusal` as a response with the close code as its status (1000 to 4999) and the
    reason as its body; a refused handshake as the HTTP answer that it was.

    Args:
        urls: absolute, `ws` or `wss`; the first is asked first, the next one where it cannot be reached.
        headers: of the handshake.
        protocols: subprotocols to offer.
        hello: text messages to send as soon as it is open.
        deflate: offer permessage-deflate.
        replays_from: as in `Request`.
    """

    urls: Sequence[str]
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    protocols: Sequence[str] = ()
    hello: Sequence[str] = attrs.field(default=(), repr=False)
    deflate: bool = False
    replays_from: int | None = None


class Wait(msgspec.Struct, frozen=True):
    """A poll's pause.

    Args:
        seconds: at least.
        spread: by which share of it the pause may be longer, so that many polls do not march in step.
    """

    seconds: float
    spread: float = 0.1


class Page(msgspec.Struct, frozen=True):
    """Frames that a poll found, in the order they happened; empty where there is nothing new.

    A frame is bytes, or a word such as `upstream.Mark` that the source's `outcomes` hands on as it is.
    """

    frames: tuple[Any, ...] = ()


# Yields what is to be done; is sent the answer to a `Request`, None after the others. A request that fails is thrown
# into it. A page, empty or not, says that all up to now is there; an answer alone does not. Returns why it is over.
Polling = Generator[Request | Wait | Page, Response | None, Ending]


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that somebody made to a hook.

    Args:
        query: as it stands in the URL, without the question mark.
        headers: names in lower case; of a repeated one the last.
        received: seconds since the epoch.
        address: of the peer, for the log.
    """

    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    received: float
    address: str = ""

    def __len__(self) -> int:
        return len(self.body)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to whoever called a hook.

    Args:
        wake: a `Poll` that waits is to go on now.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    wake: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Frames from a hook; the reply is given once the bus has them, else the caller is asked to come again."""

    frames: tuple[Any, ...]
    reply: Reply


@attrs.frozen
class Hook:
    """An address that others call.

    Args:
        path: below the hooks' endpoint, without a slash at its beginning.
        answer: what to do about a request; does no I/O.
        body_limit: bytes; a longer one is refused with 413.
        methods: others are refused with 405.
    """

    path: str
    answer: Callable[[Posted], Reply | Taken]
    body_limit: int = 1_000_000
    methods: tuple[str, ...] = ("POST",)


@attrs.frozen
class Poll:
    """Polls, for as long as the generator goes on.

    Args:
        steps: makes the generator; state that is to outlive it belongs into the cursor, by `upstream.Mark`.
        replays_from: as in `Request`; a poll that sees by itself what it missed, and says so by `upstream.Missed`,
            gives a time before that of `Resume`.
        hook: open for as long as the polls go on.
    """

    steps: Callable[[], Polling]
    replays_from: int | None = None
    hook: Hook | None = None


@attrs.frozen
class Listen:
    """A hook alone."""

    hook: Hook
    replays_from: int | None = None


@attrs.frozen
class Play:
    """A recording to be played.

    Args:
        path: of the file.
        speed: times its own; None as fast as it is taken.
        rate: items a second, instead of its own times.
        loop: begin again at the end, for ever.
        skip: lines at the beginning that are safe already.
        round: how often it was played to its end before.
        check: what `wire.recording.check_of` says to the last one that is safe; a file that has another there has
            changed, and is played from its beginning. Empty where there was no item.
        choose: which of the recorded sources (name to type) that the first header names to play; others may be named
            further down. ValueError says why it cannot. None plays all.
    """

    path: str
    speed: float | None = 1.0
    rate: float | None = None
    loop: bool = False
    skip: int = 0
    round: int = 0
    check: str = ""
    choose: Callable[[Mapping[str, str]], Collection[str] | None] | None = None
    replays_from: int | None = None


Ask = Request | Dial | Poll | Listen | Play
