# -*- test-case-name: tests.unit.test_services_source -*-
"""That one source is ours alone: by its state directory on this machine, and by the bus wherever others run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from streamer.services.keeping import Keeping


@attrs.define(eq=False)
class Tenure:
    """Of one source, by this process.

    Args:
        locks: an ILocks, of the bus.
        keeping: None where nothing is kept.
        lost: told, with a sentence, when another process has the source.
    """

    name: str
    locks: Any
    keeping: Keeping | None
    lost: Callable[[str], None]
    _taking: Deferred[None] | None = None
    _left: bool = False
    _ours: bool = False

    @property
    def waits(self) -> str:
        """Why the source is not ours, or might not be for long, as a sentence; empty where it is."""
        return str(self.locks.waits(self.name))

    async def begin(self) -> bool:
        """Have the source; False where it was left before it was ours.

        Raises:
            StreamerError: another process has it, or the locks cannot be used.
        """
        if self.keeping is not None:
            self.keeping.lock.take()
        try:
            self._taking = self.locks.take(self.name, self.lost)
            await self._taking
        except BaseException as error:
            if self.keeping is not None:
                self.keeping.lock.release()
            if self._left and isinstance(error, CancelledError):
                return False
            raise
        finally:
            self._taking = None
        self._ours = True
        return True

    def leave(self) -> None:
        """Wait for it no longer."""
        self._left = True
        if self._taking is not None:
            self._taking.cancel()

    async def end(self) -> None:
        """Let others have it, once all that was read of it is safe."""
        if self._ours:
            self._ours = False
            await self.locks.release(self.name)
