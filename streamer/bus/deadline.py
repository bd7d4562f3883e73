# -*- test-case-name: tests.unit.test_bus_role -*-
"""Deadlines: nothing that needs the broker is waited for without one."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")

# Seconds.
CONNECT = 10.0  # TCP (and TLS) to one host
CONNECT_ONE = 4.0  # the same, while there are others that may be there; two lost packets are made good in 3 s
HANDSHAKE = 10.0  # AMQP's, with the login
SETUP = 20.0  # topology and the role's own channel
CLOSE = 5.0  # the broker's leave-taking; then the socket is cut
DRAIN = 20.0  # handlers that still run when the bus stops
FLUSH = 10.0  # confirms still out when the bus stops


def within(clock: IReactorTime, seconds: float, waiting: Deferred[T], what: str) -> Deferred[T]:
    """Cancel `waiting` after so many seconds, which then fails with a TimeoutError that says what took so long.

    Give it only Deferreds of our own: pika's break when they are cancelled (https://github.com/pika/pika/issues/1282).
    """

    def expired(result: object, timeout: float) -> Failure:
        return Failure(TimeoutError(f"no answer within {timeout:g} s to {what}"))

    return waiting.addTimeout(seconds, clock, onTimeoutCancel=expired)
