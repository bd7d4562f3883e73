# -*- test-case-name: tests.unit.test_services_enrich -*-
"""Tests for `streamer.services.enrich` and `streamer.services.enricher`, on the in-process bus."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from streamer import metrics as m
from streamer.activity import Activity, Author
from streamer.bus.memory import MemoryBus
from streamer.bus.topology import DEAD, ENRICH
from streamer.errors import BusStopped
from streamer.events.delete import delete
from streamer.events.gap import gap
from streamer.events.geo import geo as geo_kind
from streamer.events.notice import notice
from streamer.events.post import post
from streamer.events.scrub import scrub
from streamer.fanout.journal import Journal
from streamer.gap import Gap
from streamer.hydrators.author import AuthorHydrator
from streamer.hydrators.entities import EntitiesHydrator
from streamer.hydrators.geo import GeoHydrator
from streamer.interfaces import IEventKind, IHydrator, ISource
from streamer.message import Decision, Delivery, Entry, Event, Item, Message, Topic
from streamer.metrics import Metrics
from streamer.policy.sample import PER_PERIOD
from streamer.services.enrich import EnrichService
from streamer.services.enricher import Enricher
from streamer.sources import x_payload

Hydrate = Callable[[Activity], Any]


@implementer(ISource)
@attrs.define(eq=False)
class Birds:
    """A source that only decodes, as X's do; its scrubs all take back what the author 7 said up to the post 10."""

    name: str = "birds"
    profile: str = "x"
    stall_after: float = 20.0
    calls: int = 0

    def decode(self, item: Item) -> Activity:
        """Count and decode."""
        self.calls += 1
        if item.kind == "scrub":
            return Activity(item=item, kind="scrub", id="10", author=Author("7"))
        return x_payload.decode(item)

    def _unused(self, *_: object) -> Any:
        raise AssertionError("enriching does no more than decode")

    prepare = request = refusal = framer = outcomes = _unused


@implementer(IHydrator)
@attrs.define(eq=False)
class Hydrator:
    """A hydrator made of a function."""

    name: str
    hydrate: Hydrate
    dropped: Mapping[str, int] = attrs.field(factory=dict)


@implementer(IEventKind)
@attrs.define(eq=False)
class TooLong:
    """Events whose id no bus can carry."""

    name: str = "toolong"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """An event with a long id."""
        return Event(
            id="x" * 300,
            source="birds",
            type="streamer.toolong",
            topic=Topic("toolong"),
            data={},
            time=0,
            received=0,
            enriched=now_ms,
        )


def raw(id_: str = "1", kind: str = "post", source: str = "birds", **data: Any) -> Message:
    """The message of an item."""
    body: dict[str, Any] = {"data": {"id": id_, "text": "hi #a", **data}}
    if kind == "delete":
        body = {"delete": {"status": {"id": int(id_), "id_str": id_}}}
    return Item(source=source, kind=kind, id=id_, received=0, body=json.dumps(body).encode()).message()


