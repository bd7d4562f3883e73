"""Make before break, against upstreams that admit two connections, close the older one, or refuse the newer one.

A post is made every half second, and it matches the predicates before and after each change; so whatever is missing at
the end was lost by the renewal, and must lie in an announced gap.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.policy.course import State
from streamer.policy.overlap import OVERLAP_LIMIT
from streamer.policy.restart import COALESCE
from streamer.policy.safe import MARGIN_MS
from streamer.sources.twitter_predicates import Predicates
from streamer.testing import faults
from tests.unit.following import Following

STEP = 0.5  # seconds between two posts
QUIET = 25.0  # seconds between two looks while nothing is posted; less than a keep-alive's stall
BOUND = OVERLAP_LIMIT + 2 * STEP  # seconds of two connections, once the newer one delivers
MARGIN = MARGIN_MS / 1000


class Renewing:
    """A source whose connection is to be renewed, with a post every half second."""

    def __init__(self, kind: str = "twitter-v1", **options: Any) -> None:
        own = {"stream": "filter", "predicates": Predicates(track=("kakapo",))} if kind == "twitter-v1" else None
        self.made = Following.of(kind, own, rate=0, **options)
        self.numbers = itertools.count()
        self.both = 0.0  # seconds that two connections have been open at the upstream now
        self.longest = 0.0
        self.most = 0
        self.made.start()
        self.run(6)

    @property
    def connections(self) -> int:
        """As the upstream counts them."""
        found: int = self.made.x.status()["connections"]
        return found

    def run(self, seconds: float) -> None:
        """Let time pass, with posts."""
        for _ in range(round(seconds / STEP)):
            self.made.x.inject(f"kakapo number {next(self.numbers)}")
            self.made.clock.advance(STEP)
            self.made.pump(4)
            self.both = self.both + STEP if self.connections > 1 else 0.0
            self.longest, self.most = max(self.longest, self.both), max(self.most, self.connections)

    def rest(self, seconds: float) -> None:
        """Let time pass without posts."""
        self.made.advance(seconds, step=QUIET)

    def want(self, *terms: str) -> None:
        """Ask for the kakapo, and more."""
        body = msgspec.json.encode({"track": ["kakapo", *terms]})
        asked = self.made.streamer.put_predicates("birds", body, False)
        self.made.pump()
        assert asked.called

    def follows(self, term: str) -> bool:
        """Whether posts with this term arrive."""
        id_ = self.made.x.inject(f"one {term}")
        self.made.advance(12)  # as late as a connection may be
        arrived = id_ in self.made.ids()
        if not arrived:
            self.made.x.ledger.posts.remove(id_)
        return arrived

    def live(self) -> Any:
        """The predicates that are said to be live."""
        return self.made.streamer.predicates(())["birds"]["live"]

    def gaps(self) -> list[tuple[float, str]]:
        """Each gap's length in seconds, and its cause."""
        return [((gap.end - gap.start) / 1000, gap.cause) for gap in self.made.gaps()]

    def settle(self) -> None:
        """Nothing was lost in silence or doubled, one connection is left; then everything ends without a trace."""
        made = self.made
        assert made.unannounced() == [], (made.unannounced(), made.gaps())
        assert len(made.ids()) == len(set(made.ids()))
        assert (made.follower.course.state, self.connections) == (State.STREAMING, 1)
        assert made.stop() == []
        assert made.network.open == 0


