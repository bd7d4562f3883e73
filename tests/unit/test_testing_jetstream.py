"""The simulated Jetstream keeps the rules of the real one, as far as they are written down."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

import zstandard
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing import faults
from streamer.testing.jetstream import SimulatedJetstream
from streamer.testing.jetstream_names import Tids, cid, did
from streamer.testing.jetstream_options import ONE_SCHEME
from streamer.testing.socket_frames import BINARY, CLOSE, TEXT
from tests.unit.network import Network
from tests.unit.websocket_peer import Peer

START = 1_700_000_000.0  # seconds since the epoch
GOLDEN = Path(__file__).parents[3] / "shared" / "data" / "jetstream" / "golden_v1.jsonl"
SAMPLES = [
    b'{"did":"did:plc:%d","kind":"commit","text":"%s"}' % (number, b"word " * (number % 7)) for number in range(500)
]
DICTIONARY = zstandard.train_dictionary(2_000, SAMPLES).as_bytes()


class Simulated(SynchronousTestCase):
    """A simulation and its clients."""

    def simulate(self, **options: Any) -> SimulatedJetstream:
        """Start one; nothing may be left of it."""
        self.clock = Clock()
        self.clock.advance(START)
        self.x = SimulatedJetstream(self.clock, **{"rate": 10.0, **options})
        self.network = Network(self.x.resource, self.clock)
        self.x.start()
        self.addCleanup(self.ends_quietly, self.x, self.network, self.clock)
        return self.x

    def ends_quietly(self, x: SimulatedJetstream, network: Network, clock: Clock) -> None:
        """Nothing is left of it."""
        x.stop()
        for peer in list(network._ends):
            peer[0].loseConnection()
        network.flush()
        self.assertEqual(([], 0), (clock.getDelayedCalls(), network.open))

    def peer(self, query: str = "", **headers: str) -> Peer:
        """A client, after its handshake."""
        peer = Peer(f"/subscribe?{query}", headers)
        self.network.connect(peer, lambda transport: None)
        self.network.flush()
        return peer

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.network.flush()

    def events(self, peer: Peer) -> list[dict[str, Any]]:
        """What came since the last look."""
        return [json.loads(payload) for opcode, payload in peer.frames() if opcode == TEXT]

    def say(self, peer: Peer, message: bytes) -> tuple[int, bytes] | None:
        """Say something; the code and reason of the close frame that comes of it, if one does."""
        peer.send(TEXT, message)
        self.network.flush()
        for opcode, payload in peer.frames():
            if opcode == CLOSE:
                return struct.unpack("!H", payload[:2])[0], payload[2:]
        return None

    def answer(self, query: str, **headers: str) -> tuple[int, str]:
        """Status and body of a refusal."""
        peer = self.peer(query, **headers)
        return int(peer.head[9:12]), peer.rest.decode()


class EventTests(Simulated):
    """What is sent."""

    def test_forms(self) -> None:
        """Every shape of the recorded events occurs, with the same keys and types."""
        self.simulate(others=3.0, deleted=0.2, edited=0.2)
        peer = self.peer()
        self.advance(60)
        made = {shape(event): event for event in self.events(peer)}
        wanted = {
            ("commit", operation, f"app.bsky.{name}")
            for operation, name in (
                ("create", "feed.post"),
                ("update", "feed.post"),
                ("delete", "feed.post"),
                ("create", "feed.like"),
                ("delete", "feed.like"),
                ("create", "feed.repost"),
                ("create", "graph.follow"),
            )
        } | {("identity", "", ""), ("account", "", "")}
        self.assertEqual(wanted, set(made))
        if not GOLDEN.is_file():
            self.skipTest(f"the recorded events are not at {GOLDEN}")  # type: ignore[attr-defined]
        for line in GOLDEN.read_text().splitlines():
            event = json.loads(line)
            if shape(event) in made:
                ours = made[shape(event)]
                self.assertEqual(set(event), set(ours))
                inner = event["kind"]
                self.assertLessEqual(set(event[inner]), set(ours[inner]))

    def test_same_seed(self) -> None:
        """The same seed and times give the same bytes; another seed gives others."""
        lines = []
        for seed in (1, 1, 2):
            self.simulate(seed=seed)
            self.clock.advance(10)
            lines.append([line.data for line in self.x.history.read(0, 10**9)[0]])
        self.assertEqual(lines[0], lines[1])
        self.assertNotEqual(lines[0], lines[2])

    def test_times_go_back(self) -> None:
        """Events do not come in the order of their times."""
        self.simulate()
        peer = self.peer()
        self.advance(10)
        times = [event["time_us"] for event in self.events(peer)]
        self.assertNotEqual(sorted(times), times)
        self.assertLess(max(one - other for one, other in itertools.pairwise(times)), 6_000)

    def test_ledger(self) -> None:
        """The ledger has the posts that were made, with the times that they carry."""
        self.simulate(others=0)
        peer = self.peer("wantedCollections=app.bsky.feed.post")
        self.advance(5)
        posts = [event for event in self.events(peer) if event["commit"]["operation"] == "create"]
        uris = [f"at://{event['did']}/app.bsky.feed.post/{event['commit']['rkey']}" for event in posts]
        self.assertEqual(uris, [id_.partition("#")[0] for id_ in self.x.ledger.posts])
        self.assertEqual([event["time_us"] // 1000 for event in posts], list(self.x.ledger.made_ms.values()))

    def test_inject(self) -> None:
        """A post with a given text and record."""
        self.simulate(rate=0)
        peer = self.peer()
        id_ = self.x.inject("hello", langs=None, tags=["a"])
        self.network.flush()
        (event,) = self.events(peer)
        self.assertTrue(id_.endswith(f"{event['commit']['rkey']}#{event['commit']['rev']}"))
        self.assertEqual(("hello", ["a"]), (event["commit"]["record"]["text"], event["commit"]["record"]["tags"]))
        self.assertNotIn("langs", event["commit"]["record"])

    def test_names(self) -> None:
        """Keys rise, also where the clock goes back; names have their forms."""
        tids = Tids(5)
        keys = [tids.next(now_ms) for now_ms in (1_700_000_000_000, 1_700_000_000_000, 5, 1_700_000_000_001)]
        self.assertEqual(sorted(set(keys)), keys)
        self.assertEqual({13}, set(map(len, keys)))
        self.assertRegex(did("x"), r"^did:plc:[a-z2-7]{24}$")
        self.assertRegex(cid("x"), r"^bafyrei[a-z2-7]{52}$")


def shape(event: dict[str, Any]) -> tuple[str, str, str]:
    """What an event is, roughly."""
    commit = event.get("commit", {})
    return event["kind"], commit.get("operation", ""), commit.get("collection", "")


class WishesTests(Simulated):
    """What clients ask for."""

    def test_collections(self) -> None:
        """Whole names and prefixes; identities and accounts come whatever they are."""
        self.simulate(others=3.0, edited=0, deleted=0)
        some = self.peer("wantedCollections=app.bsky.feed.like&wantedCollections=app.bsky.graph.*")
        self.advance(30)
        kinds = {shape(event)[0] + shape(event)[2] for event in self.events(some)}
        self.assertEqual(
            {"commitapp.bsky.feed.like", "commitapp.bsky.graph.follow", "identity", "account"}, kinds
        )  # fmt: skip

    def test_dids(self) -> None:
        """Authors hold for all kinds."""
        self.simulate()
        everything = self.peer()
        self.advance(5)
        some = self.events(everything)[0]["did"]
        peer = self.peer(f"wantedDids={some}&cursor={int(START * 1e6)}")
        self.advance(20)
        self.assertEqual({some}, {event["did"] for event in self.events(peer)})

    def test_sizes(self) -> None:
        """Larger events are left out; a size that is none means no limit."""
        self.simulate()
        small = self.peer("maxMessageSizeBytes=400")
        others = [self.peer(f"maxMessageSizeBytes={wrong}") for wrong in ("0", "-5", "many", "99999999999999")]
        self.advance(10)
        found = small.frames()
        self.assertTrue(found)
        self.assertLessEqual(max(len(payload) for _, payload in found), 400)
        counts = {len(peer.frames()) for peer in others}
        self.assertEqual(1, len(counts))
        self.assertGreater(counts.pop(), len(found))

    def test_bad_wishes(self) -> None:
        """They are refused in the server's words, before there is a websocket."""
        self.simulate()
        for query, said in (
            ("wantedCollections=app.bsky.fo*", "invalid collection: app.bsky.fo*"),
            ("wantedDids=alice.example", "invalid DID: alice.example"),
            (
                "&".join(f"wantedCollections=a.b.c{number}" for number in range(101)),
                "too many wanted collections: > 100",
            ),
            ("cursor=yesterday", 'subscribe: invalid cursor: "yesterday"'),
            ("cursor=-1", "subscribe: invalid cursor: negative value -1"),
        ):
            status, body = self.answer(query)
            self.assertEqual((400, True), (status, said in body), body)

    def test_repeats_are_allowed(self) -> None:
        """A name that is given twice counts once."""
        self.simulate()
        peer = self.peer("&".join(["wantedCollections=app.bsky.feed.post"] * 150))
        self.assertTrue(peer.head.startswith(b"HTTP/1.1 101"))

    def test_no_websocket(self) -> None:
        """An ordinary request is told what is missing."""
        self.simulate()
        status, body = self.answer("", Upgrade="", Connection="keep-alive")
        self.assertEqual((426, True), (status, "does not contain Upgrade" in body))

    def test_update(self) -> None:
        """An options_update replaces the whole filter; an empty list means all."""
        self.simulate(others=3.0)
        peer = self.peer("wantedCollections=app.bsky.feed.post")
        self.advance(5)
        self.events(peer)
        self.say(peer, b'{"type":"options_update","payload":{"wantedCollections":["app.bsky.feed.like"]}}')
        self.advance(10)
        self.assertEqual({"app.bsky.feed.like", ""}, {shape(event)[2] for event in self.events(peer)})
        self.say(peer, b'{"type":"options_update","payload":{}}')
        self.advance(10)
        self.assertIn("app.bsky.feed.post", {shape(event)[2] for event in self.events(peer)})

    def test_bad_updates(self) -> None:
        """What is no JSON closes with 1007, what is beyond the limits with 1008; other messages are passed over."""
        self.simulate(rate=0)
        many = json.dumps([did(str(number)) for number in range(10_001)])
        for message, code in (
            (b"nonsense", 1007),
            (b"[]", 1007),
            (b'{"type":"options_update","payload":[]}', 1007),
            (b'{"type":"options_update","payload":{"wantedCollections":["x*"]}}', 1008),
            (f'{{"type":"options_update","payload":{{"wantedDids":{many}}}}}'.encode(), 1008),
        ):
            found = self.say(self.peer(), message)
            assert found is not None
            self.assertEqual(code, found[0], message[:80])
            self.assertTrue(found[1])
        peer = self.peer()
        self.assertIsNone(self.say(peer, b'{"type":"something else"}'))
        peer.send(BINARY, b"nonsense")
        self.network.flush()
        self.assertEqual([], peer.frames())

    def test_hello(self) -> None:
        """With requireHello=true nothing comes before an options_update, then all from the cursor on."""
        self.simulate(others=0, deleted=0, edited=0)
        peer = self.peer(f"requireHello=true&cursor={int(START * 1e6)}")
        live, other = self.peer("requireHello=true"), self.peer("requireHello=True")
        self.advance(5)
        self.assertEqual(([], []), (self.events(peer), self.events(live)))
        self.assertEqual(50, len(self.events(other)))
        for one in (peer, live):
            one.send(TEXT, b'{"type":"options_update","payload":{}}')
        self.network.flush()
        self.assertEqual((50, 0), (len(self.events(peer)), len(self.events(live))))
        self.advance(1)
        self.assertEqual(10, len(self.events(live)))


