"""Relays, their log and their clients, driven at random and held against a model.

Two relays read one log at different speeds and remember little of it. Clients of all faces subscribe, stop reading,
hear nothing, are cut off and resume wherever a relay is. Each must be sent exactly what it wants, in order and once,
or be told exactly how much it was not sent; see `relay_expected.Expected`.
"""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.journal import Journal
from streamer.fanout.logged import logged
from streamer.net import flush
from streamer.testing.relay_events import entry
from tests.unit.relay_expected import Wanted
from tests.unit.relay_followers import Ask, Follower
from tests.unit.relaying import TAKE_BACK, Log, Node, Reactor, offset_of

TOPICS = ["post.x.a", "post.x.b", "stats.x"]
PATTERNS = [("post.#",), ("post.*.a",), ("#",), ("*.x.b", "geo.#"), ("stats.x",)]
FACES = ["plain", "deflated", "plain", "cloudevents", "stream", "poll"]
TICKS = [0.0, 0.004, 0.01, 0.3, 1.1, 2.5]
SHORT = 30  # entries kept by a log that forgets
SUBSCRIPTIONS = 5  # of one client at a time


class World:
    """All of it, and the steps that it may take."""

    def __init__(self, entries: int, kept: int, cold: int) -> None:
        self.reactor = Reactor()
        self.reactor.advance(1_000_000)
        self.log = Log(self.reactor, kept)
        self.log.bus.startService()
        self.repeats = not cold  # which of several is held may change where they are read again
        self.positions: list[str] = []
        self.followers: list[Follower] = []
        self.posts = self.asked = 0
        self.log.publish("stats", TOPICS[2], 0)
        sizes = [(entries, 0), (entries * 2, cold)]
        self.nodes = [
            Node(self.reactor, self.log, port, {"journal_entries": size, "cold_bytes": limit, "heartbeat": 2.0})
            for port, (size, limit) in enumerate(sizes, 1)
        ]
        self.tick(0.0)
        self.followers = [Follower(self, face) for face in FACES]

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.reactor.pass_time(seconds, self.look)

    def look(self) -> None:
        """See what the last call has done."""
        for node in self.nodes:
            node.look()
        for follower in self.followers:
            follower.listen()
            if follower.expected is not None:
                follower.expected.look()

    def step(self, name: str, a: int, b: int, c: int) -> None:
        """One of them."""
        for node in self.nodes:  # none is so late that the log has forgotten what it has not read
            if len(self.log.facts) - node.head > SHORT - 15:
                node.go()
                self.tick(0.0)
        getattr(self, f"do_{name}")(a, b, c)
        self.look()
        self.tick(0.0)

    def do_publish(self, a: int, b: int, c: int) -> None:
        for _ in range(1 + b % 6):
            if a % 3 < 2:
                self.posts += 1
                self.log.publish("post", TOPICS[a % 3], self.posts)
                if c % 3 == 0:
                    self.log.publish("geo", "geo.x.a", self.posts)
            else:
                self.log.publish("stats", TOPICS[2], len(self.log.facts))

    def do_take_back(self, a: int, b: int, c: int) -> None:
        kind, about = TAKE_BACK[a % 2], max(1, self.posts + 1 - b % 8)
        if self.repeats or not any((one.kind, one.about) == (kind, about) for one in self.log.facts):
            self.log.publish(kind, f"{kind}.x", about)

    def do_repeat(self, a: int, b: int, c: int) -> None:
        if self.repeats:
            fact = self.log.facts[-1 - (a + b) % min(20, len(self.log.facts))]
            self.log.publish(fact.kind, fact.topic, fact.about)

    def do_connect(self, a: int, b: int, c: int) -> None:
        follower = self.followers[a % len(FACES)]
        if c == 11:
            follower.leave()
            follower.forget()
        follower.connect(self.nodes[b % 2], PATTERNS[b % 5], (None, 3, 20)[c % 3], ("skip", "strict")[c % 2])

    def do_sub(self, a: int, b: int, c: int) -> None:
        follower = self.followers[a % 3]
        if follower.socket is None:
            follower.connect(self.nodes[b % 2], (), None, "skip")
        if follower.socket is None or len(follower.wishes) == SUBSCRIPTIONS or follower.waiting:
            return  # a position says nothing of a subscription that waits for its own
        self.asked += 1
        ask = Ask(PATTERNS[b % 5], "strict" if b == 11 else "skip")
        if c % 3 == 1 and self.positions:
            ask.since = self.positions[-1 - (b * c) % min(30, len(self.positions))]
        if c % 4:
            ask.last = c
        follower.subscribe(f"s{self.asked}", ask)

    def do_unsub(self, a: int, b: int, c: int) -> None:
        follower = self.followers[a % 3]
        if follower.wishes and follower.socket is not None:
            id_ = sorted(follower.wishes)[b % len(follower.wishes)]
            del follower.wishes[id_]
            follower.waiting.discard(id_)
            follower.since.pop(id_, None)
            follower.say("unsub", 2, id_)

    def do_pause(self, a: int, b: int, c: int) -> None:
        if (socket := self.followers[a % len(FACES)].socket) is not None:
            socket.pause()

    def do_resume(self, a: int, b: int, c: int) -> None:
        if (socket := self.followers[a % len(FACES)].socket) is not None:
            socket.resume()

    def do_deafen(self, a: int, b: int, c: int) -> None:
        self.followers[a % len(FACES)].deaf = True

    def do_hear(self, a: int, b: int, c: int) -> None:
        self.followers[a % len(FACES)].hear()

    def do_cut(self, a: int, b: int, c: int) -> None:
        self.followers[a % len(FACES)].leave()

    def do_hold(self, a: int, b: int, c: int) -> None:
        self.nodes[a % 2].hold()

    def do_go(self, a: int, b: int, c: int) -> None:
        self.nodes[a % 2].go()

    def do_restart(self, a: int, b: int, c: int) -> None:
        node = self.nodes[a % 2]
        if b % 2:  # killed: nobody is told
            for follower in self.followers:
                if follower.expected is not None and follower.expected.node is node:
                    follower.leave()
        stopped = node.stop()
        for _ in range(10):
            if not stopped.called:
                self.tick(1.0)
        assert stopped.called, "the relay did not stop"
        self.look()
        self.log.publish("stats", TOPICS[2], len(self.log.facts))  # so that it has read something when it listens
        node.begin((600.0, 1.0, 0.1)[c % 3])

    def do_tick(self, a: int, b: int, c: int) -> None:
        self.tick(TICKS[a % len(TICKS)])

    def start(self, node: Node, ask: Ask, facts: dict[str, Any]) -> int:
        """The offset after which a subscription must begin."""
        if ask.since is None:
            assert facts["recovered"]
        elif facts["recovered"]:
            assert offset_of(ask.since) <= node.head
            return offset_of(ask.since)
        else:
            self.justify(node, ask.since, facts, node.head if ask.at is None else ask.at, ask.hasty)
        if ask.last is None:
            return node.head
        slots = sorted(offset for offset in node.slots if offset >= node.floor)
        wanted, missing, start = Wanted("", ask.topics, False, 0, 0), ask.last, node.head
        for offset in reversed(slots):
            if not missing:
                break
            if wanted.wants(self.log.facts[offset]):
                missing -= wanted.matches(self.log.facts[offset]) and self.log.facts[offset].kind not in TAKE_BACK
                start = offset - 1
        return start

    def justify(self, node: Node, since: str, facts: dict[str, Any], read: int, hasty: bool = False) -> None:
        """A position was not served; was it not to be? `read` is how far the relay was."""
        edge, offset = node.service._hub.journal.edge, offset_of(since)
        if facts["reason"] == "unknown":
            assert offset > read or edge is None, f"{since} is unknown, read was {node.head}"
        else:
            assert facts["reason"] == "expired"
            assert edge is not None, f"{since} has expired, and nothing was read"
            assert offset < edge.offset, f"{since} has expired, remembered is {edge}"
            read_again = node.cold and not hasty and self.log.bus._broker.log.ring.first == 0
            assert not read_again, f"{since} could have been read from the log again"

    def welcomed(self, node: Node, resume: str | None, facts: dict[str, Any]) -> None:
        """`welcome`"""
        if resume is not None and not facts.get("recovered", True):
            self.justify(node, resume, facts, node.head)

    def finish(self) -> None:
        """Let everybody have everything; then stop, and leave nothing."""
        for node in self.nodes:
            node.go()
        self.tick(0.3)
        for index, follower in enumerate(self.followers):
            follower.hear()
            if follower.socket is None and follower.wishes:
                follower.connect(self.nodes[index % 2], (), None, "skip")
            elif follower.socket is not None:
                follower.socket.resume()
        self.tick(13.0)
        for follower in self.followers:
            follower.check_whole()
            follower.leave()
        for node in self.nodes:
            assert node.service._hub.cohorts == 0
            assert len(node.service._clients) == 0
        stopped = [node.stop() for node in self.nodes] + [self.log.bus.stopService()]
        self.tick(40.0)
        assert all(one.called for one in stopped)
        assert self.reactor.getDelayedCalls() == []


