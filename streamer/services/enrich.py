# -*- test-case-name: tests.unit.test_services_enrich -*-
"""`twistd enrich`: items in, events out; any number of these processes share the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.bus.topology import ENRICH
from streamer.interfaces import IBus, IEventKind, IHydrator, ISource, ISubscription
from streamer.metrics import Metrics
from streamer.services.enricher import Enricher

PREFETCH = 256  # items in hand at once
TIME_LIMIT = 2.0  # seconds that an awaitable hydrator has for one item


class EnrichService(Service):
    """Works on the queue `streamer.enrich` from its start to its stop.

    Args:
        bus: running before this is started, and until this has stopped.
        sources: by configured name.
        hydrators: in the order in which they run.
        prefetch: items in hand at once.
        time_limit: seconds that an awaitable hydrator has for one item.
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
    ) -> None:
        self._bus = IBus(bus)
        self._prefetch = prefetch
        self._work: ISubscription | None = None
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
        self._work = self._bus.work(ENRICH, self._enricher.handle, self._prefetch)

    def stopService(self) -> Deferred[None]:
        """Take no more items; fires when those in hand are done and the bus knows what became of them."""
        return Deferred.fromCoroutine(self._stop())

    @property
    def ready(self) -> bool:
        """Whether an item published now would be enriched now."""
        return bool(self.running and self._work is not None and self._work.ready and self._bus.ready)

    def troubles(self) -> list[str]:
        """Why it is not ready, as sentences for the operator."""
        return [] if self.ready else [f"enrich: no items reach the enricher ({self._bus.status})"]

    def status(self) -> dict[str, Any]:
        """For the operator; encodes as JSON."""
        return {
            "ready": self.ready,
            "bus": self._bus.status,
            "queue": ENRICH,
            "in_hand": self._enricher.in_hand,
            "prefetch": self._prefetch,
            "sources": list(self._enricher.sources),
            "hydrators": [hydrator.name for hydrator in self._enricher.hydrators],
            "events": [kind.name for kind in self._enricher.kinds],
        }

    async def _stop(self) -> None:
        Service.stopService(self)
        work, self._work = self._work, None
        if work is not None:
            await work.stop()
