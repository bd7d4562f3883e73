# -*- test-case-name: tests.unit.test_sources_wikimedia -*-
"""Wikimedia's streams: what is asked for, what an event means, and how a source lives with the simulated service."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer import metrics as m
from streamer.bus.state_lock import StateLock
from streamer.errors import DecodeError
from streamer.events.change import change
from streamer.interfaces import IFramer, ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.services.keeping import Keeping
from streamer.sources import wikimedia_asking
from streamer.sources.wikimedia import Predicates, Settings, Wikimedia, wikimedia
from streamer.testing import faults
from streamer.upstream import Ending, Mark, Prepared, Response, Resume
from streamer.wire.sse import Sent
from tests.unit.following import Following, table_of
from tests.unit.spooling import folder

NOW = 1_700_000_000_000
ID = (
    '[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1699999999000},'
    '{"topic":"codfw.mediawiki.recentchange","partition":0,"offset":-1}]'
)
EDIT: dict[str, Any] = {
    "$schema": "/mediawiki/recentchange/1.0.0",
    "meta": {
        "uri": "https://de.wikipedia.org/wiki/Kakapo",
        "id": "5bd38392-91e5-4b3a-8a4e-6eb7f97b8d62",
        "domain": "de.wikipedia.org",
        "stream": "mediawiki.recentchange",
        "dt": "2023-11-14T22:13:19.5Z",
    },
    "id": 12,
    "type": "edit",
    "namespace": 0,
    "title": "Kakapo",
    "comment": "/* Nahrung */ ein Komma",
    "timestamp": 1_699_999_999,
    "user": "Jack Dorn",
    "bot": True,
    "minor": True,
    "notify_url": "https://de.wikipedia.org/w/index.php?diff=2&oldid=1",
    "server_url": "https://de.wikipedia.org",
    "wiki": "dewiki",
}


def source(**settings: Any) -> Wikimedia:
    """A source of the real service."""
    return wikimedia.build("wikis", Settings(**{"contact": "house@streamer.example", **settings}))


def event(**fields: Any) -> bytes:
    """An edit with other fields; those that are None are left out."""
    return json.dumps({key: value for key, value in {**EDIT, **fields}.items() if value is not None}).encode()


def sent(**fields: Any) -> Sent:
    """The same as it comes."""
    return Sent(event(**fields), "message", ID)


def item(body: bytes) -> Item:
    """An item with this body."""
    return Item(source="wikis", kind="change", id="1", received=NOW, body=body)


class AskingTests(SynchronousTestCase):
    """What is asked for, and as whom."""

    def test_interfaces(self) -> None:
        """It is a source, made by a source type."""
        verifyObject(ISourceType, wikimedia)
        verifyObject(ISource, source())
        verifyObject(IFramer, source().framer())
        self.assertEqual(Prepared(), self._returned(source().prepare(False)))
        self.assertIsNone(source().recovery(1, 2, ID))

    def _returned(self, steps: Any) -> Any:
        with self.assertRaises(StopIteration) as caught:
            next(steps)
        return caught.exception.value

    def test_request(self) -> None:
        """One URL for all streams; the User-Agent says how we can be reached, as the policy wants it."""
        asked = source(streams=("page-create", "page-delete", "page-create")).request(None, NOW)
        self.assertEqual("https://stream.wikimedia.org/v2/stream/page-create,page-delete", asked.url)
        self.assertEqual("text/event-stream", asked.headers["Accept"])
        self.assertRegex(asked.headers["User-Agent"], r"^streamer/\S+ \(house@streamer\.example\) Twisted/\S+$")
        self.assertNotIn("Last-Event-ID", asked.headers)
        self.assertIsNone(asked.replays_from)

    def test_contact(self) -> None:
        """It must be there and be one; only on this machine nobody asks."""
        for wrong in ("me", "a b@c.de", "https://", "x@y.de\r\nA: b", "(x@y.de)", "jürgen@y.de", "x" * 200 + "@y.de"):
            with self.assertRaisesRegex(ValueError, "contact must"):
                source(contact=wrong)
        for right in ("https://streamer.example/bot", "mailto:me@streamer.example", "me@streamer.example"):
            self.assertIn(right, source(contact=right).user_agent or "")
        with self.assertRaisesRegex(ValueError, "contact is missing"):
            source(contact=None)
        for base in ("http://127.0.0.1:9", "http://localhost", "http://[::1]:8"):
            local = source(contact=None, base_url=base)
            self.assertNotIn("User-Agent", local.request(None, NOW).headers)

    def test_streams(self) -> None:
        """Names that cannot be names, none or too many are refused."""
        for wrong in (
            (),
            ("",),
            ("a b",),
            ("a,b",),
            ("recentchange?since=1",),
            ("../x",),
            tuple(f"s{n}" for n in range(31)),
        ):
            with self.assertRaisesRegex(ValueError, "streams"):
                source(streams=wrong)

    def test_since(self) -> None:
        """A time or ms, in the very first request, and a past beyond the streams' history is not promised."""
        for since in ("2023-11-14T22:00:00Z", 1_699_999_200_000, "1699999200000"):
            asked = source(since=since).request(None, NOW)
            self.assertEqual("https://stream.wikimedia.org/v2/stream/recentchange?since=1699999200000", asked.url)
            self.assertEqual(1_699_999_200_000, asked.replays_from)
        for wrong in ("yesterday", -5, "10000-01-01", 10**18):
            with self.assertRaisesRegex(ValueError, "since is"):
                source(since=wrong)
        self.assertEqual(NOW - wikimedia_asking.HISTORY, source(since=1).request(None, NOW).replays_from)

    def given_back(self, *rows: dict[str, Any]) -> Any:
        """What becomes of an id of these rows, after a minute."""
        cursor = json.dumps([{"topic": "eqiad.mediawiki.recentchange", "partition": 0, **row} for row in rows])
        asked = source().request(Resume(received=NOW - 60_000, cursor=cursor), NOW)
        return [
            {key: row[key] for key in ("timestamp", "offset") if key in row}
            for row in json.loads(asked.headers["Last-Event-ID"])
        ]

    def test_resume(self) -> None:
        """The last id goes back, its times set back, and then no time is said."""
        made = source(since="2023-11-14T22:00:00Z")
        asked = made.request(Resume(received=NOW - 60_000, cursor=ID), NOW)
        self.assertEqual("https://stream.wikimedia.org/v2/stream/recentchange", asked.url)
        self.assertEqual(
            [
                {"topic": "eqiad.mediawiki.recentchange", "partition": 0, "timestamp": 1_699_999_994_000},
                {"topic": "codfw.mediawiki.recentchange", "partition": 0, "timestamp": NOW - 70_000},
            ],
            json.loads(asked.headers["Last-Event-ID"]),
        )
        self.assertEqual(NOW - 70_000, asked.replays_from)

    def test_rows(self) -> None:
        """A place in the log is exact and stays; "from now on" would be another now, so it becomes what is safe."""
        self.assertEqual([{"offset": 0}, {"offset": 12}], self.given_back({"offset": 0}, {"offset": 12}))
        self.assertEqual([{"timestamp": NOW - 70_000}] * 3, self.given_back({"offset": -1}, {"offset": -2}, {}))
        week_ago = NOW - wikimedia_asking.HISTORY
        self.assertEqual([{"timestamp": week_ago}] * 2, self.given_back({"timestamp": 0}, {"timestamp": week_ago}))

    def test_refused_id(self) -> None:
        """An id that has not served for an hour is left; a time before all that it says takes its place."""
        resume = Resume(received=NOW - 3_600_001, cursor=ID.replace("1699999999000", str(NOW - 4_000_000)))
        asked = source().request(resume, NOW)
        self.assertNotIn("Last-Event-ID", asked.headers)
        self.assertTrue(asked.url.endswith(f"?since={NOW - 4_005_000}"), asked.url)
        self.assertEqual(NOW - 3_610_001, asked.replays_from)

    def test_resume_by_time(self) -> None:
        """Without an id that speaks of just these streams, a time is asked for; what history has not is a gap."""
        strange = (
            "[]",
            "{}",
            "x",
            "[1]",
            '[{"topic":7}]',
            '[{"topic":"eqiad.mediawiki.recentchange"}]',
            ID.replace("0,", "-1,"),
            ID.replace("1699999999000", "1" * 30),
            ID.replace("codfw.", "codfw. "),
            ID.replace('"codfw.mediawiki.recentchange"', "[]"),
            ID.replace("recentchange", "page-create"),
            "[" * 20_000,
            "",
        )
        for cursor in (None, *strange):
            asked = source().request(Resume(received=NOW - 60_000, cursor=cursor), NOW)
            self.assertTrue(asked.url.endswith(f"?since={NOW - 70_000}"), cursor)
            self.assertNotIn("Last-Event-ID", asked.headers)
        asked = source(streams=("recentchange", "page-create")).request(Resume(received=NOW, cursor=ID), NOW)
        self.assertIn("?since=", asked.url)
        asked = source().request(Resume(received=NOW - 8 * 86_400_000, cursor=ID), NOW)
        self.assertEqual(NOW - wikimedia_asking.HISTORY, asked.replays_from)

    def test_names_with_and_without_prefix(self) -> None:
        """An id's topics have the whole name of a stream."""
        for name in ("recentchange", "mediawiki.recentchange"):
            asked = source(streams=(name,)).request(Resume(received=NOW, cursor=ID), NOW)
            self.assertIn("Last-Event-ID", asked.headers, name)

    def test_stall(self) -> None:
        """Where thirty events a second are usual a minute of silence is long; elsewhere the server hangs up first."""
        self.assertEqual([60, 1000, 5], [source().stall_after, source(streams=("page-create",)).stall_after,
                                         source(stall_after=5).stall_after])  # fmt: skip

    def test_together(self) -> None:
        """Sources do not cut each other off; the service counts the connections of an address."""
        other = wikimedia.build("more", Settings(contact="a@b.de"))
        self.assertNotEqual(source().lane, other.lane)
        self.assertEqual(source().credential, other.credential)


