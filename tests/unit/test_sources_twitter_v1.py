"""The v1.1 streams: their settings, predicates and requests. No I/O anywhere."""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.errors import DecodeError
from streamer.interfaces import ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff, oauth
from streamer.secrets import Secret
from streamer.sources.twitter_auth import Basic, OAuth, fresh_nonce
from streamer.sources.twitter_predicates import Predicates
from streamer.sources.twitter_v1 import Settings, TwitterV1, twitter_v1
from streamer.upstream import Ending, Prepared, Request, Response, Resume
from streamer.wire.lengths import Lengths
from streamer.wire.lines import Lines

NOW = 1_318_622_958_123
KEYS = oauth.Keys("ck", "cs", "tk", "ts")
OAUTH = {name: Secret(getattr(KEYS, name)) for name in KEYS.__struct_fields__}
BASIC: dict[str, Any] = {"user": "jack", "password": Secret("p:ü ss")}
BIRDS = Predicates(track=("kakapo",))


def source(**settings: Any) -> TwitterV1:
    """A source called tw, by Basic where nothing else is said."""
    return twitter_v1.build(
        "tw", Settings(**{"predicates": BIRDS, **(settings if "token" in settings else BASIC), **settings})
    )


def sent(request: Request) -> dict[str, str]:
    """The parameters of a request, wherever they stand."""
    written = request.body.decode() if request.body is not None else urlsplit(request.url).query
    return {name: values[0] for name, values in parse_qs(written, strict_parsing=bool(written)).items()}


class RequestTests(SynchronousTestCase):
    """What it asks for."""

    def test_interfaces(self) -> None:
        """It is a source, made by a source type."""
        verifyObject(ISourceType, twitter_v1)
        verifyObject(ISource, source())
        self.assertIs(Predicates, twitter_v1.predicates)

    def test_filter(self) -> None:
        """A POST with the predicates as a form."""
        predicates = Predicates(
            track=("kakapo bird", "müll&co"),
            follow=("12", "13"),
            locations=((-122.75, 36.8, -121.75, 37.8), (-74.0, 40.0, -73.0, 41.0)),
            language=("en", "pt"),
            filter_level="low",
        )
        request = source(predicates=predicates).request(None, NOW)
        self.assertEqual(
            ("POST", "https://stream.twitter.com/1.1/statuses/filter.json"), (request.method, request.url)
        )
        self.assertEqual("application/x-www-form-urlencoded", request.headers["Content-Type"])
        self.assertEqual(
            {
                "track": "kakapo bird,müll&co",
                "follow": "12,13",
                "locations": "-122.75,36.8,-121.75,37.8,-74,40,-73,41",
                "language": "en,pt",
                "filter_level": "low",
                "stall_warnings": "true",
            },
            sent(request),
        )
        self.assertNotIn(b"+", request.body or b"")

    def test_sample(self) -> None:
        """A GET with the options in the query, or with none at all."""
        request = source(stream="sample", predicates=Predicates(language=("en",))).request(None, NOW)
        self.assertEqual(("GET", None), (request.method, request.body))
        self.assertEqual("/1.1/statuses/sample.json", urlsplit(request.url).path)
        self.assertEqual({"stall_warnings": "true", "language": "en"}, sent(request))
        bare = source(stream="sample", predicates=Predicates(), stall_warnings=False).request(None, NOW)
        self.assertEqual("https://stream.twitter.com/1.1/statuses/sample.json", bare.url)

    def test_options(self) -> None:
        """Framing, compression and count are asked for where configured (F5: as numbers and text, not objects)."""
        plain = source().request(None, NOW)
        self.assertEqual({"track", "stall_warnings"}, set(sent(plain)))
        self.assertNotIn("Accept-Encoding", plain.headers)
        request = source(delimited="length", gzip=True, backfill_count=150, stall_warnings=False).request(None, NOW)
        self.assertEqual({"track": "kakapo", "delimited": "length", "count": "150"}, sent(request))
        self.assertEqual("gzip", request.headers["Accept-Encoding"])

    def test_degrees(self) -> None:
        """Small numbers are written without an exponent, and zero without a sign."""
        birds = source().with_predicates(Predicates(locations=((-0.00000001, 1e-5, 1.0, 10.0),)))
        self.assertEqual("0,0.00001,1,10", sent(birds.request(None, NOW))["locations"])

    def test_nothing_is_repeated_by_time(self) -> None:
        """A count of posts is no time, so what was missed stays a gap; no part of the past can be had."""
        for count in (0, 100):
            request = source(backfill_count=count).request(Resume(received=NOW - 1000), NOW)
            self.assertIsNone(request.replays_from)
        self.assertIsNone(source().recovery(0, NOW))

    def test_framers(self) -> None:
        """As asked for."""
        self.assertIsInstance(source().framer(), Lines)
        self.assertIsInstance(source(delimited="length").framer(), Lengths)


