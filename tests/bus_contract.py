# -*- test-case-name: tests.unit.test_bus_memory -*-
"""What every bus promises, as checks that run on any of them: on a Clock in memory, on a reactor over RabbitMQ.

A check is a coroutine function that takes a `Kit`. None sleeps in order to wait: they poll, with a limit.

Where the buses differ, the checks say as much as both promise; the differences are in the docstrings of `IBus`, and
of `bus.memory_queue`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests import (
    bus_contract_failing,
    bus_contract_log,
    bus_contract_publish,
    bus_contract_shards,
    bus_contract_stop,
    bus_contract_work,
)
from tests.bus_contract_kit import LIMIT, POLL, Gated, Kit, Notes, all_taken, event, ids, raw
from tests.bus_contract_memory import memory_kit

__all__ = [
    "CHECKS",
    "LIMIT",
    "POLL",
    "Check",
    "Gated",
    "Kit",
    "Notes",
    "all_taken",
    "event",
    "ids",
    "memory_kit",
    "raw",
]

Check = Callable[[Kit], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    *bus_contract_work.CHECKS,
    *bus_contract_publish.CHECKS,
    *bus_contract_failing.CHECKS,
    *bus_contract_stop.CHECKS,
    *bus_contract_log.CHECKS,
    *bus_contract_shards.CHECKS,
)
