# -*- test-case-name: tests.unit.test_services_enrich -*-
"""What becomes of one item: decode, hydrate, derive, publish, decide.

Nothing here waits unless a hydrator or the bus does. The events of an item are published together and the item is
acknowledged only when the bus has taken responsibility for all of them: a crash in between repeats events, whose ids
make that harmless, and loses none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer import metrics as m
from streamer.activity import Activity
from streamer.errors import BusError, DecodeError, MessageRefused
from streamer.gap import KIND as GAP
from streamer.interfaces import IEventKind, IHydrator, ISource
from streamer.message import ABSENT, Decision, Delivery, Event, Item, Message
from streamer.metrics import Metrics
from streamer.policy.sample import Sample

# Kinds whose items no source is asked to decode, so that none need be configured here: what the stream says about
# itself and its posts stays on `streamer.raw` for those who want it and becomes no event; a gap is our own word.
NEVER_DECODED = frozenset({"limit", "warning", "disconnect", "withheld", GAP})
SAMPLE_BYTES = 200  # of an undecodable item that go to the log


@attrs.define(eq=False)
class Enricher:
    """The handler of the queue `streamer.enrich`.

    Args:
        publish: `IBus.publish`.
        time_limit: seconds an awaitable hydrator has for one activity.
    """

    sources: Mapping[str, ISource]
    hydrators: Sequence[IHydrator]
    kinds: Sequence[IEventKind]
    publish: Callable[[Message], Deferred[None]]
    clock: IReactorTime
    metrics: Metrics
    time_limit: float
    in_hand: int = 0  # items being worked on
    _sample: Sample = attrs.field(factory=Sample)
    _counted: list[dict[str, int]] = attrs.field()

    log = Logger()

    @_counted.default
    def _start_counting(self) -> list[dict[str, int]]:
        return [dict(hydrator.dropped) for hydrator in self.hydrators]

    async def handle(self, delivery: Delivery) -> Decision:
        """Enrich one item; see `interfaces.Handler`.

        An item that cannot be read is rejected: a DecodeError comes from its source, or from the event kind of an
        item that no source decodes. Any other exception from an event kind is a fault of ours and is left to the bus,
        which logs it and tries again up to the delivery limit.
        """
        self.in_hand += 1
        try:
            try:
                item = Item.from_message(delivery.message)
            except ValueError as error:
                return self._reject(delivery.message, error)
            try:
                activity = self._decode(item)
                if activity.kind not in NEVER_DECODED:
                    activity = await self._hydrate(activity)
                events = self._derive(activity)
            except DecodeError as error:
                return self._reject(delivery.message, error)
            return await self._publish(events)
        finally:
            self.in_hand -= 1

    def _decode(self, item: Item) -> Activity:
        if item.kind in NEVER_DECODED:
            return Activity(item=item, kind=item.kind, id=item.id)
        source = self.sources.get(item.source)
        if source is None:
            known = ", ".join(self.sources) or "none"
            raise DecodeError(f"no source {item.source!r} is configured here (known: {known})")
        return source.decode(item)

    def _reject(self, message: Message, error: Exception) -> Decision:
        name = message.message_id.partition("/")[0]
        label = name if name in self.sources else ABSENT
        self.metrics.add(m.UNDECODED, label)
        left_out = self._sample.take(f"item {label}", self.clock.seconds())
        if left_out is not None:
            self.log.warn(
                "Item {id} is dead-lettered: {error}. It begins {begins!r}; {left_out} others were not logged.",
                id=message.message_id,
                error=error,
                begins=message.body[:SAMPLE_BYTES],
                left_out=left_out,
            )
        return Decision.REJECT

    async def _hydrate(self, activity: Activity) -> Activity:
        for index, hydrator in enumerate(self.hydrators):
            try:
                result = hydrator.hydrate(activity)
                if not isinstance(result, Activity):
                    result = await within(self.clock, self.time_limit, result)
                activity = result
            except Exception:
                self._hydrator_failed(hydrator, activity, Failure())
            if hydrator.dropped:
                self._count_dropped(hydrator, self._counted[index])
        self.metrics.add(m.HYDRATED, activity.item.source, activity.kind)
        return activity

    def _hydrator_failed(self, hydrator: IHydrator, activity: Activity, failure: Failure) -> None:
        self.metrics.add(m.HYDRATOR_FAILURES, hydrator.name)
        left_out = self._sample.take(f"hydrator {hydrator.name}", self.clock.seconds())
        if left_out is not None:
            self.log.failure(
                "while hydrator {hydrator} had {kind} {id} of {source}; it goes on without. {left_out} others were "
                "not logged.",
                failure,
                hydrator=hydrator.name,
                kind=activity.kind,
                id=activity.id,
                source=activity.item.source,
                left_out=left_out,
            )

    def _count_dropped(self, hydrator: IHydrator, counted: dict[str, int]) -> None:
        for reason, count in hydrator.dropped.items():
            before = counted.get(reason, 0)
            if count != before:
                counted[reason] = count
                self.metrics.add(m.HYDRATOR_DROPPED, hydrator.name, reason, by=count - before)

    def _derive(self, activity: Activity) -> list[Event]:
        now_ms = int(self.clock.seconds() * 1000)
        return [event for kind in self.kinds if (event := kind.derive(activity, now_ms)) is not None]

    async def _publish(self, events: list[Event]) -> Decision:
        under_way = [(event, self.publish(message)) for event, message in _encoded(events)]
        decision = Decision.ACK
        for event, taken in under_way:
            try:
                await taken
            except MessageRefused as error:  # counted by the bus
                self._event_refused(event, error)
            except BusError:  # the bus stopped; that is not the item's fault
                decision = Decision.RETURN
            else:
                self.metrics.add(m.EVENTS_MADE, event.type)
        return decision

    def _event_refused(self, event: Event, error: MessageRefused) -> None:
        left_out = self._sample.take(f"event {event.type}", self.clock.seconds())
        if left_out is not None:
            self.log.error(
                "Event {id} of {source} is dropped: {error}. {left_out} others were not logged.",
                id=event.id,
                source=event.source,
                error=error,
                left_out=left_out,
            )


def _encoded(events: list[Event]) -> list[tuple[Event, Message]]:
    """All before the first is published, so that what cannot be encoded fails the item and not half of it."""
    return [(event, event.message()) for event in events]


def within(clock: IReactorTime, seconds: float, awaitable: Awaitable[Activity]) -> Deferred[Activity]:
    """The result of an awaitable, or a TimeoutError; then it is cancelled, and not waited for even if it goes on.

    Cancelling the returned Deferred cancels the awaitable.
    """
    inner = Deferred.fromCoroutine(_awaited(awaitable))
    outer: Deferred[Activity] = Deferred(lambda _: inner.cancel())

    def expire() -> None:
        outer.errback(TimeoutError(f"no result within {seconds:g} s"))
        inner.cancel()

    timer = clock.callLater(seconds, expire)

    def finish(result: Activity | Failure) -> None:
        if timer.active():
            timer.cancel()
            outer.callback(result)  # a Failure given to callback is an errback

    inner.addBoth(finish)
    return outer


async def _awaited(awaitable: Awaitable[Activity]) -> Activity:
    result = await awaitable
    if not isinstance(result, Activity):
        raise TypeError(f"a hydrator must give an Activity, not {result!r}")
    return result
