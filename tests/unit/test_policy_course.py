"""Which connections a source has, whatever its upstream and its operator do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy import backoff
from streamer.policy.backoff import CAUSES, Backoff
from streamer.policy.course import Course, State
from streamer.policy.legs import Close, Command, Legs, Open
from streamer.policy.overlap import OVERLAP_LIMIT
from streamer.policy.penalty import Penalty
from streamer.upstream import Ending

NOW = 1000.0


def course(overlap: bool = True, penalty: Penalty | None = None) -> tuple[Course, list[Command]]:
    """A course, and the commands it will give."""
    told: list[Command] = []
    made = Course(Backoff(CAUSES, lambda: 0.0), penalty or Penalty(), Legs(told.append), overlap)
    return made, told


def ending(cause: str, retry_after: float | None = None) -> Ending:
    """An ending for that cause."""
    return Ending(cause=cause, detail="as the test says", retry_after=retry_after)


class CourseTests(SynchronousTestCase):
    """The table's rows."""

    def streaming(self, overlap: bool = True) -> tuple[Course, list[Command]]:
        """A course with one open stream, leg 1."""
        made, told = course(overlap)
        made.start(NOW)
        made.connected(1)
        self.assertIs(State.STREAMING, made.state)
        told.clear()
        return made, told

    def renewing(self) -> tuple[Course, list[Command]]:
        """A course whose leg 1 is retiring and whose leg 2 was asked for."""
        made, told = self.streaming()
        made.update(NOW, 1, asked=False)
        made.wake(NOW)
        self.assertEqual((State.RENEWING, [Open(2)]), (made.state, told))
        told.clear()
        return made, told

    def test_start_and_stop(self) -> None:
        """Starting twice opens once; stopping closes at once, in whatever state."""
        made, told = course()
        made.start(NOW)
        made.start(NOW)
        self.assertEqual([Open(1)], told)
        made.stop()
        self.assertEqual([Open(1), Close(1)], told)
        self.assertEqual((State.STOPPED, None), (made.state, made.wake_at))
        made.stop()
        made.start(NOW)
        self.assertEqual([Open(1), Close(1), Open(2)], told)

    def test_stop_after_a_plan(self) -> None:
        """A stop forgets what was planned, and a later update is not taken for a coalesced one (T6-T8)."""
        made, told = self.streaming()
        made.plan.last = NOW
        made.update(NOW, 1, asked=True)
        made.stop()
        made.update(NOW + 1, 0, asked=True)
        self.assertEqual([Close(1), Open(2)], told)

    def test_exit_comes_first(self) -> None:
        """A connection that ends while a restart is planned is followed by the exit's restart alone."""
        made, told = self.streaming()
        made.plan.last = NOW
        made.update(NOW, 1, asked=False)
        delay = made.ended(1, ending(backoff.HTTP), True, NOW + 1)
        self.assertEqual((5.0, NOW + 6), (delay, made.wake_at))
        made.update(NOW + 2, 5, asked=False)
        self.assertEqual(NOW + 6, made.wake_at)
        made.wake(NOW + 6)
        self.assertEqual([Open(2)], told)
        made.connected(2)
        self.assertIsNone(made.wake_at)

    def test_make_before_break(self) -> None:
        """The old connection goes when the streams have met, not before."""
        made, told = self.renewing()
        made.met()
        self.assertEqual([], told)
        made.connected(2)
        made.delivering(2, NOW + 1)
        self.assertEqual([], told)
        made.met()
        self.assertEqual(([Close(1)], State.STREAMING, 2), (told, made.state, made.legs.current))

    def test_bounded_overlap(self) -> None:
        """Streams that never meet overlap for ten seconds from the new one's first byte."""
        made, told = self.renewing()
        made.connected(2)
        self.assertIsNone(made.wake_at)
        made.delivering(2, NOW + 3)
        self.assertEqual(NOW + 3 + OVERLAP_LIMIT, made.wake_at)
        made.wake(NOW + 3 + OVERLAP_LIMIT)
        self.assertEqual([Close(1)], told)

    def test_one_connection_only(self) -> None:
        """Where a second connection is refused the first is closed, and from then on always goes first."""
        made, told = self.renewing()
        delay = made.ended(2, ending(backoff.CONNECTION_LIMIT), False, NOW)
        self.assertEqual(([Close(1)], State.WAITING, 5.0), (told, made.state, delay))
        made.wake(NOW + 5)
        made.connected(3)
        made.plan.last = None
        made.update(NOW + 10, 1, asked=False)
        made.wake(NOW + 10)
        self.assertEqual([Close(1), Open(3), Close(3), Open(4)], told)

    def test_upstream_closes_the_older(self) -> None:
        """Where the upstream ends the older one itself the newer goes on at once, and next time goes second."""
        made, told = self.renewing()
        made.connected(2)
        self.assertEqual(0.0, made.ended(1, ending(backoff.CONNECTION_LIMIT), True, NOW))
        self.assertEqual((State.STREAMING, 2, False), (made.state, made.legs.current, made.overlap))
        self.assertEqual([], told)

    def test_older_ends_before_the_newer_answers(self) -> None:
        """No third connection is opened while one is on its way (T11)."""
        made, told = self.renewing()
        self.assertEqual(0.0, made.ended(1, ending(backoff.NETWORK), True, NOW))
        self.assertEqual((State.CONNECTING, []), (made.state, told))
        made.connected(2)
        self.assertIs(State.STREAMING, made.state)
        self.assertTrue(made.overlap)

    def test_renewal_fails(self) -> None:
        """A renewal that comes to nothing leaves the connection alone and is tried again after the cause's delay."""
        made, told = self.renewing()
        made.ended(2, ending(backoff.HTTP), False, NOW)
        self.assertEqual((State.STREAMING, [], NOW + 5), (made.state, told, made.wake_at))
        made.wake(NOW + 5)
        made.ended(3, ending(backoff.REFUSED), False, NOW + 6)
        self.assertEqual((State.STREAMING, None), (made.state, made.wake_at))

    def test_refused(self) -> None:
        """A refusal stops the source until its configuration changes."""
        made, told = course()
        made.start(NOW)
        self.assertIsNone(made.ended(1, ending(backoff.REFUSED), False, NOW))
        self.assertEqual((State.FAILED, None), (made.state, made.wake_at))
        made.update(NOW, 0, asked=False)
        self.assertEqual([Open(1), Open(2)], told)

    def test_penalty_is_shared(self) -> None:
        """A rate limit keeps all sources of the credential away, also one that is only now started."""
        penalty = Penalty()
        one, _ = course(penalty=penalty)
        other, told = course(penalty=penalty)
        one.start(NOW)
        one.ended(1, ending(backoff.RATE_LIMIT, 300.0), False, NOW)
        other.start(NOW + 10)
        self.assertEqual(([], NOW + 300), (told, other.wake_at))
        other.wake(NOW + 300)
        self.assertEqual([Open(1)], told)

    def test_stop_and_start_do_not_outrun_a_rate_limit(self) -> None:
        """Who stops and starts waits for the rest of the limit."""
        made, told = course()
        made.start(NOW)
        made.ended(1, ending(backoff.RATE_LIMIT, 300.0), False, NOW)
        made.stop()
        made.start(NOW + 1)
        self.assertEqual((State.WAITING, NOW + 300), (made.state, made.wake_at))
        self.assertEqual([Open(1)], told)

    def test_late_news_of_a_closed_connection(self) -> None:
        """What an old connection still says changes nothing."""
        made, told = self.streaming()
        made.stop()
        told.clear()
        made.connected(1)
        made.delivering(1, NOW)
        made.met()
        made.ended(1, ending(backoff.HTTP), True, NOW)
        self.assertEqual((State.STOPPED, []), (made.state, told))


