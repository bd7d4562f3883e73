# -*- test-case-name: tests.unit.test_services_streamer -*-
"""Upstreams → the bus: one service a source, and what an operator may do to them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer import metrics as m
from streamer.errors import ControlRefused
from streamer.interfaces import ISource
from streamer.metrics import Metrics
from streamer.operating import IControl
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.policy.restart import Plan
from streamer.services.leg import prepare
from streamer.services.source import SourceService
from streamer.services.sourcing import Sourcing
from streamer.services.wanted import NOT_YET
from streamer.tables import SourceSettings
from streamer.upstream import Ending, Prepared

APPLY_LIMIT = 30.0  # seconds that an operator waits for the upstream's word; the wish goes on without him


@implementer(IControl)
class StreamerService(MultiService):
    """Follows a set of sources, each independent of the others."""

    def __init__(self, sources: Mapping[str, SourceSettings], sourcing: Sourcing) -> None:
        MultiService.__init__(self)
        self._client, self._clock, self.metrics = sourcing.client, sourcing.clock, sourcing.metrics
        self.sources: dict[str, SourceService] = {}
        self._putting: set[Deferred[Any]] = set()
        for name, table in sources.items():
            self.sources[name] = sourcing.service(name, table)
            self.sources[name].setServiceParent(self)

    def troubles(self) -> list[str]:
        """Why it is not ready: sources without a connection that should have one, or that wait for the bus."""
        if not self.sources:
            return ["streamer: the configuration names no source"]
        found: list[str] = []
        for name, source in self.sources.items():
            if source.following and not source.follower.connected and not finished(source):
                found.append(f"source {name}: {_state(source)}")
            elif waits := source.tenure.waits:
                found.append(f"source {name}: {waits}")
            if trouble := source.progress.intake.trouble:
                found.append(f"source {name}: {trouble}")
        return found

    def status(self) -> dict[str, Any]:
        """A row a source."""
        return dict(self.standing(()))

    def update(self, names: Sequence[str]) -> None:
        """See IControl."""
        for source in self._named(names):
            source.follow(asked=True)

    def stop(self, names: Sequence[str]) -> Deferred[None]:
        """See IControl."""
        for source in self._named(names):
            source.hang_up()
        return succeed(None)

    def start(self, names: Sequence[str]) -> None:
        """See IControl."""
        for source in self._named(names):
            source.follow()

    def standing(self, names: Sequence[str]) -> Mapping[str, Any]:
        """See IControl."""
        return {source.wanted.source.name: standing(source, self.metrics) for source in self._named(names)}

    def predicates(self, names: Sequence[str]) -> Mapping[str, Any]:
        """See IControl."""
        return {source.wanted.source.name: _predicates(source, self._clock.seconds()) for source in self._named(names)}

    def put_predicates(self, name: str, body: bytes, dry_run: bool) -> Deferred[Mapping[str, Any]]:
        """See IControl."""
        putting = Deferred.fromCoroutine(self._put(name, body, dry_run))
        self._putting.add(putting)
        return putting.addBoth(self._put_done, putting)

    def stopService(self) -> Deferred[Any]:
        """Stop all sources; who waits for an upstream's word is told that there will be none."""
        for putting in tuple(self._putting):
            putting.cancel()
        stopping: Deferred[Any] = MultiService.stopService(self)
        return stopping

    def _put_done(self, result: Any, putting: Deferred[Any]) -> Any:
        self._putting.discard(putting)
        if isinstance(result, Failure) and result.check(CancelledError):
            raise ControlRefused("the streamer is stopping", 409)
        return result

    async def _put(self, name: str, body: bytes, dry_run: bool) -> Mapping[str, Any]:
        (source,) = self._named([name])
        wish = source.wanted.parse(body)
        if dry_run:
            checked = await prepare(wish, self._client, dry_run=True)
            if isinstance(checked, Ending):
                raise ControlRefused(f"{name}: {checked.detail}", _status(checked))
            return {
                **_predicates(source, self._clock.seconds()),
                "would": _would(source, wish, checked, self._clock.seconds()),
            }
        settled = not wish.changes(source.wanted.source) and not source.alignment.busy
        if settled or not wish.live_predicates:
            source.wanted.write(wish.predicates)
        if settled:
            return _predicates(source, self._clock.seconds())
        source.wanted.check_writable()
        done = await _apply(source, wish, self._clock)
        if isinstance(done, Ending) and done.cause == backoff.REFUSED:
            raise ControlRefused(f"{name}: {done.detail}", _status(done))
        if wish.live_predicates and source.wanted.source is wish:  # nobody has wanted something else meanwhile
            source.wanted.keep()
        if isinstance(done, Ending):
            source.wanted.problem = f"{NOT_YET}: {done.detail}"
        return (
            {**_predicates(source, self._clock.seconds()), "did": _change(done)}
            if isinstance(done, Prepared)
            else _predicates(source, self._clock.seconds())
        )

    def _named(self, names: Sequence[str]) -> list[SourceService]:
        for name in names:
            if name not in self.sources:
                known = ", ".join(self.sources) or "none"
                raise ControlRefused(f"there is no source {name!r} here; there are: {known}", 404)
        return [self.sources[name] for name in dict.fromkeys(names or self.sources)]


