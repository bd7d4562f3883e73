"""X's filtered stream: its requests, its lines, its refusals. No I/O anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.errors import DecodeError
from streamer.interfaces import ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.secrets import Secret
from streamer.sources.x_answers import CONNECTION_ISSUES, DISCONNECTS
from streamer.sources.x_filtered import Predicates, Settings, XFiltered, x_filtered
from streamer.sources.x_rules import Rule
from streamer.upstream import Ending, Prepared, Response, Resume

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tweets-v2"
NOW = 1_700_000_000.0


def source(**settings: Any) -> XFiltered:
    """A source called birds."""
    return x_filtered.build("birds", Settings(token=Secret("t"), **settings))


def response(status: int, body: object = None, **headers: str) -> Response:
    """An answer as the client adapter makes it."""
    return Response(status=status, headers=headers, body=json.dumps(body).encode(), received=NOW)


class RequestTests(SynchronousTestCase):
    """What it asks for."""

    def test_interfaces(self) -> None:
        """It is a source, made by a source type."""
        verifyObject(ISourceType, x_filtered)
        verifyObject(ISource, source())
        self.assertIs(Predicates, x_filtered.predicates)

    def test_stream(self) -> None:
        """The bearer token and the fields that the enricher reads."""
        request = source().request(None, 0)
        self.assertEqual("Bearer t", request.headers["Authorization"])
        parts = urlsplit(request.url)
        self.assertEqual("https://api.x.com/2/tweets/search/stream", request.url.split("?")[0])
        self.assertIn("geo.place_id", parse_qs(parts.query)["expansions"][0].split(","))
        self.assertNotIn("backfill_minutes", request.url)

    def test_backfill(self) -> None:
        """Back-fill is asked for in minutes since what is safe, within the configured limit."""
        birds = source(backfill_minutes=3)
        request = birds.request(Resume(received=1_000_000), 1_000_000 + 90_000)
        self.assertIn("backfill_minutes=2", request.url)
        self.assertEqual(1_000_000 + 90_000 - 120_000, request.replays_from)

    def test_recovery(self) -> None:
        """The stream's own address with a span of time, where the contract has it."""
        request = source(recovery=True).recovery(1_600_000_000_000, 1_600_000_600_000)
        assert request is not None
        self.assertEqual("https://api.x.com/2/tweets/search/stream", request.url.split("?")[0])
        self.assertIn("start_time=2020-09-13T12:26:40Z&end_time=2020-09-13T12:36:42Z", request.url)
        self.assertIsNone(source().recovery(1_600_000_000_000, 1_600_000_600_000))

    def test_profile(self) -> None:
        """The back-off profile is configurable."""
        self.assertEqual(("x", "2010"), (source().profile, source(profile="2010").profile))


