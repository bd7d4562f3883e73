"""A follower, a simulated X and the in-memory bus, joined in memory and driven by one clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from streamer.bus.memory import MemoryBus
from streamer.interfaces import ISourceType
from streamer.message import Decision, Delivery, Item, Message
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.registry import find
from streamer.secrets import Secret
from streamer.services.follower import Follower
from streamer.services.intake import Intake
from streamer.sources.x_filtered import Predicates, Settings
from streamer.sources.x_rules import Rule
from streamer.testing.x import TOKEN, SimulatedX

START = 1_700_000_000.0  # seconds since the epoch


class HeldBus(MemoryBus):
    """The in-memory bus, which for as long as a test wants takes responsibility for nothing more."""

    held: list[tuple[Message, Deferred[None]]] | None = None

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
    """One follower of a simulated X, with what it published."""

    def __init__(
        self,
        rules: Sequence[Rule] = (Rule("cat", "pets"),),
        backfill_minutes: int = 0,
        resource: Any = None,
        window: int = 1000,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.metrics = Metrics()
        self.bus = HeldBus(self.clock, self.metrics)
        self.bus.window = window
        self.bus.startService()
        self.x = SimulatedX(self.clock, **options)
        self.x.start()
        self.agent = RequestTraversalAgent(resource or self.x.resource)
        settings = Settings(
            token=Secret(TOKEN),
            base_url="http://127.0.0.1",
            predicates=Predicates(tuple(rules)),
            backfill_minutes=backfill_minutes,
        )
        self.source = find(ISourceType, "x-filtered").build("birds", settings)
        client = UpstreamClient(lambda connected: self.agent, self.clock, "tests")
        self.intake = Intake("birds", self.bus, self.metrics)
        self.follower = Follower(self.source, client, self.intake, self.clock, self.metrics, lambda: 0.0)
        self.items: list[Item] = []
        self.bus.work("streamer.enrich", self._keep, 1000)

    async def _keep(self, delivery: Delivery) -> Decision:
        self.items.append(Item.from_message(delivery.message))
        return Decision.ACK

    def start(self) -> None:
        """Start to follow, and let the first requests happen."""
        self.follower.startService()
        self.pump()

    def pump(self, turns: int = 6) -> None:
        """Move bytes both ways until nothing more is under way; no time passes but the bus's own turns."""
        for _ in range(turns):
            self.agent.flush()
            self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in steps, moving bytes after each."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.pump(2)
            seconds -= step

    def ids(self, kind: str = "post") -> list[str]:
        """What reached the bus, in order."""
        return [item.id for item in self.items if item.kind == kind]

    def stop(self) -> list[Any]:
        """Stop everything; returns the timers that were left behind."""
        stopping = self.follower.stopService()
        self.pump()
        assert stopping.called, "the follower did not stop"
        self.x.stop()
        self.pump()
        self.bus.stopService()
        self.pump()
        return list(self.clock.getDelayedCalls())