class AuthorisationTests(SynchronousTestCase):
    """Who asks."""

    def test_signature(self) -> None:
        """The signature covers the parameters just as they are sent, in a form as in a query."""
        filtered = source(predicates=Predicates(track=("a b+c", "ü~*&=%")), **OAUTH).request(None, NOW)
        sample = source(stream="sample", predicates=Predicates(language=("en",)), **OAUTH).request(None, NOW)
        for request in (filtered, sample):
            fields = dict(re.findall(r'(\w+)="([^"]*)"', request.headers["Authorization"]))
            own = [(name, unquote(value)) for name, value in fields.items() if name != "oauth_signature"]
            url, _, query = request.url.partition("?")
            raw = request.body.decode() if request.body is not None else query
            wanted = oauth.signature(request.method, url, [*parse_qsl(raw), *own], KEYS)
            self.assertEqual(wanted, unquote(fields["oauth_signature"]))
            self.assertEqual("1318622958", fields["oauth_timestamp"])

    def test_signed_anew(self) -> None:
        """Each request has a nonce of its own, for the server takes none twice."""
        birds = source(**OAUTH)
        headers = {birds.request(None, NOW).headers["Authorization"] for _ in range(3)}
        self.assertEqual(3, len(headers))
        self.assertEqual(100, len({fresh_nonce() for _ in range(100)}))
        counter = map(str, itertools.count())
        self.assertIn('oauth_nonce="0"', OAuth(KEYS, lambda: next(counter)).header("GET", "https://h/", [], NOW))

    def test_basic(self) -> None:
        """User and password in one line, however long they are (F6)."""
        request = source(user="jack", password=Secret("ü" * 100)).request(None, NOW)
        scheme, _, code = request.headers["Authorization"].partition(" ")
        self.assertEqual(("Basic", "jack:" + "ü" * 100), (scheme, base64.b64decode(code).decode()))
        self.assertNotIn("\n", code)

    def test_exactly_one_way(self) -> None:
        """None, both, or a part of either is an error that says what is missing and shows no secret."""
        for given, said in (
            ({}, "has no credentials; it takes either consumer_key"),
            ({**OAUTH, **BASIC}, "has consumer_key, consumer_secret, password, token, token_secret, user; it takes"),
            ({"consumer_key": Secret("hush"), "token": Secret("hush")}, "lacks consumer_secret, token_secret"),
            ({"user": "jack"}, "lacks password"),
            ({"password": Secret("hush")}, "lacks user"),
            ({"user": "ja:ck", "password": Secret("hush")}, "colon"),
            ({"user": "jack", "password": Secret("hush\n")}, "line ends"),
            ({**OAUTH, "token_secret": Secret("hush\n")}, "token_secret must be printable"),
        ):
            with self.assertRaises(ValueError) as caught:
                twitter_v1.build("tw", Settings(predicates=BIRDS, **given))
            self.assertIn(said, str(caught.exception))
            self.assertNotIn("hush", str(caught.exception))

    def test_not_in_the_clear(self) -> None:
        """Plain http is for this machine only (T13)."""
        self.assertRaises(ValueError, source, base_url="http://stream.example.com")
        self.assertEqual("http://127.0.0.1:8", source(base_url="http://127.0.0.1:8/").base_url)

    def test_credential(self) -> None:
        """One for an account, whatever the stream; secrets have no part in it and do not show."""
        by_user = source()
        self.assertEqual(by_user.credential, source(user="jack", password=Secret("other")).credential)
        self.assertEqual(by_user.lane, source(stream="sample", predicates=Predicates()).lane)
        others = [source(user="biz", password=Secret("x")), source(**OAUTH), source(base_url="https://h.example")]
        self.assertEqual(4, len({by_user.lane, *(other.lane for other in others)}))
        for one in (by_user, source(**OAUTH), Basic("jack", "hush")):
            for secret in ("p:ü ss", "cs", "'ts'", "hush"):
                self.assertNotIn(secret, repr(one))