class CursorTests(Simulated):
    """Where a stream begins."""

    def test_times(self) -> None:
        """From the first event that is not before the cursor, itself included; then all, whatever its time."""
        self.simulate()
        everything = self.peer()
        self.advance(10)
        events = self.events(everything)
        for place in (0, 20, 57):
            cursor = events[place]["time_us"]
            first = next(number for number, event in enumerate(events) if event["time_us"] >= cursor)
            self.assertEqual(events[first:], self.events(self.peer(f"cursor={cursor}")))

    def test_future_and_none(self) -> None:
        """A cursor of the future, or none, begins with what comes next."""
        self.simulate()
        self.advance(5)
        for query in ("", "cursor=", f"cursor={int(START * 1e6) + 10**12}"):
            self.assertEqual([], self.events(self.peer(query)))

    def test_too_old(self) -> None:
        """One that is older than 36 hours is taken for the oldest there is, without a word."""
        self.simulate(rate=0)
        self.x.inject("old")
        self.clock.advance(37 * 3600)
        self.x.inject("new")
        texts = [event["commit"]["record"]["text"] for event in self.events(self.peer(f"cursor={int(START * 1e6)}"))]
        self.assertEqual(["new"], texts)

    def test_numbers(self) -> None:
        """Below 10^15 it is a number of this host alone."""
        self.simulate(others=0, deleted=0, edited=0)
        self.advance(2)
        self.assertEqual(15, len(self.events(self.peer("cursor=5"))))


