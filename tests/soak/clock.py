# -*- test-case-name: tests.integration.test_soak -*-
"""The wall clock, for it is real processes that are watched."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()  # noqa: TID251 - what happened when, over several processes