WEIGHTS = {"tick": 3, "publish": 6, "connect": 4, "sub": 5, "pause": 2, "resume": 1, "deafen": 1, "hear": 1}
WEIGHTS |= {"take_back": 2, "repeat": 1, "unsub": 1, "cut": 1, "hold": 1, "go": 1, "restart": 1}
NAMES = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
NUMBER = st.integers(0, 11)
Step = tuple[str, int, int, int]
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), NUMBER, NUMBER, NUMBER), min_size=30, max_size=50)
# A deletion that a relay reads late, and the post that it deletes, which comes after it.
DELETED_BEFORE = [
    ("publish", 0, 0, 0), ("publish", 0, 1, 0), ("sub", 0, 1, 1), ("connect", 0, 1, 0), ("publish", 0, 1, 0),
    ("take_back", 0, 0, 0), ("restart", 1, 0, 2), ("sub", 0, 1, 1), ("publish", 0, 0, 0),
]  # fmt: skip


class RelayModelTests(SynchronousTestCase):
    """Relays and their clients."""

    @given(
        st.integers(2, 9),
        st.sampled_from([1000, 1000, SHORT]),
        st.sampled_from([100_000, 0, 2_000]),
        st.sampled_from([1000, 1]),
        STEPS,
    )
    @example(7, SHORT, 2_000, 1000, DELETED_BEFORE)
    def test_interleavings(self, entries: int, kept: int, cold: int, together: int, steps: list[Step]) -> None:
        """Whatever happens in whatever order, each client is sent what it wants, in order and once, or told."""
        self.patch(flush, "TURN_LIMIT", together)  # clients that are written to in one turn
        world = World(entries, kept, cold)
        for step in steps:
            world.step(*step)
        world.finish()

    def test_repeats_side_by_side(self) -> None:
        """Of an entry and its repeats that are read from the log again, the first has the place it had."""
        for again in (("post:2", "post:2"), ("post:1", "post:2"), ("post:2", "post:2", "post:2")):
            ids = ["post:1", *again, "post:7", "post:8", "post:9"]
            log = [entry(offset, id_=id_) for offset, id_ in enumerate(ids, 1)]
            journal = Journal(entries_limit=1)
            for one in log:
                journal.append(one)
            first = {id_: offset for offset, id_ in reversed(list(enumerate(ids, 1)))}
            self.assertTrue(journal.prepend(logged(log[0]), [logged(one) for one in log[1:-1]]))
            held = [journal[place].offset for place in range(journal.floor, journal.head)]
            with self.subTest(again=again):
                self.assertEqual([offset for offset in sorted(first.values()) if offset > 1], held)
