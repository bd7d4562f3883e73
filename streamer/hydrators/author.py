# -*- test-case-name: tests.unit.test_hydrators_author -*-
"""Who wrote it: a handle without @, an address, and a name that is safe to show.

Names are chosen by strangers and stand beside other text, so what could rearrange or hide that text is taken out:
control characters, line separators, and the bidi controls U+202A to U+202E and U+2066 to U+2069. Post texts keep
theirs, for there they belong to the writing; whoever shows a text isolates it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity, Author
from streamer.interfaces import IHydrator

_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


@implementer(IPlugin, IHydrator)
@attrs.define(eq=False)
class AuthorHydrator:
    """Completes `author` from `people` and from the address of the post."""

    name: str = "author"
    dropped: Mapping[str, int] = attrs.field(factory=dict)

    def hydrate(self, activity: Activity) -> Activity:
        """The activity with a complete author; as it was where it has none."""
        author = activity.author
        if author is None:
            return activity
        other = _namesake(author, activity.people)
        handle = clean(author.handle or other.handle)
        handle = handle.removeprefix("@") or None if handle else None
        name = clean(author.name or other.name)
        url = _safe(author.url) or _safe(other.url) or _profile(activity.url, handle)
        if handle == author.handle and name == author.name and url == author.url:
            return activity
        return msgspec.structs.replace(activity, author=Author(author.id, handle, name, url))


def clean(name: str | None) -> str | None:
    """A name without what could rearrange the text around it; None where nothing is left."""
    if name is None or (name.isascii() and name.isprintable() and name.strip() == name):
        return name or None
    return _HARMFUL.sub("", name).strip() or None


def _namesake(author: Author, people: tuple[Author, ...]) -> Author:
    if author.handle and author.name and author.url:
        return author
    return next((person for person in people if person.id == author.id), author)


def _safe(url: str | None) -> str | None:
    return url if url and url.lower().startswith(("http://", "https://")) else None


def _profile(post: str | None, handle: str | None) -> str | None:
    """The beginning of a post's address up to the author's handle, as most sites have it."""
    if not _safe(post) or post is None or handle is None:
        return None
    try:
        parts = urlsplit(post)
    except ValueError:  # "http://[": not an address
        return None
    names = parts.path.split("/")
    for index, segment in enumerate(names):
        if segment.lower().removeprefix("@") == handle.lower():
            return f"{parts.scheme}://{parts.netloc}{'/'.join(names[: index + 1])}"
    return None


author = AuthorHydrator()
