"""Newline framing: any split of the bytes yields the same frames."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.interfaces import IFramer
from streamer.wire.lines import Lines

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tweets-v2" / "real-filtered-stream.jsonl"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at the given places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def fed(framer: Lines, parts: list[bytes]) -> list[bytes]:
    """All frames of all parts."""
    return [frame for part in parts for frame in framer.feed(part)]


class LinesTests(SynchronousTestCase):
    """What `Lines` promises."""

    def test_interface(self) -> None:
        """It is a framer."""
        verifyObject(IFramer, Lines())

    def test_frames_and_keep_alives(self) -> None:
        """Line ends are CR LF or LF; blank lines are keep-alives and no frames."""
        self.assertEqual([b"a", b"b", b"c d"], Lines().feed(b"a\r\n\r\nb\n\n \r\nc d\r\n"))

    def test_cr_and_lf_in_two_pieces(self) -> None:
        """A CR that waits for its LF is not part of the frame."""
        framer = Lines()
        self.assertEqual([], framer.feed(b"a\r"))
        self.assertEqual([b"a"], framer.feed(b"\n"))

    def test_finish(self) -> None:
        """An upstream may end in the middle of a frame; the rest is told and forgotten."""
        framer = Lines()
        framer.feed(b"a\nhalf")
        self.assertEqual(b"half", framer.finish())
        self.assertEqual(b"", framer.finish())

    def test_limit(self) -> None:
        """A frame at the limit passes, a longer one is skipped and counted, and the next one is whole."""
        framer = Lines(limit=5)
        self.assertEqual([b"12345"], framer.feed(b"12345\r\n"))
        self.assertEqual([b"ok"], framer.feed(b"123456\r\nok\n"))
        self.assertEqual(1, framer.skipped)

    def test_limit_holds_while_the_frame_grows(self) -> None:
        """An endless line is not kept in memory, and counts once."""
        framer = Lines(limit=10)
        for _ in range(1000):
            self.assertEqual([], framer.feed(b"x" * 100))
            self.assertLess(sum(map(len, framer._parts)), 100)
        self.assertEqual([b"y"], framer.feed(b"\ny\n"))
        self.assertEqual(1, framer.skipped)

    def test_cost_is_linear(self) -> None:
        """A frame that comes a byte at a time is joined once, not at every byte."""
        framer = Lines()
        for _ in range(10_000):
            framer.feed(b"x")
        self.assertEqual([b"x" * 10_000], framer.feed(b"\n"))

    @given(
        st.lists(
            st.sampled_from([b"\n", b"\r", b"\r\n", b"\r\n\r\n", b" ", b"{}", b"12345", b"\xc2\x85"]), max_size=30
        ),
        st.lists(st.integers(min_value=0), max_size=12),
    )
    def test_any_mixture_of_line_ends(self, parts: list[bytes], cuts: list[int]) -> None:
        """Every line up to the limit that is not blank is a frame, whole, without one CR; the longer are counted."""
        data = b"".join(parts)
        *lines, rest = [line.removesuffix(b"\r") for line in data.split(b"\n")]
        framer = Lines(limit=6)
        frames = fed(framer, pieces(data, cuts))
        self.assertEqual([line for line in lines if line.strip() and len(line) <= 6], frames)
        self.assertEqual(
            sum(len(line) > 6 for line in lines) + (framer.finish() == b"" and len(rest) > 6), framer.skipped
        )

    @given(st.lists(st.binary(max_size=30)), st.lists(st.integers(min_value=0), max_size=12))
    def test_any_split(self, lines: list[bytes], cuts: list[int]) -> None:
        """However the bytes are cut, the frames, the count and the rest are the same, under a limit too."""
        data = b"\r\n".join(lines)
        whole, cut = Lines(limit=12), Lines(limit=12)
        self.assertEqual(whole.feed(data), fed(cut, pieces(data, cuts)))
        self.assertEqual(whole.finish(), cut.finish())
        self.assertEqual(whole.skipped, cut.skipped)


@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
@given(cuts=st.lists(st.integers(min_value=0), max_size=40))
def test_any_split_of_recorded_bytes(cuts: list[int]) -> None:
    """A stream that was recorded from X yields the same objects however its bytes are cut."""
    lines = RECORDED.read_bytes().splitlines()
    data = b"\r\n\r\n".join(lines) + b"\r\n"
    frames = fed(Lines(), pieces(data, cuts))
    assert frames == lines
    assert all(json.loads(frame)["data"]["id"] for frame in frames)
