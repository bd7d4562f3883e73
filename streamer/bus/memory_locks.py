# -*- test-case-name: tests.unit.test_bus_locks -*-
"""One process a source, where the bus is this process: the locks know nobody else."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from streamer.errors import SourceTaken
from streamer.operating import ILocks


@implementer(ILocks)
@attrs.define
class MemoryLocks:
    """See ILocks. Nothing is ever lost here."""

    _held: set[str] = attrs.field(factory=set)

    def take(self, name: str, lost: Callable[[str], None]) -> Deferred[None]:
        """See ILocks."""
        if name in self._held:
            return fail(SourceTaken(f"source {name!r} is followed by this process already; stop one of the two"))
        self._held.add(name)
        return succeed(None)

    def release(self, name: str) -> Deferred[None]:
        """See ILocks."""
        self._held.discard(name)
        return succeed(None)

    def waits(self, name: str) -> str:
        """See ILocks."""
        return ""
