"""What hands clients' events to the bus, on the in-process bus and on one that is slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.memory import MemoryBus
from streamer.errors import BusStopped, ClientError, MessageRefused
from streamer.fanout.grants import Grants
from streamer.fanout.publishing import Publication, Published
from streamer.interfaces import IBus
from streamer.message import EVENTS, Entry, Message
from streamer.metrics import CLIENT_PUBLISHED, PUBLISHED, Metrics
from streamer.secrets import Secret
from streamer.services import publishing
from streamer.services.publishing import CONFIRM_WITHIN, Publisher, random_id
from streamer.services.relay import RelayService
from streamer.tables import RelayAuthSettings, RelaySettings
from streamer.testing.relay_client import RelayClient
from tests.unit import issuing

CHAT = Grants("jack", publish=frozenset({"chat.#"}))


class SlowBus(MemoryBus):
    """The in-process bus, but it confirms when it is told to, and is ready or not."""

    usable = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, Metrics())
        self.given: list[tuple[Message, Deferred[None]]] = []

    @property
    def ready(self) -> bool:
        """As told."""
        return self.usable

    def publish(self, message: Message) -> Deferred[None]:
        """Take it, say nothing yet."""
        taken: Deferred[None] = Deferred()
        self.given.append((message, taken))
        return taken


class PublisherTests(SynchronousTestCase):
    """`Publisher`."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.clock.advance(1_519.0)
        self.bus = SlowBus(self.clock)
        self.publisher = self.make(self.bus)
        self.told: list[Published | ClientError] = []
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def make(self, bus: Any) -> Publisher:
        return Publisher(IBus(bus), self.clock, self.metrics)

    def publish(self, topic: str = "chat.irc.a", grants: Grants = CHAT, **more: Any) -> None:
        self.publisher.publish(Publication(topic, more.pop("data", {}), **more), grants, self.told.append)

    def error(self) -> ClientError:
        [answer] = self.told
        assert isinstance(answer, ClientError)
        self.told.clear()
        return answer

    def counts(self) -> dict[str, float]:
        return {labels[0]: number for metric, labels, number in self.metrics if metric is CLIENT_PUBLISHED}

    def test_confirmed(self) -> None:
        """A client is told so when the bus has confirmed, not before, and what its event is called."""
        self.publish(id="m-1")
        [(message, taken)] = self.bus.given
        self.assertEqual((message.exchange, message.message_id), (EVENTS, "/clients/jack#m-1"))
        self.assertEqual((self.told, len(self.publisher)), ([], 1))
        self.clock.advance(CONFIRM_WITHIN - 1)
        taken.callback(None)
        self.assertEqual(self.told, [Published("m-1", "/clients/jack")])
        self.assertEqual((self.counts(), len(self.publisher)), ({"confirmed": 1}, 0))

    def test_reaches_the_log(self) -> None:
        """On the in-process bus the answer comes at once, and the event is in the log, once, with the clock's time."""
        bus = MemoryBus(self.clock, self.metrics)
        bus.startService()
        entries: list[Entry] = []
        log = bus.log(60.0, entries.append)
        self.publisher = self.make(bus)
        self.publish(data={"body": "hi"})
        [answer] = self.told
        for _ in range(3):
            self.clock.advance(0)
        [entry] = entries
        assert isinstance(answer, Published)
        self.assertEqual(entry.message.message_id, f"/clients/jack#{answer.id}")
        event = json.loads(entry.message.body)
        self.assertEqual((event["data"], event["time"]), ({"body": "hi"}, "1970-01-01T00:25:19.000Z"))
        self.assertEqual(self.metrics.value(PUBLISHED, EVENTS), 1)
        stopped = [log.stop(), bus.stopService()]
        self.clock.advance(30)
        for stop in stopped:
            self.successResultOf(stop)

    def test_not_granted(self) -> None:
        """What is not granted, or no event, never comes to the bus."""
        for topic, code in (("post.x", "forbidden"), ("chat..a", "bad-topic")):
            self.publish(topic)
            self.assertEqual(self.error().code, code)
        self.assertEqual((self.bus.given, self.counts()), ([], {"forbidden": 1, "refused": 1}))

    def test_bus_not_ready(self) -> None:
        """While the bus takes nothing a client is told at once, and the bus is given nothing to keep."""
        self.bus.usable = False
        self.publish()
        error = self.error()
        self.assertEqual((error.code, error.retry, self.bus.given), ("unavailable", True, []))
        self.assertEqual(self.counts(), {"unavailable": 1})

    def test_no_confirm(self) -> None:
        """Without a confirm in time: it may still arrive, and which id makes asking again harmless. Said once."""
        self.publish()
        self.clock.advance(CONFIRM_WITHIN)
        error = self.error()
        [(message, taken)] = self.bus.given
        self.assertEqual((error.code, error.retry, error.close), ("unavailable", True, None))
        self.assertIn("may still arrive", error.message)
        self.assertIn(repr(message.message_id.partition("#")[2]), error.message)
        self.assertEqual(len(self.publisher), 1)  # the bus holds it
        taken.callback(None)
        self.assertEqual((self.told, len(self.publisher), self.counts()), ([], 0, {"unavailable": 1}))

    def test_bus_fails(self) -> None:
        """A bus that stops did perhaps not take it; a message it cannot carry is the client's to mend."""
        for failure, code, retry in (
            (BusStopped("the bus stopped"), "unavailable", True),
            (MessageRefused("a header"), "bad-request", False),
        ):
            self.publish()
            self.bus.given.pop()[1].errback(failure)
            error = self.error()
            self.assertEqual((error.code, error.retry), (code, retry))
        self.publish()
        self.bus.given.pop()[1].errback(ZeroDivisionError())
        self.assertEqual(self.error().code, "unavailable")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.publisher), 0)

    def test_limits(self) -> None:
        """Events that the bus has not let go of are limited, in number and in bytes, whoever was answered."""
        self.patch(publishing, "EVENTS_LIMIT", 3)
        for _ in range(4):
            self.publish()
        error = self.error()
        self.assertEqual((error.code, error.retry, len(self.bus.given)), ("limit", True, 3))
        self.clock.advance(CONFIRM_WITHIN)
        self.told.clear()
        self.publish()
        self.assertEqual(self.error().code, "limit")
        self.bus.given.pop()[1].callback(None)
        self.publish()
        self.assertEqual(self.told, [])
        while self.bus.given:
            self.bus.given.pop()[1].callback(None)
        self.told.clear()
        self.patch(publishing, "BYTES_LIMIT", 2_000)
        self.publish(data={"a": "x" * 1_200})
        self.publish(data={"a": "x" * 1_200})
        self.assertEqual((self.error().code, len(self.bus.given)), ("limit", 1))
        self.bus.given.pop()[1].callback(None)
        self.publish(data={"a": "x" * 1_200})
        self.bus.given.pop()[1].callback(None)
        self.assertEqual((len(self.told), len(self.publisher)), (2, 0))

    def test_stop(self) -> None:
        """A stop answers whoever waits, leaves no timer, and refuses what comes after it."""
        self.publish(id="m-1")
        self.publisher.stop()
        self.assertIn("'m-1'", self.error().message)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.publish()
        error = self.error()
        self.assertEqual((error.code, error.retry), ("unavailable", True))
        self.assertIn("stopping", error.message)
        self.bus.given.pop()[1].errback(BusStopped("the bus stopped"))
        self.assertEqual((self.told, len(self.publisher)), ([], 0))

    def test_client_that_fails(self) -> None:
        """Whatever goes wrong while a client is told is logged, and nothing is left behind."""

        def fails(_: object) -> None:
            raise ZeroDivisionError

        self.publisher.publish(Publication("chat", {}), CHAT, fails)
        self.bus.given.pop()[1].callback(None)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.publisher), 0)

    def test_ids(self) -> None:
        """Made-up ids differ, and could be a client's."""
        self.assertEqual(len({random_id() for _ in range(50)}), 50)
        self.assertRegex(random_id(), r"\A[0-9a-f]{32}\Z")


