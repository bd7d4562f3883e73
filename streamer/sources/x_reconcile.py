# -*- test-case-name: tests.unit.test_sources_x_rules -*-
"""Makes the server's filter rules those of the configuration, while the stream goes on.

What is missing comes before what is stale goes, so that nothing wanted is missed on the way. Somebody else may change
the same rules meanwhile: a rule that is there already, or gone already, is what we wanted.

https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from streamer.interfaces import Preparation
from streamer.policy import backoff
from streamer.sources.x_answers import Problem, problems, refusal
from streamer.sources.x_rules import Listed, Plan, Rule, plan
from streamer.upstream import Ending, Prepared, Request, Response

PAGES_LIMIT = 110  # of 1,000 rules each
BATCH = 500  # rules of one request; 500 of the longest are 1 MB, and 25,000 stay under 100 requests in 15 minutes
NAMED_LIMIT = 20  # refused rules that the operator is told by name
SHOWN_LIMIT = 80  # characters of a rule's value in that sentence

_T = TypeVar("_T")
_Refused = tuple[str, str]  # a rule's value, and why
_Steps = Generator[Request, Response, Ending | None]


class _Meta(msgspec.Struct):
    next_token: str | None = None


class _List(msgspec.Struct):
    data: tuple[Listed, ...] | None = None
    meta: _Meta | None = None


class _Summary(msgspec.Struct):
    not_created: int | None = None
    not_deleted: int | None = None


class _ChangedMeta(msgspec.Struct):
    summary: _Summary | None = None


class _Changed(msgspec.Struct):
    data: tuple[Listed, ...] | None = None
    errors: tuple[Problem, ...] | None = None
    meta: _ChangedMeta | None = None


def reconcile(base: Request, wanted: Sequence[Rule], rules_limit: int, dry_run: bool) -> Preparation:
    """List the server's rules, add those missing, delete those not wanted.

    Args:
        base: a request to the rules endpoint, with the headers each request needs.
        dry_run: ask the server to judge the changes and to make none. Only as many new rules are judged as find room
            beside those there are, and none of which only the tag changes, for X would call it a duplicate.

    Returns:
        Once the server has just the wanted rules (or would have), what was changed; an `Ending` where it refuses.
    """
    present = yield from _listed(base)
    if isinstance(present, Ending):
        return present
    todo = plan(present, wanted, rules_limit)
    if dry_run:
        room = max(0, rules_limit - len(present)) if todo.crowded else len(todo.new)
        steps = _dry(base, todo, room)
    else:
        steps = _in_order(base, todo)
    ending = yield from steps
    return ending or Prepared(added=todo.added, deleted=todo.deleted)


def _in_order(base: Request, todo: Plan) -> _Steps:
    ending: Ending | None = None
    if todo.crowded:
        ending = yield from _delete(base, todo.gone)
    adopted: set[str] = set()
    ending = ending or (yield from _add(base, todo.new, dry_run=False, adopted=adopted))
    if not todo.crowded:
        ending = ending or (yield from _delete(base, [rule for rule in todo.gone if str(rule.id) not in adopted]))
    for some in _batches(todo.retagged):
        ending = ending or (yield from _delete(base, [old for old, _ in some]))
        ending = ending or (yield from _add(base, [new for _, new in some], dry_run=False))
    return ending


def _dry(base: Request, todo: Plan, room: int) -> _Steps:
    judged = msgspec.structs.replace(base, url=f"{base.url}?dry_run=true")
    ending = yield from _add(judged, todo.new[:room], dry_run=True)
    return ending or (yield from _delete(judged, [*todo.gone, *(old for old, _ in todo.retagged)]))


def _listed(base: Request) -> Generator[Request, Response, list[Listed] | Ending]:
    present: list[Listed] = []
    page = base
    for _ in range(PAGES_LIMIT):
        listed = _read((yield page), _List)
        if isinstance(listed, Ending):
            return listed
        present.extend(listed.data or ())
        if listed.meta is None or not listed.meta.next_token:
            return present
        page = msgspec.structs.replace(
            base, url=f"{base.url}?pagination_token={quote(listed.meta.next_token, safe='')}"
        )
    return Ending(
        cause=backoff.HTTP, detail=f"the list of rules has no end: {PAGES_LIMIT} pages, and one more to come"
    )


def _delete(base: Request, rules: Sequence[Listed]) -> _Steps:
    for some in _batches(rules):
        changed = _read((yield _post(base, {"delete": {"ids": [str(rule.id) for rule in some]}})), _Changed)
        if isinstance(changed, Ending):
            # A rule that somebody else has just deleted is what we wanted; look again soon, never give up for it.
            return changed if changed.cause != backoff.REFUSED else Ending(cause=backoff.HTTP, detail=changed.detail)
        summary = changed.meta.summary if changed.meta else None
        if summary is not None and summary.not_deleted and "dry_run" not in base.url:
            present = yield from _listed(msgspec.structs.replace(base, method="GET", body=None))
            if isinstance(present, Ending):
                return present
            left = {rule.id for rule in present} & {rule.id for rule in some}
            if left:
                why = "; ".join(one.sentence() for one in (changed.errors or ())[:NAMED_LIMIT])
                return Ending(
                    cause=backoff.HTTP, detail=f"X did not delete {len(left)} rules: {why or 'no reason given'}"
                )
    return None


def _add(base: Request, rules: Sequence[Rule], *, dry_run: bool, adopted: set[str] | None = None) -> _Steps:
    """Add rules; `adopted` gets the ids of those that X says are there already, perhaps in another spelling."""
    refused: list[_Refused] = []
    unclear: list[Rule] = []
    for some in _batches(rules):
        body = [{"value": rule.value, "tag": rule.tag} if rule.tag else {"value": rule.value} for rule in some]
        response = yield _post(base, {"add": body})
        changed = _changed(response)
        if isinstance(changed, Ending):
            return changed
        errors = changed.errors or ()
        refused += [(_name(one), one.sentence()) for one in errors if one.title != "DuplicateRule"]
        if adopted is not None:
            adopted |= {str(one.id) for one in errors if one.title == "DuplicateRule" and one.id is not None}
        unclear += _unexplained(some, changed)
    if unclear and not dry_run:
        # Without a reason it may be refused, or have been there already: only the list tells.
        present = yield from _listed(msgspec.structs.replace(base, method="GET", body=None))
        if isinstance(present, Ending):
            return present
        have = {rule.value for rule in present}
        unclear = [rule for rule in unclear if rule.value not in have]
    refused += [(_shown(rule.value), "X gave no reason") for rule in unclear]
    return _refusal(refused)


def _changed(response: Response) -> _Changed | Ending:
    """What an answer to `add` says; a refusal of everything that names rules is read like one of some of them."""
    if response.status in (400, 422):
        said = [problem for problem in problems(response.body) if problem.value is not None]
        if said:
            return _Changed(errors=tuple(said))
    return _read(response, _Changed)


def _unexplained(rules: Sequence[Rule], changed: _Changed) -> list[Rule]:
    """Rules that X counts as not created without a word about them (felixdorn/twitter-stream-api#3)."""
    summary = changed.meta.summary if changed.meta else None
    data, errors = changed.data or (), changed.errors or ()
    if summary is None or (summary.not_created or 0) <= len(errors):
        return []
    told = {rule.value for rule in data} | {problem.value for problem in errors}
    return [rule for rule in rules if rule.value not in told]


def _refusal(refused: Sequence[_Refused]) -> Ending | None:
    if not refused:
        return None
    said = "; ".join(f"{value}: {why}" for value, why in refused[:NAMED_LIMIT])
    more = f"; and {len(refused) - NAMED_LIMIT} more" if len(refused) > NAMED_LIMIT else ""
    noun = "rule" if len(refused) == 1 else "rules"
    return Ending(cause=backoff.REFUSED, detail=f"X refused {len(refused)} {noun}: {said}{more}")


def _name(problem: Problem) -> str:
    return _shown(problem.value) if problem.value is not None else "a rule it does not name"


def _shown(value: str) -> str:
    return repr(value) if len(value) <= SHOWN_LIMIT else f"{value[:SHOWN_LIMIT]!r}…"


def _post(base: Request, change: object) -> Request:
    headers = {**base.headers, "Content-Type": "application/json"}
    return msgspec.structs.replace(base, method="POST", headers=headers, body=msgspec.json.encode(change))


def _read(response: Response, kind: type[_T]) -> _T | Ending:
    if response.status not in (200, 201):
        return refusal(response)
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Ending(cause=backoff.HTTP, detail=f"the rules endpoint answered something else than rules: {error}")


def _batches(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
