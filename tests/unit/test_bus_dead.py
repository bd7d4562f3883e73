"""What is known of a dead letter, who wants it, and where it goes when it is published again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.dead import Letter, Wish, again, letter, missing
from streamer.bus.deliveries import Deliver, Properties
from streamer.bus.shards import SHARDS_LIMIT, routed
from streamer.bus.topology import DEAD, UNROUTED
from streamer.errors import MessageRefused
from streamer.message import EVENTS, PARTITION_KEY, RAW, Death, Message, Topic
from tests.bus_contract import raw

ROW = {"queue": "streamer.enrich", "reason": "rejected", "count": 2, "time": datetime.fromtimestamp(1_700, UTC)}
DEATH = {"x-first-death-exchange": RAW, "x-first-death-queue": "streamer.enrich", "x-first-death-reason": "rejected"}


def found(number: int = 1, headers: dict[str, Any] | None = None, body: bytes = b"{}", **changes: Any) -> Letter:
    """A letter as the bus delivers it."""
    fields: dict[str, Any] = {"message_id": f"birds/{number}", "type": "post", "timestamp": 1_600}
    properties = Properties(headers=headers, **{**fields, **changes})
    return letter(Deliver("c", number, False, DEAD, "raw.birds.post"), properties, body)


class LetterTests(SynchronousTestCase):
    """`letter` and `Letter`."""

    def test_dead(self) -> None:
        """Death, count and origin come from the broker's headers, which are no part of the message."""
        got = found(7, {**DEATH, "x-death": [ROW], "x-delivery-count": 3, "received": 5})
        self.assertEqual((7, "birds/7", 2, 2, 3), (got.tag, got.id, got.size, got.deaths, got.returned))
        self.assertEqual((Death("streamer.enrich", "rejected", 1_700), 1_700), (got.death, got.since))
        self.assertEqual((RAW, {"received": 5}), (got.message.exchange, dict(got.message.headers)))
        self.assertEqual("birds", got.source)

    def test_odd_deaths(self) -> None:
        """A list of deaths that is not as the broker writes it counts as one; without a death there is none."""
        for rows in (None, [], ["x"], [{**ROW, "count": "many"}], [{**ROW, "queue": "other"}]):
            with self.subTest(rows=rows):
                self.assertEqual(1, found(headers={**DEATH, "x-death": rows}).deaths)
        never = found()
        self.assertEqual((None, 0, 1_600), (never.death, never.deaths, never.since))

    def test_without_id(self) -> None:
        """What somebody published without an id has one by which it can be asked for, the same each time."""
        first, other = found(1, message_id=None), found(2, message_id=None)
        self.assertRegex(first.id, "^sha256:[0-9a-f]{16}$")
        self.assertEqual(first.id, other.id)
        self.assertNotEqual(first.id, found(1, message_id=None, body=b"other").id)

    def test_bare(self) -> None:
        """A bare letter is the same without its body, and knows how long that was."""
        got = found(body=b"x" * 100)
        self.assertEqual((b"", 100), (got.bare().message.body, got.bare().size))
        self.assertEqual(got, msgspec.structs.replace(got.bare(), message=got.message))

    def test_source(self) -> None:
        """The source is in the id of an item and in that of an event, and elsewhere nowhere."""
        for exchange, id_, source in (
            (RAW, "birds/1/2", "birds"),
            (RAW, "birds", ""),
            (EVENTS, "/sources/birds#post:1", "birds"),
            (EVENTS, "/sources/birds", ""),
            (EVENTS, "post:1", ""),
        ):
            with self.subTest(id_):
                got = found(headers={**DEATH, "x-first-death-exchange": exchange}, message_id=id_)
                self.assertEqual(source, got.source)


class WishTests(SynchronousTestCase):
    """`Wish`."""

    def test_takes(self) -> None:
        """A letter is taken when everything that is wished holds."""
        got = found(headers=DEATH)
        for wish, expected in (
            (Wish(), True),
            (Wish(ids=frozenset(["birds/1", "birds/2"])), True),
            (Wish(ids=frozenset(["birds/2"])), False),
            (Wish(topic="raw.*.post"), True),
            (Wish(topic="raw.*"), False),
            (Wish(reason="rejected"), True),
            (Wish(reason="delivery_limit"), False),
            (Wish(source="birds"), True),
            (Wish(source="trees"), False),
            (Wish(source="birds", reason="rejected", topic="raw.#", ids=frozenset(["birds/1"])), True),
            (Wish(source="birds", reason="maxlen", topic="raw.#", ids=frozenset(["birds/1"])), False),
        ):
            with self.subTest(wish):
                self.assertEqual(expected, wish.takes(got))
        self.assertFalse(Wish(reason="rejected").takes(found()))

    def test_missing(self) -> None:
        """Ids that nobody has are named, in order."""
        wish = Wish(ids=frozenset(["z", "birds/1", "a"]))
        self.assertEqual(["a", "z"], missing(wish, [found()]))


class AgainTests(SynchronousTestCase):
    """`again`."""

    @settings(max_examples=50)
    @given(st.integers(0, SHARDS_LIMIT), st.integers(0, SHARDS_LIMIT), st.text(max_size=20))
    def test_shards(self, then: int, now: int, author: str) -> None:
        """However many shards there were, it goes where a new item of its author goes now; else it is the same."""
        item = raw(1, headers={"received": 1, PARTITION_KEY: author})
        self.assertEqual(routed(item, now), again(routed(item, then), now))
        self.assertEqual(routed(item, then), again(routed(item, then), None))

    def test_without_partition(self) -> None:
        """An item that has no author keeps its topic, though it ends like a shard's."""
        item = raw(1, topic=Topic("raw.birds.post.s07"))
        self.assertEqual(item, again(item, 4))

    def test_never(self) -> None:
        """What came to a queue of the dead by itself, or to an exchange that is none of ours, cannot be replayed."""
        for exchange in (DEAD, UNROUTED, "", "theirs"):
            with self.subTest(exchange):
                message: Message = raw(1, exchange=exchange)
                self.assertRaises(MessageRefused, again, message, 0)
