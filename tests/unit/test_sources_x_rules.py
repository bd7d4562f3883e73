"""X's filter rules: what is planned, in which order it is done, and what becomes of refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy import backoff
from streamer.sources.x_reconcile import BATCH, NAMED_LIMIT, PAGES_LIMIT, reconcile
from streamer.sources.x_rules import Listed, Rule, check, plan
from streamer.upstream import Ending, Prepared, Request, Response

BASE = Request(url="https://h/rules", headers={"Authorization": "Bearer t"})


def response(status: int, body: object) -> Response:
    """An answer as the client adapter makes it."""
    return Response(status=status, body=json.dumps(body).encode(), received=1.0)


def refused(value: str, why: str = "no") -> dict[str, Any]:
    """What X says of an invalid rule."""
    return {"value": value, "title": "UnprocessableEntity", "details": [why]}


@attrs.define
class Server:
    """The rules endpoint, as far as the order of things goes: a cap, one rule a value, and a log of what was done."""

    rules: dict[str, tuple[str, str]] = attrs.field(factory=dict)  # value → id and tag
    cap: int = 1000
    page: int = 1000
    wanted: frozenset[str] = frozenset()
    done: list[str] = attrs.field(factory=list)
    worst: int = 0  # wanted values that were away at once, after they had been there
    dry: bool = False

    def answer(self, request: Request) -> Response:
        """Do what a request says."""
        if request.method == "GET":
            return self.list(request)
        self.dry = "dry_run=true" in request.url
        change = json.loads(request.body or b"")
        before = self.wanted & self.rules.keys()
        answer = self.add(change["add"]) if "add" in change else self.delete(change["delete"]["ids"])
        self.worst = max(self.worst, len(before - self.rules.keys()))
        return answer

    def list(self, request: Request) -> Response:
        start = int(request.url.partition("pagination_token=")[2] or 0)
        rows = [{"id": id_, "value": value, "tag": tag or None} for value, (id_, tag) in self.rules.items()]
        meta = {"next_token": str(start + self.page)} if start + self.page < len(rows) else {}
        self.done.append("list")
        return response(200, {"data": rows[start : start + self.page], "meta": meta})

    def add(self, rows: Sequence[dict[str, str]]) -> Response:
        self.done.append(f"add {len(rows)}")
        fresh = [row for row in rows if row["value"] not in self.rules]
        if len(self.rules) + len(fresh) > self.cap:
            return response(422, {"title": "RulesCapExceeded", "type": "https://api.x.com/2/problems/rule-cap"})
        errors = [{"value": row["value"], "title": "DuplicateRule"} for row in rows if row["value"] in self.rules]
        if not self.dry:
            self.rules.update(
                (row["value"], (f"9{len(self.rules)}{n}", row.get("tag", ""))) for n, row in enumerate(fresh)
            )
        summary = {"created": len(fresh), "not_created": len(errors)}
        data = [{"id": "1", "value": row["value"]} for row in fresh]
        return response(201, {"data": data, "errors": errors, "meta": {"summary": summary}})

    def delete(self, ids: Sequence[str]) -> Response:
        self.done.append(f"delete {len(ids)}")
        if not self.dry:
            self.rules = {value: row for value, row in self.rules.items() if row[0] not in ids}
        return response(200, {"meta": {"summary": {"deleted": len(ids)}}})


def present(*rules: Rule) -> dict[str, tuple[str, str]]:
    """Rules as the server keeps them."""
    return {rule.value: (str(n), rule.tag) for n, rule in enumerate(rules)}


def run(server: Server, wanted: Sequence[Rule], dry_run: bool = False) -> Ending | Prepared:
    """Reconcile with a server to the end."""
    server.wanted = frozenset(rule.value for rule in wanted)
    steps = reconcile(BASE, wanted, server.cap, dry_run)
    request = next(steps)
    while True:
        try:
            request = steps.send(server.answer(request))
        except StopIteration as done:
            result: Ending | Prepared = done.value
            return result


def drive(answers: list[Response], wanted: list[Rule], dry_run: bool = False) -> tuple[list[Request], Any]:
    """The requests made for given answers, and the result."""
    steps = reconcile(BASE, wanted, 1000, dry_run)
    requests = [next(steps)]
    for answer in answers:
        try:
            requests.append(steps.send(answer))
        except StopIteration as done:
            return requests, done.value
    raise AssertionError("it asked for more than was answered")


VALUES = st.sampled_from("abcdefgh")
RULES = st.dictionaries(VALUES, st.sampled_from(["", "t", "u"]), max_size=6).map(
    lambda found: [Rule(value, tag) for value, tag in found.items()]
)


class OrderTests(SynchronousTestCase):
    """What is done, and when."""

    def test_nothing_to_do(self) -> None:
        """Rules that are there already cost one request."""
        server = Server(present(Rule("cat", "pets")))
        self.assertEqual(Prepared(), run(server, [Rule("cat", "pets")]))
        self.assertEqual(["list"], server.done)

    def test_add_before_delete(self) -> None:
        """What is missing comes before what is stale goes."""
        server = Server(present(Rule("old"), Rule("keep")))
        result = run(server, [Rule("keep"), Rule("new", "t")])
        self.assertEqual(["list", "add 1", "delete 1"], server.done)
        self.assertEqual(Prepared(added=("new",), deleted=("old",)), result)
        self.assertEqual({"keep", "new"}, set(server.rules))

    def test_crowded(self) -> None:
        """Where both together would be over the cap, the stale ones go first."""
        server = Server(present(Rule("a"), Rule("b")), cap=2)
        self.assertIsInstance(run(server, [Rule("a"), Rule("c")]), Prepared)
        self.assertEqual(["list", "delete 1", "add 1"], server.done)

    def test_another_tag(self) -> None:
        """A rule whose tag changed is deleted first, for X calls the new one a duplicate; other rules stay."""
        server = Server(present(Rule("cat", "pets"), Rule("old")))
        result = run(server, [Rule("cat", "animals"), Rule("new")])
        self.assertEqual(["list", "add 1", "delete 1", "delete 1", "add 1"], server.done)
        self.assertEqual("animals", server.rules["cat"][1])
        self.assertEqual(Prepared(added=("new", "cat"), deleted=("old", "cat")), result)

    @given(RULES, RULES, st.integers(0, 3))
    def test_any_rules(self, there: list[Rule], wanted: list[Rule], room: int) -> None:
        """The server ends with just the wanted rules; none that stays as it is was ever away."""
        server = Server(present(*there), cap=max(len(there), len(wanted)) + room)
        self.assertIsInstance(run(server, wanted), Prepared)
        self.assertEqual({rule.value: rule.tag for rule in wanted}, {k: tag for k, (_, tag) in server.rules.items()})
        tags = {rule.value: rule.tag for rule in there}
        retagged = sum(tags.get(rule.value, rule.tag) != rule.tag for rule in wanted)
        self.assertLessEqual(server.worst, retagged)
        again = Server(server.rules, cap=server.cap)
        self.assertEqual(Prepared(), run(again, wanted))

    @given(RULES, RULES)
    def test_dry_run_changes_nothing(self, there: list[Rule], wanted: list[Rule]) -> None:
        """A dry run says what would be done, and does nothing."""
        server = Server(present(*there))
        before = dict(server.rules)
        dry = run(server, wanted, dry_run=True)
        self.assertEqual(before, server.rules)
        self.assertEqual(dry, run(server, wanted))

    def test_dry_run_without_room(self) -> None:
        """Where there is no room beside the stale rules, only as many as fit are judged."""
        server = Server(present(Rule("a"), Rule("b")), cap=3)
        self.assertIsInstance(run(server, [Rule("c"), Rule("d")], dry_run=True), Prepared)
        self.assertEqual(["list", "add 1", "delete 2"], server.done)

    def test_batches(self) -> None:
        """Many rules go in several requests."""
        server = Server(present(*[Rule(f"old {n}") for n in range(BATCH + 1)]), cap=10_000)
        run(server, [Rule(f"new {n}") for n in range(2 * BATCH + 1)])
        self.assertEqual(["list", "add 500", "add 500", "add 1", "delete 500", "delete 1"], server.done)

    def test_pages(self) -> None:
        """A long list is read to its end before anything is decided."""
        server = Server(present(Rule("a"), Rule("b"), Rule("c")), page=1)
        self.assertEqual(Prepared(), run(server, [Rule("a"), Rule("b"), Rule("c")]))
        self.assertEqual(["list"] * 3, server.done)

    def test_endless_pages(self) -> None:
        """A list without end is no list, and nothing is changed because of it."""
        more = response(200, {"data": [], "meta": {"next_token": "a/b"}})
        requests, ending = drive([more] * PAGES_LIMIT, [Rule("a")])
        self.assertEqual(PAGES_LIMIT, len(requests))
        self.assertEqual("https://h/rules?pagination_token=a%2Fb", requests[1].url)
        self.assertEqual(backoff.HTTP, ending.cause)

    def test_ids(self) -> None:
        """Ids may be numbers or strings; they go back as strings, with the headers of every request."""
        listed = response(200, {"data": [{"id": 1, "value": "a", "tag": None}, {"id": "2", "value": "b"}]})
        changed = response(200, {"meta": {}})
        requests, _ = drive([listed, changed, changed], [Rule("c")])
        self.assertEqual({"delete": {"ids": ["1", "2"]}}, json.loads(requests[2].body or b""))
        self.assertEqual("Bearer t", requests[2].headers["Authorization"])


class RefusalTests(SynchronousTestCase):
    """What the server does not take."""

    empty = response(200, {"meta": {}})

    def test_duplicates_are_no_error(self) -> None:
        """A rule that somebody added meanwhile is what we wanted, whatever the status."""
        body = {"meta": {}, "errors": [{"value": "cat", "id": "9", "title": "DuplicateRule"}]}
        for status in (200, 201, 400):
            _, result = drive([self.empty, response(status, body)], [Rule("cat")])
            self.assertEqual(Prepared(added=("cat",)), result)

    def test_partly_refused(self) -> None:
        """A rule that X refuses stops the source, naming the rule and the reason; nothing is deleted."""
        listed = response(200, {"data": [{"id": "1", "value": "old"}]})
        for status in (200, 201, 400):
            answer = response(status, {"errors": [refused("has:media", "alone"), refused("-cat", "negated")]})
            requests, ending = drive([listed, answer], [Rule("has:media"), Rule("-cat"), Rule("dog")])
            self.assertEqual(2, len(requests))
            self.assertEqual(backoff.REFUSED, ending.cause)
            self.assertIn("2 rules: 'has:media': UnprocessableEntity: alone; '-cat': ", ending.detail)

    def test_details_for_only_some(self) -> None:
        """What X counts and does not explain is looked up: there already, or refused without a reason."""
        body = {
            "data": [{"id": "5", "value": "dog"}],
            "meta": {"summary": {"created": 1, "not_created": 3}},
            "errors": [refused("has:media")],
        }
        wanted = [Rule("dog"), Rule("has:media"), Rule("cat"), Rule("is:reply")]
        listed = response(200, {"data": [{"id": "5", "value": "dog"}, {"id": "6", "value": "cat"}]})
        requests, ending = drive([self.empty, response(201, body), listed], wanted)
        self.assertEqual(["GET", "POST", "GET"], [request.method for request in requests])
        self.assertIn("X refused 2 rules: 'has:media'", ending.detail)
        self.assertIn("'is:reply': X gave no reason", ending.detail)
        self.assertNotIn("'cat'", ending.detail)

    def test_all_unexplained_are_there(self) -> None:
        """Where all of them turn out to be there, all is well."""
        body = {"meta": {"summary": {"created": 0, "not_created": 1}}}
        listed = response(200, {"data": [{"id": "6", "value": "cat"}]})
        _, result = drive([self.empty, response(200, body), listed], [Rule("cat")])
        self.assertIsInstance(result, Prepared)

    def test_another_spelling(self) -> None:
        """What differs only in case may be another rule (`or` is a word, `OR` an operator); X says whether it is."""
        listed = response(200, {"data": [{"id": "1", "value": "kakapo or kea"}]})
        answer = response(201, {"data": [{"id": "2", "value": "kakapo OR kea"}], "meta": {}})
        _, result = drive([listed, answer, self.empty], [Rule("kakapo OR kea")])
        self.assertEqual(Prepared(added=("kakapo OR kea",), deleted=("kakapo or kea",)), result)
        listed = response(200, {"data": [{"id": "1", "value": "Kakapo"}]})
        body = {"meta": {}, "errors": [{"value": "kakapo", "id": "1", "title": "DuplicateRule"}]}
        requests, _ = drive([listed, response(200, body)], [Rule("kakapo")])
        self.assertEqual(["GET", "POST"], [request.method for request in requests])

    def test_duplicate_of_a_stale_rule(self) -> None:
        """What X calls a duplicate of another rule, by some normalising of its own, must not lose that rule."""
        listed = response(200, {"data": [{"id": "1", "value": "(cat)"}, {"id": "2", "value": "dog"}]})
        body = {"meta": {}, "errors": [{"value": "cat", "id": "1", "title": "DuplicateRule"}]}
        requests, _ = drive([listed, response(200, body), self.empty], [Rule("cat")])
        self.assertEqual({"delete": {"ids": ["2"]}}, json.loads(requests[-1].body or b""))

    def test_not_deleted(self) -> None:
        """A deletion that X did not make is not taken for made."""
        listed = response(200, {"data": [{"id": "1", "value": "old"}, {"id": "2", "value": "cat"}]})
        body = {"meta": {"summary": {"deleted": 0, "not_deleted": 1}}, "errors": [{"detail": "rule is locked"}]}
        _, ending = drive([listed, response(200, body), listed], [Rule("cat")])
        self.assertEqual(backoff.HTTP, ending.cause)
        self.assertIn("rule is locked", ending.detail)
        gone = response(200, {"data": [{"id": "2", "value": "cat"}]})
        _, result = drive([listed, response(200, body), gone], [Rule("cat")])
        self.assertEqual(Prepared(deleted=("old",)), result)

    def test_nulls(self) -> None:
        """A compatible server may write null for what it has nothing to say about."""
        listed = response(200, {"data": None, "meta": None})
        answer = response(201, {"data": None, "errors": None, "meta": {"summary": {"not_created": None}}})
        _, result = drive([listed, answer], [Rule("cat")])
        self.assertEqual(Prepared(added=("cat",)), result)

    def test_many_refused(self) -> None:
        """The sentence stays readable."""
        answer = response(201, {"errors": [refused(f"rule {n}") for n in range(NAMED_LIMIT + 5)]})
        _, ending = drive([self.empty, answer], [Rule(f"rule {n}") for n in range(NAMED_LIMIT + 5)])
        self.assertIn(f"X refused {NAMED_LIMIT + 5} rules", ending.detail)
        self.assertTrue(ending.detail.endswith("; and 5 more"))
        _, ending = drive([self.empty, response(201, {"errors": [refused("x" * 1000)]})], [Rule("x" * 1000)])
        self.assertLess(len(ending.detail), 200)

    def test_gone_already(self) -> None:
        """A stale rule that somebody else deleted first does not stop the source."""
        listed = response(200, {"data": [{"id": "1", "value": "old"}, {"id": "2", "value": "cat"}]})
        gone = response(200, {"meta": {}, "errors": [{"title": "Invalid Request", "detail": "Rule does not exist"}]})
        _, result = drive([listed, gone], [Rule("cat")])
        self.assertIsInstance(result, Prepared)
        _, ending = drive([listed, response(400, {"title": "Invalid Request"})], [Rule("cat")])
        self.assertEqual(backoff.HTTP, ending.cause)

    def test_over_the_real_cap(self) -> None:
        """A contract with fewer rules than configured says so itself, and that is no passing trouble."""
        server = Server(cap=1)
        steps = reconcile(BASE, [Rule("a"), Rule("b")], 1000, False)
        requests = next(steps)
        requests = steps.send(server.answer(requests))
        with self.assertRaises(StopIteration) as done:
            steps.send(server.answer(requests))
        self.assertEqual(backoff.REFUSED, done.exception.value.cause)
        self.assertIn("RulesCapExceeded", done.exception.value.detail)

    def test_refused_list(self) -> None:
        """A refusal of the list is classified like one of the stream."""
        _, ending = drive([response(401, {"title": "Unauthorized"})], [Rule("cat")])
        self.assertEqual(backoff.AUTHORISATION, ending.cause)

    def test_not_json(self) -> None:
        """A proxy's page is no list of rules, and no answer to a change."""
        page = Response(status=200, body=b"<html>", received=1.0)
        for answers in ([page], [self.empty, page]):
            _, ending = drive(answers, [Rule("cat")])
            self.assertEqual(backoff.HTTP, ending.cause)

    def test_dry_run_unexplained(self) -> None:
        """In a dry run nothing can be looked up, so what is not explained is refused."""
        body = {"data": [], "meta": {"summary": {"created": 0, "not_created": 1}}}
        requests, ending = drive([self.empty, response(200, body)], [Rule("cat")], dry_run=True)
        self.assertEqual("https://h/rules?dry_run=true", requests[1].url)
        self.assertIn("'cat': X gave no reason", ending.detail)


class CheckTests(SynchronousTestCase):
    """Before connecting."""

    def test_limits(self) -> None:
        """Too many, too long, empty, padded and repeated rules are refused with a sentence."""
        for rules, said in (
            ([Rule(str(n)) for n in range(1001)], "1001 rules; 1000 are allowed"),
            ([Rule("x" * 1025)], "1025 characters"),
            ([Rule(" ")], "empty"),
            ([Rule("cat", "a"), Rule("cat", "b")], "'cat' twice"),
            ([Rule(" cat ")], "blanks"),
        ):
            with self.assertRaises(ValueError) as caught:
                check(rules)
            self.assertIn(said, str(caught.exception))
        check([Rule("x" * 1024), *[Rule(str(n)) for n in range(999)]])

    def test_plan_repeated_values(self) -> None:
        """Should the server ever have one value twice, the one that is not wanted goes."""
        todo = plan([Listed("1", "a", "t"), Listed("2", "a", "u")], [Rule("a", "t")], 1000)
        self.assertEqual(((), ["2"]), (todo.new, [rule.id for rule in todo.gone]))
