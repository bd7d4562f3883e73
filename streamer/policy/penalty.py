# -*- test-case-name: tests.unit.test_policy_small -*-
"""What an upstream's rate limit on one credential means for all who use it: nobody connects before it is over."""

from __future__ import annotations

import attrs


@attrs.define
class Penalty:
    """Shared by the sources of one credential."""

    until: float = 0.0  # seconds since the epoch

    def extend(self, until: float) -> None:
        """Nobody is to connect before then; a shorter one does not shorten it."""
        self.until = max(self.until, until)

    def left(self, now: float) -> float:
        """Seconds still to wait; 0 where there are none."""
        return max(0.0, self.until - now)
