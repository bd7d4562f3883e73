# -*- test-case-name: tests.unit.test_testing_x_stream -*-
"""What a client and a simulated upstream agreed on when a stream was opened, and how that upstream takes its leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from streamer.testing.faults import Farewell
from streamer.testing.history import Line

LINE_END = b"\r\n"


def by_line(data: bytes) -> bytes:
    """A message and its line end."""
    return data + LINE_END


def by_length(data: bytes) -> bytes:
    """A message with its length before it, the line end counted, as `delimited=length` asks for."""
    return b"%d%b%b%b" % (len(data) + len(LINE_END), LINE_END, data, LINE_END)


@attrs.frozen
class Terms:
    """One stream as its client asked for it.

    Args:
        stream: its name, partition or account and all; connections of one name are counted together.
        cursor: number of the line to begin with.
        until: number of the line to end before; None goes on for ever.
        choose: what this client gets of a line or in its place, None for nothing; without it, all of each.
        framed: puts a message between others.
        warning: what to say to a reader that is so many percent of its limit behind; None where nothing is said.
        last_words: said before the stream ends at `until`.
        limited: how many posts it asked for and did not get, so far.
        most: how many of this stream there may be, one more being refused; None leaves that to `Connections`.
    """

    stream: str
    cursor: int
    until: int | None = None
    choose: Callable[[Line], Line | None] | None = None
    framed: Callable[[bytes], bytes] = by_line
    warning: Callable[[int], bytes] | None = None
    last_words: Farewell | None = None
    limited: Callable[[], int] = int
    most: int | None = None


@attrs.frozen
class Manners:
    """How an upstream hangs up.

    Args:
        say: puts one of its own farewells into its words.
        replaced: the one for a connection that has to make room for a new one.
        slow: the one for a reader that is too far behind.
        content_type: of a stream.
        greeting: what each stream begins with.
        beat: what is written after silence, so that it is known that the stream lives.
    """

    say: Callable[[Any], bytes]
    replaced: Farewell
    slow: Farewell
    content_type: str = "application/json; charset=utf-8"
    greeting: bytes = b""
    beat: bytes = LINE_END
