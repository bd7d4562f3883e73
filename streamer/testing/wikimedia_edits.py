# -*- test-case-name: tests.unit.test_testing_wikimedia -*-
"""Writes what happens on invented wikis, as https://schema.wikimedia.org/#!/primary/jsonschema/mediawiki has it.

Shapes of `recentchange` follow recorded events: an edit has both lengths, a new page one, a log entry no `id`, and a
`parsedcomment` holds HTML.
"""

from __future__ import annotations

import html
import random
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import attrs

from streamer.testing.cities import CITIES
from streamer.testing.corpus import LANGUAGES, Language
from streamer.testing.profiles import population

RECENT = "recentchange"
CREATED = "page-create"
DELETED = "page-delete"
SCHEMAS = {RECENT: "recentchange/1.0.0", CREATED: "revision/create/1.1.0", DELETED: "page/delete/1.0.0"}

BOTS = ("TidyBot", "InternetPageBot", "ヘルパーBot", "LinkMender")
SPACES = (("", 0, 80), ("Talk:", 1, 10), ("User:", 2, 5), ("Category:", 14, 5))  # name, number, weight
KINDS = (("edit", 70), ("categorize", 14), ("log", 8), ("new", 7), ("external", 1))  # type, weight
LOGS = (("delete", "delete"), ("upload", "upload"), ("patrol", "patrol"), ("block", "block"), ("move", "move"))
BOT_SHARE = 0.3  # of edits
SILENT = 0.25  # share of edits without a comment
OLDEST_REVISION = 10**8

Document = dict[str, Any]


@attrs.define
class Edits:
    """What happens, everything random from `chance`."""

    chance: random.Random
    users: tuple[str, ...] = ()
    _number: int = 0  # of the last change of any wiki

    def __attrs_post_init__(self) -> None:
        people = [profile.handle for profile in population(self.chance)]
        self.users = (*people[:200], *(f"192.0.2.{number}" for number in range(20)))

    def change(self, at_ms: int, **fields: Any) -> Document:
        """Something that happened at that time, ms since the epoch, as `recentchange` tells it.

        Args:
            fields: to have other than chance wants them.
        """
        chance = self.chance
        language = chance.choices(LANGUAGES, [one.weight for one in LANGUAGES])[0]
        wiki, domain = f"{language.code}wiki", f"{language.code}.wikipedia.example"
        kind = fields.get("type") or chance.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        prefix, space, _ = chance.choices(SPACES, [weight for *_, weight in SPACES])[0]
        title = f"{prefix}{chance.choice(CITIES).name} {chance.choice(language.tags)}"
        if kind == "categorize":
            title, space = f"Category:{chance.choice(language.tags)}", 14
        bot = kind == "edit" and chance.random() < BOT_SHARE
        made = self._common(at_ms, RECENT, f"https://{domain}/wiki/{_path(title)}", domain)
        self._number += 1
        made |= {
            "type": kind,
            "namespace": space,
            "title": title,
            "title_url": f"https://{domain}/wiki/{_path(title)}",
            "comment": "" if chance.random() < SILENT else _comment(language, chance),
            "timestamp": at_ms // 1000,
            "user": chance.choice(BOTS if bot else self.users),
            "bot": bot,
            "server_url": f"https://{domain}",
            "server_name": domain,
            "server_script_path": "/w",
            "wiki": wiki,
        }
        made |= self._particulars(kind, domain)
        made |= fields
        made["parsedcomment"] = html.escape(made["comment"])
        return made

    def told_again(self, change: Document) -> tuple[str, Document] | None:
        """The same on the other stream that has it: the stream's name and its event; None for most."""
        if change["type"] == "new":
            return CREATED, self._page(CREATED, change)
        if change.get("log_action") == "delete":
            return DELETED, self._page(DELETED, change)
        return None

    def canary(self, at_ms: int, stream: str) -> Document:
        """An event that only shows that the stream lives: the example of its schema."""
        made = self._common(at_ms, stream, "https://www.wikidata.org/wiki/Q1", "canary")
        return made | {
            "type": "edit",
            "namespace": 0,
            "title": "Q1",
            "comment": "",
            "timestamp": 1_400_000_000,
            "user": "Example",
            "bot": True,
            "wiki": "wikidatawiki",
        }

    def _common(self, at_ms: int, stream: str, uri: str, domain: str) -> Document:
        chance = self.chance
        name = f"mediawiki.{stream}"
        return {
            "$schema": f"/mediawiki/{SCHEMAS[stream]}",
            "meta": {
                "uri": uri,
                "request_id": self._uuid(),
                "id": self._uuid(),
                "domain": domain,
                "stream": name,
                "dt": written(at_ms),
                "topic": f"eqiad.{name}",
                "partition": 0,
                "offset": chance.randrange(4_000_000_000, 5_000_000_000),
            },
        }

    def _particulars(self, kind: str, domain: str) -> Document:
        chance = self.chance
        old, size = chance.randrange(OLDEST_REVISION, 10 * OLDEST_REVISION), chance.randrange(100, 90_000)
        new = old + chance.randrange(1, 5000)
        diff = f"https://{domain}/w/index.php?diff={new}&oldid={old}"
        match kind:
            case "edit":
                size_new = max(0, size + chance.randrange(-400, 900))
                return {
                    "id": self._number,
                    "minor": chance.random() < 0.2,
                    "length": {"old": size, "new": size_new},
                    "revision": {"old": old, "new": new},
                    "notify_url": diff,
                }
            case "new":
                return {
                    "id": self._number,
                    "minor": False,
                    "patrolled": False,
                    "length": {"new": size},
                    "revision": {"new": new},
                    "notify_url": f"https://{domain}/w/index.php?oldid={new}",
                }
            case "log":
                log, action = chance.choice(LOGS)
                return {
                    "log_id": self._number,
                    "log_type": log,
                    "log_action": action,
                    "log_params": [],
                    "log_action_comment": f"{action}: [[{chance.choice(CITIES).name}]]",
                }
            case _:
                return {"id": self._number, "notify_url": diff}

    def _page(self, stream: str, change: Document) -> Document:
        meta = change["meta"]
        made = self._common(0, stream, meta["uri"], meta["domain"])
        made["meta"]["dt"] = meta["dt"]
        return made | {
            "database": change["wiki"],
            "page_title": change["title"].replace(" ", "_"),
            "page_namespace": change["namespace"],
            "page_id": self.chance.randrange(10**7),
            "comment": change["comment"],
            "performer": {"user_text": change["user"], "user_is_bot": change["bot"], "user_groups": ["*", "user"]},
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))


def written(at_ms: int) -> str:
    """A time as in `meta.dt`."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def _comment(language: Language, chance: random.Random) -> str:
    section = chance.choice(("", "/* History */ ", "/* 歴史 */ "))
    return section + chance.choice(language.middles)


def _path(title: str) -> str:
    return quote(title.replace(" ", "_"), safe=":@!,;()*-._~")
