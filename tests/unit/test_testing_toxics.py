"""What each toxic does to the bytes of one direction, and when: bytes and the time in, pieces and their time out."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.toxic_effects import End
from streamer.testing.toxic_lane import HELD, Lane
from streamer.testing.toxics import (
    Bandwidth,
    Corrupt,
    Cut,
    HalfClose,
    HalfOpen,
    Latency,
    Refuse,
    Reset,
    Slices,
    Stall,
    Toxic,
    decode_toxic,
)

Piece = tuple[float, bytes | End]


def lane(*toxics: Toxic, jitter: float = 0.5, **arguments: Any) -> Lane:
    """A lane with toxics on it."""
    made = Lane(random=lambda: jitter, **arguments)
    for toxic in toxics:
        made.put_on(toxic)
    return made


def all_of(made: Lane, now: float = 0.0) -> list[Piece]:
    """What comes out from now on, and when, until nothing is due any more."""
    pieces: list[Piece] = []
    while (due := made.due) is not None:
        now = max(now, due)
        piece = made.take(now)
        assert piece is not None
        pieces.append((round(now, 6), piece))
    return pieces


class LaneTests(SynchronousTestCase):
    """One direction."""

    def test_plain(self) -> None:
        """Without toxics what comes in goes out as it came, at once, and a FIN after it."""
        made = lane()
        made.put(b"one", 1.0)
        made.put(b"two", 2.0)
        made.end(End.FIN, 2.0)
        self.assertEqual(all_of(made, 2.0), [(2.0, b"one"), (2.0, b"two"), (2.0, End.FIN)])
        self.assertEqual((made.passed, made.held, made.dropped, made.ended), (6, 0, 0, End.FIN))
        made.put(b"late", 3.0)
        self.assertEqual((made.due, made.dropped), (None, 4))

    def test_latency(self) -> None:
        """Bytes and FIN come later; jitter moves each by its part, and never past one another."""
        for fraction, first in ((0.0, 1.2), (0.5, 1.5), (0.75, 1.65)):
            with self.subTest(fraction=fraction):
                made = lane(Latency(0.5, 0.3), jitter=fraction)
                made.put(b"one", 1.0)
                made.end(End.FIN, 1.1)
                self.assertEqual(all_of(made, 1.0), [(first, b"one"), (round(first + 0.1, 6), End.FIN)])
        parts = iter((1.0, 0.0))
        made = Lane(random=lambda: next(parts))
        made.put_on(Latency(1.0, 1.0))
        made.put(b"slow", 0.0)
        made.put(b"fast", 0.0)
        self.assertEqual(all_of(made), [(2.0, b"slow"), (2.0, b"fast")])

    def test_latency_off(self) -> None:
        """Taken off, what was under way comes at once."""
        made = lane(Latency(9.0))
        made.put(b"one", 1.0)
        self.assertIsNone(made.take(1.0))
        made.take_off(Latency)
        self.assertEqual(all_of(made, 1.0), [(1.0, b"one")])

    def test_slices(self) -> None:
        """Bytes come in pieces of a size, some seconds apart."""
        made = lane(Slices(2, 0.1))
        made.put(b"abcde", 1.0)
        made.put(b"f", 1.0)
        self.assertEqual(all_of(made, 1.0), [(1.0, b"ab"), (1.1, b"cd"), (1.2, b"e"), (1.3, b"f")])

    def test_bandwidth(self) -> None:
        """No more than so many bytes a second come through, in small portions, and idle time is not saved up."""
        made = lane(Bandwidth(1000.0))
        made.put(b"x" * 100, 10.0)
        pieces = all_of(made, 10.0)
        self.assertEqual([moment for moment, _ in pieces], [10.0, 10.02, 10.04, 10.06, 10.08])
        self.assertEqual({piece for _, piece in pieces}, {b"x" * 20})
        made.put(b"x" * 40, 10.09)
        self.assertEqual([moment for moment, _ in all_of(made, 10.09)], [10.1, 10.12])

    def test_stall(self) -> None:
        """Nothing is read, nothing comes out, no FIN and no reset; taken off, it goes on where it stood."""
        for end in (End.FIN, End.RESET):
            with self.subTest(end=end):
                made = lane()
                made.put(b"one", 1.0)
                made.put_on(Stall())
                made.put(b"two", 1.0)
                made.end(end, 1.0)
                self.assertEqual((made.reading, made.due, made.take(99.0)), (False, None, None))
                made.take_off(Stall)
                self.assertTrue(made.reading)
                kept = [(9.0, b"one"), (9.0, b"two")] if end is End.FIN else []
                self.assertEqual(all_of(made, 9.0), [*kept, (9.0, end)])

    def test_half_open(self) -> None:
        """Everything is read and dropped, what was held too; taken off, a connection that lost something is reset."""
        for lost in (b"held", b"read", End.FIN, End.RESET):
            with self.subTest(lost=lost):
                made = lane()
                if lost == b"held":
                    made.put(b"held", 1.0)
                made.put_on(HalfOpen())
                if lost == b"read":
                    made.put(b"read", 1.0)
                if isinstance(lost, End):
                    made.end(lost, 1.0)
                self.assertEqual((made.reading, made.due, made.held, made.passed), (True, None, 0, 0))
                self.assertEqual(made.dropped, len(lost) if isinstance(lost, bytes) else 0)
                made.take_off(HalfOpen)
                self.assertEqual(all_of(made, 2.0), [(2.0, End.RESET)])
        made = lane(HalfOpen())
        made.take_off(HalfOpen)
        made.put(b"one", 1.0)
        self.assertEqual(all_of(made, 1.0), [(1.0, b"one")])

    def test_corrupt(self) -> None:
        """The byte after so many is changed, wherever the pieces are cut, once a connection."""
        for size in (1, 2, 3, 7):
            with self.subTest(size=size):
                struck: list[Toxic] = []
                made = lane(Slices(size), Corrupt(after=3, mask=0x01), struck=struck.append)
                made.put(b"aaaaaa", 0.0)
                made.put(b"aa", 0.0)
                out = b"".join(piece for _, piece in all_of(made) if isinstance(piece, bytes))
                self.assertEqual(out, b"aaa`aaaa")
                self.assertEqual(struck, [Corrupt(after=3, mask=0x01)])

    def test_ends(self) -> None:
        """After so many bytes the direction ends in the toxic's way, and what is held is dropped; once."""
        for toxic, end in ((Cut(4), End.CLOSE), (Reset(4), End.RESET), (HalfClose(4), End.FIN)):
            with self.subTest(toxic=toxic):
                struck: list[Toxic] = []
                made = lane(toxic, struck=struck.append)
                made.put(b"abc", 1.0)
                made.put(b"def", 1.0)
                self.assertEqual(all_of(made, 1.0), [(1.0, b"abc"), (1.0, b"d"), (1.0, end)])
                self.assertEqual((made.ended, made.held, made.dropped, struck), (end, 0, 2, [toxic]))

    def test_place(self) -> None:
        """Bytes count from when the toxic was put on; at the place itself it strikes at once, stalled or not."""
        made = lane()
        made.put(b"before", 1.0)
        all_of(made, 1.0)
        made.put_on(Cut(2))
        made.put(b"after", 2.0)
        self.assertEqual(all_of(made, 2.0), [(2.0, b"af"), (2.0, End.CLOSE)])
        made = lane(Stall(), Latency(5.0))
        made.put(b"held", 1.0)
        made.put_on(Reset())
        self.assertEqual(all_of(made, 1.0), [(1.0, End.RESET)])

    def test_one_of_a_kind(self) -> None:
        """A second toxic of a kind takes the place of the first; taking off what is not on does nothing."""
        made = lane(Slices(1), Slices(3))
        made.take_off(Latency)
        made.put(b"abcd", 0.0)
        self.assertEqual([piece for _, piece in all_of(made)], [b"abc", b"d"])

    def test_bounds(self) -> None:
        """With nobody to write to it reads until it holds its limit; a reset does not wait for the reader."""
        made = lane()
        made.writable = False
        reads = 0
        while made.reading:
            made.put(b"x" * 65_536, 1.0)
            reads += 1
        self.assertEqual((reads * 65_536, made.held, made.due), (HELD, HELD, None))
        made.end(End.RESET, 2.0)
        self.assertEqual((all_of(made, 2.0), made.held), ([(2.0, End.RESET)], 0))

    def test_drain(self) -> None:
        """With nobody to write to any more, what is held and what comes is dropped, and nothing is due."""
        made = lane(Latency(1.0))
        made.put(b"one", 1.0)
        made.drain()
        made.put(b"two", 1.0)
        made.end(End.FIN, 1.0)
        self.assertEqual((made.due, made.dropped, made.reading), (None, 6, True))

    @settings(max_examples=60, deadline=None)
    @given(
        chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
        steps=st.lists(
            st.sampled_from([Latency(0.3, 0.2), Slices(1), Slices(7, 0.1), Bandwidth(100.0), Stall(), Corrupt(5)]),
            max_size=8,
        ),
        fractions=st.lists(st.floats(0, 0.99), min_size=1, max_size=5),
    )
    def test_nothing_lost(self, chunks: list[bytes], steps: list[Toxic], fractions: list[float]) -> None:
        """Whatever is put on and taken off in between, the bytes come out in order, whole, but for those corrupted."""
        struck: list[Toxic] = []
        made = Lane(struck.append, itertools.cycle(fractions).__next__)
        out, on = b"", list[type[Toxic]]()
        for number, (chunk, toxic) in enumerate(itertools.zip_longest(chunks, steps)):
            if chunk is not None:
                made.put(chunk, float(number))
            if toxic is not None:
                if type(toxic) in on:
                    made.take_off(type(toxic))
                    on.remove(type(toxic))
                else:
                    made.put_on(toxic)
                    on.append(type(toxic))
            if isinstance(piece := made.take(float(number)), bytes):
                out += piece
        for kind in on:
            made.take_off(kind)
        out += b"".join(piece for _, piece in all_of(made, 99.0) if isinstance(piece, bytes))
        whole = b"".join(chunks)
        self.assertEqual(len(out), len(whole))
        self.assertEqual(sum(a != b for a, b in zip(out, whole, strict=True)), len(struck))
        self.assertEqual((made.passed, made.held), (len(whole), 0))


