"""Jetstream: what it asks for, what an event is, and what a post of Bluesky says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.activity import Activity, Facet, Media
from streamer.errors import DecodeError
from streamer.events import change, delete, geo, notice, post
from streamer.hydrators.author import AuthorHydrator
from streamer.hydrators.entities import EntitiesHydrator
from streamer.hydrators.geo import GeoHydrator
from streamer.interfaces import ISource
from streamer.message import Item
from streamer.policy import backoff
from streamer.sources.jetstream import HOSTS, WINDOW, Jetstream, Settings, jetstream
from streamer.sources.jetstream_facets import facets_of
from streamer.sources.jetstream_objects import (
    Blob,
    Embed,
    External,
    FacetObject,
    Feature,
    Image,
    Index,
    Label,
    Labels,
    PostRecord,
    Reply,
)
from streamer.sources.jetstream_payload import (
    ALT_LIMIT,
    FACETS_LIMIT,
    ID_LIMIT,
    MEDIA_LIMIT,
    TAGS_LIMIT,
    TEXT_LIMIT,
)
from streamer.sources.jetstream_predicates import DIDS_LIMIT, Predicates
from streamer.upstream import Prepared, Response, Resume
from streamer.wire.whole import Whole
from streamer.wire.zstd import ZstdMessages

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "jetstream"
NOW = 1_779_719_009_132  # ms since the epoch
DID = "did:plc:q235v55g5unth4zjjdpacfdr"
URI = f"at://{DID}/app.bsky.feed.post/3mmoojp4cd223"
FIELDS = sorted(
    {name for struct in (PostRecord, FacetObject, Index, Feature, Reply, Embed, Image, Blob, External, Labels, Label)
     for name in struct.__struct_encode_fields__}
)  # fmt: skip
KINDS = (post.post, geo.geo, notice.notice, delete.delete, change.change)


def source(**settings: Any) -> Jetstream:
    """A source with these settings."""
    made: Jetstream = jetstream.build("sky", Settings(**settings))
    return made


def commit(record: Any = None, **fields: Any) -> dict[str, Any]:
    """A post as it comes; `fields` of the commit."""
    inner = {
        "rev": "3mmoojpaqkn2z",
        "operation": "create",
        "collection": "app.bsky.feed.post",
        "rkey": "3mmoojp4cd223",
    }
    record = {"text": "hello"} if record is None else record
    return {"did": DID, "time_us": NOW * 1000, "kind": "commit", "commit": {**inner, "record": record, **fields}}


def item(event: Any) -> Item:
    """The item that an event is."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    (made,) = source().outcomes(body, NOW)
    assert isinstance(made, Item)
    return made


def decoded(record: Any, **fields: Any) -> Activity:
    """What a post says."""
    return source().decode(item(commit(record, **fields)))


