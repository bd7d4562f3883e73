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
from streamer.sources.x_answers import DISCONNECTS
from streamer.sources.x_filtered import Predicates, Settings, XFiltered, x_filtered
from streamer.sources.x_rules import Rule, reconcile
from streamer.upstream import Ending, Request, Response

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

    def test_stream(self) -> None:
        """The bearer token and the fields that the enricher reads."""
        request = source().request(None, 0)
        self.assertEqual("Bearer t", request.headers["Authorization"])
        parts = urlsplit(request.url)
        self.assertEqual("https://api.x.com/2/tweets/search/stream", request.url.split("?")[0])
        self.assertIn("geo.place_id", parse_qs(parts.query)["expansions"][0].split(","))
        self.assertNotIn("backfill_minutes", request.url)

    def test_backfill(self) -> None:
        """Back-fill asks for the minutes missed, within the configured limit, and for all of it at first."""
        birds = source(backfill_minutes=3)
        for missed, minutes in ((1, "1"), (60, "1"), (61, "2"), (3600, "3")):
            request = birds.request(1_000_000, 1_000_000 + missed * 1000)
            self.assertEqual([minutes], parse_qs(urlsplit(request.url).query)["backfill_minutes"])
        self.assertIn("backfill_minutes=3", birds.request(None, 0).url)  # what another process confirmed is not known


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


class RulesTests(SynchronousTestCase):
    """Checking rules, and reconciling them with the server's."""

    def test_checked_before_connecting(self) -> None:
        """Too many, too long, empty and repeated rules are refused with a sentence."""
        for rules in (
            [Rule(str(n)) for n in range(1001)],
            [Rule("x" * 2049)],
            [Rule(" ")],
            [Rule("cat", "a"), Rule("cat", "b")],
            [Rule(" cat ")],
        ):
            with self.assertRaises(ValueError):
                source(predicates=Predicates(tuple(rules)))

    def drive(self, answers: list[Response], wanted: list[Rule]) -> tuple[list[Request], Ending | None]:
        """The requests made, and the end."""
        steps = reconcile(Request(url="https://h/rules"), wanted)
        requests = [next(steps)]
        for answer in answers:
            try:
                requests.append(steps.send(answer))
            except StopIteration as done:
                return requests, done.value
        raise AssertionError("it asked for more than was answered")

    def test_nothing_to_do(self) -> None:
        """Rules that are there already cost one request."""
        listed = response(200, {"data": [{"id": "1", "value": "cat", "tag": "pets"}], "meta": {}})
        requests, ending = self.drive([listed], [Rule("cat", "pets")])
        self.assertEqual((1, None), (len(requests), ending))

    def test_pages(self) -> None:
        """A long list comes in pages."""
        first = response(200, {"data": [{"id": "1", "value": "a"}], "meta": {"next_token": "t2"}})
        second = response(200, {"data": [{"id": "2", "value": "b"}]})
        requests, ending = self.drive([first, second], [Rule("a"), Rule("b")])
        self.assertEqual("https://h/rules?pagination_token=t2", requests[1].url)
        self.assertIsNone(ending)

    def test_duplicates_are_no_error(self) -> None:
        """A rule that somebody added meanwhile is what we wanted."""
        added = response(200, {"meta": {}, "errors": [{"value": "cat", "id": "9", "title": "DuplicateRule"}]})
        _, ending = self.drive([response(200, {"meta": {}}), added], [Rule("cat")])
        self.assertIsNone(ending)

    def test_gone_already(self) -> None:
        """A stale rule that somebody else deleted first does not stop the source."""
        listed = response(200, {"data": [{"id": "1", "value": "old"}]})
        gone = response(200, {"meta": {}, "errors": [{"title": "Invalid Request", "detail": "Rule does not exist"}]})
        added = response(201, {"meta": {}})
        requests, ending = self.drive([listed, gone, added], [Rule("cat")])
        self.assertEqual((3, None), (len(requests), ending))
        _, ending = self.drive([listed, response(400, {"title": "Invalid Request"})], [Rule("cat")])
        assert ending is not None
        self.assertEqual(backoff.HTTP, ending.cause)

    def test_invalid_rules(self) -> None:
        """A rule that X refuses stops the source, naming the rule."""
        added = response(400, {"errors": [{"value": "has:media", "title": "UnprocessableEntity", "detail": "no"}]})
        _, ending = self.drive([response(200, {"meta": {}}), added], [Rule("has:media")])
        assert ending is not None
        self.assertEqual(backoff.REFUSED, ending.cause)
        added = response(201, {"errors": [{"value": "has:media", "title": "Invalid", "detail": "no"}]})
        _, ending = self.drive([response(200, {"meta": {}}), added], [Rule("has:media")])
        assert ending is not None
        self.assertIn("'has:media': Invalid: no", ending.detail)

    def test_refused_list(self) -> None:
        """A refusal of the list is classified like one of the stream."""
        _, ending = self.drive([response(401, {"title": "Unauthorized"})], [Rule("cat")])
        assert ending is not None
        self.assertEqual(backoff.AUTHORISATION, ending.cause)

    def test_not_json(self) -> None:
        """A proxy's page is no list of rules."""
        page = Response(status=200, body=b"<html>", received=NOW)
        _, ending = self.drive([page], [Rule("cat")])
        assert ending is not None
        self.assertEqual(backoff.HTTP, ending.cause)
