# -*- test-case-name: tests.unit.test_testing_x_rules -*-
"""The endpoints `/2/tweets/search/stream/rules` and `…/rules/counts`.

https://docs.x.com/x-api/posts/filtered-stream/quickstart; answers to duplicates as recorded from the live service.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.pages import Folder, answer_json
from streamer.testing.problems import Problem
from streamer.testing.rule_book import RuleBook, RuleCap, Wanted
from streamer.testing.snowflakes import rfc3339
from streamer.testing.x_admission import RULES_GET_LIMIT, RULES_POST_LIMIT, Admission
from streamer.testing.x_problems import TYPES, invalid

PAGE = 1000  # rules on a page of the list, at most

_LIST_PARAMETERS = {b"ids", b"max_results", b"pagination_token"}
_CHANGE_PARAMETERS = {b"dry_run", b"delete_all"}


class Delete(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rules to remove."""

    ids: list[str] | None = None
    values: list[str] | None = None


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST."""

    add: list[Wanted] | None = None
    delete: Delete | None = None


class RulesPage(Folder):
    """Lists, adds and deletes rules; changes take effect at once, where X says "20 seconds or less"."""

    def __init__(self, clock: IReactorTime, token: str | None, book: RuleBook) -> None:
        super().__init__()
        self._clock = clock
        self._book = book
        self._reading = Admission(clock, token, RULES_GET_LIMIT)
        self._changing = Admission(clock, token, RULES_POST_LIMIT)
        self.putChild(b"counts", CountsPage(clock, token, book))

    def render_GET(self, request: Request) -> bytes:
        problem = self._reading.refusal(request) or _unknown(request, _LIST_PARAMETERS)
        if problem is not None:
            return problem.answer(request)
        args: dict[bytes, list[bytes]] = request.args or {}
        try:
            most = int(args.get(b"max_results", [str(PAGE).encode()])[0])
            start = int(args.get(b"pagination_token", [b"0"])[0])
        except ValueError:
            most, start = 0, 0
        if not 1 <= most <= PAGE or start < 0:
            return invalid({}, f"`max_results` is 1 to {PAGE}, `pagination_token` a `next_token`").answer(request)
        ids = [id_ for value in args.get(b"ids", []) for id_ in value.decode("utf-8", "replace").split(",")]
        rules = self._book.all(ids if b"ids" in args else None)
        page = rules[start : start + most]
        meta: dict[str, Any] = {"sent": self._now(), "result_count": len(page)}
        if start + most < len(rules):
            meta["next_token"] = f"{start + most:016d}"
        return answer_json(request, {"data": page, "meta": meta} if page else {"meta": meta})

    def render_POST(self, request: Request) -> bytes:
        problem = self._changing.refusal(request) or _unknown(request, _CHANGE_PARAMETERS)
        if problem is not None:
            return problem.answer(request)
        args: dict[bytes, list[bytes]] = request.args or {}
        dry_run, delete_all = (args.get(name, [b"false"])[0] == b"true" for name in (b"dry_run", b"delete_all"))
        body = b"" if request.content is None else request.content.read()
        try:
            change = msgspec.json.decode(body, type=Change) if body or not delete_all else Change()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return invalid({}, f"The request body is not as it must be: {error}").answer(request)
        if [change.add is not None, change.delete is not None, delete_all].count(True) != 1:
            return invalid({}, "Give exactly one of `add`, `delete` and `delete_all`").answer(request)
        if change.add is not None:
            return self._add(request, change.add, dry_run)
        ids = [rule.id for rule in self._book.all()] if change.delete is None else change.delete.ids or []
        values = [] if change.delete is None else change.delete.values or []
        if not ids and not values and not delete_all:
            return invalid({}, "`delete` needs `ids` or `values`").answer(request)
        return self._delete(request, ids, values, dry_run)

    def _add(self, request: Request, wanted: list[Wanted], dry_run: bool) -> bytes:
        if not wanted:
            return invalid({"add": []}, "`add` is empty").answer(request)
        try:
            added, refused = self._book.add(wanted, dry_run=dry_run)
        except RuleCap as error:
            body = {"title": "RulesCapExceeded", "detail": str(error), "type": TYPES + "rule-cap"}
            return Problem(422, body).answer(request)
        summary = {
            "created": len(added),
            "not_created": len(refused),
            "valid": len(added),
            "invalid": len(refused),
        }
        answer: dict[str, Any] = {"meta": {"sent": self._now(), "summary": summary}}
        if added:
            answer["data"] = added
        if refused:
            answer["errors"] = refused
        return answer_json(request, answer, 201 if added else 200)

    def _delete(self, request: Request, ids: list[str], values: list[str], dry_run: bool) -> bytes:
        asked = [(id_, id_) for id_ in ids] + [(value, self._book.find(value)) for value in values]
        existing = {rule.id for rule in self._book.all()}
        found = list(dict.fromkeys(id_ for _, id_ in asked if id_ is not None and id_ in existing))
        unknown = [what for what, id_ in asked if id_ not in existing]
        if not dry_run:
            self._book.remove(found)
        summary = {"deleted": len(found), "not_deleted": len(unknown)}
        answer: dict[str, Any] = {"meta": {"sent": self._now(), "summary": summary}}
        if unknown:
            answer["errors"] = [
                {"value": what, "title": "Not Found Error", "type": TYPES + "resource-not-found"} for what in unknown
            ]
        return answer_json(request, answer)

    def _now(self) -> str:
        return rfc3339(int(self._clock.seconds() * 1000))


class CountsPage(Folder):
    """How many rules there are, and may be."""

    def __init__(self, clock: IReactorTime, token: str | None, book: RuleBook) -> None:
        super().__init__()
        self._book = book
        self._admission = Admission(clock, token, RULES_GET_LIMIT)

    def render_GET(self, request: Request) -> bytes:
        problem = self._admission.refusal(request) or _unknown(request, set())
        if problem is not None:
            return problem.answer(request)
        count = {"client_app_id": "1", "rule_count": len(self._book)}
        data = {
            "cap_per_client_app": self._book.limit,
            "cap_per_project": self._book.limit,
            "client_app_rules_count": count,
            "all_project_client_apps": [count],
            "project_rules_count": len(self._book),
        }
        return answer_json(request, {"data": data})


def _unknown(request: Request, known: set[bytes]) -> Problem | None:
    for name in request.args or {}:
        if name not in known:
            shown = name.decode("utf-8", "replace")
            return invalid({shown: []}, f"The query parameter [{shown}] is not one of those of this endpoint")
    return None
