# -*- test-case-name: tests.unit.test_hydrators_author -*-
"""Tests for `streamer.hydrators.author`."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import registry
from streamer.activity import Activity, Author
from streamer.hydrators.author import AuthorHydrator, author, clean
from streamer.interfaces import IHydrator
from streamer.message import Item

ITEM = Item(source="birds", kind="post", id="1", received=0, body=b"{}")


def hydrated(author: Author | None, url: str | None = None, people: tuple[Author, ...] = ()) -> Author | None:
    """The author that the hydrator makes of one."""
    return (
        AuthorHydrator()
        .hydrate(Activity(item=ITEM, kind="post", id="1", author=author, url=url, people=people))
        .author
    )


class AuthorTests(SynchronousTestCase):
    """Completing authors."""

    def test_plugin(self) -> None:
        """It is found by name."""
        self.assertIs(registry.find(IHydrator, "author"), author)

    def test_complete(self) -> None:
        """A complete author costs nothing: the same activity comes back."""
        activity = Activity(item=ITEM, kind="post", id="1", author=Author("1", "jack", "Jack", "https://x.com/jack"))
        self.assertIs(AuthorHydrator().hydrate(activity), activity)

    def test_none(self) -> None:
        """Nobody is made up."""
        self.assertIsNone(hydrated(None))

    def test_at_sign(self) -> None:
        """A handle has no @; one that is nothing but @ is none."""
        self.assertEqual(hydrated(Author("1", "@jack")), Author("1", "jack"))
        self.assertEqual(hydrated(Author("1", "@")), Author("1"))

    def test_people(self) -> None:
        """What is missing is taken from the person with the same id, and from nobody else."""
        people = (Author("2", "biz", "Biz", "https://x.com/biz"), Author("1", "jack", "Jack", "https://x.com/jack"))
        self.assertEqual(
            hydrated(Author("1", name="J."), people=people), Author("1", "jack", "J.", "https://x.com/jack")
        )
        self.assertEqual(hydrated(Author("3"), people=people), Author("3"))

    def test_url_from_post(self) -> None:
        """Else the address is the post's, up to the handle."""
        for post, profile in {
            "https://x.com/Jack/status/1": "https://x.com/Jack",
            "https://social.example/@jack/1": "https://social.example/@jack",
            "https://bsky.app/profile/jack/post/1": "https://bsky.app/profile/jack",
            "https://social.example/notes/1": None,
            "https://[/jack": None,
            "ftp://x.com/jack/1": None,
            "": None,
        }.items():
            self.assertEqual(hydrated(Author("1", "jack"), post), Author("1", "jack", None, profile), post)

    def test_url_is_web(self) -> None:
        """An address of another scheme is dropped."""
        self.assertEqual(hydrated(Author("1", "jack", url="javascript:alert(1)")), Author("1", "jack"))

    def test_harmful_characters(self) -> None:
        """What could rearrange the text beside the name is taken out; letters of all scripts stay."""
        self.assertEqual(hydrated(Author("1", "ja\u202eck", "\u2067Ja\x00ck\u2069\n")), Author("1", "jack", "Jack"))
        self.assertEqual(clean(" דוד 🦜‍ é\u200d "), "דוד 🦜‍ é\u200d")
        self.assertIsNone(clean("\u202e\u2066 "))

    @given(st.text())
    def test_any_name(self, name: str) -> None:
        """No name comes out with a control character, and cleaning twice changes nothing."""
        cleaned = clean(name)
        for char in cleaned or "":
            self.assertNotEqual(unicodedata.category(char), "Cc")
            self.assertNotIn(char, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
        self.assertEqual(clean(cleaned), cleaned)

    def test_p13_not_mutated(self) -> None:
        """PT P13: the activity handed in is the same afterwards."""
        before = Activity(item=ITEM, kind="post", id="1", author=Author("1", "@jack"))
        AuthorHydrator().hydrate(before)
        self.assertEqual(before.author, Author("1", "@jack"))
