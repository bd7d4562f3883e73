"""What the kernel and the services say about themselves: CPU, memory and counters."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.processes import Program, get

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(program: Program) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def counter(admin: int, name: str) -> float:
    """The sum of a metric over its labels."""
    _, body = get(f"http://127.0.0.1:{admin}/metrics")
    rows = re.findall(rf"^streamer_{name}(?:{{[^}}]*}})? (\S+)$", body.decode(), re.MULTILINE)
    return sum(map(float, rows))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def megabytes(size: int) -> str:
    """For a row of the report."""
    return f"{size / 1e6:.0f} MB"
