# -*- test-case-name: tests.unit.test_services_intake -*-
"""What connections bring → the outflow: repeats dropped, everything counted, a pause where there is no room.

When there is no room the connections are told to pause, so that the upstream's bytes wait in the sockets instead of
in our memory; or items of the kinds named for it are shed, as configured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.logger import Logger

from streamer import metrics as m
from streamer.interfaces import IBus
from streamer.message import Item
from streamer.metrics import Metrics
from streamer.net.stream import StreamBody
from streamer.policy.dedupe import Recent
from streamer.services.outflow import Outflow
from streamer.upstream import Resume

SPARE = 1.1  # times the limit of the spool: what the kinds that are not shed may still take
ROOM = 0.9  # times the limit: below it there is room again


@attrs.frozen
class Limits:
    """What the operator allows a source to keep on disk.

    Args:
        bytes: of items.
        shed: kinds to drop beyond that; reading pauses where none is named.
    """

    bytes: int = 0
    shed: frozenset[str] = frozenset()


@attrs.define(eq=False)
class Intake:
    """The items of one source.

    Args:
        source: the configured name.
        lost: told how many items were lost here, and why.
    """

    source: str
    outflow: Outflow
    metrics: Metrics
    limits: Limits = Limits()
    lost: Callable[[str, int], None] = lambda cause, count: None
    cursor: str | None = None  # of the last item that had one, or the last mark
    marked: bool = False  # the source says where to go on; cursors that its items carry are another's
    items: int = 0  # handed on so far, of all kinds
    paused: bool = False
    pauses: int = 0
    _recent: Recent = attrs.field(factory=Recent)
    _bodies: list[StreamBody] = attrs.field(factory=list)

    log = Logger()

    @classmethod
    def of(cls, source: str, bus: IBus, clock: object, metrics: Metrics, limits: Limits) -> Intake:
        """An intake with its outflow."""
        outflow = Outflow(bus, clock, lambda: None)  # type: ignore[arg-type]
        made = cls(source, outflow, metrics, limits)
        outflow.changed, outflow.forget = made.weigh, made._recent.forget
        return made

    def take(self, items: Sequence[Item], safe_ms: int | None, *, moves: bool = True) -> int:
        """Hand on the items that were not seen lately.

        Args:
            safe_ms: up to when everything is ours, these not included.
            moves: they move the cursor; not while something from before it is still to come.

        Returns:
            How many of them were new.
        """
        seen = self._recent.seen
        fresh = [item for item in items if not seen(item.id)]
        if len(fresh) < len(items):
            self.metrics.add(m.REPEATED_ITEMS, self.source, by=len(items) - len(fresh))
        new = len(fresh)
        if fresh and self.full:
            fresh = self._shed(fresh)
        if fresh:
            self.items += len(fresh)
            for kind, count in Counter([item.kind for item in fresh]).items():
                self.metrics.add(m.ITEMS, self.source, kind, by=count)
            if moves and not self.marked:
                self.cursor = next((item.cursor for item in reversed(fresh) if item.cursor is not None), self.cursor)
            self.outflow.put(fresh, None if safe_ms is None else Resume(received=safe_ms, cursor=self.cursor))
            self.weigh()
        return new

    def mark(self, cursor: str) -> None:
        """The source says where to go on after what was taken so far."""
        self.cursor, self.marked = cursor, True

    def remember(self, ids: Iterable[str]) -> None:
        """Items that are ours already, from an earlier process."""
        for id_ in ids:
            self._recent.seen(id_)

    def attach(self, body: StreamBody) -> None:
        """A new connection reads for us; it starts as things stand."""
        self._bodies.append(body)
        if self.paused:
            body.pause()

    def detach(self, body: StreamBody) -> None:
        """The connection is gone."""
        self._bodies.remove(body)

    def weigh(self) -> None:
        """Pause or go on, as there is room; and say how full we are."""
        outflow, spooling = self.outflow, self.outflow.spooling
        self.metrics.set(m.UNCONFIRMED, self.source, to=outflow.under_way.items)
        if spooling is not None:
            self.metrics.set(m.SPOOL_ITEMS, self.source, to=spooling.spool.items + len(spooling.pending))
            self.metrics.set(m.SPOOL_BYTES, self.source, to=outflow.stored)
            storing, damaged = spooling.storing, spooling.spool.damaged_items
            failures = spooling.failures + storing.failures + spooling.erasing.failures + damaged
            for metric, total in ((m.SPOOLED, storing.items_kept), (m.SPOOL_FAILURES, failures)):
                if total:
                    self.metrics.set(metric, self.source, to=total)
        if self.paused:
            if outflow.roomy and (spooling is None or outflow.stored <= self.limits.bytes * ROOM):
                self.paused = False
                for body in tuple(self._bodies):
                    body.resume()
        elif outflow.crowded or (spooling is not None and outflow.stored >= self._most()):
            self.paused = True
            self.pauses += 1
            self.metrics.add(m.PAUSES, self.source)
            for body in tuple(self._bodies):
                body.pause()

    @property
    def trouble(self) -> str:
        """Why not everything is taken, as a clause about the source; empty where it is."""
        spooling = self.outflow.spooling
        if self.paused and spooling is not None and spooling.storing.stuck and spooling.storing.refusal:
            return f"reading is paused: {spooling.storing.refusal}"
        if self.full:
            return "its spool is full"
        return "reading is paused until there is room again" if self.paused else ""

    @property
    def full(self) -> bool:
        """There is no more room on disk."""
        return self.outflow.spooling is not None and self.outflow.stored >= self.limits.bytes

    def _most(self) -> float:
        return self.limits.bytes * (SPARE if self.limits.shed else 1.0)

    def _shed(self, items: list[Item]) -> list[Item]:
        kept = [item for item in items if item.kind not in self.limits.shed]
        if len(kept) < len(items):
            for kind, count in Counter([item.kind for item in items if item.kind in self.limits.shed]).items():
                self.metrics.add(m.SHED, self.source, kind, by=count)
            self.lost("shed", len(items) - len(kept))
        return kept