class RequestTests(SynchronousTestCase):
    """What is asked for."""

    def query(self, dial: Any) -> dict[str, list[str]]:
        """The parameters of the first URL; those of the others are the same."""
        self.assertEqual(1, len({urlsplit(url).query for url in dial.urls}))
        return parse_qs(urlsplit(dial.urls[0]).query)

    def test_interface(self) -> None:
        """It is a source."""
        self.assertTrue(verifyObject(ISource, source()))

    def test_first(self) -> None:
        """At first posts alone, from now on, at any of the public hosts."""
        dial = source().request(None, NOW)
        self.assertEqual([f"wss{host[5:]}/subscribe" for host in HOSTS], [url.partition("?")[0] for url in dial.urls])
        self.assertEqual({"wantedCollections": ["app.bsky.feed.post"]}, self.query(dial))
        self.assertEqual(((), None, False), (dial.hello, dial.replays_from, dial.deflate))

    def test_resume(self) -> None:
        """From five seconds before the last item, and ten before what is safe; in microseconds."""
        for received, cursor, expected in (
            (NOW, NOW * 1000, NOW - 10_000),
            (NOW, NOW * 1000 - 60_000_000, NOW - 65_000),
            (NOW, NOW * 1000 + 60_000_000, NOW - 10_000),
            (NOW, None, NOW - 10_000),
            (NOW, 123_456, NOW - 10_000),  # a host's own number
            (NOW, "nonsense", NOW - 10_000),
            (NOW, "9" * 30, NOW - 10_000),
            (NOW - 10 * WINDOW, (NOW - 10 * WINDOW) * 1000, NOW - WINDOW),
        ):
            resume = Resume(received=received, cursor=None if cursor is None else str(cursor))
            dial = source(base_url="https://a.example").request(resume, NOW)
            self.assertEqual(
                ([str(expected * 1000)], expected), (self.query(dial)["cursor"], dial.replays_from), cursor
            )

    def test_resume_elsewhere(self) -> None:
        """From a minute before where another host may answer, whose times are its own."""
        for received, cursor, expected in (
            (NOW, NOW * 1000, NOW - 60_000),
            (NOW, NOW * 1000 - 60_000_000, NOW - 120_000),
            (NOW, NOW * 1000 + 90_000_000, NOW - 60_000),
            (NOW, None, NOW - 60_000),
            (NOW - WINDOW, (NOW - WINDOW) * 1000, NOW - WINDOW),
        ):
            resume = Resume(received=received, cursor=None if cursor is None else str(cursor))
            dial = source(hosts=("https://a.example", "https://b.example")).request(resume, NOW)
            self.assertEqual(
                ([str(expected * 1000)], expected), (self.query(dial)["cursor"], dial.replays_from), cursor
            )

    def test_backfill(self) -> None:
        """A source that knows nothing yet asks for as many minutes as it is told."""
        dial = source(backfill_minutes=2).request(None, NOW)
        self.assertEqual(
            ([str((NOW - 120_000) * 1000)], NOW - 120_000), (self.query(dial)["cursor"], dial.replays_from)
        )

    def test_options(self) -> None:
        """Compression, sizes, collections and authors stand in the URL."""
        some = source(deflate=True, max_message_bytes=5000, predicates=Predicates(("a.b.*", "a.b.c"), (DID,)))
        dial = some.request(None, NOW)
        wanted = {"wantedCollections": ["a.b.*", "a.b.c"], "wantedDids": [DID], "maxMessageSizeBytes": ["5000"]}
        self.assertEqual((wanted, True), (self.query(dial), dial.deflate))

    def test_hello(self) -> None:
        """A filter that is too long for a URL goes as the first message, and nothing may come before it."""
        many = Predicates(dids=tuple(f"did:plc:{number:024}" for number in range(DIDS_LIMIT)))
        some = source(predicates=many, max_message_bytes=7, base_url="https://a.example")
        dial = some.request(Resume(received=NOW), NOW)
        self.assertEqual({"requireHello": ["true"], "cursor": [str((NOW - 10_000) * 1000)]}, self.query(dial))
        (hello,) = dial.hello
        payload = {
            "wantedCollections": ["app.bsky.feed.post"],
            "wantedDids": list(many.dids),
            "maxMessageSizeBytes": 7,
        }
        self.assertEqual({"type": "options_update", "payload": payload}, json.loads(hello))

    def test_prepare(self) -> None:
        """A change is a message on the open connection; no request is made for it."""
        some = source().with_predicates(Predicates((), (DID,)))
        with self.assertRaises(StopIteration) as caught:
            next(some.prepare(False))
        prepared = caught.exception.value
        assert isinstance(prepared, Prepared)
        payload = {"wantedCollections": [], "wantedDids": [DID], "maxMessageSizeBytes": 0}
        self.assertEqual({"type": "options_update", "payload": payload}, json.loads(prepared.say[0]))
        self.assertEqual((2, 0), (some.changes(source()), some.changes(some)))
        self.assertIsNone(some.recovery(0, NOW))


