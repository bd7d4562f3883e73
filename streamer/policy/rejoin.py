# -*- test-case-name: tests.unit.test_policy_rejoin -*-
"""Why a connection to a relay ended → whether and when a client comes back; see "Close codes" in `fanout.protocol`.

Full jitter, `uniform(0, min(cap, base · 2ⁿ))`, spreads many clients best while a server comes up again:
https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

BASE = 0.5  # seconds
CAP = 20.0  # seconds
SOON = 5.0  # seconds over which clients spread that a restarting relay sends away
ASKED_LIMIT = 3600.0  # seconds; a server that asks for longer is asked again once an hour
HEALTHY_AFTER = 10.0  # seconds of following that make the next failure the first one again

NORMAL = 1000
GOING_AWAY = 1001
TOO_LONG = 1009
RESTARTING = 1012
_DOUBLINGS = 16  # beyond these the cap is reached, whatever the base


class Course(enum.Enum):
    """What to do about an end."""

    FINAL = "final"  # the same again would end the same
    BACK_OFF = "back-off"
    SOON = "soon"


def after_close(code: int | None) -> Course:
    """What a websocket close code asks for; None where the connection was cut without one."""
    if code is None:
        return Course.BACK_OFF
    if 4000 <= code < 4100 or code == TOO_LONG:
        return Course.FINAL
    if 4200 <= code < 4300 or code in (GOING_AWAY, RESTARTING):
        return Course.SOON
    return Course.BACK_OFF


def after_status(status: int) -> Course:
    """What an HTTP answer other than 101 to the handshake asks for.

    5xx, 408, 425 and 429 pass (https://www.rfc-editor.org/rfc/rfc9110#section-15.6); other answers would be the same.
    """
    return Course.BACK_OFF if status >= 500 or status in (408, 425, 429) else Course.FINAL


@attrs.define
class Rejoin:
    """The waits of one client.

    Args:
        uniform: a random number from a range, as `random.uniform`; injected, so that tests are exact.
    """

    uniform: Callable[[float, float], float]
    base: float = BASE
    cap: float = CAP
    failures: int = 0  # in a row

    def wait(self, course: Course, *, followed: float = 0.0, asked: float | None = None) -> float:
        """How long to wait before the next connection.

        Args:
            course: BACK_OFF or SOON.
            followed: seconds for which the connection had served before it ended.
            asked: seconds that the server asked for; they are kept, and spread when backing off.

        Returns:
            Seconds.
        """
        if followed >= HEALTHY_AFTER:
            self.failures = 0
        floor = min(max(asked or 0.0, 0.0), ASKED_LIMIT)
        if course is Course.SOON:
            return floor if asked is not None else self.uniform(0.0, SOON)
        reach = min(self.cap, self.base * 2.0 ** min(self.failures, _DOUBLINGS))
        self.failures += 1
        return floor + self.uniform(0.0, reach)
