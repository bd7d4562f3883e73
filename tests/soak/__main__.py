# -*- test-case-name: tests.integration.test_soak -*-
"""`make soak`: SECONDS of faults (600), by the schedule that SEED makes (a new one each time)."""

from __future__ import annotations

import os
import random
import shutil
import sys

from tests.soak.run import Soak

SECONDS = 600.0


def main() -> int:
    """Returns the exit code."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    seconds = float(os.environ.get("SECONDS") or SECONDS)
    print(f"soaking for {seconds:g} s; SEED={seed} makes the same schedule", flush=True)
    soak = Soak(seed, seconds)
    report = soak.run()
    print(report)
    if report.broken:
        return 1
    shutil.rmtree(soak.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