class SettingsTests(SynchronousTestCase):
    """What may be configured."""

    def refused(self, *words: str, **settings: Any) -> None:
        """It cannot be built; the sentence says why."""
        with self.assertRaises(ValueError) as caught:
            source(**settings)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_base_url(self) -> None:
        """One host in the place of all; `wss` means the same."""
        for url in ("https://a.example", "wss://a.example/"):
            self.assertEqual(("wss://a.example/subscribe",), source(base_url=url).urls)
        self.assertEqual(("ws://127.0.0.1:9/x/subscribe",), source(base_url="http://127.0.0.1:9/x").urls)

    def test_hosts(self) -> None:
        """Some, each once, encrypted."""
        self.refused("1 to 16", hosts=())
        self.refused("twice", hosts=("https://a.example", "wss://a.example/"))
        self.refused("https", hosts=("http://a.example",))
        self.refused("base_url and hosts", base_url="https://a.example", hosts=("https://b.example",))
        self.assertEqual(source().credential, source(predicates=Predicates(())).credential)

    def test_compression(self) -> None:
        """zstd needs its dictionary, which is looked for at once, and forbids deflate."""
        self.refused("zstd_dictionary", "legacy_subscribe.zdict", compress=True)
        self.refused("deflate", compress=True, deflate=True)
        self.refused("/nowhere", "No such file", compress=True, zstd_dictionary="/nowhere")
        self.refused("no zstd dictionary", compress=True, zstd_dictionary=__file__)
        self.assertIsInstance(source().framer(), Whole)
        path = FOLDER / "legacy_subscribe.zdict"
        if path.is_file():
            self.assertIsInstance(source(compress=True, zstd_dictionary=str(path)).framer(), ZstdMessages)

    def test_predicates(self) -> None:
        """What the server would refuse is refused here, with what to write instead."""
        for name in (
            "",
            "posts",
            "app.bsky",
            "app.bsky.fo*",
            "*",
            ".*",
            "a..b",
            "app.bsky.feed.post.",
            "a.b.c\n",
            "a.b.1",
        ):
            self.refused(repr(name), "app.bsky.feed.post", predicates=Predicates((name,)))
        for name in ("app.*", "app.bsky.*", "com.atproto.sync.listRepos", "a-1.b2.c"):
            source(predicates=Predicates((name,)))
        for did in ("", "alice.bsky.social", "did:plc:", "did:PLC:x", "did:plc:a b", f"did:web:{'x' * 300}"):
            self.refused("handles", predicates=Predicates((), (did,)))
        self.refused("at most 100", predicates=Predicates(tuple(f"a.b.c{number}" for number in range(101))))
        self.refused("at most 10000", predicates=Predicates((), tuple(f"did:plc:{n}" for n in range(10_001))))
        self.refused("twice", predicates=Predicates(("a.b.c", "a.b.c")))


class RefusalTests(SynchronousTestCase):
    """Why there is no stream."""

    def test_causes(self) -> None:
        """Statuses and close codes have causes; where there are other hosts, few are final."""
        for status, body, alone, several in (
            (400, b"invalid collection: x", backoff.REFUSED, backoff.REFUSED),
            (301, b"", backoff.HTTP, backoff.HTTP),
            (403, b"", backoff.AUTHORISATION, backoff.HTTP),
            (404, b"", backoff.REFUSED, backoff.HTTP),
            (410, b"", backoff.GONE, backoff.HTTP),
            (429, b"", backoff.RATE_LIMIT, backoff.RATE_LIMIT),
            (503, b"service not ready", backoff.HTTP, backoff.HTTP),
            (1000, b"", backoff.DISCONNECT, backoff.DISCONNECT),
            (1001, b"server shutting down", backoff.DISCONNECT, backoff.DISCONNECT),
            (1005, b"", backoff.DISCONNECT, backoff.DISCONNECT),
            (1008, b"invalid options: invalid DID: x", backoff.REFUSED, backoff.REFUSED),
            (1008, b"consumer too slow", backoff.SLOW, backoff.SLOW),
            (1008, b"\xff", backoff.HTTP, backoff.HTTP),
            (1011, b"", backoff.HTTP, backoff.HTTP),
            (4999, b"", backoff.HTTP, backoff.HTTP),
            (7, b"", backoff.HTTP, backoff.HTTP),
        ):
            response = Response(status=status, received=5.0, body=body)
            causes = [one.refusal(response).cause for one in (source(base_url="https://a.example"), source())]
            self.assertEqual([alone, several], causes, (status, body))

    def test_words(self) -> None:
        """The operator sees what the server said, when to come back, and where it has moved to."""
        headers = {"retry-after": "7", "location": "https://b.example"}
        ending = source().refusal(Response(status=503, received=5.0, headers=headers, body=b"not\nready"))
        self.assertEqual(("HTTP 503, not ready", 7.0), (ending.detail, ending.retry_after))
        self.assertIn("b.example", source().refusal(Response(status=302, received=5.0, headers=headers)).detail)


