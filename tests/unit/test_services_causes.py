"""The table of causes, driven against the simulated upstream of each type of source: every fault it can make.

Delays are written out here, not read from the table, so that a changed table shows. Times are to the hundredth of a
second: the attempts are taken from the network, not from what the source says of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from OpenSSL.SSL import Error as TLSError
from twisted.internet import error
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, NoRouteError
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.testing import faults
from streamer.testing.faults import Fault
from tests.unit import network
from tests.unit.following import Following

EPSILON = 0.01  # seconds
RATE = 1.0  # posts a second
HEALTHY = 6.0  # seconds after which a stream with posts has proved itself

NETWORK_DELAYS = (0.25, 0.5, 0.75, 1.0, 1.25)
FOREVER: tuple[float, ...] = ()  # nothing is tried again

# What each refusal is taken for, and the delays before the first attempts after it; every answer is the same refusal.
X_STATUSES: Mapping[int | str, tuple[str, Sequence[float]]] = {
    401: (backoff.AUTHORISATION, (300, 600, 1200, 2400, 3600, 3600)),
    403: (backoff.AUTHORISATION, (300, 600)),
    409: (backoff.NO_RULES, (60, 120, 240, 480, 960, 960)),
    429: (backoff.RATE_LIMIT, (60, 120, 240, 480, 960, 960)),
    "too-many-connections": (backoff.CONNECTION_LIMIT, (5, 10, 20, 40, 80, 160, 320, 320)),
    503: (backoff.HTTP, (5, 10, 20, 40, 80, 160, 320, 320)),
}
TWITTER_STATUSES: Mapping[int | str, tuple[str, Sequence[float]]] = {
    401: (backoff.AUTHORISATION, (300, 600, 1200, 2400, 3600, 3600)),
    403: (backoff.AUTHORISATION, (300, 600)),
    404: (backoff.REFUSED, FOREVER),
    406: (backoff.REFUSED, FOREVER),
    413: (backoff.REFUSED, FOREVER),
    416: (backoff.REFUSED, FOREVER),
    420: (backoff.RATE_LIMIT, (60, 120, 240, 480, 960, 960)),
    503: (backoff.HTTP, (5, 10, 20, 40, 80, 160, 320, 320)),
}

# What each farewell of a healthy stream is taken for, and the delay before the next attempt.
X_FAREWELLS: Sequence[tuple[Fault, str, float]] = (
    (faults.Disconnect("OperationalDisconnect"), backoff.DISCONNECT, 0.0),
    (faults.Disconnect("UpstreamOperationalDisconnect"), backoff.DISCONNECT, 0.0),
    (faults.Disconnect("UpstreamUncleanDisconnect"), backoff.DISCONNECT, 0.0),
    (faults.Disconnect("ForceDisconnect"), backoff.HTTP, 5.0),
    (faults.Disconnect("InternalError"), backoff.HTTP, 5.0),
    (faults.Disconnect("SlowReader"), backoff.SLOW, 5.0),
    (faults.Disconnect("ClientApplicationStateDegraded"), backoff.AUTHORISATION, 300.0),
    (faults.Disconnect("InvalidRules"), backoff.NO_RULES, 60.0),
)
TWITTER_FAREWELLS: Sequence[tuple[Fault, str, float]] = tuple(
    (faults.DisconnectCode(code), cause, delay)
    for code, cause, delay in (
        (1, backoff.DISCONNECT, 0.0),
        (2, backoff.CONNECTION_LIMIT, 5.0),
        (3, backoff.HTTP, 5.0),
        (4, backoff.SLOW, 5.0),
        (5, backoff.DISCONNECT, 0.0),
        (6, backoff.AUTHORISATION, 300.0),
        (7, backoff.CONNECTION_LIMIT, 5.0),
        (8, backoff.HTTP, 5.0),
        (9, backoff.HTTP, 5.0),
        (10, backoff.HTTP, 5.0),
        (11, backoff.HTTP, 5.0),
        (12, backoff.HTTP, 5.0),
    )
)

REFUSALS: Sequence[Exception] = (
    ConnectionRefusedError("refused"),
    DNSLookupError("no such host"),
    NoRouteError("no route"),
    error.TimeoutError("nobody answered"),
)
BREAKS: Sequence[Exception] = (
    TLSError([("SSL routines", "", "certificate verify failed")]),
    error.ConnectionLost(),
    error.ConnectionDone(),
)


class Causes:
    """The suite; one class below for each type of source."""

    kind = ""
    stall_after = 45.0  # seconds
    statuses: Mapping[int | str, tuple[str, Sequence[float]]] = X_STATUSES
    farewells: Sequence[tuple[Fault, str, float]] = X_FAREWELLS
    closings = 12  # how often a server accepts and closes
    repeats = True  # what was missed, by the time it was

    def following(self, rate: float = RATE, **options: Any) -> Following:
        """A source that must leave neither timer nor connection behind."""
        made = Following.of(self.kind, rate=rate, **options)
        self.addCleanup(self.ends_quietly, made)  # type: ignore[attr-defined]
        return made

    def ends_quietly(self, made: Following) -> None:
        """Stopping takes no time, and nothing is left."""
        self.same([], made.stop())
        self.same(0, made.network.open)

    def same(self, expected: object, found: object, about: object = None) -> None:
        """Compare."""
        assert expected == found, (about, expected, found)

    def healthy(self, **options: Any) -> Following:
        """A source whose stream has proved itself."""
        made = self.following(**options)
        made.start()
        made.advance(HEALTHY, step=1)
        self.same(State.STREAMING, made.follower.course.state)
        return made

    def ended(self, made: Following) -> dict[str, float]:
        """How many connections ended, by cause."""
        return {labels[1]: number for metric, labels, number in made.metrics if metric is m.ENDINGS}

    def next_attempt(self, made: Following, delay: float) -> None:
        """The next attempt comes after just this delay."""
        before, now = len(made.network.attempts), made.clock.seconds()
        if delay > EPSILON:
            made.clock.advance(delay - EPSILON)
            made.pump(4)
            self.same(before, len(made.network.attempts), f"too early, within {delay} s")
        made.clock.advance(2 * EPSILON)
        made.pump(4)
        self.same(before + 1, len(made.network.attempts), f"not after {delay} s")
        assert abs(made.network.attempts[-1] - now - delay) <= 2 * EPSILON

    def cut(self, made: Following) -> None:
        """Cut the stream with the next post for it; what follows at once has happened."""
        before = made.metrics.total(m.ENDINGS)
        made.x.fault(faults.Cut())
        self.until_ended(made, before + 1)

    def until_ended(self, made: Following, endings: float) -> None:
        """Let time pass until so many connections have ended."""
        for _ in range(20):
            if made.metrics.total(m.ENDINGS) >= endings:
                return
            made.clock.advance(0.5)
            made.pump(10)
        raise AssertionError("no connection ended")

    def heals(self, made: Following) -> None:
        """It streams again, and every post that is missing was announced."""
        made.advance(4, step=1)
        self.same(State.STREAMING, made.follower.course.state)
        self.same(1, made.x.status()["connections"])
        before = len(made.ids())
        made.advance(6, step=1)
        assert len(made.ids()) > before, "no post comes any more"
        self.same([], made.unannounced())
        self.same(len(set(made.ids())), len(made.ids()))

    def test_undisturbed(self) -> None:
        """Without faults every post arrives once, in order, and nothing is announced or counted as bad."""
        made = self.healthy()
        made.advance(30, step=1)
        self.same(made.due(), made.ids())
        self.same(([], {}), (made.gaps(), self.ended(made)))
        self.same(0, made.metrics.total(m.BAD_FRAMES))

    def test_split(self) -> None:
        """A stream of single bytes, or of pieces that cut characters in two, is read the same."""
        made = self.following()
        made.start()
        for size in (1, 7, 4096):
            made.x.fault(faults.Split(size))
            made.advance(2, step=1)
            self.same(made.due(), made.ids(), size)
        made.advance(4, step=1)
        assert made.ids()
        self.same(({}, made.due()), (self.ended(made), made.ids()))

    def test_silence(self) -> None:
        """A silent server, keep-alives included, is given up after just the configured time; then a new connection."""
        made = self.healthy()
        made.x.fault(faults.Stall())
        silent = made.clock.seconds()
        made.clock.advance(self.stall_after - 1)
        made.pump()
        self.same({}, self.ended(made))
        made.clock.advance(1 + EPSILON)
        made.pump()
        self.same({backoff.STALL: 1}, self.ended(made))
        assert made.network.attempts[-1] - silent <= self.stall_after + 2 * EPSILON, (
            "a good stream is had back at once"
        )
        (gap,) = made.gaps()
        self.same("stall", gap.cause)
        self.heals(made)

    def test_short_silence(self) -> None:
        """Silence that ends in time is nothing: what was due comes late, and nothing ends."""
        made = self.healthy()
        made.x.fault(faults.Stall(self.stall_after - 5))
        made.advance(self.stall_after + 5, step=5)
        self.same(({}, []), (self.ended(made), made.gaps()))
        self.same(made.due(), made.ids())

    def test_keep_alives_only(self) -> None:
        """A quiet upstream is not a dead one, however long."""
        made = self.following(rate=0)
        made.start()
        made.advance(600, step=10)
        self.same(({}, 1), (self.ended(made), made.x.status()["connections"]))

    def test_cut(self) -> None:
        """A connection cut in mid-frame, politely or by a reset: made anew at once, the half frame never published."""
        made = self.healthy()
        for times, reset in enumerate((False, True), 1):
            made.x.fault(faults.Cut(reset=reset))
            self.until_ended(made, times)
            self.same({backoff.NETWORK: times}, self.ended(made), reset)
            self.same(1, made.metrics.value(m.BAD_FRAMES, "birds", "unfinished"), reset)
            self.heals(made)
            self.same(["network"] * times, [gap.cause for gap in made.gaps()])

    def test_accept_then_close(self) -> None:
        """A server that accepts and closes proves nothing: a quarter second more each time, up to sixteen."""
        made = self.following(connect_limit=1_000)
        made.x.fault(faults.AcceptThenClose(times=self.closings))
        made.start()
        for failures in range(1, self.closings):
            self.next_attempt(made, min(16.0, 0.25 * failures))
        self.same({backoff.NETWORK: self.closings}, self.ended(made))
        made.advance(17, step=1)
        self.heals(made)

    def test_resume(self) -> None:
        """What was missed is repeated where the upstream can, without a gap; else the gap says from when to when."""
        made = self.healthy(own={"backfill_minutes": 5} if self.repeats else {"backfill_count": 20})
        started = made.clock.seconds()
        made.x.fault(faults.Status(503, times=3))
        self.cut(made)
        made.advance(60, step=1)
        self.heals(made)
        if self.repeats:
            self.same(([], []), (made.gaps(), made.missing()))
            return
        (gap,) = made.gaps()
        self.same("http", gap.cause)
        assert started - 7 < gap.start / 1000 < started
        assert started + 35 < gap.end / 1000 < started + 40

    def test_garbage(self) -> None:
        """What is no JSON, or a proxy's page, is counted and dropped; the stream goes on."""
        made = self.healthy()
        made.x.fault(faults.Garbage())
        made.x.fault(faults.Garbage(html=True))
        made.advance(2, step=1)
        self.same(2, made.metrics.value(m.BAD_FRAMES, "birds", "unreadable"))
        self.same(({}, made.due()), (self.ended(made), made.ids()))

    def test_huge(self) -> None:
        """A frame past the limit is skipped, counted, and costs no other frame."""
        made = self.healthy()
        made.x.fault(faults.Huge(2_000_000))
        made.advance(2, step=1)
        self.same(1, made.metrics.value(m.BAD_FRAMES, "birds", "too-long"))
        self.same(({}, made.due()), (self.ended(made), made.ids()))

    def test_repeats_and_order(self) -> None:
        """What comes twice is published once; what comes out of order still all does."""
        made = self.healthy()
        made.x.fault(faults.Duplicate(4))
        made.x.fault(faults.Reorder(2))
        made.advance(10, step=1)
        self.same(sorted(made.due()), sorted(made.ids()))
        assert made.metrics.value(m.REPEATED_ITEMS, "birds") > 0

    def test_refusals(self) -> None:
        """Each status has its cause and its delays, to its cap, never at once; the first good answer heals it."""
        made = self.healthy(connect_limit=1_000)
        expected: dict[str, float] = {}
        for status, (cause, delays) in self.statuses.items():
            made.x.fault(faults.Status(status, times=max(1, len(delays)), reset_after=1.0))  # type: ignore[arg-type]
            expected[backoff.NETWORK] = expected.get(backoff.NETWORK, 0) + 1
            self.cut(made)
            for delay in delays:
                expected[cause] = expected.get(cause, 0) + 1
                self.same(expected, self.ended(made), status)
                self.same(State.WAITING, made.follower.course.state)
                self.next_attempt(made, delay)
            if not delays:
                expected[cause] = expected.get(cause, 0) + 1
                self.same((State.FAILED, expected), (made.follower.course.state, self.ended(made)), status)
                attempts = len(made.network.attempts)
                made.advance(7200, step=1200)
                self.same(attempts, len(made.network.attempts), status)
                made.streamer.update(())  # an operator says that it is mended
                made.pump()
            self.heals(made)

    def test_refused_at_first(self) -> None:
        """A refusal of the very first connection is no different."""
        made = self.following()
        status, (cause, (delay, *_)) = next(iter(self.statuses.items()))
        made.x.fault(faults.Status(status))  # type: ignore[arg-type]
        made.start()
        self.same({cause: 1}, self.ended(made))
        self.next_attempt(made, delay)
        self.heals(made)
        self.same([], made.gaps())

    def test_rate_limit_outlives_a_stop(self) -> None:
        """Who stops, starts and asks for an update within a rate limit still waits for its end."""
        made = self.healthy()
        made.x.fault(faults.Status(429 if 429 in self.statuses else 420, reset_after=1.0))
        self.cut(made)
        attempts = len(made.network.attempts)
        made.streamer.stop(())
        made.advance(20, step=10)
        made.streamer.start(())
        made.streamer.update(())
        made.pump()
        self.same((State.WAITING, attempts), (made.follower.course.state, len(made.network.attempts)))
        self.next_attempt(made, 40)
        self.heals(made)

    def test_named_time(self) -> None:
        """Where a rate limit says when it ends, that is when the next attempt comes, and not before."""
        if 429 not in self.statuses:
            return
        made = self.healthy()
        made.x.fault(faults.Status(429, reset_after=1234.0))
        self.cut(made)
        now = made.clock.seconds()
        self.next_attempt(made, math.ceil(now + 1234.0) - now)
        self.heals(made)

    def test_farewells(self) -> None:
        """Each of the upstream's own words at parting has its cause and its delay."""
        made = self.healthy()
        causes = []
        for farewell, cause, delay in self.farewells:
            causes.append(cause)
            before = len(made.network.attempts)
            made.x.fault(farewell)
            made.pump()
            self.same(causes.count(cause), self.ended(made)[cause], farewell)
            if delay:
                self.same(before, len(made.network.attempts), farewell)
                self.next_attempt(made, delay)
            else:
                made.advance(EPSILON)
                self.same(before + 1, len(made.network.attempts), farewell)
            self.heals(made)
            self.same(causes, [gap.cause for gap in made.gaps()])

    def test_health_ends_the_delays(self) -> None:
        """After a stream that proved itself the delays begin anew; after one that did not they go on."""
        made = self.healthy()
        for times in (1, 2):
            made.x.fault(faults.Status(503))
            self.cut(made)
            self.same({backoff.NETWORK: times, backoff.HTTP: times}, self.ended(made))
            self.next_attempt(made, 5.0)
            self.heals(made)
        made.x.fault(faults.AcceptThenClose(times=3))
        self.cut(made)
        for delay in NETWORK_DELAYS[:3]:
            self.next_attempt(made, delay)

    def test_unreachable(self) -> None:
        """Refused, unknown, unroutable or unanswering: the delays grow by a quarter second, and never end."""
        made = self.following()
        made.network.refuses = REFUSALS[0]
        made.start()
        for refusal in REFUSALS:
            self.fails(made, refusal)
            made.network.refuses = None
            self.heals(made)
            made.network.refuses = REFUSALS[(REFUSALS.index(refusal) + 1) % len(REFUSALS)]
            self.cut(made)
        made.network.refuses = None

    def test_broken_handshakes(self) -> None:
        """A connection that ends in its TLS handshake, or before an answer, is as one that never was."""
        made = self.following()
        made.network.breaks = BREAKS[0]
        made.start()
        for reason in BREAKS:
            self.fails(made, None)
            made.network.breaks = None
            self.heals(made)
            made.network.breaks = BREAKS[(BREAKS.index(reason) + 1) % len(BREAKS)]
            self.cut(made)
        made.network.breaks = None

    def fails(self, made: Following, reason: Exception | None) -> None:
        """Each attempt fails, the first of them just now."""
        for delay in NETWORK_DELAYS:
            self.next_attempt(made, delay)
        self.same({backoff.NETWORK}, set(self.ended(made)))
        self.same(State.WAITING, made.follower.course.state)
        if reason is not None:
            assert type(reason).__name__ in made.follower.said

    def test_no_answer(self) -> None:
        """An upstream that takes the connection and says nothing is given up after thirty seconds."""
        made = self.following()
        made.start()
        made.service.hang_up()
        made.network.mute = True
        made.service.follow()
        made.clock.advance(30 - EPSILON)
        made.pump()
        self.same({}, self.ended(made))
        made.clock.advance(2 * EPSILON)
        made.network.mute = False
        made.pump()
        self.same({backoff.NETWORK: 1}, self.ended(made))
        self.heals(made)

    def test_slow_reader(self) -> None:
        """While the bus takes nothing we read nothing; the upstream may drop us for it, and what it kept is a gap."""
        (self.patch)(network, "BUFFER", 2_000)  # type: ignore[attr-defined]
        made = self.healthy(rate=10.0, window=10, buffer_limit=20_000)
        made.bus.held = []
        attempts = len(made.network.attempts)
        made.advance(30, step=1)
        assert made.intake.paused
        assert self.ended(made), "the upstream should have dropped us"
        assert len(made.network.attempts) - attempts < 12, "we hammer an upstream of which we read nothing"
        made.bus.release()
        made.advance(20, step=1)
        assert set(self.ended(made)) <= {backoff.SLOW, backoff.NETWORK}
        assert not made.intake.paused
        self.heals(made)
        assert made.missing()

    def test_stop(self) -> None:
        """A stop takes no time: unanswered, reading, silent, paused or waiting; and a start goes on from there."""
        made = self.healthy(window=3)
        for name in ("connecting", "reading", "silent", "paused", "waiting", "failed to connect"):
            match name:
                case "connecting":
                    self.cut(made)
                    made.network.mute = True
                    made.streamer.stop(())
                    made.streamer.start(())
                case "silent":
                    made.x.fault(faults.Stall())
                case "paused":
                    made.bus.held = []
                case "waiting":
                    made.x.fault(faults.Status(503))
                    self.cut(made)
                case "failed to connect":
                    made.network.refuses = ConnectionRefusedError()
                    self.cut(made)
            made.advance(8, step=1)
            made.streamer.stop(())
            made.network.mute = False
            self.same((State.STOPPED, None), (made.follower.course.state, made.follower.course.wake_at), name)
            made.pump()
            self.same((0, 0), (made.network.open, made.x.status()["connections"]), name)
            attempts = len(made.network.attempts)
            if made.bus.held is not None:
                assert made.intake.paused
                made.bus.release()
            made.advance(700, step=350)
            self.same(attempts, len(made.network.attempts), name)
            made.network.refuses = None
            made.streamer.start(())
            made.pump()
            self.heals(made)


class XFilteredTests(Causes, SynchronousTestCase):
    """The filtered stream of X."""

    kind = "x-filtered"


class XSampleTests(Causes, SynchronousTestCase):
    """The sample of X."""

    kind = "x-sample"
    closings = 66  # past the cap


class XVolumeTests(Causes, SynchronousTestCase):
    """A partition of a volume stream of X."""

    kind = "x-volume"


class TwitterTests(Causes, SynchronousTestCase):
    """The streams of v1.1."""

    kind = "twitter-v1"
    stall_after = 90.0  # seconds
    repeats = False
    statuses = TWITTER_STATUSES
    farewells = TWITTER_FAREWELLS
