# -*- test-case-name: tests.unit.test_fanout_framing -*-
"""How fast a client may ask: a token bucket on the caller's clock."""

from __future__ import annotations

import attrs


@attrs.define
class Bucket:
    """Holds `burst` tokens at most and gains `rate` of them a second.

    Args:
        filled: when it was last known full, seconds since the epoch.
    """

    rate: float
    burst: float
    filled: float
    _tokens: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> bool:
        """Spend one token; False where there is none. A clock that steps back gains nothing and costs nothing."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self.filled) * self.rate)
        self.filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def owes(self, now: float) -> bool:
        """Whether there is not a whole token; unlike `take` it spends none."""
        if not self.take(now):
            return True
        self._tokens += 1
        return False

    def charge(self, cost: float) -> None:
        """Spend what something turned out to cost; the balance may fall to `-burst`, and must recover first."""
        self._tokens = max(self._tokens - cost, -self.burst)
