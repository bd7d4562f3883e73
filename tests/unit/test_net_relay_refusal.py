"""Answers to a websocket's handshake that say no."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.relay_refusal import END, HEAD_LIMIT, Answer, NoAnswer, read

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 19\r\n\r\nthe relay is full.\n"
)


def answer(data: bytes) -> Answer:
    """An answer whose head is there."""
    found = read(data)
    assert found is not None
    return found


class RefusalTests(SynchronousTestCase):
    """`read`."""

    def test_sentence(self) -> None:
        """A body of plain text is quoted, harmless; of another the status line's words; Retry-After is understood."""
        for data, expected in (
            (FULL, ("503 the relay is full.", 10.0)),
            (FULL.replace(b"full", b"\x1b[2J"), ("503 the relay is �[2J.", 10.0)),
            (FULL.replace(b"text/plain", b"text/html"), ("503 Service Unavailable", 10.0)),
            (b"HTTP/1.0 403 \r\n\r\n", ("403", None)),
            (b"HTTP/1.1 403\r\nContent-Type: text/plain\r\n\r\n", ("403", None)),
        ):
            with self.subTest(data=data):
                sentence, wait = answer(data).sentence(0.0)
                self.assertEqual((f"the server refuses the websocket: {expected[0]}", expected[1]), (sentence, wait))

    def test_whole(self) -> None:
        """A body is whole when its length is there, or more than is quoted."""
        self.assertTrue(answer(FULL).whole)
        self.assertFalse(answer(FULL[:-1]).whole)
        self.assertFalse(answer(b"HTTP/1.1 403 No\r\n\r\nx").whole)
        self.assertTrue(answer(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").whole)
        self.assertTrue(answer(b"HTTP/1.1 403 No\r\n\r\n" + b"x" * 2000).whole)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, len(FULL)))
    def test_any_beginning(self, cut: int) -> None:
        """Any beginning of an answer is either too little or the same answer."""
        found = read(FULL[:cut])
        self.assertEqual(END in FULL[:cut], found is not None)
        if found is not None:
            self.assertEqual((503, "10"), (found.status, found.header("retry-after")))

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=60))
    def test_nonsense(self, data: bytes) -> None:
        """What is no HTTP is no answer, as soon as that shows."""
        self.assertRaises(NoAnswer, read, b"\x00" + data)
        self.assertRaises(NoAnswer, read, b"HTTP/1.1 9" + data.replace(b"\r", b"") + END)
        self.assertRaises(NoAnswer, read, b"HTTP/1.1 200 OK\r\n" + b"x" * HEAD_LIMIT)
