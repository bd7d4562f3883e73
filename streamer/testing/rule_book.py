# -*- test-case-name: tests.unit.test_testing_x_rules -*-
"""The rules of a filtered stream: what may be added, what is there, and which of them a post matches.

https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs
import msgspec

from streamer.testing.x_problems import TYPES

RULE_LIMIT = 1_000  # rules of one app
VALUE_LIMIT = 1_024  # characters
FIRST_ID = 1_400_000_000_000_000_001

# Operators that X wants joined to another one, for alone they would match a good part of everything.
_NEVER_ALONE = re.compile(r"-?(has|is|lang|sample|place_country|followers_count|tweets_count):\S+", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that exists; a rule without a tag has no `tag` key."""

    id: str
    value: str
    tag: str | None = None


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule to add."""

    value: str
    tag: str | None = None


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a rule was not added, in X's shape; `id` is that of the rule already there."""

    value: str
    title: str
    type: str
    id: str | None = None
    details: list[str] = []


class RuleCap(Exception):
    """There would be more rules than allowed; none was added."""


@attrs.define
class RuleBook:
    """The rules of one app, in the order of their making."""

    limit: int = RULE_LIMIT
    _rules: dict[str, Rule] = attrs.field(factory=dict)
    _next_id: int = FIRST_ID
    _encoded: list[bytes] = attrs.field(factory=list)  # what matching_rules says of each

    def __len__(self) -> int:
        return len(self._rules)

    def all(self, ids: Iterable[str] | None = None) -> list[Rule]:
        """The rules, or those with these ids."""
        return list(self._rules.values()) if ids is None else [self._rules[id_] for id_ in ids if id_ in self._rules]

    def add(self, wanted: Iterable[Wanted], *, dry_run: bool = False) -> tuple[list[Rule], list[Refused]]:
        """Add those that are valid and new.

        Raises:
            RuleCap: they are too many together with those there are; nothing was changed.
        """
        taken = {rule.value: rule.id for rule in self._rules.values()}
        added: list[Rule] = []
        refused: list[Refused] = []
        for wish in wanted:
            value = wish.value.strip()
            details = faults_of(value)
            if value in taken:
                refused.append(Refused(value, "DuplicateRule", TYPES + "duplicate-rules", taken[value]))
            elif details:
                refused.append(Refused(value, "UnprocessableEntity", TYPES + "invalid-rules", details=details))
            else:
                added.append(Rule(str(self._next_id + len(added)), value, wish.tag))
                taken[value] = added[-1].id
        if len(self._rules) + len(added) > self.limit:
            raise RuleCap(f"{len(self._rules)} rules and {len(added)} more are over the cap of {self.limit}")
        if not dry_run:
            self._next_id += len(added)
            self._rules.update((rule.id, rule) for rule in added)
            self._encode()
        return added, refused

    def find(self, value: str) -> str | None:
        """The id of the rule with that value."""
        return next((rule.id for rule in self._rules.values() if rule.value == value.strip()), None)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove rules that exist."""
        for id_ in ids:
            del self._rules[id_]
        self._encode()

    def matched(self, number: int) -> bytes:
        """What `matching_rules` says of the post of that number, as JSON; empty where there are no rules.

        No rule is evaluated: posts are dealt out to the rules in turn, every fourth to a second one as well.
        """
        if not self._encoded:
            return b""
        first = number % len(self._encoded)
        second = (first + 1 + number // 4) % len(self._encoded)
        if number % 4 or second == first:
            return b"[" + self._encoded[first] + b"]"
        return b"[" + self._encoded[first] + b"," + self._encoded[second] + b"]"

    def _encode(self) -> None:
        self._encoded = [msgspec.json.encode({"id": rule.id, "tag": rule.tag or ""}) for rule in self._rules.values()]


def faults_of(value: str) -> list[str]:
    """What is wrong with a rule's value, a sentence each."""
    if not value:
        return ["Rule is empty"]
    found = []
    if len(value) > VALUE_LIMIT:
        found.append(f"Rule is {len(value)} characters long; at most {VALUE_LIMIT} are allowed")
    if value.count('"') % 2:
        found.append('A quotation mark (") is not closed')
    bare = _QUOTED.sub("q", value)
    depth = 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth:
        found.append("Parentheses do not match")
    if "-(" in bare:
        found.append("A group cannot be negated; negate each of its operators")
    words = [word for word in re.split(r"[\s()]+", bare) if word and word != "OR"]
    if words and all(_NEVER_ALONE.fullmatch(word) for word in words):
        found.append(f"[{words[0]}] must be used together with another operator")
    elif words and all(word.startswith("-") for word in words):
        found.append("Rule must contain at least one operator that is not negated")
    return found
