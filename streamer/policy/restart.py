# -*- test-case-name: tests.unit.test_policy_restart -*-
"""Changed predicates → when to make a new connection for them.

Upstreams count connects, so changes are gathered: the more of them wait, the sooner they are worth one. The curve is
that of the consumers of 2010, from ten minutes with nothing to change down to two for ninety changes, by the square
root of their number; unlike theirs it stays at its floor, however many there are.
"""

from __future__ import annotations

import math

import attrs

MAX_DELAY = 600.0  # seconds between two restarts that nothing but a wish asks for
MIN_DELAY = 120.0  # seconds; the upstream's patience
FULL = 90  # pending changes from which on the floor holds
STEP = 10.0  # seconds to which the curve is rounded
COALESCE = 2.0  # seconds around a restart within which a change goes along instead of asking for another


def delay(pending: int) -> float:
    """Seconds that two restarts should be apart.

    Args:
        pending: how many changes wait.
    """
    share = min(1.0, math.sqrt(pending / FULL))
    wanted = MAX_DELAY - (MAX_DELAY - MIN_DELAY) * share
    return max(MIN_DELAY, round(wanted / STEP) * STEP)


@attrs.define
class Plan:
    """When the connection of one source is to be renewed.

    Args:
        due: seconds since the epoch; None while nothing is planned.
        last: when the last restart was; None before the first, which need not wait.
    """

    due: float | None = None
    last: float | None = None
    _asked: bool = False
    _not_before: float = -math.inf  # what the cause of a failed restart asks for

    def change(self, now: float, pending: int, *, asked: bool) -> None:
        """So many changes wait now, or somebody asked for a restart whether or not there are any."""
        if asked and not pending and self.last is not None and now - self.last < COALESCE:
            return  # he has just had it
        self._asked = self._asked or asked
        if not pending and not self._asked:
            self.due = None  # changed and changed back
        elif self.due is None or self.due - now >= COALESCE:
            self.due = max(self._not_before, now if self.last is None else max(now, self.last + delay(pending)))

    def retry(self, now: float, after: float | None) -> None:
        """A restart came to nothing; None means that only another change can help."""
        if after is not None:
            self.due = self._not_before = now + max(after, COALESCE)

    def began(self, now: float) -> None:
        """A restart is under way, and takes all changes along."""
        self.due, self.last, self._asked, self._not_before = None, now, False, -math.inf

    def drop(self) -> None:
        """Nothing is planned any more."""
        self.due, self._asked = None, False