class PredicatesTests(SynchronousTestCase):
    """Rules as predicates."""

    def birds(self, *rules: Rule) -> XFiltered:
        """A source with these rules."""
        return source(predicates=Predicates(rules))

    def test_with_predicates(self) -> None:
        """Another source with other rules and the same everything else; the first is as it was."""
        birds = self.birds(Rule("cat"))
        other = birds.with_predicates(Predicates((Rule("dog"),)))
        self.assertEqual((Rule("dog"),), other.predicates.rules)
        self.assertEqual((Rule("cat"),), birds.predicates.rules)
        self.assertEqual((birds.lane, birds.credential, birds.name), (other.lane, other.credential, other.name))
        self.assertTrue(birds.live_predicates)

    def test_checked(self) -> None:
        """Rules over the contract's limits are refused when made and when changed; larger contracts say so."""
        for rules in ([Rule(str(n)) for n in range(1001)], [Rule("x" * 1025)], [Rule(" ")]):
            predicates = Predicates(tuple(rules))
            self.assertRaises(ValueError, source, predicates=predicates)
            self.assertRaises(ValueError, source().with_predicates, predicates)
        many = Predicates(tuple(Rule(str(n)) for n in range(1001)))
        self.assertEqual(1001, len(source(predicates=many, rules_limit=25_000).predicates.rules))
        self.assertRaises(ValueError, source, predicates=Predicates((Rule("x" * 2049),)), rule_length=2048)
        source(rule_length=2048).with_predicates(Predicates((Rule("x" * 2048),)))

    def test_changes(self) -> None:
        """Added, removed and retagged rules count one each; order does not."""
        birds = self.birds(Rule("a"), Rule("b", "t"), Rule("c"))
        self.assertEqual(0, birds.changes(self.birds(Rule("c"), Rule("b", "t"), Rule("a"))))
        self.assertEqual(3, birds.changes(self.birds(Rule("a"), Rule("b", "other"), Rule("d"))))
        self.assertEqual(3, birds.changes(self.birds()))
        self.assertEqual(3, self.birds().changes(birds))
        untagged = self.birds(Rule("a"), Rule("b"), Rule("c"))
        self.assertEqual(1, birds.changes(untagged))

    def test_prepare(self) -> None:
        """Rules are brought about at the rules endpoint, with the token."""
        request = next(self.birds(Rule("cat")).prepare(False))
        self.assertEqual("https://api.x.com/2/tweets/search/stream/rules", request.url)
        self.assertEqual("Bearer t", request.headers["Authorization"])

    def test_no_rules_of_ours(self) -> None:
        """Without rules here those on the server are left as they are, and nothing is asked."""
        with self.assertRaises(StopIteration) as done:
            next(source().prepare(False))
        self.assertEqual(Prepared(), done.exception.value)

    def test_no_rules_wanted(self) -> None:
        """An empty list asks for no rules at all: those on the server go."""
        steps = self.birds().prepare(False)
        next(steps)
        asked = steps.send(response(200, {"data": [{"id": "7", "value": "kea"}], "meta": {}}))
        self.assertEqual({"delete": {"ids": ["7"]}}, json.loads(asked.body or b""))
        with self.assertRaises(StopIteration) as done:
            steps.send(response(200, {"meta": {"summary": {"deleted": 1, "not_deleted": 0}}}))
        self.assertEqual(Prepared(deleted=("kea",)), done.exception.value)

    def test_none_and_none_of_them(self) -> None:
        """To leave the server's rules alone is another wish than to have none, or some."""
        alone = source()
        self.assertEqual(1, alone.changes(self.birds()))
        self.assertEqual(1, self.birds().changes(alone))
        self.assertEqual(2, alone.changes(self.birds(Rule("a"), Rule("b"))))
        self.assertEqual(0, alone.changes(source()))
        self.assertEqual(0, self.birds().changes(self.birds()))


class TokenTests(SynchronousTestCase):
    """What cannot be a header is refused before it is sent."""

    def test_tokens(self) -> None:
        """Empty tokens, stray line ends and other characters, without showing the token."""
        for token in ("", "hush\n", "hu sh", "húsh", "hush\x00"):
            with self.assertRaises(ValueError) as caught:
                x_filtered.build("birds", Settings(token=Secret(token)))
            self.assertNotIn("hush", str(caught.exception))