class EnrichTests(SynchronousTestCase):
    """The service from item to event."""

    def setUp(self) -> None:
        """A running bus, and the events that a reader of its log has seen."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.metrics, delay=lambda attempt: 0.0)
        self.bus.startService()
        self.events: list[dict[str, Any]] = []
        self.bus.log(0.0, self.receive)
        self.source = Birds()

    def receive(self, entry: Entry) -> None:
        """Keep an event."""
        self.events.append(json.loads(entry.message.body))

    def settle(self) -> None:
        """Let the bus hand out what is ready."""
        for _ in range(20):
            self.clock.advance(0)

    def start(
        self, *hydrators: Any, kinds: Any = (post, geo_kind, notice, delete, scrub, gap), **options: Any
    ) -> EnrichService:
        """A running service that is stopped, and the bus with it, at the end of the test."""
        service = EnrichService(
            self.bus, {"birds": self.source}, hydrators, kinds, self.clock, self.metrics, **options
        )
        service.startService()
        self.addCleanup(self.stop, service)
        self.settle()
        return service

    def stop(self, service: EnrichService) -> None:
        """Everything stops, and nothing is left behind."""
        self.successResultOf(service.stopService())
        self.successResultOf(self.bus.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def publish(self, *messages: Message) -> list[str]:
        """Hand items to the bus; returns the ids of the events that have come out so far."""
        for message in messages:
            self.bus.publish(message)
        self.settle()
        return [event["id"] for event in self.events]

    def dead(self) -> int:
        """How many items were dead-lettered."""
        found: list[Delivery] = []

        async def collect(delivery: Delivery) -> Decision:
            found.append(delivery)
            return Decision.ACK

        reading = self.bus.work(DEAD, collect, 100)
        self.settle()
        self.successResultOf(reading.stop())
        return len(found)

    def decisions(self) -> dict[str, float]:
        """What became of the items."""
        found = ((row, self.metrics.value(m.DECISIONS, ENRICH, row)) for row in ("ack", "retry", "reject"))
        return {decision: count for decision, count in found if count}

    def test_post(self) -> None:
        """A post becomes its events, which are counted, and the item is done."""
        self.start(EntitiesHydrator(), AuthorHydrator(), GeoHydrator())
        place = {"geo": {"coordinates": {"type": "Point", "coordinates": [174.7, -36.8]}}}
        self.assertEqual(self.publish(raw("7", **place)), ["post:7", "geo:7", "notice:7"])
        self.assertEqual(self.events[0]["data"]["tags"], ["a"])
        self.assertEqual(self.events[0]["enriched"], "2023-11-14T22:13:20.000Z")
        self.assertEqual((self.events[1]["data"]["lon"], self.events[1]["data"]["lat"]), (174.7, -36.8))
        self.assertEqual(self.decisions(), {"ack": 1})
        self.assertEqual(self.metrics.value(m.HYDRATED, "birds", "post"), 1)
        self.assertEqual(self.metrics.value(m.EVENTS_MADE, "streamer.geo"), 1)

    def test_delete(self) -> None:
        """A deletion becomes one event."""
        self.start(EntitiesHydrator())
        self.assertEqual(self.publish(raw("7", "delete")), ["delete:7"])

    def test_scrub(self) -> None:
        """Locations taken back become one event."""
        self.start(EntitiesHydrator(), AuthorHydrator(), GeoHydrator())
        self.assertEqual(self.publish(raw("1", "scrub")), ["scrub:7:10"])
        self.assertEqual(self.events[0]["data"], {"author": "7", "up_to": "10"})

    def test_scrubbed_in_the_relay(self) -> None:
        """What a relay keeps of an author's posts and places holds no location once these were taken back."""
        self.start(GeoHydrator())
        journal = Journal()
        self.bus.log(0.0, lambda entry: journal.append(entry) and None)
        where = {"geo": {"coordinates": {"type": "Point", "coordinates": [174.75, -36.85]}}}
        posts = [raw(id_, author_id=author, **where) for id_, author in (("9", "7"), ("11", "7"), ("8", "6"))]
        self.publish(*posts, raw("1", "scrub"), raw("10", author_id="7", **where))
        held = [json.loads(journal[place].event) for place in range(journal.head)]
        located = {event["id"] for event in held if "174.75" in json.dumps(event)}
        self.assertEqual(located, {"post:11", "geo:11", "post:8", "geo:8"})
        texts = {event["data"]["id"]: event["data"]["text"] for event in held if event["type"] == "streamer.post"}
        self.assertEqual(texts, dict.fromkeys(("9", "11", "8", "10"), "hi #a"))

    def test_about_the_stream(self) -> None:
        """What the stream says about itself or withholds is done without events, and is not called undecoded."""
        self.start(EntitiesHydrator())
        kinds = ("limit", "warning", "disconnect", "withheld")
        self.assertEqual(self.publish(*(raw("1", kind) for kind in kinds)), [])
        self.assertEqual(self.publish(*(raw("1", kind, source="cats") for kind in kinds)), [])
        self.assertEqual((self.source.calls, self.decisions()), (0, {"ack": 8}))
        self.assertEqual((self.metrics.total(m.UNDECODED), self.metrics.total(m.HYDRATED)), (0, 0))

    def test_gap(self) -> None:
        """A gap becomes its event without a word from the source, also where no such source is configured here."""
        self.start(EntitiesHydrator())
        missed = Gap(start=1_000, end=2_000, cause="stall")
        ids = self.publish(*(missed.item(name, 3_000).message() for name in ("birds", "cats")))
        self.assertEqual(ids, ["gap:1000-2000:stall"] * 2)
        self.assertEqual([event["topic"] for event in self.events], ["gap.birds", "gap.cats"])
        self.assertEqual((self.source.calls, self.decisions()), (0, {"ack": 2}))

    def test_unreadable_gap(self) -> None:
        """A gap that cannot be read is dead-lettered at once, counted and described."""
        self.start()
        with capturedLogs() as logs:
            self.assertEqual(self.publish(raw("1", "gap"), raw("2")), ["post:2", "notice:2"])
        self.assertEqual((self.dead(), self.decisions()), (1, {"reject": 1, "ack": 1}))
        self.assertEqual(self.metrics.value(m.UNDECODED, "birds"), 1)
        self.assertIn("no gap", str(logs[0]["error"]))

    def test_unknown_to_the_decoder(self) -> None:
        """Kinds in which the source sees nothing are done without events."""
        self.start(EntitiesHydrator())
        self.assertEqual(self.publish(raw("1", "like")), [])
        self.assertEqual(self.decisions(), {"ack": 1})

    def test_undecodable(self) -> None:
        """What cannot be decoded is dead-lettered at once, counted, and described in the log; the next one goes on."""
        self.start()
        bad = msgspec.structs.replace(raw("1"), body=b'{"data":{"id":"1"}}')
        with capturedLogs() as logs:
            self.assertEqual(self.publish(bad, raw("2")), ["post:2", "notice:2"])
        self.assertEqual((self.dead(), self.decisions()), (1, {"reject": 1, "ack": 1}))
        self.assertEqual(self.metrics.value(m.UNDECODED, "birds"), 1)
        self.assertIn("birds/1", logs[0]["id"])
        self.assertEqual(logs[0]["begins"], b'{"data":{"id":"1"}}')
        self.assertIn("text", str(logs[0]["error"]))

    def test_unknown_source(self) -> None:
        """Items of a source that is not configured here are dead-lettered, under one label."""
        self.start()
        with capturedLogs() as logs:
            self.publish(raw("1", source="fish"), raw("2", source="cats"), raw("3", "delete", source="cats"))
        self.assertEqual((self.dead(), self.metrics.value(m.UNDECODED, "-")), (3, 3))
        self.assertIn("no source 'fish' is configured here (known: birds)", str(logs[0]["error"]))

    def test_no_item(self) -> None:
        """A message that is no item is dead-lettered."""
        self.start()
        with capturedLogs():
            self.publish(msgspec.structs.replace(raw("1"), headers={}))
        self.assertEqual((self.dead(), self.metrics.value(m.UNDECODED, "birds")), (1, 1))

    def test_log_is_bounded(self) -> None:
        """A stream of bad items fills the counter and not the log; the next period tells how many were left out."""
        self.start()
        with capturedLogs() as logs:
            self.publish(*(msgspec.structs.replace(raw(str(index)), body=b"") for index in range(100)))
            self.clock.advance(61)
            self.publish(msgspec.structs.replace(raw("101"), body=b""))
        self.assertEqual(self.metrics.value(m.UNDECODED, "birds"), 101)
        self.assertEqual([entry["left_out"] for entry in logs], [*[0] * PER_PERIOD, 100 - PER_PERIOD])

    def test_order(self) -> None:
        """Hydrators run in the configured order, each on what the one before made."""
        first = Hydrator("first", lambda activity: msgspec.structs.replace(activity, lang="en"))
        second = Hydrator("second", lambda activity: msgspec.structs.replace(activity, text=f"{activity.lang}!"))
        self.start(first, second)
        self.publish(raw("1"))
        self.assertEqual((self.events[0]["data"]["lang"], self.events[0]["data"]["text"]), ("en", "en!"))

    def test_p8_failing_hydrator(self) -> None:
        """PT P8: one that fails is counted and logged, and the activity goes on as it was, through the others."""

        def fail(activity: Activity) -> Activity:
            raise ZeroDivisionError("broken")

        self.start(Hydrator("broken", fail), Hydrator("none", lambda activity: None), EntitiesHydrator())
        self.publish(raw("1"), raw("2"))
        self.assertEqual([event["id"] for event in self.events], ["post:1", "notice:1", "post:2", "notice:2"])
        self.assertEqual(self.events[0]["data"]["tags"], ["a"])
        self.assertEqual(self.metrics.value(m.HYDRATOR_FAILURES, "broken"), 2)
        self.assertEqual(self.metrics.value(m.HYDRATOR_FAILURES, "none"), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_awaited(self) -> None:
        """Coroutines and Deferreds are waited for; meanwhile other items go on."""
        waiting: dict[str, Deferred[str]] = {"1": Deferred(), "2": Deferred()}

        async def ask(activity: Activity) -> Activity:
            return msgspec.structs.replace(activity, lang=await waiting[activity.id])

        def at_once(activity: Activity) -> Deferred[Activity]:
            return succeed(msgspec.structs.replace(activity, thread="9"))

        service = self.start(Hydrator("ask", ask), Hydrator("at once", at_once), kinds=[post])
        self.assertEqual(self.publish(raw("1"), raw("2")), [])
        self.assertEqual(service.status()["in_hand"], 2)
        waiting["2"].callback("de")
        self.assertEqual(self.publish(), ["post:2"])
        waiting["1"].callback("en")
        self.assertEqual(self.publish(), ["post:2", "post:1"])
        self.assertEqual(
            [(event["data"]["lang"], event["data"]["thread"]) for event in self.events], [("de", "9"), ("en", "9")]
        )
        self.assertEqual((service.status()["in_hand"], self.clock.getDelayedCalls()), (0, []))

    def test_time_limit(self) -> None:
        """One that does not answer in time is cancelled and counted, and the activity goes on without."""
        cancelled: list[Any] = []
        self.start(
            Hydrator("slow", lambda _: Deferred(cancelled.append)), EntitiesHydrator(), kinds=[post], time_limit=2.0
        )
        self.publish(raw("1"))
        self.clock.advance(1.9)
        self.assertEqual((self.publish(), cancelled), ([], []))
        self.clock.advance(0.2)
        self.assertEqual((self.publish(), len(cancelled)), (["post:1"], 1))
        self.assertEqual(self.metrics.value(m.HYDRATOR_FAILURES, "slow"), 1)
        self.assertEqual(len(self.flushLoggedErrors(TimeoutError)), 1)

    def test_time_limit_holds(self) -> None:
        """One that will not be cancelled does not hold up the item."""
        for_ever: Deferred[Activity] = Deferred()

        async def stubborn(activity: Activity) -> Activity:
            try:
                return await Deferred()
            except CancelledError:
                return await for_ever

        self.start(Hydrator("stubborn", stubborn), kinds=[post])
        self.publish(raw("1"))
        self.clock.advance(2.0)
        self.assertEqual(self.publish(), ["post:1"])
        self.assertEqual(len(self.flushLoggedErrors(TimeoutError)), 1)
        for_ever.callback(
            Activity(item=Item(source="birds", kind="post", id="1", received=0, body=b""), kind="post", id="1")
        )
        self.assertEqual(self.publish(), ["post:1"])

    def test_refused_event(self) -> None:
        """An event that the bus can never carry is counted and logged; the others of the item still go."""
        self.start(kinds=[post, TooLong(), notice])
        with capturedLogs() as logs:
            self.assertEqual(self.publish(raw("1")), ["post:1", "notice:1"])
        self.assertEqual(self.metrics.total(m.REFUSED), 1)
        self.assertEqual(self.metrics.value(m.EVENTS_MADE, "streamer.toolong"), 0)
        self.assertEqual(self.decisions(), {"ack": 1})
        self.assertEqual([entry["log_level"] for entry in logs], [LogLevel.error])

    def test_broken_kind(self) -> None:
        """A fault of ours in an event kind is loud, and publishes nothing of the item, not half of it."""

        class Broken(TooLong):
            def derive(self, activity: Activity, now_ms: int) -> Event | None:
                raise ZeroDivisionError("broken")

        self.start(kinds=[post, Broken()])
        self.assertEqual(self.publish(raw("1")), [])
        self.assertEqual(self.dead(), 1)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bad_places(self) -> None:
        """What the geo hydrator drops is counted by reason, once, whatever it had dropped before."""
        hydrator = GeoHydrator()
        nowhere = {"geo": {"coordinates": {"coordinates": [0, 0]}}}
        item = Item.from_message(raw("0", **nowhere))
        hydrator.hydrate(x_payload.decode(item))
        self.start(hydrator)
        self.publish(
            raw("1", **nowhere), raw("2", **nowhere), raw("3"), raw("4", geo={"coordinates": {"coordinates": []}})
        )
        self.assertEqual(self.metrics.value(m.HYDRATOR_DROPPED, "geo", "null-island"), 2)
        self.assertEqual(self.metrics.value(m.HYDRATOR_DROPPED, "geo", "not-a-number"), 1)

    def test_ready(self) -> None:
        """Ready is: started, consuming, and the bus takes messages."""
        service = EnrichService(self.bus, {"birds": self.source}, [], [post], self.clock, self.metrics)
        self.assertFalse(service.ready)
        service.startService()
        self.settle()
        self.assertTrue(service.ready)
        status = service.status()
        self.assertEqual((status["ready"], status["sources"], status["events"]), (True, ["birds"], ["post"]))
        json.dumps(status)
        self.successResultOf(service.stopService())
        self.assertFalse(service.ready)
        self.stop(service)

    def test_stop_finishes_what_was_begun(self) -> None:
        """Stopping waits for the items in hand, whose events are published, and takes no more."""
        answer: Deferred[Activity] = Deferred()
        asked: list[Activity] = []

        def ask(activity: Activity) -> Awaitable[Activity]:
            asked.append(activity)
            return answer

        service = EnrichService(
            self.bus, {"birds": self.source}, [Hydrator("ask", ask)], [post], self.clock, self.metrics
        )
        service.startService()
        self.publish(raw("1"))
        stopping = service.stopService()
        self.publish(raw("2"))
        self.assertNoResult(stopping)
        answer.callback(asked[0])
        self.settle()
        self.successResultOf(stopping)
        self.assertEqual((self.publish(), len(asked)), (["post:1"], 1))
        self.assertEqual(self.metrics.value(m.DELIVERIES, ENRICH), 1)
        self.start(kinds=[post])
        self.assertEqual(self.publish(), ["post:1", "post:2"])

    def test_p7_nothing_lost_while_down(self) -> None:
        """PT P7: items published while no enricher runs wait for the next one."""
        self.publish(raw("1"), raw("2"))
        self.start(kinds=[post])
        self.assertEqual(self.publish(), ["post:1", "post:2"])

    def test_wiring_is_checked(self) -> None:
        """A part that is none fails at start-up, not at the first item."""
        for sources, hydrators, kinds in (({"birds": post}, [], []), ({}, [post], []), ({}, [], [self.source])):
            with self.assertRaises(TypeError):
                EnrichService(self.bus, sources, hydrators, kinds, self.clock, self.metrics)  # type: ignore[arg-type]


class EnricherTests(SynchronousTestCase):
    """Decisions that a bus in good health never asks for."""

    def setUp(self) -> None:
        """An enricher whose confirms are in the test's hands."""
        self.clock = Clock()
        self.published: list[tuple[str, Deferred[None]]] = []
        self.enricher = Enricher(
            sources={"birds": Birds()},
            hydrators=[],
            kinds=[post, notice],
            publish=self.publish,
            clock=self.clock,
            metrics=Metrics(),
            time_limit=2.0,
        )

    def publish(self, message: Message) -> Deferred[None]:
        """Take a message, and leave its confirm to the test."""
        waiting: Deferred[None] = Deferred()
        self.published.append((message.message_id, waiting))
        return waiting

    def handle(self) -> Deferred[Any]:
        """Give it one item."""
        self.published.clear()
        return Deferred.fromCoroutine(self.enricher.handle(Delivery(raw("1"))))

    def test_waits_for_every_confirm(self) -> None:
        """The events go out together; the item is done when the last one is confirmed."""
        decided = self.handle()
        self.assertEqual([id_ for id_, _ in self.published], ["/sources/birds#post:1", "/sources/birds#notice:1"])
        self.published[1][1].callback(None)
        self.assertNoResult(decided)
        self.published[0][1].callback(None)
        self.assertEqual(self.successResultOf(decided).value, "ack")

    def test_bus_stopped(self) -> None:
        """An item one of whose events did not get out is handed back, and makes the same ids again."""
        decided = self.handle()
        before = [id_ for id_, _ in self.published]
        self.published[0][1].errback(BusStopped("stopping"))
        self.assertNoResult(decided)
        self.published[1][1].callback(None)
        self.assertEqual(self.successResultOf(decided).value, "return")
        self.handle()
        self.assertEqual([id_ for id_, _ in self.published], before)