class EventTests(SynchronousTestCase):
    """What an event is."""

    def test_item(self) -> None:
        """Its id names record and revision; its cursor is the Jetstream's time; order is kept for each author."""
        body = json.dumps(commit()).encode()
        made = item(body)
        self.assertEqual(("post", f"{URI}#3mmoojpaqkn2z"), (made.kind, made.id))
        self.assertEqual((str(NOW * 1000), DID, body, NOW), (made.cursor, made.partition, made.body, made.received))
        self.assertEqual(NOW, source().posted(made))
        self.assertIsNone(source().posted(msgspec.structs.replace(made, cursor=None)))

    def test_kinds(self) -> None:
        """Each operation on each collection has its kind, and the three about one record differ."""
        found = {}
        for collection in ("app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.follow", "com.example.thing"):
            found[collection] = tuple(
                item(commit(collection=collection, operation=operation)).kind
                for operation in ("create", "update", "delete")
            )
        self.assertEqual(
            {
                "app.bsky.feed.post": ("post", "edit", "delete"),
                "app.bsky.feed.like": ("like", "like", "unlike"),
                "app.bsky.graph.follow": ("follow", "follow", "unfollow"),
                "com.example.thing": ("record", "record", "record"),
            },
            found,
        )
        self.assertLessEqual({kind for kinds in found.values() for kind in kinds}, jetstream.kinds)
        self.assertNotEqual(item(commit()).id, item(commit(rev="3mmoojpaqkn22")).id)

    def test_identities(self) -> None:
        """They are known by the relay's number; the handle is only sometimes there."""
        event = {
            "did": DID,
            "time_us": NOW * 1000,
            "kind": "identity",
            "identity": {"did": DID, "seq": 7, "time": "x"},
        }
        self.assertEqual(("identity", f"identity:{DID}:7"), (item(event).kind, item(event).id))
        author = source().decode(item(event)).author
        assert author is not None
        self.assertEqual((DID, None), (author.id, author.handle))
        event["identity"]["handle"] = "alice.example"  # type: ignore[index]
        self.assertEqual("alice.example", source().decode(item(event)).author.handle)  # type: ignore[union-attr]
        del event["identity"]["seq"]  # type: ignore[attr-defined]
        self.assertEqual(f"identity:{DID}:x", item(event).id)
        account = {"did": DID, "time_us": NOW * 1000, "kind": "account", "account": {"active": False, "seq": 8}}
        self.assertEqual(f"account:{DID}:8", item(account).id)

    def test_no_events(self) -> None:
        """What is none is refused, and nothing else is raised."""
        for wrong in (
            b"",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b"[" * 100_000,
            commit(rkey="a/b"),
            commit(rkey=""),
            commit(rev="ä"),
            commit(collection="app bsky"),
            commit(operation="burn"),
            {**commit(), "did": "alice"},
            {**commit(), "did": "did:plc:\u0000"},
            {**commit(), "kind": "sync"},
            {**commit(), "commit": None},
            {**commit(), "commit": []},
            {**commit(), "time_us": 5},
            {**commit(), "time_us": 10**18},
            {**commit(), "time_us": "soon"},
            {**commit(), "kind": "identity"},
            commit(rkey="x" * (ID_LIMIT + 1)),
        ):
            with self.assertRaises(DecodeError):
                item(wrong)

    def test_long_names(self) -> None:
        """A record whose name is long has a short id all the same, for it has to fit into a message's."""
        made = item(commit(collection="com.example.thing", rkey="x" * 500))
        self.assertLessEqual(len(made.id), ID_LIMIT)
        self.assertEqual(made.id, item(commit(collection="com.example.thing", rkey="x" * 500)).id)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, body: bytes) -> None:
        """Whatever comes, only DecodeError."""
        try:
            item(body)
        except DecodeError:
            pass

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(FIELDS),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=20,
        )
    )
    def test_any_record(self, record: Any) -> None:
        """Whatever a record holds, a post comes of it or a DecodeError, and the event can be written."""
        try:
            activity = decoded(record)
        except DecodeError:
            return
        found = post.post.derive(activity, NOW)
        assert found is not None
        assert found.message().body