class ChatTests(SynchronousTestCase):
    """Clients of a whole relay that talk to each other."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(issuing.NOW)
        self.metrics = Metrics()
        self.clients: list[RelayClient] = []
        self.fatal: list[str] = []

    def start(self, bus: MemoryBus) -> None:
        """A relay with a key, at which everybody may talk in the open rooms."""
        auth = RelayAuthSettings(secret=Secret(issuing.SECRET), anonymous_publish=("chat.open.*",))
        settings = RelaySettings(auth=auth, origins=("https://birds.example",))
        self.bus = bus
        self.relay = RelayService(bus, settings, self.reactor, self.metrics, self.fatal.append, Path("nonexistent"))
        self.bus.startService()
        self.relay.startService()
        self.turn()

    def turn(self, seconds: float = 0.1) -> None:
        for _ in range(5):
            self.reactor.advance(seconds / 5)
            for client in self.clients:
                client.pump.flush()

    def connect(self, client: Any) -> Any:
        address = IPv4Address("TCP", "192.0.2.1", 1)
        server = self.reactor.tcpServers[0][1].buildProtocol(address)
        server.callLater = self.reactor.callLater
        client.pump = connect(
            server, FakeTransport(server, True, peerAddress=address), client, FakeTransport(client, False)
        )
        client.pump.flush()
        self.clients.append(client)
        return client

    def client(self, **hello: str) -> RelayClient:
        """One that follows every chat."""
        client: RelayClient = self.connect(RelayClient())
        client.send("hello", hello)
        client.send("sub", 1, {"id": "a", "topics": ["chat.#"]})
        self.turn()
        self.assertEqual([frame[0] for frame in client.frames], ["welcome", "subd"])
        client.frames.clear()
        return client

    def stop(self) -> None:
        stopped = self.relay.stopService()
        self.turn(20)
        self.successResultOf(stopped)
        bus = self.bus.stopService()
        self.turn(30)
        self.successResultOf(bus)
        self.assertEqual((self.reactor.getDelayedCalls(), self.fatal), ([], []))

    def token(self, *publish: str) -> str:
        return issuing.issue(sub="jack", streamer={"publish": publish})

    def test_round_trip(self) -> None:
        """What one publishes, all who follow get, the speaker too; repeating it with the same id is said once."""
        self.start(MemoryBus(self.reactor, self.metrics))
        jack, jill = self.client(token=self.token("chat.irc.*")), self.client()
        said = {"topic": "chat.irc.room", "data": {"body": "hi"}, "id": "m-1"}
        for n in (7, 8):
            jack.send("pub", n, said)
            self.turn()
        jill.send("pub", 9, {"topic": "chat.open.a", "data": {"body": "hello"}})
        self.turn()
        name = {"id": "m-1", "source": "/clients/jack"}
        self.assertEqual(jack.named("pubd"), [["pubd", 7, name], ["pubd", 8, name]])
        [[_, _, answer]] = jill.named("pubd")
        self.assertEqual(answer["source"], "/clients/anonymous")
        for client in (jack, jill):
            events = client.events()
            self.assertEqual([event["data"]["body"] for event in events], ["hi", "hello"])
            self.assertEqual([event["id"] for event in events], ["m-1", answer["id"]])
            self.assertEqual([event["type"] for event in events], ["streamer.chat"] * 2)
        self.assertEqual(self.metrics.value(CLIENT_PUBLISHED, "confirmed"), 3)
        self.stop()

    def test_not_granted(self) -> None:
        """Who has no grant is told so, and goes on; a grant of everything deletes nothing."""
        self.start(MemoryBus(self.reactor, self.metrics))
        jill, jack = self.client(), self.client(token=self.token("#"))
        jill.send("pub", 2, {"topic": "chat.irc.room", "data": {}})
        jack.send("pub", 3, {"topic": "delete.x", "data": {"id": "1"}})
        self.turn()
        self.assertEqual([(frame[1], frame[2]["code"]) for frame in jill.named("err")], [(2, "forbidden")])
        self.assertEqual([(frame[1], frame[2]["code"]) for frame in jack.named("err")], [(3, "forbidden")])
        self.assertEqual((jill.events(), jack.events(), jill.code, jack.code), ([], [], None, None))
        self.stop()

    def test_over_http(self) -> None:
        """A backend posts an event; whoever follows gets it. The other pages are still only read."""
        self.start(MemoryBus(self.reactor, self.metrics))
        jill = self.client()
        for path, code in (("/publish", 200), ("/status.json", 405)):
            backend = self.connect(Backend(path, self.token("chat.#"), {"topic": "chat.irc.room", "data": {"a": 1}}))
            self.turn()
            self.assertIn(f"HTTP/1.1 {code} ".encode(), backend.answer)
        [event] = jill.events()
        self.assertEqual((event["source"], event["data"]), ("/clients/jack", {"a": 1}))
        self.stop()

    def test_confirmed_later(self) -> None:
        """The answer comes when the bus confirms, with no word of the client; a stop answers the rest."""
        bus = SlowBus(self.reactor)
        self.start(bus)
        jill, gone = self.client(), self.client()
        for client in (jill, jill, gone):
            client.send("pub", 5, {"topic": "chat.open.a", "data": {}})
        gone.transport.loseConnection()
        self.turn()
        self.assertEqual((len(bus.given), self.relay.status()["publishing"], jill.frames), (3, 3, []))
        bus.given[0][1].callback(None)
        bus.given[2][1].callback(None)
        self.turn(0)
        self.assertEqual([frame[:2] for frame in jill.frames], [["pubd", 5]])
        self.stop()
        self.assertEqual(self.metrics.value(CLIENT_PUBLISHED, "unavailable"), 1)
        bus.given[1][1].callback(None)


class Backend(Protocol):
    """Posts one event when it is connected."""

    def __init__(self, path: str, token: str, event: Any) -> None:
        self.answer, body = b"", json.dumps(event).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._request = f"{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode() + body

    def connectionMade(self) -> None:
        """Ask."""
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Keep the answer."""
        self.answer += data
