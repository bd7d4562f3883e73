# -*- test-case-name: tests.unit.test_sources_feed_push -*-
"""A feed's subscription at its hub: https://www.w3.org/TR/websub/

`policy.websub` knows the protocol. Here is what it has to do with a feed: where the feed names its hub, and that the
feed is polled all the same, only rarely, while the hub brings what is new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import urljoin

import attrs
import msgspec

from streamer.policy.websub import Subscription, restored
from streamer.sources import feed_address
from streamer.upstream import Request, Response, Warned, brief

LEAST_PAUSE = 5.0  # seconds between two polls, whatever the hub is up to
LINKS = 20  # of a header that are looked at

_LINK = re.compile(r"<([^<>]{1,2000})>((?:\s*;\s*[a-z*]{1,20}\s*=\s*(?:\"[^\"]{0,500}\"|[^\s\",;<>]{0,500}))*)", re.I)
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))", re.IGNORECASE)


@attrs.define
class Push:
    """The subscription, as the polls use it."""

    subscription: Subscription
    _told: str = ""

    @classmethod
    def of(cls, feed: str, callbacks: str, fresh: Callable[[], str], kept: Any) -> Push:
        """That of a feed, with what was kept of it."""
        return cls(Subscription(feed, callbacks, fresh, restored(kept, fresh)))

    @property
    def kept(self) -> dict[str, Any]:
        """What is to be kept of it."""
        found: dict[str, Any] = msgspec.to_builtins(self.subscription.kept)
        return found

    def found(self, answer: Response, links: tuple[tuple[str, str], ...], url: str) -> None:
        """The feed was read: the header's links count before its own."""
        every = [*_header_links(answer.headers.get("link", ""), url), *links]
        topics = [href for rel, href in every if rel == "self"]
        hubs = dict.fromkeys(href for rel, href in every if rel == "hub")
        self.subscription.discovered(list(hubs), topics[0] if topics else None, answer.received)

    def ask(self, request: Request) -> Generator[Request, Response, None]:
        """Ask the hub; whatever it says, or does not, the polls go on."""
        try:
            answer = yield request
        except Exception as error:
            self.subscription.failed(brief(f"{type(error).__name__}: {error}"))
        else:
            self.subscription.answered(answer, answer.received)

    def pause(self, now: float) -> float:
        """Seconds until there will be something to ask."""
        return max(LEAST_PAUSE, self.subscription.pause(now))

    def warning(self) -> tuple[Warned, ...]:
        """What the operator should know, once."""
        said, told = self.subscription.said, self._told
        self._told = said
        if not said or said == told:
            return ()
        shown = feed_address.shown(said, self.subscription.feed, self.subscription.kept.topic)
        return (Warned(detail=f"WebSub: {shown}"),)


def _header_links(header: str, url: str) -> list[tuple[str, str]]:
    """(rel, address) of a Link header; https://www.rfc-editor.org/rfc/rfc8288#section-3"""
    found: list[tuple[str, str]] = []
    for match in list(_LINK.finditer(header[:8_000]))[:LINKS]:
        rels = _REL.search(match[2])
        if rels is None:
            continue
        try:
            where = urljoin(url, match[1].strip())
        except ValueError:
            continue
        found.extend((rel, where) for rel in (rels[1] or rels[2] or "").lower().split())
    return found
