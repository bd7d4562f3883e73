# -*- test-case-name: tests.unit.test_sources_github_polling -*-
"""How GitHub's events are polled: step by step, and against the simulated service."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.asks import Page, Polling, Wait
from streamer.bus.state_lock import StateLock
from streamer.policy import backoff
from streamer.services.keeping import Keeping
from streamer.sources.github import Predicates, Settings, github
from streamer.sources.github_polling import KNOWN, MARK_LIMIT, Known, Poller, known
from streamer.testing import faults
from streamer.upstream import Ending, Mark, Missed, Request, Response, Resume
from tests.unit.following import Following, table_of
from tests.unit.spooling import folder

NOW = 1_700_000_000.0  # seconds since the epoch
API = "https://api.github.com"
FIRST = f"{API}/events?per_page=100"
ASKING = github.build("hub", Settings(interval=60)).asking


def body(*ids: int) -> bytes:
    """A page with these events; each happened as many seconds before now as its id is less than 1000."""
    rows = [{"id": str(id_), "type": "PushEvent", "created_at": written(NOW - 1000 + id_)} for id_ in ids]
    return json.dumps(rows).encode()


def written(at: float) -> str:
    """A time as GitHub writes it: 2023-11-14 from 22:13:20 on is `NOW`."""
    day = int(at) - 1_699_920_000
    return f"2023-11-14T{day // 3600:02d}:{day // 60 % 60:02d}:{day % 60:02d}Z"


@attrs.define
class Driven:
    """A poll, driven by hand."""

    steps: Polling
    step: Any = None

    @classmethod
    def of(cls, before: Known | None = None) -> Driven:
        """A new one, which has asked."""
        made = cls(Poller(ASKING, before).steps())
        made.step = next(made.steps)
        return made

    def asked(self) -> Request:
        """What is asked for now."""
        assert isinstance(self.step, Request), self.step
        return self.step

    def answer(self, status: int = 200, content: bytes = b"", *, at: float = NOW, **headers: str) -> Any:
        """Answer; returns the next step, or the ending."""
        self.asked()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = Response(status=status, received=at, headers=named, body=content)
        try:
            self.step = self.steps.send(response)
        except StopIteration as done:
            self.step = done.value
        return self.step

    def go(self) -> Any:
        """Do what was to be done, a page or a pause."""
        assert isinstance(self.step, Page | Wait), self.step
        self.step = next(self.steps)
        return self.step

    def page(self) -> tuple[list[str], list[Any]]:
        """Ids and words of the page that was found."""
        assert isinstance(self.step, Page), self.step
        frames = self.step.frames
        return [json.loads(one)["id"] for one in frames if isinstance(one, bytes)], [
            one for one in frames if not isinstance(one, bytes)
        ]

    def mark(self) -> Known:
        """What the page's mark knows."""
        found = known(self.page()[1][-1].cursor, ASKING)
        assert found is not None
        return found


def link(number: int) -> str:
    """The header that names a next page."""
    return f'<{FIRST}&page={number}>; rel="next", <{FIRST}&page=9>; rel="last"'


