# -*- test-case-name: tests.unit.test_plugins -*-
"""Settings → the services of one process. Every `makeService` ends here.

The bus starts first and stops last. Between them stand the roles from the browser's end to the upstream's, so that
nothing is read before somebody can take it, and a stop drains from the upstream down.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.threads import deferToThreadPool

from streamer.bus.factory import bus_for_url
from streamer.interfaces import IBus, IControl, IEventKind, IHydrator
from streamer.metrics import Metrics
from streamer.net.admin import Status, Troubles, admin_site
from streamer.net.client import UpstreamClient, agents
from streamer.registry import find
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


def assemble(settings: Settings, reactor: Any, roles: Sequence[str], sources: Sequence[str] = ()) -> Staged:
    """One process.

    Args:
        roles: of `ROLES`; with several of them the admin endpoint is that of the last.
        sources: names of the sources to follow; all of the file's where empty.
    """
    metrics, fatal = Metrics(), ends_process(reactor)
    bus = IBus(bus_for_url(settings.bus.url.reveal(), reactor, metrics, "-".join(roles)))
    whole = Staged()
    whole.addService(Garbage())
    whole.addService(bus)
    parts: dict[str, Any] = {}
    for role in ROLES:
        if role in roles:
            parts[role] = ROLES[role](settings, bus, Process(reactor, metrics, fatal, sources))
            whole.addService(parts[role])
    endpoint = getattr(settings, roles[-1]).admin
    control = IControl(parts["streamer"]) if "streamer" in parts else None
    site = admin_site(metrics, *_views(bus, parts), control, settings.streamer.token, reactor)
    setting = f"[{roles[-1]}] admin"
    whole.addService(ListeningService("The admin endpoint", setting, endpoint, site, reactor, fatal))
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
        UpstreamClient(agents(reactor), reactor, streamer.user_agent),
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


def _views(bus: IBus, parts: dict[str, Any]) -> tuple[Status, Troubles]:
    def troubles() -> list[str]:
        found = [] if bus.ready else [f"bus: {bus.status}"]
        return found + [trouble for part in parts.values() for trouble in part.troubles()]

    def status() -> dict[str, Any]:
        said = {role: part.status() for role, part in parts.items()}
        return {"bus": {"ready": bus.ready, "status": bus.status}, **said, "troubles": troubles()}

    return status, troubles
