# -*- test-case-name: tests.unit.test_services_garbage -*-
"""Python's cyclic garbage collector, told what this process is like.

Items and events live for milliseconds and make few cycles, the code lives for ever; with the default thresholds the
collector looks at both again and again, which costs 2 to 4 µs an item (`make bench-ingest`).
"""

from __future__ import annotations

import gc

from twisted.application.service import Service

THRESHOLDS = (20_000, 20, 100)  # https://docs.python.org/3/library/gc.html#gc.set_threshold


class Garbage(Service):
    """Rarer collections, while it runs, of what was made since it started."""

    _before: tuple[int, int, int] = (0, 0, 0)

    def startService(self) -> None:
        """Leave what is there alone from now on."""
        Service.startService(self)
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    def stopService(self) -> None:
        """As it was."""
        Service.stopService(self)
        gc.unfreeze()
        gc.set_threshold(*self._before)
