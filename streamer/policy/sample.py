# -*- test-case-name: tests.unit.test_policy_sample -*-
"""How many of many like incidents go to the log: the first few of each period, and then how many were left out."""

from __future__ import annotations

import attrs

PER_PERIOD = 5  # incidents of one key that are logged
PERIOD = 60.0  # seconds
KEYS = 1000  # remembered at once; then all are forgotten


@attrs.define
class Sample:
    """A bounded sample, by key."""

    per_period: int = PER_PERIOD
    period: float = PERIOD
    _seen: dict[str, tuple[float, int]] = attrs.field(factory=dict)

    def take(self, key: str, now: float) -> int | None:
        """Whether to log an incident now.

        Returns:
            None to leave it out; else how many were left out in the period before (0 mostly).
        """
        began, count = self._seen.get(key, (now, 0))
        left_out = 0
        if not 0 <= now - began < self.period:
            left_out = max(0, count - self.per_period)
            began, count = now, 0
        if len(self._seen) >= KEYS and key not in self._seen:
            self._seen.clear()
        self._seen[key] = (began, count + 1)
        return left_out if count < self.per_period else None
