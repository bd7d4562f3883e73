"""What was missed: repeated by the upstream, fetched by a recovery, or announced as a gap. Never silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.bus.state_lock import StateLock
from streamer.policy.safe import MARGIN_MS
from streamer.services.keeping import Keeping
from streamer.testing import faults
from tests.unit.following import START, Following
from tests.unit.spooling import folder, spool_at
from tests.unit.test_services_reading import Upstream

MARGIN = MARGIN_MS / 1000


def keeping_in(path: Path, name: str = "birds") -> Keeping:
    """A source's files in a folder; everything happens at once."""
    return Keeping(path / f"{name}.cursor", StateLock(path, name), spool_at(path / f"{name}.spool"), maybeDeferred)


class GapTests(SynchronousTestCase):
    """One source."""

    def following(self, **options: Any) -> Following:
        """A source that must leave no timer behind."""
        made = Following(**options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        return made

    def missing(self, made: Following) -> set[str]:
        """Posts that the upstream made and the bus has not got."""
        return set(made.x.ledger.posts) - set(made.ids())

    def assert_covered(self, made: Following) -> None:
        """Whatever is missing was posted within an announced gap."""
        gaps = made.gaps()
        for id_ in self.missing(made):
            posted = made.source.posted(made.items[0].__class__(
                source="birds", kind="post", id=id_, received=0, body=b"",
            ))  # fmt: skip
            assert posted is not None
            self.assertTrue(any(gap.start <= posted <= gap.end for gap in gaps), (posted, gaps))

    def test_nothing_missed(self) -> None:
        """A first start announces nothing, and neither does a stream that goes on."""
        made = self.following(rate=5.0)
        made.start()
        made.advance(60)
        self.assertEqual([], made.gaps())

    def test_gap(self) -> None:
        """A cut that the upstream cannot repeat is announced with its span and cause, and covers what is missing."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(20)
        made.x.fault(faults.Status(503, times=2))
        made.x.fault(faults.Cut())
        made.advance(30)
        (gap,) = made.gaps()
        self.assertEqual(("http", False), (gap.cause, gap.filled))
        self.assertLess(abs(START + 20.0 - MARGIN - gap.start / 1000), 1.0)
        self.assertLess(abs(START + 35.0 - gap.end / 1000), 2.0)
        self.assertTrue(self.missing(made))
        self.assert_covered(made)
        self.assertEqual(1, made.metrics.value(m.GAPS, "birds", "http"))

    def test_repeated(self) -> None:
        """What back-fill repeats is no gap."""
        made = self.following(rate=20.0, backfill_minutes=5)
        made.start()
        made.advance(20)
        made.x.fault(faults.Status(503, times=2))
        made.x.fault(faults.Cut())
        made.advance(60)
        self.assertEqual(([], set()), (made.gaps(), self.missing(made)))

    def test_longer_than_the_repetition(self) -> None:
        """An interruption longer than the upstream's memory is announced up to where its memory begins."""
        made = self.following(rate=5.0, backfill_minutes=1)
        made.start()
        made.advance(20)
        made.x.fault(faults.Status(429, reset_after=170))
        made.x.fault(faults.Cut())
        made.advance(180)
        self.assertEqual(1, len(made.gaps()))
        self.assertTrue(self.missing(made))
        self.assert_covered(made)
        made.advance(20)
        self.assertEqual(1, len(made.gaps()))

    def test_cut_while_it_repeats(self) -> None:
        """A connection that breaks while it repeats the past is followed by one that begins there again."""
        asked: list[int] = []

        def answer(request: Any) -> None:
            asked.append(int(request.args[b"backfill_minutes"][0]))
            now_ms = int(made.clock.seconds() * 1000)
            posted_ms = now_ms - (0 if len(asked) == 1 else 200_000)  # the first is live, the others repeat
            request.write(b'{"data":{"id":"%d"}}\r\n' % ((posted_ms - 1_288_834_974_657) << 22))
            made.clock.callLater(30, request.channel.loseConnection)

        made = Following(resource=Upstream(answer), rules=(), backfill_minutes=5)
        made.start()
        made.advance(32)
        safe = made.service.progress.safe
        before = safe.reached
        made.advance(120)
        self.assertEqual([5, 1, 2, 2, 3], asked)
        self.assertEqual((before, []), (safe.reached, made.gaps()))
        made.end()
        made.advance(30)  # this test's own timers
        self.assertEqual([], made.stop())

    def test_backlog_after_a_pause(self) -> None:
        """What waited in the sockets while we did not read is not taken for read with the first bytes of it."""
        requests: list[Any] = []

        def post(age: float) -> None:
            """A post made so many seconds ago comes in."""
            made_ms = int((made.clock.seconds() - age) * 1000)
            requests[0].write(b'{"data":{"id":"%d"}}\r\n' % ((made_ms - 1_288_834_974_657 << 22) + len(made.ids())))
            made.pump()

        made = Following(resource=Upstream(requests.append), rules=(), window=2)
        made.start()
        requests[0].write(b"\r\n")
        made.pump()
        post(0)
        safe = made.service.progress.safe
        made.bus.held = []
        post(0), post(0.001)
        self.assertTrue(made.intake.paused)
        before = safe.reached or 0
        made.advance(30)
        made.bus.release()
        self.assertFalse(made.intake.paused)
        requests[0].write(b'{"data":{"id":"12')
        made.pump()
        self.assertEqual(before, safe.reached)
        requests[0].write(b'345"}}\r\n')
        made.pump()
        post(29)
        self.assertLess((safe.reached or 0) / 1000, START + 2)
        post(0)
        self.assertEqual(int(made.clock.seconds() * 1000), safe.reached)
        made.end()
        self.assertEqual([], made.stop())

    def test_recovery(self) -> None:
        """What back-fill cannot reach is fetched beside the live stream; nothing is announced, nothing comes twice."""
        made = self.following(rate=5.0, recovery=True, max_connections=2)
        made.start()
        made.advance(20)
        made.x.fault(faults.Status(503, times=5))
        made.x.fault(faults.Cut())
        made.advance(240)
        self.assertTrue(made.follower.connected)
        self.assertEqual(([], set()), (made.gaps(), self.missing(made)))
        self.assertEqual(len(made.ids()), len(set(made.ids())))

    def test_recovery_fails(self) -> None:
        """A recovery that comes to nothing is announced."""
        made = self.following(rate=5.0, recovery=True)
        made.start()
        made.advance(20)
        made.x.fault(faults.Status(503, times=3))
        made.x.fault(faults.Cut())
        made.advance(38)
        self.assertTrue(made.follower.connected)
        made.x.fault(faults.Status(503, times=5))
        made.advance(400)
        self.assertEqual(1, len(made.gaps()))
        self.assertTrue(self.missing(made))
        self.assert_covered(made)

    def test_stopped_by_an_operator(self) -> None:
        """What was posted while an operator had stopped the source is announced as that."""
        made = self.following(rate=5.0)
        made.start()
        made.advance(10)
        made.service.hang_up()
        made.advance(30)
        made.service.follow()
        made.advance(5)
        (gap,) = made.gaps()
        self.assertEqual("stopped", gap.cause)
        self.assert_covered(made)

    def test_restart(self) -> None:
        """Another process goes on where the last one stopped: with back-fill without a hole, else with a gap."""
        for minutes in (5, 0):
            path = folder(self)
            first = self.following(rate=20.0, backfill_minutes=minutes, keeping=keeping_in(path))
            first.start()
            first.advance(20)
            self.successResultOf(first.end())
            first.advance(30)
            second = Following(
                backfill_minutes=minutes, clock=first.clock, simulation=first.x, keeping=keeping_in(path)
            )  # fmt: skip
            second.start()
            second.advance(10)
            have = {*first.ids(), *second.ids()}
            gaps = second.gaps()
            if minutes:
                self.assertEqual(([], set()), (gaps, set(first.x.ledger.posts) - have))
            else:
                (gap,) = gaps
                self.assertEqual("restart", gap.cause)
                self.assertLess(abs(START + 20 - MARGIN - gap.start / 1000), 1.5)
                self.assertLess(abs(START + 50 - gap.end / 1000), 1.5)
            self.assertEqual([], second.stop())

    def test_a_life_without_a_connection(self) -> None:
        """A process that never gets a connection keeps the place that the one before it had reached."""
        path = folder(self)
        first = self.following(rate=5.0, keeping=keeping_in(path))
        first.start()
        first.advance(10)
        self.successResultOf(first.end())
        first.x.fault(faults.Status(503, times=3))
        for killed in (False, True):
            second = Following(clock=first.clock, simulation=first.x, keeping=keeping_in(path))
            second.start()
            second.advance(3)
            self.assertFalse(second.follower.connected)
            if killed:
                assert second.service.keeping is not None
                second.service.keeping.lock.release()
            self.successResultOf(second.end())
        third = Following(clock=first.clock, simulation=first.x, keeping=keeping_in(path))
        third.start()
        third.advance(20)
        (gap,) = third.gaps()
        self.assertLess(abs(START + 10 - MARGIN - gap.start / 1000), 1.5)
        self.assertEqual([], third.stop())

    def test_kept_by_the_disk(self) -> None:
        """What lies in the spool is no gap: the next process publishes it and asks only for what came later."""
        path = folder(self)
        first = self.following(rate=20.0, backfill_minutes=5, keeping=keeping_in(path))
        first.start()
        first.advance(5)
        first.bus.away = True
        first.bus.held = []
        first.advance(200)
        first.x.fault(faults.Cut())
        self.successResultOf(first.end())
        second = Following(
            backfill_minutes=1, clock=first.clock, simulation=first.x, keeping=keeping_in(path)
        )  # fmt: skip
        second.start()
        second.advance(20)
        self.assertEqual([], second.gaps())
        self.assertEqual(set(), set(first.x.ledger.posts) - {*first.ids(), *second.ids()})
        self.assertEqual([], second.stop())

    def test_killed_before_it_was_announced(self) -> None:
        """Losses of single items outlive a process that is killed before it announced them."""
        path = folder(self)
        first = Following(rate=5.0, keeping=keeping_in(path))
        first.start()
        first.advance(5)
        first.service.progress.lost("limit", 7)
        first.advance(3)
        assert first.service.keeping is not None
        first.service.keeping.lock.release()  # as the kernel does for a process that was killed
        second = Following(clock=first.clock, simulation=first.x, keeping=keeping_in(path))
        second.start()
        second.advance(1)
        (limit,) = (gap for gap in second.gaps() if gap.cause == "limit")
        self.assertEqual(7, limit.missed)
        self.assertLess(abs(START + 5 - limit.end / 1000), 1)
        second.stop()
        first.end()
        first.bus.stopService()

    def test_older_spool(self) -> None:
        """A spool that ends before the cursor's mark, as after a power cut, does not stand for that mark."""
        path = folder(self)
        first = self.following(rate=20.0, keeping=keeping_in(path))
        first.start()
        first.advance(5)
        first.bus.away, first.bus.held = True, []
        first.advance(5)
        older = {name: (path / name).read_bytes() for name in ("birds.spool", "birds.spool-wal")}
        first.advance(20)
        assert first.service.keeping is not None
        first.service.keeping.lock.release()  # killed, and the disk's last writes with it
        cursor = (path / "birds.cursor").read_bytes()
        first.end()
        for name, content in older.items():
            (path / name).write_bytes(content)
        (path / "birds.spool-shm").unlink(missing_ok=True)
        (path / "birds.cursor").write_bytes(cursor)
        second = Following(clock=first.clock, simulation=first.x, keeping=keeping_in(path))
        second.start()
        second.advance(10)
        (gap,) = second.gaps()
        self.assertLess(gap.start / 1000, START + 6)
        second.stop()

    def test_clock_set_back(self) -> None:
        """What is lost while the clock is set back is announced, with a beginning before its end."""
        made = self.following(rate=5.0)
        made.start()
        made.advance(10)
        made.service.progress.safe.reached = int((made.clock.seconds() + 55) * 1000)  # as it was before
        made.service.progress.lost("limit", 3)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(70)
        self.assertEqual({"http", "limit"}, {gap.cause for gap in made.gaps()})
        self.assertTrue(all(gap.start < gap.end for gap in made.gaps()))
        self.assertLessEqual(made.service.progress.safe.reached, int(made.clock.seconds() * 1000))

    def test_one_late_post(self) -> None:
        """A post of this morning on a live stream does not make the next gap begin this morning."""
        requests: list[Any] = []
        made = Following(resource=Upstream(requests.append), rules=())
        made.start()
        morning = int((made.clock.seconds() - 6 * 3600) * 1000) - 1_288_834_974_657
        requests[0].write(b'{"data":{"id":"%d"}}\r\n' % (morning << 22))
        made.pump()
        for _ in range(6):
            made.advance(10, step=10)
            requests[0].write(b"\r\n")
            made.pump()
        made.network.cut(0)
        made.advance(2)
        requests[1].write(b"\r\n")
        made.advance(1)
        (gap,) = made.gaps()
        self.assertLess(gap.end - gap.start, 60_000)
        made.end()
        made.advance(1)
        self.assertEqual([], made.stop())

    def test_first_life(self) -> None:
        """A process that is killed before the bus confirmed anything has a beginning all the same."""
        path = folder(self)
        first = self.following(rate=5.0, keeping=keeping_in(path), max_connections=2)
        first.bus.held = []
        first.start()
        first.advance(10)
        assert first.service.keeping is not None
        first.service.keeping.lock.release()
        second = Following(clock=first.clock, simulation=first.x, keeping=keeping_in(path))
        second.start()
        second.advance(1)
        (gap,) = second.gaps()
        self.assertLessEqual(gap.start, int(START * 1000))
        second.stop()
        first.bus.release()

    def test_rules_endpoint_down(self) -> None:
        """A reconnect does without the upstream's other endpoints: what is wanted is live."""
        made = self.following(rate=5.0)
        made.start()
        made.advance(5)
        with self.subTest("the rules cannot be asked for"):
            self.patch(type(made.x.rules), "all", _down)
            made.x.fault(faults.Cut())
            made.advance(3)
            self.assertTrue(made.follower.connected)

    def test_another_process(self) -> None:
        """Two processes with one state directory never follow the same source; the second says why and ends."""
        path = folder(self)
        first = self.following(rate=5.0, keeping=keeping_in(path))
        first.start()
        lock = StateLock(path, "birds")
        lock._descriptor = None
        second = Following(keeping=keeping_in(path))
        second.start()
        self.assertEqual(1, len(second.fatal))
        self.assertIn("being followed", second.fatal[0])
        self.assertFalse(second.follower.connected)
        self.assertEqual([], second.stop())

    def test_unusable_cursor(self) -> None:
        """A damaged cursor is moved aside, loudly, and the source begins anew, with a gap from when it was written."""
        path = folder(self)
        (path / "birds.cursor").write_bytes(b"\x00half a cur")
        os.utime(path / "birds.cursor", (START - 100, START - 100))
        made = self.following(rate=5.0, keeping=keeping_in(path))
        made.start()
        self.assertTrue(made.follower.connected)
        self.assertTrue((path / "birds.cursor.damaged").exists())
        made.advance(3)
        (gap,) = made.gaps()
        self.assertEqual(int(START - 100) * 1000 - MARGIN_MS, gap.start)


def _down(*_: Any) -> Any:
    raise AssertionError("nobody is to ask")
