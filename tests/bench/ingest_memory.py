"""What the streamer's memory does in a flood: with a broker that takes what comes, and with one that does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from streamer.policy.dedupe import IDS_KEPT
from streamer.testing.rabbitmq import RabbitNode
from tests.bench.figures import counter
from tests.processes import Program

EVERY = 0.25  # seconds between two looks
SETTLED = 5.0  # seconds until what grows only once has grown
FILLING = 40.0  # seconds at most until the dedupe is full
IDS = 2 * IDS_KEPT  # items after which it surely is, and its table has found its size
FLOOD = 15.0  # seconds
UNDER_WAY = 2.0  # seconds before a stall; not more, for what goes to disk meanwhile shall find room during the stall
STALL = 18.0  # seconds
RECOVERY = 60.0  # seconds in which publishing must go on after a stall
ALARM, NO_ALARM = "0.00001", "0.4"  # of the machine's memory; the second is RabbitMQ's default


class Growth(NamedTuple):
    """Resident size over a span of time."""

    sizes: list[int]  # bytes, at each look
    taken: float  # items read meanwhile
    confirmed: float  # items the broker confirmed meanwhile

    @property
    def worst(self) -> int:
        """Bytes it grew by at most."""
        return max(self.sizes) - self.sizes[0]

    @property
    def course(self) -> list[int]:
        """The sizes at the beginning, at each quarter and at the end: a leak goes on, a cache is full at some time."""
        return [self.sizes[(len(self.sizes) - 1) * quarter // 4] for quarter in range(5)]


def flood(program: Program, admin: int) -> tuple[Growth, Growth]:
    """A broker that takes what comes.

    Returns:
        From the fifth second until the ids that are remembered are as many as ever will be; and from then on, when
        nothing may grow any more, whatever lies in the queue.
    """
    program.until(lambda: counter(admin, "published_total") > 0, "items")
    time.sleep(SETTLED)
    filling = watched(program, admin, FILLING, lambda: counter(admin, "items_total") > IDS)
    return filling, watched(program, admin, FLOOD)


def stalled(program: Program, admin: int, stall: Callable[[], AbstractContextManager[None]]) -> tuple[Growth, float]:
    """A broker that does not.

    Returns:
        The growth meanwhile, and the seconds from its return to the next confirms.
    """
    program.until(lambda: counter(admin, "published_total") > 0, "items")
    time.sleep(UNDER_WAY)
    resting = program.resident()
    with stall():
        growth = watched(program, admin, STALL)
        growth = growth._replace(sizes=[resting, *growth.sizes])
        before = total(program, admin, "published_total")
    returned = time.monotonic()
    program.until(lambda: counter(admin, "published_total") > before, "confirms after the stall", RECOVERY)
    return growth, time.monotonic() - returned


def watched(program: Program, admin: int, seconds: float, enough: Callable[[], bool] = lambda: False) -> Growth:
    """Look at its size for so long, or until there is enough to see."""
    taken, confirmed = total(program, admin, "items_total"), total(program, admin, "published_total")
    sizes = [program.resident()]
    end = time.monotonic() + seconds
    while time.monotonic() < end and not enough():
        time.sleep(EVERY)
        sizes.append(program.resident())
    return Growth(
        sizes,
        total(program, admin, "items_total") - taken,
        total(program, admin, "published_total") - confirmed,
    )


def total(program: Program, admin: int, name: str) -> float:
    """A counter that is above 0 by now; 0 would be a page that did not come in time."""
    found: float = program.until(lambda: counter(admin, name), name)
    return found


@contextmanager
def alarmed(node: RabbitNode) -> Iterator[None]:
    """The broker is short of memory: it tells publishers so, and reads no more from them."""
    node.rabbitmqctl("set_vm_memory_high_watermark", ALARM)
    try:
        yield
    finally:
        node.rabbitmqctl("set_vm_memory_high_watermark", NO_ALARM)


@contextmanager
def frozen(node: RabbitNode) -> Iterator[None]:
    """The broker is there and does nothing, as on a machine that swaps: no confirm, no reason, no closed socket."""
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)
