"""The websocket subprotocol `cloudevents.json`, in memory."""

from typing import Any

from twisted.test.iosim import IOPump

from streamer.metrics import CLIENTS, HANDSHAKES
from streamer.net import websocket
from streamer.testing.relay_client import PING, PONG, RelayClient
from tests.unit.facing import FacesTestCase, Facing, Keys

ALL = "/ws?topics=post.%23"


class CloudEventsTests(FacesTestCase):
    """`cloudevents.json`."""

    def open(self, path: str = ALL, offer: str | None = "cloudevents.json", **more: Any) -> tuple[RelayClient, IOPump]:
        client = RelayClient(path=path, offer=offer, **more)
        return client, self.relay.connect(client)

    def tick(self, pump: IOPump, seconds: float = 0.01) -> None:
        self.relay.clock.advance(seconds)
        pump.flush()

    def hang_up(self, client: RelayClient, pump: IOPump) -> None:
        assert client.transport is not None
        client.transport.loseConnection()
        pump.flush()

    def test_events(self) -> None:
        """One CloudEvent a frame, with its place; what is to be heard, and from where, stands in the URL."""
        for _ in range(3):
            self.relay.publish()
        client, pump = self.open(ALL + "&last=2")
        self.assertTrue(client.accepted)
        self.assertIn("Sec-WebSocket-Protocol: cloudevents.json\r\n", (client.head or "") + "\r\n")
        self.relay.publish("geo.x")
        self.relay.publish()
        self.tick(pump)
        self.assertEqual(
            ["streamer.subscribed", "post:2", "post:3", "post:5"],
            [event["type"] if event["source"] == "/relay" else event["id"] for event in client.frames],
        )
        self.assertEqual([f"{number:020d}" for number in (1, 2, 3, 5)], [event["sequence"] for event in client.frames])
        self.assertEqual(
            (0, 1), tuple(self.relay.metrics.value(CLIENTS, face) for face in ("websocket", "cloudevents"))
        )
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "cloudevents", "accepted"))
        since = client.frames[1]["position"]
        self.hang_up(client, pump)
        client, pump = self.open(f"{ALL}&since={since}")
        self.assertEqual(["post:3", "post:5"], [event["id"] for event in client.frames[1:]])
        self.hang_up(client, pump)
        self.assert_quiet("cloudevents")

    def test_deflate(self) -> None:
        """Long events are compressed for who negotiated it."""
        client, pump = self.open(deflate=True)
        for _ in range(2):
            self.relay.publish(size=1000)
            self.tick(pump)
        self.assertEqual((3, 3), (len(client.frames), client.deflated))

    def test_preferred(self) -> None:
        """Who offers both converses."""
        client, _ = self.open(offer="cloudevents.json, relay.v1.json")
        self.assertIn("Sec-WebSocket-Protocol: relay.v1.json\r\n", (client.head or "") + "\r\n")
        client.send("ping", 1)

    def test_refused(self) -> None:
        """What cannot be served is answered in the handshake, and leaves nothing behind."""
        for path, code in (("/ws", 400), ("/ws?topics=a..b", 400), (ALL + "&last=x", 400), (ALL + "&what=x", 400)):
            client, pump = self.open(path)
            with self.subTest(path=path):
                self.assertIn(f"HTTP/1.1 {code} ", client.head or "")
            self.hang_up(client, pump)
        self.relay = Facing(authority=Keys())
        for offer, code in (
            ("cloudevents.json", 401),
            ("cloudevents.json, relay.bearer.bad", 401),
            ("cloudevents.json, relay.bearer.soon", 101),
        ):
            client, pump = self.open(offer=offer)
            with self.subTest(offer=offer):
                self.assertIn(f"HTTP/1.1 {code} ", client.head or "")
            self.hang_up(client, pump)
        self.assert_quiet("cloudevents")

    def test_read_only(self) -> None:
        """A frame of the client's ends it with 4000; a ping is answered."""
        client, pump = self.open()
        client.send_frame(PING, b"hello")
        pump.flush()
        self.assertEqual([b"hello"], client.pongs)
        client.send("sub", 1, {"id": "a", "topics": ["#"]})
        pump.flush()
        self.assertEqual(4000, client.code)
        self.assertIn("only read", client.reason)

    def test_kept_alive(self) -> None:
        """Where nothing comes there are pings, and whoever does not answer them is cut."""
        client, pump = self.open()
        for second in range(int(websocket.DEAD_AFTER) * 2):
            if second < websocket.DEAD_AFTER and client.pings:
                client.pings.clear()
                client.send_frame(PONG, b"")
            self.tick(pump, 1)
        self.assertTrue(client.lost)
        self.assertEqual(1, len(client.frames))
        self.assert_quiet("cloudevents")

    def test_token_ends(self) -> None:
        """The connection ends with the token, with 4001."""
        self.relay = Facing(authority=Keys())
        client, pump = self.open(offer="cloudevents.json, relay.bearer.soon")
        self.tick(pump, 11)
        self.tick(pump, 1)
        self.assertEqual(4001, client.code)

    def test_slow(self) -> None:
        """A loss is told as an event of the relay's."""
        self.relay = Facing(entries=5)
        client, pump = self.open()
        server = pump.serverIO.protocol
        server.pauseProducing()
        for _ in range(9):
            self.relay.publish()
        server.resumeProducing()
        pump.flush()
        lag = client.frames[-1]
        self.assertEqual(("/relay", "streamer.lag", 9), (lag["source"], lag["type"], lag["data"]["skipped"]))
        self.assertEqual(self.relay.position(9), lag["position"])

    def test_stop(self) -> None:
        """The relay stops with 1012."""
        client, pump = self.open()
        self.relay.clients.stop()
        pump.flush()
        self.assertEqual((1012, 1), (client.code, len(client.frames)))
