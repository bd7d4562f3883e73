# -*- test-case-name: tests.unit.test_metrics -*-
"""Every counter and gauge of the house, named once.

Rooms add to them through a `Metrics` object that is handed to them; `net/admin.py` renders the object as
Prometheus text. Labels are few and bounded: sources, kinds, reasons; never topics, ids or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs


@attrs.frozen(eq=False)  # identity is enough, and the hash of an identity costs nothing
class Metric:
    """One named number; `labels` are the names of its dimensions, in the order `Metrics.add` takes them.

    A histogram's last label is `le`; `policy.histogram` counts into it.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    gauge: bool = False
    histogram: bool = False


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(f"streamer_{name}_total", help, labels)


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(f"streamer_{name}", help, labels, gauge=True)


def _histogram(name: str, help: str, *labels: str) -> Metric:
    return Metric(f"streamer_{name}", help, (*labels, "le"), histogram=True)


# From the upstream
ITEMS = _counter("items", "Items taken from an upstream and handed to the bus.", "source", "kind")
ITEM_BYTES = _counter("upstream_bytes", "Body bytes read from an upstream.", "source")
BAD_FRAMES = _counter("bad_frames", "Frames dropped because they could not be read.", "source", "reason")
REPEATED_ITEMS = _counter("repeated_items", "Items dropped because their id had just been seen.", "source")
ENDINGS = _counter("connection_endings", "Connections to an upstream that ended.", "source", "cause")
SOURCE_CONNECTED = _gauge("source_connected", "1 while the upstream's stream is open.", "source")
LAST_BYTE = _gauge("last_byte_seconds", "When the last byte came in, seconds since the epoch.", "source")
LAST_ITEM = _gauge("last_item_seconds", "When the last item came in, seconds since the epoch.", "source")
UNCONFIRMED = _gauge("unconfirmed_items", "Items the bus has not taken responsibility for.", "source")
PAUSES = _counter("upstream_pauses", "Times reading stopped because the bus was behind.", "source")
SHED = _counter("shed_items", "Items dropped because the spool was full, as configured.", "source", "kind")
SOURCE_STALE = _gauge(
    "source_stale", "1 while a connected stream has sent no item for longer than expected.", "source"
)
UNDELIVERED = _counter(
    "upstream_undelivered", "Items that an upstream said it kept back, by its shards as far as told apart.", "source",
    "shard",
)  # fmt: skip
UPSTREAM_QUEUE = _gauge("upstream_queue_percent", "How full the upstream's queue for us was when it warned.", "source")
GAPS = _counter("gaps", "Spans of time that were missed and announced.", "source", "cause")
RENEWALS = _counter("renewals", "Connections replaced by a new one of our own accord.", "source", "how")
PENDING_PREDICATES = _gauge("pending_predicates", "Predicates that are wanted and not yet live.", "source")
SENT_AWAY = _counter(
    "hook_calls_sent_away", "Calls to a hook that were asked to come again, since nothing could be taken.", "source"
)
SPOOL_ITEMS = _gauge("spool_items", "Items that wait on disk for the bus.", "source")
SPOOL_BYTES = _gauge("spool_bytes", "Bytes of items that wait on disk for the bus.", "source")
SPOOLED = _counter("spooled_items", "Items written to disk because the bus was away or behind.", "source")
SPOOL_FAILURES = _counter("spool_failures", "Times the spool could not be written, read or was damaged.", "source")

# On the bus
PUBLISHED = _counter("published", "Messages the bus took responsibility for.", "exchange")
REFUSED = _counter("refused", "Messages the bus can never carry, dropped.", "exchange")
REPUBLISHED = _counter("republished", "Messages sent again after a lost connection or a nack.", "exchange")
BUS_CONNECTED = _gauge("bus_connected", "1 while this role's broker connection is usable.", "role")
BUS_ENDINGS = _counter("bus_endings", "Broker connections that ended.", "role", "reason")
BUS_BLOCKED = _gauge("bus_blocked", "1 while the broker blocks publishers.", "role")
DELIVERIES = _counter("deliveries", "Messages handed to a worker.", "queue")
DECISIONS = _counter("decisions", "What became of deliveries.", "queue", "decision")
BUS_DROPPED = _counter("bus_dropped", "Oldest messages dropped at a queue's length limit.", "queue")
BUS_DEAD_LETTERED = _counter("bus_dead_lettered", "Messages moved to streamer.dead.", "queue")
BUS_UNROUTED = _counter(
    "bus_unrouted", "Messages no binding wanted; of RabbitMQ, by how streamer.unrouted grew.", "exchange"
)
BUS_NACKED = _counter("bus_nacked", "Publishes the broker refused for now.", "exchange")
BUS_UNCONFIRMED = _gauge("bus_unconfirmed", "Publishes on the wire, not confirmed.")
BUS_PENDING = _gauge("bus_pending", "Publishes waiting to go on the wire.")
BUS_QUEUE_MESSAGES = _gauge("bus_queue_messages", "Messages that wait in a queue of the broker.", "queue")
BUS_QUEUE_CONSUMERS = _gauge("bus_queue_consumers", "Consumers of a queue of the broker.", "queue")
LANES_HELD = _gauge("bus_held_for_order", "Deliveries that wait for an earlier one of the same author.", "queue")
SHARDS_GIVEN_UP = _counter("bus_shards_given_up", "Shards handed to another worker, for balance.")
LOG_REPEATED = _counter("bus_log_repeated", "Log entries read again after a reconnect, dropped.")
LOG_SKIPPED = _counter("bus_log_skipped", "Log entries that left the log before a reader saw them.")
LOG_RESET = _counter("bus_log_resets", "Times the log was found to be another one than before.")

