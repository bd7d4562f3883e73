# -*- test-case-name: tests.unit.test_sources_github -*-
"""Public events of GitHub, polled: `type = "github"`. https://docs.github.com/en/rest/activity/events

Pushes, releases, issues and the like, of all of GitHub, an organisation, a repository or a user. GitHub says itself
that they may come up to hours late, how often to ask, and how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Poll
from streamer.interfaces import IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy.transport import account, checked_base_url, checked_token
from streamer.secrets import Secret
from streamer.sources import github_asking, github_payload, github_types
from streamer.sources.github_asking import Asking
from streamer.sources.github_polling import WINDOW, Poller, known
from streamer.upstream import Ending, Prepared, Response, Resume
from streamer.wire.whole import Whole

REWIND = 10_000  # ms; see `asks.Poll.replays_from`


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>.predicates]`.

    Args:
        of: whose events: "public", "orgs/ORG", "repos/OWNER/REPOSITORY", "networks/OWNER/REPOSITORY", "users/USER" or
            "users/USER/received".
    """

    of: str = "public"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "github"`.

    Args:
        token: for 5,000 requests an hour in place of 60; a fine-grained one without any right will do.
        per_page: events of one answer.
        interval: seconds between polls at least; GitHub's own wish counts where it is longer.
        stall_after: seconds of silence; polls have time limits of their own.
    """

    base_url: str = "https://api.github.com"
    token: Secret | None = None
    predicates: Predicates = Predicates()
    per_page: Annotated[int, Meta(ge=1, le=100)] = 100
    interval: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    stall_after: Annotated[float, Meta(gt=0)] = math.inf
    profile: Literal["poll"] = "poll"


@implementer(ISource)
@attrs.frozen
class GitHub:
    """One list of events; see `ISource` for each of its parts."""

    name: str
    settings: Settings = attrs.field(repr=False)
    base_url: str
    predicates: Predicates
    profile: str
    stall_after: float
    credential: str  # the token, or this machine's address
    lane: str  # its own: polls do not disturb each other
    live_predicates: bool = False

    @property
    def asking(self) -> Asking:
        """What is asked for."""
        settings = self.settings
        path = github_asking.path_of(self.predicates.of)
        return Asking(self.base_url, path, settings.token, settings.per_page, settings.interval)

    def with_predicates(self, predicates: Predicates) -> GitHub:
        """See `ISource` and `github_asking.path_of`."""
        github_asking.path_of(predicates.of)
        return attrs.evolve(self, predicates=predicates)

    def changes(self, other: ISource) -> int:
        """One at most: another list."""
        return int(self.predicates != other.predicates)

    def prepare(self, dry_run: bool) -> Preparation:
        """Nothing is to be done before the polls."""
        yield from ()
        return Prepared()

    def request(self, resume: Resume | None, now_ms: int) -> Poll:
        """Polls, from the last mark on; what came in between, and was pushed out, they see by themselves."""
        asking = self.asking
        mark = known(resume.cursor if resume is not None else None, asking)
        replays_from = read = None
        if resume is not None and mark is not None:
            read = resume.received
            replays_from = max(read - REWIND, now_ms - WINDOW)
        return Poll(lambda: Poller(asking, mark, read).steps(), replays_from=replays_from)

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> None:
        """None ever: the polls read all that there is."""
        return

    def refusal(self, response: Response) -> Ending:
        """See `github_asking.refusal`."""
        return github_asking.refusal(response)

    def framer(self) -> IFramer:
        """Events come whole."""
        return Whole()

    def outcomes(self, frame: Any, received_ms: int) -> Sequence[Outcome]:
        """An event as an item; words of the polls as they are.

        Raises:
            DecodeError: it is no event.
        """
        return [github_payload.item(self.name, frame, received_ms) if isinstance(frame, bytes) else frame]

    def posted(self, item: Item) -> int | None:
        """See `github_payload.created`."""
        return github_payload.created(item.body)

    def decode(self, item: Item) -> Activity:
        """See `github_payload.decode`."""
        return github_payload.decode(item, github_asking.web_of(self.base_url))


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _GitHubType:
    name: str = "github"
    settings: type = Settings
    predicates: type = Predicates
    kinds: frozenset[str] = frozenset({*github_types.KINDS.values(), github_payload.OTHER})

    def build(self, name: str, settings: Settings) -> GitHub:
        base_url = checked_base_url(settings.base_url)
        github_asking.path_of(settings.predicates.of)
        token = "" if settings.token is None else checked_token(settings.token.reveal())
        return GitHub(
            name,
            settings,
            base_url,
            settings.predicates,
            settings.profile,
            settings.stall_after,
            credential=account(base_url, token),
            lane=account(base_url, name),
        )


github = _GitHubType()
