"""`python -m tests.integration.dead_worker URL CONFIG`: enrichers that die of some items, one after the other.

Each is a process of its own, as `twistd enrich` is; the next is there as soon as one was killed, as systemd does it.
Items whose id begins with `raise` make an event kind raise, with `kill` they kill the process. With `MENDED` in the
environment neither does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from zope.interface import implementer

from streamer import settings
from streamer.activity import Activity
from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.interfaces import IEventKind, IHydrator
from streamer.message import Event
from streamer.metrics import Metrics
from streamer.registry import find
from streamer.services.enrich import EnrichService

PREFETCH = 20
KILL_AFTER = 0.1  # seconds, in which what is done meanwhile is acked: a crash counts for all that is in hand


@implementer(IHydrator)
class Killing:
    """Dies of an item."""

    name = "killing"
    dropped: dict[str, int] = {}

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def hydrate(self, activity: Activity) -> Any:
        """See IHydrator."""
        if not activity.item.id.startswith("kill") or "MENDED" in os.environ:
            return activity
        from twisted.internet.task import deferLater

        if "SUDDENLY" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return deferLater(self._reactor, KILL_AFTER, os.kill, os.getpid(), signal.SIGKILL)


@implementer(IEventKind)
class Raising:
    """Raises at an item."""

    name = "raising"

    def derive(self, activity: Activity, now_ms: int) -> Event | None:
        """See IEventKind."""
        if activity.item.id.startswith("raise") and "MENDED" not in os.environ:
            raise RuntimeError("a defect of ours")
        return None


def work(url: str, config: str) -> None:
    """Enrich until a signal comes."""
    from twisted.internet import reactor

    found = settings.load(config)
    bus = RabbitBus(Address.parse(url), reactor, Metrics(), "dying", delay=lambda attempt: 0.0, jitter=lambda: 0.1)
    sources = {name: table.source for name, table in found.sources.items()}
    kinds = [Raising(), IEventKind(find(IEventKind, "post"))]
    service = EnrichService(bus, sources, [Killing(reactor)], kinds, reactor, Metrics(), prefetch=PREFETCH)
    run: Any = reactor
    run.callWhenRunning(bus.startService)
    run.callWhenRunning(service.startService)
    run.addSystemEventTrigger("before", "shutdown", service.stopService)
    run.addSystemEventTrigger("before", "shutdown", bus.stopService)
    run.run()


def main() -> None:
    """One worker after the other, until a signal comes."""
    child, stopping = 0, False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        os.kill(child, signal.SIGTERM)

    while not stopping:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        child = os.fork()
        if not child:
            work(*sys.argv[1:])
            os._exit(0)
        signal.signal(signal.SIGTERM, stop)
        _, status = os.waitpid(child, 0)
        print(f"ended {status}", flush=True)


if __name__ == "__main__":
    main()
