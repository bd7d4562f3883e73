"""The rules endpoints, and what they keep."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.rule_book import FIRST_ID, RuleBook, Wanted, faults_of
from tests.unit.test_testing_x import RULES, STREAM, Answer, Face


class RulesTests(SynchronousTestCase):
    """List, add, delete."""

    def setUp(self) -> None:
        self.face = Face(rules=[])

    def add(self, *values: str, query: str = "") -> Answer:
        return self.face.ask(RULES + query, {"add": [{"value": value, "tag": "t"} for value in values]})

    def delete(self, query: str = "", **what: Any) -> Answer:
        return self.face.ask(RULES + query, {"delete": what})

    def values(self) -> list[str]:
        return [rule["value"] for rule in self.face.ask(RULES).body.get("data", [])]

    def test_empty(self) -> None:
        """An empty list has meta and no data."""
        answer = self.face.ask(RULES)
        self.assertEqual(200, answer.code)
        self.assertEqual({"meta": {"sent": "2026-11-21T04:00:00.000Z", "result_count": 0}}, answer.body)

    def test_add(self) -> None:
        """Adding is 201 with the rules made and a summary; they are listed, and the stream can be had."""
        answer = self.add("kakapo has:geo", "tui")
        self.assertEqual(201, answer.code)
        self.assertEqual({"id": str(FIRST_ID), "value": "kakapo has:geo", "tag": "t"}, answer.body["data"][0])
        self.assertEqual({"created": 2, "not_created": 0, "valid": 2, "invalid": 0}, answer.body["meta"]["summary"])
        self.assertEqual(answer.body["data"], self.face.ask(RULES).body["data"])
        self.face.listen()
        self.face.simulation.stop()

    def test_no_tag(self) -> None:
        """A rule without a tag has no tag key."""
        self.face.ask(RULES, {"add": [{"value": "tui"}]})
        self.assertEqual([{"id": str(FIRST_ID), "value": "tui"}], self.face.ask(RULES).body["data"])

    def test_duplicate(self) -> None:
        """A rule that exists is 200 with an error that names it, as recorded from the live service."""
        id_ = self.add("tui").body["data"][0]["id"]
        answer = self.add(" tui")
        self.assertEqual(200, answer.code)
        self.assertEqual({"created": 0, "not_created": 1, "valid": 0, "invalid": 1}, answer.body["meta"]["summary"])
        self.assertNotIn("data", answer.body)
        kind = "https://api.x.com/2/problems/duplicate-rules"
        self.assertEqual([{"value": "tui", "id": id_, "title": "DuplicateRule", "type": kind}], answer.body["errors"])

    def test_mixed(self) -> None:
        """Of good and bad rules the good ones are made."""
        answer = self.add("tui", "tui", "has:media", "kea")
        self.assertEqual((201, ["tui", "kea"]), (answer.code, self.values()))
        self.assertEqual({"created": 2, "not_created": 2, "valid": 2, "invalid": 2}, answer.body["meta"]["summary"])
        self.assertEqual(["DuplicateRule", "UnprocessableEntity"], [error["title"] for error in answer.body["errors"]])
        self.assertEqual([False, True], ["details" in error for error in answer.body["errors"]])

    def test_dry_run(self) -> None:
        """A dry run answers as if, and changes nothing."""
        answer = self.add("tui", query="?dry_run=true")
        self.assertEqual((201, 1), (answer.code, answer.body["meta"]["summary"]["created"]))
        self.assertEqual([], self.values())
        id_ = self.add("tui").body["data"][0]["id"]
        self.assertEqual(1, self.delete("?dry_run=true", ids=[id_]).body["meta"]["summary"]["deleted"])
        self.assertEqual(["tui"], self.values())

    def test_delete(self) -> None:
        """By ids or by values; unknown ones are told."""
        ids = [rule["id"] for rule in self.add("a", "b", "c").body["data"]]
        answer = self.delete(ids=[ids[0], "999"])
        self.assertEqual(200, answer.code)
        self.assertEqual({"deleted": 1, "not_deleted": 1}, answer.body["meta"]["summary"])
        self.assertEqual("999", answer.body["errors"][0]["value"])
        self.assertEqual({"deleted": 1, "not_deleted": 0}, self.delete(values=["b"]).body["meta"]["summary"])
        self.assertEqual(["c"], self.values())

    def test_delete_all(self) -> None:
        """`delete_all=true` needs no body."""
        self.add("a", "b")
        self.assertEqual(2, self.face.ask(RULES + "?delete_all=true", b"").body["meta"]["summary"]["deleted"])
        self.assertEqual([], self.values())

    def test_ids_are_not_used_again(self) -> None:
        """A rule made anew has a new id."""
        first = self.add("a").body["data"][0]["id"]
        self.delete(ids=[first])
        self.assertNotEqual(first, self.add("a").body["data"][0]["id"])

    def test_bad_requests(self) -> None:
        """Anything but exactly one well-formed change is 400 and changes nothing."""
        self.add("a")
        for body in (
            {},
            {"add": [{"value": "b"}], "delete": {"values": ["a"]}},
            {"add": []},
            {"add": [{"values": "b"}]},
            {"add": [{"value": 3}]},
            {"delete": {}},
            {"delete": {"ids": []}},
            {"remove": {"ids": ["1"]}},
            b"add=b",
            b"\xff",
        ):
            answer = self.face.ask(RULES, body)
            self.assertEqual((400, "Invalid Request"), (answer.code, answer.body["title"]), body)
        self.assertEqual(400, self.face.ask(RULES + "?dryrun=true", {"add": [{"value": "b"}]}).code)
        self.assertEqual(400, self.face.ask(RULES + "?page=1").code)
        self.assertEqual(["a"], self.values())

    def test_cap(self) -> None:
        """More rules than allowed are refused, all of them."""
        self.face = Face(rules=[("a", None)], rule_limit=2)
        answer = self.add("b", "c")
        self.assertEqual((422, "RulesCapExceeded"), (answer.code, answer.body["title"]))
        self.assertEqual(["a"], self.values())
        self.assertEqual(201, self.add("b").code)

    def test_pages(self) -> None:
        """Long lists come in pages, and some rules by their ids."""
        ids = [rule["id"] for rule in self.add("a", "b", "c").body["data"]]
        first = self.face.ask(RULES + "?max_results=2").body
        second = self.face.ask(RULES + "?max_results=2&pagination_token=" + first["meta"]["next_token"]).body
        self.assertEqual(["a", "b", "c"], [rule["value"] for rule in first["data"] + second["data"]])
        self.assertNotIn("next_token", second["meta"])
        some = self.face.ask(f"{RULES}?ids={ids[2]},{ids[0]}").body
        self.assertEqual(["c", "a"], [rule["value"] for rule in some["data"]])
        for query in ("?max_results=0", "?max_results=1001", "?max_results=x", "?pagination_token=-1"):
            self.assertEqual(400, self.face.ask(RULES + query).code)

    def test_counts(self) -> None:
        """The counts say how many there are and may be."""
        self.add("a")
        data = self.face.ask(RULES + "/counts").body["data"]
        self.assertEqual((1, 1000), (data["client_app_rules_count"]["rule_count"], data["cap_per_client_app"]))

    def test_token_and_rate(self) -> None:
        """The token is checked everywhere, and changes have their own window."""
        for path, body in ((RULES, None), (RULES, {"add": []}), (RULES + "/counts", None)):
            self.assertEqual(401, self.face.ask(path, body, token="wrong").code)
        answers = [self.face.ask(RULES, {}) for _ in range(101)]
        self.assertEqual((400, 429), (answers[99].code, answers[100].code))
        self.assertEqual(200, self.face.ask(RULES).code)

    def test_all_rules_gone(self) -> None:
        """Once the last rule is deleted posts stop, the stream stays open, and a new one is 409."""
        self.face = Face(rate=8.0)
        self.face.simulation.start()
        listener = self.face.listen()
        self.face.advance(1.0)
        self.delete(values=["kakapo"])
        self.face.advance(2.0)
        self.assertEqual((8, None), (len(listener.posts), listener.ended))
        self.assertEqual(409, self.face.ask(STREAM).code)
        self.add("tui")
        self.face.advance(1.0)
        self.assertEqual(16, len(listener.posts))
        self.face.simulation.stop()


class RuleBookTests(SynchronousTestCase):
    """What a rule may say, and whom a post matches."""

    def test_values(self) -> None:
        """Bad values have at least one sentence of why; good ones none."""
        for value in (
            "kakapo",
            "kakapo has:geo",
            '"hello (world"',
            "(cat OR dog) -is:retweet",
            "from:jack",
            "x" * 1024,
            '"-(" tui',
        ):
            self.assertEqual([], faults_of(value), value)
        for value in (
            "",
            "has:media",
            "has:media -is:retweet lang:en",
            "(cat",
            "cat)",
            ")cat(",
            'say "cat',
            "tui -(cat dog)",
            "-cat",
            "x" * 1025,
        ):
            self.assertNotEqual([], faults_of(value), value)

    @given(st.text(max_size=40))
    def test_any_value(self, value: str) -> None:
        """Any text is either added or refused with a reason."""
        added, refused = RuleBook().add([Wanted(value)])
        self.assertEqual(1, len(added) + len(refused))

    def test_matched(self) -> None:
        """No rules, no match; one rule, always that one; never the same rule twice."""
        book = RuleBook()
        self.assertEqual(b"", book.matched(0))
        book.add([Wanted("a", "x")])
        self.assertEqual({b'[{"id":"%d","tag":"x"}]' % FIRST_ID}, {book.matched(number) for number in range(20)})
        book.add([Wanted("b"), Wanted("c")])
        for number in range(60):
            ids = book.matched(number).count(b'"id"')
            self.assertEqual(ids, len({part[:30] for part in book.matched(number).split(b'{"id":')[1:]}))