class RefusalTests(SynchronousTestCase):
    """What answers other than 200 mean."""

    def refusal(self, status: int, body: bytes = b"", **headers: str) -> Ending:
        """What this one means."""
        return source().refusal(Response(status=status, received=NOW / 1000, body=body, headers=headers))

    def test_causes(self) -> None:
        """By status."""
        for status, cause in (
            (400, backoff.HTTP), (403, backoff.AUTHORISATION), (404, backoff.HTTP), (429, backoff.RATE_LIMIT),
            (500, backoff.HTTP), (503, backoff.HTTP), (302, backoff.HTTP), (204, backoff.HTTP),
        ):  # fmt: skip
            self.assertEqual(cause, self.refusal(status).cause, status)

    def test_not_there(self) -> None:
        """Only a stream that is none stops it; a topic that is gone, or a proxy that is astray, may pass."""
        for body, cause in (
            (b'{"detail":"nonsense is not a valid stream name"}', backoff.REFUSED),
            (b'{"title":"Stream Not Found"}', backoff.REFUSED),
            (b'{"message":"Topics codfw.x are not available for consumption."}', backoff.HTTP),
            (b"<h1>404 Not Found</h1>", backoff.HTTP),
        ):
            self.assertEqual(cause, self.refusal(404, body).cause, body)
        self.assertIn("after 60 min it goes on by time", self.refusal(400, b'{"detail":"Invalid assignment"}').detail)

    def test_too_many(self) -> None:
        """One connection too many is no rate limit: the last one is not forgotten yet."""
        body = b'{"type":"too_many","detail":"Too Many Concurrent Connections From Your Client IP"}'
        ending = self.refusal(429, body, **{"retry-after": "7"})
        self.assertEqual((backoff.CONNECTION_LIMIT, 7), (ending.cause, ending.retry_after))

    def test_words(self) -> None:
        """The operator reads what was said, and what may help."""
        self.assertIn("page-crate is not", self.refusal(404, b'{"detail":"page-crate is not a stream"}').detail)
        self.assertIn("contact", self.refusal(403).detail)
        self.assertIn("https://there.example", self.refusal(301, location="https://there.example").detail)