def _predicates(source: SourceService, now: float) -> dict[str, Any]:
    live = source.follower.live
    return {
        "wanted": source.wanted.source.predicates,
        "live": None if live is None else live.predicates,
        "pending": 0 if live is None else source.wanted.source.changes(live),
        "applies_in": _left(source.follower.course.plan, now),
        "problem": source.wanted.problem,
    }


def standing(source: SourceService, metrics: Metrics) -> dict[str, Any]:
    """How one source stands, as JSON has it."""
    name, course = source.wanted.source.name, source.follower.course
    outflow = source.progress.intake.outflow
    rate, last, confirmed = source.rate.value, metrics.value(m.LAST_ITEM, name), source.progress.cursor.confirmed
    return {
        "type": source.wanted.kind.name,
        "state": course.state.value,
        "following": source.following,
        "said": "; ".join(filter(None, (source.tenure.waits, source.follower.said, source.progress.intake.trouble))),
        "items": source.progress.intake.items,
        "rate": None if rate is None else round(rate, 3),
        "reconnects": max(0, source.follower.connections - 1),
        "cursor": None if confirmed is None else _shown(confirmed.cursor),
        "safe_until": None if confirmed is None else confirmed.received / 1000,
        "last_item_age": round(max(0.0, source.clock.seconds() - last), 3) if last else None,
        "last_byte": metrics.value(m.LAST_BYTE, name) or None,
        "last_item": metrics.value(m.LAST_ITEM, name) or None,
        "stale": source.staleness.stale,
        "overlap": course.overlap,
        "paused": source.progress.intake.paused,
        "unconfirmed": outflow.under_way.items,
        "spooled_bytes": outflow.stored,
        "next": None if course.wake_at is None else course.wake_at,
    }


def finished(source: SourceService) -> bool:
    """What it followed had an end, and came to it."""
    return source.follower.course.state is State.FAILED and source.progress.cause == backoff.FINISHED


def _shown(cursor: str | None) -> str | None:
    """A cursor as operators may see it: of a mark of our own, which may hold secrets, a fingerprint only."""
    if cursor is None or not cursor.startswith("{"):
        return cursor
    return f"{len(cursor)} characters, sha256 {hashlib.sha256(cursor.encode()).hexdigest()[:12]}"


def _state(source: SourceService) -> str:
    state = source.follower.course.state.value if source.open else "starting"
    return source.tenure.waits or source.follower.said or state


def _status(ending: Ending) -> int:
    return 422 if ending.cause == backoff.REFUSED else 409


async def _apply(source: SourceService, wish: ISource, clock: IReactorTime) -> Prepared | Ending | None:
    """What came of a wish; None where that is not known yet, or where it waits for another connection."""
    outcome = source.alignment.outcome(wish)
    source.want(wish)
    if not (source.alignment.busy or outcome.called):
        outcome.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        return None
    try:
        return await outcome.addTimeout(APPLY_LIMIT, clock)
    except TimedOut:
        return None


def _change(prepared: Prepared) -> dict[str, Any]:
    return {"added": prepared.added, "deleted": prepared.deleted}


def _would(source: SourceService, wish: ISource, checked: Prepared, now: float) -> dict[str, Any]:
    """What a wish would do: change predicates on the server, or ask for another connection."""
    if wish.live_predicates:
        return _change(checked)
    changes = wish.changes(source.follower.newest or source.wanted.source)
    plan = copy.copy(source.follower.course.plan)
    plan.change(now, changes, asked=False)
    return {"pending": changes, "applies_in": _left(plan, now) if source.follower.connected else None}


def _left(plan: Plan, now: float) -> float | None:
    """Seconds until another connection is made."""
    return None if plan.due is None else round(max(0.0, plan.due - now), 1)
