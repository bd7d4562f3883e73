# -*- test-case-name: tests.unit.test_sources_mastodon -*-
"""What a Mastodon server can be asked for, and how that is written.

https://docs.joinmastodon.org/methods/streaming/ and https://docs.joinmastodon.org/methods/timelines/

A stream is written as the server's own documentation names it, its tag or list after a colon: `public`,
`public:local`, `hashtag:python`, `hashtag:local:python`, `list:42`, `user`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import attrs
import msgspec

STREAMS_LIMIT = 100  # on one connection; the server names none, each costs it a subscription
TAG_LIMIT = 200  # characters

_PLAIN = ("public", "public:local", "public:remote", "user", "user:notification", "direct")
_KNOWN = ", ".join([*_PLAIN, "hashtag:TAG", "hashtag:local:TAG", "list:ID"])
_TAG = re.compile(r"\w+")
_LIST = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.<name>.predicates]`: posts of any of these streams.

    Args:
        streams: one with server-sent events, more with `transport = "websocket"`.
        only_media: of the public streams, posts with attachments only.
    """

    streams: tuple[str, ...] = ("public",)
    only_media: bool = False


@attrs.frozen
class Stream:
    """One stream.

    Args:
        name: without what it is about, as `hashtag:local`.
        about: the parameter that says so, `tag` or `list`; empty where there is none.
        value: of the parameter.
    """

    name: str
    about: str = ""
    value: str = ""
    only_media: bool = False

    @property
    def path(self) -> str:
        """Below `/api/v1/streaming/`, with the query."""
        asked = self._parameters()
        if self.only_media:
            asked["only_media"] = "true"
        return self.name.replace(":", "/") + (f"?{urlencode(asked)}" if asked else "")

    @property
    def subscription(self) -> str:
        """The message that subscribes to it on a websocket."""
        name = f"{self.name}:media" if self.only_media else self.name
        return msgspec.json.encode({"type": "subscribe", "stream": name, **self._parameters()}).decode()

    @property
    def timeline(self) -> tuple[str, Mapping[str, str]] | None:
        """The path below `/api/v1/timelines/` that has its past, and parameters; None where nothing has."""
        where, _, part = self.name.partition(":")
        asked = {part: "true"} if part in ("local", "remote") else {}
        if self.only_media:
            asked["only_media"] = "true"
        if where == "public":
            return "public", asked
        if where == "hashtag":
            return f"tag/{quote(self.value, safe='')}", asked
        if where == "list":
            return f"list/{quote(self.value, safe='')}", asked
        return ("home", asked) if self.name == "user" else None

    def _parameters(self) -> dict[str, str]:
        return {self.about: self.value} if self.about else {}


def streams(predicates: Predicates) -> tuple[Stream, ...]:
    """Those that are asked for, each once.

    Raises:
        ValueError: one is none, or there are too many; the text says which.
    """
    found = tuple(dict.fromkeys(_stream(written, predicates.only_media) for written in predicates.streams))
    if not found:
        raise ValueError(f"asks for nothing: streams must name at least one of {_KNOWN}")
    if len(found) > STREAMS_LIMIT:
        raise ValueError(f"streams names {len(found)}; {STREAMS_LIMIT} on one connection is the limit")
    if predicates.only_media and not any(stream.only_media for stream in found):
        raise ValueError("only_media is for the public streams, and streams names none of them; take it out")
    return found


def changes(one: Predicates, other: Predicates) -> int:
    """How many streams and settings only one of the two has."""
    return len(set(one.streams) ^ set(other.streams)) + (one.only_media != other.only_media)


def _stream(written: str, only_media: bool) -> Stream:
    if written in _PLAIN:
        return Stream(written, only_media=only_media and written.startswith("public"))
    kind, _, value = written.partition(":")
    if kind == "list" and value:
        if not _LIST.fullmatch(value):
            raise ValueError(f"streams has {written!r}, whose list is no id; its address on the server ends with it")
        return Stream("list", "list", value)
    if kind == "hashtag" and value:
        if value.startswith("local:"):
            kind, value = "hashtag:local", value.removeprefix("local:")
        tag = value.removeprefix("#")
        if value == "local":
            raise ValueError("streams has 'hashtag:local' without a tag; for the tag local write 'hashtag:#local'")
        if not _TAG.fullmatch(tag) or len(tag) > TAG_LIMIT:
            raise ValueError(f"streams has {written!r}, whose tag is none: letters, digits and _ only")
        return Stream(kind, "tag", tag)
    raise ValueError(f"streams has {written!r}, which is none of {_KNOWN}")
