# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""Invented statuses, as a Mastodon server writes them: JSON with HTML in it.

Shapes: https://docs.joinmastodon.org/entities/Status/, held against recorded streams. What they say comes from the
composer that also writes for X. Everybody is from one of three servers, one of which is this one.
"""

from __future__ import annotations

import html
import random
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from streamer.testing.composer import Composer
from streamer.testing.profiles import Profile
from streamer.testing.snowflakes import rfc3339
from streamer.testing.texts import tags_in
from streamer.testing.threads import Threads

HOST = "mastodon.example"  # this server's own accounts
ELSEWHERE = ("social.example", "fedi.example:3000")
WARNED = 0.03  # share with a content warning
SHOWN = 20  # letters of a link that are shown, as Mastodon does with 30

Document = dict[str, Any]


@attrs.define
class Ids:
    """Rising ids: milliseconds since the epoch and 16 bits of sequence."""

    _last: int = 0

    def next(self, now_ms: int) -> str:
        """A new id, greater than all before it."""
        self._last = max(now_ms << 16, self._last + 1)
        return str(self._last)


@attrs.define
class StatusGenerator:
    """Writes statuses and what is told of them; the same for the same seed and times (ms since the epoch)."""

    seed: int = 0
    chance: random.Random = attrs.field(init=False)
    _composer: Composer = attrs.field(init=False)
    _threads: Threads = attrs.field(init=False)
    _ids: Ids = attrs.field(factory=Ids)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._composer = Composer(self.chance)
        self._threads = Threads(self.chance)

    def status(self, now_ms: int) -> Document:
        """The next one, written now."""
        id_, created_at = self._ids.next(now_ms), rfc3339(now_ms)
        found = self._threads.to_answer()
        answered, left = (None, None) if found is None else (found[0], found[1] - 1)
        document, written = self._composer.compose(id_, created_at, answered, None, None)
        data, includes = document["data"], document["includes"]
        made = blank(id_, created_at, written.author)
        made["content"], made["tags"], made["mentions"] = marked_up(data, includes["users"])
        made["language"], made["sensitive"] = written.lang, data["possibly_sensitive"]
        made["media_attachments"] = [attachment(one) for one in includes.get("media", ())]
        if self.chance.random() < WARNED:
            made["spoiler_text"], made["sensitive"] = "weather & words", True
        if answered is not None:
            made["in_reply_to_id"], made["in_reply_to_account_id"] = answered.id, answered.author.id
        self._threads.wrote(written, left)
        return made

    def repost(self, now_ms: int, original: Document) -> Document:
        """Somebody passes a status on."""
        made = blank(self._ids.next(now_ms), rfc3339(now_ms), self.chance.choice(self._composer.people))
        return {**made, "uri": f"{made['uri']}/activity", "reblog": original}

    def inject(self, now_ms: int, text: str, **fields: Any) -> Document:
        """A status with this text, however hostile.

        Args:
            fields: replace those of the status; None leaves one out. `account` (a dict) is merged into the author's.
        """
        id_ = str(fields.pop("id", None) or self._ids.next(now_ms))
        made = blank(id_, rfc3339(now_ms), self.chance.choice(self._composer.people))
        made["content"], made["tags"], _ = marked_up({"text": text, "entities": {"hashtags": tags_in(text)}}, ())
        made["account"] = {**made["account"], **(fields.pop("account", None) or {})}
        made.update(fields)
        return {name: value for name, value in made.items() if value is not None or name not in fields}

    def notification(self, now_ms: int, about: Document) -> Document:
        """Somebody likes a status of the one who listens."""
        return {
            "id": str(now_ms % 10**9),
            "type": "favourite",
            "created_at": rfc3339(now_ms),
            "group_key": f"ungrouped-{now_ms % 10**9}",
            "account": account(self.chance.choice(self._composer.people)),
            "status": about,
        }

    def gone(self) -> str | None:
        """The id of an earlier status that is to be deleted, which nobody answers from now on; None before one."""
        written = self._threads.recent()
        if written is None:
            return None
        self._threads.forget(written)
        return written.id


def edited(status: Document, now_ms: int) -> Document:
    """A status as its author changed it."""
    return {**status, "content": f"{status['content']}<p>(edited)</p>", "edited_at": rfc3339(now_ms)}


def home(profile: Profile) -> str:
    """The server that a person is from."""
    servers = (HOST, *ELSEWHERE)
    return servers[int(profile.id) % len(servers)]


def acct(profile: Profile) -> str:
    """The handle as this server writes it: with the server only where that is another one."""
    return profile.handle if home(profile) == HOST else f"{profile.handle}@{home(profile)}"


def account(profile: Profile) -> Document:
    """An account as a status has it."""
    url = f"https://{home(profile)}/@{profile.handle}"
    return {
        "id": profile.id,
        "username": profile.handle,
        "acct": acct(profile),
        "display_name": profile.user["name"],
        "locked": False,
        "bot": False,
        "discoverable": True,
        "group": False,
        "created_at": profile.user["created_at"],
        "note": html.escape(str(profile.user["description"])),
        "url": url,
        "uri": f"https://{home(profile)}/users/{profile.handle}",
        "avatar": profile.user["profile_image_url"],
        "followers_count": 3,
        "following_count": 5,
        "statuses_count": 7,
        "emojis": [],
        "fields": [],
    }


def blank(id_: str, created_at: str, author: Profile) -> Document:
    """A status without content."""
    person = account(author)
    return {
        "id": id_,
        "created_at": created_at,
        "in_reply_to_id": None,
        "in_reply_to_account_id": None,
        "sensitive": False,
        "spoiler_text": "",
        "visibility": "public",
        "language": "en",
        "uri": f"{person['uri']}/statuses/{id_}",
        "url": f"{person['url']}/{id_}",
        "replies_count": 0,
        "reblogs_count": 0,
        "favourites_count": 0,
        "edited_at": None,
        "content": "",
        "reblog": None,
        "account": person,
        "media_attachments": [],
        "mentions": [],
        "tags": [],
        "emojis": [],
        "card": None,
        "poll": None,
    }


def attachment(media: Mapping[str, Any]) -> Document:
    """A picture of the composer's."""
    return {
        "id": media["media_key"].removeprefix("3_"),
        "type": "image",
        "url": media["url"],
        "preview_url": media["url"],
        "remote_url": None,
        "meta": {"original": {"width": media["width"], "height": media["height"]}},
        "description": media["alt_text"],
        "blurhash": None,
    }


