# -*- test-case-name: tests.unit.test_registry -*-
"""Every seam of the house.

zope interfaces stand where plugins and adapters meet the rooms; wiring casts (`IBus(bus)`), so that a swapped
argument fails at start-up. Unless a docstring says otherwise, nothing here may block, and everything runs in the
reactor's thread. Times called `now` are seconds since the epoch (float), those called `…_ms` milliseconds (int).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

import msgspec
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from streamer.activity import Activity
from streamer.asks import Ask
from streamer.message import Decision, Delivery, Entry, Event, Item, Message
from streamer.upstream import Ending, Mark, Missed, Prepared, Request, Response, Resume, Undelivered, Warned

Handler = Callable[[Delivery], Awaitable[Decision]]
Receiver = Callable[[Entry], None]


class Offset(msgspec.Struct, frozen=True):
    """Where to begin to read the log: at the entry of this number; `LAST` is near the end, at the last at latest."""

    number: int


LAST = Offset(-1)


# What one frame means: something to publish, the end of this connection, or a word about it.
Outcome = Item | Ending | Undelivered | Warned | Missed | Mark
Preparation = Generator[Request, Response, Ending | Prepared]
Frame = Any  # bytes; from an SSE framer `wire.sse.Sent`


class IFramer(Interface):
    """Cuts frames out of a byte stream. No clock, no transport; any split of the bytes yields the same frames."""

    def feed(data: bytes) -> Sequence[Frame]:
        """Take bytes.

        Returns:
            The frames completed by them, keep-alives left out. Frames past the limit are skipped and
            counted in `skipped`.

        Raises:
            DecodeError: what comes is no such stream, and where the next frame begins cannot be told: hang up.
        """

    def finish() -> bytes:
        """The stream is at its end. Returns the bytes of an unfinished frame, for the log; b"" if none."""

    skipped = Attribute("int: frames dropped so far because they were longer than the limit.")
    pending = Attribute("bool: the beginning of a frame is held.")


class ISource(Interface):
    """One configured use of an upstream. It describes requests and decodes frames; it does no I/O.

    A frozen value: other predicates make another source (`with_predicates`), so that what is wanted and what is live
    can be held side by side.
    """

    name = Attribute("str: the configured name.")
    profile = Attribute("str: name of the back-off profile in `policy.backoff.PROFILES`.")
    stall_after = Attribute("float: seconds without a byte after which the connection is dead; `inf` for never.")
    credential = Attribute("str: opaque; equal for sources whose connects the upstream counts together.")
    lane = Attribute("str: opaque; two sources with the same lane would cut each other off, so they are refused.")
    predicates = Attribute("msgspec.Struct of `ISourceType.predicates`: what is asked for; None without any.")
    live_predicates = Attribute("bool: other predicates take effect by `prepare` alone, without a new connection.")

    def with_predicates(predicates: Any) -> ISource:
        """The same source asking for something else.

        Raises:
            ValueError: the upstream would refuse it; the text names the limit.
        """

    def changes(other: ISource) -> int:
        """How many predicates differ from those of another state of this source; 0 where none does."""

    def prepare(dry_run: bool) -> Preparation:
        """Short requests to make before the stream, as a generator: yields requests, is sent responses.

        Args:
            dry_run: change nothing, only find out whether the upstream would take it.

        Returns:
            From the generator: what was changed, an `Ending` where connecting would be pointless.
        """

    def request(resume: Resume | None, now_ms: int) -> Ask:
        """What to ask for: one stream, or another value of `asks`.

        Args:
            resume: where this source got to; None where nothing is known, then all that can be had is asked for.
        """

    def recovery(from_ms: int, to_ms: int, cursor: str | None) -> Ask | None:
        """What repeats a span of the past, and ends; `cursor` is the last before it. None where nothing does."""

    def refusal(response: Response) -> Ending:
        """Classify an answer other than 200 to the stream's request, or to one of `prepare`."""

    def framer() -> IFramer:
        """A new framer for one connection; the transport has undone any compression."""

    def outcomes(frame: Frame, received_ms: int) -> Sequence[Outcome]:
        """What a frame means.

        Raises:
            DecodeError: not understood; the caller counts it and goes on.
        """

    def posted(item: Item) -> int | None:
        """When the upstream says an item of `outcomes` was posted, ms since the epoch; None where it does not tell."""

    def decode(item: Item) -> Activity:
        """The whole meaning of an item that `outcomes` made, used by `twistd enrich`.

        Raises:
            DecodeError: not understood; the item is dead-lettered.
        """


