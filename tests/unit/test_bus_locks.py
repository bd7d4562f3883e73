"""One process a source: locks at a broker, by both drivers, and within one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from pika import spec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.bus import deadline, txamqp_connection
from streamer.bus.connection import connect
from streamer.bus.driver import Login
from streamer.bus.lock import BEATS, RETRY
from streamer.bus.locks import RabbitLocks
from streamer.bus.logins import HEARTBEAT
from streamer.bus.memory_locks import MemoryLocks
from streamer.bus.role import Broker as Shared
from streamer.errors import BusError, BusStopped, SourceTaken
from streamer.metrics import Metrics
from streamer.operating import ILocks
from tests.bus_broker import REPLIES, Broker

PATIENCE = BEATS * HEARTBEAT
LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)


@attrs.define
class House:
    """What processes share: who has which queue for himself alone.

    Attributes:
        refusing: a code and a text for whoever asks for a queue, whoever has it.
        mute: questions about queues are not answered.
    """

    clock: Clock
    owners: dict[str, Any] = attrs.field(factory=dict)
    refusing: tuple[int, str] | None = None
    mute: bool = False
    asked: int = 0

    def broker(self) -> Broker:
        """The broker as one process has it."""
        made = Broker(self.clock, prepared=True)
        made.answers = {
            spec.Queue.Declare: lambda method: self.declared(method, made.link),
            spec.Queue.Delete: lambda method: self.deleted(method, made.link),
        }
        return made

    def declared(self, method: Any, link: Any) -> Any:
        """The answer to who wants a queue."""
        assert (method.exclusive, method.durable) == (True, False), method
        self.asked += 1
        if self.mute:
            return None
        if self.refusing is not None:
            return spec.Channel.Close(*self.refusing, 50, 10)
        owner = self.owners.setdefault(method.queue, link)
        if owner is not link:
            return spec.Channel.Close(405, LOCKED.format(method.queue), 50, 10)
        return REPLIES[spec.Queue.Declare](method)

    def deleted(self, method: Any, link: Any) -> Any:
        """The answer to who gives one up."""
        if self.mute:
            return None
        assert self.owners.get(method.queue) is link, "only the holder deletes"
        del self.owners[method.queue]
        return spec.Queue.DeleteOk(0)

    def forget(self, link: Any) -> None:
        """A connection is gone, and the broker knows."""
        self.owners = {name: owner for name, owner in self.owners.items() if owner is not link}


class Process:
    """The locks of one process."""

    def __init__(self, house: House, connecting: Callable[..., Any]) -> None:
        self.house, self.clock = house, house.clock
        self.broker = house.broker()
        login = Login(vhost="/", user="u", password="p", heartbeat=0, name="test", version="1")
        shared = Shared(
            [("here", self.broker)], lambda role: connecting(login, self.clock), self.clock, Metrics(), lambda: 0.1
        )
        self.locks = RabbitLocks(shared, "/")
        self.lost: list[str] = []
        self.locks.start()

    def take(self, name: str = "birds") -> Deferred[None]:
        """Take a lock, and let happen what needs no time."""
        taking = self.locks.take(name, self.lost.append)
        self.turn()
        return taking

    def turn(self) -> None:
        """Let happen what needs no time."""
        self.clock.pump([0] * 8)

    def away(self) -> Any:
        """The broker goes, and comes back only when `refuses` says; returns the connection that was lost."""
        link, self.broker.refuses = self.broker.link, 1_000_000
        link.abortConnection()
        self.turn()
        return link

    def back(self) -> None:
        """It is there again."""
        self.broker.refuses = 0
        self.clock.pump([5.0] * 7)
        self.turn()

    def stop(self) -> None:
        """The bus stops."""
        stopping = Deferred.fromCoroutine(self.locks.stop())
        self.turn()
        assert stopping.called


class LockTests(SynchronousTestCase):
    """By pika."""

    connecting = staticmethod(connect)

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.house = House(self.clock)
        self.processes: list[Process] = []
        self.addCleanup(self.left)

    def left(self) -> None:
        """Nothing is left behind by anybody."""
        self.house.mute = False
        for process in self.processes:
            process.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def process(self) -> Process:
        """Another one."""
        made = Process(self.house, self.connecting)
        self.processes.append(made)
        return made

    def test_interface(self) -> None:
        """It is what a source needs."""
        self.assertTrue(verifyObject(ILocks, self.process().locks))

    def test_alone(self) -> None:
        """Who is alone has it at once; several sources share one connection, and none is made without any."""
        first = self.process()
        first.turn()
        self.assertEqual(0, first.broker.connections)
        for name in ("birds", "cats"):
            self.successResultOf(first.take(name))
            self.assertEqual("", first.locks.waits(name))
        self.assertEqual({"streamer.source.birds", "streamer.source.cats"}, set(self.house.owners))
        self.assertEqual(1, first.broker.connections)

    def test_taken(self) -> None:
        """A second one waits for as long as a dead holder might be taken for alive, and is then told where to look."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        taking = second.take()
        self.assertNoResult(taking)
        self.assertIn("another process has its lock, the queue 'streamer.source.birds'", second.locks.waits("birds"))
        self.assertIn(f"after {PATIENCE} s", second.locks.waits("birds"))
        self.clock.pump([RETRY] * int(PATIENCE / RETRY))
        self.assertNoResult(taking)
        self.clock.pump([RETRY] * 2)
        said = str(self.failureResultOf(taking, SourceTaken).value)
        for word in ("'birds'", "virtual host '/'", "list_queues -p / name owner_pid", "list_connections"):
            self.assertIn(word, said)
        self.assertEqual([], first.lost + second.lost)
        self.assertEqual("", second.locks.waits("birds"))
        asked = self.house.asked
        self.clock.pump([RETRY] * 10)
        self.assertEqual(asked, self.house.asked)

    def test_other_sources(self) -> None:
        """Somebody else's other source keeps nobody from anything, while its lock is waited for too."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take("cats"))
        waiting, taking = second.take("cats"), second.take("birds")
        self.successResultOf(taking)
        self.assertNoResult(waiting)
        waiting.addErrback(lambda failure: failure.trap(BusStopped))

    def test_handed_over(self) -> None:
        """Who waits has it soon after it was released, and its holder may take it again only then."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        taking = second.take()
        releasing = first.locks.release("birds")
        self.assertNoResult(releasing)
        first.turn()
        self.successResultOf(releasing)
        self.assertEqual({}, self.house.owners)
        self.clock.pump([RETRY, 0, 0])
        self.successResultOf(taking)
        again = first.take()
        self.assertNoResult(again)
        second.locks.release("birds")
        self.clock.pump([RETRY, 0, 0])
        self.successResultOf(again)

    def test_dead_holder(self) -> None:
        """Once the broker has noticed that a holder is dead, the next has it."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        taking = second.take()
        self.clock.pump([RETRY] * int(3 * HEARTBEAT / RETRY))
        self.house.forget(first.broker.link)
        self.clock.pump([RETRY, 0, 0])
        self.successResultOf(taking)

    def test_back_again(self) -> None:
        """A lost connection changes nothing for who follows; the lock is taken again when the broker is back."""
        first = self.process()
        self.successResultOf(first.take())
        self.house.forget(first.away())
        self.clock.pump([10.0] * 60)
        self.assertEqual("", first.locks.waits("birds"))
        first.back()
        self.assertEqual({"streamer.source.birds": first.broker.link}, self.house.owners)
        self.assertEqual([], first.lost)

    def test_own_stale_connection(self) -> None:
        """The broker may take our old connection for alive for a while; nothing is lost meanwhile."""
        first = self.process()
        self.successResultOf(first.take())
        old = first.away()
        first.back()
        self.assertIn("another process has its lock", first.locks.waits("birds"))
        self.clock.pump([RETRY] * 5)
        self.house.forget(old)
        self.clock.pump([RETRY, 0, 0])
        self.assertEqual({"streamer.source.birds": first.broker.link}, self.house.owners)
        self.assertEqual(("", []), (first.locks.waits("birds"), first.lost))

    def test_lost(self) -> None:
        """Where another one has it when we come back, we are told once, and want it no more."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        self.house.forget(first.away())
        self.successResultOf(second.take())
        first.back()
        self.clock.pump([RETRY] * int(PATIENCE / RETRY + 5))
        (said,) = first.lost
        self.assertIn("'birds' is followed by another process", said)
        self.assertEqual({"streamer.source.birds": second.broker.link}, self.house.owners)
        self.successResultOf(first.locks.release("birds"))

    def test_patience_begins_anew(self) -> None:
        """A connection that is lost while another has the lock is no reason to give up sooner."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        taking = second.take()
        self.clock.pump([RETRY] * int(PATIENCE / RETRY - 3))
        second.away()
        self.assertIn("waiting for its lock at the broker (locks: waiting to connect", second.locks.waits("birds"))
        second.back()
        self.clock.pump([RETRY] * 3)
        self.assertNoResult(taking)
        taking.addErrback(lambda failure: failure.trap(BusStopped))

    def test_broker_away(self) -> None:
        """A broker that is away is waited for a while; then the source is followed, and the lock taken later."""
        first = self.process()
        first.broker.refuses = 1_000_000
        taking = first.take()
        self.clock.pump([1.0] * 9)
        self.assertNoResult(taking)
        self.assertIn("waiting to connect to here", first.locks.waits("birds"))
        self.clock.advance(1.0)
        self.successResultOf(taking)
        self.assertIn("as if it were ours", first.locks.waits("birds"))
        first.back()
        self.assertEqual(("", []), (first.locks.waits("birds"), first.lost))
        second = self.process()
        late = second.take()
        self.clock.pump([RETRY] * 38)
        self.failureResultOf(late, SourceTaken)

    def test_broker_away_and_taken_meanwhile(self) -> None:
        """Who followed without a lock, and finds it with another process, is told to go."""
        first, second = self.process(), self.process()
        self.successResultOf(second.take())
        first.broker.refuses = 1_000_000
        taking = first.take()
        self.clock.pump([5.0] * 3)
        self.successResultOf(taking)
        first.back()
        self.clock.pump([RETRY] * 40)
        self.assertEqual(1, len(first.lost))
        self.assertIn("followed by another process", first.lost[0])
        self.assertEqual([], second.lost)

    def test_no_right(self) -> None:
        """Who may not lock is told by which command he may; one who follows already goes on following."""
        user = "refused for user 'streamer-ingest'"
        text = f"ACCESS_REFUSED - access to queue 'streamer.source.birds' in vhost '/' {user}"
        first = self.process()
        self.successResultOf(first.take("birds"))
        self.house.refusing = (403, text)
        said = str(self.failureResultOf(first.take("cats"), BusError).value)
        self.assertIn("'cats' cannot be followed", said)
        self.assertIn(r"rabbitmqctl set_permissions -p / streamer-ingest '^streamer\.source\.'", said)
        first.away()
        first.back()
        self.clock.pump([RETRY] * 60)
        self.assertIn("rabbitmqctl set_permissions", first.locks.waits("birds"))
        self.assertEqual([], first.lost)
        self.house.refusing, self.house.owners = None, {}
        self.clock.pump([RETRY, 0, 0])
        self.assertEqual("", first.locks.waits("birds"))

    def test_odd_refusal(self) -> None:
        """Whatever else the broker has against it is shown, and tried again."""
        self.house.refusing = (404, "NOT_FOUND - home node of queue 'x' in vhost '/' is down or inaccessible")
        first = self.process()
        taking = first.take()
        self.clock.pump([RETRY] * 100)
        self.assertIn("home node", first.locks.waits("birds"))
        self.assertNoResult(taking)
        self.house.refusing = None
        self.clock.pump([RETRY, 0, 0])
        self.successResultOf(taking)

    def test_no_answer(self) -> None:
        """A broker that does not answer this question is left, and asked anew."""
        self.house.mute = True
        first = self.process()
        taking = first.take()
        self.clock.advance(deadline.SETUP)
        self.house.mute = False
        self.clock.pump([1.0, 1.0, 0, 0, 0])
        self.successResultOf(taking)
        self.assertEqual(2, first.broker.connections)

    def test_cancelled(self) -> None:
        """Who wants it no more leaves nothing behind, though the answer was under way."""
        first = self.process()
        for turns in range(12):
            with self.subTest(turns=turns):
                taking = first.locks.take("birds", first.lost.append)
                self.clock.pump([0] * turns)
                taking.cancel()
                taking.addErrback(lambda failure: failure.trap(CancelledError))
                first.locks.release("birds")
                first.turn()
                self.assertEqual({}, self.house.owners)

    def test_taken_again_while_leaving(self) -> None:
        """Who takes it again while it is being released has it afterwards."""
        first = self.process()
        self.successResultOf(first.take())
        releasing = first.locks.release("birds")
        taking = first.take()
        self.successResultOf(releasing)
        self.successResultOf(taking)
        self.assertEqual({"streamer.source.birds": first.broker.link}, self.house.owners)

    def test_released_while_away(self) -> None:
        """A release needs no broker: what the lock was tied to is gone."""
        first = self.process()
        self.successResultOf(first.take())
        releasing = first.locks.release("birds")
        first.away()
        self.successResultOf(releasing)
        self.successResultOf(first.locks.release("birds"))

    def test_twice_in_one_process(self) -> None:
        """A process refuses itself at once, though the broker would not."""
        first = self.process()
        self.successResultOf(first.take())
        self.failureResultOf(first.take(), SourceTaken)
        self.assertEqual({"streamer.source.birds": first.broker.link}, self.house.owners)

    def test_stopped(self) -> None:
        """Who waits is told that the bus has stopped; later ones too."""
        first, second = self.process(), self.process()
        self.successResultOf(first.take())
        taking = second.take()
        second.stop()
        self.failureResultOf(taking, BusStopped)
        self.failureResultOf(second.take("cats"), BusStopped)
        self.assertEqual(1, second.broker.connections)

    def test_no_answer_to_a_release(self) -> None:
        """A broker that does not answer keeps no stop waiting for long: the lock goes with the connection."""
        first = self.process()
        self.successResultOf(first.take())
        self.house.mute = True
        releasing = first.locks.release("birds")
        self.clock.advance(deadline.CLOSE)
        self.clock.advance(0)
        self.successResultOf(releasing)


class TxamqpLockTests(LockTests):
    """By txAMQP."""

    connecting = staticmethod(txamqp_connection.connect)


class MemoryLockTests(SynchronousTestCase):
    """Within one process."""

    def test_all(self) -> None:
        """One has it at a time."""
        locks = MemoryLocks()
        verifyObject(ILocks, locks)
        lost: list[str] = []
        self.successResultOf(locks.take("birds", lost.append))
        self.successResultOf(locks.take("cats", lost.append))
        self.assertIn("'birds'", str(self.failureResultOf(locks.take("birds", lost.append), SourceTaken).value))
        for _ in range(2):
            self.successResultOf(locks.release("birds"))
        self.successResultOf(locks.take("birds", lost.append))
        self.assertEqual(("", []), (locks.waits("birds"), lost))
