# -*- test-case-name: tests.unit.test_bus_fake_broker -*-
"""Ways in which a fake broker confirms publishes, good and bad; each is a `Broker.confirming`.

By default it confirms nothing, which is up to the test then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pika import spec

Confirm = Any  # spec.Basic.Ack or Nack; pika has no types
Confirming = Callable[[int], Iterable[Confirm]]


def each(tag: int) -> Iterable[Confirm]:
    """Each publish at once."""
    return (spec.Basic.Ack(tag),)


def twice(tag: int) -> Iterable[Confirm]:
    """Each publish, and once more, which no broker may do."""
    return spec.Basic.Ack(tag), spec.Basic.Ack(tag)


def ahead(tag: int) -> Iterable[Confirm]:
    """The publish that comes next, which no broker may do."""
    return (spec.Basic.Ack(tag + 1),)


def backwards(count: int) -> Confirming:
    """Always so many, the last one first; the order of confirms is not promised."""

    def confirming(tag: int) -> Iterable[Confirm]:
        return () if tag % count else [spec.Basic.Ack(number) for number in range(tag, tag - count, -1)]

    return confirming


def together(count: int) -> Confirming:
    """Always so many by one ack with `multiple`."""

    def confirming(tag: int) -> Iterable[Confirm]:
        return () if tag % count else (spec.Basic.Ack(tag, multiple=True),)

    return confirming


def everything(count: int) -> Confirming:
    """Always so many by an ack of tag 0: it may mean all there are, what is not read yet too; no broker may do it."""

    def confirming(tag: int) -> Iterable[Confirm]:
        return () if tag % count else (spec.Basic.Ack(0, multiple=True),)

    return confirming


def refusing(count: int) -> Confirming:
    """Nacks the first so many publishes, then confirms each: a queue that was full."""
    left = count

    def confirming(tag: int) -> Iterable[Confirm]:
        nonlocal left
        left -= 1
        return (spec.Basic.Nack(tag, requeue=False) if left >= 0 else spec.Basic.Ack(tag),)

    return confirming