class OutcomeTests(SynchronousTestCase):
    """What a line means."""

    def test_post(self) -> None:
        """The body is the upstream's bytes, untouched."""
        frame = b'{"data": {"text":"x",  "id":"1519"}, "matching_rules":[{"id":1,"tag":null}]}'
        expected = Item(source="birds", kind="post", id="1519", cursor="1519", received=5, body=frame)
        self.assertEqual([expected], source().outcomes(frame, 5))

    def test_author(self) -> None:
        """Posts and deletions carry their author's id, so that their order can be kept; rubbish is none."""
        rows = (
            (b'{"data":{"id":"1","author_id":"12"}}', "12"),
            (b'{"data":{"id":"1","author_id":12}}', "12"),
            (b'{"data":{"id":"1","author_id":{"a":1}}}', None),
            (b'{"data":{"id":"1","author_id":true}}', None),
            (b'{"delete":{"status":{"id":"1","user_id":3}}}', "3"),
            (b'{"delete":{"status":{"id":"1","user_id_str":"4","user_id":3}}}', "4"),
        )
        for frame, author in rows:
            with self.subTest(frame=frame):
                (item,) = source().outcomes(frame, 5)
                assert isinstance(item, Item)
                self.assertEqual(item.partition, author)

    def test_partial_errors_are_a_post(self) -> None:
        """`errors` beside `data` only says that something in it could not be had."""
        for errors in (b'[{"title":"Not Found Error"}]', b'[{"value":1}]', b'[{"detail":{}}]', b"null", b"7"):
            (item,) = source().outcomes(b'{"data":{"id":"1"},"errors":' + errors + b"}", 5)
            self.assertIsInstance(item, Item)

    def test_delete(self) -> None:
        """A deletion has its own kind and id, whichever form of the id it carries."""
        for status in (b'{"id":1,"id_str":"1","user_id":3}', b'{"id":1}', b'{"id_str":"1"}'):
            (item,) = source().outcomes(b'{"delete":{"status":' + status + b"}}", 5)
            assert isinstance(item, Item)
            self.assertEqual(("delete", "delete:1", None), (item.kind, item.id, item.cursor))

    def test_lone_surrogate(self) -> None:
        """A post whose text is no Unicode is still a post, byte for byte."""
        frame = rb'{"data":{"id":"7","text":"\ud800 x"}}'
        (item,) = source().outcomes(frame, 5)
        assert isinstance(item, Item)
        self.assertEqual(("7", frame), (item.id, item.body))

    def test_in_stream_errors(self) -> None:
        """Each disconnect_type ends the connection with its own cause."""
        for disconnect_type, cause in DISCONNECTS.items():
            problem = {"title": "operational-disconnect", "disconnect_type": disconnect_type, "detail": "why"}
            (ending,) = source().outcomes(json.dumps({"errors": [problem]}).encode(), 5)
            assert isinstance(ending, Ending)
            self.assertEqual(cause, ending.cause)
            self.assertIn(disconnect_type, ending.detail)

    def test_connection_issues_in_stream(self) -> None:
        """A refused connection may be told in the stream, in `errors` or as an object of its own."""
        for issue, cause in CONNECTION_ISSUES.items():
            problem = {"title": "ConnectionException", "connection_issue": issue, "detail": "why"}
            for said in ({"errors": [problem]}, problem, {"errors": [{"title": "first"}, problem]}):
                (ending,) = source().outcomes(json.dumps(said).encode(), 5)
                assert isinstance(ending, Ending)
                self.assertEqual(cause, ending.cause)
                self.assertIn(issue, ending.detail)

    def test_usage_cap_in_stream(self) -> None:
        """A quota that ends while the stream runs is a quota, not a restart."""
        said = {"errors": [{"title": "UsageCapExceeded", "type": "https://api.x.com/2/problems/usage-capped"}]}
        (ending,) = source().outcomes(json.dumps(said).encode(), 5)
        assert isinstance(ending, Ending)
        self.assertEqual(backoff.USAGE_CAP, ending.cause)

    def test_unknown_disconnect(self) -> None:
        """A disconnect of a new type is still one."""
        (ending,) = source().outcomes(b'{"errors":[{"title":"x","disconnect_type":"Novelty"}]}', 5)
        assert isinstance(ending, Ending)
        self.assertEqual(backoff.DISCONNECT, ending.cause)

    def test_rubbish(self) -> None:
        """What is not understood is said to be so."""
        deep = b'{"data":{"id":"5","z":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
        rubbish = [b"", b"<html>", b"[]", b"{}", b'{"data":{}}', b'{"data":{"id":5}}', b"\xff", b'{"delete":{}}', deep]
        rubbish += [b'{"data":{"id":""}}', b'{"data":{"id":"1\\u0000"}}', b'{"data":{"id":"%s"}}' % (b"1" * 900_000)]
        rubbish += [b'{"delete":{"status":{}}}', b'{"errors":5}', b'{"errors":[]}', b'{"errors":[{"title":5}]}']
        for frame in rubbish:
            with self.assertRaises(DecodeError):
                source().outcomes(frame, 5)


@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize("name", ["real-filtered-stream.jsonl", "stream-form.jsonl"])
def test_recorded_lines_are_posts(name: str) -> None:
    """Every recorded line is understood, with the id it carries."""
    for line in (RECORDED / name).read_bytes().splitlines():
        (item,) = source().outcomes(line, 5)
        assert isinstance(item, Item)
        assert item.id == json.loads(line)["data"]["id"]


