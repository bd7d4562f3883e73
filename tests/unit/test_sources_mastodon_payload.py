"""What Mastodon's statuses say, made up and recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Activity, Author, Facet, Media
from streamer.errors import DecodeError
from streamer.events import change, delete, post
from streamer.hydrators.author import AuthorHydrator
from streamer.hydrators.entities import EntitiesHydrator
from streamer.message import Event, Item
from streamer.secrets import Secret
from streamer.sources.mastodon import Mastodon, Settings, mastodon
from streamer.testing.trial import check_source
from streamer.wire.sse import Sent

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "mastodon"
KINDS = (post.post, delete.delete, change.change)
ACCOUNT = {
    "id": "7",
    "acct": "ada",
    "username": "ada",
    "display_name": "Ada L",
    "url": "https://h.example/@ada",
}
STATUS: dict[str, Any] = {
    "id": "111111111111111111",
    "uri": "https://h.example/users/ada/statuses/1",
    "url": "https://h.example/@ada/1",
    "created_at": "2023-11-14T22:13:20.123Z",
    "account": ACCOUNT,
    "content": "<p>hi</p>",
    "spoiler_text": "",
    "sensitive": False,
    "visibility": "public",
    "language": "en",
    "in_reply_to_id": None,
    "reblog": None,
    "media_attachments": [],
    "mentions": [],
    "tags": [],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "url", "name"]), inner),
    max_leaves=6,
)


def source(**settings: Any) -> Mastodon:
    """A source of a server called h.example."""
    return mastodon.build("fedi", Settings(token=Secret("t"), base_url="https://h.example", **settings))


def decoded(event: str = "update", private: bool = False, **fields: Any) -> Activity:
    """What a status says with these fields."""
    made = source(private=private)
    (item,) = made.outcomes(Sent(json.dumps({**STATUS, **fields}).encode(), event), 5)
    assert isinstance(item, Item)
    return made.decode(item)


def events(activity: Activity) -> list[Event]:
    """What comes of an activity."""
    hydrated = AuthorHydrator().hydrate(EntitiesHydrator().hydrate(activity))
    return [event for kind in KINDS if (event := kind.derive(hydrated, 1_700_000_000_500)) is not None]


class StatusTests(SynchronousTestCase):
    """A status."""

    def test_whole(self) -> None:
        """Everything that a post has."""
        link = '<a href="https://far.example/@bob" class="u-url mention">@<span>bob</span></a>'
        tag = '<a href="https://h.example/tags/cats" class="mention hashtag" rel="tag">#<span>Cats</span></a>'
        found = decoded(
            content=f"<p>{link} look: {tag}</p>",
            mentions=[{"id": "9", "acct": "bob@far.test", "url": "https://far.example/@bob"}],
            tags=[{"name": "cats"}, {"name": "dogs"}],
            media_attachments=[
                {"type": "image", "url": "https://h.example/1.png", "description": "a cat"},
                {"type": "gifv", "url": None, "remote_url": "https://far.example/2.mp4"},
                {"type": "audio", "url": "https://h.example/3.ogg"},
            ],
            language="pt-BR",
            in_reply_to_id="5",
        )
        self.assertEqual("@bob look: #Cats", found.text)
        self.assertEqual((Facet(0, 4, "mention", "bob@far.test"), Facet(11, 16, "tag", "Cats")), found.facets)
        self.assertEqual(("Cats", "dogs"), found.tags)
        self.assertEqual(
            (Media("photo", "https://h.example/1.png", "a cat"), Media("animation", "https://far.example/2.mp4")),
            found.media,
        )
        self.assertEqual(Author("7", "ada@h.example", "Ada L", "https://h.example/@ada"), found.author)
        self.assertEqual(
            ("pt", 1_700_000_000_123, "5", None), (found.lang, found.created, found.reply_to, found.thread)
        )
        self.assertEqual((STATUS["id"], "https://h.example/@ada/1", False), (found.id, found.url, found.sensitive))
        (event,) = events(found)
        self.assertEqual("post.fedi.pt.ada@h%2Eexample.cats.dogs", event.topic)

    def test_warning(self) -> None:
        """A warning stands before the text, moves its facets, and makes it sensitive."""
        found = decoded(spoiler_text=" food ", content="<p><a href='https://a.example'>x</a></p>")
        self.assertEqual(("food\n\nx", True), (found.text, found.sensitive))
        self.assertEqual((Facet(6, 7, "link", "https://a.example"),), found.facets)
        self.assertEqual("food", decoded(spoiler_text="food", content="").text)

    def test_handles(self) -> None:
        """One name on every server: a local handle gets the host of its address, else that of the server."""
        for fields, handle in (
            ({"acct": "ada"}, "ada@h.example"),
            ({"acct": "ada", "url": None}, "ada@h.example"),
            ({"acct": "ada", "url": "https://web.example:3000/@ada"}, "ada@web.example:3000"),
            ({"acct": "bob@far.test"}, "bob@far.test"),
            ({"acct": None}, "ada@h.example"),
            ({"acct": "a b"}, None),
            ({"acct": "\u202ex"}, None),
        ):
            author = decoded(account={**ACCOUNT, **fields}).author
            assert author is not None
            self.assertEqual(handle, author.handle)

    def test_repost(self) -> None:
        """A repost shows nothing: it is not its author's text, and the original has an event of its own."""
        found = decoded(reblog=STATUS, content="<p>hi</p>")
        self.assertEqual(("repost", None, []), (found.kind, found.text, events(found)))

    def test_not_for_everybody(self) -> None:
        """Posts for followers or addressees make no event, unless the operator wants it."""
        for visibility in ("private", "direct", "local", None, 5):
            for event in ("update", "status.update"):
                self.assertEqual([], events(decoded(event, visibility=visibility)))
                self.assertEqual(1, len(events(decoded(event, private=True, visibility=visibility))))
        self.assertEqual(1, len(events(decoded(visibility="unlisted"))))

    def test_edit_and_delete(self) -> None:
        """An edit is an event beside the post's, and a deletion names the same post."""
        one, other = events(decoded()), events(decoded("status.update", edited_at="2023-11-14T22:14:00Z"))
        self.assertNotEqual(one[0].id, other[0].id)
        made = source()
        (item,) = made.outcomes(Sent(STATUS["id"].encode(), "delete"), 5)
        assert isinstance(item, Item)
        (gone,) = events(made.decode(item))
        self.assertEqual({one[0].data.id, other[0].data.id}, {gone.data.id})

    def test_notifications(self) -> None:
        """A notification is a change, but for the owner only."""
        said = json.dumps({"id": "1", "type": "mention", "account": ACCOUNT, "status": STATUS}).encode()
        for private in (False, True):
            made = source(private=private)
            (item,) = made.outcomes(Sent(said, "notification"), 5)
            assert isinstance(item, Item)
            found = events(made.decode(item))
            self.assertEqual(["mention"] * private, [event.data.action for event in found])

    def test_announcement(self) -> None:
        """What the server announces is a change of the server's."""
        made = source()
        (item,) = made.outcomes(Sent(b'{"id":"1","content":"<p>down at <b>9</b></p>"}', "announcement"), 5)
        assert isinstance(item, Item)
        (event,) = events(made.decode(item))
        self.assertEqual(("announcement", "h.example", "down at 9"), event_words(event))

    def test_times(self) -> None:
        """Absurd times are left out."""
        for written in ("soon", "0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "1900-01-01T00:00:00Z", 5, None, ""):
            found = decoded(created_at=written)
            self.assertIsNone(found.created)
            self.assertIsNone(source().posted(found.item))
        self.assertEqual(1_700_000_000_123, source().posted(decoded().item))
        self.assertIsNone(source().posted(decoded("status.update").item))

    def test_unreadable(self) -> None:
        """Without content there is no post."""
        for fields in ({"content": None}, {"content": 7}):
            self.assertRaises(DecodeError, decoded, **fields)

    @given(st.dictionaries(st.sampled_from(sorted(STATUS)), VALUES, max_size=4))
    def test_any_field(self, fields: dict[str, Any]) -> None:
        """A field that is wrong is left out; only id and content are needed, and nothing else is ever raised."""
        made = source(private=True)
        body = json.dumps({**STATUS, **fields}).encode()
        try:
            (item,) = made.outcomes(Sent(body, "update"), 5)
            assert isinstance(item, Item)
            found = made.decode(item)
        except DecodeError:
            self.assertTrue({"id", "content"} & set(fields))
            return
        for event in events(found):
            event.message()


def event_words(event: Event) -> tuple[str, ...]:
    """What a change says."""
    return event.data.action, event.data.scope, event.data.summary


class RecordedTests(SynchronousTestCase):
    """What real servers sent."""

    def setUp(self) -> None:
        """The recordings are not part of the project."""
        if not FOLDER.is_dir():
            pytest.skip(f"the recorded statuses are not at {FOLDER}")
        self.source = source(private=True)

    def test_statuses(self) -> None:
        """Each status becomes a post with an author and a time, each repost nothing; no markup is left."""
        rows = [json.loads(line) for line in (FOLDER / "statuses-local-instance.jsonl").read_bytes().splitlines()]
        found: Counter[str] = Counter()
        for row in rows:
            (item,) = self.source.outcomes(Sent(json.dumps(row).encode(), "update"), 5)
            assert isinstance(item, Item)
            activity = self.source.decode(item)
            for event in events(activity):
                body = json.loads(event.message().body)
                self.assertEqual((row["id"], row["created_at"]), (body["data"]["id"], body["time"]))
                self.assertTrue(body["data"]["author"]["handle"])
                self.assertEqual({tag["name"] for tag in row["tags"]}, {tag.lower() for tag in body["data"]["tags"]})
                self.assertNotRegex(body["data"]["text"], r"</?[a-z]|&[a-z]+;")
                found.update([event.type])
            for facet in activity.facets or ():
                written = (activity.text or "")[facet.start : facet.end]
                wanted = {"tag": f"#{facet.value}", "mention": f"@{facet.value.partition('@')[0]}"}
                self.assertEqual(wanted.get(facet.kind, written), written)
                found.update([facet.kind])
        self.assertEqual(235, len(rows))
        self.assertEqual({"streamer.post": 228, "mention": 34, "tag": 62, "link": 6}, found)

    def test_streams(self) -> None:
        """The recorded streams, in any pieces: `:)` and `:thump` are no events, and everything else is understood."""
        kinds: Counter[str] = Counter()
        for path in sorted(FOLDER.glob("test_stream_*_*.sse")):
            made = check_source(self.source, path.read_bytes())
            self.assertEqual(([], []), (made.words, made.bad))
            kinds.update(item.kind for item in made.items)
            kinds.update(event.type for event in made.events)
        self.assertEqual(3, kinds["post"])
        self.assertEqual((1, 1), (kinds["edit"], kinds["delete"]))
        self.assertEqual((4, 1), (kinds["streamer.post"], kinds["streamer.delete"]))
        self.assertEqual((2, 2), (kinds["notification"], kinds["streamer.change"]))
