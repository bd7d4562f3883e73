# -*- test-case-name: tests.unit.test_plugins -*-
"""Settings → the services of one process. Every `makeService` ends here.

The bus starts first and stops last. After it comes the admin endpoint, which says to the last that, and why, the
process is not ready; then the roles from the browser's end to the upstream's, so that nothing is read before somebody
can take it, and a stop drains from the upstream down.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.application.service import IService
from twisted.internet.threads import deferToThreadPool

from streamer.bus.factory import bus_for_url
from streamer.interfaces import IBus, IEventKind, IHydrator
from streamer.metrics import Metrics
from streamer.net.admin import Status, Troubles, admin_site
from streamer.net.client import UpstreamClient, agents
from streamer.net.ways import ways
from streamer.registry import find
from streamer.services.control_while import ControlWhile
from streamer.services.enrich import EnrichService
from streamer.services.fatal import Fatal, ends_process
from streamer.services.garbage import Garbage
from streamer.services.intake import Limits
from streamer.services.listening import ListeningService
from streamer.services.relay import RelayService
from streamer.services.sourcing import Sourcing, kept_in
from streamer.services.staged import Staged
from streamer.services.streamer import StreamerService
from streamer.tables import Settings


@attrs.frozen
class Process:
    """What all roles of one process share; `sources` are the names to follow, all of the file's where empty."""

    reactor: Any
    metrics: Metrics
    fatal: Fatal
    sources: Sequence[str]


def assemble(
    settings: Settings,
    reactor: Any,
    roles: Sequence[str],
    sources: Sequence[str] = (),
    first: Sequence[IService] = (),
) -> Staged:
    """One process.

    Args:
        roles: of `ROLES`; with several of them the admin endpoint is that of the last.
        sources: names of the sources to follow; all of the file's where empty.
        first: what starts before all else and stops after it.
    """
    metrics, fatal = Metrics(), ends_process(reactor)
    bus = IBus(bus_for_url(settings.bus.url.reveal(), reactor, metrics, "-".join(roles), settings.enrich.shards))
    process = Process(reactor, metrics, fatal, sources)
    parts = {role: make(settings, bus, process) for role, make in ROLES.items() if role in roles}
    whole = Staged()
    control = ControlWhile(lambda: bool(whole.running), parts["streamer"]) if "streamer" in parts else None
    site = admin_site(metrics, *_views(bus, parts, whole), control, settings.streamer.token, reactor)
    endpoint, setting = getattr(settings, roles[-1]).admin, f"[{roles[-1]}] admin"
    admin = ListeningService("The admin endpoint", setting, endpoint, site, reactor, fatal)
    for service in (*first, Garbage(), bus, admin, *parts.values()):
        whole.addService(service)
    return whole


def _relay(settings: Settings, bus: IBus, process: Process) -> RelayService:
    return RelayService(bus, settings.relay, process.reactor, process.metrics, process.fatal)


def _enrich(settings: Settings, bus: IBus, process: Process) -> EnrichService:
    enrich = settings.enrich
    return EnrichService(
        bus,
        {name: table.source for name, table in settings.sources.items()},
        [IHydrator(find(IHydrator, name)) for name in enrich.hydrators],
        [IEventKind(find(IEventKind, name)) for name in enrich.events],
        process.reactor,
        process.metrics,
        prefetch=enrich.prefetch,
        time_limit=enrich.time_limit,
        shards=enrich.shards,
    )


def _streamer(settings: Settings, bus: IBus, process: Process) -> StreamerService:
    streamer, reactor, directory = settings.streamer, process.reactor, settings.state.directory
    keeper = kept_in(
        directory,
        reactor,
        lambda function: deferToThreadPool(reactor, reactor.getThreadPool(), function),
        spool=bus.durable and streamer.spool_bytes > 0,  # a bus that forgets with us needs no disk
        synchronous=streamer.spool_sync,
    )
    sourcing = Sourcing(
        bus,
        UpstreamClient(agents(reactor), reactor, streamer.user_agent, ways(reactor, streamer.hooks)),
        reactor,
        process.metrics,
        _jitter,
        process.fatal,
        keeper if directory else lambda name: None,
        Limits(streamer.spool_bytes, frozenset(streamer.shed)),
    )
    names = process.sources or settings.sources
    return StreamerService({name: settings.sources[name] for name in names}, sourcing)


def _jitter() -> float:
    return random.uniform(-1, 1)  # noqa: S311 - spreads reconnects, guards nothing


# In the order they start.
ROLES: dict[str, Callable[[Settings, IBus, Process], Any]] = {
    "relay": _relay,
    "enrich": _enrich,
    "streamer": _streamer,
}


def _views(bus: IBus, parts: dict[str, Any], whole: Staged) -> tuple[Status, Troubles]:
    def troubles() -> list[str]:
        said = bus.trouble if bus.ready else bus.status
        found = [f"bus: {said}"] if said else []
        found += [trouble for part in parts.values() for trouble in part.troubles()]
        # A stop goes through the parts one after the other; those whose turn has not come know nothing of it.
        return found or ([] if whole.running else ["process: stopping"])

    def status() -> dict[str, Any]:
        said = {role: part.status() for role, part in parts.items()}
        return {"bus": {"ready": bus.ready, "status": bus.status}, **said, "troubles": troubles()}

    return status, troubles