# While enriching
HYDRATED = _counter("hydrated", "Activities that passed all hydrators.", "source", "kind")
HYDRATOR_FAILURES = _counter(
    "hydrator_failures", "Times a hydrator failed; the activity went on without it.", "hydrator"
)
UNDECODED = _counter("undecoded_items", "Items that could not be decoded, dead-lettered.", "source")
EVENTS_MADE = _counter("events", "Events published.", "type")
HYDRATOR_DROPPED = _counter("hydrator_dropped", "Data an upstream gave that could not be used.", "hydrator", "reason")

# To clients
CLIENTS = _gauge("clients", "Open client connections.", "face")
HANDSHAKES = _counter("handshakes", "Client connections accepted or refused.", "face", "outcome")
JOURNAL_ENTRIES = _gauge("journal_entries", "Events held in memory for clients.")
JOURNAL_BYTES = _gauge("journal_bytes", "Bytes of events held in memory for clients.")
JOURNAL_EVICTED = _counter("journal_evicted", "Events that left the journal at a limit.")
REPEATED_EVENTS = _counter("repeated_events", "Events dropped because their id had just been seen.")
BAD_EVENTS = _counter("bad_events", "Log entries that were not events, dropped.")
DELIVERED = _counter("delivered", "Events written to clients.")
FRAMES = _counter("frames", "Websocket frames written to clients.")
SKIPPED = _counter("skipped", "Events a slow client was told it missed.")
CLOSED = _counter("client_closes", "Connections the relay closed; 1006: those that broke.", "code")
CLIENTS_BEHIND = _gauge("clients_behind", "Clients whose socket does not take what there is for them.")
JOURNAL_FLOOR = _gauge("journal_floor_seconds", "When the oldest event held in memory came, seconds since the epoch.")
QUEUED = _counter("client_writes_queued", "Writes to clients of which a part had to wait for the socket.")
FANOUT_CPU = _counter("fanout_cpu_seconds", "CPU seconds spent on writing events to clients.")
FANOUT_LAG = _histogram("fanout_lag_seconds", "From the making of an event to its first write to a client.")
COLD_READS = _counter("cold_reads", "Times older events were read from the log for clients.", "outcome")
COLD_ENTRIES = _gauge("cold_entries", "Older events held for clients that came back late.")
CONFLATED = _counter("conflated", "Events left out for slow clients because a newer one of the topic followed.")
TOKENS = _counter("tokens", "Tokens shown by clients.", "outcome")
CLIENT_PUBLISHED = _counter("client_publishes", "Events that clients asked to be published.", "outcome")
RELAY_RESTARTS = _counter("relay_restarts", "Relay processes that ended unasked.", "number")
DRAINED = _counter("drained", "Clients sent away because the relay stops.")

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


@attrs.define
class Metrics:
    """The numbers of one process.

    Not thread-safe: only the reactor's thread may touch it.
    """

    _values: dict[tuple[Metric, tuple[str, ...]], float] = attrs.field(factory=dict)

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Raise a counter (or move a gauge) by `by`."""
        key = (metric, labels)
        try:
            self._values[key] += by
        except KeyError:
            self._declare(metric, labels)
            self._values[key] = by

    def set(self, metric: Metric, *labels: str, to: float) -> None:
        """Set a gauge."""
        self._declare(metric, labels)
        self._values[metric, labels] = to

    def value(self, metric: Metric, *labels: str) -> float:
        """The number now; 0 where nothing was counted yet."""
        return self._values.get((metric, labels), 0)

    def total(self, metric: Metric) -> float:
        """The sum over all labels."""
        return sum(number for (known, _), number in self._values.items() if known is metric)

    def __iter__(self) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
        """Every number with its metric and label values, ordered for reading."""
        for (metric, labels), number in sorted(self._values.items(), key=lambda row: (row[0][0].name, row[0][1])):
            yield metric, labels, number

    def _declare(self, metric: Metric, labels: tuple[str, ...]) -> None:
        if len(labels) != len(metric.labels):
            raise TypeError(f"{metric.name} takes the labels {metric.labels}, got {labels}")