class OutcomeTests(SynchronousTestCase):
    """What an event is to the streamer."""

    def test_item(self) -> None:
        """Named by `meta.id`, with the upstream's bytes, its id verbatim as the cursor, in order with its page."""
        made, mark = source().outcomes(sent(), NOW)
        assert isinstance(made, Item)
        self.assertEqual(("change", EDIT["meta"]["id"], ID, event()), (made.kind, made.id, made.cursor, made.body))
        self.assertEqual("dewiki:Kakapo", made.partition)
        self.assertEqual(Mark(ID), mark)
        made.message()

    def test_canary(self) -> None:
        """Canaries are dropped, and yet show how far we are."""
        self.assertEqual([Mark(ID)], source().outcomes(sent(meta={**EDIT["meta"], "domain": "canary"}), NOW))

    def test_error(self) -> None:
        """An error event is the end."""
        (ending,) = source().outcomes(Sent(b'{"message":"broker is gone"}', "error"), NOW)
        assert isinstance(ending, Ending)
        self.assertEqual(backoff.HTTP, ending.cause)
        self.assertIn("broker is gone", ending.detail)

    def test_without_id(self) -> None:
        """An event without a usable id gets one from its bytes, which is the same the next time."""
        for id_ in (None, 7, "", "a b", "x" * 99, "ü"):
            frame = Sent(event(meta={**EDIT["meta"], "id": id_}))
            (first,), (again,) = source().outcomes(frame, NOW), source().outcomes(frame, NOW + 5)
            assert isinstance(first, Item)
            assert isinstance(again, Item)
            self.assertRegex(first.id, "^sha256-[0-9a-f]{32}$")
            self.assertEqual((first.id, None), (again.id, first.cursor))

    def test_unreadable(self) -> None:
        """What has no `meta` is none."""
        for body in (b"", b"{", b"[]", b"null", b"{}", b'{"meta":1}', b'{"x":"xx"}', b"\xff", b"[" * 9999):
            with self.assertRaises(DecodeError):
                source().outcomes(Sent(body), NOW)

    @given(st.binary(max_size=60))
    def test_any_bytes(self, body: bytes) -> None:
        """Only the documented exception."""
        try:
            source().outcomes(Sent(body), NOW)
        except DecodeError:
            pass

    @given(st.dictionaries(st.sampled_from([*EDIT, "performer", "page", "page_title", "dt", "log_type", "server_url"]),
                           st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                                        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
                                            st.sampled_from(["user_text", "page_title", "id", "dt", "uri", "domain"]),
                                            inner, max_size=3), max_leaves=4)))  # fmt: skip
    def test_any_fields(self, fields: dict[str, Any]) -> None:
        """No field but `meta` costs the item, whatever is in it; and an event can be made of it."""
        body = json.dumps(
            {**EDIT, **fields, "meta": {"id": "1", **(fields["meta"] if isinstance(fields.get("meta"), dict) else {})}}
        )
        for outcome in source().outcomes(Sent(body.encode(), id=ID), NOW):
            if isinstance(outcome, Item):
                outcome.message()
                source().posted(outcome)
                made = change.derive(source().decode(outcome), NOW)
                assert made is not None
                made.message()


