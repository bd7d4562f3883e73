"""The format of recordings: what is written comes back, and damage is told."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.message import Item
from streamer.net.recording_file import CHUNK, RecordingFile, RecordingUnusable
from streamer.wire import packing, recording
from streamer.wire.packing import packer_of, unpacker_of
from streamer.wire.recording import CutOff, Damaged, Entry, Header, Joined, Place, Recorded, line_of
from streamer.wire.recording_reader import Reader

HEADER = Header.of({"birds": "x-filtered"}, "2026-11-21T04:00:00.000Z")
NAMES = ("x.jsonl", "x.jsonl.gz", "x.jsonl.zst")
BODIES = st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode))
ITEMS = st.builds(
    Item,
    source=st.text(min_size=1, max_size=20),
    kind=st.text(max_size=20),
    id=st.text(max_size=40),
    received=st.integers(0, 2**63 - 1),
    body=BODIES,
    cursor=st.none() | st.text(max_size=40),
    content_type=st.just("application/json") | st.text(max_size=20),
    partition=st.none() | st.text(max_size=20),
)


def item(number: int, body: bytes = b"{}") -> Item:
    """One of many."""
    return Item(source="birds", kind="post", id=str(number), received=1_700_000_000_000 + number, body=body)


def read(reader: Reader, *pieces: bytes) -> list[Entry]:
    """All entries."""
    found: list[Entry] = []
    for piece in pieces:
        found += reader.feed(piece)
    return found + reader.finish()


def items(entries: Sequence[Entry]) -> list[Item]:
    """The items among them."""
    return [entry.item for entry in entries if isinstance(entry, Recorded)]


class LineTests(SynchronousTestCase):
    """One item, one line."""

    @given(st.lists(ITEMS, max_size=8), st.data())
    def test_round_trip(self, given_: list[Item], data: st.DataObject) -> None:
        """Any items come back as they were, however the bytes are split."""
        whole = HEADER.line() + b"".join(map(line_of, given_))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        reader = Reader()
        self.assertEqual([Recorded(number + 1, one) for number, one in enumerate(given_)], read(reader, *pieces))
        self.assertEqual(HEADER, reader.header)

    def test_readable(self) -> None:
        """Text stands there as text, bytes as base64, and nothing that is as usual."""
        text = json.loads(line_of(item(1, b'{"text":"\xf0\x9f\xa6\x9c"}')))
        self.assertEqual(
            {"source": "birds", "kind": "post", "id": "1", "received": 1_700_000_000_001, "body": '{"text":"🦜"}'},
            text,
        )
        self.assertEqual("//4=", json.loads(line_of(item(1, b"\xff\xfe")))["base64"])

    def test_short(self) -> None:
        """A body that would become much longer by its escapes is base64, so that a line has its limit."""
        line = line_of(item(1, b"\0" * 100_000))
        self.assertLess(len(line), 140_000)
        self.assertEqual([item(1, b"\0" * 100_000)], items(read(Reader(), HEADER.line(), line)))

    def test_longest(self) -> None:
        """The longest body that a bus carries has room; beyond what a line holds is refused, not cut."""
        most = 16_777_216
        for body in (os.urandom(most), b'"' * most, b"\x01" * most):
            self.assertLess(len(line_of(item(1, body))), recording.LINE_LIMIT)
        self.assertRaises(ValueError, line_of, item(1, os.urandom(2 * most)))

    def test_not_written(self) -> None:
        """What no bus carries is refused."""
        for wrong in (
            Item(source="", kind="post", id="1", received=0, body=b""),
            Item(source="x", kind="post", id="1", received=-1, body=b""),
            Item(source="x", kind="post", id="1", received=2**63, body=b""),
            Item(source="x", kind="post", id="\ud800", received=0, body=b""),
        ):
            self.assertRaises(ValueError, line_of, wrong)

    def test_unknown_keys(self) -> None:
        """Keys of later writers are passed over, in the header too."""
        header = b'{"streamer":"recording","version":1,"sources":{"a":"b"},"more":[1]}\n'
        line = b'{"source":"a","kind":"post","id":"1","received":1,"body":"x","more":{}}\n'
        reader = Reader()
        self.assertEqual(1, len(items(read(reader, header, line))))
        assert reader.header is not None
        self.assertEqual({"a": "b"}, reader.header.sources)


class HeaderTests(SynchronousTestCase):
    """The first line."""

    def refused(self, *pieces: bytes) -> str:
        """What is said of a file."""
        return str(self.assertRaises(DecodeError, read, Reader(), *pieces))

    def test_refused(self) -> None:
        """What is no recording is said to be none; a version that is not known is named."""
        for content in (b"hello\n", b"{}\n", b"[]", b'{"streamer":"x","version":1}\n', b"\xff\n", b"\n", b"[" * 9999):
            self.assertIn("is no recording", self.refused(content), content)
        self.assertIn("is empty", self.refused(b""))
        for version in (0, 2, 10**30):
            said = self.refused(b'{"streamer":"recording","version":%d,"sources":[]}\n' % version)
            self.assertIn("recording", said)
        self.assertIn("of version 2, and this Streamer reads version 1", self.refused(
            b'{"streamer":"recording","version":2,"sources":[]}\n'
        ))  # fmt: skip

    def test_endless(self) -> None:
        """A first line without an end is refused before it fills the memory."""
        reader = Reader(limit=1000)
        self.assertRaises(DecodeError, lambda: [reader.feed(b"x" * 100) for _ in range(11)])

    def test_put_together(self) -> None:
        """Recordings put one after the other are one."""
        entries = read(Reader(), HEADER.line(), line_of(item(1)), HEADER.line(), line_of(item(2)))
        self.assertEqual([Recorded(1, item(1)), Joined(2, HEADER.sources), Recorded(3, item(2))], entries)
        entries = read(Reader(), HEADER.line(), HEADER.line().rstrip())
        self.assertEqual([Joined(1, HEADER.sources)], entries)


class DamageTests(SynchronousTestCase):
    """What is not as it was written."""

    def test_lines(self) -> None:
        """A damaged line is named and passed over; an empty one is nothing."""
        good = line_of(item(1))
        both = b'{"source":"a","kind":"post","id":"1","received":1,"body":"x","base64":""}\n'
        for line, why in (
            (b"\n", ""),
            (b" \r\n", ""),
            (b"hello\n", "is no item"),
            (b"[" * 100_000 + b"\n", "is no item"),
            (b"\xff\xfe\n", "is no item"),
            (b'{"source":"a","kind":"post","id":"1","received":-1,"body":""}\n', "is no item"),
            (b'{"source":"","kind":"post","id":"1","received":1,"body":""}\n', "is no item"),
            (b'{"source":"a","kind":"post","id":"1","received":1}\n', "holds not one body"),
            (both, "holds not one body"),
            (b'{"source":"a","kind":"post","id":"1","received":1,"base64":"!"}\n', "is not base64"),
            (b'{"source":"a","kind":"post","id":"1","received":1,"base64":"\xc3\xa9"}\n', "is not base64"),
        ):
            first, *damage, last = read(Reader(), HEADER.line(), good, line, good)
            self.assertEqual((Recorded(1, item(1)), Recorded(3, item(1))), (first, last))
            self.assertEqual(bool(why), bool(damage), line)
            for entry in damage:
                assert isinstance(entry, Damaged)
                self.assertEqual(2, entry.number)
                self.assertIn(why, str(entry))
                self.assertTrue(str(entry).startswith("line 3 "))

    def test_too_long(self) -> None:
        """A line over the limit is passed over without being kept."""
        reader = Reader(limit=300)
        entries = read(reader, HEADER.line(), *[b"x" * 100] * 50, b"\n", line_of(item(2)))
        self.assertEqual([Damaged(1, "is longer than 300 bytes"), Recorded(2, item(2))], entries)

    def test_cut_off(self) -> None:
        """Wherever it breaks off, all whole lines are there, and that it breaks off is told."""
        line = line_of(item(2, b'{"text":"kakapo"}'))
        for cut in range(1, len(line) - 1):
            entries = read(Reader(), HEADER.line(), line_of(item(1)), line[:cut])
            self.assertEqual([Recorded(1, item(1)), CutOff(2)], entries)
        self.assertIn("in the middle of line 3", str(entries[-1]))
        whole = read(Reader(), HEADER.line(), line_of(item(1)), line[:-1])
        self.assertEqual(2, len(items(whole)))

    @given(st.lists(ITEMS, max_size=4), st.data())
    def test_any_damage(self, given_: list[Item], data: st.DataObject) -> None:
        """Whatever is changed, there is no exception but the documented."""
        whole = bytearray(HEADER.line() + b"".join(map(line_of, given_)))
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=5)
        ):
            whole[at] = byte
        cut = data.draw(st.integers(0, len(whole)))
        try:
            for entry in read(Reader(), bytes(whole[:cut])):
                self.assertTrue(str(entry))
        except DecodeError as error:
            self.assertTrue(str(error).startswith("is "))

    @given(st.binary(max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        """Nor for anything else."""
        for start in (b"", HEADER.line()):
            try:
                read(Reader(), start + content)
            except DecodeError:
                self.assertEqual(b"", start)


class FileTests(SynchronousTestCase):
    """Files, compressed or not."""

    def setUp(self) -> None:
        """A folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def packed(self, name: str, lines: Sequence[bytes], *, finished: bool = True) -> Path:
        """A recording that is flushed after each line."""
        packer, path = packer_of(name), self.folder / name
        pieces = [packer.pack(line) + packer.flush() for line in (HEADER.line(), *lines)]
        path.write_bytes(b"".join(pieces) + (packer.finish() if finished else b""))
        return path

    def entries(self, path: Path) -> list[Entry]:
        """All of a file, each step bounded."""
        file, found = RecordingFile.open(str(path)), []
        try:
            while (step := file.entries()) is not None:
                found += step
        finally:
            file.close()
        self.assertEqual(file.size, file.read)
        return found

    def test_round_trip(self) -> None:
        """Each form gives back what was written."""
        given_ = [item(number, os.urandom(500) if number % 2 else b'{"n":%d}' % number) for number in range(2_000)]
        for name in NAMES:
            self.assertEqual(given_, items(self.entries(self.packed(name, list(map(line_of, given_))))), name)

    def test_other_programs(self) -> None:
        """What gzip and zstd make of a recording can be played, also in several parts."""
        plain = self.packed("x.jsonl", [line_of(item(number)) for number in range(500)]).read_bytes()
        half = len(plain) // 2
        for name, pack in (("x.jsonl.gz", gzip.compress), ("x.jsonl.zst", zstandard.compress)):
            for parts in ([plain], [plain[:half], plain[half:]], [plain[:1], b"", plain[1:]]):
                (self.folder / name).write_bytes(b"".join(map(pack, parts)))
                self.assertEqual(500, len(items(self.entries(self.folder / name))), name)
        for data in (b"\0" * 100, b"\0" * CHUNK):
            (self.folder / "x.jsonl.gz").write_bytes(gzip.compress(plain) + data)
            self.assertEqual(500, len(items(self.entries(self.folder / "x.jsonl.gz"))))

    def test_killed(self) -> None:
        """What was flushed can be read, wherever the file breaks off; that it does is told."""
        lines = [line_of(item(number, os.urandom(300))) for number in range(20)]
        for name in NAMES:
            whole = self.packed(name, lines, finished=False)
            content = whole.read_bytes()
            self.assertEqual(20, len(items(self.entries(whole))), name)
            for cut in range(400, len(content), 97):
                whole.write_bytes(content[:cut])
                entries = self.entries(whole)
                self.assertEqual([item(n).id for n in range(len(items(entries)))], [one.id for one in items(entries)])
                if name != "x.jsonl":
                    self.assertIsInstance(entries[-1], CutOff)
                    self.assertTrue(str(entries[-1]).startswith("it breaks off "))

    def test_bombs(self) -> None:
        """What unfolds to more than memory holds is unfolded piece by piece."""
        bomb = b"\0" * 300_000_000
        for name, pack in (("x.jsonl.gz", gzip.compress), ("x.jsonl.zst", zstandard.compress)):
            unpacker, content, most = unpacker_of(name), pack(bomb), 0
            for start in range(0, len(content), CHUNK):
                unpacker.give(content[start : start + CHUNK])
                while not unpacker.hungry:
                    most = max(most, len(unpacker.step()))
            self.assertLess(most, packing.STEP + 32 * packing.SLICE * 1024)
            self.assertFalse(unpacker.unfinished)

    def test_damaged(self) -> None:
        """What cannot be unpacked is refused with a sentence, at the beginning or further on."""
        for name in NAMES[1:]:
            (self.folder / name).write_bytes(b"neither of the two")
            said = str(self.assertRaises(RecordingUnusable, self.entries, self.folder / name))
            self.assertIn("is damaged", said)

    @given(st.sampled_from(NAMES), st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
    def test_any_damage(self, name: str, at: int, byte: int, cut: int) -> None:
        """Whatever is changed, there is no exception but the documented."""
        path = self.packed(name, [line_of(item(number, b"kakapo" * number)) for number in range(30)])
        content = bytearray(path.read_bytes())
        content[at % len(content)] = byte
        path.write_bytes(content[: cut % len(content) + 1])
        try:
            self.entries(path)
        except RecordingUnusable as error:
            self.assertIn(str(path), str(error))


class PlaceTests(SynchronousTestCase):
    """Places as cursors."""

    @given(st.builds(Place, st.integers(0, 10**14), st.integers(0, 10**14), st.sampled_from(["", "0123abcd"])))
    def test_round_trip(self, place: Place) -> None:
        """What is written comes back."""
        self.assertEqual(place, Place.parse(place.text))

    @given(st.none() | st.text(max_size=20))
    def test_others(self, text: str | None) -> None:
        """Whatever else stands there is the beginning."""
        if text is None or "." not in text:
            self.assertEqual(Place(), Place.parse(text))
