# -*- test-case-name: tests.unit.test_sources_github -*-
"""What each type of GitHub's events is about: title, address, summary.

https://docs.github.com/en/rest/using-the-rest-api/github-event-types, and the types that are found in old archives
only (https://www.gharchive.org/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from streamer.sources.github_fields import link_at, number_at, one_line, rows_at, text_at

COMMITS = 20  # whose messages are told
COMMIT = re.compile(r"[0-9a-f]{40,64}")

# Type without `Event` → kind. Two have names of their own, because `delete` and the like are said of posts.
KINDS: Mapping[str, str] = {
    "CommitComment": "commit-comment",
    "Create": "create-ref",
    "Delete": "delete-ref",
    "Discussion": "discussion",
    "Fork": "fork",
    "Gollum": "gollum",
    "IssueComment": "issue-comment",
    "Issues": "issues",
    "Member": "member",
    "Public": "public",
    "PullRequest": "pull-request",
    "PullRequestReview": "pull-request-review",
    "PullRequestReviewComment": "pull-request-review-comment",
    "PullRequestReviewThread": "pull-request-review-thread",
    "Push": "push",
    "Release": "release",
    "Sponsorship": "sponsorship",
    "Watch": "watch",
    "Download": "download",
    "Follow": "follow",
    "ForkApply": "fork-apply",
    "Gist": "gist",
    "TeamAdd": "team-add",
}


@attrs.frozen
class Told:
    """What an event says; what it does not say is about its repository."""

    title: str | None = None
    url: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()


Teller = Callable[[Any, str | None], Told]  # the payload and the repository's address


def tell(kind: str, payload: Any, repository: str | None, home: str | None) -> Told:
    """What a payload says.

    Args:
        repository: its full name.
        home: its address.
    """
    told = _TELLERS.get(kind, _general)(payload, home)
    action = one_line(text_at(payload, "action"))
    if kind == "pull-request" and action == "closed" and _merged(payload):
        action = "merged"
    tags = told.tags if action is None or kind == "watch" else (action, *told.tags)
    return attrs.evolve(told, title=one_line(told.title), tags=tags)


def _merged(payload: Any) -> bool:
    pull: Any = payload.get("pull_request") if isinstance(payload, dict) else None
    return isinstance(pull, dict) and pull.get("merged") is True


def _push(payload: Any, home: str | None) -> Told:
    branch = _branch(text_at(payload, "ref"))
    before, head = text_at(payload, "before") or "", text_at(payload, "head") or ""
    messages = [text_at(row, "message") for row in rows_at(payload, "commits")[:COMMITS]]
    if not any(messages):  # of 2012: [hash, address, message, name]
        messages = [text_at(row, 2) for row in rows_at(payload, "shas")[:COMMITS]]
    url = None
    if home is not None and COMMIT.fullmatch(head):
        new = not COMMIT.fullmatch(before) or set(before) == {"0"}
        url = f"{home}/commit/{head}" if new else f"{home}/compare/{before}...{head}"
    return Told(branch, url, "\n".join(_subject(message) for message in messages if message))


def _created(payload: Any, home: str | None) -> Told:
    ref, kind = text_at(payload, "ref"), text_at(payload, "ref_type")
    url = f"{home}/tree/{quote(ref[:500])}" if home and ref and kind in ("branch", "tag") else None
    return Told(ref, url, text_at(payload, "description"), (kind,) if kind in ("branch", "tag", "repository") else ())


def _deleted(payload: Any, home: str | None) -> Told:
    kind = text_at(payload, "ref_type")
    return Told(text_at(payload, "ref"), None, None, (kind,) if kind in ("branch", "tag") else ())


def _fork(payload: Any, home: str | None) -> Told:
    fork = "forkee"
    return Told(
        text_at(payload, fork, "full_name"), link_at(payload, fork, "html_url"), text_at(payload, fork, "description")
    )


def _wiki(payload: Any, home: str | None) -> Told:
    pages = rows_at(payload, "pages")[:COMMITS]
    lines = [
        f"{text_at(page, 'action') or 'edited'} {text_at(page, 'title')}" for page in pages if text_at(page, "title")
    ]
    summary = next((found for page in pages if (found := text_at(page, "summary"))), None)
    title = text_at(payload, "pages", 0, "title")
    return Told(
        title, link_at(payload, "pages", 0, "html_url"), summary or "\n".join(filter(None, map(one_line, lines)))
    )


def _commit_comment(payload: Any, home: str | None) -> Told:
    path = text_at(payload, "comment", "path") or (text_at(payload, "comment", "commit_id") or "")[:10]
    return Told(path, link_at(payload, "comment", "html_url"), text_at(payload, "comment", "body"))


def _about(name: str, path: str, *, said: str | None = None) -> Teller:
    """Teller of what is about a numbered thing: an issue, a pull request, a discussion.

    Args:
        name: of the thing in the payload.
        path: of the thing in its repository's address.
        said: name of what was said about it; without one, the thing itself is what is told, when it is new.
    """

    def teller(payload: Any, home: str | None) -> Told:
        number = number_at(payload, name, "number") or number_at(payload, "number")
        title = text_at(payload, name, "title") or (f"#{number}" if number else None)
        place = link_at(payload, name, "html_url") or (f"{home}/{path}/{number}" if home and number else None)
        if said is not None:
            state = text_at(payload, said, "state")
            marks = (one_line(state) or "",) if said == "review" and state else ()
            return Told(title, link_at(payload, said, "html_url") or place, text_at(payload, said, "body"), marks)
        new = text_at(payload, "action") in ("opened", "created")
        return Told(title, place, text_at(payload, name, "body") if new else None)

    return teller


def _release(payload: Any, home: str | None) -> Told:
    tag = text_at(payload, "release", "tag_name")
    url = link_at(payload, "release", "html_url")
    if url is None and home and tag:
        url = f"{home}/releases/tag/{quote(tag[:500])}"
    return Told(text_at(payload, "release", "name") or tag, url, text_at(payload, "release", "body"))


def _member(payload: Any, home: str | None) -> Told:
    return Told(text_at(payload, "member", "login") or text_at(payload, "member"))


def _named(name: str) -> Teller:
    """Teller of something with a name, an address and a description."""

    def teller(payload: Any, home: str | None) -> Told:
        title = text_at(payload, name, "name") or text_at(payload, name, "login") or text_at(payload, name, "title")
        text = text_at(payload, name, "description") or text_at(payload, name, "body")
        return Told(title, link_at(payload, name, "html_url"), text)

    return teller


def _general(payload: Any, home: str | None) -> Told:
    return Told()


def _branch(ref: str | None) -> str | None:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/") or None if ref else None


def _subject(message: str) -> str:
    return one_line(message.strip().partition("\n")[0]) or ""


_TELLERS: Mapping[str, Teller] = {
    "commit-comment": _commit_comment,
    "create-ref": _created,
    "delete-ref": _deleted,
    "discussion": _about("discussion", "discussions"),
    "fork": _fork,
    "gollum": _wiki,
    "issue-comment": _about("issue", "issues", said="comment"),
    "issues": _about("issue", "issues"),
    "member": _member,
    "pull-request": _about("pull_request", "pull"),
    "pull-request-review": _about("pull_request", "pull", said="review"),
    "pull-request-review-comment": _about("pull_request", "pull", said="comment"),
    "pull-request-review-thread": _about("pull_request", "pull"),
    "push": _push,
    "release": _release,
    "download": _named("download"),
    "follow": _named("target"),
    "gist": _named("gist"),
    "team-add": _named("team"),
}
