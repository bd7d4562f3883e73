# -*- test-case-name: tests.unit.test_bus_delivery -*-
"""When to try again on the bus: a failed delivery, a lost broker connection."""

from __future__ import annotations

from collections.abc import Callable

import attrs

RETRY_FIRST = 0.05  # seconds a failed delivery is held the first time; doubles with each attempt
RETRY_CEILING = 5.0  # seconds; with a delivery limit of 10 a message is tried for about 21 s in all

NACK_FIRST = 1.0  # seconds until what the broker refused is published again; doubles while it refuses
NACK_CEILING = 30.0  # seconds

RECONNECT_FIRST = 0.2  # seconds; ceiling of the first delay, doubles with each
RECONNECT_CEILING = 30.0  # seconds
STEADY_AFTER = 30.0  # seconds of running after which the next loss counts as the first again


def retry_delay(attempt: int) -> float:
    """Seconds to hold a failed delivery before the queue gets it back; `attempt` is 1 the first time."""
    return min(RETRY_CEILING, RETRY_FIRST * 2.0 ** min(attempt - 1, 16))


def nack_delay(refusals: int) -> float:
    """Seconds until a refused publish is tried again; `refusals` in a row went before this one."""
    return min(NACK_CEILING, NACK_FIRST * 2.0 ** min(refusals, 16))


@attrs.define
class Reconnect:
    """Full jitter: anything from nothing to a ceiling that doubles, so that clients do not return in step.

    The ceiling doubles with each round over all hosts: where one node of a cluster is away, a living one is reached
    within a fraction of a second; where all are, they are left in peace.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        random: gives a number from 0 up to 1; injected, so that tests know it.
    """

    _random: Callable[[], float]
    _losses: int = 0

    def delay(self, ran: float, whole: bool = True) -> float:
        """Seconds to wait after a connection that was usable for `ran` seconds (0 where it never was).

        Args:
            whole: every host has been tried; else there is another one, and no reason to keep it waiting.
        """
        if ran >= STEADY_AFTER:
            self._losses = 0
        if not whole:
            return RECONNECT_FIRST * self._random()
        ceiling = min(RECONNECT_CEILING, RECONNECT_FIRST * 2.0 ** min(self._losses, 16))
        self._losses += 1
        return ceiling * self._random()