class TwoAllowedTests(SynchronousTestCase):
    """An upstream that admits the newer connection beside the older one."""

    def test_change(self) -> None:
        """The newer connection takes over with the first post that both bring; then the older one is really closed."""
        run = Renewing(max_connections=2)
        run.want("penguin")
        self.assertEqual(2, run.connections)
        run.run(1)
        self.assertEqual(1, run.connections)
        self.assertTrue(run.follows("penguin"))
        self.assertEqual(([], []), (run.made.missing(), run.gaps()))
        self.assertEqual(1, run.made.metrics.value(m.RENEWALS, "birds", "make-before-break"))
        self.assertEqual({"kakapo", "penguin"}, set(run.live().track))
        run.settle()

    def test_delay_curve(self) -> None:
        """The first change comes at once; the next ones wait for the curve, together, and then come at once."""
        run = Renewing(max_connections=2)
        run.want("penguin")
        run.run(5)
        run.want("owl")
        run.want("owl", "gull")
        run.rest(505 - 12 - 5)  # three changes: the penguin goes, owl and gull come
        self.assertFalse(run.follows("gull"))
        self.assertEqual(1, run.made.metrics.total(m.RENEWALS))
        run.run(10)
        self.assertTrue(run.follows("gull"))
        self.assertEqual(2, run.made.metrics.total(m.RENEWALS))
        self.assertEqual([], run.made.missing())
        run.settle()

    def test_taken_along(self) -> None:
        """A connection that has to be made anyway takes the waiting changes along; none is made for them later."""
        run = Renewing(max_connections=2)
        run.want("penguin")
        run.run(5)
        run.want("owl")
        run.made.network.cut(0)
        run.run(3)
        self.assertTrue(run.follows("owl"))
        run.rest(700)
        self.assertEqual(2 + 1, len(run.made.x.ledger.connections))
        run.settle()

    def test_never_meeting(self) -> None:
        """Where nothing comes on either, the older connection goes ten seconds after the newer one's first byte."""
        run = Renewing(max_connections=2)
        run.want("penguin")
        run.rest(29)
        self.assertEqual(2, run.connections)
        run.made.advance(OVERLAP_LIMIT + 2, step=1)
        self.assertEqual(1, run.connections)
        run.run(3)
        self.assertEqual(([], []), (run.made.missing(), run.gaps()))
        run.settle()

    def test_newer_ends_in_the_overlap(self) -> None:
        """A newer connection that ends leaves the older one in charge, its predicates live, and is tried again."""
        run = Renewing(max_connections=2)
        run.made.x.fault(faults.Lag(8, connection=1))
        run.want("penguin")
        run.run(2)
        self.assertEqual(2, run.connections)
        run.made.network.cut(1)
        run.run(0.5)
        self.assertEqual(1, run.connections)
        self.assertEqual(("kakapo",), run.live().track)
        run.run(20)
        self.assertTrue(run.follows("penguin"))
        self.assertEqual(([], []), (run.made.missing(), run.gaps()))
        run.settle()

    def test_older_ends_in_the_overlap(self) -> None:
        """An older connection that ends hands over to the newer one; what it still had is announced."""
        run = Renewing(max_connections=2)
        run.made.x.fault(faults.Lag(4, connection=0))
        run.run(6)
        run.made.x.fault(faults.Lag(4, connection=1))
        run.want("penguin")
        run.run(2)
        self.assertEqual(2, run.connections)
        run.made.network.cut(0)
        run.run(10)
        ((seconds, cause),) = run.gaps()
        self.assertEqual("network", cause)
        self.assertLess(seconds, MARGIN + 3)
        self.assertTrue(run.follows("penguin"))
        run.settle()

    def test_far_behind(self) -> None:
        """An older connection further behind than the overlap lasts loses what it still had; that is announced."""
        run = Renewing(max_connections=2)
        run.made.x.fault(faults.Lag(OVERLAP_LIMIT + 10, connection=0))
        run.run(30)
        run.want("penguin")
        run.run(30)
        self.assertLessEqual(run.longest, BOUND)
        self.assertTrue(run.made.missing())
        run.settle()

    def test_update_of_a_sample(self) -> None:
        """A stream without predicates is renewed when an operator asks, the second time after ten minutes."""
        run = Renewing("x-sample", max_connections=2)
        run.made.streamer.update(())
        run.made.pump()
        self.assertEqual(2, run.connections)
        run.run(5)
        self.assertEqual(1, run.connections)
        run.made.streamer.update(())
        run.rest(500)
        self.assertEqual(1, run.made.metrics.total(m.RENEWALS))
        run.rest(200)
        run.run(5)
        self.assertEqual(2, run.made.metrics.total(m.RENEWALS))
        self.assertEqual(([], []), (run.made.missing(), run.gaps()))
        run.settle()


