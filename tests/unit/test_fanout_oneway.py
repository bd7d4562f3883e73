"""What the faces without a conversation make of events."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.logged import Logged, logged
from streamer.fanout.oneway import CLOUDEVENTS, CLOUDEVENTS_DEFLATED, POLL, SSE, SSE_UNCHUNKED
from streamer.fanout.position import START
from streamer.message import Entry
from streamer.testing.relay_events import entry, message
from streamer.wire.sse import ServerSent

FACTS = {"position": START, "replayed": 3, "recovered": False, "reason": "unknown", "oldest": START}
LAG = {"skipped": 7, "from": START, "to": "v1.0badcafe.42", "why": "slow"}


def of(body: bytes, offset: int = 1) -> Logged:
    """The journal's form of a CloudEvent that is written like this."""
    return logged(Entry(offset, message(body)))


def attributes(**more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "/sources/x",
        "type": "streamer.post",
        "topic": "post.x",
        **more,
    }


def frames(data: bytes) -> list[bytes]:
    """The payloads of plain text frames."""
    found = []
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        found.append(data[start : start + length])
        data = data[start + length :]
    return found


class EventStreamTests(SynchronousTestCase):
    """`EventStream`."""

    def test_events(self) -> None:
        """Each has its own position, its type, and its JSON as it is; the last one's position is that of the batch."""
        entries = [logged(entry(number)) for number in (1, 2)]
        framer = ServerSent()
        first, second = framer.feed(SSE_UNCHUNKED.events("v1.00000000.2", entries))
        self.assertEqual((first.id, first.event, first.data), (entries[0].position, "streamer.post", entries[0].event))
        self.assertEqual(("v1.00000000.2", entries[1].event), (second.id, second.data))

    def test_chunk(self) -> None:
        """What is written at a time is one chunk."""
        plain, chunked = (encoding.events("v1.00000000.1", [logged(entry(1))]) for encoding in (SSE_UNCHUNKED, SSE))
        self.assertEqual(b"%x\r\n%b\r\n" % (len(plain), plain), chunked)
        self.assertEqual((b"0\r\n\r\n", b""), (SSE.end, SSE_UNCHUNKED.end))

    @settings(max_examples=50)
    @given(
        st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=3), max_leaves=6), st.text()
    )
    def test_any_event(self, data: object, type_: str) -> None:
        """Whatever is in an event, and however it is laid out, it is one event of the stream with the same meaning."""
        event = attributes(data=data, type=type_ or "-")
        framer = ServerSent()
        for written in (json.dumps(event, indent=1).replace("\n", "\r\n"), json.dumps(event, ensure_ascii=False)):
            found = of(written.encode("utf-8", "replace"))
            (sent,) = framer.feed(SSE_UNCHUNKED.events(found.position, [found]))
            self.assertEqual(json.loads(found.event), json.loads(sent.data))
            self.assertIn(sent.event, (json.loads(found.event)["type"], "message"))

    def test_hostile_type(self) -> None:
        """A type that would begin a field, or that a browser takes for its own events, is left out."""
        for type_ in ("a\nid: 1", "a\rdata: x", "error", "open", "x\x00"):
            found = of(json.dumps(attributes(type=type_)).encode())
            (sent,) = ServerSent().feed(SSE_UNCHUNKED.events(found.position, [found]))
            with self.subTest(type=type_):
                self.assertEqual(("message", found.position, found.event), (sent.event, sent.id, sent.data))

    def test_position(self) -> None:
        """A position by itself is remembered, and is no event."""
        framer = ServerSent("old")
        self.assertEqual([], framer.feed(SSE_UNCHUNKED.position("v1.00000000.9")))
        self.assertEqual("v1.00000000.9", framer.last_id)

    def test_words(self) -> None:
        """The beginning, a loss and the end are events with facts; only the end leaves the position as it is."""
        framer = ServerSent()
        framer.feed(SSE_UNCHUNKED.retry(1234))
        self.assertEqual(1234, framer.retry_ms)
        error = ClientError("slow", "too slow", retry=True)
        said = [SSE_UNCHUNKED.subscribed(FACTS), SSE_UNCHUNKED.lag(LAG), SSE_UNCHUNKED.failed(error)]
        self.assertEqual(
            [
                ("streamer.subscribed", START, FACTS),
                ("streamer.lag", LAG["to"], LAG),
                ("streamer.error", LAG["to"], {"code": "slow", "message": "too slow", "retry": True}),
            ],
            [(sent.event, sent.id, json.loads(sent.data)) for one in said for sent in framer.feed(one)],
        )


