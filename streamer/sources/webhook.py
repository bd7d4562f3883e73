# -*- test-case-name: tests.unit.test_sources_webhook -*-
"""JSON that others post to us: `type = "webhook"`.

    curl -d '{"title": "Deployed"}' -H 'Content-Type: application/json' -H 'Authorization: Bearer …' …/hooks/deploys

The sender is answered once the bus has the item (202), and asked to come again while it cannot take it (503). Hooks
listen at `[streamer] hooks`, mostly for a proxy with TLS; see `net.hooks`. Nothing can be asked for again, so what was
sent while we were away is missing, unless its sender tries again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Listen
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome
from streamer.message import Item
from streamer.policy.transport import account
from streamer.sources import answers, webhook_payload
from streamer.sources.fixed import Fixed
from streamer.sources.webhook_calls import Call, Calls
from streamer.sources.webhook_settings import PLACES, Places, Settings, checked
from streamer.upstream import Ending, Response, Resume
from streamer.wire.whole import Whole


@implementer(ISource)
@attrs.frozen
class Webhook(Fixed):
    """One hook; see `ISource` for each of its parts."""

    name: str
    calls: Calls
    places: Places = attrs.field(repr=False)
    named: frozenset[str]
    lane: str  # of the path: two sources cannot share one
    credential: str
    profile: str
    stall_after: float = math.inf  # days may pass without a call

    def request(self, resume: Resume | None, now_ms: int) -> Listen:
        """The hook. It repeats nothing, so what was sent while it was closed is a gap."""
        return Listen(self.calls.hook())

    def refusal(self, response: Response) -> Ending:
        """See `answers.refusal`; a hook asks nobody anything."""
        return answers.refusal(response)

    def framer(self) -> IFramer:
        """Calls come whole."""
        return Whole()

    def outcomes(self, frame: Call, received_ms: int) -> Sequence[Outcome]:
        """The items of a call."""
        return frame.items

    def posted(self, item: Item) -> int | None:
        """None: only `decode` knows where a body says so, if it does."""
        return None

    def decode(self, item: Item) -> Activity:
        """See `webhook_payload.decode`."""
        return webhook_payload.decode(item, self.places, self.named)


@implementer(IPlugin, ISourceType)
@attrs.frozen
class WebhookType:
    """`type = "webhook"`."""

    name: str = "webhook"
    settings: type[Settings] = Settings
    predicates: None = None
    kinds: frozenset[str] = frozenset({"hook"})

    def build(self, name: str, settings: Settings) -> Webhook:
        """Make a source.

        Raises:
            ValueError: see `webhook_settings.checked`.
        """
        settings = checked(name, settings)
        lane = account("hooks", settings.path)
        named = frozenset(part for part in PLACES if getattr(settings, part) is not None)
        return Webhook(name, Calls(name, settings), Places.of(settings), named, lane, lane, settings.profile)


webhook = WebhookType()