class PredicateTests(SynchronousTestCase):
    """What is chosen here, since the service chooses nothing."""

    def chosen(self, predicates: Predicates, **fields: Any) -> bool:
        """Whether an edit with these fields is."""
        outcomes = source().with_predicates(predicates).outcomes(sent(**fields), NOW)
        self.assertEqual(Mark(ID), outcomes[-1])
        return len(outcomes) == 2

    def test_each(self) -> None:
        """Wiki, name space, type, bot."""
        for predicates, expected in (
            (Predicates(), True),
            (Predicates(wikis=("dewiki", "frwiki")), True),
            (Predicates(wikis=("frwiki",)), False),
            (Predicates(namespaces=(0,)), True),
            (Predicates(namespaces=(1,)), False),
            (Predicates(types=("new", "edit")), True),
            (Predicates(types=("new",)), False),
            (Predicates(bots=True), True),
            (Predicates(bots=False), False),
            (Predicates(wikis=("dewiki",), namespaces=(1,)), False),
        ):
            self.assertEqual(expected, self.chosen(predicates), predicates)
        self.assertTrue(self.chosen(Predicates(bots=False), bot=None))

    def test_other_schemas(self) -> None:
        """The same for those that have other fields."""
        other = {"type": None, "wiki": None, "namespace": None, "bot": None, "database": "frwiki", "page_namespace": 1,
                 "performer": {"user_text": "A", "user_is_bot": True}}  # fmt: skip
        self.assertTrue(self.chosen(Predicates(wikis=("frwiki",), namespaces=(1,), bots=True), **other))
        page = {"wiki": None, "namespace": None, "type": None, "wiki_id": "itwiki", "page": {"namespace_id": 3},
                "page_change_kind": "move"}  # fmt: skip
        self.assertTrue(self.chosen(Predicates(wikis=("itwiki",), namespaces=(3,), types=("move",)), **page))

    def test_nothing(self) -> None:
        """Predicates that could choose nothing are a mistake."""
        for wrong in (Predicates(wikis=()), Predicates(namespaces=()), Predicates(types=())):
            with self.assertRaisesRegex(ValueError, "is empty"):
                source().with_predicates(wrong)
            with self.assertRaisesRegex(ValueError, "is empty"):
                source(predicates=wrong)

    def test_changes(self) -> None:
        """How many differ."""
        other = source().with_predicates(Predicates(wikis=("dewiki",), bots=False))
        self.assertEqual((2, 0), (source().changes(other), other.changes(other)))