class PostTests(SynchronousTestCase):
    """What a post says."""

    def test_all_of_it(self) -> None:
        """Author, address, language, conversation, tags and pictures."""
        parent, root = f"at://{DID}/app.bsky.feed.post/3a", f"at://{DID}/app.bsky.feed.post/3b"
        image = {"$type": "blob", "ref": {"$link": "bafkreieajxclqzwk2mczx7h"}, "mimeType": "image/jpeg"}
        found = decoded(
            {
                "text": "Grüße an #Köln",
                "createdAt": "2026-05-25T14:23:28.757Z",
                "langs": ["de-CH", "en"],
                "reply": {"parent": {"uri": parent}, "root": {"uri": root}},
                "embed": {"$type": "app.bsky.embed.images", "images": [{"alt": "A tree.", "image": image}]},
                "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "!no-unauthenticated"}]},
                "tags": ["köln", "#extra"],
                "facets": [
                    {
                        "index": {"byteStart": 11, "byteEnd": 17},
                        "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "Köln"}],
                    }
                ],
            }
        )
        self.assertEqual((URI, "post"), (found.id, found.kind))
        self.assertEqual(f"https://bsky.app/profile/{DID}/post/3mmoojp4cd223", found.url)
        assert found.author is not None
        self.assertEqual((DID, None, None), (found.author.id, found.author.handle, found.author.name))
        self.assertEqual(("de", parent, root, True), (found.lang, found.reply_to, found.thread, found.sensitive))
        self.assertEqual((Facet(9, 14, "tag", "Köln"),), found.facets)
        self.assertEqual("#Köln", (found.text or "")[9:14])
        self.assertEqual(("Köln", "extra"), found.tags)
        picture = f"https://cdn.bsky.app/img/feed_fullsize/plain/{DID}/bafkreieajxclqzwk2mczx7h@jpeg"
        self.assertEqual((Media("photo", picture, "A tree."),), found.media)
        self.assertEqual(1_779_719_008_757, found.created)

    def test_little_of_it(self) -> None:
        """A text is enough; the conversation is its own, and it happened when it came."""
        found = decoded({"text": ""})
        self.assertEqual(
            ("", (), None, URI, None), (found.text, found.facets, found.lang, found.thread, found.reply_to)
        )
        self.assertEqual(NOW, found.created)

    def test_times(self) -> None:
        """An author may say any time: of the future it is that at which it came, of nonsense too."""
        for written, expected in (
            ("2026-05-25T14:23:28.757Z", 1_779_719_008_757),
            ("2026-05-25T16:23:28.757+02:00", 1_779_719_008_757),
            ("1999-01-01T00:00:00Z", 915_148_800_000),
            ("2099-01-01T00:00:00Z", NOW),
            ("1901-01-01T00:00:00Z", NOW),
            ("0000-01-01T00:00:00Z", NOW),
            ("9999-12-31T23:59:59-23:59", NOW),
            ("yesterday", NOW),
            (5, NOW),
        ):
            self.assertEqual(expected, decoded({"text": "x", "createdAt": written}).created, written)

    def test_media(self) -> None:
        """Videos, pages with a picture, moving pictures, and whatever a quotation has besides."""
        blob = {"ref": {"$link": "bafkreieajxclqzwk2mczx7h"}}
        page = {"uri": "https://a.example/", "title": "A page", "description": "of text", "thumb": blob}
        gif = {"uri": "https://media.tenor.com/x/cat.gif?hh=1", "title": "cat", "description": "Alt: a cat"}
        for embed, kinds in (
            ({"video": blob, "alt": "A film."}, [("video", "A film.")]),
            ({"external": page}, [("photo", "A page")]),
            ({"external": {**page, "thumb": None}}, []),
            ({"external": gif}, [("animation", "Alt: a cat")]),
            ({"record": {"uri": "x"}, "media": {"images": [{"alt": "", "image": blob}]}}, [("photo", None)]),
            ({"record": {"uri": "x"}}, []),
            (
                {"images": [{"alt": "x", "image": {"ref": {"$link": "../../etc"}}}, 5, {"alt": 5}]},
                [("photo", "x"), ("photo", None)],
            ),
            (7, []),
        ):
            media = decoded({"text": "x", "embed": embed}).media
            self.assertEqual(kinds, [(one.kind, one.alt) for one in media], embed)
            self.assertNotIn("..", "".join(one.url or "" for one in media))

    def test_wrong_fields(self) -> None:
        """One field that does not fit costs itself alone."""
        for wrong in ({"langs": 5}, {"facets": "x"}, {"reply": []}, {"labels": 5}, {"tags": {}}, {"createdAt": []}):
            found = decoded({"text": "x", "tags": ["a"], **wrong})
            self.assertEqual("x", found.text)
            self.assertEqual(() if "tags" in wrong else ("a",), found.tags, wrong)
        bad = {"index": {"byteStart": "x"}}
        good = {
            "index": {"byteStart": 0, "byteEnd": 1},
            "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "x"}],
        }
        self.assertEqual(1, len(decoded({"text": "xy", "facets": [bad, good, 5]}).facets or ()))

    def test_wrong_rows(self) -> None:
        """One row that does not fit costs itself alone, texts and objects alike."""
        tag = {"$type": "app.bsky.richtext.facet#tag", "tag": "x"}
        index = {"byteStart": 0, "byteEnd": 1}
        found = decoded(
            {
                "text": "x",
                "langs": [5, None, "pt", {}],
                "tags": ["a", 7, "b", ["c"]],
                "facets": [{"index": index, "features": [5, tag]}],
            }
        )
        self.assertEqual(("pt", ("x", "a", "b")), (found.lang, found.tags))
        self.assertEqual((Facet(0, 1, "tag", "x"),), found.facets)

    def test_limits(self) -> None:
        """However much a stranger writes into a post, what comes of it is bounded; the text ends with an ellipsis."""
        spans = [{"byteStart": at, "byteEnd": at + 1} for at in range(FACETS_LIMIT + 50)]
        mentions = [
            {"index": span, "features": [{"$type": "app.bsky.richtext.facet#mention", "did": f"did:plc:{number}"}]}
            for number, span in enumerate(spans)
        ]
        blob = {"ref": {"$link": "bafkreieajxclqzwk2mczx7h"}}
        found = decoded(
            {
                "text": "x" * (TEXT_LIMIT + 1),
                "facets": mentions,
                "tags": ["t" * 700, *[f"t{number}" for number in range(1000)]],
                "langs": [*["??"] * 1000, "en"],
                "embed": {"images": [{"alt": "a" * (ALT_LIMIT + 1), "image": blob}] * 100},
            }
        )
        self.assertEqual("x" * (TEXT_LIMIT - 1) + "…", found.text)
        self.assertEqual(FACETS_LIMIT, len(found.facets or ()))
        self.assertEqual(FACETS_LIMIT + 1, len(found.people))
        self.assertEqual(tuple(f"t{number}" for number in range(TAGS_LIMIT - 1)), found.tags)
        self.assertIsNone(found.lang)
        self.assertEqual([ALT_LIMIT] * MEDIA_LIMIT, [len(one.alt or "") for one in found.media])

    def test_long_text(self) -> None:
        """A text is whole up to its limit; beyond, no facet reaches into what stands for the rest."""
        self.assertEqual("é" * TEXT_LIMIT, decoded({"text": "é" * TEXT_LIMIT}).text)
        tag = {"$type": "app.bsky.richtext.facet#tag", "tag": "x"}
        ends = (TEXT_LIMIT - 1, TEXT_LIMIT, TEXT_LIMIT + 1)
        spans = [{"index": {"byteStart": end - 1, "byteEnd": end}, "features": [tag]} for end in ends]
        found = decoded({"text": "x" * (TEXT_LIMIT + 10), "facets": spans})
        self.assertEqual([TEXT_LIMIT - 1], [facet.end for facet in found.facets or ()])

    def test_strange_links(self) -> None:
        """Only what may be linked to is linked to, in the text and as a moving picture."""
        good = "https://media.example/cat.gif"
        for uri, fits in (
            (good, True),
            ("https://e.example/\n.gif", False),
            ("https://e.example/\0\u202e.gif", False),
            ('https://e.example/ "><b>.gif', False),
            ("https:///cat.gif", False),
            (f"https://e.example/{'x' * 500_000}.gif", False),
        ):
            span = {"byteStart": 0, "byteEnd": 3}
            facet = {"index": span, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": uri}]}
            found = decoded({"text": "abc", "facets": [facet], "embed": {"external": {"uri": uri, "title": "t"}}})
            self.assertEqual([uri] if fits else [], [one.value for one in found.facets or ()], uri[:40])
            self.assertEqual([uri] if fits else [], [one.url for one in found.media], uri[:40])

    def test_no_text(self) -> None:
        """A post without text is none."""
        for record in ({}, {"text": 5}, {"text": None}, [], 5):
            with self.assertRaises(DecodeError):
                decoded(record)

    def test_half_a_character(self) -> None:
        """Half a surrogate pair is replaced, as elsewhere."""
        body = json.dumps(commit({"text": "a\ud800b"})).encode()
        self.assertEqual("a\ufffdb", source().decode(item(body)).text)

    def test_addresses_that_are_none(self) -> None:
        """What is answered is a record, or nothing."""
        for wrong in ("https://x.example", "at://alice/app.bsky.feed.post/1", f"at://{DID}/a.b.c/{'x' * 300}", ""):
            found = decoded({"text": "x", "reply": {"parent": {"uri": wrong}, "root": {"uri": wrong}}})
            self.assertEqual((None, URI), (found.reply_to, found.thread), wrong)

    def test_edit_and_delete(self) -> None:
        """They are about the same id as the post; the edit's event is another one."""
        edit, gone = commit({"text": "new"}, operation="update", rev="3x"), commit(operation="delete", rev="3y")
        del gone["commit"]["record"]
        activities = [source().decode(item(event)) for event in (commit(), edit, gone)]
        self.assertEqual({URI}, {activity.id for activity in activities})
        events = [event for one in activities for kind in KINDS if (event := kind.derive(one, NOW))]
        wanted = [f"post:{URI}", f"notice:{URI}", f"post:{URI}#3x", f"delete:{URI}"]
        self.assertLessEqual(set(wanted) - {f"notice:{URI}"}, {event.id for event in events})
        self.assertEqual(NOW, activities[2].created)

    def test_likes(self) -> None:
        """A like has an author and a time, and gives no event."""
        found = source().decode(item(commit({"subject": {"uri": URI}}, collection="app.bsky.feed.like")))
        self.assertEqual(("like", DID), (found.kind, found.author.id if found.author else None))
        self.assertEqual([], [kind.name for kind in KINDS if kind.derive(found, NOW) is not None])


def feature(kind: str, **fields: Any) -> Feature:
    """A feature of the lexicon."""
    return Feature(f"app.bsky.richtext.facet#{kind}", **fields)


class FacetTests(SynchronousTestCase):
    """Bytes into code points."""

    def found(self, text: str, *spans: tuple[int, int], feature: Feature) -> list[tuple[int, int]]:
        """Where the facets of some spans are."""
        objects = [FacetObject(Index(start, end), [feature]) for start, end in spans]
        return [(facet.start, facet.end) for facet in facets_of(text, objects)]

    @given(st.text(max_size=40), st.data())
    def test_spans(self, text: str, data: st.DataObject) -> None:
        """A span between characters is where the text says the same; any other is dropped."""
        written = text.encode("utf-8", "surrogatepass")
        start = data.draw(st.integers(-2, len(written) + 2))
        end = data.draw(st.integers(-2, len(written) + 2))
        found = self.found(text, (start, end), feature=feature("tag", tag="x"))
        try:
            part = written[start:end].decode("utf-8", "surrogatepass")
            before = written[:start].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            part = before = ""
        whole = 0 <= start < end <= len(written) and bool(part)
        self.assertEqual([(len(before), len(before) + len(part))] if whole else [], found)

    def test_overlaps(self) -> None:
        """Of two that overlap the first stays."""
        spans = ((4, 6), (0, 3), (2, 5), (3, 4))
        self.assertEqual([(0, 3), (3, 4), (4, 6)], self.found("abcdef", *spans, feature=feature("tag", tag="x")))

    def test_features(self) -> None:
        """Links of the web, mentions by name, and tags; the first that says something counts."""
        for given_, expected in (
            ([feature("link", uri="https://a.example/")], ("link", "https://a.example/")),
            ([feature("link", uri="javascript:alert(1)"), feature("tag", tag="#x")], ("tag", "x")),
            ([feature("mention", did=DID)], ("mention", DID)),
            ([feature("mention", did="alice")], None),
            ([feature("tag", tag=" # ")], None),
            ([feature("tag", tag="a\u0000b")], None),
            ([feature("sparkle", tag="x")], None),
            ([], None),
        ):
            found = facets_of("abc", [FacetObject(Index(0, 3), given_)])
            self.assertEqual([] if expected is None else [Facet(0, 3, *expected)], list(found))

    def test_many(self) -> None:
        """A hundred thousand of them take no long time."""
        text = "ä" * 100_000
        objects = [FacetObject(Index(2 * n, 2 * n + 2), [feature("tag", tag="x")]) for n in range(100_000)]
        self.assertEqual(100_000, len(facets_of(text, objects)))


class RecordedTests(SynchronousTestCase):
    """What the code makes of what a Jetstream really sent."""

    def test_golden(self) -> None:
        """Every recorded event passes the whole pure chain; the one post gives a post and a notice."""
        path = FOLDER / "golden_v1.jsonl"
        if not path.is_file():
            pytest.skip(f"the recorded events are not at {path}")
        kinds, events = [], []
        for line in path.read_bytes().splitlines():
            activity = source().decode(item(line))
            kinds.append(activity.kind)
            hydrated = GeoHydrator().hydrate(AuthorHydrator().hydrate(EntitiesHydrator().hydrate(activity)))
            found = [event for kind in KINDS if (event := kind.derive(hydrated, NOW)) is not None]
            events += [event.type for event in found]
            for event in found:
                json.loads(event.message().body)
        records = ["record"] * 3
        self.assertEqual(["like", "post", "repost", "follow", *records, "identity", "account", "record"], kinds)
        self.assertEqual(["streamer.post", "streamer.notice"], events)
