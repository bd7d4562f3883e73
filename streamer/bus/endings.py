# -*- test-case-name: tests.unit.test_bus_greeting -*-
"""Names for the ways in which a transport ends, for every driver."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone

from streamer.bus import tls
from streamer.bus.driver import Loss
from streamer.bus.greeting import Greeting
from streamer.errors import BusError


def lost(error: BaseException | None, greeting: Greeting | None = None) -> Loss:
    """Name what ended a transport.

    Args:
        greeting: how the peer began, where that may explain it.
    """
    if isinstance(error, BusError):
        return Loss("refused", str(error))
    problem = tls.problem(error)
    if problem is not None:
        return Loss(tls.TLS, problem)
    strange = greeting.verdict() if greeting is not None else None
    if isinstance(error, ConnectionDone):
        return Loss("lost", strange or "the broker hung up without a word")
    if isinstance(error, ConnectionAborted):
        return Loss("lost", "the connection was cut")
    return Loss("lost", f"the connection was lost: {error or type(error).__name__}")
