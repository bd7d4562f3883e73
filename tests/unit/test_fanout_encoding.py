"""Frames that many clients share, plain and deflated."""

import json
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.deflate import LEAST, deflated_frame
from streamer.fanout.encoding import RELAY, RELAY_DEFLATED
from streamer.fanout.logged import logged
from streamer.testing.relay_events import entry

TAIL = b"\x00\x00\xff\xff"  # what RFC 7692 has the receiver add


def payload_of(frame: bytes) -> tuple[int, bytes]:
    """A frame's first byte and what it carries."""
    length, start = frame[1], 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + length
    return frame[0], frame[start:]


class EncodingTests(SynchronousTestCase):
    """`RELAY` and `RELAY_DEFLATED`."""

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text(max_size=3_000), max_size=5))
    def test_any_client_can_inflate(self, texts: list[str]) -> None:
        """A client that keeps its window, and one that does not, both read every frame that follows another."""
        keeps = zlib.decompressobj(-15)
        for text in texts:
            payload = json.dumps([text] * 3).encode()
            first, body = payload_of(deflated_frame(payload))
            if first == 0x81:
                self.assertEqual(payload, body)
                continue
            self.assertEqual(0xC1, first)
            self.assertLess(len(body), len(payload))
            self.assertEqual(payload, keeps.decompress(body + TAIL))
            self.assertEqual(payload, zlib.decompressobj(-15).decompress(body + TAIL))

    def test_short(self) -> None:
        """What compression cannot make much shorter is sent as it is."""
        self.assertEqual(0x81, payload_of(deflated_frame(b"x" * (LEAST - 1)))[0])
        self.assertEqual(0xC1, payload_of(deflated_frame(b"x" * LEAST))[0])

    def test_relay(self) -> None:
        """Events, positions and losses as `relay.v1.json` has them; only events are deflated."""
        entries = [logged(entry(offset, text="kakapo" * 50)) for offset in (1, 2)]
        events = [json.loads(one.event) for one in entries]
        plain = payload_of(RELAY.events("v1.x.2", entries))
        self.assertEqual((0x81, ["ev", "v1.x.2", events]), (plain[0], json.loads(plain[1])))
        first, body = payload_of(RELAY_DEFLATED.events("v1.x.2", entries))
        self.assertEqual((0xC1, plain[1]), (first, zlib.decompressobj(-15).decompress(body + TAIL)))
        for encoding in (RELAY, RELAY_DEFLATED):
            self.assertEqual(["pos", "v1.x.2"], json.loads(payload_of(encoding.position("v1.x.2"))[1]))
            self.assertEqual(["lag", {"skipped": 3}], json.loads(payload_of(encoding.lag({"skipped": 3}))[1]))
