# -*- test-case-name: tests.unit.test_services_relay -*-
"""What a relay must have read of the log before it lets clients in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from streamer.fanout.hub import Hub
from streamer.interfaces import LAST, IBus, ILog
from streamer.message import Entry

PATIENCE = 5.0  # seconds between complaints that the log's history is not read yet


async def caught_up(reader: ILog, clock: IReactorTime, complain: Callable[[], None]) -> None:
    """Wait for the history, for as long as it takes: positions that were not read yet would look like gaps."""
    waiting: Deferred[None] = Deferred()
    reader.caught_up.addBoth(_passed_on, waiting)
    patience = LoopingCall(complain)
    patience.clock = clock
    patience.start(PATIENCE, now=False)
    try:
        await waiting
    finally:
        patience.stop()


async def learn_end(bus: IBus, hub: Hub, clock: IReactorTime, complain: Callable[[], None]) -> None:
    """Where the log was quiet for as long as is looked back, learn its last entries, to know where its end is.

    Else the end would be told as the beginning, and whoever came back to that be sent the whole log.
    """
    if hub.journal.edge is not None:
        return
    found: list[Entry] = []
    reader = bus.log(LAST, found.append)
    try:
        await caught_up(reader, clock, complain)
    finally:
        await reader.stop()
    if hub.journal.edge is None:
        for entry in found:
            hub.append(entry)


def _passed_on(result: Any, waiting: Deferred[None]) -> Any:
    if not waiting.called:
        waiting.callback(None)
    return result
