"""The Mastodon source: what it asks for, and what events mean."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.asks import Dial
from streamer.errors import DecodeError
from streamer.interfaces import IFramer, ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.secrets import Secret
from streamer.sources.mastodon import Frames, Mastodon, Settings, mastodon
from streamer.sources.mastodon_streams import STREAMS_LIMIT, Predicates
from streamer.upstream import Ending, Mark, Request
from streamer.wire.sse import Sent

STATUS: dict[str, Any] = {"id": "111111111111111111", "content": "<p>hi</p>", "account": {"id": "7"}, "reblog": None}


def source(*streams: str, only_media: bool = False, **settings: Any) -> Mastodon:
    """A source for these streams."""
    asked = Predicates(streams or ("public",), only_media)
    return mastodon.build("fedi", Settings(**{"token": Secret("t0ken"), "predicates": asked, **settings}))


def by_websocket(*streams: str, **settings: Any) -> Mastodon:
    """Likewise, by websocket."""
    return source(*streams, transport="websocket", **settings)


def sent(event: str, payload: Any) -> Sent:
    """A server-sent event."""
    return Sent(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), event)


def message(event: str, payload: Any) -> bytes:
    """The same by websocket."""
    return json.dumps({"stream": ["public"], "event": event, "payload": sent(event, payload).data.decode()}).encode()


class AskingTests(SynchronousTestCase):
    """What is asked for."""

    def url(self, *streams: str, **options: Any) -> str:
        """Of the request for one stream."""
        request = source(*streams, **options).request(None, 0)
        assert isinstance(request, Request)
        return request.url.removeprefix("https://streaming.mastodon.social/api/v1/streaming/")

    def test_interfaces(self) -> None:
        """Everything that is promised is there."""
        verifyObject(ISource, source())
        verifyObject(ISourceType, mastodon)
        verifyObject(IFramer, Frames())

    def test_paths(self) -> None:
        """Each stream has its path, as documented."""
        for written, path in {
            "public": "public",
            "public:local": "public/local",
            "public:remote": "public/remote",
            "hashtag:python": "hashtag?tag=python",
            "hashtag:#Köln": "hashtag?tag=K%C3%B6ln",
            "hashtag:local:python": "hashtag/local?tag=python",
            "hashtag:#local": "hashtag?tag=local",
            "list:42": "list?list=42",
            "user": "user",
            "user:notification": "user/notification",
            "direct": "direct",
        }.items():
            self.assertEqual(path, self.url(written))
        self.assertEqual("public/local?only_media=true", self.url("public:local", only_media=True))

    def test_request(self) -> None:
        """By server-sent events the token goes into a header, and nothing of the past is promised."""
        request = source(streaming_url="wss://streaming.example").request(None, 0)
        assert isinstance(request, Request)
        self.assertEqual("https://streaming.example/api/v1/streaming/public", request.url)
        self.assertEqual({"Authorization": "Bearer t0ken", "Accept": "text/event-stream"}, request.headers)
        self.assertIsNone(request.replays_from)
        self.assertNotIn("t0ken", f"{request!r} {source()!r}")

    def test_dial(self) -> None:
        """By websocket each stream is subscribed to by a message."""
        asked = by_websocket("public:local", "hashtag:python", "list:42", "user", only_media=True).request(None, 0)
        assert isinstance(asked, Dial)
        self.assertEqual(("wss://streaming.mastodon.social/api/v1/streaming",), asked.urls)
        self.assertEqual(
            [
                {"type": "subscribe", "stream": "public:local:media"},
                {"type": "subscribe", "stream": "hashtag", "tag": "python"},
                {"type": "subscribe", "stream": "list", "list": "42"},
                {"type": "subscribe", "stream": "user"},
            ],
            [json.loads(said) for said in asked.hello],
        )
        self.assertEqual({"Authorization": "Bearer t0ken"}, asked.headers)
        self.assertNotIn("t0ken", repr(asked))
        plain = by_websocket(base_url="http://127.0.0.1:3000").request(None, 0)
        self.assertEqual(("ws://127.0.0.1:3000/api/v1/streaming",), plain.urls)  # type: ignore[union-attr]

    def test_refused_settings(self) -> None:
        """What cannot be asked for is refused with a sentence that says how to mend it."""
        for make, sentence in (
            (lambda: source("public", "user"), 'transport = "websocket"'),
            (lambda: by_websocket("everything"), "'everything', which is none of public, public:local"),
            (lambda: source("hashtag:"), "which is none of"),
            (lambda: source("hashtag:local"), "'hashtag:#local'"),
            (lambda: source("hashtag:a b"), "letters, digits and _ only"),
            (lambda: source("list:a/b"), "is no id"),
            (lambda: by_websocket(*[f"list:{number}" for number in range(STREAMS_LIMIT + 1)]), "is the limit"),
            (lambda: source("user", only_media=True), "take it out"),
            (lambda: source(predicates=Predicates(())), "asks for nothing"),
            (lambda: source(token=Secret("a b")), "token must be"),
            (lambda: source(streaming_url="ws://far.example"), "streaming_url"),
            (lambda: source(base_url="http://far.example"), "base_url"),
        ):
            found = str(self.assertRaises(ValueError, make))
            self.assertIn(sentence, found)
        self.assertRaises(ValueError, source().with_predicates, Predicates(("nothing",)))

    def test_predicates(self) -> None:
        """Other streams make another source; a stream that is named twice is asked for once."""
        one = by_websocket("public", "user")
        other = one.with_predicates(Predicates(("user", "list:1", "list:1")))
        self.assertEqual(["user", "list"], [stream.name for stream in other.streams])
        self.assertEqual((2, 0), (one.changes(other), one.changes(one)))
        self.assertEqual(3, one.changes(other.with_predicates(Predicates(("public:local", "user"), True))))

    def test_stall(self) -> None:
        """Three times the server's own signs of life, or as configured."""
        found = [source().stall_after, by_websocket().stall_after, source(stall_after=7.0).stall_after]
        self.assertEqual([45.0, 90.0, 7.0], found)