class DecodeTests(SynchronousTestCase):
    """What an event means."""

    def decoded(self, **fields: Any) -> Any:
        """The activity of an edit with these fields."""
        return source().decode(item(event(**fields)))

    def test_edit(self) -> None:
        """Everything that it says."""
        found = self.decoded()
        self.assertEqual(
            ("edit", "dewiki", "Kakapo", "https://de.wikipedia.org/w/index.php?diff=2&oldid=1"),
            (found.action, found.scope, found.title, found.url),
        )
        self.assertEqual("/* Nahrung */ ein Komma", found.text)
        self.assertEqual(("Jack Dorn", "Jack Dorn"), (found.author.id, found.author.handle))
        self.assertEqual("https://de.wikipedia.org/wiki/User:Jack_Dorn", found.author.url)
        self.assertEqual((1_699_999_999_500, ("bot", "minor")), (found.created, found.tags))
        self.assertEqual(1_699_999_999_500, source().posted(item(event())))

    def test_log(self) -> None:
        """A log entry is told by its log, and by what the log says where nobody commented."""
        found = self.decoded(
            type="log", id=None, comment="", log_type="delete", log_action="delete", log_action_comment="deleted it",
            bot=False, minor=None, notify_url=None,
        )  # fmt: skip
        self.assertEqual(("log", ("delete",), "deleted it"), (found.action, found.tags, found.text))
        self.assertEqual("https://de.wikipedia.org/wiki/Kakapo", found.url)

    def test_page_streams(self) -> None:
        """`page-create` and its like have a performer and titles with underscores."""
        meta = {**EDIT["meta"], "stream": "mediawiki.page-create"}
        body = {"meta": meta, "database": "dewiki", "page_title": "Der_Kakapo", "performer": {"user_text": "Ann"}}
        found = source().decode(item(json.dumps(body).encode()))
        self.assertEqual(
            ("page-create", "dewiki", "Der Kakapo", "Ann"), (found.action, found.scope, found.title, found.author.id)
        )
        self.assertEqual("https://de.wikipedia.org/wiki/User:Ann", found.author.url)

    def test_page_change(self) -> None:
        """So has `page_change`, with the page in an object of its own."""
        body = {"meta": EDIT["meta"], "wiki_id": "dewiki", "page": {"page_title": "A_B"}, "page_change_kind": "move"}
        found = source().decode(item(json.dumps(body).encode()))
        self.assertEqual(("move", "dewiki", "A B", None), (found.action, found.scope, found.title, found.author))

    def test_bad_fields(self) -> None:
        """A field of the wrong type is left out, and costs no other."""
        for field, wrong in (
            ("comment", 7), ("user", ["x"]), ("title", {}), ("wiki", 5), ("timestamp", "now"), ("bot", "yes"),
            ("namespace", "0"), ("notify_url", "javascript:alert(1)"), ("server_url", "//x"), ("type", 9),
            ("minor", 1),
        ):  # fmt: skip
            found = self.decoded(**{field: wrong})
            self.assertEqual(1_699_999_999_500, found.created, field)
            self.assertNotIn("javascript", str(found.url))
            self.assertTrue(found.action)
        self.assertEqual("page", self.decoded(type=None, meta={"stream": "mediawiki.page"}).action)
        self.assertEqual("change", self.decoded(type=None, meta={}).action)

    def test_times(self) -> None:
        """The event's own, else that of the change in seconds; absurd ones are none."""
        self.assertEqual(1_699_999_999_000, self.decoded(meta={"dt": "soon"}).created)
        for absurd in (-1, 10**12, 10**400, 1e300):
            self.assertIsNone(self.decoded(meta={"dt": "99999-01-01"}, timestamp=absurd).created, absurd)

    def test_hostile_text(self) -> None:
        """Half a surrogate pair, a NUL, line ends in names and endless texts do no harm."""
        body = event(title="a\x00b\n c", comment="x" * 99_999, user="u" * 9_999).replace(b"Jack", rb"\ud800")
        found = source().decode(item(body.replace(b'"a', rb'"\udfff')))
        self.assertNotIn("\n", found.title)
        self.assertEqual((5_000, 512), (len(found.text), len(found.author.id)))
        made = change.derive(found, NOW)
        assert made is not None
        msgspec.json.decode(made.message().body)


