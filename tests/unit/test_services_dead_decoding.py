"""What becomes of a dead item now."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from streamer import settings
from streamer.message import EVENTS, Message
from streamer.services.dead_decoding import UNKNOWN, verdict
from tests.bus_contract import raw

FILE = """
[sources.birds]
type = "x-filtered"
token = "t"
"""
POST = b'{"data":{"id":"1","text":"kakapo","author_id":"7","created_at":"2026-01-01T00:00:00.000Z"}}'
NOW = 1_795_000_000_000


class VerdictTests(SynchronousTestCase):
    """`verdict`."""

    def setUp(self) -> None:
        self.settings = settings.loads(FILE, "x.toml", {})

    def of(self, body: bytes, **changes: Any) -> str:
        """The verdict on an item."""
        message: Message = raw(1, body, **{"headers": {"received": NOW}, **changes})
        return verdict(message, self.settings, NOW)

    def test_good(self) -> None:
        """An item that its source understands decodes now: here to a post and a notice of it."""
        self.assertEqual("it decodes now, and becomes 2 events", self.of(POST))

    def test_bad(self) -> None:
        """One that it does not is rejected again, with the source's own reason."""
        for body in (b"\xff", b"{", b'{"data":{"id":"1"}}', b"[" * 100_000):
            with self.subTest(body[:9]):
                self.assertTrue(self.of(body).startswith("rejected again: "), self.of(body))

    def test_nobodys(self) -> None:
        """An item of a source that is not configured, one that is none, and an event."""
        self.assertIn("no source 'trees' is configured (known: birds)", self.of(POST, message_id="trees/1"))
        self.assertIn("rejected again: message 'x'", self.of(POST, message_id="x"))
        self.assertIn("decoded by nobody", self.of(POST, exchange=EVENTS))

    def test_never_decoded(self) -> None:
        """What no source decodes is judged by the event kinds: a gap that is none is rejected again."""
        self.assertEqual("it decodes now, and becomes 0 events", self.of(b"{}", kind="limit"))
        self.assertTrue(self.of(b"{", kind="gap").startswith("rejected again: "))

    def test_defect(self) -> None:
        """A source that raises anything else is a defect of ours, and is called so."""
        source = self.settings.sources["birds"].source
        with patch.object(type(source), "decode", side_effect=ZeroDivisionError("by zero")):
            self.assertEqual("fails again, by a defect of ours: ZeroDivisionError: by zero", self.of(POST))

    def test_without_settings(self) -> None:
        """Without a configuration nobody can tell."""
        self.assertEqual(UNKNOWN, verdict(raw(1, headers={"received": 1}), None, NOW))