class StepTests(SynchronousTestCase):
    """One step after the other."""

    def test_first_contact(self) -> None:
        """One page, the oldest first, whatever else there is; and no gap."""
        driven = Driven.of()
        self.assertEqual(FIRST, driven.asked().url)
        self.assertNotIn("If-None-Match", driven.asked().headers)
        driven.answer(200, body(3, 2, 1), link=link(2), etag='W/"a"', x_poll_interval="60")
        self.assertEqual(["1", "2", "3"], driven.page()[0])
        self.assertEqual(Known("/events", ("3", "2", "1"), 1_699_999_003_000, 'W/"a"'), driven.mark())
        self.assertEqual(Wait(60.0, 0.1), driven.go())

    def test_not_modified(self) -> None:
        """The tag goes back as it came; 304 is no news, and its wish for patience is heard."""
        driven = Driven.of(Known("/events", ("1",), None, 'W/"a"'))
        self.assertEqual('W/"a"', driven.asked().headers["If-None-Match"])
        self.assertEqual(Page(()), driven.answer(304, x_poll_interval="120"))
        self.assertEqual(Wait(120.0, 0.1), driven.go())
        driven.go()
        driven.answer(304)
        self.assertEqual(Wait(60.0, 0.1), driven.go())

    def test_news(self) -> None:
        """Only what is not known, and no second page where something known is on the first."""
        driven = Driven.of(Known("/events", ("2", "1")))
        driven.answer(200, body(4, 3, 2, 1), link=link(2))
        self.assertEqual(["3", "4"], driven.page()[0])
        self.assertEqual(("4", "3", "2", "1"), driven.mark().ids)

    def test_pages(self) -> None:
        """Read on until something is known."""
        driven = Driven.of(Known("/events", ("1",), 5))
        driven.answer(200, body(6, 5), link=link(2), etag='"first"')
        self.assertEqual(f"{FIRST}&page=2", driven.asked().url)
        self.assertNotIn("If-None-Match", driven.asked().headers)
        driven.answer(200, body(4, 3), link=link(3), etag='"second"')
        driven.answer(200, body(2, 1), link=link(4))
        self.assertEqual(["2", "3", "4", "5", "6"], driven.page()[0])
        self.assertEqual('"first"', driven.mark().etag)

    def test_shifting_pages(self) -> None:
        """Events that come while we page push others on: repeats are left out, newer ones wait for the next poll."""
        driven = Driven.of(Known("/events", ("1",)))
        driven.answer(200, body(6, 5), link=link(2))
        driven.answer(200, body(7, 6, 5, 4), link=link(3))
        driven.answer(200, body(4, 3, 2, 1))
        self.assertEqual(["2", "3", "4", "5", "6"], driven.page()[0])
        driven.go()
        driven.go()
        driven.answer(200, body(7, 6, 5, 4))
        self.assertEqual(["7"], driven.page()[0])

    def test_shifted_by_a_page(self) -> None:
        """The second page may be newer than the first: then it is the next poll's, and no hole is left."""
        driven = Driven.of(Known("/events", ("1",)))
        driven.answer(200, body(5, 4), link=link(2))
        driven.answer(200, body(8, 7), link=link(3))
        driven.answer(200, body(6, 5, 4, 3), link=link(4))
        driven.answer(200, body(3, 2, 1))
        self.assertEqual(["2", "3", "4", "5"], driven.page()[0])
        driven.go()
        driven.go()
        driven.answer(200, body(9, 8), link=link(2))
        driven.answer(200, body(7, 6), link=link(3))
        driven.answer(200, body(5, 4))
        self.assertEqual(["6", "7", "8", "9"], driven.page()[0])

    def test_small_pages(self) -> None:
        """Smaller pages are more of them: as many as a list has."""
        asking = attrs.evolve(ASKING, per_page=10)
        driven = Driven(Poller(asking, Known("/events", ("1",), 5)).steps())
        driven.step = next(driven.steps)
        for place in range(30):
            driven.answer(200, body(900 - place), link=link(place + 2))
        self.assertEqual(30, len(driven.page()[0]))

    def test_overflow(self) -> None:
        """Nothing known on any page: what was pushed out is missing, from the last known to the oldest there is."""
        driven = Driven.of(Known("/events", ("100", "99"), 1_699_999_100_000))
        driven.answer(200, body(600, 599), link=link(2))
        driven.answer(200, body(598, 597))
        self.assertEqual(["597", "598", "599", "600"], driven.page()[0])
        self.assertEqual(Missed(start=1_699_999_100_000, end=1_699_999_597_000), driven.page()[1][0])

    def test_aged(self) -> None:
        """What is known may be gone because a month is over: nothing is missing then."""
        driven = Driven.of(Known("/events", ("1",), int(NOW - 31 * 86_400) * 1000))
        driven.answer(200, body(600))
        self.assertEqual((["600"], 1), (driven.page()[0], len(driven.page()[1])))

    def test_aged_and_full(self) -> None:
        """Unless the list is full: then nobody can tell."""
        driven = Driven.of(Known("/events", ("1",), int(NOW - 31 * 86_400) * 1000))
        driven.answer(200, body(*range(900, 900 - KNOWN, -1)))
        self.assertIsInstance(driven.page()[1][0], Missed)

    def test_full_after_empty(self) -> None:
        """A list that was empty and is full now may have lost some; one that is not full has not."""
        for count, missed in ((KNOWN, True), (KNOWN - 1, False)):
            driven = Driven.of(Known("/events", (), 1_699_999_100_000))
            driven.answer(200, body(*range(900, 900 - count, -1)))
            self.assertEqual(missed, isinstance(driven.page()[1][0], Missed), count)

    def test_strange_times(self) -> None:
        """An event that says to be of the future, or of long ago, makes no gap longer or shorter than it is."""
        future, past = (
            json.dumps({"id": id_, "type": "PushEvent", "created_at": at}).encode()
            for id_, at in (("7", "9999-12-31T00:00:00Z"), ("8", "1970-01-01T00:00:00Z"))
        )
        now_ms = int(NOW) * 1000
        driven = Driven.of(Known("/events", ("1",), 1_699_999_001_000))
        driven.answer(200, b"[" + future + b"," + body(2, 1)[1:])
        self.assertEqual(now_ms, driven.mark().newest)
        for newest, extra, start, end in (
            (1_699_999_100_000, future, 1_699_999_100_000, 1_699_999_600_000),
            (1_699_999_100_000, past, 1_699_999_100_000, 1_699_999_600_000),
            (253_402_214_400_000, future, now_ms, now_ms),  # of an earlier version
        ):
            driven = Driven.of(Known("/events", ("1",), newest))
            driven.answer(200, b"[" + extra + b"," + body(601, 600)[1:])
            self.assertEqual(Missed(start=start, end=end), driven.page()[1][0], (newest, extra))

    def test_full_after_never_any(self) -> None:
        """Where the list was empty ever since, what may be missing begins with the last poll, or what was safe."""
        full = body(*range(900, 900 - KNOWN, -1))
        driven = Driven.of()
        driven.answer(200, b"[]", at=NOW - 900)
        driven.go()
        driven.go()
        driven.answer(304, at=NOW - 800)
        driven.go()
        driven.go()
        driven.answer(200, full)
        self.assertEqual(Missed(start=1_699_999_200_000, end=1_699_999_601_000), driven.page()[1][0])
        resume = Resume(received=1_699_999_100_000, cursor=Known("/events").mark().cursor)
        driven = Driven(github.build("hub", Settings(interval=60)).request(resume, int(NOW) * 1000).steps())
        driven.step = next(driven.steps)
        driven.answer(200, full)
        self.assertEqual(Missed(start=1_699_999_100_000, end=1_699_999_601_000), driven.page()[1][0])

    def test_empty(self) -> None:
        """Empty lists are no news, before and after."""
        driven = Driven.of(Known("/events", ("1",), 5))
        driven.answer(200, b"[]", etag='"e"')
        self.assertEqual(([], ("1",)), (driven.page()[0], driven.mark().ids))

    def test_limit_of_pages(self) -> None:
        """A list that never ends is left after ten pages."""
        driven = Driven.of(Known("/events", ("1",), 5))
        for place in range(10):
            driven.answer(200, body(900 - place), link=link(place + 2))
        self.assertEqual(10, len(driven.page()[0]))

    def test_foreign_page(self) -> None:
        """A next page on another host is not asked for."""
        driven = Driven.of(Known("/events", ("1",), 5))
        driven.answer(200, body(9), link='<https://evil.example/?page=2>; rel="next"')
        self.assertEqual(["9"], driven.page()[0])

    def test_rate_limit(self) -> None:
        """Where nothing remains, the next request waits for the new hour, also between pages."""
        spent = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 900)}
        driven = Driven.of(Known("/events", ("1",), 5))
        self.assertEqual(Wait(901.0, 0.1), driven.answer(200, body(9), link=link(2), **spent))
        driven.go()
        self.assertEqual(f"{FIRST}&page=2", driven.asked().url)
        driven.answer(200, body(8, 1), **spent)
        self.assertEqual(["8", "9"], driven.page()[0])
        self.assertEqual(Wait(901.0, 0.1), driven.go())
        driven.go()
        driven.answer(304, x_ratelimit_remaining="5000")
        self.assertEqual(Wait(60.0, 0.1), driven.go())

    def test_refusals(self) -> None:
        """Whatever is neither 200 nor 304 ends it; also in the middle of pages, and then nothing was published."""
        for status in (401, 403, 404, 429, 500, 503, 204):
            self.assertIsInstance(Driven.of().answer(status), Ending)
            driven = Driven.of(Known("/events", ("1",), 5))
            driven.answer(200, body(9), link=link(2))
            self.assertIsInstance(driven.answer(status), Ending)

    def test_half_a_surrogate_pair(self) -> None:
        """It costs neither its own event nor the others, and all come as they were sent."""
        rows = [
            f'{{"id": "{id_}", "type": "PushEvent", "created_at": "{written(NOW - 9 + id_)}", "x": "{text}"}}'
            for id_, text in ((3, "c"), (2, "\\ud83d b \\ud83d\\ude00"), (1, "\\\\ud800 a"))
        ]
        driven = Driven.of()
        driven.answer(200, f"[{' , '.join(rows)}]".encode())
        found = [frame for frame in driven.step.frames if isinstance(frame, bytes)]
        self.assertEqual([row.encode() for row in reversed(rows)], found)

    def test_no_list(self) -> None:
        """What is no list of events ends it."""
        for content in (b"", b"<html>", b"{}", b"[", b'{"message":"hi"}', b"\xff"):
            ending = Driven.of().answer(200, content)
            self.assertEqual((backoff.HTTP, True), (ending.cause, "no list of events" in ending.detail), content)
        driven = Driven.of()
        driven.answer(200, b'[7, null, {"id":"1","type":"PushEvent"}]')
        self.assertEqual(3, len([one for one in driven.step.frames if isinstance(one, bytes)]))

    def test_marks_stay_small(self) -> None:
        """A mark knows as many events as a list holds, and is never too long to be read again."""
        driven = Driven.of(Known("/events", tuple(str(n) for n in range(10**11, 10**11 + KNOWN)), 5))
        driven.answer(200, body(9, 8), etag='"' + "e" * 600 + '"')
        self.assertEqual((KNOWN, None), (len(driven.mark().ids), driven.mark().etag))
        self.assertLess(len(driven.page()[1][-1].cursor), 5_000)
        long = Known("/events", ("sha256-" + "0" * 32,) * KNOWN, 5, "e" * 500, f"{API}/{'u' * 1000}").mark()
        self.assertLess(len(long.cursor), MARK_LIMIT)