class Anything(RuleBasedStateMachine):
    """Everybody does what they like, in any order."""

    @initialize(overlap=st.booleans())
    def begin(self, overlap: bool) -> None:
        """A course."""
        self.now = NOW
        self.told: list[Command] = []
        self.open: list[int] = []
        self.course = Course(Backoff(CAUSES, lambda: 0.0), Penalty(), Legs(self.tell), overlap)
        self.wanted = False

    def tell(self, command: Command) -> None:
        """Do as it says."""
        if isinstance(command, Open):
            self.open.append(command.leg)
        else:
            self.open.remove(command.leg)

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        """The alarm rings where it is due."""
        self.now += seconds
        if self.course.wake_at is not None and self.course.wake_at <= self.now:
            self.course.wake(self.now)

    @rule()
    def start(self) -> None:
        """The operator starts."""
        self.course.start(self.now)
        self.wanted = True

    @rule()
    def stop(self) -> None:
        """The operator stops."""
        self.course.stop()
        self.wanted = False

    @rule(pending=st.integers(0, 100), asked=st.booleans())
    def update(self, pending: int, asked: bool) -> None:
        """Predicates change, or the operator asks for a restart."""
        self.course.update(self.now, pending, asked=asked)
        self.wanted = self.wanted or asked

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1), healthy=st.booleans(), cause=st.sampled_from(sorted(CAUSES)))
    def ends(self, which: int, healthy: bool, cause: str) -> None:
        """A connection ends, for whatever cause."""
        leg = self.open.pop(which % len(self.open))
        self.course.ended(leg, ending(cause), healthy, self.now)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1))
    def accepted(self, which: int) -> None:
        """The upstream accepts, and sends."""
        leg = self.open[which % len(self.open)]
        self.course.connected(leg)
        self.course.delivering(leg, self.now)

    @rule()
    def met(self) -> None:
        """An item came on both."""
        self.course.met()

    @invariant()
    def connections(self) -> None:
        """What is open is what the state says; two only during a renewal, none where nothing is to be."""
        legs = [leg for leg in (self.course.legs.current, self.course.legs.successor) if leg is not None]
        assert sorted(self.open) == sorted(legs), (self.open, legs)
        expected = {
            State.STOPPED: 0, State.WAITING: 0, State.FAILED: 0,
            State.CONNECTING: 1, State.STREAMING: 1, State.RENEWING: 2,
        }  # fmt: skip
        assert len(self.open) == expected[self.course.state], (self.course.state, self.open)

    @invariant()
    def obedient(self) -> None:
        """Stopped is what the operator stopped, and nothing else; whoever waits has an alarm."""
        assert (self.course.state is State.STOPPED) == (not self.wanted)
        if self.course.state is State.WAITING:
            assert self.course.wake_at is not None
        if self.course.state in (State.STOPPED, State.FAILED, State.CONNECTING):
            assert self.course.wake_at is None


AnythingTests = Anything.TestCase
AnythingTests.settings = settings(max_examples=60, stateful_step_count=40)
