# -*- test-case-name: tests.unit.test_net_relay_refusal -*-
"""An HTTP answer to a websocket's handshake that says no: its status, when to come back, and its sentence.

Autobahn drops such a connection with the status line alone; our relay, and the proxies before it, say more in a body.
"""

from __future__ import annotations

import re

import attrs

from streamer.policy.backoff import retry_after
from streamer.upstream import brief

HEAD_LIMIT = 16_384  # bytes
SENTENCE_LIMIT = 2_000  # bytes of the body that are read
END = b"\r\n\r\n"
ACCEPTED = 101

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")


class NoAnswer(ValueError):
    """What came is no HTTP answer; hang up."""


@attrs.frozen
class Answer:
    """The beginning of an answer.

    Args:
        head: status line and headers, in bytes.
        rest: what came after them.
    """

    status: int
    reason: str
    head: bytes
    rest: bytes

    def header(self, name: str) -> str | None:
        """A header's value, the last one where there are several; None without one."""
        value = None
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, colon, written = line.partition(":")
            if colon and key.strip().lower() == name:
                value = written.strip()
        return value

    @property
    def whole(self) -> bool:
        """Whether enough of the body came to quote it."""
        length = self.header("content-length")
        expected = int(length) if length is not None and length.isascii() and length.isdecimal() else SENTENCE_LIMIT
        return len(self.rest) >= min(expected, SENTENCE_LIMIT)

    def sentence(self, now: float) -> tuple[str, float | None]:
        """For people, and the seconds after which to come back, where the server said so."""
        kind = (self.header("content-type") or "").lower()
        text = ""
        if kind.startswith("text/plain") and self.header("content-encoding") is None:
            text = brief(self.rest[:SENTENCE_LIMIT].decode(errors="replace"))
        said = f"{self.status} {text or brief(self.reason)}".strip()
        return f"the server refuses the websocket: {said}", retry_after(self.header("retry-after"), now)


def read(data: bytes) -> Answer | None:
    """Read the beginning of an answer; None where its head is not yet there.

    Raises:
        NoAnswer: it is no HTTP/1 answer, or its head is too long.
    """
    head, end, rest = data.partition(END)
    if len(head) > HEAD_LIMIT:
        raise NoAnswer(f"the headers of the answer are longer than {HEAD_LIMIT} bytes")
    if not data.startswith(b"HTTP/1."[: len(data)]):
        raise NoAnswer("what answers there is no web server")
    if not end:
        return None
    match = _STATUS.match(head + end)
    if match is None:
        raise NoAnswer("what answers there is no web server")
    return Answer(int(match[1]), (match[2] or b"").decode("latin-1"), head, rest)
