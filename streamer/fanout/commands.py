# -*- test-case-name: tests.unit.test_fanout_protocol -*-
"""Reads what clients of `relay.v1.json` say; what is wrong with a frame is said so that its author can mend it."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec

from streamer.errors import ClientError
from streamer.fanout.protocol import FRAME_IN_LIMIT, WRONG_LIMIT, Close, Command, Wish

_decode = msgspec.json.Decoder(Command).decode
_decode_loosely = msgspec.json.Decoder(list[Any]).decode
_POLICIES: tuple[str, ...] = get_args(get_type_hints(Wish)["policy"])


class Misread(ClientError):
    """A client's frame could not be understood; `n` is its number where that much could be read."""

    def __init__(self, error: ClientError, n: int | None) -> None:
        super().__init__(error.code, error.message, close=error.close, retry=error.retry)
        self.n = n


def read(text: str | bytes) -> Command:
    """Read a client's frame.

    Raises:
        Misread: it is none. Answer with `error_frame`; close where it says so.
    """
    size = len(text)
    if size > FRAME_IN_LIMIT:
        raise Misread(_closing(f"a frame of {size} bytes is too long; {FRAME_IN_LIMIT} are allowed"), None)
    try:
        command: Command = _decode(text)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _explained(text, wrong(error)) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Misread(_closing(f"a frame must be one JSON array: {error}"), None) from error
    return command


def wrong(error: Exception) -> str:
    """What msgspec found wrong with a wish, and the words to choose from where one of a few is wanted."""
    said = str(error)
    words = f"; policy is one of {', '.join(_POLICIES)}" if said.endswith(".policy`") else ""
    return said[:WRONG_LIMIT] + words


def _explained(text: str | bytes, why: str) -> Misread:
    """What is wrong with JSON that is no command, with the request's number if it has one."""
    try:
        items = _decode_loosely(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        items = []
    if not items or not isinstance(items[0], str):
        return Misread(_closing('a frame must be a JSON array that begins with a name, as ["ping",1]'), None)
    n = items[1] if len(items) > 1 and isinstance(items[1], int) and not isinstance(items[1], bool) else None
    name = items[0][:40]
    if name not in ("hello", "sub", "pub", "unsub", "ping", "refresh"):
        sentence = f"there is no frame {name!r}; a client can send hello, sub, pub, unsub, ping and refresh"
    else:
        sentence = f"the frame {name!r} is not understood: {why}"
    return Misread(ClientError("bad-request", sentence), n)


def _closing(sentence: str) -> ClientError:
    return ClientError("bad-request", sentence, close=Close.BAD_REQUEST)