class RedirectTests(SynchronousTestCase):
    """Lists that have moved."""

    THERE = f"{API}/repositories/7/events?per_page=100"

    def test_for_good(self) -> None:
        """301 and 308 are kept, over restarts too."""
        for status in (301, 308):
            driven = Driven.of(Known("/events", ("1",), 5, '"a"'))
            driven.answer(status, location=self.THERE)
            self.assertEqual((self.THERE, '"a"'), (driven.asked().url, driven.asked().headers["If-None-Match"]))
            driven.answer(200, body(2, 1))
            self.assertEqual(self.THERE, driven.mark().url)
            self.assertEqual(self.THERE, Driven.of(driven.mark()).asked().url)

    def test_kept_without_news(self) -> None:
        """Also where nothing else is new."""
        driven = Driven.of(Known("/events", ("1",), 5, '"a"'))
        driven.answer(301, location="/repositories/7/events?per_page=100")
        driven.answer(304)
        self.assertEqual(self.THERE, driven.mark().url)

    def test_for_now(self) -> None:
        """302, 303 and 307 are followed this time; so is what comes after one of them."""
        for status in (302, 303, 307):
            driven = Driven.of()
            driven.answer(status, location=f"{API}/other")
            driven.answer(301, location=self.THERE)
            self.assertEqual(self.THERE, driven.asked().url)
            driven.answer(200, body(1))
            self.assertIsNone(driven.mark().url)

    def test_elsewhere(self) -> None:
        """No redirect leads to another host, which would see the token."""
        for target in ("https://evil.example/", "http://api.github.com/events", "//evil.example", ""):
            ending = Driven.of().answer(301, location=target)
            self.assertIn("not followed", ending.detail)

    def test_loop(self) -> None:
        """A circle ends."""
        driven = Driven.of()
        for _ in range(5):
            driven.answer(302, location="/events")
        self.assertIn("redirects in a row", driven.answer(302, location="/events").detail)

    def test_moved_back(self) -> None:
        """What was moved and is not there any more is looked for where it was."""
        driven = Driven.of(Known("/events", ("1",), 5, '"a"', self.THERE))
        driven.answer(404)
        self.assertIsNone(driven.mark().url)
        driven.go()
        driven.go()
        self.assertEqual(FIRST, driven.asked().url)

    def test_strange_marks(self) -> None:
        """A mark that leads elsewhere, or is none, is not believed."""
        self.assertIsNone(known(None, ASKING))
        evil = known(Known("/events", ("1",), 5, '"a"', "https://evil.example/").mark().cursor, ASKING)
        self.assertEqual(Known("/events", ("1",), 5), evil)

    @given(st.text(max_size=80))
    def test_any_mark(self, cursor: str) -> None:
        """Whatever the state directory holds does no harm."""
        self.assertIsNone(known(cursor, ASKING))