class CloudEventsTests(SynchronousTestCase):
    """`CloudEventFrames`."""

    def test_events(self) -> None:
        """Each is a frame; its place is put in before its own attributes, which are not touched."""
        entries = [logged(entry(number)) for number in (1, 10)]
        first, second = frames(CLOUDEVENTS.events(entries[1].position, entries))
        self.assertTrue(first.endswith(entries[0].event[1:]))
        self.assertEqual("0" * 19 + "1", json.loads(first)["sequence"])
        self.assertEqual(
            {**json.loads(entries[1].event), "sequence": "0" * 18 + "10", "position": entries[1].position},
            json.loads(second),
        )

    def test_attributes_of_that_name(self) -> None:
        """An event that has these attributes is told with ours, once; data of that name is left alone."""
        for more in (
            {"sequence": "x", "position": 7},
            {"position": None},
            {"data": {"sequence": 1.10, "position": None}},
        ):
            found = of(json.dumps(attributes(**more)).encode(), 3)
            (frame,) = frames(CLOUDEVENTS.events(found.position, [found]))
            pairs = json.loads(frame, object_pairs_hook=lambda pairs: pairs)
            names = [name for name, _ in pairs]
            with self.subTest(more=more):
                self.assertEqual(len(set(names)), len(names))
                place = {"sequence": "0" * 19 + "3", "position": found.position}
                self.assertEqual({**attributes(**more), **place}, json.loads(frame))

    def test_white_space(self) -> None:
        """Space before the object does no harm."""
        found = of(b" \n" + json.dumps(attributes()).encode())
        self.assertEqual(
            "1", json.loads(frames(CLOUDEVENTS.events(found.position, [found]))[0])["sequence"].lstrip("0")
        )

    def test_deflated(self) -> None:
        """Long ones are compressed where that was negotiated."""
        entries = [logged(entry(1, size=5000))]
        plain, deflated = (one.events(entries[0].position, entries) for one in (CLOUDEVENTS, CLOUDEVENTS_DEFLATED))
        self.assertLess(len(deflated), len(plain) // 10)

    def test_words(self) -> None:
        """The beginning and a loss are CloudEvents of the relay's; for a position and the end there are none."""
        (lag,) = [json.loads(frame) for frame in frames(CLOUDEVENTS.lag(LAG))]
        self.assertEqual(
            ("1.0", "/relay", "streamer.lag", LAG, LAG["to"], "0" * 18 + "42"),
            tuple(lag[key] for key in ("specversion", "source", "type", "data", "position", "sequence")),
        )
        (subscribed,) = [json.loads(frame) for frame in frames(CLOUDEVENTS.subscribed(FACTS))]
        self.assertEqual(("streamer.subscribed", FACTS), (subscribed["type"], subscribed["data"]))
        self.assertNotEqual(lag["id"], subscribed["id"])
        self.assertEqual(b"", CLOUDEVENTS.position(START) + CLOUDEVENTS.failed(ClientError("slow", "slow")))


class PollAnswerTests(SynchronousTestCase):
    """`PollAnswer`."""

    def test_members(self) -> None:
        """What it writes are members of one object."""
        entries = [logged(entry(number)) for number in (1, 2)]
        members = b",".join([POLL.lag(LAG), POLL.events("v1.00000000.2", entries)])
        self.assertEqual(
            {"lag": [LAG], "events": [json.loads(one.event) for one in entries]}, json.loads(b"{%b}" % members)
        )
        self.assertEqual(b"", POLL.position(START))
