# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The messages that wait in a queue of the in-process bus, each in its place.

What is given back waits at its old place, before all that was never handed out, as RabbitMQ documents
(https://www.rabbitmq.com/docs/confirms#consumer-nacks-requeue). RabbitMQ 3.10.8 puts it before all the rest, too, but
in the order in which it was given back.
"""

from __future__ import annotations

import heapq
from collections import deque

import attrs

from streamer.bus.memory_bounds import weight
from streamer.message import Death, Delivery, Message

Place = tuple[int, Delivery, int]  # rising number, what is there, its weight


@attrs.define(eq=False)
class Places:
    """In order.

    Args:
        max_messages: that wait; beyond it is `over`.
        max_bytes: as `max_messages`; one message may have more.

    Attributes:
        size: bytes of all that waits.
    """

    max_messages: int
    max_bytes: int
    size: int = 0
    _count: int = 0
    _returned: list[Place] = attrs.field(factory=list)  # a heap; all were handed out before, so they precede `_fresh`
    _fresh: deque[Place] = attrs.field(factory=deque)
    _since: set[int] = attrs.field(factory=set)  # numbers that were given back in this turn

    def __len__(self) -> int:
        return len(self._returned) + len(self._fresh)

    @property
    def over(self) -> bool:
        """There is too much."""
        count = len(self._returned) + len(self._fresh)
        return count > self.max_messages or (self.size > self.max_bytes and count > 1)

    @property
    def ready(self) -> bool:
        """There is a first one, and it was not given back in this turn: then it is for another one."""
        return self._returned[0][0] not in self._since if self._returned else len(self._fresh) > 0

    def turn(self) -> None:
        """A turn begins."""
        self._since.clear()

    def add(self, message: Message, death: Death | None) -> None:
        """Put a message at the end."""
        weighs = weight(message)
        self._count += 1
        self.size += weighs
        self._fresh.append((self._count, Delivery(message, 1, death), weighs))

    def give_back(self, place: Place) -> None:
        """Put back what was taken; its delivery may be another one."""
        heapq.heappush(self._returned, place)
        self._since.add(place[0])
        self.size += place[2]

    def take(self) -> Place:
        """Take the first one out. There must be one."""
        first = heapq.heappop(self._returned) if self._returned else self._fresh.popleft()
        self.size -= first[2]
        return first
