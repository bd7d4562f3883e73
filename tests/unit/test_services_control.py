"""What an operator may do, in any order and whatever breaks meanwhile, against a model of two facts.

The model knows whether the source is to be followed and which predicates were last accepted. After healing and time
the source must stream just where the model says so, with its predicates in force at the upstream, by one connection.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ControlRefused
from streamer.operating import IControl
from streamer.policy.course import State
from streamer.sources.twitter_predicates import Predicates
from streamer.testing import faults
from tests.unit.following import Following

WORDS = ("kakapo", "penguin", "owl", "gull")
HEAL = 2_000.0  # seconds; longer than the longest delay these refusals lead to, and a curve's after it
SHORT = 200.0  # seconds; the same for a single refusal, and a first change
STEP = 40.0  # seconds; less than any stall


class Operated:
    """A source with its operator, and the model of it."""

    def __init__(self, kind: str, allowed: int) -> None:
        own = {"stream": "filter", "predicates": Predicates(track=WORDS[:1])} if kind == "twitter-v1" else None
        self.kind = kind
        self.made = Following.of(kind, own, rate=0, max_connections=allowed, connect_limit=1_000)
        self.control = IControl(self.made.streamer)
        self.allowed = allowed
        self.wishes: list[Any] = []
        self.following = True
        self.wanted: tuple[str, ...] = ("cat",) if kind == "x-filtered" else WORDS[:1]
        self.numbers = itertools.count()
        self.made.start()

    def act(self, action: str, argument: int) -> None:
        """One thing that an operator, the upstream or the network does."""
        made = self.made
        match action:
            case "start":
                self.control.start(())
                self.following = True
            case "stop":
                done = self.control.stop(("birds",))
                self.following = False
                assert done.called
                self.assert_quiet()
            case "update":
                self.control.update(())
                self.following = True
            case "put":
                self.put(argument)
            case "bad put":
                self.wishes.append(self.control.put_predicates("birds", b'{"nonsense":1}', False))
            case "dry run":
                self.wishes.append(self.control.put_predicates("birds", self.body(WORDS[argument % 4 :]), True))
            case "refuse":
                made.x.fault(faults.Status(503, times=argument % 3 + 1))
            case "limit":
                limit: Any = 420 if self.kind == "twitter-v1" else 429
                made.x.fault(faults.Status(limit, times=argument % 2 + 1))
            case "cut":
                made.network.cut(argument % 2)
            case "stall":
                made.x.fault(faults.Stall())
            case "unreachable":
                made.network.refuses = None if made.network.refuses else ConnectionRefusedError()
            case "mute":
                made.network.mute = not made.network.mute
        made.pump(3)

    def put(self, argument: int) -> None:
        """Want some of the words, always at least one."""
        words = tuple(word for place, word in enumerate(WORDS) if (argument or 1) >> place & 1)
        self.wishes.append(self.control.put_predicates("birds", self.body(words), False))
        self.wanted = words

    def body(self, words: tuple[str, ...]) -> bytes:
        """The predicates as an operator writes them."""
        if self.kind == "twitter-v1":
            return msgspec.json.encode({"track": words})
        return msgspec.json.encode({"rules": [{"value": word} for word in words]})

    def advance(self, seconds: float) -> None:
        """Let time pass; the upstream never has more connections than it admits, nor one that is not wanted."""
        while seconds > 0:
            self.made.clock.advance(min(STEP, seconds))
            self.made.pump(2)
            seconds -= STEP
            assert self.connections <= self.allowed
            if not self.following:
                self.assert_quiet()

    @property
    def connections(self) -> int:
        """As the upstream counts them."""
        found: int = self.made.x.status()["connections"]
        return found

    def assert_quiet(self) -> None:
        """Stopped is stopped, at once and as long as nobody starts."""
        course = self.made.follower.course
        assert (course.state, course.wake_at) == (State.STOPPED, None)
        assert not self.made.follower.connected

    def heal(self, seconds: float = HEAL) -> None:
        """Nothing goes wrong any more, and there is time enough."""
        made = self.made
        made.network.refuses, made.network.mute = None, False
        while made.x.faults.for_request() is not None:
            pass
        tuple(made.x.faults.for_connection())
        self.advance(seconds)

    def judge(self) -> None:
        """The world is as the model says."""
        made, row = self.made, self.control.standing(())["birds"]
        assert row["following"] == self.following
        assert row["state"] == ("streaming" if self.following else "stopped"), row
        assert self.connections == int(self.following)
        assert {found for found, wish in enumerate(self.wishes) if not wish.called} == set(), "a wish unanswered"
        for wish in self.wishes:
            wish.addErrback(lambda failure: failure.trap(ControlRefused))
        if self.following:
            assert self.in_force() == set(self.wanted)
            said = self.control.predicates(())["birds"]
            assert (said["pending"], said["wanted"]) == (0, said["live"]), said
        assert made.unannounced() == []
        assert made.stop() == []
        assert made.network.open == 0

    def in_force(self) -> set[str]:
        """What the upstream filters by: its rules, or the words by which posts arrive."""
        if self.kind == "x-filtered":
            return {rule.value for rule in self.made.x.rules.all()}
        ids = {word: self.made.x.inject(f"a {word}") for word in WORDS}
        self.made.pump()
        arrived = set(self.made.ids())
        for id_ in set(ids.values()) - arrived:
            self.made.x.ledger.posts.remove(id_)
        return {word for word, id_ in ids.items() if id_ in arrived}


ACTIONS = st.tuples(
    st.sampled_from(
        ["start", "stop", "update", "put", "put", "bad put", "dry run", "refuse", "limit", "cut", "stall",
         "unreachable", "mute"],
    ),
    st.integers(0, 15),
    st.sampled_from([0.0, 0.0, 0.5, 3.0, 10.0, 35.0, 130.0, 700.0]),  # seconds that pass after it
)  # fmt: skip


class ControlTests(SynchronousTestCase):
    """Random sequences."""

    @settings(max_examples=settings().max_examples // 3)
    @given(
        kind=st.sampled_from(["x-filtered", "twitter-v1"]),
        allowed=st.integers(1, 2),
        acts=st.lists(ACTIONS, max_size=8),
    )
    def test_model(self, kind: str, allowed: int, acts: list[tuple[str, int, float]]) -> None:
        """Whatever is done and goes wrong, after healing and time things are as they were last wished."""
        run = Operated(kind, allowed)
        for action, argument, seconds in acts:
            run.act(action, argument)
            run.advance(seconds)
        run.heal()
        run.judge()

    def test_every_verb_in_every_state(self) -> None:
        """Each verb twice, in each state, is allowed and means the same."""
        states = {
            "connecting": ("mute",),
            "streaming": (),
            "waiting": ("refuse", "cut"),
            "stopped": ("stop",),
            "unreachable": ("unreachable", "cut"),
            "silent": ("stall",),
        }
        for kind in ("x-filtered", "twitter-v1"):
            for (name, ways), verb in itertools.product(states.items(), ("start", "stop", "update", "put")):
                with self.subTest(kind=kind, state=name, verb=verb):
                    run = Operated(kind, 1)
                    for way in ways:
                        run.act(way, 0)
                    run.advance(1)
                    run.act(verb, 6)
                    run.act(verb, 6)
                    run.heal(SHORT)
                    run.judge()

    def test_unknown_source(self) -> None:
        """A name that is not followed is refused, with those that are; nothing else happens."""
        run = Operated("x-filtered", 1)
        for verb in (run.control.stop, run.control.start, run.control.update, run.control.standing):
            with self.assertRaises(ControlRefused) as caught:
                verb(("birds", "bees"))
            self.assertIn("birds", str(caught.exception))
            self.assertEqual(404, caught.exception.status)
        run.heal()
        run.judge()
