"""What a message must be to be carried."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.limits import BODY_LIMIT, check
from streamer.errors import MessageRefused
from streamer.message import Topic
from tests.bus_contract import raw


class LimitsTests(SynchronousTestCase):
    """Each rule, at its edge."""

    def test_allowed(self) -> None:
        """What stands exactly at a limit is carried."""
        check(raw(1, b"x" * BODY_LIMIT))
        check(raw(1, topic=Topic("a" * 255), headers={"a" * 255: "ā", "least": -(2**63), "most": 2**63 - 1}))

    def test_each_for_itself(self) -> None:
        """The short strings are measured one by one, and in bytes, however long they are together."""
        texts = {"topic": "ā" * 127, "message_id": "i" * 255, "kind": "k" * 200, "content_type": "c" * 200}
        check(raw(1, **texts))
        error = self.assertRaises(MessageRefused, check, raw(1, **{**texts, "topic": "ā" * 128}))
        self.assertIn("its topic has 256 bytes", str(error))

    def test_refused(self) -> None:
        """What is beyond one is refused, in a sentence that names the message and the rule."""
        cases: list[tuple[dict[str, Any], str]] = [
            ({"exchange": "streamer.rwa"}, "no exchange 'streamer.rwa'; known are"),
            ({"topic": Topic("a" * 256)}, "topic has 256 bytes"),
            ({"topic": Topic("\ud800")}, "topic cannot be written as UTF-8"),
            ({"message_id": "ā" * 128}, "message id has 256 bytes"),
            ({"kind": "k" * 256}, "kind has 256 bytes"),
            ({"content_type": "c" * 256}, "content type has 256 bytes"),
            ({"body": b"x" * (BODY_LIMIT + 1)}, "body has 16777217 bytes"),
            ({"timestamp_ms": -1}, "timestamp -1"),
            ({"headers": {"large": 2**63}}, "'large' is an integer beyond 64 bits"),
            ({"headers": {"ratio": 0.5}}, "'ratio' is a float; use str or int"),
            ({"headers": {"h" * 256: 1}}, "header name has 256 bytes"),
            ({"headers": {"\ud800": 1}}, "header name cannot be written as UTF-8"),
            ({"headers": {"CC": "a"}}, "'CC' is reserved"),
            ({"headers": {"x-delay": 1}}, "'x-delay' is reserved"),
            ({"headers": {"timestamp_in_ms": 1}}, "'timestamp_in_ms' is reserved"),
            ({"headers": {"a": "b" * 6_140}}, "headers have 6147 bytes, the limit is 6144"),
            ({"headers": dict.fromkeys(map(str, range(100, 700)), 1)}, "headers have 7800 bytes"),
            ({"headers": {"a": "\ud800"}}, "header 'a' cannot be written"),
        ]
        for changes, words in cases:
            error = self.assertRaises(MessageRefused, check, raw(1, **changes))
            self.assertIn(words, str(error))
            self.assertIn("cannot carry message", str(error))
