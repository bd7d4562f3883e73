"""A relay with all its faces and without a port, for the tests of each."""

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.grants import OPEN, Authority, Grants, refused
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.metrics import CLIENTS, Metrics
from streamer.net.admission import Admission
from streamer.net.clients import Clients
from streamer.net.feed_json import Feed
from streamer.net.headers import GuardedSite
from streamer.net.oneway import Entrance
from streamer.net.poll import Poll
from streamer.net.site import relay_site
from streamer.net.sse import Events
from streamer.net.upgrade import Upgrade
from streamer.net.websocket_factory import RelayFactory
from streamer.testing.relay_events import entry

ORIGIN = "https://relay.example"
HOST = "192.0.2.1"


class Keys:
    """An authority that knows two tokens."""

    anonymous = Grants(read=frozenset({"open.#"}))

    def check(self, token: str, now: float) -> Grants:
        if token == "soon":
            return Grants("ann", frozenset({"post.#"}), expires=1_000_010.0)
        if token == "later":
            raise ClientError("token", "the keys are not there yet", retry=True)
        raise refused("it is none")


class Answer:
    """An HTTP answer taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking:
    """A plain HTTP connection with one request on it."""

    def __init__(self, site: GuardedSite, clock: Clock, host: str) -> None:
        address = IPv4Address("TCP", host, 4711)
        self.transport = StringTransport(peerAddress=address)
        self.channel = site.buildProtocol(address)
        assert self.channel is not None
        self.channel.callLater = clock.callLater
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, path: str, method: str = "GET", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.transport.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode())

    @property
    def answer(self) -> Answer | None:
        raw = self.transport.value()
        return Answer(raw) if raw else None

    def hang_up(self) -> None:
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))


class Facing:
    """The relay."""

    def __init__(
        self, entries: int = 1000, limit: int = 50, per_address: int = 20, authority: Authority = OPEN
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.metrics = Metrics()
        self.hub = Hub(Journal(entries_limit=entries), self.metrics)
        self.clients = Clients(self.hub, self.clock, authority=authority)
        self.admission = Admission(limit, per_address)
        self.entrance = Entrance(self.clients, self.admission, [ORIGIN, "null"])
        factory = RelayFactory(self.clients, self.admission, self.clock)
        faces = {
            b"events": Events(self.entrance),
            b"poll": Poll(self.entrance),
            b"feed.json": Feed(self.entrance, "Birds", ORIGIN),
        }
        self.site = relay_site(
            FilePath("/nonexistent"),
            {},
            dict,
            Upgrade(factory, self.admission, [ORIGIN, "null"], self.metrics),
            [ORIGIN],
            self.clock,
            self.admission,
            faces=faces,
        )
        self.offset = 0

    def connect(self, client: Protocol, host: str = HOST) -> IOPump:
        """Join a client's protocol to the site."""
        address = IPv4Address("TCP", host, 4711)
        server = self.site.buildProtocol(address)
        server.callLater = self.clock.callLater
        pump = connect(server, FakeTransport(server, True, peerAddress=address), client, FakeTransport(client, False))
        pump.flush()
        return pump

    def ask(self, path: str, method: str = "GET", host: str = HOST, **headers: str) -> Asking:
        """Send one request on a connection of its own."""
        asking = Asking(self.site, self.clock, host)
        asking.send(path, method, **headers)
        return asking

    def get(self, path: str, method: str = "GET", host: str = HOST, **headers: str) -> Answer:
        """The answer to a request that is answered at once; the connection is closed."""
        asking = self.ask(path, method, host, **headers)
        asking.hang_up()
        answer = asking.answer
        assert answer is not None
        return answer

    def publish(self, topic: str = "post.x", **more: Any) -> None:
        """The next entry of the log."""
        self.offset += 1
        self.clients.append(entry(self.offset, topic, **more))

    def position(self, place: int) -> str:
        """Of the place after so many events."""
        return self.hub.journal.position(place)


class FacesTestCase(SynchronousTestCase):
    """Makes relays, and looks for what they leave behind."""

    def setUp(self) -> None:
        self.relay = Facing()

    def assert_quiet(self, face: str) -> None:
        self.assertEqual([], self.relay.clock.getDelayedCalls())
        self.assertEqual((0, 0), (self.relay.admission.total, self.relay.admission.connections))
        self.assertEqual(0, self.relay.hub.cohorts)
        self.assertEqual(0, self.relay.metrics.value(CLIENTS, face))
