# -*- test-case-name: tests.unit.test_testing_wikimedia -*-
"""The simulated EventStreams service: what it sends, from where on, and whom it refuses."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.client import Opened, UpstreamClient
from streamer.net.stream import StreamBody
from streamer.testing import faults
from streamer.testing.wikimedia import SimulatedWikimedia
from streamer.upstream import Request, Response
from streamer.wire.sse import Sent, ServerSent
from tests.unit.network import Network

NOW = 1_700_000_000.0  # seconds since the epoch
RECENT = "/v2/stream/recentchange"
TOPIC = "eqiad.mediawiki.recentchange"
AGENT = "tests/1.0 (tests@streamer.example)"


@attrs.define(eq=False)
class Listener:
    """One open stream."""

    opened: Opened
    data: bytes = b""
    ends: list[Failure] = attrs.field(factory=list)
    framer: ServerSent = attrs.field(factory=ServerSent)
    events: list[Sent] = attrs.field(factory=list)

    def heard(self, data: bytes) -> None:
        """Bytes came."""
        self.data += data
        self.events += self.framer.feed(data)

    @property
    def ids(self) -> list[str]:
        """Of all events, canaries left out."""
        rows = [json.loads(event.data) for event in self.events]
        return [row["meta"]["id"] for row in rows if row["meta"]["domain"] != "canary"]


class Cases(SynchronousTestCase):
    """Clients of a simulation, without any wire."""

    def begin(self, **options: Any) -> SimulatedWikimedia:
        """Start a simulation that must leave nothing behind."""
        self.doCleanups()
        self.clock = Clock()
        self.clock.advance(NOW)
        made = SimulatedWikimedia(self.clock, **{"rate": 5.0, **options})
        self.network = Network(made.resource, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests")
        made.start()
        self.addCleanup(self.ends_quietly, made)
        return made

    def ends_quietly(self, made: SimulatedWikimedia) -> None:
        """Nothing is left."""
        made.stop()
        self.pump()
        self.assertEqual(([], 0), (self.clock.getDelayedCalls(), len(made.connections)))

    def pump(self) -> None:
        """Move bytes."""
        for _ in range(4):
            self.network.flush()
            self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.network.flush()
            seconds -= step

    def open(self, path: str = RECENT, **headers: str) -> Opened:
        """Ask for a stream."""
        said = {"User-Agent": AGENT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        opening = Deferred.fromCoroutine(self.client.open(Request(url=f"http://127.0.0.1{path}", headers=said)))
        self.pump()
        return self.successResultOf(opening)

    def listen(self, path: str = RECENT, **headers: str) -> Listener:
        """Ask for a stream, and get it."""
        opened = self.open(path, **headers)
        self.assertEqual(200, opened.answer.code)
        listener = Listener(opened)
        opened.answer.deliverBody(StreamBody(listener.heard, listener.ends.append))
        self.pump()
        return listener

    def refused(self, path: str = RECENT, **headers: str) -> Response:
        """Ask for a stream, and get none."""
        reading = Deferred.fromCoroutine(self.client.read(self.open(path, **headers)))
        self.pump()
        return self.successResultOf(reading)


class StreamTests(Cases):
    """What is sent."""

    def test_greeting(self) -> None:
        """A comment first, then events as kafka-sse writes them, with LF alone."""
        self.begin(canary_every=0)
        listener = self.listen()
        self.assertEqual(b":ok\n\n", listener.data)
        self.assertEqual(
            [b"text/event-stream; charset=utf-8"], listener.opened.answer.headers.getRawHeaders(b"content-type")
        )
        self.advance(1)
        self.assertRegex(
            listener.data, rb'^:ok\n\nevent: message\nid: \[\{"topic":"eqiad\.[^\n]+\]\ndata: \{[^\n]+\}\n\n'
        )
        self.assertNotIn(b"\r", listener.data)

    def test_same_seed(self) -> None:
        """The same bytes for the same seed, others for another."""
        heard = []
        for seed in (1, 1, 2):
            self.begin(seed=seed)
            listener = self.listen()
            self.advance(5)
            heard.append(listener.data)
        self.assertEqual(heard[0], heard[1])
        self.assertNotEqual(heard[0], heard[2])

    def test_ledger(self) -> None:
        """What was made is what is heard."""
        made = self.begin()
        listener = self.listen()
        self.advance(20)
        self.assertEqual(list(made.ledger.posts), listener.ids)
        self.assertEqual(set(made.ledger.posts), set(made.ledger.made_ms))
        self.assertEqual(1, made.status()["connections"])

    def test_times_go_back(self) -> None:
        """The times in the ids are not in order, as recorded ones are not; each is that of its event."""
        self.begin(rate=50.0)
        listener = self.listen()
        self.advance(5)
        times = [json.loads(event.id)[0]["timestamp"] for event in listener.events]
        self.assertNotEqual(sorted(times), times)
        self.assertEqual(
            [{"topic": "codfw.mediawiki.recentchange", "partition": 0, "offset": -1}],
            json.loads(listener.events[0].id)[1:],
        )

    def test_content(self) -> None:
        """Edits, bots, new pages, logs without an id, categories: what the schema says, and nothing half."""
        self.begin(rate=50.0)
        listener = self.listen()
        self.advance(20)
        rows = [json.loads(event.data) for event in listener.events]
        self.assertEqual({"edit", "new", "log", "categorize", "external"}, {row["type"] for row in rows})
        self.assertTrue(all("id" not in row and "log_type" in row for row in rows if row["type"] == "log"))
        self.assertTrue(all(set(row["length"]) == {"new"} for row in rows if row["type"] == "new"))
        self.assertEqual({True, False}, {row["bot"] for row in rows})
        self.assertGreater(len({row["wiki"] for row in rows}), 5)

    def test_canaries(self) -> None:
        """Every so often one, which is nobody's edit."""
        made = self.begin(canary_every=5.0)
        listener = self.listen()
        self.advance(21)
        domains = [json.loads(event.data)["meta"]["domain"] for event in listener.events]
        self.assertEqual(made.status()["canaries"], domains.count("canary"))
        self.assertGreater(domains.count("canary"), 2)

    def test_cut(self) -> None:
        """After fifteen minutes the connection is over, unfinished."""
        self.begin(rate=0.1)
        listener = self.listen()
        self.advance(899, step=10)
        self.assertEqual([], listener.ends)
        self.advance(2)
        self.assertEqual(1, len(listener.ends))

    def test_inject(self) -> None:
        """An edit of one's own."""
        made = self.begin(rate=0)
        listener = self.listen()
        id_ = made.inject("<b>mine</b>", title="Kakapo", user="Jack")
        self.pump()
        row = json.loads(listener.events[-1].data)
        self.assertEqual((id_, "edit", "Kakapo", "Jack"), (row["meta"]["id"], row["type"], row["title"], row["user"]))
        self.assertEqual(("<b>mine</b>", "&lt;b&gt;mine&lt;/b&gt;"), (row["comment"], row["parsedcomment"]))


