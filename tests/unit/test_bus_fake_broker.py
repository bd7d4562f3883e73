"""What the bus does with a broker that does what it should not: recover, or say by name what is lost.

Every test ends with all publishes answered, all connections over, and no timer left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pika import ConnectionParameters, spec
from pika.credentials import ExternalCredentials
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline, role, topology
from streamer.bus.connection import BrokerConnection
from streamer.bus.crew import Crew
from streamer.bus.driver import ConnectionLost
from streamer.bus.greeting import MUTE
from streamer.bus.logins import LEAST_FRAME_MAX
from streamer.bus.publisher import CONFIRM_LIMIT, WINDOW, Publisher
from streamer.bus.reader import Reader
from streamer.bus.worker import Worker
from streamer.errors import BusStopped
from streamer.message import Decision, Delivery
from streamer.metrics import BUS_BLOCKED, BUS_ENDINGS, BUS_NACKED, PUBLISHED, REPUBLISHED, Metrics
from streamer.testing import broker_confirms
from streamer.testing.broker import FRAME_MAX, Broker, content, pika_properties
from streamer.testing.broker_port import BrokerPort
from tests.bus_contract import raw


class Scene(SynchronousTestCase):
    """A publisher, a worker or a reader on a fake broker."""

    credentials: Any = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Broker(self.clock)
        parameters = {"credentials": self.credentials} if self.credentials else {}
        self.shared = role.Broker(
            [("here", self.broker)],
            lambda name: BrokerConnection(ConnectionParameters(heartbeat=0, **parameters), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )

    def publisher(self, confirming: Callable[[int], Iterable[Any]] | None = None, window: int = WINDOW) -> Publisher:
        if confirming is not None:
            self.broker.confirming = confirming
        self.bus = Publisher(self.shared, window=window)
        self.bus.role.start()
        self.clock.advance(0)
        return self.bus

    def publish(self, count: int) -> list[Deferred[None]]:
        answers = [self.bus.publish(raw(number)) for number in range(count)]
        self.clock.advance(0)
        return answers

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds * 20))

    def taken(self, answers: list[Deferred[None]]) -> None:
        """All were confirmed, and the broker had every one of them."""
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(self.metrics.total(PUBLISHED), len(answers))
        self.assertEqual(set(self.broker.received), {f"birds/{number}" for number in range(len(answers))})

    def stop(self) -> None:
        stopping = Deferred.fromCoroutine(self.bus.stop())
        self.clock.pump([0, 0, deadline.FLUSH, deadline.CLOSE, 0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def endings(self, cause: str, name: str = "publish") -> float:
        return self.metrics.value(BUS_ENDINGS, name, cause)


class ConfirmTests(Scene):
    """Confirms that are late, strange or wrong."""

    def test_good_ones(self) -> None:
        """One by one, backwards and together: all are within the rules, and nothing is published twice."""
        for confirming in (
            broker_confirms.each,
            broker_confirms.backwards(5),
            broker_confirms.together(4),
        ):
            with self.subTest(confirming=confirming):
                self.setUp()
                self.publisher(confirming)
                answers = self.publish(20)
                self.pass_time(1)
                self.taken(answers)
                self.assertEqual((self.metrics.total(REPUBLISHED), self.broker.connections), (0, 1))
                self.stop()

    def test_never(self) -> None:
        """A broker that confirms nothing loses its connection after 30 s; the next one gets all, by the same ids."""
        self.publisher()
        answers = self.publish(3)
        self.pass_time(CONFIRM_LIMIT + 1)
        self.assertEqual((self.endings("unconfirmed"), self.broker.connections), (1, 2))
        self.assertEqual(self.broker.published, ["birds/0", "birds/1", "birds/2"])
        self.broker.say(spec.Basic.Ack(3, multiple=True))
        self.taken(answers)
        self.stop()

    def test_never_and_stopped(self) -> None:
        """One that never does so is left with a named loss for each message."""
        self.publisher()
        answers = self.publish(3)
        self.stop()
        for answer in answers:
            self.assertIn("before the broker confirmed", str(self.failureResultOf(answer, BusStopped).value))

    def test_wrong(self) -> None:
        """Confirms for what was not published, or was confirmed already, cannot be believed: the connection is over,
        and what it had not confirmed is published again on the next one.
        """
        for confirming in (broker_confirms.twice, broker_confirms.ahead, broker_confirms.everything(4)):
            with self.subTest(confirming=confirming):
                self.setUp()
                self.publisher(confirming)
                answers = self.publish(4)
                self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
                self.broker.confirming = broker_confirms.each
                self.pass_time(1)
                self.taken(answers)
                self.assertEqual((self.endings("protocol"), self.broker.connections), (1, 2))
                self.stop()

    def test_always_wrong(self) -> None:
        """One that goes on like that is tried ever less often; each connection gets a few messages through."""
        self.publisher(broker_confirms.twice)
        answers = self.publish(5)
        self.pass_time(30)
        self.assertGreater(len(self.flushLoggedErrors(LookupError)), 3)
        self.assertLess(self.broker.connections, 15)
        self.taken(answers)
        self.stop()

    def test_nack_storm(self) -> None:
        """Nacked messages go again, in order and after a pause, until they are taken."""
        self.publisher(broker_confirms.refusing(301), window=100)
        answers = self.publish(100)
        self.assertEqual(self.metrics.total(PUBLISHED), 0)
        self.pass_time(60)
        self.taken(answers)
        self.assertEqual((self.metrics.total(BUS_NACKED), self.broker.connections), (301, 2))  # the second by policy
        self.assertEqual(self.broker.published[-100:], [f"birds/{number}" for number in range(100)])
        self.stop()

    def test_returned(self) -> None:
        """A message that comes back as unroutable, which we never ask for, changes nothing: its confirm counts."""
        self.publisher()
        answers = self.publish(2)
        method = spec.Basic.Return(312, "NO_ROUTE", "streamer.raw", "raw.birds.post")
        self.broker.link.hand(content(method, pika_properties(raw(1)), b"body"))
        self.broker.say(spec.Basic.Ack(2, multiple=True))
        self.taken(answers)
        self.assertEqual(self.broker.connections, 1)
        self.stop()


class ClosingTests(Scene):
    """Ends of the broker's making."""

    def test_codes(self) -> None:
        """Whatever code a connection or a channel is closed with, it is shown, and everything goes on after it."""
        for number, (code, close, channel) in enumerate(
            (
                (320, spec.Connection.Close, 0),
                (541, spec.Connection.Close, 0),
                (504, spec.Connection.Close, 0),
                (0, spec.Connection.Close, 0),
                (999, spec.Connection.Close, 0),
                (404, spec.Channel.Close, 1),
                (406, spec.Channel.Close, 1),
                (504, spec.Channel.Close, 1),
                (65535, spec.Channel.Close, 1),
            )
        ):
            with self.subTest(code=code, close=close):
                self.setUp()
                self.publisher()
                answers = self.publish(number)
                self.broker.say(close(code, "AN_EXERCISE - of ours", 0, 0), channel=channel)
                self.clock.pump([0])
                self.assertIn(f"{code} AN_EXERCISE - of ours", self.bus.role.status)
                self.assertFalse(self.bus.ready)
                self.broker.confirming = broker_confirms.each
                self.pass_time(1)
                self.assertTrue(self.bus.ready)
                self.taken(answers)
                self.assertEqual(self.endings("broker"), 1)
                self.stop()

    def test_right_to_publish_revoked(self) -> None:
        """A refused publish closes the channel; the status says which right, and it goes on once that is given."""
        self.publisher()
        answers = self.publish(1)
        text = "ACCESS_REFUSED - access to exchange 'streamer.raw' in vhost '/' refused for user 'anna'"
        self.broker.say(spec.Channel.Close(403, text, 60, 40))
        self.clock.pump([0])
        self.assertIn("asks for the right to write to it, to publish", self.bus.role.status)
        self.broker.confirming = broker_confirms.each
        self.pass_time(1)
        self.taken(answers)
        self.stop()

    def test_declaring_refused(self) -> None:
        """A refused declaration is told with the right it takes, again and again, with growing pauses."""
        text = "ACCESS_REFUSED - access to queue 'streamer.dead' in vhost '/' refused for user 'anna'"
        self.broker.answers = {spec.Queue.Declare: lambda method: spec.Channel.Close(403, text, 50, 10)}
        self.publisher()
        self.assertIn("the right to configure it", self.bus.role.status)
        self.assertFalse(self.bus.ready)
        self.pass_time(60)
        self.assertTrue(5 <= self.broker.connections <= 12)
        self.broker.answers = {}
        self.pass_time(30)
        self.assertTrue(self.bus.ready)
        self.stop()

    def test_login_refused(self) -> None:
        """A refused login is told in words; nothing of the password is in them."""
        text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the log"
        self.broker.answers = {spec.Connection.StartOk: lambda method: spec.Connection.Close(403, text, 0, 0)}
        self.publisher()
        self.assertIn("user name or password in the broker's URL are wrong", self.bus.role.status)
        self.stop()

    def test_blocked(self) -> None:
        """A broker out of memory is not written to, and is told of; unblocked, everything waiting goes out."""
        self.publisher(broker_confirms.each)
        self.broker.say(spec.Connection.Blocked("low on memory"), channel=0)
        answers = self.publish(5)
        self.pass_time(120)
        self.assertEqual((self.broker.received, self.bus.ready), ([], False))
        self.assertEqual(self.metrics.value(BUS_BLOCKED, "publish"), 1)
        self.broker.say(spec.Connection.Unblocked(), channel=0)
        self.pass_time(1)
        self.taken(answers)
        self.assertEqual(self.broker.connections, 1)
        self.stop()

    def test_blocked_then_gone(self) -> None:
        """Stopping does not wait for a blocked broker longer than the deadlines; messages are named as lost."""
        self.publisher()
        self.broker.say(spec.Connection.Blocked("low on disk"), channel=0)
        answers = self.publish(5)
        self.broker.frozen = True
        self.stop()
        for answer in answers:
            self.failureResultOf(answer, BusStopped)

    def test_cancelled(self) -> None:
        """A consumer that the broker cancels is begun anew on a new connection."""
        kinds: dict[str, Callable[[], Worker | Reader]] = {
            "log": lambda: Reader(self.shared, 0, lambda entry: None),
            f"work {topology.TRENDS}": lambda: Worker(
                self.shared,
                topology.TRENDS,
                Crew(topology.TRENDS, handled, 5, self.clock, self.metrics, lambda attempt: 0.0),
                5,
            ),
        }
        for name, make in kinds.items():
            with self.subTest(name=name):
                self.setUp()
                subscription = make()
                subscription.role.start()
                self.clock.advance(0)
                consumer = next(one.consumer_tag for one in self.broker.methods if isinstance(one, spec.Basic.Consume))
                self.broker.say(spec.Basic.Cancel(consumer, nowait=True))
                self.clock.pump([0])
                self.assertFalse(subscription.ready)
                self.assertIn("the broker cancelled the consumer", subscription.role.status)
                self.pass_time(1)
                self.assertTrue(subscription.ready)
                consumes = [method for method in self.broker.methods if isinstance(method, spec.Basic.Consume)]
                self.assertEqual((len(consumes), self.endings("cancelled", name)), (2, 1))
                stopping = subscription.stop()
                self.pass_time(1)
                self.successResultOf(stopping)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_by_deadlines(self) -> None:
        """A worker whose handler never ends, on a broker that answers nothing, stops all the same, in time."""

        async def endless(delivery: Delivery) -> Decision:
            return await Deferred()

        crew = Crew(topology.ENRICH, endless, 5, self.clock, self.metrics, lambda attempt: 0.0)
        worker = Worker(self.shared, topology.ENRICH, crew, 5)
        worker.role.start()
        self.clock.advance(0)
        self.broker.deliver(1, pika_properties(raw(1)), b"{}")
        self.broker.frozen = True
        stopping = worker.stop()
        self.pass_time(deadline.CLOSE + deadline.DRAIN - 1)
        self.assertNoResult(stopping)
        self.pass_time(deadline.CLOSE + 2)
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])