class ISourceType(Interface):
    """Plugin: a kind of upstream. One module of `streamer/sources/` holds one, with the source it builds."""

    name = Attribute("str: what `type = …` in the configuration says.")
    settings = Attribute("type: msgspec.Struct of the source's own keys; unknown keys are errors.")
    predicates = Attribute("type: msgspec.Struct of what can be asked for, as in the file; None without any.")
    kinds = Attribute("frozenset[str]: of the items it makes; see `message.Item`.")

    def build(name: str, settings: Any) -> ISource:
        """Make a source.

        Raises:
            ValueError: the settings contradict each other; the text says how to mend it.
        """


class IHydrator(Interface):
    """Plugin: adds data points to a decoded item. One module of `streamer/hydrators/` holds one."""

    name = Attribute("str: what `[enrich] hydrators = […]` says.")

    def hydrate(activity: Activity) -> Activity | Awaitable[Activity]:
        """Return the activity with more in it; never less.

        An awaitable is given `[enrich] time_limit` seconds. An exception is counted, and the activity goes on
        as it was.
        """

    dropped = Attribute(
        "Mapping[str, int]: counts of upstream data it found unusable, by reason; read by the service."
    )


class IEventKind(Interface):
    """Plugin: derives one kind of event. One module of `streamer/events/` holds one."""

    name = Attribute("str: what `[enrich] events = […]` says.")

    def derive(activity: Activity, now_ms: int) -> Event | None:
        """The event this activity gives rise to; None where its data is not there. Never half an event.

        Raises:
            DecodeError: the item cannot be read; it is dead-lettered.
        """


class ISubscription(Interface):
    """A running `work` or `log`. It survives lost broker connections by itself."""

    ready = Attribute("bool: messages can reach the handler right now (the broker confirmed the consumer).")

    def stop() -> Deferred[None]:
        """Take no more messages, let running handlers finish and their decisions be told, then fire.

        Handlers get `deadline.DRAIN` seconds; what they do not finish, or was not begun, is delivered again.
        """


class IWork(ISubscription):
    """A running `work`."""

    active = Attribute(
        "bool: the queue has handed it something since it connected; at a queue with a single active worker, it is it."
    )
    workers = Attribute(
        "int: how many work the queue; 0 where that is not known, as with RabbitMQ of an ordered queue."
    )


class ILog(ISubscription):
    """A running reader of the log: history first, then live, each entry once, in order."""

    caught_up = Attribute("Deferred[None]: fires once, when the history that existed at the start has been read.")

    def pause() -> None:
        """Let the broker send no more for now; what it has sent already, `bus.reader.READ_AHEAD` entries at most and
        the rest of their chunk, may still be received. A pause that lasts holds back `caught_up`, too.
        """

    def resume() -> None:
        """Undo `pause`."""


class IBus(IService):
    """The bus. Three verbs and no others; it is a service, and works from its start to its stop.

    Declares its topology by itself, after every connect. Lost connections are its own business: publishing goes
    on when it is back, with the same `message_id`.
    """

    ready = Attribute("bool: a message published now would be taken soon: connected, not blocked, not stuck.")
    status = Attribute("str: a sentence for the operator, with the broker's own reason where something is wrong.")
    trouble = Attribute("str: what a user would miss though the bus is ready, as a sentence; empty where nothing.")

    def publish(message: Message) -> Deferred[None]:
        """Hand a message over. May be called any number of times without waiting; see `window`.

        Returns:
            Fires when the bus has taken responsibility (the broker's confirm). Fails with MessageRefused where
            the message can never be carried, with BusStopped where the bus stopped first. One publisher's order is
            kept in each queue, but for what a full queue of RabbitMQ refused.
        """

    durable = Attribute("bool: what was published outlives this process.")

    locks = Attribute("ILocks: sees to it that a source is followed by one process only; see `operating`.")

    window = Attribute("int: unconfirmed messages beyond which a publisher should wait for a Deferred to fire.")

    def work(queue: str, handler: Handler, prefetch: int) -> IWork:
        """Compete for a queue's messages.

        From the queue of a shard, messages with one partition key are handled one after the other (`bus.lanes`). What
        is handed back comes before all that was never handed out; RabbitMQ before 4.3 counts it as a failure, memory
        does not.

        Args:
            queue: a name of `bus.topology.layout`.
            handler: awaited for each delivery, up to `prefetch` at a time; an exception means RETRY and is logged.
            prefetch: deliveries under way at once, 1 to 65535.
        """

    def log(start: float | Offset, receive: Receiver) -> ILog:
        """Read the log of `streamer.events`.

        Args:
            start: seconds to look back; 0 starts with what comes next, and the bus may give older entries too. Or
                the offset to begin at: where the log no longer has that entry, it begins with the oldest there is,
                and the receiver sees it by its offset. An offset that the log has not reached yet is waited for.
            receive: called for each entry in order; must not fail. It may stop or pause the reader.
        """
