"""Packed messages: what is whole is unpacked, what is not costs itself alone, and no size is believed."""

from __future__ import annotations

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.interfaces import IFramer
from streamer.wire.zstd import MAGIC, ZstdMessages, checked_dictionary

SAMPLES = [
    b'{"did":"did:plc:%d","kind":"commit","text":"%s"}' % (number, b"word " * (number % 7)) for number in range(500)
]
DICTIONARY = zstandard.train_dictionary(2_000, SAMPLES)


def packed(message: bytes, *, sized: bool = True, dictionary: zstandard.ZstdCompressionDict | None = None) -> bytes:
    """A message as one frame, which says how much it holds or does not."""
    return zstandard.ZstdCompressor(dict_data=dictionary, write_content_size=sized).compress(message)


class ZstdMessagesTests(SynchronousTestCase):
    """`ZstdMessages`."""

    def test_interface(self) -> None:
        """It is a framer."""
        self.assertTrue(verifyObject(IFramer, ZstdMessages()))

    @given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=6))
    def test_any_messages(self, messages: list[tuple[bytes, bool]]) -> None:
        """What was packed comes out, with and without its size, with the dictionary that it was made with."""
        for dictionary in (None, DICTIONARY):
            framer = ZstdMessages(None if dictionary is None else dictionary.as_bytes())
            frames = [packed(message, sized=sized, dictionary=dictionary) for message, sized in messages]
            self.assertEqual([message for message, _ in messages], list(framer.feed(frames)))
            self.assertEqual((0, False, b""), (framer.skipped, framer.pending, framer.finish()))

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, noise: bytes, begun: bool) -> None:
        """Whatever comes passes, or is skipped: nothing raises."""
        framer = ZstdMessages(DICTIONARY.as_bytes(), limit=1_000)
        found = framer.feed([MAGIC + noise if begun else noise, b"plain"])
        self.assertEqual(b"plain", found[-1])
        self.assertEqual(2, len(found) + framer.skipped)

    def test_damaged(self) -> None:
        """A frame cut short, or made with another dictionary, passes as it is, for its source to refuse."""
        whole = packed(b"x" * 100, dictionary=DICTIONARY)
        self.assertEqual([whole[:-3]], list(ZstdMessages(DICTIONARY.as_bytes()).feed([whole[:-3]])))
        self.assertEqual([whole], list(ZstdMessages().feed([whole])))

    def test_too_long(self) -> None:
        """What would unpack to more than the limit is skipped, whether its frame says so or not; so is plain bytes."""
        framer = ZstdMessages(limit=1_000)
        long = b"x" * 50_000_000
        self.assertEqual([], list(framer.feed([packed(long), packed(long, sized=False), b"y" * 1_001])))
        self.assertEqual(3, framer.skipped)
        self.assertEqual([b"z" * 1_000], list(framer.feed([packed(b"z" * 1_000, sized=False)])))

    def test_words(self) -> None:
        """What is no bytes passes."""
        word = object()
        self.assertEqual([word], list(ZstdMessages().feed([word])))

    def test_dictionaries(self) -> None:
        """Only what is a dictionary is taken for one."""
        content = DICTIONARY.as_bytes()
        self.assertEqual(content, checked_dictionary(content))
        for wrong in (b"", b"<!DOCTYPE html>", content[:20]):
            with self.assertRaises(ValueError):
                checked_dictionary(wrong)
