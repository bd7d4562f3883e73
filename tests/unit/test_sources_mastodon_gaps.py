"""What a Mastodon stream missed: the pages that are asked for, and the whole of it against the simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.asks import Poll, Wait
from streamer.policy import backoff
from streamer.secrets import Secret
from streamer.sources.mastodon import Mastodon, Settings, mastodon
from streamer.sources.mastodon_gaps import PAGES, SLICE
from streamer.sources.mastodon_streams import Predicates
from streamer.testing import faults
from streamer.upstream import Ending, Missed, Request, Response
from streamer.wire.sse import Sent
from tests.unit.following import Following

FROM, TO = 1_700_000_000_000, 1_700_000_060_000  # ms since the epoch
BEFORE = 1_699_999_940_000 << 16  # id of the last status before
START = str((FROM - 300_000) << 16)  # where it begins
NOW = 1_700_000_061.0  # seconds since the epoch

Answer = Callable[[str, dict[str, list[str]]], Response]


def source(*streams: str, **settings: Any) -> Mastodon:
    """A source of these streams."""
    asked = Predicates(streams or ("public",))
    return mastodon.build("fedi", Settings(token=Secret("t"), predicates=asked, transport="websocket", **settings))


def response(rows: Any = (), status: int = 200, **headers: str) -> Response:
    """An answer of a timeline."""
    written = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, received=NOW, headers=written, body=json.dumps(rows).encode())


def row(id_: int, created_at: str = "2023-11-14T22:13:30.000Z") -> dict[str, Any]:
    """A status."""
    return {"id": str(id_), "created_at": created_at, "content": ""}


def played(poll: Poll, answer: Answer) -> tuple[list[Any], Ending]:
    """All that a recovery does, with its end; requests are told as (path, query)."""
    steps, told, given = poll.steps(), list[Any](), None
    while True:
        try:
            step = steps.send(given)
        except StopIteration as over:
            return told, over.value
        given = None
        if isinstance(step, Request):
            url = urlsplit(step.url)
            query = parse_qs(url.query)
            told.append((url.path.removeprefix("/api/v1/timelines/"), query))
            given = answer(*told[-1])
        elif isinstance(step, Wait):
            told.append(step.seconds)
        elif step.frames:
            told.extend(frame.data if isinstance(frame, Sent) else frame for frame in step.frames)


def recovery(made: Mastodon, cursor: str | None = str(BEFORE)) -> Poll:
    """That of the span."""
    poll = made.recovery(FROM, TO, cursor)
    assert poll is not None
    return poll


def pages(*answers: Response) -> Answer:
    """These answers, one after the other."""
    left = list(answers)
    return lambda path, query: left.pop(0)


class PagesTests(SynchronousTestCase):
    """The requests of one recovery."""

    def requests(self, told: Sequence[Any]) -> list[tuple[str, dict[str, list[str]]]]:
        """Those among what was done."""
        return [one for one in told if isinstance(one, tuple)]

    def test_forward(self) -> None:
        """Pages follow each other by `min_id`, from some time before the span on; bytes as they came."""
        told, ending = played(recovery(source()), pages(response([row(BEFORE + 9), row(BEFORE)]), response()))
        first, *items, second = told
        self.assertEqual(("public", {"limit": ["40"], "min_id": [START]}), first)
        self.assertEqual([row(BEFORE), row(BEFORE + 9)], [json.loads(item) for item in items])
        self.assertEqual([str(BEFORE + 9)], second[1]["min_id"])
        self.assertEqual((True, backoff.NETWORK), (ending.whole, ending.cause))

    def test_late(self) -> None:
        """What may have come late is asked for again, where ids tell the time; other ids are taken as they are."""
        other = "600000000000000000"  # of a server that counts from another year on
        for cursor, first in ((str(TO << 16), START), ("9xYz", "9xYz"), ("12345", "12345"), (other, other)):
            told, _ = played(recovery(source(), cursor), pages(response([row(int(cursor, 36))]), response()))
            self.assertEqual([first], told[0][1]["min_id"])

    def test_late_before(self) -> None:
        """A last status that had come hours late does not make it begin hours ago."""
        told, _ = played(recovery(source(), str((FROM - 3 * 3_600_000) << 16)), pages(response([row(7)]), response()))
        self.assertEqual([START], told[0][1]["min_id"])

    def timeline(self, rows: Sequence[dict[str, Any]], page: int = 40) -> Answer:
        """A server that has these, in the order of their ids, and heeds `min_id`."""

        def answer(path: str, query: dict[str, list[str]]) -> Response:
            after = int(query.get("min_id", ["0"])[0])
            return response([one for one in rows if int(one["id"]) > after][:page][::-1])

        return answer

    def items(self, told: Sequence[Any]) -> list[str]:
        """Ids of those among what was done."""
        return [json.loads(one)["id"] for one in told if isinstance(one, bytes)]

    def test_clock_ahead(self) -> None:
        """An author's clock that is ahead ends nothing, wherever on a page he stands: ids have the server's time."""
        for place in range(60):
            rows = [row((FROM + at * 1000) << 16) for at in range(60)]
            rows[place]["created_at"] = "2023-11-15T22:13:30.000Z"
            told, ending = played(recovery(source()), self.timeline(rows, 20))
            self.assertEqual([one["id"] for one in rows], self.items(told))
            self.assertEqual((True, []), (ending.whole, [one for one in told if isinstance(one, Missed)]))

    def test_clock_ahead_without_times(self) -> None:
        """Where ids hold no time all of a page must be newer than the span for it to be the last."""
        rows = [row(1000 + at) for at in range(60)]
        rows[20]["created_at"] = "2023-11-15T22:13:30.000Z"
        told, _ = played(recovery(source(), "999"), self.timeline(rows, 20))
        self.assertEqual([one["id"] for one in rows], self.items(told))

    def test_lone_surrogates(self) -> None:
        """Half a character in one status costs no other one."""
        rows = [row(BEFORE + at) for at in range(3)]
        rows[1]["content"] = "half \ud800"
        told, _ = played(recovery(source()), pages(response(rows), response()))
        self.assertEqual([one["id"] for one in rows], self.items(told))
        self.assertEqual("half \ufffd", json.loads(told[2])["content"])

    def test_quiet(self) -> None:
        """A timeline in which nothing happened is asked whether it has anything; it has, so nothing is missed."""
        told, ending = played(recovery(source()), pages(response(), response([row(BEFORE)])))
        self.assertEqual(("public", {"limit": ["1"]}), told[1])
        self.assertEqual((2, True), (len(told), ending.whole))

    def test_one_switched_off(self) -> None:
        """Of several timelines one is switched off: what another one has does not hide that."""

        def answer(path: str, query: dict[str, list[str]]) -> Response:
            return response() if path == "public" else self.timeline([row(FROM << 16)])(path, query)

        told, ending = played(recovery(source("public", "user")), answer)
        self.assertEqual((Missed(start=FROM, end=TO), [str(FROM << 16)]), (told[-1], self.items(told)))
        self.assertTrue(ending.whole)

    def test_min_id_unheeded(self) -> None:
        """A server that has nothing but its newest page for us: the rest is said to be missed."""
        newest = [row((TO - at * 1000) << 16) for at in range(40)]
        told, ending = played(recovery(source()), lambda path, query: response(newest))
        self.assertEqual((Missed(start=FROM, end=TO), 2), (told[-1], len(self.requests(told))))
        self.assertTrue(ending.whole)

    def test_timelines(self) -> None:
        """Each stream has its timeline."""
        found = []
        for stream in ("public:local", "public:remote", "hashtag:Köln", "hashtag:local:x", "list:42", "user"):
            told, _ = played(recovery(source(stream)), lambda path, query: response())
            path, query = told[0]
            found.append((path, *(name for name in query if name not in ("limit", "min_id"))))
        self.assertEqual(
            [
                ("public", "local"),
                ("public", "remote"),
                ("tag/K%C3%B6ln",),
                ("tag/x", "local"),
                ("list/42",),
                ("home",),
            ],
            found,
        )

    def test_nowhere(self) -> None:
        """Without a status to begin after, or a timeline, nothing can be fetched."""
        self.assertIsNone(source().recovery(FROM, TO, None))
        self.assertIsNone(source("direct", "user:notification").recovery(FROM, TO, str(BEFORE)))

    def test_part(self) -> None:
        """Of several streams those with a timeline are fetched, and the rest is said to be missed."""
        told, ending = played(recovery(source("direct", "user")), pages(response([row(BEFORE)]), response()))
        self.assertEqual(Missed(start=FROM, end=TO), told[-1])
        self.assertTrue(ending.whole)

    def test_up_to_the_present(self) -> None:
        """It ends with a page that is newer than the span, for that came by the stream."""
        new, old = row((TO + 21_000) << 16), row(BEFORE + 4)
        told, _ = played(recovery(source()), pages(response([new, old]), response([row((TO + 22_000) << 16)])))
        self.assertEqual(2, len(self.requests(told)))

    def test_switched_off(self) -> None:
        """A timeline that refuses, or has not even what we had, is said to be missed."""
        for answer in (response(status=401), response(status=404), response(status=422), response(), response("no")):
            told, ending = played(recovery(source()), pages(answer, answer))
            self.assertEqual(Missed(start=FROM, end=TO), told[-1], answer)
            self.assertTrue(ending.whole)

    def test_endless(self) -> None:
        """After so many pages it is enough; what is missed begins where they ended."""

        def answer(path: str, query: dict[str, list[str]]) -> Response:
            after = max(int(query["min_id"][0]), FROM << 16)
            return response([row(after + (80 << 16))])

        told, ending = played(recovery(source()), answer)
        self.assertEqual(PAGES, len(self.requests(told)))
        self.assertEqual(Missed(start=1_700_000_020_000, end=TO), told[-1])
        self.assertTrue(ending.whole)

    def test_rate_limit(self) -> None:
        """Where nothing is left, or too much was asked for, it waits for the reset, showing that it lives."""
        spent = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "2023-11-14T22:14:46.000Z"}  # in 25 s
        over = response(status=429, x_ratelimit_reset="2023-11-14T22:14:26.000Z")  # in 5 s
        told, ending = played(recovery(source()), pages(response([row(BEFORE)], **spent), over, response()))
        waits = [one for one in told if isinstance(one, float)]
        self.assertEqual([SLICE, SLICE, 5.0, 5.0], waits)
        self.assertTrue(ending.whole)

    def test_limit_for_ever(self) -> None:
        """It does not wait for ever; what says when to come back is left to the back-off."""
        told, ending = played(recovery(source()), lambda path, query: response(status=429))
        self.assertEqual(3600.0, sum(one for one in told if isinstance(one, float)))
        self.assertEqual((backoff.RATE_LIMIT, False), (ending.cause, ending.whole))

    def test_huge(self) -> None:
        """A status that is longer than a stream may have it is for the framer to skip and count."""
        huge = {**row(BEFORE), "content": "x" * 1_000_000}
        steps = recovery(source()).steps()
        next(steps)
        next(steps)
        page = steps.send(response([huge]))
        framer = source().framer()
        self.assertEqual([], framer.feed(page.frames))  # type: ignore[union-attr,arg-type]
        self.assertEqual(1, framer.skipped)

    def test_errors(self) -> None:
        """An error of the server's ends the attempt; it is tried again."""
        _, ending = played(recovery(source()), pages(response(status=503, retry_after="9")))
        self.assertEqual((backoff.HTTP, 9.0, False), (ending.cause, ending.retry_after, ending.whole))

    def test_bad_rows(self) -> None:
        """A row with an odd time counts; one that is none is left out, and what is no list is no timeline."""
        rows = [{"id": "5", "created_at": []}, {"id": "a/b"}, 7, {}]
        told, _ = played(recovery(source()), pages(response(rows), response()))
        self.assertEqual([rows[0]], [json.loads(one) for one in told if isinstance(one, bytes)])
        told, _ = played(recovery(source()), pages(response({"id": "5"})))
        self.assertIsInstance(told[-1], Missed)


