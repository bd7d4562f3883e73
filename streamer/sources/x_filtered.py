# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""X's filtered stream: `type = "x-filtered"`.

https://docs.x.com/x-api/posts/filtered-stream/introduction — rules live on the server; the stream carries posts
that match any of them, one JSON object a line, with a keep-alive line at least every 20 seconds. Other rules take
effect within about 20 seconds, without a new connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.secrets import Secret
from streamer.sources import x_answers, x_lines, x_payload, x_reconcile, x_rules
from streamer.sources.x_stream import BASE_URL, STALL_AFTER, Backfill, Profile, StallAfter, XStream
from streamer.upstream import Ending, Prepared, Request, Response, Resume
from streamer.wire.lines import Lines

STREAM = "/2/tweets/search/stream"


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.<name>.predicates]`.

    Args:
        rules: those on the server are made to be just these, which may be none; None leaves the server's alone.
    """

    rules: tuple[x_rules.Rule, ...] | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "x-filtered"`.

    Args:
        rules_limit: how many rules the contract allows.
        rule_length: how many characters of one; Enterprise has 2,048.
        recovery: whether the contract has the recovery of up to 24 hours; Enterprise has.
    """

    token: Secret
    base_url: str = BASE_URL
    predicates: Predicates = Predicates()
    backfill_minutes: Backfill = 0
    recovery: bool = False
    rules_limit: Annotated[int, Meta(ge=1, le=100_000)] = x_rules.RULES_LIMIT
    rule_length: Annotated[int, Meta(ge=1, le=100_000)] = x_rules.RULE_LENGTH_LIMIT
    stall_after: StallAfter = STALL_AFTER
    profile: Profile = "x"


@implementer(ISource)
@attrs.frozen
class XFiltered:
    """One filtered stream; see `ISource` for each of its parts."""

    name: str
    stream: XStream
    predicates: Predicates
    profile: str
    stall_after: float
    rules_limit: int
    rule_length: int
    live_predicates: bool = True
    credential: str = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.stream.credential, takes_self=True)
    )
    lane: str = attrs.field(init=False, default=attrs.Factory(lambda self: self.stream.lane, takes_self=True))

    def with_predicates(self, predicates: Predicates) -> XFiltered:
        """The same stream with other rules; see `ISource` and `x_rules.check`."""
        x_rules.check(predicates.rules or (), self.rules_limit, self.rule_length)
        return attrs.evolve(self, predicates=predicates)

    def changes(self, other: ISource) -> int:
        """How many rules were added, taken away or given another tag; to have none of ours at all is a change too."""
        own, others = ({rule.value: rule.tag for rule in one.predicates.rules or ()} for one in (self, other))
        changed: int = sum(own.get(value) != others.get(value) for value in own.keys() | others.keys())
        ours: bool = (self.predicates.rules is None) != (other.predicates.rules is None)
        return max(changed, int(ours))

    def prepare(self, dry_run: bool) -> Preparation:
        """Make the server's rules those of the configuration; see `x_reconcile`."""
        if self.predicates.rules is None:
            return Prepared()
        base = self.stream.short(x_rules.PATH)
        return (yield from x_reconcile.reconcile(base, self.predicates.rules, self.rules_limit, dry_run))

    def request(self, resume: Resume | None, now_ms: int) -> Request:
        """See `XStream.request`."""
        return self.stream.request(resume, now_ms)

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Request | None:
        """See `XStream.recovery`."""
        return self.stream.recovery(from_ms, to_ms)

    def refusal(self, response: Response) -> Ending:
        """See `x_answers.refusal`."""
        return x_answers.refusal(response)

    def framer(self) -> IFramer:
        """One object a line."""
        return Lines()

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """See `x_lines.outcomes`."""
        return x_lines.outcomes(self.name, frame, received_ms)

    def posted(self, item: Item) -> int | None:
        """See `x_payload.posted`."""
        return x_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `x_payload.decode`."""
        return x_payload.decode(item)


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _XFilteredType:
    name: str = "x-filtered"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = x_lines.KINDS

    def build(self, name: str, settings: Settings) -> XFiltered:
        x_rules.check(settings.predicates.rules or (), settings.rules_limit, settings.rule_length)
        stream = XStream.checked(
            settings.base_url, settings.token, STREAM, settings.backfill_minutes, recovers=settings.recovery
        )
        return XFiltered(
            name,
            stream,
            settings.predicates,
            settings.profile,
            settings.stall_after,
            settings.rules_limit,
            settings.rule_length,
        )


x_filtered = _XFilteredType()
