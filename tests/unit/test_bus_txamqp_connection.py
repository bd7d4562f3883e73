"""txAMQP under the bus: each test of the roles again with it as the driver, and what only it can get wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from pika import frame, spec
from pika.spec import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import tests.bus_broker
from streamer.bus import deadline
from streamer.bus.driver import ChannelRefused, ConnectionLost, Depth, IChannel, IConnection, Login, Loss
from streamer.bus.pulse import IAudible
from streamer.bus.txamqp_channel import TxChannel
from streamer.bus.txamqp_connection import TxConnection, connect
from streamer.bus.txamqp_values import NotAmqp, Unencodable
from tests.bus_broker import REPLIES, Broker
from tests.unit import test_bus_publisher, test_bus_reader, test_bus_role, test_bus_worker

Start, StartOk, Tune, TuneOk = Connection.Start, Connection.StartOk, Connection.Tune, Connection.TuneOk


def login(**changes: Any) -> Login:
    """Somebody who may do everything."""
    usual = {"vhost": "/", "user": "guest", "password": "guest", "heartbeat": 15, "name": "a test", "version": "0"}
    return Login(**{**usual, **changes})


def by_txamqp(parameters: Any, clock: Any) -> TxConnection:
    """In the place of pika's connection."""
    return connect(login(heartbeat=15 if parameters.heartbeat is None else parameters.heartbeat), clock)


class RoleTests(test_bus_role.RoleTests):
    """A role's connection is txAMQP's."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(test_bus_role, "BrokerConnection", by_txamqp)


class PublisherTests(test_bus_publisher.PublisherTests):
    """A publisher's connection is txAMQP's."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(test_bus_publisher, "BrokerConnection", by_txamqp)


class WorkerTests(test_bus_worker.WorkerTests):
    """A worker's connection is txAMQP's."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(test_bus_worker, "BrokerConnection", by_txamqp)


class ReaderTests(test_bus_reader.ReaderTests):
    """A reader's connection is txAMQP's."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(test_bus_reader, "BrokerConnection", by_txamqp)


@attrs.define
class Noting(Broker):
    """A broker that notes what was written to it, and introduces itself as it is told."""

    writes: list[bytes] = attrs.field(factory=list)
    start: Any = None

    def read(self, data: bytes) -> None:
        self.writes.append(data)
        Broker.read(self, data)

    def take(self, link: Any, found: Any) -> None:
        if isinstance(found, frame.ProtocolHeader) and self.start is not None:
            self.say(self.start, channel=0)
        else:
            Broker.take(self, link, found)


