# -*- test-case-name: tests.unit.test_testing_github -*-
"""Writes events of invented people in invented repositories, as GitHub delivers them.

https://docs.github.com/en/rest/using-the-rest-api/github-event-types
"""

from __future__ import annotations

import hashlib
import html
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs

from streamer.testing.corpus import LANGUAGES
from streamer.testing.profiles import THINGS, population

API = "https://api.github.com"
WEB = "https://github.com"
FIRST_ID = 40_000_000_000
ORGANISATIONS = ("amber-works", "mossy-labs", "opal-maps")
REPOSITORIES = 60
BOTS = ("dependabot[bot]", "github-actions[bot]")
BOT_SHARE = 0.1

Document = dict[str, Any]


@attrs.frozen
class Made:
    """An event.

    Args:
        names: lists that it is in: `repos/…`, `orgs/…`, `users/…`.
    """

    id: str
    document: Document
    names: frozenset[str]


@attrs.define
class Events:
    """Makes events, everything random from `chance`."""

    chance: random.Random
    people: tuple[tuple[int, str], ...] = ()
    repositories: tuple[tuple[int, str, str | None], ...] = ()  # id, full name, organisation
    _number: int = FIRST_ID
    _things: int = 0  # issues, releases and the like so far

    def __attrs_post_init__(self) -> None:
        chance = self.chance
        people = [(int(one.id) % 10**8, one.handle.replace("_", "-")) for one in population(chance)[:120]]
        self.people = (*people, *((41898282 + place, name) for place, name in enumerate(BOTS)))
        owners: list[tuple[str, str | None]] = [(name, name) for name in ORGANISATIONS]
        owners += [(login, None) for _, login in people[:20]]
        made = []
        for place in range(REPOSITORIES):
            owner, organisation = owners[place % len(owners)]
            made.append((10**6 + place, f"{owner}/{THINGS.split()[place % 14]}.{place}", organisation))
        self.repositories = tuple(made)

    def event(self, at_ms: int, kind: str | None = None, text: str | None = None, **fields: Any) -> Made:
        """Something that happened at that time, ms since the epoch.

        Args:
            kind: type without `Event`.
            text: for it to say.
            fields: of the event, to have other than chance wants them.
        """
        chance = self.chance
        self._number += chance.randrange(1, 40)
        person = self.people[-1] if chance.random() < BOT_SHARE else chance.choice(self.people)
        number, name, organisation = chance.choice(self.repositories)
        kind = kind or chance.choices(list(PAYLOADS), [weight for weight, _ in PAYLOADS.values()])[0]
        payload = PAYLOADS[kind][1](self, name, text or self.sentence())
        document: Document = {
            "id": str(self._number),
            "type": f"{kind}Event",
            "actor": {
                "id": person[0],
                "login": person[1],
                "display_login": person[1].removesuffix("[bot]"),
                "gravatar_id": "",
                "url": f"{API}/users/{person[1]}",
                "avatar_url": f"https://avatars.githubusercontent.com/u/{person[0]}?",
            },
            "repo": {"id": number, "name": name, "url": f"{API}/repos/{name}"},
            "payload": payload,
            "public": True,
            "created_at": f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        if organisation is not None:
            document["org"] = {"id": 7, "login": organisation, "url": f"{API}/orgs/{organisation}"}
        document |= fields
        names = {f"repos/{name}", f"networks/{name}", f"users/{person[1]}"}
        if organisation is not None:
            names.add(f"orgs/{organisation}")
        return Made(document["id"], document, frozenset(names))

    def knows(self, name: str) -> bool:
        """Whether there is such a repository, organisation or user."""
        kind, _, rest = name.partition("/")
        if kind in ("repos", "networks"):
            return any(rest == full for _, full, _ in self.repositories)
        return rest in ORGANISATIONS if kind == "orgs" else any(rest == login for _, login in self.people)

    def sentence(self) -> str:
        """Something to say."""
        language = self.chance.choices(LANGUAGES, [one.weight for one in LANGUAGES])[0]
        opening = html.unescape(self.chance.choice(language.openings))  # they stand as X writes them
        return f"{opening}: {self.chance.choice(language.middles)}"

    def hash(self) -> str:
        """That of a commit."""
        return hashlib.sha1(self.chance.randbytes(8), usedforsecurity=False).hexdigest()

    def thing(self) -> int:
        """A number for a new thing."""
        self._things += 1
        return self._things


def _push(made: Events, name: str, text: str) -> Document:
    commits = [
        {"sha": made.hash(), "message": text if place == 0 else made.sentence(), "distinct": True,
         "author": {"name": "someone", "email": "someone@mail.example"}}
        for place in range(made.chance.choice((1, 1, 2, 3)))
    ]  # fmt: skip
    branch = made.chance.choice(("main", "main", "feature/maps", "fix-tides"))
    return {
        "repository_id": 1,
        "push_id": made.thing(),
        "size": len(commits),
        "distinct_size": len(commits),
        "ref": f"refs/heads/{branch}",
        "head": commits[-1]["sha"],
        "before": made.hash(),
        "commits": commits,
    }


def _create(made: Events, name: str, text: str) -> Document:
    kind = made.chance.choice(("branch", "tag", "repository"))
    ref = None if kind == "repository" else f"{made.chance.choice(THINGS.split())}-{made.thing()}"
    return {"ref": ref, "ref_type": kind, "master_branch": "main", "description": text, "pusher_type": "user"}


def _delete(made: Events, name: str, text: str) -> Document:
    return {"ref": f"{made.chance.choice(THINGS.split())}-{made.thing()}", "ref_type": "branch", "pusher_type": "user"}


def _watch(made: Events, name: str, text: str) -> Document:
    return {"action": "started"}


def _fork(made: Events, name: str, text: str) -> Document:
    full = f"{made.chance.choice(made.people)[1]}/{name.partition('/')[2]}"
    return {"forkee": {"full_name": full, "html_url": f"{WEB}/{full}", "description": text, "fork": True}}


def _issue(made: Events, name: str, text: str) -> Document:
    number = made.thing()
    return {
        "number": number,
        "title": text,
        "body": text,
        "html_url": f"{WEB}/{name}/issues/{number}",
        "state": "open",
    }


def _issues(made: Events, name: str, text: str) -> Document:
    return {"action": made.chance.choice(("opened", "closed", "reopened")), "issue": _issue(made, name, text)}


def _comment(made: Events, name: str, text: str) -> Document:
    issue = _issue(made, name, made.sentence())
    url = f"{issue['html_url']}#issuecomment-{made.thing()}"
    return {"action": "created", "issue": issue, "comment": {"html_url": url, "body": text}}


def _pull(made: Events, name: str, text: str) -> Document:
    number = made.thing()
    pull = {"number": number, "title": text, "body": text, "html_url": f"{WEB}/{name}/pull/{number}", "merged": False}
    return {"action": made.chance.choice(("opened", "closed")), "number": number, "pull_request": pull}


def _review(made: Events, name: str, text: str) -> Document:
    pull = _pull(made, name, made.sentence())["pull_request"]
    url = f"{pull['html_url']}#pullrequestreview-{made.thing()}"
    return {"action": "created", "review": {"html_url": url, "body": text, "state": "approved"}, "pull_request": pull}


def _release(made: Events, name: str, text: str) -> Document:
    tag = f"v{made.thing()}.0"
    release = {"tag_name": tag, "name": text, "body": text, "html_url": f"{WEB}/{name}/releases/tag/{tag}"}
    return {"action": "published", "release": release}


def _wiki(made: Events, name: str, text: str) -> Document:
    return {"pages": [{"page_name": "Home", "title": "Home", "summary": None, "action": "edited", "sha": made.hash(),
                       "html_url": f"{WEB}/{name}/wiki/Home"}]}  # fmt: skip


PAYLOADS: dict[str, tuple[int, Callable[[Events, str, str], Document]]] = {
    "Push": (50, _push),
    "Create": (12, _create),
    "Delete": (5, _delete),
    "Watch": (9, _watch),
    "Fork": (4, _fork),
    "Issues": (4, _issues),
    "IssueComment": (6, _comment),
    "PullRequest": (6, _pull),
    "PullRequestReview": (2, _review),
    "Release": (1, _release),
    "Gollum": (1, _wiki),
}