class EventTests(SynchronousTestCase):
    """What an event means, whichever way it comes."""

    def item(self, event: str, payload: Any) -> Item:
        """The one item of an event; the same by websocket."""
        (item,) = source().outcomes(sent(event, payload), 5)
        assert isinstance(item, Item)
        self.assertEqual([item], by_websocket().outcomes(message(event, payload), 5))
        self.assertEqual(sent(event, payload).data, item.body)
        self.assertIn(item.kind, mastodon.kinds)
        return item

    def test_post(self) -> None:
        """A status is a post: named by its id, which is also where to go on."""
        item = self.item("update", STATUS)
        self.assertEqual(("post", STATUS["id"], STATUS["id"]), (item.kind, item.id, item.cursor))
        self.assertEqual(STATUS["id"], item.partition)

    def test_repost(self) -> None:
        """One that passes on another is a repost."""
        self.assertEqual("repost", self.item("update", {**STATUS, "reblog": STATUS}).kind)

    def test_edit(self) -> None:
        """Each edit is an item of its own, in order with its post; the same one twice is not."""
        ids = [self.item("status.update", {**STATUS, "edited_at": at, "x": at}).id for at in ("1", "2", None)]
        self.assertEqual(3, len(set(ids)))
        again = self.item("status.update", {**STATUS, "edited_at": "1", "favourites_count": 3})
        self.assertEqual((ids[0], "edit", STATUS["id"]), (again.id, again.kind, again.partition))

    def test_delete(self) -> None:
        """A deletion names its post."""
        item = self.item("delete", b"111111111111111111")
        self.assertEqual(("delete:111111111111111111", "text/plain"), (item.id, item.content_type))
        self.assertEqual(item.partition, self.item("update", STATUS).partition)

    def test_others(self) -> None:
        """Whatever else comes is an item of its own kind, told from others by id and content."""
        kinds = {
            "notification": "notification",
            "conversation": "conversation",
            "announcement.reaction": "announcement-reaction",
        }
        for event, kind in kinds.items():
            one, other = self.item(event, {"id": "5"}), self.item(event, {"id": "5", "unread": True})
            self.assertEqual((kind, kind), (one.kind, other.kind))
            self.assertNotEqual(one.id, other.id)

    def test_unheard_of(self) -> None:
        """A name that no documentation has is no kind, whatever it is: what calls itself a gap of ours is none."""
        for name in ("something_new", "gap", "limit", "post", "edit", "repost", "announcement-delete"):
            item = self.item(name, {"id": "5"})
            self.assertEqual(("event", True), (item.kind, item.id.startswith(f"event:{name}:5@")), name)
        (told,) = source().outcomes(sent("something_new", b"what"), 5)
        self.assertEqual("event", told.kind)  # type: ignore[union-attr]

    def test_filters_changed(self) -> None:
        """A word to the owner's own programs is none to us: its payload is no JSON."""
        self.assertEqual([], source().outcomes(sent("filters_changed", b"undefined"), 5))
        self.assertEqual([], by_websocket().outcomes(b'{"stream":["user"],"event":"filters_changed"}', 5))

    def test_bad_fields(self) -> None:
        """A number for an id will do, and an optional field that is wrong costs nothing."""
        self.assertEqual("5", self.item("update", {"id": 5, "edited_at": [], "reblog": None}).id)
        self.assertEqual("post", source().outcomes(sent("update", b'{"id":"5","content":"\\ud800"}'), 5)[0].kind)  # type: ignore[union-attr]

        (item,) = source().outcomes(b'{"event":"update","payload":"{\\"id\\":\\"5\\",\\"x\\":\\"\\ud800\\"}"}', 5)
        self.assertEqual("5", item.id)  # type: ignore[union-attr]

    def test_rubbish(self) -> None:
        """What cannot be named is refused."""
        for frame in (
            sent("update", b"<html>"),
            sent("update", b"[]"),
            sent("update", {"id": None}),
            sent("update", {"id": "a/b"}),
            sent("update", {"id": "5" * 65}),
            sent("delete", b"<html>"),
            sent("", b"{}"),
            sent("Up Date", b"{}"),
            b"",
            b"{}",
            b'{"event":"update"}',
            b'{"event":"update","payload":7}',
            b"[" * 100_000,
        ):
            self.assertRaises(DecodeError, source().outcomes, frame, 5)

    def test_in_band_errors(self) -> None:
        """A websocket says what it refuses; that ends it."""
        for frame, cause in (
            (b'{"error":"Unknown stream type","status":400}', backoff.REFUSED),
            (b'{"error":"Not authorized to stream this list","status":401}', backoff.AUTHORISATION),
            (b'{"error":"An unexpected error occurred","status":500}', backoff.HTTP),
            (b'{"error":["odd"],"status":"odd"}', backoff.HTTP),
        ):
            (ending,) = source().outcomes(frame, 5)
            assert isinstance(ending, Ending)
            self.assertEqual(cause, ending.cause)

    def test_words_pass(self) -> None:
        """A recovery's own words go through."""
        self.assertEqual([Mark("x")], source().outcomes(Mark("x"), 5))

    @given(st.binary(max_size=60), st.sampled_from(["update", "delete", "status.update", "notification", "x"]))
    def test_anything(self, data: bytes, event: str) -> None:
        """Whatever comes, there are items, or a DecodeError."""
        for frame in (data, Sent(data, event), message(event, b"x").replace(b'"x"', data)):
            try:
                outcomes = source().outcomes(frame, 5)
            except DecodeError:
                continue
            for item in outcomes:
                if isinstance(item, Item):
                    self.assertEqual(item, Item.from_message(item.message()))
