"""The values that travel, and the words of topics."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.gap import Gap
from streamer.message import EVENTS, RAW, TOPIC_LIMIT, WORD_LIMIT, Event, Item, Message, rfc3339, topic, topic_word

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


class TopicTests(SynchronousTestCase):
    """Topics are AMQP routing keys."""

    def test_words(self) -> None:
        """Lower case, percent-encoded where AMQP's syntax or a reader would stumble, `-` where unknown."""
        for text, word in (
            ("Jack", "jack"),
            ("a.b", "a%2Eb"),
            ("*#%", "%2A%23%25"),
            ("two words\n", "two%20words%0A"),
            ("ÉTÉ", "été"),
            ("日本", "日本"),
            ("\u2028", "%E2%80%A8"),
            (None, "-"),
            ("", "-"),
        ):
            self.assertEqual(word, topic_word(text))

    def test_optional_words(self) -> None:
        """Tags are left out from the end so that the key fits."""
        self.assertEqual("post.x.en.jack.python", topic("post", "x", "en", "jack", optional=["Python"]))
        key = topic("post", optional=["é" * 30] * 50)
        self.assertLessEqual(len(key.encode()), TOPIC_LIMIT)
        self.assertEqual({"é" * 30}, set(key.split(".")[1:]))

    @given(ANY_TEXT)
    @example("\u3000" * 20)
    @example("\U0001f600" * 21)
    def test_any_text_is_one_word(self, text: str) -> None:
        """Whatever an upstream calls somebody, it is one word of bounded size, and UTF-8."""
        word = topic_word(text)
        self.assertLessEqual(len(word.encode()), WORD_LIMIT)
        self.assertEqual(0, sum(word.count(char) for char in ".*# \n"))
        self.assertTrue(word)

    @given(st.lists(ANY_TEXT, max_size=30))
    def test_any_tags_fit(self, tags: list[str]) -> None:
        """Whatever the tags, the key fits AMQP's short string."""
        self.assertLessEqual(len(topic("post", "x" * 63, "en", "a" * 300, optional=tags).encode()), TOPIC_LIMIT)


class ItemTests(SynchronousTestCase):
    """Items and their envelopes."""

    @given(st.text("ab-", min_size=1), st.text(min_size=1), st.binary(), st.none() | st.text(), st.integers(0, 2**60))
    def test_round_trip(self, source: str, id_: str, body: bytes, cursor: str | None, received: int) -> None:
        """An item comes out of its envelope as it went in, whatever its id holds."""
        item = Item(source=source, kind="post", id=id_, body=body, cursor=cursor, received=received)
        self.assertEqual(item, Item.from_message(item.message()))

    def test_envelope(self) -> None:
        """The envelope is what the contract says."""
        item = Item(source="birds", kind="post", id="1519", received=1_700_000_000_123, body=b"{}", cursor="1519")
        message = item.message()
        self.assertEqual((RAW, "raw.birds.post"), (message.exchange, message.topic))
        self.assertEqual(("birds/1519", "post"), (message.message_id, message.kind))
        self.assertEqual({"received": 1_700_000_000_123, "cursor": "1519"}, message.headers)

    def test_not_an_item(self) -> None:
        """Foreign messages are refused with their name."""
        stray = Message(
            exchange=RAW, topic=topic("raw"), body=b"", message_id="x", kind="post", timestamp_ms=0, content_type=""
        )
        with self.assertRaises(ValueError) as caught:
            Item.from_message(stray)
        self.assertIn("'x'", str(caught.exception))


class GapTests(SynchronousTestCase):
    """A gap on its way to the bus."""

    @given(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["stall", "limit", "restart"]),
        st.booleans(),
        st.none() | st.integers(0, 2**53),
    )
    def test_round_trip(self, start: int, end: int, cause: str, filled: bool, missed: int | None) -> None:
        """What is read back is what was said, whatever the bus did to it in between."""
        gap = Gap(start=start, end=end, cause=cause, filled=filled, missed=missed)
        item = gap.item("birds", 5)
        self.assertEqual(Gap.from_item(Item.from_message(item.message())), gap)

    def test_item(self) -> None:
        """Its topic is one of its own, equal gaps have equal ids, and the body is JSON that others can read."""
        one, again, other = (Gap(start=1, end=2, cause=cause) for cause in ("stall", "stall", "limit"))
        message = one.item("birds", 5).message()
        self.assertEqual((message.topic, message.kind, message.timestamp_ms), ("raw.birds.gap", "gap", 5))
        self.assertEqual(json.loads(message.body), {"from": 1, "to": 2, "cause": "stall"})
        self.assertEqual(message.message_id, again.item("birds", 9).message().message_id)
        self.assertNotEqual(message.message_id, other.item("birds", 5).message().message_id)

    def test_no_gap(self) -> None:
        """A body that is none is refused with the item's name in the sentence."""
        for body in (
            b"",
            b"[]",
            b'{"from":1}',
            b'{"from":1,"to":"2","cause":"x"}',
            b'{"from":1,"to":2,"cause":"\xff"}',
        ):
            item = Item(source="birds", kind="gap", id="g", received=1, body=body)
            with self.assertRaisesRegex(DecodeError, "gap g of birds is no gap"):
                Gap.from_item(item)


class EventTests(SynchronousTestCase):
    """Events and their envelopes."""

    def test_cloud_event(self) -> None:
        """One structured CloudEvent, with the lags readable in it."""
        event = Event(
            id="post:1519", source="x", type="streamer.post", topic=topic("post", "x", "en", "jack"),
            data={"id": "1519"}, time=1_700_000_000_123, received=1_700_000_000_500, enriched=1_700_000_000_600,
            subject="@jack",
        )  # fmt: skip
        message = event.message()
        self.assertEqual((EVENTS, "/sources/x#post:1519"), (message.exchange, message.message_id))
        self.assertEqual(
            {
                "specversion": "1.0",
                "id": "post:1519",
                "source": "/sources/x",
                "type": "streamer.post",
                "time": "2023-11-14T22:13:20.123Z",
                "subject": "@jack",
                "topic": "post.x.en.jack",
                "received": "2023-11-14T22:13:20.500Z",
                "enriched": "2023-11-14T22:13:20.600Z",
                "datacontenttype": "application/json",
                "data": {"id": "1519"},
            },
            json.loads(message.body),
        )

    def test_times(self) -> None:
        """Whole seconds keep their milliseconds."""
        self.assertEqual("1970-01-01T00:00:01.000Z", rfc3339(1000))