class FollowingTests(SynchronousTestCase):
    """A source and the simulated service."""

    def following(self, own: dict[str, Any] | None = None, **options: Any) -> Following:
        """Started; must leave nothing behind."""
        made = Following.of("github", own, **{"rate": 5.0, **options})
        self.addCleanup(lambda: self.assertEqual(([], 0), (made.stop(), made.network.open)))
        made.start()
        return made

    def ended(self, made: Following) -> dict[str, float]:
        """How many times the polls ended, by cause."""
        return {labels[1]: number for metric, labels, number in made.metrics if metric is m.ENDINGS}

    def whole(self, made: Following, late: int = 10) -> None:
        """Every event came once, in order, but for the last which may be still to come; and no gap was announced."""
        due, ids = made.due(), made.ids()
        self.assertEqual(due[: len(ids)], ids)
        self.assertLessEqual(len(due) - len(ids), late)
        self.assertEqual([], made.gaps())

    def settle(self, made: Following) -> None:
        """Let nothing more happen, and the last polls see it all."""
        made.x.stop()
        made.advance(5)
        self.whole(made, late=0)

    def test_undisturbed(self) -> None:
        """Everything arrives once and in order."""
        made = self.following()
        made.advance(60)
        self.assertGreater(len(made.ids()), 280)
        self.assertEqual(
            ({}, 0, 0), (self.ended(made), made.metrics.total(m.BAD_FRAMES), made.metrics.total(m.REPEATED_ITEMS))
        )
        self.settle(made)

    def test_split(self) -> None:
        """In pieces of any size."""
        made = self.following(rate=2.0)
        for size in (1, 7, 4096):
            made.x.fault(faults.Split(size))
            made.advance(3)
        self.settle(made)

    def test_poll_interval(self) -> None:
        """GitHub says how often; nobody asks more often, and 304 costs nothing of the hour's allowance."""
        made = self.following({"token": None}, rate=0.0, poll_interval=60)
        made.advance(3 * 3600, step=5)
        self.assertGreater(len(made.network.attempts), 150)
        self.assertLessEqual(len(made.network.attempts), 181)
        self.assertEqual({}, self.ended(made))
        self.assertLess(made.x.lists.allowances[False].used, 5)

    def test_hours_allowance(self) -> None:
        """What is spent is waited for: nothing ends, and nobody is asked in vain."""
        made = self.following({"token": None}, rate=0.05, poll_interval=5, anonymous_limit=60)
        made.advance(2 * 3600 + 60, step=5)
        self.assertEqual({}, self.ended(made))
        self.whole(made)

    def test_faults(self) -> None:
        """Cut, stalled, garbled, huge or empty answers end a poll; a minute or so later it goes on, with all of it."""
        for fault, cause in (
            (faults.Cut(), backoff.NETWORK),
            (faults.Cut(reset=True), backoff.NETWORK),
            (faults.Garbage(), backoff.HTTP),
            (faults.Garbage(html=True), backoff.HTTP),
            (faults.Noise(), backoff.HTTP),
            (faults.Huge(6_000_000), backoff.HTTP),
            (faults.AcceptThenClose(), backoff.HTTP),
            (faults.Stall(), backoff.NETWORK),
            (faults.Status(500), backoff.HTTP),
        ):
            made = self.following(rate=1.0)
            made.advance(40)
            made.x.fault(fault)
            made.advance(120)
            self.assertEqual({cause: 1}, self.ended(made), fault)
            self.settle(made)

    def test_short_stall(self) -> None:
        """An answer that takes its time is waited for."""
        made = self.following()
        made.advance(10)
        made.x.fault(faults.Stall(20.0))
        made.advance(30)
        self.assertEqual({}, self.ended(made))
        self.settle(made)

    def test_refusals(self) -> None:
        """Limits end when they say; a wrong token waits for an operator's hand; what is not there is not asked for."""
        for fault, cause, delay in (
            (faults.Status(403, reset_after=700.0), backoff.RATE_LIMIT, 701),
            (faults.Status(429, reset_after=90.0), backoff.RATE_LIMIT, 90),
            (faults.Status(401), backoff.AUTHORISATION, 300),
            (faults.Status(503), backoff.HTTP, 60),
            (faults.Status(404), backoff.REFUSED, None),
        ):
            made = self.following(rate=0.1)
            made.advance(10)
            made.x.fault(fault)
            made.advance(2)
            self.assertEqual({cause: 1}, self.ended(made), fault)
            refused, before = made.network.attempts[-1], len(made.network.attempts)
            made.advance(1000, step=1)
            if delay is None:
                self.assertEqual(before, len(made.network.attempts))
                continue
            self.assertLess(abs(made.network.attempts[before] - refused - delay), 3, fault)
            self.settle(made)

    def test_outage(self) -> None:
        """After an outage all that the list still has comes; what it has not is announced."""
        for seconds, gaps in ((50, 0), (400, 1)):
            made = self.following(rate=2.0)
            made.advance(20)
            made.network.refuses = OSError("no route")
            made.advance(seconds)
            made.network.refuses = None
            made.advance(300)
            made.x.stop()
            made.advance(5)
            self.assertEqual(gaps, len(made.gaps()), seconds)
            self.assertEqual([], made.unannounced())
            self.assertEqual(gaps == 0, not made.missing())

    def test_overflow(self) -> None:
        """More between two polls than a list holds: as many gaps as polls, and no silent loss."""
        made = self.following(rate=40.0, poll_interval=20)
        made.advance(130)
        self.assertEqual({"overflow"}, {gap.cause for gap in made.gaps()})
        self.assertGreater(len(made.missing()), 1000)
        made.x.stop()
        made.advance(25)
        self.assertEqual([], made.unannounced())

    def test_repeats_and_order(self) -> None:
        """What is listed twice is one item; what is listed out of order all comes."""
        made = self.following()
        made.x.fault(faults.Duplicate(4))
        made.x.fault(faults.Reorder(2))
        made.advance(20)
        made.x.stop()
        made.advance(5)
        self.assertEqual(sorted(made.due()), sorted(made.ids()))

    def test_one_repository(self) -> None:
        """A list of one repository has its events alone; another list is wanted without loss of the first."""
        made = self.following({"predicates": Predicates(of="orgs/mossy-labs")}, rate=20.0)
        made.advance(30)
        self.assertEqual({"mossy-labs"}, {str(scope).partition("/")[0] for scope in self.scopes(made)})
        asked = made.streamer.put_predicates("birds", b'{"of":"orgs/opal-maps"}', False)
        made.advance(200, step=1)
        self.successResultOf(asked)
        self.assertEqual({"mossy-labs", "opal-maps"}, {str(scope).partition("/")[0] for scope in self.scopes(made)})

    def scopes(self, made: Following) -> set[str | None]:
        """Repositories of all items."""
        return {made.source.decode(one).scope for one in made.items if one.kind != "gap"}

    def test_moved(self) -> None:
        """A list that moves is followed, and asked at its new place from then on."""
        made = self.following()
        made.advance(5)
        made.x.lists.moved["/events"] = (301, "/networks/nobody/nothing/events")
        made.x.events.repositories = (*made.x.events.repositories, (1, "nobody/nothing", None))
        made.advance(5)
        asked = [sent.stream for sent in made.x.ledger.connections][-4:]
        self.assertEqual({"/networks/nobody/nothing/events"}, set(asked))

    def restarted(self, first: Following, keeping: Callable[[], Keeping]) -> Following:
        """The next process."""
        made = Following(table=table_of("github"), simulation=first.x, clock=first.clock, keeping=keeping())
        made.start()
        return made

    def test_restart(self) -> None:
        """The next process repeats nothing, misses nothing, and knows whether there is a gap."""
        place = folder(self)

        def keeping() -> Keeping:
            return Keeping(place / "birds.cursor", StateLock(place, "birds"), None, maybeDeferred)

        first = Following.of("github", rate=5.0, keeping=keeping())
        first.start()
        first.advance(20)
        self.successResultOf(first.end())
        seen: Sequence[str] = first.ids()
        for away, gaps in ((40, 0), (500, 1)):
            for _ in range(away):
                first.clock.advance(1)
            made = self.restarted(first, keeping)
            made.advance(20)
            self.assertEqual(set(), set(seen) & set(made.ids()))
            self.assertEqual(gaps, len(made.gaps()), away)
            self.assertEqual([], made.unannounced())
            self.successResultOf(made.end())
            seen = [*seen, *made.ids()]
            if not gaps:
                self.assertEqual(made.due()[: len(seen)], seen)
        first.x.stop()

    def test_restart_of_a_mark(self) -> None:
        """The mark is what is kept."""
        made = self.following()
        made.advance(5)
        found = known(made.intake.cursor, ASKING)
        assert found is not None
        self.assertEqual(made.ids()[::-1][:5], list(found.ids[:5]))
        self.assertIsInstance(found.mark(), Mark)