class ResumeTests(Cases):
    """From where on."""

    def test_last_id(self) -> None:
        """The last id goes on after its events, and may lose some of that instant; set back in time, it loses none."""
        made = self.begin(rate=50.0, max_connections=9, canary_every=0)
        listener = self.listen()
        self.advance(10)
        lost = 0
        for place in (0, 5, 200, len(listener.events) - 1):
            verbatim = self.listen(Last_Event_ID=listener.events[place].id)
            self.assertNotIn(listener.ids[place], verbatim.ids[:1])
            lost += len({*listener.ids[place + 1 :]} - {*verbatim.ids})
            again = self.listen(Last_Event_ID=self.set_back(listener.events[place].id, 60))
            heard, told = again.ids, listener.ids
            self.assertEqual(set(), {*told[place + 1 :]} - {*heard})
            self.assertLess(len(heard), len(told) - place + 60)
        self.assertGreater(lost, 5)
        self.assertEqual(9, made.status()["connections"])

    def set_back(self, id_: str, by_ms: int) -> str:
        """The id with each of its times earlier."""
        rows = json.loads(id_)
        return json.dumps(
            [{**row, "timestamp": row["timestamp"] - by_ms} if "timestamp" in row else row for row in rows]
        )

    def test_times_in_ids(self) -> None:
        """Each time is 1 ms after that of the last event, as KafkaSSE writes it."""
        made = self.begin(rate=50.0)
        listener = self.listen()
        self.advance(5)
        self.assertEqual(
            [made.ledger.made_ms[id_] + 1 for id_ in listener.ids],
            [json.loads(event.id)[0]["timestamp"] for event in listener.events if b'"canary"' not in event.data],
        )

    def test_from_now_on(self) -> None:
        """A topic of which nothing came begins at the present of the next connection; so does one without an event
        of that time. What happens from then on comes, whatever time it has."""
        made = self.begin(rate=50.0, canary_every=0)
        listener = self.listen()
        self.advance(5)
        for row in ({"offset": -1}, {"timestamp": int(NOW * 1000) + 6_000}):
            again = self.listen(Last_Event_ID=json.dumps([{"topic": TOPIC, "partition": 0, **row}]))
            self.assertEqual([], again.ids)
            before = len(listener.ids)
            self.advance(1)
            self.assertEqual(listener.ids[before:], again.ids)
        self.assertEqual(list(made.ledger.posts), listener.ids)

    def test_place_in_the_log(self) -> None:
        """Until an event of a topic came the id has its place, which is exact; those it leaves out are not sent."""
        streams = ("recentchange", "page-delete")
        self.begin(rate=50.0, canary_every=0, streams=streams)
        listener = self.listen("/v2/stream/recentchange,page-delete")
        self.advance(10)
        since = int(NOW * 1000) + 5_000
        again = self.listen(f"/v2/stream/recentchange,page-delete?since={since}")
        rows = json.loads(again.events[0].id)
        self.assertEqual(["timestamp", "offset", "offset", "offset"], [[*row][2] for row in rows])
        self.assertGreater(rows[2]["offset"], 0)
        deleted = self.listen("/v2/stream/page-delete", Last_Event_ID=json.dumps([rows[2]]))
        self.assertEqual([id_ for id_ in again.ids if id_ in deleted.ids], deleted.ids)
        self.assertTrue(deleted.ids)
        self.assertLess(set(deleted.ids), set(listener.ids))

    def test_since(self) -> None:
        """A time, in ms or ISO, where no id is given; an id is stronger."""
        self.begin(rate=5.0, canary_every=0)
        listener = self.listen()
        self.advance(20)
        for since in (str(int(NOW + 10) * 1000), "2023-11-14T22:13:30Z"):
            again = self.listen(f"{RECENT}?since={since}")
            self.assertEqual(listener.ids[-len(again.ids) :], again.ids)
            self.assertLess(abs(len(again.ids) - 50), 3)
        both = self.listen(f"{RECENT}?since=1", Last_Event_ID=listener.events[-1].id)
        self.assertLess(len(both.ids), 3)
        everything = self.listen(f"{RECENT}?since=1", Last_Event_ID="nonsense")
        self.assertEqual(listener.ids, everything.ids)

    def test_several(self) -> None:
        """Several streams: one id for all of them, and each goes on from its own place."""
        streams = ("recentchange", "page-create", "page-delete")
        made = self.begin(rate=50.0, streams=streams)
        listener = self.listen("/v2/stream/recentchange,mediawiki.page-create,page-delete")
        self.advance(10)
        self.assertEqual(list(made.ledger.posts), listener.ids)
        self.assertEqual(6, len(json.loads(listener.events[-1].id)))
        again = self.listen("/v2/stream/" + ",".join(streams), Last_Event_ID=listener.events[100].id)
        self.assertEqual(set(), {*listener.ids[105:]} - {*again.ids})
        only = self.listen("/v2/stream/page-create?since=1")
        self.assertEqual(
            {"mediawiki.page-create"}, {json.loads(event.data)["meta"]["stream"] for event in only.events}
        )


