"""Frames and buckets."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.bucket import Bucket
from streamer.fanout.framing import header, text_frame


class FramingTests(SynchronousTestCase):
    """`header` and `text_frame`, by RFC 6455 §5.2."""

    def test_lengths(self) -> None:
        """The shortest of the three forms of a length is used."""
        self.assertEqual(text_frame(b"Hello"), b"\x81\x05Hello")  # the example of §5.7
        self.assertEqual(header(125), b"\x81\x7d")
        self.assertEqual(header(126), b"\x81\x7e\x00\x7e")
        self.assertEqual(header(65535), b"\x81\x7e\xff\xff")
        self.assertEqual(header(65536), b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")


class BucketTests(SynchronousTestCase):
    """`Bucket`."""

    @given(st.lists(st.floats(0, 3), max_size=100))
    def test_never_more(self, pauses: list[float]) -> None:
        """However the requests are spaced, no more pass than the burst and what was gained since."""
        bucket, now, passed = Bucket(2, 5, 100.0), 100.0, 0
        for pause in pauses:
            now += pause
            passed += bucket.take(now)
            self.assertLessEqual(passed, 5 + (now - 100.0) * 2 + 1e-6)

    def test_clock_set_back(self) -> None:
        """A clock that is set back gives nothing away and takes nothing."""
        bucket = Bucket(1, 1, 100.0)
        self.assertEqual([bucket.take(100.0), bucket.take(50.0), bucket.take(50.5), bucket.take(51.0)], [1, 0, 0, 1])
