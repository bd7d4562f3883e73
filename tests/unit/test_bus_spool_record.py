"""Chunks as rows: whole, or known to be damaged."""

from __future__ import annotations

from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool_record import Unreadable, decode, decode_ids, encode
from streamer.bus.spool_values import Append
from streamer.message import Item

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ITEMS = st.builds(
    Item,
    source=WORDS,
    kind=WORDS,
    id=WORDS,
    received=st.integers(-(2**63), 2**63 - 1),
    body=st.binary(max_size=200),
    cursor=st.none() | WORDS,
    content_type=WORDS,
)
CHUNKS = st.lists(ITEMS, min_size=1, max_size=5).map(tuple)


class Bare(msgspec.Struct):
    """What an item may have been once."""

    id: str


class RecordTests(SynchronousTestCase):
    """To a row and back."""

    @given(st.integers(-(2**63), 2**63 - 1), CHUNKS)
    def test_round_trip(self, number: int, chunk: tuple[Item, ...]) -> None:
        """Any items come back as they were, their ids also by themselves."""
        row = encode(Append(number, chunk, 5))
        decoded = decode(row)
        self.assertEqual((number, chunk), (decoded.number, decoded.items))
        self.assertEqual(tuple(item.id for item in chunk), decode_ids(row[4]))

    @given(CHUNKS, st.data())
    def test_any_flipped_bit_is_seen(self, chunk: tuple[Item, ...], data: st.DataObject) -> None:
        """In the ids or the body; the checksum covers both."""
        row = list(encode(Append(1, chunk, 5)))
        column = data.draw(st.sampled_from([4, 5]))
        damaged = bytearray(row[column])
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        row[column] = bytes(damaged)
        self.assertRaises(Unreadable, decode, row)

    def test_any_other_column_is_seen(self) -> None:
        """A changed number or count, and types that no row of ours has."""
        row = encode(Append(1, (Item(source="a", kind="b", id="c", received=1, body=b"d"),), 1))
        for column in range(len(row)):
            for value in (None, 99, 1.5, b"x"):
                self.assertRaises(Unreadable, decode, [*row[:column], value, *row[column + 1 :]])

    def test_an_older_form_is_seen(self) -> None:
        """A row with a right checksum whose items are none keeps its bytes for the operator."""
        row = encode(Append(1, (cast(Item, Bare("x")),), 1))
        with self.assertRaises(Unreadable) as caught:
            decode(row)
        self.assertEqual(row[5], caught.exception.body)

    def test_damaged_ids_are_none(self) -> None:
        """They only serve to recognise repeats."""
        for ids in (None, 5, b"", b"\xc1", b"\x91\xa1\xff", b"\x91\x05"):
            self.assertEqual((), decode_ids(ids))