class FollowingTests(SynchronousTestCase):
    """A source and the simulated service."""

    def following(self, own: dict[str, Any] | None = None, **options: Any) -> Following:
        """Started; must leave nothing behind."""
        made = Following.of("wikimedia", own, **{"rate": 5.0, **options})
        self.addCleanup(lambda: self.assertEqual(([], 0), (made.stop(), made.network.open)))
        made.start()
        return made

    def ended(self, made: Following) -> dict[str, float]:
        """How many connections ended, by cause."""
        return {labels[1]: number for metric, labels, number in made.metrics if metric is m.ENDINGS}

    def whole(self, made: Following) -> None:
        """Every event came once, in order, and no gap was announced."""
        self.assertEqual((made.due(), []), (made.ids(), made.gaps()))

    def test_undisturbed(self) -> None:
        """Canaries left out, everything arrives once and in order."""
        made = self.following(canary_every=10.0)
        made.advance(60, step=1)
        self.assertGreater(made.x.status()["canaries"], 4)
        self.whole(made)
        self.assertEqual(({}, 0), (self.ended(made), made.metrics.total(m.BAD_FRAMES)))

    def test_split(self) -> None:
        """In single bytes, or in pieces that cut characters in two, it is the same."""
        made = self.following()
        for size in (1, 7, 4096):
            made.x.fault(faults.Split(size))
            made.advance(3)
        self.whole(made)

    def test_stall(self) -> None:
        """A silent stream is given up, had again at once, and goes on where it was."""
        made = self.following()
        made.advance(10)
        made.x.fault(faults.Stall())
        made.advance(70, step=1)
        self.assertEqual({backoff.STALL: 1}, self.ended(made))
        self.whole(made)

    def test_cuts(self) -> None:
        """Politely or by a reset, in the middle of an event: nothing is lost."""
        made = self.following()
        made.advance(6)
        for reset in (False, True):
            made.x.fault(faults.Cut(reset=reset))
            made.advance(10)
        self.assertEqual({backoff.NETWORK: 2}, self.ended(made))
        self.whole(made)

    def test_fifteen_minutes(self) -> None:
        """The server's own cut is nothing: back at once, no gap, and nothing in the log that asks for attention."""
        with capturedLogs() as logs:
            made = self.following(rate=1.0, cut_after=900.0)
            made.advance(2_000, step=1)
        self.assertEqual({backoff.NETWORK: 2}, self.ended(made))
        self.assertEqual(3, len(made.x.ledger.connections))
        self.whole(made)
        self.assertEqual(set(), {str(log["log_level"].name) for log in logs} - {"info", "debug"})
        self.assertEqual([1, 901, 1801], [round(at - made.network.attempts[0]) + 1 for at in made.network.attempts])

    def test_outage(self) -> None:
        """What happened while the service was away comes afterwards."""
        made = self.following()
        made.advance(10)
        made.x.fault(faults.Status(503, times=3, reset_after=1.0))
        made.x.fault(faults.Cut())
        made.advance(120, step=1)
        self.assertEqual({backoff.NETWORK: 1, backoff.HTTP: 3}, self.ended(made))
        self.whole(made)

    def test_longer_than_history(self) -> None:
        """What is older than the server remembers is missing; so is it after a week."""
        made = self.following()
        made.advance(10)
        made.network.refuses = OSError("no route")
        made.x.fault(faults.Cut())
        made.advance(8 * 86_400, step=3600)
        made.network.refuses = None
        made.advance(60, step=1)
        (gap,) = made.gaps()
        self.assertLess(gap.start, NOW + 10_000)
        self.assertEqual(round(86_400 / 600), round((gap.end - gap.start) / 1000 / 600))

    def silent_loss(self, made: Following, cuts: int) -> list[str]:
        """Cut so often, with pauses that fall anywhere; what is missing in the end and in no gap."""
        for count in range(cuts):
            made.advance(5 + 0.14 * count, step=0.02)
            made.x.fault(faults.Cut())
        made.advance(12, step=0.5)
        self.assertEqual(cuts, self.ended(made)[backoff.NETWORK])
        return made.unannounced()

    def test_busy_log(self) -> None:
        """A busy log, which is not in order of time, is resumed without loss: the id says 1 ms more than it should."""
        made = self.following(rate=100.0)
        self.assertEqual([], self.silent_loss(made, 8))
        self.whole(made)

    def test_quiet_streams(self) -> None:
        """A stream that had said nothing before an outage does not begin anew after it."""
        for seed in (1, 2):
            streams = ("recentchange", "page-create", "page-delete")
            made = Following.of("wikimedia", {"streams": streams}, streams=streams, rate=5, seed=seed, canary_every=0)
            made.start()
            made.advance(0.7, step=0.1)
            made.x.fault(faults.Status(503, times=3))
            made.x.fault(faults.Cut())
            made.advance(60)
            self.assertEqual([], made.unannounced())
            self.assertEqual((made.due(), []), (made.ids(), made.gaps()))
            self.assertEqual([], made.stop())

    def test_refused_for_a_while(self) -> None:
        """An id that the server does not take, whatever its reason, does not end it for good."""
        made = self.following(rate=1.0, kept=20_000.0, cut_after=0)
        made.advance(10)
        made.x.fault(faults.Status(400, times=20))
        made.x.fault(faults.Cut())
        made.advance(7_000, step=10)
        self.assertEqual({backoff.NETWORK: 1, backoff.HTTP: 20}, self.ended(made))
        self.whole(made)

    def test_refusals(self) -> None:
        """Each has its cause; a stream that is not there is not asked for again."""
        made = self.following()
        made.advance(6)
        for status, cause in ((429, backoff.CONNECTION_LIMIT), (403, backoff.AUTHORISATION), (404, backoff.REFUSED)):
            made.x.fault(faults.Status(status, reset_after=1.0))
            made.x.fault(faults.Cut())
            made.advance(1)
            self.assertEqual(1, self.ended(made)[cause], status)
            made.advance(400, step=10)
        self.assertFalse(made.follower.connected)

    def test_without_contact(self) -> None:
        """A strict server refuses who does not say who he is."""
        made = self.following({"contact": None})
        self.assertEqual({backoff.AUTHORISATION: 1}, self.ended(made))

    def test_accept_then_close(self) -> None:
        """A server that accepts and closes is asked less and less often."""
        made = Following.of("wikimedia", rate=5.0)
        self.addCleanup(made.stop)
        made.x.fault(faults.AcceptThenClose(times=5))
        made.start()
        made.advance(2)
        self.assertLess(len(made.network.attempts), 5)
        made.advance(20)
        self.assertTrue(made.ids())

    def test_error_event(self) -> None:
        """The stream says that it cannot go on: five seconds later it goes on where it was."""
        made = self.following()
        made.advance(10)
        made.x.fault(faults.Close(reason="kafka is resting"))
        made.advance(0.5)
        self.assertIn("kafka is resting", made.follower.said)
        made.advance(20)
        self.assertEqual({backoff.HTTP: 1}, self.ended(made))
        self.whole(made)

    def test_garbage(self) -> None:
        """What is no event is counted and dropped."""
        made = self.following()
        made.advance(2)
        made.x.fault(faults.Garbage())
        made.x.fault(faults.Garbage(html=True))
        made.x.fault(faults.Noise())
        made.x.fault(faults.Huge(2_000_000))
        made.advance(2)
        self.assertEqual(3, made.metrics.value(m.BAD_FRAMES, "birds", "unreadable"))
        self.assertEqual(1, made.metrics.value(m.BAD_FRAMES, "birds", "too-long"))
        self.assertEqual({}, self.ended(made))
        self.whole(made)

    def test_repeats_and_order(self) -> None:
        """What comes twice is one item; what comes out of order all comes."""
        made = self.following()
        made.x.fault(faults.Duplicate(4))
        made.x.fault(faults.Reorder(2))
        made.advance(10)
        self.assertEqual(sorted(made.due()), sorted(made.ids()))
        self.assertGreater(made.metrics.value(m.REPEATED_ITEMS, "birds"), 0)

    def test_several_streams(self) -> None:
        """Several streams on one connection, each resumed from its own place."""
        streams = ("recentchange", "page-create", "page-delete")
        made = self.following({"streams": streams}, streams=streams, rate=20.0)
        made.advance(20)
        made.x.fault(faults.Cut())
        made.advance(20)
        self.assertEqual({"page-create", "page-delete"}, self.actions(made) & {"page-create", "page-delete"})
        self.assertEqual({backoff.NETWORK: 1}, self.ended(made))
        self.whole(made)

    def actions(self, made: Following) -> set[str | None]:
        """What was done, in all items."""
        return {made.source.decode(one).action for one in made.items}

    def test_predicates(self) -> None:
        """Only what is chosen reaches the bus; other predicates take effect without loss."""
        made = self.following({"predicates": Predicates(types=("log",))}, rate=20.0)
        made.advance(20)
        self.assertEqual({"log"}, self.actions(made))
        before = len(made.items)
        asked = made.streamer.put_predicates("birds", b'{"types":["new"]}', False)
        made.advance(90, step=1)
        self.successResultOf(asked)
        self.assertGreater(before, 3)
        self.assertEqual({"log", "new"}, self.actions(made))
        self.assertEqual(({"new"}, []), ({made.source.decode(one).action for one in made.items[-20:]}, made.gaps()))

    def test_restart(self) -> None:
        """The next process goes on where the last one stopped: nothing missing, nothing twice, no gap."""
        place = folder(self)

        def keeping() -> Keeping:
            return Keeping(place / "birds.cursor", StateLock(place, "birds"), None, maybeDeferred)

        first = Following.of("wikimedia", rate=5.0, keeping=keeping())
        first.start()
        first.advance(20)
        self.successResultOf(first.end())
        first.clock.advance(600)
        second = Following(table=table_of("wikimedia"), simulation=first.x, clock=first.clock, keeping=keeping())
        second.start()
        second.advance(20)
        again = set(first.ids()) & set(second.ids())  # the server repeats the last five seconds
        self.assertLess(len(again), 30)
        self.assertEqual(second.due(), [*first.ids(), *[id_ for id_ in second.ids() if id_ not in again]])
        self.assertEqual([], second.gaps())
        self.assertEqual([], second.stop())
