# -*- test-case-name: tests.unit.test_policy_respawn -*-
"""A process of ours ended → how long to wait before its successor starts.

One that had run well is replaced almost at once, for its clients are looking for a place. One that dies young will
most likely die young again, and each try costs the broker a reading of the log's history.
"""

from __future__ import annotations

import attrs

FIRST = 0.25  # seconds
LONGEST = 30.0  # seconds
STEADY = 30.0  # seconds of life after which an end is a first one again


@attrs.define
class Respawn:
    """The delays of one process's successors."""

    _young: int = 0  # deaths in a row, each before `STEADY`

    def died(self, lived: float) -> float:
        """Count one end.

        Args:
            lived: seconds that it had run.

        Returns:
            Seconds to wait.
        """
        if lived >= STEADY:
            self._young = 0
        delay: float = min(LONGEST, FIRST * 2.0 ** min(self._young, 16))
        self._young += 1
        return delay