async def handled(delivery: Delivery) -> Decision:
    """A handler with nothing to do."""
    return Decision.ACK


class BeginningTests(Scene):
    """What answers at the address, and what it proposes."""

    def refused(self, words: str) -> None:
        """The role is not ready, says why, tries again, and is there once the broker is as it should be."""
        self.publisher(broker_confirms.each)
        self.assertFalse(self.bus.ready)
        self.assertIn(words, self.bus.role.status)
        self.broker.greets, self.broker.answers, self.broker.mechanisms = None, {}, "PLAIN EXTERNAL"
        self.pass_time(1)
        self.assertTrue(self.bus.ready)
        answers = self.publish(3)
        self.pass_time(1)
        self.taken(answers)
        self.stop()

    def test_strangers(self) -> None:
        """Whatever else listens there is named."""
        for greets, words in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "here: this is no AMQP broker: it answered 'HTTP/1.1 400"),
            (b"\x15\x03\x03\x00\x02\x02\x50", "here: it speaks TLS; the URL must begin with amqps://"),
            (b"AMQP\x00\x01\x00\x00", "here: it speaks AMQP 1.0; RabbitMQ speaks 0-9-1"),
            (b"AMQP\x00\x00\x08\x00", "here: it speaks AMQP 0-8-0"),
        ):
            with self.subTest(greets=greets):
                self.setUp()
                self.broker.greets = greets
                self.refused(words)

    def test_mute(self) -> None:
        """One that hangs up before its first word may want TLS; one that says nothing is given up in time."""
        self.broker.greets = b""
        self.publisher(broker_confirms.each)
        self.broker.link.producer = None
        self.broker.link.loseConnection()
        self.clock.pump([0])
        self.assertIn(f"here: {MUTE}", self.bus.role.status)
        self.pass_time(deadline.HANDSHAKE + 0.2)
        self.assertEqual(self.endings("timeout"), 1)
        self.broker.greets = None
        self.pass_time(deadline.HANDSHAKE + 1)
        self.assertTrue(self.bus.ready)
        self.stop()

    def test_no_login(self) -> None:
        """A broker that takes no login of ours is told of, with what it takes and what mends it."""
        self.broker.mechanisms = "AMQPLAIN EXTERNAL"
        self.refused("the broker takes no login by PLAIN, only by AMQPLAIN, EXTERNAL")

    def test_frame_max(self) -> None:
        """Frames are as long as was agreed; a broker that wants them too short is told of."""
        self.broker.answers = {spec.Connection.StartOk: lambda method: spec.Connection.Tune(0, 4096, 0)}
        self.refused(f"the broker takes frames of 4096 bytes only, we need {LEAST_FRAME_MAX}")
        for proposed, longest in ((LEAST_FRAME_MAX, LEAST_FRAME_MAX), (FRAME_MAX, FRAME_MAX), (0, FRAME_MAX)):
            with self.subTest(proposed=proposed):
                self.setUp()
                tune = spec.Connection.Tune(0, proposed, 0)
                self.broker.answers = {spec.Connection.StartOk: lambda method, tune=tune: tune}
                self.publisher(broker_confirms.each)
                answer = self.bus.publish(raw(0, b"x" * 300_000))
                self.pass_time(1)
                self.taken([answer])
                self.assertEqual(self.broker.longest, longest)
                self.stop()

    def test_one_channel(self) -> None:
        """A broker that allows a single channel is enough: the question for the marker goes over it first."""
        for prepared in (False, True):
            with self.subTest(prepared=prepared):
                self.setUp()
                self.broker.prepared = prepared
                self.broker.answers = {spec.Connection.StartOk: lambda method: spec.Connection.Tune(1, FRAME_MAX, 0)}
                self.publisher(broker_confirms.each)
                self.assertTrue(self.bus.ready)
                declared = any(isinstance(method, spec.Queue.Declare) for method in self.broker.methods)
                self.assertEqual(declared, not prepared)
                answers = self.publish(3)
                self.pass_time(20)
                self.taken(answers)
                aside = Deferred.fromCoroutine(self.bus.role.connection.aside())  # type: ignore[union-attr]
                self.assertIn("one channel only", str(self.failureResultOf(aside, ConnectionLost).value))
                self.assertEqual(self.broker.connections, 1)
                self.stop()

    def test_cut_at_each_frame(self) -> None:
        """Lost at any point of the beginning, a connection leaves nothing behind, and the next one works."""
        for after in range(1, 40):
            self.setUp()
            left = after

            def take(link: Any, found: Any) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    link.abortConnection()
                else:
                    Broker.take(self.broker, link, found)

            self.patch(Broker, "read", lambda broker, data: reading(broker, data, take))
            self.publisher(broker_confirms.each)
            self.pass_time(1)
            self.assertTrue(self.bus.ready, after)
            self.stop()