class TransportTests(Simulated):
    """How it is sent."""

    def test_zstd(self) -> None:
        """By parameter or header, each event is one binary frame that the dictionary opens."""
        self.simulate(dictionary=DICTIONARY)
        plain, one, other = self.peer(), self.peer("compress=true"), self.peer(**{"Socket-Encoding": "zstd"})
        self.advance(3)
        unzip = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(DICTIONARY))
        wanted = [payload for _, payload in plain.frames()]
        for peer in (one, other):
            found = peer.frames()
            self.assertEqual({BINARY}, {opcode for opcode, _ in found})
            self.assertEqual(wanted, [unzip.decompress(payload) for _, payload in found])

    def test_two_schemes(self) -> None:
        """zstd and permessage-deflate together are refused."""
        self.simulate(dictionary=DICTIONARY)
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        self.assertEqual((400, f"{ONE_SCHEME}\n"), self.answer("compress=true", **offer))
        self.assertTrue(self.peer("compress=false", **offer).head.startswith(b"HTTP/1.1 101"))

    def test_faults(self) -> None:
        """Statuses on demand, in its words; what it cannot do is refused."""
        self.simulate()
        self.x.fault(faults.Status(503))
        self.x.fault(faults.Status(429, reset_after=7))
        self.assertEqual((503, "service not ready: cursor replay warming up\n"), self.answer(""))
        peer = self.peer()
        self.assertIn(b"\r\nRetry-After: 7\r\n", peer.head)
        for wrong in (faults.Disconnect(), faults.DisconnectCode(), faults.Control("delete"), faults.Status(418)):
            with self.assertRaises(ValueError):
                self.x.fault(wrong)

    def test_shutdown(self) -> None:
        """It says goodbye with 1001."""
        self.simulate()
        peer = self.peer()
        self.x.fault(faults.Close())
        self.network.flush()
        self.assertIn((CLOSE, struct.pack("!H", 1001) + b"server shutting down"), peer.frames())

    def test_slow_reader(self) -> None:
        """Who reads too slowly is dropped without a word."""
        self.simulate(buffer_limit=10_000, rate=200.0)
        peer = self.peer()
        peer.transport.pauseProducing()  # type: ignore[union-attr]
        self.advance(30)
        self.assertTrue(peer.lost)
        self.assertNotIn(CLOSE, {opcode for opcode, _ in peer.frames()})

    def test_control(self) -> None:
        """`/_sim/status` counts connections; other paths are not there."""
        self.simulate()
        peers = [self.peer(), self.peer()]
        self.assertEqual(2, self.x.status()["connections"])
        self.assertEqual(2, len(peers))
        lost = Peer(quote("/elsewhere"), {})
        self.network.connect(lost, lambda transport: None)
        self.network.flush()
        self.assertTrue(lost.head.startswith(b"HTTP/1.1 404"))
