"""Tokens in a websocket's handshake, and what becomes of them on a whole relay in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.memory import MemoryBus
from streamer.errors import ConfigurationError
from streamer.fanout.protocol import Close
from streamer.metrics import CLIENTS, HANDSHAKES, TOKENS, Metrics
from streamer.secrets import Secret
from streamer.services.relay import RelayService
from streamer.tables import RelayAuthSettings, RelaySettings
from streamer.testing.relay_client import RelayClient
from streamer.testing.relay_events import entry
from tests.unit.issuing import NOW, SECRET, issue

SETTINGS = RelayAuthSettings(secret=Secret(SECRET), anonymous_read=("post.#",))
PROTOCOL = "relay.v1.json"


def bearer(token: str) -> str:
    """What `RelayClient` offers, so that its handshake has another header."""
    return f"{PROTOCOL}\r\nAuthorization: Bearer {token}"


class UpgradeTests(SynchronousTestCase):
    """`net.upgrade` and `net.bearer`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(NOW)
        self.metrics = Metrics()
        self.relay: RelayService | None = None
        self.clients: list[RelayClient] = []

    def start(self, auth: RelayAuthSettings = SETTINGS) -> None:
        self.bus = MemoryBus(self.reactor, self.metrics)
        settings = RelaySettings(auth=auth, clients_per_address=3, drain=0.0)
        pages = Path("nonexistent")
        self.relay = RelayService(self.bus, settings, self.reactor, self.metrics, self.fail, pages)
        self.bus.startService()
        self.relay.startService()
        self.turn()

    def tearDown(self) -> None:
        if self.relay is not None:
            stopped = self.relay.stopService()
            self.turn(5)
            self.successResultOf(stopped)
            stopped = self.bus.stopService()
            self.turn(30)
            self.successResultOf(stopped)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertEqual(self.metrics.value(CLIENTS, "websocket"), 0)

    def turn(self, seconds: float = 0.0) -> None:
        for _ in range(5):
            self.reactor.advance(seconds / 5)
            for client in self.clients:
                client.pump.flush()

    def connect(self, offer: str) -> RelayClient:
        client = RelayClient(offer=offer)
        address = IPv4Address("TCP", "192.0.2.1", 1)
        server = self.reactor.tcpServers[0][1].buildProtocol(address)
        server.callLater = self.reactor.callLater
        serving = FakeTransport(server, True, peerAddress=address)
        client.pump = connect(server, serving, client, FakeTransport(client, False))
        client.pump.flush()
        self.clients.append(client)
        return client

    def say(self, client: RelayClient, *frame: Any) -> list[Any]:
        client.send(*frame)
        client.pump.flush()
        return client.frames[-1]

    def test_accepted(self) -> None:
        """A token is taken from the subprotocols or from `Authorization`, and nothing of it comes back."""
        self.start()
        for offer in (
            f"{PROTOCOL}, relay.bearer.{issue()}",
            f"relay.bearer.{issue()},{PROTOCOL}",
            bearer(issue()),
            f"relay.bearer.{issue()}, {bearer(issue())}",
        ):
            with self.subTest(offer=offer[:20]):
                client = self.connect(offer)
                self.assertTrue(client.accepted, client.head)
                self.assertNotIn("bearer", client.head)
                self.assertIn("Sec-WebSocket-Protocol: relay.v1.json", client.head)
                self.assertEqual(self.say(client, "sub", 1, {"id": "a", "topics": ["chat.#"]})[0], "subd")
                self.assertEqual(client.frames[0][1]["expires"], NOW + 610)
                client.transport.loseConnection()
                client.pump.flush()
        self.assertEqual(self.metrics.value(TOKENS, "accepted"), 4)

    def test_none(self) -> None:
        """Without a token one is let in, and may do what everybody may; credentials of another kind are none."""
        self.start()
        for offer in (PROTOCOL, f"{PROTOCOL}\r\nAuthorization: Basic bWU6cHc="):
            client = self.connect(offer)
            self.assertEqual(self.say(client, "sub", 1, {"id": "a", "topics": ["chat.#"]})[2]["code"], "forbidden")
            self.assertEqual(self.say(client, "sub", 2, {"id": "a", "topics": ["post.#"]})[0], "subd")

    def test_refused(self) -> None:
        """A bad token is answered by 401 and a sentence, before the upgrade, and leaves no place taken."""
        self.start()
        for offer, part in (
            (f"{PROTOCOL}, relay.bearer.{issue('x' * 32)}", "no key that this relay knows"),
            (f"{PROTOCOL}, relay.bearer.", "no JSON Web Token"),
            (bearer(issue(exp=NOW - 60)), "has expired"),
            (bearer("\xe9"), "no JSON Web Token"),
            (f"relay.bearer.{issue()}, {bearer(issue(sub='other'))}", "several tokens"),
        ):
            with self.subTest(part=part):
                client = self.connect(offer)
                self.assertTrue(client.head.startswith("HTTP/1.1 401 "), client.head)
                self.assertIn('WWW-Authenticate: Bearer realm="streamer", error="invalid_token"', client.head)
                self.assertIn(part, client._buffer.decode())
                self.assertNotIn("eyJ", client.head + client._buffer.decode())
                client.transport.loseConnection()
                client.pump.flush()
        self.assertEqual(self.metrics.value(HANDSHAKES, "websocket", "token"), 5)
        self.assertTrue(all(self.connect(PROTOCOL).accepted for _ in range(3)))

    def test_ignored(self) -> None:
        """A relay without keys ignores tokens, good or bad."""
        self.start(RelayAuthSettings())
        client = self.connect(f"relay.bearer.nonsense, {PROTOCOL}")
        self.assertEqual(self.say(client, "sub", 1, {"id": "a", "topics": ["#"]})[0], "subd")

    def test_key_set_to_come(self) -> None:
        """While there is no key set the relay is not ready, and whoever shows a token is told to try again."""
        self.start(RelayAuthSettings(jwks="/nonexistent/keys.json"))
        client = self.connect(bearer(issue()))
        self.assertTrue(client.head.startswith("HTTP/1.1 503 "), client.head)
        self.assertIn("Retry-After: 5", client.head)
        assert self.relay is not None
        self.assertEqual(len(self.relay.troubles()), 1)
        self.assertIn("No such file", self.relay.troubles()[0])
        self.assertEqual(self.relay.status()["tokens"]["keys"], 0)

    def test_expiry(self) -> None:
        """A connection is closed with 4001 when its token ends, and another with a longer one goes on."""
        self.start()
        short = self.connect(bearer(issue(exp=NOW + 5)))
        long = self.connect(bearer(issue(exp=NOW + 60)))
        for client in (short, long):
            self.say(client, "sub", 1, {"id": "a", "topics": ["chat.#"]})
        for _ in range(17):
            self.turn(1)
        self.assertEqual((short.code, long.code), (Close.TOKEN, None))
        self.assertTrue(short.reason.startswith("token: expired"), short.reason)
        self.assertEqual(self.metrics.value(TOKENS, "expired"), 1)

    def test_expiry_while_stuck(self) -> None:
        """A client that takes no bytes does not outlive its token by it."""
        self.start()
        client = self.connect(bearer(issue(exp=NOW + 5)))
        self.say(client, "sub", 1, {"id": "a", "topics": ["post.#"]})
        protocol = client.pump.serverIO.protocol
        protocol.pauseProducing()
        self.successResultOf(self.bus.publish(entry(1, "post.x").message))
        for _ in range(17):
            self.turn(1)
        self.assertTrue(protocol.closing)
        self.assertEqual(self.metrics.value(TOKENS, "expired"), 1)

    def test_configuration(self) -> None:
        """A relay whose keys cannot be used does not start."""
        error = self.assertRaises(ConfigurationError, self.start, RelayAuthSettings(secret=Secret("short")))
        self.assertIn("relay.auth.secret", str(error))

    def test_publish(self) -> None:
        """What a token grants is good for publishing by the same relay."""
        self.start()
        client = self.connect(bearer(issue(streamer={"read": ["chat.#"], "publish": ["chat.*"]})))
        self.say(client, "sub", 1, {"id": "a", "topics": ["chat.#"]})
        self.say(client, "pub", 2, {"topic": "chat.lobby", "data": {"text": "hello"}})
        self.say(client, "pub", 3, {"topic": "shop.lobby", "data": {}})
        self.turn(1)
        said = [frame for frame in client.frames if frame[0] in ("pubd", "err", "ev")]
        self.assertEqual(sorted(frame[0] for frame in said), ["err", "ev", "pubd"], json.dumps(said))