class OneAllowedTests(SynchronousTestCase):
    """Upstreams that let go of one of the two."""

    def once_and_again(self, run: Renewing) -> None:
        """Renew twice; the second time the source knows that the older one has to go first."""
        run.want("penguin")
        run.run(30)
        self.assertTrue(run.follows("penguin"))
        self.assertFalse(run.made.follower.course.overlap)
        first = run.gaps()
        run.want("owl")
        run.rest(600)
        run.run(30)
        self.assertTrue(run.follows("owl"))
        self.assertFalse(run.follows("penguin"))
        self.assertEqual(2, len(run.gaps()), run.gaps())
        self.assertEqual(1, len(first))
        self.assertLess(max(seconds for seconds, _ in run.gaps()), MARGIN + 37)  # the last keep-alive may be 30 s old
        run.settle()

    def test_twitter_closes_the_older(self) -> None:
        """An upstream that closes the older connection itself: the newer one goes on at once, with a short gap."""
        self.once_and_again(Renewing())

    def test_twitter_refuses_the_newer(self) -> None:
        """An upstream that refuses the newer one by its 420: the older one makes room, so the change takes effect."""
        run = Renewing(refuse=True)
        run.want("penguin")
        for _ in range(20):
            run.run(1)
            run.rest(60)
        run.run(30)
        self.assertTrue(run.follows("penguin"), run.made.follower.said)
        self.assertFalse(run.made.follower.course.overlap)
        run.settle()

    def test_x_refuses_the_newer(self) -> None:
        """TooManyConnections says which limit it was: the older one is closed, and the next try comes soon."""
        run = Renewing("x-sample", max_connections=1)
        run.made.streamer.update(())
        run.run(12)
        ((seconds, _),) = run.gaps()
        self.assertLess(seconds, MARGIN + 7)
        run.made.streamer.update(())
        run.rest(650)
        run.run(5)
        self.assertEqual((1, 2), (run.most, len(run.gaps())))
        run.settle()

    def test_x_closes_the_older(self) -> None:
        """ForceDisconnect for the older one: the newer one goes on at once."""
        run = Renewing("x-sample", max_connections=1, replace_oldest=True)
        run.made.streamer.update(())
        run.run(12)
        self.assertEqual(1, len(run.gaps()))
        run.settle()

    def test_causes(self) -> None:
        """A gap that our own renewal made says so, and not how some earlier connection had ended."""
        run = Renewing("x-sample", max_connections=1, replace_oldest=True)
        run.made.x.fault(faults.Disconnect("SlowReader"))
        run.run(10)
        for _ in range(2):
            run.made.streamer.update(())
            run.rest(650)
            run.run(5)
        slow, replaced, renewed = (cause for _, cause in run.gaps())
        self.assertEqual(("slow", "http", "renewal"), (slow, replaced, renewed))
        run.settle()


ACTIONS = st.tuples(
    st.integers(0, 16),  # half seconds to wait before
    st.sampled_from(["cut-old", "cut-new", "lag-old", "lag-new", "mute", "change", "nothing"]),
    st.floats(0, 4),  # seconds, of lag or of no answer
)


class RandomTests(SynchronousTestCase):
    """Two connections at different places, in every order of events."""

    @settings(max_examples=settings().max_examples // 5)
    @given(old=st.floats(0, 8), new=st.floats(0, 8), mute=st.integers(0, 8))
    def test_no_post_is_lost_or_doubled(self, old: float, new: float, mute: int) -> None:
        """However far apart the two are and however slow the answer, every post arrives once, without a gap."""
        run = Renewing(max_connections=2)
        run.made.x.fault(faults.Lag(old, connection=0))
        run.run(4)
        run.made.x.fault(faults.Lag(new, connection=1))
        run.made.network.mute = bool(mute)
        run.want("penguin")
        run.run(mute * STEP)
        run.made.network.mute = False
        run.run(22)
        assert run.made.gaps() == []
        assert run.longest <= BOUND + new
        run.made.advance(10)
        assert run.made.missing() == []
        assert "penguin" in run.live().track
        run.settle()

    @settings(max_examples=settings().max_examples // 3)
    @given(
        allowed=st.sampled_from(["two", "closes the older", "refuses", "x refuses", "x closes the older"]),
        actions=st.lists(ACTIONS, max_size=6),
    )
    def test_every_loss_is_announced(self, allowed: str, actions: list[tuple[int, str, float]]) -> None:
        """Whatever breaks, wherever the connections are and whichever the upstream admits: no loss without its gap."""
        kind = "x-sample" if allowed.startswith("x") else "twitter-v1"
        options: dict[str, Any] = {"max_connections": 2 if allowed == "two" else 1}
        if allowed == "x closes the older":
            options["replace_oldest"] = True
        if allowed == "refuses":
            options["refuse"] = True
        run = Renewing(kind, **options)
        words = itertools.count()

        def change() -> None:
            if kind == "x-sample":
                run.made.streamer.update(())
            else:
                run.want(f"bird{next(words)}")

        change()
        for wait, action, seconds in actions:
            run.run(wait * STEP)
            match action:
                case "cut-old":
                    run.made.network.cut(0)
                case "cut-new":
                    run.made.network.cut(1)
                case "lag-old":
                    run.made.x.fault(faults.Lag(seconds, connection=0))
                case "lag-new":
                    run.made.x.fault(faults.Lag(seconds, connection=1))
                case "mute":
                    run.made.network.mute = True
                    run.run(seconds)
                    run.made.network.mute = False
                case "change":
                    change()
        run.run(20)
        run.rest(1300)
        run.run(20)
        run.made.advance(10)
        assert run.most <= (2 if allowed == "two" else 1)
        assert run.longest <= BOUND + 5 + COALESCE
        run.settle()
