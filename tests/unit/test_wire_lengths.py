"""Length framing: the counts are obeyed exactly, and disbelieved where they cannot be true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.errors import DecodeError
from streamer.interfaces import IFramer
from streamer.wire.lengths import COUNT_LIMIT, Lengths
from tests.unit.test_wire_lines import pieces

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tweets-v1" / "lines.json"

cuts_of = st.lists(st.integers(min_value=0), max_size=12)
keep_alives = st.sampled_from([b"", b"\n", b"\r\n", b"\r\n\n\r\n", b"  \r\n"])


def counted(frame: bytes) -> bytes:
    """The frame as Twitter sent it."""
    return b"%d\r\n%b\r\n" % (len(frame) + 2, frame)


def fed(framer: Lengths, parts: list[bytes]) -> list[bytes]:
    """All frames of all parts."""
    return [frame for part in parts for frame in framer.feed(part)]


def outcome(framer: Lengths, parts: list[bytes]) -> tuple[list[bytes], bool, int]:
    """The frames, whether the framer lost its place, and how many frames it skipped."""
    frames: list[bytes] = []
    lost = False
    for part in [*parts, b""]:
        try:
            frames += framer.feed(part)
        except DecodeError:
            lost = True
    return frames, lost, framer.skipped


class LengthsTests(SynchronousTestCase):
    """What `Lengths` promises."""

    def test_interface(self) -> None:
        """It is a framer."""
        verifyObject(IFramer, Lengths())

    def test_frames_and_keep_alives(self) -> None:
        """The line end that a count includes is not part of the frame; blank lines before a count are no frames."""
        self.assertEqual([b"{}", b"[1]", b"x"], Lengths().feed(b"\r\n\n4\r\n{}\r\n\r\n5\n[1]\r\n1\nx"))

    def test_the_count_rules(self) -> None:
        """Newlines inside a frame do not end it, and digits inside it are no count."""
        frames = [b'{\r\n5\r\n"a"}', b"12", b"\r\n4\r\n{}\r\n"]
        self.assertEqual(frames, Lengths().feed(b"".join(map(counted, frames))))

    def test_a_count_without_the_line_end(self) -> None:
        """Where a count leaves the line end out, that is one more blank line."""
        self.assertEqual([b"{}", b"[]"], Lengths().feed(b"2\r\n{}\r\n2\r\n[]\r\n"))

    def test_empty_frames(self) -> None:
        """A counted blank line is a keep-alive, as is a frame of no bytes; neither loses the place."""
        framer = Lengths()
        self.assertEqual([b"{}"], framer.feed(b"2\r\n\r\n0\r\n\r\n000\n4\r\n{}\r\n"))
        self.assertEqual(0, framer.skipped)

    def test_limit(self) -> None:
        """A frame at the limit passes; of a longer one exactly its bytes are skipped, and it is counted."""
        framer = Lengths(limit=5)
        data = counted(b"12345") + counted(b"123456") + b"6\n123456" + b"7\n9\n9\n9\n9" + counted(b"ok")
        self.assertEqual([b"12345", b"ok"], framer.feed(data))
        self.assertEqual(3, framer.skipped)

    def test_skipped_bytes_are_not_kept(self) -> None:
        """A frame over the limit takes no memory while it passes."""
        framer = Lengths(limit=10)
        framer.feed(b"100000\n")
        for _ in range(1000):
            self.assertEqual([], framer.feed(b"7\n" * 50))
            self.assertEqual([], framer._parts)
        self.assertEqual([b"ok"], framer.feed(b"2\nok"))
        self.assertEqual(1, framer.skipped)

    def test_not_a_count(self) -> None:
        """What cannot be a length loses the place for good: the sentence shows it, and every later feed raises it."""
        for line in (b"{}", b"-5", b"+5", b"5.0", b"0x10", b"1 2", "٥".encode(), b"1" * (COUNT_LIMIT + 1)):
            framer = Lengths()
            with self.assertRaises(DecodeError) as caught:
                framer.feed(line + b"\r\n{}\r\n")
            self.assertIn(repr(line)[2:-1], str(caught.exception))
            self.assertRaises(DecodeError, framer.feed, counted(b"{}"))

    def test_the_longest_count(self) -> None:
        """A count of as many characters as are allowed is one, also where it comes without its line end at first."""
        count = b"4".rjust(COUNT_LIMIT, b"0")
        for cut in (COUNT_LIMIT - 1, COUNT_LIMIT, COUNT_LIMIT + 1):
            data = count + b"\r\n{}\r\n"
            self.assertEqual([b"{}"], fed(Lengths(), [data[:cut], data[cut:]]))

    def test_a_loss_keeps_no_more_than_a_sample(self) -> None:
        """A long line where a count should be is not kept, nor what comes after it."""
        framer = Lengths()
        for _ in range(3):
            self.assertRaises(DecodeError, framer.feed, b"x" * 100_000 + b"\n")
        self.assertEqual(b"x" * (COUNT_LIMIT + 2), framer.finish())

    def test_an_endless_count(self) -> None:
        """A count that does not end is refused as soon as it is too long, and not kept."""
        for byte in (b"1", b"\r", b" "):
            framer = Lengths()
            with self.assertRaises(DecodeError):
                for _ in range(COUNT_LIMIT + 2):
                    framer.feed(byte)
            self.assertLessEqual(len(framer.finish()), COUNT_LIMIT + 2)

    def test_frames_before_the_loss(self) -> None:
        """Frames that were complete when the place was lost are delivered; the next feed raises."""
        framer = Lengths()
        self.assertEqual([b"{}"], framer.feed(counted(b"{}") + b"oops\r\n"))
        self.assertRaises(DecodeError, framer.feed, b"")

    def test_finish(self) -> None:
        """The end of the stream is an event: an unfinished frame is told, its count first, and never passed on."""
        for sent in (b"1", b"12\r\n", b"12\r\n{", b"12\r\n{\r\n"):
            framer = Lengths()
            self.assertEqual([b"[]"], framer.feed(counted(b"[]") + sent))
            self.assertEqual(sent, framer.finish())
            self.assertEqual(b"", framer.finish())

    def test_finish_between_frames(self) -> None:
        """Half a keep-alive is nothing unfinished, and what was skipped has been counted already."""
        framer = Lengths(limit=5)
        framer.feed(counted(b"{}") + b"\r")
        self.assertEqual(b"", framer.finish())
        framer.feed(b"50\r\n12345")
        self.assertEqual(b"", framer.finish())
        self.assertEqual(1, framer.skipped)

    def test_cost_is_linear(self) -> None:
        """A large frame that comes in small pieces is joined once: as many bytes are kept as came."""
        framer = Lengths(limit=1_000_000)
        framer.feed(b"100000\n")
        for _ in range(99_999):
            framer.feed(b"x")
        self.assertEqual(99_999, len(framer._parts))
        self.assertEqual([b"x" * 100_000], framer.feed(b"x"))

    @given(st.lists(st.tuples(keep_alives, st.binary(max_size=30))), cuts_of)
    def test_any_split(self, sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
        """However the bytes are cut, every frame up to the limit comes out as it was sent; the others are counted."""
        data = b"".join(blank + counted(frame) for blank, frame in sent)
        framer = Lengths(limit=12)
        expected = [frame for _, frame in sent if len(frame) <= 12 and frame.strip()]
        self.assertEqual(expected, fed(framer, pieces(data, cuts)))
        self.assertEqual(sum(len(frame) > 12 for _, frame in sent), framer.skipped)
        self.assertEqual(b"", framer.finish())

    @given(st.lists(st.sampled_from([b"1", b"2", b"30", b"\r", b"\n", b" ", b"x", b"-", b"{}"]), max_size=40), cuts_of)
    @example([b"2", b"\n", b"{}"] + [b"1"] * 10 + [b"\r", b"\n"], [14])
    def test_any_split_of_anything(self, parts: list[bytes], cuts: list[int]) -> None:
        """Also where the stream is nonsense, the frames, the loss of the place and the rest do not depend on cuts."""
        data = b"".join(parts)
        whole, cut = Lengths(limit=5), Lengths(limit=5)
        self.assertEqual(outcome(whole, [data]), outcome(cut, pieces(data, cuts)))
        self.assertEqual(bool(whole.finish()), bool(cut.finish()))


@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
@given(cuts=st.lists(st.integers(min_value=0), max_size=40))
def test_any_split_of_recorded_tweets(cuts: list[int]) -> None:
    """Recorded tweets, sent with their lengths, come out as they were however the bytes are cut."""
    lines = [line.strip() for line in RECORDED.read_bytes().split(b"\n") if line.strip()]
    data = b"\r\n".join(map(counted, lines))
    frames = fed(Lengths(), pieces(data, cuts))
    assert frames == lines
    assert all(json.loads(frame) for frame in frames)