class RefusalTests(SynchronousTestCase):
    """What an answer other than 200 means."""

    def test_statuses(self) -> None:
        """Every documented status has its cause; unknown ones are retried like a server error."""
        for status, cause in (
            (400, backoff.REFUSED), (401, backoff.AUTHORISATION), (403, backoff.AUTHORISATION), (404, backoff.REFUSED),
            (406, backoff.REFUSED), (409, backoff.NO_RULES), (413, backoff.REFUSED), (416, backoff.REFUSED),
            (422, backoff.REFUSED), (100, backoff.HTTP),
            (420, backoff.RATE_LIMIT), (429, backoff.RATE_LIMIT), (500, backoff.HTTP), (503, backoff.HTTP),
            (302, backoff.HTTP), (204, backoff.HTTP),
        ):  # fmt: skip
            self.assertEqual(cause, source().refusal(response(status, {"title": "x"})).cause, status)

    def test_too_many_connections(self) -> None:
        """A 429 for a second connection is no rate limit, whatever its headers say (tweepy#1962)."""
        body = {"title": "ConnectionException", "connection_issue": "TooManyConnections", "detail": "limit."}
        ending = source().refusal(response(429, body, **{"x-rate-limit-reset": str(NOW + 900)}))
        self.assertEqual(backoff.CONNECTION_LIMIT, ending.cause)
        self.assertIsNone(ending.retry_after)

    def test_usage_cap(self) -> None:
        """A used-up quota is neither a rate limit nor a wrong token, whichever number it comes with."""
        body = {"title": "UsageCapExceeded", "detail": "Monthly product cap", "period": "Monthly"}
        for status in (403, 429):
            for said in (
                "https://api.x.com/2/problems/usage-capped",
                "https://api.twitter.com/2/problems/usage-capped",
            ):
                ending = source().refusal(response(status, {**body, "type": said}))
                self.assertEqual(backoff.USAGE_CAP, ending.cause)
                self.assertIn("Monthly product cap", ending.detail)

    def test_retry_after_date(self) -> None:
        """Retry-After may be a date."""
        ending = source().refusal(response(503, {}, **{"retry-after": "Tue, 14 Nov 2023 22:15:20 GMT"}))
        self.assertEqual(120, ending.retry_after)

    def test_rate_limit_reset(self) -> None:
        """The reset header and Retry-After say how long; the later counts; nonsense does not."""
        ending = source().refusal(response(429, {}, **{"x-rate-limit-reset": str(NOW + 300), "retry-after": "20"}))
        self.assertEqual(300, ending.retry_after)
        for nonsense in ("soon", "inf", "nan", "-inf", "1e999"):
            self.assertIsNone(source().refusal(response(429, {}, **{"x-rate-limit-reset": nonsense})).retry_after)
        self.assertIsNone(source().refusal(response(429, {}, **{"x-rate-limit-reset": str(NOW - 5)})).retry_after)

    def test_reset_is_for_rate_limits(self) -> None:
        """X sends its reset header with every answer; a server error does not wait for it."""
        ending = source().refusal(response(503, {}, **{"x-rate-limit-reset": str(NOW + 890)}))
        self.assertIsNone(ending.retry_after)
        self.assertEqual(7, source().refusal(response(503, {}, **{"retry-after": "7"})).retry_after)

    def test_detail(self) -> None:
        """The operator reads what X said, also when it said it in HTML."""
        ending = source().refusal(response(401, {"title": "Unauthorized", "detail": "Bad token"}))
        self.assertEqual("HTTP 401, Unauthorized: Bad token", ending.detail)
        page = Response(status=502, body=b"<html>\n  Bad\xff gateway</html>" + b"x" * 5000, received=NOW)
        self.assertIn("HTTP 502, <html> Bad", source().refusal(page).detail)
        self.assertLess(len(source().refusal(page).detail), 400)
        shout = source().refusal(response(503, {"title": "x" * 100_000}))
        self.assertLess(len(shout.detail), 400)