class RefusalTests(Cases):
    """Who gets nothing."""

    def test_user_agent(self) -> None:
        """Who does not say who he is; a strict server wants a contact."""
        self.begin()
        self.assertEqual(403, self.refused(User_Agent="").status)
        self.assertEqual(200, self.open(User_Agent="anything/1").answer.code)
        self.begin(strict=True)
        self.assertEqual(403, self.refused(User_Agent="anything/1").status)
        self.assertEqual(200, self.open().answer.code)

    def test_words(self) -> None:
        """In the service's own."""
        made = self.begin(max_connections=1)
        self.assertIn(b"Stream Not Found", self.refused("/v2/stream/recentchange,nonsense").body)
        self.assertEqual(400, self.refused(f"{RECENT}?since=yesterday").status)
        self.assertEqual(404, self.refused("/v2/other").status)
        self.listen()
        answer = self.refused()
        self.assertEqual(429, answer.status)
        self.assertIn(b"Too Many Concurrent Connections From Your Client IP", answer.body)
        made.fault(faults.Status(429, reset_after=9))
        self.assertEqual((429, "9"), ((answer := self.refused()).status, answer.headers["retry-after"]))

    def test_impossible(self) -> None:
        """What it cannot do wrong."""
        made = self.begin()
        for fault in (
            faults.Control("limit"),
            faults.Disconnect(),
            faults.DisconnectCode(),
            faults.Status(418),
            faults.Status("too-many-connections"),
        ):
            with self.assertRaisesRegex(ValueError, "Wikimedia has no"):
                made.fault(fault)

    def test_faults(self) -> None:
        """Garbage and long lines are events; an error event is the last."""
        made = self.begin(rate=0)
        listener = self.listen()
        made.fault(faults.Garbage())
        made.fault(faults.Huge(5_000))
        made.fault(faults.Close(reason="resting"))
        self.pump()
        self.assertEqual(["message", "message", "error"], [event.event for event in listener.events])
        self.assertEqual(b'{"message":"resting"}', listener.events[-1].data)
        self.assertEqual(1, len(listener.ends))
