# -*- test-case-name: tests.unit.test_policy_safe -*-
"""What was heard → up to when everything is ours.

While a connection is live, that is when its last item was posted, or the time of its last keep-alive. While the
upstream repeats the past, or a recovery runs beside it, or what waited during a pause is still to be read, the point
stays: should the connection break then, the next one has to begin where this one did.
"""

from __future__ import annotations

import attrs

MARGIN_MS = 5_000  # an upstream may deliver a few seconds late, so what it posted just before may be missing too
CATCH_UP = 60.0  # seconds of reading after which a repetition must be over, where its items tell no time


@attrs.define
class Safe:
    """The point of one source.

    Args:
        reached: ms since the epoch; None where nothing is known.
    """

    reached: int | None = None
    _holds: set[str] = attrs.field(factory=set)

    def heard(self, until_ms: int, now_ms: int) -> None:
        """Everything up to then came in, unless something holds the point. It goes back only with the clock itself."""
        if self._holds:
            return
        if self.reached is None or until_ms > self.reached or self.reached > now_ms:
            self.reached = until_ms

    def hold(self, why: str) -> None:
        """Something from before now is still to come."""
        self._holds.add(why)

    def held(self, why: str) -> bool:
        """Whether this holds the point."""
        return why in self._holds

    def release(self, why: str) -> None:
        """It came, or was announced as missing."""
        self._holds.discard(why)


@attrs.define
class CatchUp:
    """Has one connection, which repeats the past first, come to the present?

    Args:
        opened: when its answer began, or when it was read again after a pause; seconds since the epoch.
        over: a connection that repeats nothing is in the present at once.
    """

    opened: float
    over: bool
    _read: float = 0.0  # seconds spent reading, pauses left out
    _last: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._last = self.opened

    def heard(self, now: float, posted_ms: int | None, *, paused: bool) -> bool:
        """Bytes came, the last item of which was posted at that time, as far as known. Says whether it is over."""
        if not paused:
            self._read += now - self._last
        self._last = now
        live = posted_ms is not None and posted_ms >= self.opened * 1000 - MARGIN_MS
        self.over = self.over or live or self._read >= CATCH_UP
        return self.over