class RecoveringTests(SynchronousTestCase):
    """Outages of a minute, through the whole source."""

    def outage(self, before: faults.Fault | None = None, **options: Any) -> Following:
        """Away for a minute, and back for half of one."""
        made = Following.of("mastodon", rate=1.0, **options)
        made.start()
        made.advance(12)
        made.network.refuses = ConnectionRefusedError("down")
        made.x.fault(faults.Cut())
        made.advance(60)
        if before is not None:
            made.x.fault(before)
        made.network.refuses = None
        made.advance(40)
        return made

    def test_fetched(self) -> None:
        """What was missed is fetched: nothing is missing, no gap is announced, the ids are the same."""
        for own in ({}, {"transport": "websocket", "predicates": Predicates(("public", "user", "list:42"))}):
            made = self.outage(own=own)
            self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))
            self.assertEqual(len(set(made.ids())), len(made.ids()))
            self.assertGreater(made.metrics.total(m.REPEATED_ITEMS), 0)
            self.assertEqual([], made.stop())

    def test_clocks_of_others(self) -> None:
        """Other servers' clocks are ahead, and their statuses hours late before the outage and minutes late in it."""
        made = Following.of("mastodon", rate=2.0)
        made.start()
        made.advance(12)
        made.x.inject("late", id=str(int(made.clock.seconds() - 10_000) * 1000 << 16))
        made.advance(1)
        made.network.refuses = ConnectionRefusedError("down")
        made.x.fault(faults.Cut())
        for second in range(60):
            made.advance(1)
            made.x.inject("ahead", created_at="2030-01-01T00:00:00.000Z")
            made.x.inject("late", id=str((int(made.clock.seconds() - 120) * 1000 << 16) + second))
        made.network.refuses = None
        made.advance(40)
        self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))
        self.assertEqual([], made.stop())

    def test_switched_off(self) -> None:
        """Where the timeline is off, the gap is announced."""
        for answer in ("empty", 401, 404, 422):
            made = self.outage(faults.Timelines(answer))
            self.assertEqual(1, len(made.gaps()), answer)
            self.assertTrue(made.missing())
            self.assertEqual([], made.unannounced()[:-2])
            self.assertEqual([], made.stop())

    def test_rate_limited(self) -> None:
        """A rate limit is waited for, longer than a silent stream would be; nothing is lost."""
        made = self.outage(requests=1)
        self.assertTrue(made.missing()[:-2])
        made.advance(600, step=2)
        self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))
        self.assertEqual([], made.stop())

    def test_reposts_and_edits_pass(self) -> None:
        """The user's own stream, with everything that it carries."""
        made = self.outage(own={"predicates": Predicates(("user",))}, edited=0.2, reposted=0.3, notified=0.2)
        self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))
        kinds = {item.kind for item in made.items}
        self.assertEqual({"post", "edit", "repost", "notification"}, kinds)
        self.assertEqual([], made.stop())

    def test_deleted_meanwhile(self) -> None:
        """What was deleted while nobody listened is in no timeline: it and its deletion are not told."""
        made = self.outage(deleted=0.3)
        self.assertLessEqual(set(made.missing()[:-2]), set(made.x.ledger.deletes))
        self.assertEqual([], made.gaps())
        self.assertEqual([], made.stop())
