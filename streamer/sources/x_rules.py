# -*- test-case-name: tests.unit.test_sources_x_rules -*-
"""X's filter rules: what one is, what the server refuses anyway, and what turns its rules into those wanted.

https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

PATH = "/2/tweets/search/stream/rules"
RULES_LIMIT = 1_000  # pay-per-use; Enterprise has 25,000 and more
RULE_LENGTH_LIMIT = 1_024  # characters, pay-per-use; Enterprise has 2,048


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{ value = "kakapo has:geo", tag = "birds" }`."""

    value: str
    tag: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A rule on the server; its id is a number in older answers and a string in newer ones."""

    id: int | str
    value: str
    tag: str | None = None

    @property
    def rule(self) -> Rule:
        """The rule as an operator writes it."""
        return Rule(self.value, self.tag or "")


class Plan(msgspec.Struct, frozen=True):
    """What has to change.

    Args:
        new: to add.
        gone: to delete.
        retagged: on the server with another tag, pairs of the old and the new. X keeps one rule a value and changes no
            tags, so the old one must go first: it is the one case in which a wanted rule is away for a moment.
        crowded: the server has no room for the new beside those that go.
    """

    new: tuple[Rule, ...]
    gone: tuple[Listed, ...]
    retagged: tuple[tuple[Listed, Rule], ...]
    crowded: bool

    @property
    def added(self) -> tuple[str, ...]:
        """Values of the rules to come."""
        return tuple([rule.value for rule in (*self.new, *(new for _, new in self.retagged))])

    @property
    def deleted(self) -> tuple[str, ...]:
        """Values of the rules to go."""
        return tuple([rule.value for rule in (*self.gone, *(old for old, _ in self.retagged))])


def check(rules: Sequence[Rule], rules_limit: int = RULES_LIMIT, length_limit: int = RULE_LENGTH_LIMIT) -> None:
    """Refuse what the server would refuse anyway, before connecting.

    Raises:
        ValueError: names the rule and the limit.
    """
    if len(rules) > rules_limit:
        raise ValueError(
            f"has {len(rules)} rules; {rules_limit} are allowed (rules_limit says what the contract does)"
        )
    seen: set[str] = set()
    for rule in rules:
        if not rule.value.strip():
            raise ValueError("has a rule with an empty value")
        if rule.value != rule.value.strip():
            raise ValueError(f"has the rule {rule.value!r} with blanks around it, which X would not keep")
        if len(rule.value) > length_limit:
            raise ValueError(
                f"has a rule of {len(rule.value)} characters, {rule.value[:40]!r}…; {length_limit} are allowed "
                "(rule_length says what the contract does)"
            )
        if rule.value in seen:
            raise ValueError(f"has the rule {rule.value!r} twice; X keeps one rule a value")
        seen.add(rule.value)


def plan(present: Collection[Listed], wanted: Sequence[Rule], rules_limit: int) -> Plan:
    """What turns the rules that are there into those that are wanted."""
    asked = {rule.value: rule for rule in wanted}
    there: dict[str, Listed] = {}
    for rule in present:  # of two with one value, which X does not allow, the one that is wanted counts
        key = rule.value
        if key not in there or (key in asked and rule.rule.tag == asked[key].tag):
            there[key] = rule
    new = tuple([rule for rule in wanted if rule.value not in there])
    retagged = tuple(
        [(there[key], rule) for key, rule in asked.items() if key in there and there[key].rule.tag != rule.tag]
    )
    kept = {rule.id for rule in there.values()}
    gone = tuple([rule for rule in present if rule.value not in asked or rule.id not in kept])
    return Plan(new, gone, retagged, crowded=len(present) + len(new) > rules_limit)
