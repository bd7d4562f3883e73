"""The simulated Mastodon server: what it sends, whom it lets in, what its timelines have."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Dial
from streamer.net.client import Opened, UpstreamClient
from streamer.net.dialer import Dialer
from streamer.net.stream import StreamBody
from streamer.sources.markup import text_of
from streamer.testing import faults
from streamer.testing.mastodon import TOKEN, SimulatedMastodon
from streamer.testing.mastodon_statuses import StatusGenerator
from streamer.testing.simulation import Simulation
from streamer.upstream import Request, Response
from streamer.wire.sse import ServerSent
from tests.unit.network import Network

HOST = "http://127.0.0.1"
STREAMING = "/api/v1/streaming"
LET_IN = {"Authorization": f"Bearer {TOKEN}"}


class Cases(SynchronousTestCase):
    """A simulation with a client."""

    def simulate(self, **options: Any) -> SimulatedMastodon:
        """Start one."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000.0)  # seconds since the epoch
        self.x = SimulatedMastodon(self.clock, **{"rate": 2.0, **options})
        self.network = Network(self.x.resource, self.clock)
        dialer = Dialer(self.network.endpoint, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests", {Dial: dialer})
        self.x.start()
        self.addCleanup(self.ends)
        return self.x

    def ends(self) -> None:
        """Stopping leaves nothing behind."""
        self.x.stop()
        self.advance(0.1)
        self.assertEqual([], self.clock.getDelayedCalls())

    def advance(self, seconds: float) -> None:
        """Let time pass, moving bytes."""
        for _ in range(max(1, int(seconds * 4))):
            self.clock.advance(min(0.25, seconds))
            self.network.flush()

    def result(self, coroutine: Any) -> Any:
        """What a request gives."""
        asked = Deferred.fromCoroutine(coroutine)
        for _ in range(4):
            self.network.flush()
        return self.successResultOf(asked)

    def get(self, path: str, **headers: str) -> Response:
        """A short answer."""
        answer: Response = self.result(self.client.fetch(Request(url=HOST + path, headers=headers or LET_IN)))
        return answer

    def json(self, path: str) -> Any:
        """A short answer's body."""
        return json.loads(self.get(path).body)

    def stream(self, ask: Request | Dial) -> list[Any]:
        """Open a stream; what comes of it is added to the list, then how it ended."""
        heard: list[Any] = []
        opened: Opened = self.result(self.client.open(ask))
        self.assertEqual(200, opened.answer.code)
        body = StreamBody(heard.append, heard.append)
        opened.answer.deliverBody(body)
        self.addCleanup(opened.abort)
        return heard

    def listen(self, path: str) -> list[Any]:
        """Server-sent events."""
        return self.stream(Request(url=f"{HOST}{STREAMING}/{path}", headers=LET_IN))

    def dial(self, *hello: str, query: str = "") -> list[Any]:
        """A websocket."""
        return self.stream(Dial((f"ws://127.0.0.1{STREAMING}{query}",), headers=LET_IN, hello=hello))


class StreamTests(Cases):
    """What the streams send."""

    def test_a_simulation(self) -> None:
        """It is one, and says how things stand."""
        made: Simulation = self.simulate()
        self.listen("public")
        self.advance(5)
        self.assertEqual((10, 1), (made.status()["produced"], made.status()["connections"]))

    def test_beginning(self) -> None:
        """A stream begins with `:)`, and beats every 15 seconds into a silence, with one line end."""
        self.simulate(rate=0.0001)
        heard = self.listen("public")
        self.advance(31)
        self.assertEqual([b":)\n", b":thump\n", b":thump\n"], heard)
        self.assertEqual(b"OK", self.get(f"{STREAMING}/health").body)

    def test_events(self) -> None:
        """Statuses, edits, deletions, reposts and notifications, in the form of the recorded ones."""
        made = self.simulate(deleted=0.3, edited=0.3, reposted=0.3, notified=0.3)
        heard = self.listen("user")
        self.advance(30)
        events = ServerSent().feed(b"".join(heard))
        self.assertEqual({"update", "status.update", "delete", "notification"}, {event.event for event in events})
        updates = [json.loads(event.data) for event in events if event.event == "update"]
        self.assertEqual(list(made.ledger.posts), [row["id"] for row in updates if row["reblog"] is None])
        deleted = [event.data.decode() for event in events if event.event == "delete"]
        self.assertEqual(list(made.ledger.deletes), deleted)
        self.assertTrue(any(row["reblog"] for row in updates))
        self.assertEqual({"", "@"}, {row["account"]["acct"].partition("@")[1] for row in updates})

    def test_parts(self) -> None:
        """Each status is in the streams it belongs to, and in no other."""
        made = self.simulate()
        heard = {
            path: self.listen(path) for path in ("public/local", "public/remote", "hashtag?tag=CATS", "list?list=42")
        }
        made.inject("about #cats", account={"acct": "bob@far.test"})
        made.inject("about dogs", account={"acct": "ada"})
        self.advance(0.1)
        texts = {
            path: [text_of(json.loads(event.data)["content"]).text for event in ServerSent().feed(b"".join(data))]
            for path, data in heard.items()
        }
        self.assertEqual(
            {
                "public/local": ["about dogs"],
                "public/remote": ["about #cats"],
                "hashtag?tag=CATS": ["about #cats"],
                "list?list=42": ["about #cats", "about dogs"],
            },
            texts,
        )

    def test_websocket(self) -> None:
        """Streams are subscribed to and left by messages; the payload is JSON in a string."""
        made = self.simulate()
        heard = self.dial('{"type":"subscribe","stream":"hashtag","tag":"Cats"}', query="?stream=public:local")
        made.inject("about #cats", account={"acct": "bob@far.test"})
        made.inject("about dogs", account={"acct": "ada"})
        made.inject("about fish", account={"acct": "bob@far.test"})
        self.advance(0.1)
        messages = [json.loads(one) for data in heard for one in data]
        self.assertEqual([["hashtag", "cats"], ["public:local"]], [message["stream"] for message in messages])
        self.assertEqual({"update"}, {message["event"] for message in messages})
        self.assertIn("account", json.loads(messages[0]["payload"]))

    def test_websocket_errors(self) -> None:
        """What is wrong is said in words; what cannot be read is ignored."""
        self.simulate()
        heard = self.dial(
            "{",
            "[]",
            '{"type":"subscribe","stream":"all"}',
            '{"type":"subscribe","stream":"hashtag"}',
            '{"type":"subscribe","stream":"list","list":"7"}',
        )
        self.advance(0.1)
        self.assertEqual(
            [
                {"error": "Unknown stream type", "status": 400},
                {"error": "Missing tag name parameter", "status": 400},
                {"error": "Not authorized to stream this list", "status": 401},
            ],
            [json.loads(one) for data in heard for one in data],
        )

    def test_same_seed(self) -> None:
        """The same seed and times give the same statuses."""
        one, other = (StatusGenerator(7) for _ in range(2))
        made = [one.status(1_700_000_000_000 + number) for number in range(50)]
        self.assertEqual(made, [other.status(1_700_000_000_000 + number) for number in range(50)])
        self.assertNotEqual(made, [StatusGenerator(8).status(1_700_000_000_000 + number) for number in range(50)])

    def test_content(self) -> None:
        """The content is HTML as Mastodon writes it: every tag and mention in it is in the lists, too."""
        generator = StatusGenerator(1)
        kinds = set()
        for number in range(300):
            status = generator.status(1_700_000_000_000 + number)
            marked = text_of(status["content"])
            kinds |= {facet.kind for facet in marked.facets}
            tags = {facet.value.lower() for facet in marked.facets if facet.kind == "tag"}
            self.assertEqual({tag["name"] for tag in status["tags"]}, tags)
            mentions = [facet for facet in marked.facets if facet.kind == "mention"]
            self.assertEqual(bool(status["mentions"]), bool(mentions))
        self.assertEqual({"link", "tag", "mention"}, kinds)


class RefusalTests(Cases):
    """Whom it lets in."""

    def test_words(self) -> None:
        """Each refusal in the server's words."""
        self.simulate()
        for path, headers, status, error in (
            ("public", {"X": "y"}, 401, "Missing access token"),
            ("public", {"Authorization": "Bearer no"}, 401, "Invalid access token"),
            ("nowhere", LET_IN, 400, "Unknown channel requested"),
            ("hashtag", LET_IN, 400, "Missing tag name parameter"),
            ("list", LET_IN, 400, "Missing list name parameter"),
            ("list?list=7", LET_IN, 401, "Not authorized to stream this list"),
        ):
            answer = self.get(f"{STREAMING}/{path}", **headers)
            self.assertEqual((status, {"error": error}), (answer.status, json.loads(answer.body)))
        self.assertEqual(404, self.get(STREAMING).status)

    def test_handshake(self) -> None:
        """A websocket is refused by a header, without a body."""
        self.simulate()
        opened = self.result(self.client.open(Dial((f"ws://127.0.0.1{STREAMING}",))))
        self.assertEqual(401, opened.answer.code)
        self.assertEqual(["Missing access token"], opened.answer.headers.getRawHeaders("x-error-message"))

    def test_kill(self) -> None:
        """A revoked token ends every stream without a word, and opens none."""
        made = self.simulate(rate=0.001)
        events, messages = self.listen("public"), self.dial()
        made.fault(faults.Kill())
        self.advance(1)
        self.assertEqual(0, made.status()["connections"])
        self.assertEqual([], ServerSent().feed(b"".join(data for data in events if isinstance(data, bytes))))
        self.assertEqual([], [one for data in messages if isinstance(data, list) for one in data])
        self.assertEqual(401, self.get(f"{STREAMING}/public").status)

    def test_impossible(self) -> None:
        """It refuses to fail in ways that its upstream cannot."""
        made = self.simulate()
        for fault in (faults.Disconnect(), faults.DisconnectCode(), faults.Control("limit"), faults.Status(420)):
            self.assertRaises(ValueError, made.fault, fault)


class TimelineTests(Cases):
    """The past."""

    def test_pages(self) -> None:
        """Forward from an id, back from one, and the newest; Link headers lead on."""
        made = self.simulate(deleted=0.0, reposted=0.0)
        self.advance(50)
        ids = list(made.ledger.posts)
        timeline = "/api/v1/timelines/public"

        def page(query: str) -> list[str]:
            return [row["id"] for row in self.json(f"{timeline}?{query}")]

        self.assertEqual(ids[:-21:-1], page(""))
        self.assertEqual(ids[:-41:-1], page("limit=400"))
        self.assertEqual(ids[1:11][::-1], page(f"limit=10&min_id={ids[0]}"))
        self.assertEqual(ids[:-11:-1], page(f"limit=10&since_id={ids[0]}"))
        self.assertEqual(ids[:5][::-1], page(f"max_id={ids[5]}"))
        link = self.get(f"{timeline}?limit=2").headers["link"]
        self.assertIn(f'max_id={ids[-2]}>; rel="next"', link)
        self.assertIn(f'min_id={ids[-1]}>; rel="prev"', link)
        self.assertEqual(404, self.get(f"{timeline}?limit=x").status)
        self.assertEqual(404, self.get("/api/v1/timelines/nowhere").status)

    def test_changes(self) -> None:
        """A deleted status is in none, an edited one is there as it is now."""
        made = self.simulate(rate=0.001)
        gone, kept = made.inject("one"), made.inject("two")
        made.delete(gone)
        self.assertEqual([kept], [row["id"] for row in self.json("/api/v1/timelines/home")])

    def test_rate_limit(self) -> None:
        """So many requests in five minutes, told by headers with an ISO 8601 reset."""
        self.simulate(requests=2)
        answers = [self.get("/api/v1/timelines/home") for _ in range(3)]
        self.assertEqual([200, 200, 429], [answer.status for answer in answers])
        self.assertEqual(["1", "0", "0"], [answer.headers["x-ratelimit-remaining"] for answer in answers])
        self.assertEqual("2023-11-14T22:15:00.000Z", answers[0].headers["x-ratelimit-reset"])
        self.advance(101)
        self.assertEqual(200, self.get("/api/v1/timelines/home").status)

    def test_switched_off(self) -> None:
        """Timelines may be empty or closed though statuses are there."""
        made = self.simulate()
        self.advance(5)
        made.fault(faults.Timelines())
        self.assertEqual([], self.json("/api/v1/timelines/home"))
        made.fault(faults.Timelines(422))
        self.assertEqual(422, self.get("/api/v1/timelines/home").status)
        made.fault(faults.Timelines("open"))
        self.assertTrue(self.json("/api/v1/timelines/home"))

    def test_instance(self) -> None:
        """It says where it streams."""
        self.simulate()
        self.assertEqual("ws://127.0.0.1", self.json("/api/v2/instance")["configuration"]["urls"]["streaming"])
