"""Compressed streams: unpacked as they come, a block at a time, whatever frames are inside."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from streamer.errors import DecodeError
from streamer.interfaces import IFramer
from streamer.wire.gunzip import BLOCK, RATIO_LIMIT, Gunzip
from streamer.wire.lengths import Lengths
from streamer.wire.lines import Lines
from streamer.wire.sse import Sent, ServerSent
from tests.unit.test_wire_lines import pieces

GZIP, ZLIB = 31, 15  # zlib's wbits


@implementer(IFramer)
@attrs.define
class Whole:
    """Every piece is a frame: shows what the inner framer is given."""

    skipped: int = 7
    rest: bytes = b"rest"
    refused: bytes = b"-"

    def feed(self, data: bytes) -> list[bytes]:
        """The piece itself, unless it is the one that is refused."""
        if data == self.refused:
            raise DecodeError("refused")
        return [data] if data else []

    def finish(self) -> bytes:
        """Something to recognise."""
        return self.rest


def flushed(messages: Sequence[bytes], wbits: int = GZIP) -> list[bytes]:
    """The compressed bytes of each message, flushed as a live server does it; the body is left open."""
    packer = zlib.compressobj(wbits=wbits)
    return [packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH) for message in messages]


def fed(framer: Gunzip, parts: Sequence[bytes]) -> list[Any]:
    """All frames of all parts."""
    return [frame for part in parts for frame in framer.feed(part)]


def loss(framer: Gunzip, parts: Sequence[bytes]) -> tuple[list[Any], str]:
    """The frames up to the DecodeError, and its sentence."""
    frames: list[Any] = []
    for part in [*parts, b""]:
        try:
            frames += framer.feed(part)
        except DecodeError as error:
            return frames, str(error)
    raise AssertionError(f"nothing was raised, and there were {len(frames)} frames")


class GunzipTests(SynchronousTestCase):
    """What `Gunzip` promises."""

    def test_interface(self) -> None:
        """It is a framer."""
        verifyObject(IFramer, Gunzip(Lines()))

    def test_gzip_and_zlib(self) -> None:
        """Both formats are told apart by their headers."""
        for packed in (gzip.compress(b"a\r\nb\r\n"), zlib.compress(b"a\r\nb\r\n")):
            self.assertEqual([b"a", b"b"], Gunzip(Lines()).feed(packed))

    def test_messages_are_not_held_back(self) -> None:
        """A message that was flushed comes out with its last byte, though the compressed body goes on."""
        framer = Gunzip(Lines())
        first, keep_alive, second = flushed([b"one\r\n", b"\r\n", b"two\r\n"])
        self.assertEqual([b"one"], framer.feed(first))
        self.assertEqual([], framer.feed(keep_alive))
        self.assertEqual([b"two"], framer.feed(second))

    def test_members(self) -> None:
        """One gzip member may follow another, in the middle of a frame too, with zeros between and after them."""
        packed = gzip.compress(b"a\nb") + gzip.compress(b"") + b"\0" * 9 + gzip.compress(b"c\nd\n") + b"\0" * 512
        self.assertEqual([b"a", b"bc", b"d"], Gunzip(Lines()).feed(packed))
        self.assertEqual([b"a", b"bc", b"d"], fed(Gunzip(Lines()), [bytes([byte]) for byte in packed]))

    def test_a_bomb_goes_off_in_small_blocks(self) -> None:
        """No more than a block is unpacked before the inner framer has seen it, and none of it is kept here."""
        inner = Whole()
        framer = Gunzip(inner)
        blocks = framer.feed(gzip.compress(b"abcdefgh" * 3_000 + random.Random(1).randbytes(30_000)))
        self.assertEqual(54_000, sum(map(len, blocks)))
        self.assertLessEqual(max(map(len, blocks)), BLOCK)

    def test_a_bomb(self) -> None:
        """What unpacks to far more than any stream does is refused before it fills the memory."""
        bomb = gzip.compress(b"{}\n" * 20_000_000, compresslevel=9)
        framer = Gunzip(Lines())
        frames = framer.feed(bomb)
        self.assertLess(len(frames) * 3, 2 * RATIO_LIMIT * len(bomb))
        with self.assertRaisesRegex(DecodeError, "a bomb"):
            framer.feed(b"")

    def test_nothing_waits_inside(self) -> None:
        """After every byte, all that can be unpacked has been given to the inner framer, however small the blocks."""
        packed = gzip.compress(b"ab" * 1_000 + b"c" * 300, mtime=0)
        framer, reference = Gunzip(Whole(), block=1), zlib.decompressobj(GZIP)
        for byte in packed:
            self.assertEqual(reference.decompress(bytes([byte])), b"".join(framer.feed(bytes([byte]))))

    def test_a_large_piece(self) -> None:
        """A piece larger than a read from a socket is unpacked whole."""
        chance = random.Random(1)
        lines = [chance.randbytes(16).hex().encode() for _ in range(9_000)]
        packed = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
        self.assertGreater(len(packed), 2 * BLOCK)
        self.assertEqual(lines, Gunzip(Lines()).feed(packed))

    def test_the_inner_limit_holds(self) -> None:
        """A frame that is too long when unpacked is skipped and counted, and the next one is whole."""
        framer = Gunzip(Lines(limit=1_000))
        self.assertEqual(
            [b"ok"], framer.feed(gzip.compress(random.Random(1).randbytes(30_000).hex().encode() + b"\nok\n"))
        )
        self.assertEqual(1, framer.skipped)

    def test_skipped_and_finish_are_the_inner_framers(self) -> None:
        """The counts and the rest are those of the unpacked stream."""
        framer = Gunzip(Whole())
        self.assertEqual((7, b"rest"), (framer.skipped, framer.finish()))

    def test_a_cut_stream(self) -> None:
        """A body that ends before its compression does is no error; an unfinished frame is told, unpacked."""
        framer = Gunzip(Lines())
        self.assertEqual([b"a"], fed(framer, flushed([b"a\n", b"half"])))
        self.assertEqual(b"half", framer.finish())
        framer = Gunzip(Lines())
        framer.feed(gzip.compress(b"a\n")[:5])
        self.assertEqual(b"", framer.finish())

    def test_not_compressed(self) -> None:
        """A body that is not compressed is refused at once, with a sentence that says what to do; and ever after."""
        framer = Gunzip(Lines())
        for data in (b'{"title":"ConnectionException"}\r\n', gzip.compress(b"a\n")):
            with self.assertRaises(DecodeError) as caught:
                framer.feed(data)
            self.assertIn("Accept-Encoding", str(caught.exception))

    def test_damage(self) -> None:
        """Frames of earlier pieces are delivered; the damaged piece raises, a wrong checksum too."""
        packed = flushed([b"one\n", b"two\n", b"three\n"])
        packed[1] = b"\xff" * 20
        frames, sentence = loss(Gunzip(Lines()), packed)
        self.assertEqual([b"one"], frames)
        self.assertIn("damaged", sentence)

    def test_a_wrong_checksum(self) -> None:
        """A member whose checksum does not fit what came before it is damage too."""
        frames, sentence = loss(Gunzip(Lines()), [gzip.compress(b"one\n")[:-8], b"\0" * 8])
        self.assertEqual([b"one"], frames)
        self.assertIn("damaged", sentence)

    def test_garbage_after_the_end(self) -> None:
        """What follows the last member and is neither zeros nor a member raises: it would else be dropped unseen."""
        frames, sentence = loss(Gunzip(Lines()), [gzip.compress(b"one\n") + b"\0\0garbage"])
        self.assertEqual([b"one"], frames)
        self.assertIn("connect again", sentence)

    def test_the_inner_framer_may_lose_its_place(self) -> None:
        """What the inner framer raises comes out after the frames before it, however many blocks came between."""
        packed = gzip.compress(b"4\n{}\r\n" + b"\n" * 100 + b"oops\n" + b"4\n{}\r\n")
        for block in (1, 3, BLOCK):
            frames, sentence = loss(Gunzip(Lengths(), block=block), [packed])
            self.assertEqual([b"{}"], frames)
            self.assertIn("oops", sentence)

    def test_a_failure_is_for_good(self) -> None:
        """After the inner framer raised, nothing more is unpacked for it."""
        good, bad, later = flushed([b"a", b"-", b"b"])
        framer = Gunzip(Whole())
        self.assertEqual([b"a"], framer.feed(good))
        self.assertRaises(DecodeError, framer.feed, bad)
        self.assertRaises(DecodeError, framer.feed, later)

    @given(
        st.lists(st.binary(max_size=40).map(lambda text: text * 9), max_size=8),
        st.sampled_from([GZIP, ZLIB]),
        st.integers(min_value=1, max_value=70),
        st.lists(st.integers(min_value=0), max_size=12),
    )
    def test_any_split(self, messages: list[bytes], wbits: int, block: int, cuts: list[int]) -> None:
        """However the compressed bytes are cut and however small the blocks are, the frames are the plain stream's."""
        plain, packed = Lines(limit=50), Gunzip(Lines(limit=50), block=block)
        expected = [frame for message in messages for frame in plain.feed(message)]
        self.assertEqual(expected, fed(packed, pieces(b"".join(flushed(messages, wbits)), cuts)))
        self.assertEqual((plain.skipped, plain.finish()), (packed.skipped, packed.finish()))

    @given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(min_value=0), max_size=12))
    def test_any_split_of_members(self, messages: list[bytes], cuts: list[int]) -> None:
        """The same where every message is a gzip member of its own."""
        packed = b"".join(gzip.compress(message, mtime=0) for message in messages)
        framer = Gunzip(Lines())
        self.assertEqual(Lines().feed(b"".join(messages) + b"\n"), [
            *fed(framer, pieces(packed, cuts)), *framer.feed(gzip.compress(b"\n"))
        ])  # fmt: skip

    @given(st.lists(st.integers(min_value=0), max_size=12))
    def test_any_split_of_server_sent_events(self, cuts: list[int]) -> None:
        """Frames that are no bytes pass through as they are."""
        packed = flushed([b":hi\n\n", b"id: 1\r\ndata: a\r\n\r\n", b"event: x\ndata: b\n\n"])
        framer = Gunzip(ServerSent())
        self.assertEqual([Sent(b"a", id="1"), Sent(b"b", "x", "1")], fed(framer, pieces(b"".join(packed), cuts)))