def marked_up(data: Document, users: Any) -> tuple[str, list[Document], list[Document]]:
    """The composer's text as HTML, with its tags and mentions."""
    people = {user["username"]: Profile(user["id"], user["username"], user) for user in users}
    text, at, parts = data["text"], 0, []
    tags: dict[str, Document] = {}
    mentions: dict[str, Document] = {}
    for start, end, kind, entity in _entities(data.get("entities", {})):
        parts.append(html.escape(text[at:start]))
        at = end
        if kind == "hashtags":
            name = entity["tag"].lower()
            tags[name] = {"name": name, "url": f"https://{HOST}/tags/{name}"}
            parts.append(_anchor(tags[name]["url"], "#", entity["tag"], 'class="mention hashtag" rel="tag"'))
        elif kind == "mentions":
            person = people[entity["username"]]
            known = account(person)
            mentions[person.id] = {key: known[key] for key in ("id", "username", "url", "acct")}
            link = _anchor(known["url"], "@", person.handle, 'class="u-url mention"')
            parts.append(f'<span class="h-card" translate="no">{link}</span>')
        elif not entity["expanded_url"].startswith("https://photos.example/"):  # pictures are no links here
            parts.append(_link(entity["expanded_url"]))
    parts.append(html.escape(text[at:]))
    content = "</p><p>".join("".join(parts).strip().split("\n\n")).replace("\n", "<br />")
    return f"<p>{content}</p>", list(tags.values()), list(mentions.values())


def _entities(entities: Document) -> Iterator[tuple[int, int, str, Document]]:
    found = [
        (one["start"], one["end"], kind, one)
        for kind in ("hashtags", "mentions", "urls")
        for one in entities.get(kind, ())
    ]
    yield from sorted(found, key=lambda row: row[0])


def _anchor(url: str, sigil: str, name: str, attributes: str) -> str:
    return f'<a href="{html.escape(url)}" {attributes}>{sigil}<span>{html.escape(name)}</span></a>'


def _link(url: str) -> str:
    """As Mastodon shortens it."""
    shown = url.removeprefix("https://")
    middle = f'<span class="{"ellipsis" if len(shown) > SHOWN else ""}">{html.escape(shown[:SHOWN])}</span>'
    around = (
        f'<span class="invisible">https://</span>{middle}<span class="invisible">{html.escape(shown[SHOWN:])}</span>'
    )
    return f'<a href="{html.escape(url)}" target="_blank" rel="nofollow noopener" translate="no">{around}</a>'
