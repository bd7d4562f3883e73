"""Any interleaving of publishing, handing out, deciding, coming and going agrees with a plain model of the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from streamer.bus import deadline, topology
from streamer.bus.memory import MemoryBus
from streamer.bus.memory_places import Places
from streamer.bus.memory_queue import MemoryQueue
from streamer.errors import BusStopped
from streamer.interfaces import Offset
from streamer.message import Death, Decision, Delivery, Entry
from streamer.metrics import (
    BUS_DEAD_LETTERED,
    BUS_DROPPED,
    BUS_PENDING,
    BUS_QUEUE_CONSUMERS,
    BUS_QUEUE_MESSAGES,
    LOG_SKIPPED,
    Metrics,
)
from tests.bus_contract import event, raw

NOW = 1_795_000_000.0  # seconds since the epoch
LIMIT = 2  # failed deliveries a message survives
MESSAGES, BYTES = 6, 60  # bounds of each queue
ENTRIES = 12  # bound of the log

QUEUES = (topology.ENRICH, topology.DEAD, topology.TRENDS)
SIZES = st.lists(st.integers(0, 30), min_size=2, max_size=8)
DECISIONS = st.sampled_from(list(Decision))
# Most decide later. None hands back all it gets: that would keep the Clock busy for ever.
AT_ONCE = st.sampled_from([None, None, None, None, Decision.ACK, Decision.RETRY, Decision.REJECT])


@attrs.define
class Paper:
    """A message in the model; `number` is its place in the queue."""

    number: int
    id: str
    size: int
    attempt: int = 1
    death: Death | None = None


@attrs.define(eq=False)
class Hand:
    """A worker in the model: what it handles, what it holds until when, and its end."""

    work: Any
    prefetch: int
    at_once: Decision | None
    papers: dict[str, tuple[Paper, Deferred[Decision]]] = attrs.field(factory=dict)
    held: list[tuple[float, int, Paper]] = attrs.field(factory=list)
    leaves: float | None = None  # when its handlers are waited for no longer
    stopped: list[object] = attrs.field(factory=list)

    @property
    def room(self) -> int:
        return self.prefetch - len(self.papers) - len(self.held)


@attrs.define(eq=False)
class Watched(MemoryQueue):
    """The queue, which says when it begins to hand out."""

    before: Callable[[], object] = lambda: None

    def hand_out(self, most: int) -> bool:
        self.before()
        return MemoryQueue.hand_out(self, most)


@attrs.define
class Model:
    """A quorum queue: what waits, in order; who works; who waits to be answered."""

    single: bool
    rejects: bool
    count: int = 0
    ready: list[Paper] = attrs.field(factory=list)
    handed: set[int] = attrs.field(factory=set)  # numbers, in this turn
    hands: list[Hand] = attrs.field(factory=list)
    late: list[Deferred[None]] = attrs.field(factory=list)
    dropped: int = 0

    @property
    def over(self) -> bool:
        size = sum(paper.size for paper in self.ready)
        return len(self.ready) > MESSAGES or (size > BYTES and len(self.ready) > 1)

    def put(self, id_: str, size: int, death: Death | None = None) -> bool:
        """Returns whether its publisher must wait."""
        self.count += 1
        self.ready.append(Paper(self.count, id_, size, 1, death))
        return self.shorten()

    def back(self, paper: Paper) -> None:
        self.ready.append(paper)
        self.ready.sort(key=lambda paper: paper.number)
        self.shorten()

    def shorten(self) -> bool:
        while self.over and not self.rejects:
            self.ready.pop(0)
            self.dropped += 1
        return self.over

    @property
    def consumers(self) -> int:
        """The single active one is in its place until its handlers are done."""
        return sum(hand.leaves is None or self.single for hand in self.hands)

    def eligible(self) -> list[Hand]:
        """Those who may be handed the next one."""
        there = self.hands[:1] if self.single else self.hands
        return [hand for hand in there if hand.leaves is None and hand.room]


@attrs.define(eq=False)
class Follower:
    """A reader of the log in the model."""

    next: int
    log: Any = None
    paused: bool = False


class BusMachine(RuleBasedStateMachine):
    """The bus, on a Clock, beside the model; each hand-out is checked when it happens."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.metrics, delay=lambda attempt: 1.5 * (attempt - 1))
        self.models = {
            topology.ENRICH: Model(single=False, rejects=True),
            topology.DEAD: Model(single=False, rejects=False),
            topology.TRENDS: Model(single=True, rejects=False),
        }
        for name in QUEUES:
            broker = self.bus._broker
            queue = msgspec.structs.replace(broker.layout.queues[name], delivery_limit=LIMIT)
            watched = Watched(queue, self.clock, self.metrics, broker.wake, broker.route, Places(MESSAGES, BYTES))
            watched.before = self.models[name].handed.clear
            broker.queues[name] = watched
        self.bus._broker.log.ring.max_entries = ENTRIES
        self.entries: list[str] = []  # of the log since its beginning
        self.followers: list[Follower] = []
        self.numbers = 0
        self.answers: list[Deferred[None]] = []
        self.dead = self.skipped = self.holds = 0
        self.problems: list[str] = []  # a failure within a handler would be a RETRY
        self.begun = False

    # What happens

    @initialize(
        hands=st.lists(st.tuples(st.sampled_from(QUEUES), st.integers(1, 4), AT_ONCE), min_size=3, max_size=8),
        late=st.booleans(),
    )
    def begin(self, hands: list[tuple[str, int, Decision | None]], late: bool) -> None:
        for name, prefetch, at_once in hands:
            self.work(name, prefetch, at_once)
        if not late:
            self.start()

    @precondition(lambda self: not self.begun)
    @rule()
    def start(self) -> None:
        self.begun = True
        self.bus.startService()

    @rule(sizes=SIZES, turn=st.booleans())
    def publish_items(self, sizes: list[int], turn: bool) -> None:
        model = self.models[topology.ENRICH]
        for size in sizes:
            self.numbers += 1
            message = raw(self.numbers, b"x" * size)
            answer = self.bus.publish(message)
            self.answers.append(answer)
            if model.put(message.message_id, size):
                model.late.append(answer)
        self.perhaps(turn)

    @rule(sizes=SIZES, turn=st.booleans())
    def publish_events(self, sizes: list[int], turn: bool) -> None:
        for size in sizes:
            self.numbers += 1
            message = event(self.numbers, body=b"x" * size)
            self.answers.append(self.bus.publish(message))
            self.models[topology.TRENDS].put(message.message_id, size)
            self.entries.append(message.message_id)
        self.perhaps(turn)

    @rule(name=st.sampled_from(QUEUES), prefetch=st.integers(1, 4), at_once=AT_ONCE)
    def work(self, name: str, prefetch: int, at_once: Decision | None) -> None:
        model = self.models[name]
        if len(model.hands) == 4:
            return
        hand = Hand(None, prefetch, at_once)
        hand.work = self.bus.work(name, self.handler(name, hand), prefetch)
        model.hands.append(hand)

    @rule(name=st.sampled_from(QUEUES), which=st.integers(0, 2), twice=st.booleans(), stuck=st.booleans())
    def stop_work(self, name: str, which: int, twice: bool, stuck: bool) -> None:
        model = self.models[name]
        going = [hand for hand in model.hands if hand.leaves is None]
        if not going:
            return
        hand = going[which % len(going)]
        hand.leaves = self.clock.seconds() + deadline.DRAIN
        held, hand.held = hand.held, []
        for _, _, paper in held:
            self.fail(model, name, paper, Decision.RETRY)
        for _ in range(1 + twice):
            hand.work.stop().addBoth(hand.stopped.append)
        if not hand.papers:
            model.hands.remove(hand)
            assert hand.stopped == [None] * (1 + twice)
        elif stuck and self.begun:
            gates = [gate for _, gate in hand.papers.values()]
            self.wait(deadline.DRAIN)
            assert hand.stopped == [None] * (1 + twice)
            for gate in gates:  # too late
                gate.callback(Decision.RETRY)
            self.check_turn()

    @rule(what=st.lists(st.tuples(st.integers(0, 11), DECISIONS), min_size=2, max_size=8), turn=st.booleans())
    def decide(self, what: list[tuple[int, Decision]], turn: bool) -> None:
        for which, decision in what:
            running = [
                (name, hand, id_) for name, model in self.models.items() for hand in model.hands for id_ in hand.papers
            ]
            if running:
                name, hand, id_ = running[which % len(running)]
                paper, gate = hand.papers.pop(id_)
                self.settle(self.models[name], name, hand, paper, decision)
                gate.callback(decision)
                self.gone(self.models[name], hand)
        self.perhaps(turn)

    def perhaps(self, turn: bool) -> None:
        if turn:
            self.clock.advance(0)
            self.check_turn()

    @precondition(lambda self: self.begun)
    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0, deadline.DRAIN + 1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(0)
        self.clock.advance(seconds)
        self.due()
        self.check_turn()

    @rule(back=st.integers(0, 20), pausing=st.booleans())
    def read(self, back: int, pausing: bool) -> None:
        if len(self.followers) == 3:
            return
        follower = Follower(max(len(self.entries) - back, 0))
        follower.log = self.bus.log(Offset(follower.next), self.receiver(follower, pausing))
        follower.next = max(follower.next, self.first)
        self.followers.append(follower)

    @rule(which=st.integers(0, 2), what=st.sampled_from(["pause", "resume", "stop"]))
    def steer(self, which: int, what: str) -> None:
        if which >= len(self.followers):
            return
        follower = self.followers[which]
        getattr(follower.log, what)()
        if what == "stop":
            self.followers.remove(follower)
        else:
            follower.paused = what == "pause"

    # What the model says to it

    def handler(self, name: str, hand: Hand) -> Callable[[Delivery], Any]:
        async def handle(delivery: Delivery) -> Decision:
            self.due()
            model = self.models[name]
            if not model.ready:
                self.problems.append(f"{delivery.message.message_id} came out of an empty {name}")
                return Decision.ACK
            paper = model.ready.pop(0)
            got = (delivery.message.message_id, delivery.attempt, delivery.death)
            if got != (paper.id, paper.attempt, paper.death):
                self.problems.append(f"{name} handed out {got}, not {paper}")
            if paper.number in model.handed:
                self.problems.append(f"{name} handed out {got} twice in one turn")
            model.handed.add(paper.number)
            if hand.leaves is not None or hand.room <= 0 or (model.single and model.hands[0] is not hand):
                self.problems.append(f"{name} handed {got} to one who may not have it")
            gate: Deferred[Decision] = Deferred()
            if hand.at_once is None:
                hand.papers[paper.id] = paper, gate
            else:
                self.settle(model, name, hand, paper, hand.at_once)
            while model.late and not model.over:
                model.late.pop(0)
            return await gate if hand.at_once is None else hand.at_once

        return handle

    def settle(self, model: Model, name: str, hand: Hand, paper: Paper, decision: Decision) -> None:
        delay = 1.5 * (paper.attempt - 1)
        if decision is Decision.RETURN:
            model.back(paper)
        elif decision is Decision.RETRY and delay and hand.leaves is None:
            self.holds += 1
            hand.held.append((self.clock.seconds() + delay, self.holds, paper))
        elif decision is not Decision.ACK:
            self.fail(model, name, paper, decision)

    def fail(self, model: Model, name: str, paper: Paper, decision: Decision) -> None:
        if decision is Decision.RETRY and paper.attempt <= LIMIT:
            model.back(attrs.evolve(paper, attempt=paper.attempt + 1))
        elif name == topology.ENRICH:
            self.dead += 1
            reason = "rejected" if decision is Decision.REJECT else "delivery_limit"
            death = Death(name, reason, int(self.clock.seconds()))
            self.models[topology.DEAD].put(paper.id, paper.size, death)
        else:
            model.dropped += 1

    def due(self) -> None:
        """Give back what was held long enough, and what those have who left long ago."""
        now = self.clock.seconds()
        for name, model in self.models.items():
            ripe = sorted((row for hand in model.hands for row in hand.held if row[0] <= now), key=lambda row: row[:2])
            for hand in tuple(model.hands):
                hand.held = [row for row in hand.held if row[0] > now]
            for _, _, paper in ripe:
                self.fail(model, name, paper, Decision.RETRY)
            for hand in tuple(model.hands):
                if hand.leaves is not None and hand.leaves <= now:
                    for paper, _ in hand.papers.values():
                        model.back(paper)
                    hand.papers.clear()
                    self.gone(model, hand)

    def gone(self, model: Model, hand: Hand) -> None:
        if hand.leaves is not None and not hand.papers and hand in model.hands:
            model.hands.remove(hand)

    def receiver(self, follower: Follower, pausing: bool) -> Callable[[Entry], None]:
        def receive(entry: Entry) -> None:
            self.skipped += max(0, self.first - follower.next)
            follower.next = max(follower.next, self.first)
            if (entry.offset, entry.message.message_id) != (follower.next, self.entries[follower.next]):
                self.problems.append(f"entry {entry.offset} came instead of {follower.next}")
            if follower.paused:
                self.problems.append(f"entry {entry.offset} came in a pause")
            follower.next += 1
            if pausing and not entry.offset % 4:
                follower.paused = True
                follower.log.pause()

        return receive

    @property
    def first(self) -> int:
        return max(0, len(self.entries) - ENTRIES)

    def check_turn(self) -> None:
        """After a turn nothing is left to be done, everybody was answered, and the gauges are right."""
        if not self.begun:
            return
        for name, model in self.models.items():
            assert not (model.ready and model.eligible()), f"{name} could go on"
            assert self.metrics.value(BUS_QUEUE_MESSAGES, name) == len(model.ready)
            assert self.metrics.value(BUS_QUEUE_CONSUMERS, name) == model.consumers
        late = self.models[topology.ENRICH].late
        assert self.metrics.value(BUS_PENDING) == len(late)
        assert [answer for answer in self.answers if not answer.called] == late
        for follower in self.followers:
            assert follower.paused or follower.next == len(self.entries)

    @invariant()
    def agree(self) -> None:
        """The counts of the bus are those of the model, and nothing is answered too early."""
        assert self.problems == []
        for name, model in self.models.items():
            queue = self.bus._broker.queues[name]
            assert len(queue) == len(model.ready)
            assert self.metrics.value(BUS_DROPPED, name) == model.dropped
            for hand in model.hands:
                assert hand.work.ready == (self.begun and hand.leaves is None)
        assert not any(answer.called for answer in self.models[topology.ENRICH].late)
        assert self.metrics.value(BUS_DEAD_LETTERED, topology.ENRICH) == self.dead
        assert self.metrics.value(BUS_DROPPED, topology.LOG) == self.first

    def teardown(self) -> None:
        """Stop in the middle of it: handlers end, or do not; all is quiet, and every Deferred has fired."""
        if self.problems:
            return
        results: list[object] = []
        for answer in self.answers:
            answer.addBoth(results.append)
        stopped: list[object] = []
        self.bus.stopService().addCallback(stopped.append)
        gates = [gate for model in self.models.values() for hand in model.hands for _, gate in hand.papers.values()]
        for gate in gates[::2]:
            gate.callback(Decision.ACK)
        if self.begun:
            self.clock.advance(deadline.DRAIN)
        else:
            self.clock.advance(deadline.DRAIN if gates else 0)
        assert stopped == [None]
        assert self.clock.getDelayedCalls() == []
        assert len(results) == len(self.answers)
        failed = [result for result in results if isinstance(result, Failure)]
        assert all(failure.check(BusStopped) for failure in failed)
        assert self.metrics.value(LOG_SKIPPED) >= self.skipped
        for gate in gates[1::2]:
            gate.callback(Decision.RETRY)
        assert self.clock.getDelayedCalls() == []


TestBus = BusMachine.TestCase
TestBus.settings = settings(stateful_step_count=40)  # the rest is of `tests/conftest.py`
