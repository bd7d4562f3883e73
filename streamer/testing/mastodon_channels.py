# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""Which streams a status goes to, and how a client names them.

https://docs.joinmastodon.org/methods/streaming/#streams — a channel is a stream with its tag or list, such as
`public:local:media`, `hashtag:local/python`, `list/42`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = frozenset(
    {
        *(f"public{part}{media}" for part in ("", ":local", ":remote") for media in ("", ":media")),
        "user",
        "user:notification",
        "direct",
        "hashtag",
        "hashtag:local",
        "list",
    }
)
ABOUT = {"hashtag": "tag", "hashtag:local": "tag", "list": "list"}
MISSING = {"tag": "Missing tag name parameter", "list": "Missing list name parameter"}
LISTS = frozenset({"42"})  # that the one account has; everybody is on them


class NoChannel(Exception):
    """The server's own words about what is no channel; `status` goes with them."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


def channel(name: str, parameters: Mapping[str, str], unknown: str) -> str:
    """The channel that a client asks for.

    Args:
        name: of the stream, parts separated by colons.
        unknown: what to say where there is no such stream.

    Raises:
        NoChannel: it cannot be had.
    """
    if name not in NAMES:
        raise NoChannel(400, unknown)
    about = ABOUT.get(name)
    if about is None:
        return f"{name}:media" if parameters.get("only_media") == "true" and name.startswith("public") else name
    value = parameters.get(about, "")
    if not value:
        raise NoChannel(400, MISSING[about])
    if about == "list" and value not in LISTS:
        raise NoChannel(401, "Not authorized to stream this list")
    return f"{name}/{value.lower()}"


def channels_of(status: Mapping[str, Any]) -> frozenset[str]:
    """Those that a status goes to; who listens follows everybody."""
    home = frozenset({"user", *(f"list/{number}" for number in LISTS)})
    if status.get("reblog") is not None or status.get("visibility") != "public":
        return home
    local = "@" not in str(status["account"].get("acct", ""))
    parts = ("", ":local" if local else ":remote")
    public = {
        f"public{part}{media}" for part in parts for media in ("", ":media")[: 1 + bool(status["media_attachments"])]
    }
    tags = [tag["name"].lower() for tag in status.get("tags") or ()]
    tagged = {f"hashtag/{tag}" for tag in tags} | {f"hashtag:local/{tag}" for tag in tags if local}
    return home | public | tagged


def named(found: str) -> list[str]:
    """A channel as websocket messages name it: the stream, and what it is about."""
    return found.split("/", 1)