class PredicatesTests(SynchronousTestCase):
    """What is asked for."""

    def test_checked_before_connecting(self) -> None:
        """Each limit of the upstream, when made and when changed."""
        for predicates, said in (
            (Predicates(track=("x" * 61,)), "61 bytes"),
            (Predicates(follow=("@jack",)), "'@jack'"),
            (Predicates(locations=((36.8, -122.75, 37.8, -121.75),)), "off the map"),
            (Predicates(track=("x",), language=("english",)), "'english'"),
        ):
            for make in (lambda p: source(predicates=p), source().with_predicates):
                with self.assertRaises(ValueError) as caught:
                    make(predicates)
                self.assertIn(said, str(caught.exception))

    def test_nothing_asked_for(self) -> None:
        """Filter needs something to filter by: refused when changed, and before connecting."""
        for empty in (Predicates(), Predicates(language=("en",))):
            self.assertRaises(ValueError, source().with_predicates, empty)
            with self.assertRaises(StopIteration) as done:
                next(source(predicates=empty).prepare(False))
            ending = done.exception.value
            assert isinstance(ending, Ending)
            self.assertEqual(backoff.REFUSED, ending.cause)
            self.assertIn("[sources.tw] asks for nothing", ending.detail)

    def test_prepare(self) -> None:
        """Otherwise nothing is to be prepared."""
        for ready in (source(), source(stream="sample", predicates=Predicates())):
            with self.assertRaises(StopIteration) as done:
                next(ready.prepare(True))
            self.assertEqual(Prepared(), done.exception.value)

    def test_sample_takes_none(self) -> None:
        """Terms on a sample would be passed over in silence."""
        with self.assertRaises(ValueError) as caught:
            source(stream="sample")
        self.assertIn("which sample does not take", str(caught.exception))

    def test_with_predicates(self) -> None:
        """Another source, which takes a new connection; the first is as it was."""
        birds = source()
        other = birds.with_predicates(Predicates(track=("moa",)))
        self.assertEqual("moa", sent(other.request(None, NOW))["track"])
        self.assertEqual("kakapo", sent(birds.request(None, NOW))["track"])
        self.assertFalse(birds.live_predicates)

    def test_changes(self) -> None:
        """Each term, id, box and setting that only one of the two has."""
        one = source(predicates=Predicates(track=("a", "b"), follow=("1",), language=("en",)))
        self.assertEqual(0, one.changes(one.with_predicates(Predicates(("b", "a"), ("1",), (), ("en",)))))
        box = (0.0, 0.0, 1.0, 1.0)
        other = Predicates(("a", "c"), (), (box,), ("en",), "low")
        self.assertEqual(5, one.changes(one.with_predicates(other)))  # b, c, 1, the box, the level
        self.assertEqual(1, one.changes(one.with_predicates(Predicates(("a", "b", "1"), ("1",), (), ("en",)))))


class MeaningTests(SynchronousTestCase):
    """What comes back."""

    def test_refusals(self) -> None:
        """Every documented status has its cause (T2, T3, C2)."""
        for status, cause in (
            (401, backoff.AUTHORISATION), (403, backoff.AUTHORISATION), (404, backoff.REFUSED), (406, backoff.REFUSED),
            (413, backoff.REFUSED), (416, backoff.REFUSED), (420, backoff.RATE_LIMIT), (429, backoff.RATE_LIMIT),
            (500, backoff.HTTP), (503, backoff.HTTP), (400, backoff.REFUSED),
        ):  # fmt: skip
            answer = Response(status=status, body=b"Exceeded connection limit for user", received=1.0)
            ending = source().refusal(answer)
            self.assertEqual(cause, ending.cause, status)
            self.assertIn(f"HTTP {status}, Exceeded connection limit for user", ending.detail)

    def test_clock_skew(self) -> None:
        """A 401 may be the clock's fault, and says so."""
        self.assertIn("the clock", source().refusal(Response(status=401, received=1.0)).detail)

    def test_numbered_errors(self) -> None:
        """The message of a JSON error is what the operator reads."""
        body = json.dumps({"errors": [{"code": 32, "message": "Could not authenticate you."}]}).encode()
        self.assertIn(
            "Could not authenticate you.", source().refusal(Response(status=401, body=body, received=1.0)).detail
        )

    def test_both_framings(self) -> None:
        """The same messages, whether delimited by lines or lengths, keep-alives among them."""
        frames = [b'{"id":20,"text":"a"}', b'{"limit":{"track":1}}']
        lines = b"\r\n" + b"\r\n\r\n".join(frames) + b"\r\n"
        lengths = b"".join(b"\r\n%d\r\n%s\r\n" % (len(frame) + 2, frame) for frame in frames)
        for birds, data in ((source(), lines), (source(delimited="length"), lengths)):
            found = [outcome for frame in birds.framer().feed(data) for outcome in birds.outcomes(frame, NOW)]
            items = [outcome for outcome in found if isinstance(outcome, Item)]
            self.assertEqual(["20", f"limit:1@{NOW}"], [item.id for item in items])
            self.assertEqual("a", birds.decode(items[0]).text)
            self.assertEqual(("tw", None), (items[0].source, birds.posted(items[0])))

    def test_not_understood(self) -> None:
        """What is no message is said to be so, and ends nothing."""
        self.assertRaises(DecodeError, source().outcomes, b"<html>", NOW)

    def test_settings(self) -> None:
        """Profile and stall timer are configurable; keep-alives come every 30 s."""
        self.assertEqual(("x", 90.0), (source().profile, source().stall_after))
        self.assertEqual(("2010", 60.0), (source(profile="2010").profile, source(stall_after=60.0).stall_after))

    def test_as_in_the_file(self) -> None:
        """Settings read as from TOML: whole numbers in boxes, unknown keys refused."""
        table = {"user": "jack", "predicates": {"track": ["a"], "locations": [[-180, -90, 180, 90]]}}
        settings = msgspec.convert(table, Settings)
        self.assertEqual(((-180.0, -90.0, 180.0, 90.0),), settings.predicates.locations)
        for wrong in (
            {"predicates": {"trak": ["a"]}},
            {"predicates": {"locations": [[1, 2, 3]]}},
            {"backfill_count": -1},
        ):
            self.assertRaises(msgspec.ValidationError, msgspec.convert, wrong, Settings)
