# -*- test-case-name: tests.unit.test_sources_x_filtered -*-
"""X's filter rules: checked before connecting, and made on the server what the configuration says.

https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from streamer.interfaces import Preparation
from streamer.policy import backoff
from streamer.sources.x_answers import Problem, refusal
from streamer.upstream import Ending, Request, Response

PATH = "/2/tweets/search/stream/rules"
RULES_LIMIT = 1_000  # pay-per-use; enterprise contracts have more, and get the server's own answer
RULE_LENGTH_LIMIT = 2_048  # characters, the enterprise limit; pay-per-use has 1,024 and the server says so
PAGES_LIMIT = 50  # of 1,000 rules each

_T = TypeVar("_T")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{ value = "kakapo has:geo", tag = "birds" }`."""

    value: str
    tag: str = ""


class _Listed(msgspec.Struct):
    id: str
    value: str
    tag: str | None = None


class _Meta(msgspec.Struct):
    next_token: str | None = None


class _List(msgspec.Struct):
    data: tuple[_Listed, ...] = ()
    meta: _Meta | None = None


class _Changed(msgspec.Struct):
    errors: tuple[Problem, ...] = ()


def check(rules: Sequence[Rule]) -> None:
    """Refuse what the server would refuse anyway, before connecting.

    Raises:
        ValueError: names the rule and the limit.
    """
    if len(rules) > RULES_LIMIT:
        raise ValueError(f"has {len(rules)} rules; X takes at most {RULES_LIMIT}")
    seen: set[str] = set()
    for rule in rules:
        if not rule.value.strip():
            raise ValueError("has a rule with an empty value")
        if rule.value != rule.value.strip():
            raise ValueError(f"has the rule {rule.value!r} with blanks around it, which X would not keep")
        if len(rule.value) > RULE_LENGTH_LIMIT:
            raise ValueError(f"has a rule of {len(rule.value)} characters; X takes at most {RULE_LENGTH_LIMIT}")
        if rule.value in seen:
            raise ValueError(f"has the rule {rule.value!r} twice; X keeps one rule a value")
        seen.add(rule.value)


def reconcile(base: Request, wanted: Sequence[Rule]) -> Preparation:
    """List the server's rules, delete those not wanted, add those missing.

    Args:
        base: a request to the rules endpoint, with the headers each request needs.

    Returns:
        None once the server has just the wanted rules; an `Ending` where it refuses.
    """
    present: list[_Listed] = []
    page = base
    for _ in range(PAGES_LIMIT):
        response = yield page
        listed = _read(response, _List)
        if isinstance(listed, Ending):
            return listed
        present.extend(listed.data)
        if listed.meta is None or listed.meta.next_token is None:
            break
        page = msgspec.structs.replace(base, url=f"{base.url}?pagination_token={listed.meta.next_token}")
    keep = {(rule.value, rule.tag) for rule in wanted}
    stale = [rule.id for rule in present if (rule.value, rule.tag or "") not in keep]
    have = {(rule.value, rule.tag or "") for rule in present}
    missing = [rule for rule in wanted if (rule.value, rule.tag) not in have]
    if stale:
        changed = _read((yield _post(base, {"delete": {"ids": stale}})), _Changed)
        if isinstance(changed, Ending):
            # A rule that somebody else has just deleted is what we wanted; look again soon, never give up for it.
            return changed if changed.cause != backoff.REFUSED else Ending(cause=backoff.HTTP, detail=changed.detail)
    if missing:
        add = [{"value": rule.value, "tag": rule.tag} if rule.tag else {"value": rule.value} for rule in missing]
        return _judge((yield _post(base, {"add": add})))
    return None


def _post(base: Request, change: object) -> Request:
    headers = {**base.headers, "Content-Type": "application/json"}
    return msgspec.structs.replace(base, method="POST", headers=headers, body=msgspec.json.encode(change))


def _judge(response: Response) -> Ending | None:
    changed = _read(response, _Changed)
    if isinstance(changed, Ending):
        return changed
    wrong = [problem for problem in changed.errors if problem.title != "DuplicateRule"]
    if not wrong:
        return None
    said = "; ".join(f"{problem.value!r}: {problem.sentence()}" for problem in wrong[:5])
    return Ending(cause=backoff.REFUSED, detail=f"X refused {len(wrong)} rules: {said}")


def _read(response: Response, kind: type[_T]) -> _T | Ending:
    if response.status not in (200, 201):
        return refusal(response)
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Ending(cause=backoff.HTTP, detail=f"the rules endpoint answered something else than rules: {error}")
