"""A span of the past fetched beside the live stream: whole, or what is left of it announced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.gap import Gap
from streamer.message import Item
from streamer.policy import backoff
from streamer.policy.backoff import Backoff
from streamer.services.recovery import ATTEMPTS, SETTLE, Recovery
from streamer.sources.x_stream import RECOVERY_OVERLAP
from streamer.testing import faults
from streamer.upstream import Missed, Request
from tests.unit.following import START, Following
from tests.unit.test_services_reading import Upstream

NOW_MS = int(START * 1000)
HOUR = 3_600_000  # ms
POST = b'{"data":{"id":"%d"}}\r\n'

Answer = Callable[[Any], object]


def whole(*ids: int) -> Answer:
    """An answer with these posts that comes to its proper end."""

    def answer(request: Any) -> None:
        for id_ in ids:
            request.write(POST % id_)
        request.finish()

    return answer


def cut(*ids: int) -> Answer:
    """An answer that breaks off after these posts, in the middle of its body."""

    def answer(request: Any) -> None:
        request.write(b"".join(POST % id_ for id_ in ids) or b"\r\n")
        request.channel.loseConnection()

    return answer


def status(code: int, **headers: str) -> Answer:
    """A refusal."""

    def answer(request: Any) -> None:
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        request.finish()

    return answer


def held(request: Any) -> None:
    """An answer that has begun and goes on for ever."""
    request.write(b"\r\n")


class Recovering:
    """A recovery from an upstream that gives these answers, the last of them for ever."""

    def __init__(self, *answers: Answer, recovery: bool = True, backfill_minutes: int = 0) -> None:
        self.answers, self.times = list(answers), list[float]()
        self.made = Following(
            resource=Upstream(self._answer), rules=(), recovery=recovery, backfill_minutes=backfill_minutes
        )
        self.items: list[Item] = []
        self.over: list[Gap | None] = []
        self.spans: list[tuple[int, int]] = []
        self.begun = START  # and settled
        made = self.made
        self.recovery = Recovery(
            made.follower.client,
            made.intake,
            made.clock,
            made.metrics,
            Backoff(backoff.PROFILES["x"], lambda: 0.0),
            self._take,
            self.over.append,
        )

    def _take(self, items: list[Item]) -> int:
        self.items += items
        return len(items)

    def _answer(self, request: Any) -> None:
        self.times.append(self.made.clock.seconds() - self.begun)
        asked = [request.args[name][0].decode() for name in (b"start_time", b"end_time")]
        start, end = (int(datetime.fromisoformat(text).timestamp() * 1000) for text in asked)
        self.spans.append((start, end - RECOVERY_OVERLAP * 1000))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(request)

    def begin(self, seconds: int = 60, until: int = 0, cause: str = "http") -> bool:
        """Fetch what was posted from so many seconds ago on."""
        begun = self.recovery.begin(self.made.source, NOW_MS - seconds * 1000, NOW_MS - until * 1000, cause)
        self.begun = self.made.clock.seconds() + SETTLE
        self.made.advance(SETTLE, step=SETTLE)
        return begun

    def stop(self) -> list[Any]:
        """What is left on the clock."""
        self.recovery.cancel()
        return self.made.stop()

    @property
    def ids(self) -> list[str]:
        """What was taken."""
        return [item.id for item in self.items]


class AnswerTests(SynchronousTestCase):
    """What an upstream may answer."""

    def recovering(self, *answers: Answer, **options: Any) -> Recovering:
        """A recovery that must leave nothing behind."""
        made = Recovering(*answers, **options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        return made

    def test_whole(self) -> None:
        """A whole answer is handed on, and leaves no gap; the span was asked for."""
        made = self.recovering(whole(1, 2, 3))
        self.assertTrue(made.begin(60))
        self.assertEqual((["1", "2", "3"], [None]), (made.ids, made.over))
        self.assertEqual([(NOW_MS - 60_000, NOW_MS)], made.spans)

    def test_whole_and_empty(self) -> None:
        """Nothing was posted: no gap either."""
        made = self.recovering(whole())
        made.begin()
        self.assertEqual(([], [None]), (made.ids, made.over))

    def test_cut(self) -> None:
        """A cut is tried again with the delays of the profile, until the answer is whole."""
        made = self.recovering(cut(), cut(), cut(), whole(1))
        made.begin()
        self.assertEqual([], made.over)
        made.made.advance(5, step=0.25)
        self.assertEqual([0.0, 0.25, 0.75, 1.5], made.times)
        self.assertEqual((["1"], [None]), (made.ids, made.over))

    def test_missed(self) -> None:
        """What the source says that it cannot fetch is announced, all of it, and nothing of an attempt that failed."""
        made = self.recovering(cut(1), held)
        made.begin()
        made.recovery.said(Missed(start=NOW_MS - 50_000, end=NOW_MS - 40_000))
        made.recovery.said(Missed(start=NOW_MS - 30_000, end=NOW_MS - 20_000))
        left = made.recovery._left(Request(url="https://x"), NOW_MS - 60_000, "http")
        self.assertEqual(Gap(start=NOW_MS - 50_000, end=NOW_MS - 20_000, cause="http"), left)
        both = made.recovery._left(Request(url="https://x", replays_from=NOW_MS), NOW_MS - 60_000, "http")
        self.assertEqual(Gap(start=NOW_MS - 60_000, end=NOW_MS, cause="http"), both)

    def test_busy(self) -> None:
        """A refusal for now is tried again, and no sooner than the upstream asked for."""
        made = self.recovering(status(503), status(503, retry_after="30"), whole())
        made.begin()
        made.made.advance(60, step=1)
        self.assertEqual([0.0, 5.0, 35.0], made.times)
        self.assertEqual([None], made.over)

    def test_refused(self) -> None:
        """What the upstream will never answer is a gap at once, with the cause of the interruption."""
        for code in (400, 404):
            made = self.recovering(status(code))
            made.begin(60, cause="stall")
            self.assertEqual([Gap(start=NOW_MS - 60_000, end=NOW_MS, cause="stall")], made.over)
            made.made.advance(60, step=5)
            self.assertEqual(1, len(made.times))

    def test_five_failures(self) -> None:
        """After the last attempt it is a gap, once, and nothing more is asked."""
        made = self.recovering(status(503))
        made.begin(60)
        made.made.advance(400, step=5)
        self.assertEqual([0.0, 5.0, 15.0, 35.0, 75.0], made.times)
        self.assertEqual(ATTEMPTS, len(made.times))
        self.assertEqual([Gap(start=NOW_MS - 60_000, end=NOW_MS, cause="http")], made.over)

    def test_unreachable(self) -> None:
        """A connect that fails is an attempt too."""
        made = self.recovering(whole(1))
        made.made.network.refuses = OSError("no route")
        made.begin()
        made.made.advance(1, step=0.25)
        made.made.network.refuses = None
        made.made.advance(3, step=0.25)
        self.assertEqual((["1"], [None]), (made.ids, made.over))

    def test_not_offered(self) -> None:
        """A source without recovery says so at once, and nothing is asked."""
        made = self.recovering(whole(1), recovery=False)
        self.assertFalse(made.begin())
        self.assertEqual(([], []), (made.times, made.over))

    def test_older_than_the_upstream_knows(self) -> None:
        """Of a span longer than the upstream remembers, the part that it cannot repeat is a gap all the same."""
        made = self.recovering(whole(1))
        made.begin(30 * 3600)
        ((since, until),) = made.spans
        self.assertEqual(NOW_MS, until)
        self.assertGreater(since, NOW_MS - 24 * HOUR)
        self.assertEqual([Gap(start=NOW_MS - 30 * HOUR, end=since, cause="http")], made.over)
        self.assertEqual(["1"], made.ids)

    def test_defect(self) -> None:
        """A mistake of ours in what takes the items costs this span and is told, never the process."""
        made = self.recovering(whole(1))
        made.recovery.take = lambda items: items[99]  # type: ignore[assignment,return-value]
        made.begin(60)
        made.made.advance(60, step=1)
        self.assertEqual([Gap(start=NOW_MS - 60_000, end=NOW_MS, cause="http")], made.over)
        self.assertEqual(ATTEMPTS, len(self.flushLoggedErrors(IndexError)))

    def test_pauses(self) -> None:
        """It reads through the intake, so that it stops with everything else while the bus is behind."""
        made = self.recovering(held)
        made.begin()
        self.assertEqual(1, len(made.made.intake._bodies))
        made.recovery.cancel()
        made.made.pump()
        self.assertEqual([], made.made.intake._bodies)


class SpanTests(SynchronousTestCase):
    """Several spans, and an end before the end."""

    def test_wider(self) -> None:
        """A span that comes while one is being fetched takes its place and holds both; the first is told no more."""
        made = Recovering(held, whole(1))
        made.begin(600, until=300)
        made.begin(60)
        self.assertEqual([(NOW_MS - 600_000, NOW_MS - 300_000), (NOW_MS - 600_000, NOW_MS)], made.spans)
        self.assertEqual((["1"], [None]), (made.ids, made.over))
        made.made.advance(60, step=5)
        self.assertEqual([None], made.over)
        self.assertEqual([], made.stop())

    def test_one_after_the_other(self) -> None:
        """A span that comes after one was fetched is fetched alone."""
        made = Recovering(whole(1), whole(2))
        made.begin(600, until=300)
        made.begin(60)
        self.assertEqual([(NOW_MS - 600_000, NOW_MS - 300_000), (NOW_MS - 60_000, NOW_MS)], made.spans)
        self.assertEqual([None, None], made.over)
        self.assertEqual([], made.stop())

    def test_cancel(self) -> None:
        """To cancel is to hear no more of it, wherever it is, and leaves nothing on the clock or the wire."""
        for answer, patience in ((held, 0.0), (status(503), 2.0)):
            made = Recovering(answer)
            made.begin()
            made.made.advance(patience)
            for _ in range(2):
                made.recovery.cancel()
            made.made.pump()
            before = len(made.times)
            made.made.advance(60, step=5)
            self.assertEqual(([], before), (made.over, len(made.times)))
            self.assertEqual([], made.made.stop())

    def test_cancel_before_the_answer(self) -> None:
        """Also while the upstream has not answered at all."""
        made = Recovering(whole(1))
        made.made.network.mute = True
        made.begin()
        self.assertEqual(1, made.made.network.open)
        made.recovery.cancel()
        made.made.network.mute = False
        made.made.advance(60, step=5)
        self.assertEqual(([], [], 0), (made.ids, made.over, made.made.network.open))
        self.assertEqual([], made.made.stop())

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sampled_from(["begin", "cancel", "cut", "whole", "503", "400", "wait"]), max_size=14))
    def test_any_order(self, steps: list[str]) -> None:
        """In whatever order spans and accidents come: every span that was begun and not cancelled is told once."""
        answers = {"cut": cut(), "whole": whole(), "503": status(503), "400": status(400)}
        made = Recovering(whole())
        running = False
        for step in steps:
            told = len(made.over)
            if step == "begin":
                running = made.begin() or running
            elif step == "cancel":
                made.recovery.cancel()
                running = False
            elif step == "wait":
                made.made.advance(3, step=1)
            else:
                made.answers = [answers[step]]
            running = running and len(made.over) == told
            self.assertLessEqual(len(made.over) - told, 1)
            self.assertEqual(running, made.recovery._span is not None)
        told = len(made.over)
        made.made.advance(200, step=5)
        self.assertEqual(told + running, len(made.over))
        self.assertEqual([], made.stop())


class FollowedTests(SynchronousTestCase):
    """Beside a live stream of the simulated X, which allows two recoveries and counts them apart."""

    def following(self, **options: Any) -> Following:
        """A source that had lost its stream for a while."""
        made = Following(recovery=True, **options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        made.start()
        made.advance(20)
        return made

    def lose(self, made: Following, times: int = 2) -> None:
        """Cut the stream, and let so many connects fail."""
        made.x.fault(faults.Status(503, times=times))
        made.x.fault(faults.Cut())

    def test_one_connection(self) -> None:
        """An upstream that allows one live connection answers a recovery beside it: nothing is missing or repeated."""
        made = self.following(rate=5.0)
        self.lose(made)
        made.advance(60)
        self.assertEqual(([], []), (made.gaps(), made.missing()))
        self.assertEqual(len(made.ids()), len(set(made.ids())))
        self.assertEqual(0, made.metrics.total(m.GAPS))

    def test_new_only_once(self) -> None:
        """Items that both the stream and the recovery bring are counted and published once; repeats are counted."""
        made = self.following(rate=5.0)
        self.lose(made)
        made.advance(60)
        published = len(made.items)
        self.assertEqual(published, sum(n for metric, _, n in made.metrics if metric is m.ITEMS))
        self.assertGreater(made.metrics.value(m.REPEATED_ITEMS, "birds"), 0)

    def test_held_back_point(self) -> None:
        """While a recovery runs nothing new counts as safe; another process would ask for the span again."""
        made = self.following(rate=5.0)
        self.lose(made)
        made.advance(1)
        safe = made.service.progress.safe
        before = safe.reached
        while made.service.recovery._span is None:
            made.advance(0.25)
        made.advance(SETTLE - 1)
        self.assertTrue(made.follower.connected)
        self.assertEqual(before, safe.reached)
        made.advance(10)
        self.assertGreater(safe.reached or 0, made.clock.seconds() * 1000 - 2000)

    def test_stopped_in_the_middle(self) -> None:
        """An operator's stop ends a recovery too; what it had not fetched is fetched after the next start."""
        made = self.following(rate=5.0)
        self.lose(made)
        made.advance(9)
        made.service.hang_up()
        made.pump()
        self.assertIsNone(made.service.recovery._span)
        made.advance(5)
        made.service.follow()
        made.advance(30)
        self.assertEqual([], made.unannounced())
        self.assertEqual([], made.missing())