class ToxicTests(SynchronousTestCase):
    """The values."""

    def test_json(self) -> None:
        """Every toxic can be read from JSON, by its kind; what makes no sense is refused."""
        for text, toxic in (
            (b'{"kind":"latency","seconds":0.5,"jitter":0.1}', Latency(0.5, 0.1)),
            (b'{"kind":"bandwidth","rate":10}', Bandwidth(10.0)),
            (b'{"kind":"slices"}', Slices(1)),
            (b'{"kind":"stall"}', Stall()),
            (b'{"kind":"half-open"}', HalfOpen()),
            (b'{"kind":"corrupt","after":3,"mask":1}', Corrupt(3, 1)),
            (b'{"kind":"cut","after":3,"times":2}', Cut(3, 2)),
            (b'{"kind":"reset"}', Reset()),
            (b'{"kind":"half-close"}', HalfClose()),
            (b'{"kind":"refuse","times":1}', Refuse(1)),
        ):
            with self.subTest(text=text):
                self.assertEqual(decode_toxic(text), toxic)
        for text in (b'{"kind":"slices","size":0}', b'{"kind":"cut","after":-1}', b'{"kind":"corrupt","mask":0}'):
            with self.subTest(text=text):
                self.assertRaises(ValueError, decode_toxic, text)