def reading(broker: Broker, data: bytes, take: Callable[[Any, Any], None]) -> None:
    """`Broker.read`, with another `take`."""
    from pika import frame

    if broker.frozen:
        return
    broker._buffer += data
    while broker._buffer:
        size, found = frame.decode_frame(broker._buffer)
        if not size:
            return
        broker._buffer = broker._buffer[size:]
        broker.clock.callLater(0, take, broker.link, found)


class ExternalTests(Scene):
    """Logging in by certificate."""

    credentials = ExternalCredentials()

    def test_not_offered(self) -> None:
        """Where the broker has not the plugin, the status says which."""
        self.publisher()
        self.assertIn("takes no login by EXTERNAL, only by PLAIN; enable its plugin", self.bus.role.status)
        self.assertIn("rabbitmq_auth_mechanism_ssl", self.bus.role.status)
        self.stop()

    def test_offered(self) -> None:
        """Where it has, neither user nor password is sent."""
        self.broker.mechanisms = "PLAIN EXTERNAL"
        self.publisher()
        self.assertTrue(self.bus.ready)
        login = next(method for method in self.broker.methods if isinstance(method, spec.Connection.StartOk))
        self.assertEqual((login.mechanism, login.response), ("EXTERNAL", b""))
        self.stop()


class PortTests(SynchronousTestCase):
    """The same broker behind a transport."""

    def test_speaks(self) -> None:
        """It greets, answers, and forgets a client that is gone; each connection has a broker of its own."""
        clock = Clock()
        port = BrokerPort(lambda: Broker(clock))
        links, transports = [port.buildProtocol(None) for _ in range(2)], [StringTransport(), StringTransport()]
        for link, transport in zip(links, transports, strict=True):
            link.makeConnection(transport)  # type: ignore[union-attr]
        links[0].dataReceived(b"AMQP\x00\x00\x09\x01")  # type: ignore[union-attr]
        clock.advance(0)
        self.assertEqual(transports[0].value()[:1], b"\x01")
        self.assertEqual(transports[1].value(), b"")
        port.cut()
        self.assertTrue(all(transport.disconnected for transport in transports))
        links[0].connectionLost()  # type: ignore[union-attr]
        transports[0].clear()
        port.brokers[0].say(spec.Basic.Ack(1))
        self.assertEqual(transports[0].value(), b"")
