"""A source's service, a simulated upstream and the in-memory bus, joined in memory and driven by one clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from streamer.asks import Dial, Listen, Play, Poll
from streamer.bus.memory import MemoryBus
from streamer.gap import Gap
from streamer.interfaces import ISource, ISourceType
from streamer.message import Decision, Delivery, Item, Message
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient, Way
from streamer.net.dialer import Dialer
from streamer.net.player import Player
from streamer.net.poller import Poller
from streamer.registry import find
from streamer.services.intake import Limits
from streamer.services.keeping import Keeping
from streamer.services.sourcing import Sourcing
from streamer.services.streamer import StreamerService
from streamer.sources.x_filtered import Predicates
from streamer.sources.x_rules import Rule
from streamer.tables import CommonSettings, SourceSettings
from streamer.testing.x import SimulatedX
from tests import upstreams
from tests.unit.hooking import in_memory
from tests.unit.network import Network
from tests.upstreams.x_filtered import RULES

START = 1_700_000_000.0  # seconds since the epoch
SPOOL_BYTES = 1_000_000_000  # the default of `[streamer] spool_bytes`


class HeldBus(MemoryBus):
    """The in-memory bus, which for as long as a test wants takes responsibility for nothing more, or is away."""

    held: list[tuple[Message, Deferred[None]]] | None = None
    away: bool = False

    @property
    def ready(self) -> bool:
        """As the test wants."""
        return not self.away

    def publish(self, message: Message) -> Deferred[None]:
        """Publish, or hold it until `release`."""
        if self.held is None:
            return MemoryBus.publish(self, message)
        waiting: Deferred[None] = Deferred()
        self.held.append((message, waiting))
        return waiting

    def release(self) -> None:
        """Publish what was held, and whatever comes."""
        held, self.held = self.held or [], None
        for message, waiting in held:
            MemoryBus.publish(self, message).chainDeferred(waiting)


class Following:
    """One source that follows a simulation, with what it published.

    Args:
        table: of the source; a filtered stream of X by default.
        simulation: anything with `resource`, `start` and `stop`, made with the clock; an X by default.
        durable: whether the bus is said to outlive the process.
        keeping: the source's files.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = RULES,
        backfill_minutes: int = 0,
        resource: Any = None,
        window: int = 1000,
        table: SourceSettings | None = None,
        simulation: Any = SimulatedX,
        durable: bool = True,
        keeping: Keeping | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        common: CommonSettings | None = None,
        recovery: bool = False,
        **options: Any,
    ) -> None:
        if clock is None:
            clock = Clock()
            clock.advance(START)
        self.clock = clock
        self.metrics = Metrics()
        self.bus = HeldBus(self.clock, self.metrics)
        self.bus.window, self.bus.durable = window, durable
        self.bus.startService()
        self.x = simulation(self.clock, **options) if isinstance(simulation, type) else simulation
        if isinstance(simulation, type):
            self.x.start()
        self.network = Network(resource or self.x.resource, self.clock)
        self.hooks, self.ports = in_memory(self.clock)
        self.fatal: list[str] = []
        sourcing = Sourcing(
            self.bus,
            UpstreamClient(self.network.agent, self.clock, "tests", self.ways()),
            self.clock,
            self.metrics,
            lambda: 0.0,
            self.fatal.append,
            lambda name: keeping,
            limits or Limits(SPOOL_BYTES),
        )
        table = table or x_table(rules, backfill_minutes, common, recovery)
        self.streamer = StreamerService({"birds": table}, sourcing)
        self.service = self.streamer.sources["birds"]
        self.follower = self.service.follower
        self.intake = self.service.progress.intake
        self.items: list[Item] = []
        self.bus.work("streamer.enrich", self._keep, 1000)

    @classmethod
    def of(
        cls, kind: str, own: Mapping[str, Any] | None = None, common: CommonSettings | None = None, **options: Any
    ) -> Following:
        """A source of any type with the simulation that goes with it.

        Args:
            own: settings of the source that are other than in `tests.upstreams`.
            options: of the simulation, and of `Following`.
        """
        upstream = upstreams.of(kind)
        table, simulation = table_of(kind, own, common), options.pop("simulation", upstream.simulation)
        if isinstance(simulation, type):
            options = {**upstream.options, **options}
        return cls(table=table, simulation=simulation, **options)

    def ways(self) -> Mapping[type, Way]:
        """As `net.ways` has them, in memory."""
        return {
            Poll: Poller(self.clock, lambda: 0.0, self.hooks),
            Dial: Dialer(self.network.endpoint, self.clock),
            Listen: self.hooks,
            Play: Player(self.clock),
        }

    @property
    def source(self) -> ISource:
        """What is wanted."""
        return self.service.wanted.source

    async def _keep(self, delivery: Delivery) -> Decision:
        self.items.append(Item.from_message(delivery.message))
        return Decision.ACK

    def start(self) -> None:
        """Start to follow, and let the first requests happen."""
        self.service.startService()
        self.pump()

    def pump(self, turns: int = 6) -> None:
        """Move bytes both ways until nothing more is under way; no time passes but the bus's own turns."""
        for _ in range(turns):
            self.network.flush()
            self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in steps, moving bytes after each."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.pump(2)
            seconds -= step

    @property
    def upstream(self) -> upstreams.Upstream:
        """The upstream of the type that is followed."""
        return upstreams.of(self.service.wanted.kind.name)

    def ids(self, *kinds: str) -> list[str]:
        """What reached the bus, in order; without kinds, what the simulation's ledger would call posts."""
        wanted = kinds or self.upstream.kinds
        return [item.id for item in self.items if item.kind in wanted]

    def gaps(self) -> list[Gap]:
        """The gaps that were announced."""
        return [Gap.from_item(item) for item in self.items if item.kind == "gap"]

    def due(self) -> list[str]:
        """The posts that were made for this source, in order."""
        return self.upstream.due(list(self.x.ledger.posts))

    def missing(self) -> list[str]:
        """The posts that were due and did not reach the bus."""
        have = set(self.ids())
        return [id_ for id_ in self.due() if id_ not in have]

    def unannounced(self) -> list[str]:
        """Missing posts, since the first that arrived, that were posted outside of every gap: silent losses."""
        spans, have = [(gap.start, gap.end) for gap in self.gaps()], set(self.ids())
        due = self.due()
        first = next((index for index, id_ in enumerate(due) if id_ in have), len(due))
        return [
            id_
            for id_ in due[first:]
            if id_ not in have and not any(start <= self.posted(id_) <= end for start, end in spans)
        ]

    def posted(self, id_: str) -> int:
        """When a post was posted, ms since the epoch."""
        told = self.x.ledger.made_ms.get(id_)
        if told is not None:
            return int(told)
        found = self.source.posted(Item(source="birds", kind="post", id=id_, received=0, body=b""))
        assert found is not None
        return found

    def end(self) -> Deferred[None]:
        """Stop the source alone."""
        stopping = self.service.stopService()
        self.pump()
        return stopping

    def stop(self) -> list[Any]:
        """Stop everything; returns the timers that were left behind."""
        stopping = self.end()
        assert stopping.called, "the source did not stop"
        self.x.stop()
        self.pump()
        self.bus.stopService()
        self.pump()
        return list(self.clock.getDelayedCalls())


def x_table(
    rules: Sequence[Rule] = RULES,
    backfill_minutes: int = 0,
    common: CommonSettings | None = None,
    recovery: bool = False,
) -> SourceSettings:
    """The settings of a filtered stream of the simulated X; without rules it leaves those on the server alone."""
    own = {"predicates": Predicates(tuple(rules) or None), "backfill_minutes": backfill_minutes, "recovery": recovery}
    return table_of("x-filtered", own, common)


def table_of(name: str, own: Mapping[str, Any] | None = None, common: CommonSettings | None = None) -> SourceSettings:
    """The settings of a source of any type."""
    kind = find(ISourceType, name)
    settings = kind.settings(**{"base_url": "http://127.0.0.1", **upstreams.of(name).settings, **(own or {})})
    return SourceSettings(common or CommonSettings(), kind, settings, ISource(kind.build("birds", settings)))
