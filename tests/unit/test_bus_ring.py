"""The log of the in-process bus."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.ring import Ring
from tests.bus_contract import event


class RingTests(SynchronousTestCase):
    """Numbered, bounded, by time."""

    def test_bytes(self) -> None:
        """Entries leave when the bytes are too many; the newest stays however large."""
        ring = Ring(max_bytes=10)
        for number in range(4):
            ring.append(event(number, body=b"1234"), 0.0)
        self.assertEqual((ring.first, ring.next), (2, 4))
        ring.append(event(4, body=b"x" * 100), 0.0)
        self.assertEqual([entry.offset for entry in ring.read(0, 10)], [4])

    def test_since(self) -> None:
        """A moment finds the first entry taken at or after it, also after many have left."""
        ring = Ring(max_entries=2000)
        for number in range(10_000):
            ring.append(event(number, body=b""), number / 10)
        self.assertEqual((ring.first, ring.next), (8000, 10_000))
        self.assertEqual([ring.since(moment) for moment in (0.0, 900.0, 900.05, 5000.0)], [8000, 9000, 9001, 10_000])
        self.assertEqual([entry.offset for entry in ring.read(9998, 10)], [9998, 9999])

    def test_age(self) -> None:
        """What is too old leaves with the next entry, or when one looks; the newest stays however old."""
        ring = Ring(max_age=10.0)
        for number in range(5):
            ring.append(event(number), float(number))
        ring.append(event(5), 12.5)
        self.assertEqual([entry.offset for entry in ring.read(0, 10)], [3, 4, 5])
        ring.expire(13.5)
        self.assertEqual([entry.offset for entry in ring.read(0, 10)], [4, 5])
        ring.expire(1000.0)
        self.assertEqual([entry.offset for entry in ring.read(0, 10)], [5])
        self.assertEqual(ring.since(0.0), 5)

    def test_clock_set_back(self) -> None:
        """A clock that is set back does not disturb the order of times, by which one begins to read."""
        ring = Ring()
        for number, moment in enumerate((100.0, 200.0, 150.0, 160.0, 300.0)):
            ring.append(event(number), moment)
        self.assertEqual([ring.since(moment) for moment in (150.0, 200.0, 201.0, 300.5)], [1, 1, 4, 5])

    def test_headers_count(self) -> None:
        """Bytes are those of bodies and of texts in headers, also when entries leave."""
        ring = Ring(max_bytes=10)
        for number in range(4):
            ring.append(event(number, body=b"12", headers={"cursor": "345", "received": 7}), 0.0)
        self.assertEqual(ring.first, 2)
        ring.append(event(4, body=b"12345"), 0.0)
        self.assertEqual(ring.first, 3)

    @given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 8), st.integers(1, 20))
    def test_like_a_list(self, sizes: list[int], entries: int, most: int) -> None:
        """The ring holds what the tail of a list would, within both limits."""
        ring = Ring(max_entries=entries, max_bytes=most)
        for number, size in enumerate(sizes):
            ring.append(event(number, body=b"x" * size), float(number))
        held = ring.read(0, 100)
        self.assertEqual([entry.offset for entry in held], list(range(ring.first, ring.next)))
        self.assertEqual([entry.message.message_id for entry in held], [event(e.offset).message_id for e in held])
        self.assertLessEqual(len(held), entries)
        if len(held) > 1:
            self.assertLessEqual(sum(len(entry.message.body) for entry in held), most)
