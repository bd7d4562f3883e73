# -*- test-case-name: tests.unit.test_services_enrich -*-
"""`twistd enrich`: items in, events out; any number of these processes share the work."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from streamer.bus.topology import worked_for_items
from streamer.interfaces import IBus, IEventKind, IHydrator, ISource, IWork
from streamer.metrics import Metrics
from streamer.services.balancing import Balancing
from streamer.services.enricher import Enricher

LEAST_PREFETCH = 8  # items in hand at once, of each shard
PREFETCH = 256  # items in hand at once
TIME_LIMIT = 2.0  # seconds that an awaitable hydrator has for one item


class EnrichService(Service):
    """Works on the queue `streamer.enrich`, and on those of the shards, from its start to its stop.

    Args:
        bus: running before this is started, and until this has stopped.
        sources: by configured name.
        hydrators: in the order in which they run.
        prefetch: items in hand at once.
        time_limit: seconds that an awaitable hydrator has for one item.
        shards: as many as the bus has.
    """

    def __init__(
        self,
        bus: IBus,
        sources: Mapping[str, ISource],
        hydrators: Sequence[IHydrator],
        kinds: Sequence[IEventKind],
        clock: IReactorTime,
        metrics: Metrics,
        prefetch: int = PREFETCH,
        time_limit: float = TIME_LIMIT,
        shards: int = 0,
    ) -> None:
        self._bus = IBus(bus)
        self._prefetch = prefetch if not shards else max(LEAST_PREFETCH, prefetch // (shards + 1))
        self._shards = shards
        self._works: dict[str, IWork] = {}
        self._balancing = Balancing(self._works, self._take, clock, metrics)
        self._enricher = Enricher(
            sources={name: ISource(source) for name, source in sources.items()},
            hydrators=[IHydrator(hydrator) for hydrator in hydrators],
            kinds=[IEventKind(kind) for kind in kinds],
            publish=bus.publish,
            clock=clock,
            metrics=metrics,
            time_limit=time_limit,
        )

    def startService(self) -> None:
        """Begin to work."""
        Service.startService(self)
        queues = list(worked_for_items(self._shards))
        random.shuffle(queues)  # of processes that start together each comes first at some shards
        for queue in queues:
            self._take(queue)
        if self._shards:
            self._balancing.start()

    def stopService(self) -> Deferred[None]:
        """Take no more items; fires when those in hand are done and the bus knows what became of them."""
        return Deferred.fromCoroutine(self._stop())

    @property
    def ready(self) -> bool:
        """Whether an item published now would be enriched now."""
        works = [work for queue, work in self._works.items() if queue != self._balancing.passing]
        return bool(self.running and works and all(work.ready for work in works) and self._bus.ready)

    def troubles(self) -> list[str]:
        """Why it is not ready, as sentences for the operator."""
        if self.ready:
            return []
        why = self._bus.status if self._bus.ready else "the bus is not ready"  # which says why itself
        return [f"enrich: no items reach the enricher ({why})"]

    def status(self) -> dict[str, Any]:
        """For the operator; encodes as JSON."""
        return {
            "ready": self.ready,
            "bus": self._bus.status,
            "queues": {queue: {"ready": work.ready, "active": work.active} for queue, work in self._works.items()},
            "in_hand": self._enricher.in_hand,
            "prefetch": self._prefetch,
            "sources": list(self._enricher.sources),
            "hydrators": [hydrator.name for hydrator in self._enricher.hydrators],
            "events": [kind.name for kind in self._enricher.kinds],
        }

    def _take(self, queue: str) -> None:
        self._works[queue] = self._bus.work(queue, self._enricher.handle, self._prefetch)

    async def _stop(self) -> None:
        Service.stopService(self)
        await self._balancing.stop()
        works = list(self._works.values())
        self._works.clear()
        await gatherResults([work.stop() for work in works])
