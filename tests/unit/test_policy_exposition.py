"""Reading `/metrics`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.errors import DecodeError
from streamer.metrics import Metrics
from streamer.net.admin import render
from streamer.policy import exposition
from streamer.policy.exposition import parse


class ExpositionTests(SynchronousTestCase):
    """The parser."""

    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=5), st.integers(0, 2**53))
    def test_own_pages(self, closes: dict[str, float], delivered: int) -> None:
        """What our admin endpoint renders is read back exactly, whatever the labels hold."""
        metrics = Metrics()
        metrics.set(m.DELIVERED, to=delivered)
        for code, number in closes.items():
            metrics.set(m.CLOSED, code, to=number)
        samples = parse(render(metrics))
        self.assertEqual(delivered, samples.total(m.DELIVERED.name))
        self.assertEqual(closes, samples.by(m.CLOSED.name, "code"))
        self.assertEqual(bool(closes), samples.has(m.CLOSED.name))

    def test_sums(self) -> None:
        """Numbers are summed over the labels that are not asked for."""
        samples = parse('a{x="1",y="1"} 1\na{x="1",y="2"} 2\na{x="2",y="1"} 4.5e1\nab 7\n')
        self.assertEqual((48, 3, 46, 0), (
            samples.total("a"), samples.total("a", x="1"), samples.total("a", y="1"), samples.total("a", z="1"),
        ))  # fmt: skip
        self.assertEqual({"1": 3, "2": 45}, samples.by("a", "x"))
        self.assertEqual(0, samples.total("b"))

    def test_nonsense(self) -> None:
        """A page that is none of ours is refused with the line that shows it."""
        for text in (
            "<html>",
            "a",
            "a ",
            "a 1 2",
            "a{x=1} 1",
            'a{x="1"',
            'a{x="\\q"} 1',
            "a b",
            " a 1",
            "a 1\na 1",
            "1a 1",
        ):
            with self.subTest(text=text):
                self.assertIn("line ", str(self.assertRaises(DecodeError, parse, text)))

    def test_too_long(self) -> None:
        """Memory is bounded."""
        self.patch(exposition, "SAMPLES_LIMIT", 10)
        parse("".join(f"a{n} 1\n" for n in range(10)))
        self.assertRaises(DecodeError, parse, "".join(f"a{n} 1\n" for n in range(11)))