class ConnectionTests(SynchronousTestCase):
    """What txAMQP alone gets wrong, or could; one test for each of its defects that are told of in the modules."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.broker = Noting(self.clock)

    def connected(self, **changes: Any) -> TxConnection:
        """A connection on its way to `opened`."""
        connection = connect(login(**changes), self.clock)
        self.broker.connect(Factory.forProtocol(lambda: connection))
        return connection

    def open(self, **changes: Any) -> TxConnection:
        connection = self.connected(**changes)
        self.clock.advance(0)
        self.successResultOf(connection.opened)
        return connection

    def channel(self, connection: TxConnection) -> TxChannel:
        opening = Deferred.fromCoroutine(connection.channel())
        self.clock.advance(0)
        return self.successResultOf(opening)

    def end(self, connection: TxConnection, cause: str) -> Loss:
        """See a connection's end, and that it leaves nothing."""
        self.clock.advance(0)
        loss = self.successResultOf(connection.ended)
        self.assertEqual(loss.cause, cause)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return loss

    def surprise(self, connection: TxConnection, method: Any, channel: int, *words: str) -> None:
        """See the broker's method end the connection, loudly."""
        self.broker.say(method, channel)
        self.assertEqual(len(self.flushLoggedErrors(NotAmqp)), 1)
        detail = self.end(connection, "protocol").detail
        for word in words:
            self.assertIn(word, detail)

    def test_interfaces(self) -> None:
        """It has what the seam asks for."""
        connection = self.open(heartbeat=0)
        verifyObject(IConnection, connection)
        verifyObject(IAudible, connection)
        verifyObject(IChannel, self.channel(connection))
        connection.close()
        self.end(connection, "stopped")

    def test_introduces_itself(self) -> None:
        """It speaks 0-9-1, logs in, and says what it can do in true booleans: the broker takes no others for true."""
        connection = self.open(user="bär", password="geheim€", name="tests publish", heartbeat=15)
        self.assertEqual(self.broker.writes[0], b"AMQP\x00\x00\x09\x01")
        start, tune = (method for method in self.broker.methods if type(method) in (StartOk, TuneOk))
        self.assertEqual((start.mechanism, start.response), ("PLAIN", "\0bär\0geheim€".encode()))
        said = start.client_properties
        self.assertEqual((said["connection_name"], said["product"]), ("tests publish", "streamer"))
        for name in ("publisher_confirms", "basic.nack", "connection.blocked", "consumer_cancel_notify"):
            self.assertIs(said["capabilities"][name], True)
        self.assertIs(said["capabilities"]["authentication_failure_close"], True)
        self.assertIn(b"consumer_cancel_notifyt\x01", self.broker.writes[1])
        self.assertEqual((tune.frame_max, tune.heartbeat, connection.heartbeat), (131072, 15, 15))
        before = connection.received
        self.broker.link.protocol.dataReceived(b"\x08")
        self.assertEqual(connection.received, before + 1)
        connection.abort(Loss("stopped", "done"))
        self.end(connection, "stopped")

    def test_server(self) -> None:
        """The broker's product and version are kept, and its frame size if smaller than ours; 0 is no limit."""
        self.broker.start = Start(0, 9, {"product": "RabbitMQ", "version": "3.10.8"}, "AMQPLAIN PLAIN", "en_US")
        for says, frame_max in ((0, 131072), (8192, 8192), (1_000_000, 131072)):
            self.patch(tests.bus_broker, "REPLIES", {**REPLIES, StartOk: lambda _, says=says: Tune(2047, says, 60)})
            connection = self.connected(heartbeat=0)
            self.clock.advance(0)
            self.successResultOf(connection.opened)
            self.assertEqual((connection.server, connection.frame_max), ("RabbitMQ 3.10.8", frame_max))
            connection.close()
            self.end(connection, "stopped")

    def test_too_short_frames(self) -> None:
        """A broker that takes only shorter frames than ours can be is refused in words."""
        self.patch(tests.bus_broker, "REPLIES", {**REPLIES, StartOk: lambda _: Tune(0, 4096, 60)})
        connection = self.connected()
        self.clock.advance(0)
        self.assertIn("frames of 4096 bytes only", self.end(connection, "refused").detail)
        self.failureResultOf(connection.opened, ConnectionLost)

    def test_not_a_broker(self) -> None:
        """Something else at that address is named, whether it says much or hangs up early."""
        for said, words in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400"),
            (b"AMQP\x03\x01\x00\x00", "AMQP 1.0"),
            (b"", "without a word"),
        ):
            with self.subTest(said=said):
                connection = self.connected()
                self.broker.frozen = True
                if said:
                    connection.dataReceived(said)
                self.broker.link.lose(ConnectionDone())
                self.clock.advance(0)
                self.assertIn(words, self.successResultOf(connection.ended).detail)
                self.failureResultOf(connection.opened, ConnectionLost)
                self.assertEqual(self.clock.getDelayedCalls(), [])
                self.broker.frozen = False

    def test_one_channel(self) -> None:
        """Where the broker allows one channel, a question is asked on it first; afterwards there is none for it."""
        self.patch(tests.bus_broker, "REPLIES", {**REPLIES, StartOk: lambda _: Tune(1, 131072, 60)})
        connection = self.open(heartbeat=0)
        opening = Deferred.fromCoroutine(connection.aside())
        self.clock.advance(0)
        self.successResultOf(opening).close()
        waiting = Deferred.fromCoroutine(connection.channel())
        self.assertNoResult(waiting)
        self.clock.advance(0)
        asking = self.successResultOf(waiting).prefetch(1)
        self.clock.advance(0)
        self.successResultOf(asking)
        error = self.failureResultOf(Deferred.fromCoroutine(connection.aside()), ConnectionLost)
        self.assertIn("1 channels only", str(error.value))
        self.broker.say(spec.Channel.Close(406, "PRECONDITION_FAILED", 0, 0))
        self.assertEqual(self.end(connection, "broker").code, 406)

    def test_external(self) -> None:
        """With EXTERNAL neither name nor password is sent; where the broker does not offer it, that is said."""
        for offered in ("PLAIN EXTERNAL", "PLAIN AMQPLAIN"):
            connection = connect(login(external=True, user="secret", heartbeat=0), self.clock)
            transport = StringTransport()
            connection.makeConnection(transport)
            transport.clear()
            start = frame.Method(0, Start(0, 9, {}, offered, "en_US")).marshal()
            connection.dataReceived(start)
            self.assertNotIn(b"secret", transport.value())
            if offered == "PLAIN EXTERNAL":
                self.assertIn(b"\x08EXTERNAL\x00\x00\x00\x00\x05en_US", transport.value())
                connection.connectionLost()
                self.assertEqual(self.successResultOf(connection.ended).cause, "lost")
            else:
                self.assertTrue(transport.disconnecting)
                self.assertEqual(connection.loss.cause, "refused")  # type: ignore[union-attr]
                self.assertIn("no login by EXTERNAL, only by PLAIN, AMQPLAIN", connection.loss.detail)  # type: ignore[union-attr]
                connection.connectionLost()
            self.failureResultOf(connection.opened, ConnectionLost)

    def test_wrong_password(self) -> None:
        """The broker's reason for not letting us in is kept."""
        refusal = spec.Connection.Close(403, "ACCESS_REFUSED - Login was refused using mechanism PLAIN", 0, 0)
        self.patch(tests.bus_broker, "REPLIES", {**REPLIES, StartOk: lambda _: refusal})
        connection = self.connected()
        self.clock.advance(0)
        loss = self.end(connection, "broker")
        self.assertEqual(loss.code, 403)
        self.assertIn("403 ACCESS_REFUSED - Login was refused", loss.detail)
        error = self.failureResultOf(connection.opened, ConnectionLost)
        self.assertEqual(str(error.value), loss.detail)

    def test_odd_password(self) -> None:
        """A password that cannot be written as UTF-8 is sent as well as may be, and shown to nobody."""
        self.connected(password="half \udc80", heartbeat=0)
        self.clock.advance(0)
        start = next(method for method in self.broker.methods if isinstance(method, StartOk))
        self.assertEqual(start.response, b"\0guest\0half \\udc80")

    def test_cleaning_up_fails(self) -> None:
        """Whatever txAMQP does about a lost connection, its end is told."""
        connection = self.open()
        self.patch(connection._client, "close", lambda reason: [].nothing)  # type: ignore[attr-defined]
        self.broker.link.abortConnection()
        self.end(connection, "lost")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_unencodable(self) -> None:
        """An argument that AMQP cannot carry fails alone: nothing of it is written, and what follows is."""
        connection = self.open(heartbeat=0)
        channel = self.channel(connection)
        asked = len(self.broker.methods)
        for keywords in (
            {"queue": "q", "arguments": {"x": object()}},
            {"queue": "q", "arguments": {"x": [2**64]}},
            {"queue": "\udc80"},
            {"queue": "q" * 256},
            {"queue": "q", "arguments": {"x": "x" * connection.frame_max}},
        ):
            self.failureResultOf(channel.declare("queue_declare", keywords), Unencodable)
        self.clock.advance(0)
        self.assertEqual(len(self.broker.methods), asked)
        arguments = {"größe": 2**40, "wahr": True, "text": "мир", "innen": {"reihe": [-1, None]}}
        declaring = channel.declare("queue_declare", {"queue": "größe", "durable": True, "arguments": arguments})
        self.clock.advance(0)
        self.successResultOf(declaring)
        self.assertEqual((self.broker.methods[-1].queue, self.broker.methods[-1].arguments), ("größe", arguments))
        connection.close()
        self.end(connection, "stopped")

    def test_heartbeats(self) -> None:
        """Heartbeats go out twice in their time, whatever else is written; a broker that speaks now and then lives."""
        connection = self.open(heartbeat=15)
        self.broker.writes.clear()
        for turn in range(40):
            self.clock.advance(7.5)
            if turn % 3 == 2:
                self.broker.link.protocol.dataReceived(frame.Heartbeat().marshal())
        beats = self.broker.writes.count(b"\x08\x00\x00\x00\x00\x00\x00\xce")
        self.assertEqual((beats, connection.loss), (40, None))
        connection.close()
        self.end(connection, "stopped")

    def test_silence(self) -> None:
        """A broker is given up 30 s after its last byte, be it a part of a frame, and though it takes no bytes."""
        connection = self.open(heartbeat=15)
        self.clock.pump([1.0] * 20)
        self.broker.link.protocol.dataReceived(b"\x08\x00")
        self.broker.frozen = True
        self.clock.pump([1.0] * 29)
        self.assertIsNone(connection.loss)
        self.clock.advance(1.0)
        self.end(connection, "heartbeat")

    def test_no_timers_before_connected(self) -> None:
        """A connection that never comes about leaves no timer, and none is set for a heartbeat of 0."""
        never = connect(login(), self.clock)
        self.assertEqual((never.server, never.frame_max), ("a broker of an unknown version", 131072))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        connection = self.open(heartbeat=0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        connection.close()
        self.end(connection, "stopped")

    def test_stuck_while_leaving(self) -> None:
        """A broker that does not take leave is cut off, and the first reason stands."""
        connection = self.open()
        self.broker.frozen = True
        connection.close()
        connection.close()
        self.clock.advance(deadline.CLOSE)
        self.assertEqual(self.end(connection, "stopped").detail, "closed by us")

    def test_every_question_fails(self) -> None:
        """What waits for an answer, and what is asked after the end, fails with the reason; acks do nothing."""
        connection = self.open(heartbeat=0)
        channel = self.channel(connection)
        self.broker.frozen = True
        asked = [channel.prefetch(1), channel.confirm(lambda *_: None), Deferred.fromCoroutine(connection.aside())]
        cancelled = channel.depth("q")
        cancelled.addErrback(lambda failure: failure.trap(CancelledError))
        cancelled.cancel()
        self.broker.link.abortConnection()
        self.end(connection, "lost")
        for question in asked:
            self.assertIn("was cut", str(self.failureResultOf(question, ConnectionLost).value))
        self.failureResultOf(channel.prefetch(1), ConnectionLost)
        channel.ack(1, True)
        channel.nack(1, False)
        channel.reject(1, True)
        channel.close()

    def test_answer_nobody_waits_for(self) -> None:
        """An answer to a question that was given up is not taken for the next one's."""
        connection = self.open(heartbeat=0)
        channel = self.channel(connection)
        given_up = channel.depth("first")
        given_up.addErrback(lambda failure: failure.trap(CancelledError))
        given_up.cancel()
        self.patch(
            tests.bus_broker,
            "REPLIES",
            {**REPLIES, spec.Queue.Declare: lambda asked: spec.Queue.DeclareOk(asked.queue, len(asked.queue), 2)},
        )
        asking = channel.depth("second!")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(asking), Depth(7, 2))
        connection.close()
        self.end(connection, "stopped")

    def test_refused_aside(self) -> None:
        """A refusal on an aside channel is that channel's end alone; the next one has its number."""
        connection = self.open(heartbeat=0)
        main = self.channel(connection)
        for attempt in range(3):
            self.broker.prepared = attempt == 1
            opening = Deferred.fromCoroutine(connection.aside())
            self.clock.advance(0)
            aside = self.successResultOf(opening)
            asking = aside.declare("exchange_declare", {"exchange": "marker", "passive": True})
            self.clock.advance(0)
            if self.broker.prepared:
                self.successResultOf(asking)
                aside.close()
            else:
                error = self.failureResultOf(asking, ChannelRefused)
                self.assertEqual((error.value.code, str(error.value)), (404, "404 NOT_FOUND - no exchange"))
                self.failureResultOf(aside.prefetch(1), ChannelRefused)
        asking = main.prefetch(10)
        self.clock.advance(0)
        self.successResultOf(asking)
        connection.close()
        self.end(connection, "stopped")

    def test_main_channel_closed(self) -> None:
        """A refusal on the channel is the connection's end, with the broker's words."""
        connection = self.open(heartbeat=0)
        channel = self.channel(connection)
        asking = channel.declare("exchange_declare", {"exchange": "marker", "passive": True, "exchange_type": "topic"})
        self.clock.advance(0)
        self.failureResultOf(asking, ConnectionLost)
        self.failureResultOf(channel.prefetch(1), ConnectionLost)
        loss = self.end(connection, "broker")
        self.assertEqual((loss.code, loss.detail), (404, "the broker closed the channel: 404 NOT_FOUND - no exchange"))

    def test_cancelled_consumer(self) -> None:
        """The broker's cancelling of the consumer is the connection's end."""
        connection = self.open(heartbeat=0)
        consuming = self.channel(connection).consume(lambda *_: None, "q", {})
        self.clock.advance(0)
        self.successResultOf(consuming)
        self.broker.say(spec.Basic.Cancel("a consumer", nowait=True))
        self.end(connection, "cancelled")

    def test_flow(self) -> None:
        """channel.flow is answered, as AMQP asks."""
        connection = self.open(heartbeat=0)
        self.channel(connection)
        self.broker.say(spec.Channel.Flow(False))
        self.clock.advance(0)
        self.assertIsInstance(self.broker.methods[-1], spec.Channel.FlowOk)
        connection.close()
        self.end(connection, "stopped")

    def test_surprises(self) -> None:
        """What was not asked for ends the connection with a sentence, and is not taken for something else."""
        for method, channel, *words in (
            (spec.Basic.Ack(1), 1, "basic.ack", "not asked for"),
            (spec.Basic.Return(312, "NO_ROUTE", "x", "y"), 1, "basic.return", "not asked for"),
            (spec.Basic.Deliver("tag", 1, False, "x", "y"), 1, "basic.deliver", "not asked for"),
            (spec.Queue.DeclareOk("q", 0, 0), 1, "queue.declare-ok", "was not asked"),
            (spec.Connection.Secure("more"), 0, "connection.secure", "not asked for"),
            (spec.Queue.Declare(queue="q"), 1, "queue.declare", "not asked for"),
            (spec.Basic.Cancel("tag"), 7, "channel 7, which is not open"),
        ):
            with self.subTest(method=method.NAME):
                connection = self.open(heartbeat=0)
                self.channel(connection)
                self.surprise(connection, method, channel, *words)

    def test_wrong_answer(self) -> None:
        """Another answer than the one due fails the question, and ends the connection."""
        connection = self.open(heartbeat=0)
        channel = self.channel(connection)
        self.patch(tests.bus_broker, "REPLIES", {**REPLIES, spec.Basic.Qos: lambda _: spec.Confirm.SelectOk()})
        asking = channel.prefetch(1)
        self.clock.advance(0)
        self.failureResultOf(asking, ConnectionLost)
        self.assertIn("answered confirm.select-ok to basic.qos", self.end(connection, "protocol").detail)

    def test_defect_in_a_handler(self) -> None:
        """An AttributeError in what a method leads to is told as what it is."""
        connection = self.open(heartbeat=0)
        confirming = self.channel(connection).confirm(lambda *_: [].nothing)  # type: ignore[attr-defined]
        self.clock.advance(0)
        self.successResultOf(confirming)
        self.broker.say(spec.Basic.Ack(1))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertIn("nothing", self.end(connection, "protocol").detail)

    def test_deliveries(self) -> None:
        """Bodies and headers come as they are: any bytes, no bytes, many frames, values of every type."""
        connection = self.open(heartbeat=0)
        got: list[tuple[Any, bytes]] = []
        consuming = self.channel(connection).consume(lambda _, found, body: got.append((found.headers, body)), "q", {})
        self.clock.advance(0)
        self.successResultOf(consuming)
        death = {"count": 2**40, "queue": "größe", "routing-keys": ["мир"], "time": datetime(2026, 11, 21)}
        headers = {
            "x-death": [death],
            "x-stream-offset": 2**40,
            "none": None,
            "yes": True,
            "small": -1,
            "raw": b"\xff",
        }
        bodies = ["größe".encode(), b"\xff\xfe\x00", b"", b"x" * 300_000]
        for tag, body in enumerate(bodies, 1):
            method = spec.Basic.Deliver("tag", tag, exchange="e", routing_key="r")
            parts = [frame.Method(1, method), frame.Header(1, len(body), spec.BasicProperties(headers=headers))]
            parts += [frame.Body(1, body[at : at + 100_000]) for at in range(0, len(body), 100_000)]
            self.broker.link.protocol.dataReceived(b"".join(part.marshal() for part in parts))
        self.assertEqual([body for _, body in got], bodies)
        for found, _ in got:
            self.assertEqual({**found, "x-death": None}, {**headers, "x-death": None})
            self.assertEqual(found["x-death"][0]["routing-keys"], ["мир"])
        connection.close()
        self.end(connection, "stopped")
