# -*- test-case-name: tests.unit.test_recording_cli -*-
"""How a long command goes, as a line on stderr that is written over and over; on a terminal only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import click

WIDTH = 24  # columns of the bar
SPAN = 10  # looks over which a rate is taken
ERASE = "\r\x1b[K"  # to the line's beginning, and erase it: ECMA-48, EL


def _stderr(text: str) -> None:
    click.echo(text, err=True, nl=False)


@attrs.define(eq=False)
class Meter:
    """Lines and sentences on stderr.

    Args:
        terminal: whether anybody would see the line.
        write: where to.
    """

    terminal: bool
    write: Callable[[str], Any] = _stderr
    _shown: bool = False
    _looks: deque[tuple[float, int]] = attrs.field(factory=lambda: deque([(0.0, 0)], maxlen=SPAN))

    def say(self, sentence: str) -> None:
        """A sentence that stays."""
        self.write(f"{ERASE if self._shown else ''}{sentence}\n")
        self._shown = False

    def show(self, what: str, count: int, elapsed: float, more: str = "", share: float | None = None) -> None:
        """How it stands now.

        Args:
            count: so far, for the rate.
            elapsed: seconds.
            share: done of the whole, 0 to 1; None where there is no whole.
        """
        self._looks.append((elapsed, count))
        if not self.terminal:
            return
        before, least = self._looks[0]
        rate = f"{(count - least) / (elapsed - before):,.1f}/s" if elapsed > before else "-"
        parts = [what, rate, more]
        if share is not None:
            full = int(share * WIDTH)
            parts.insert(0, f"[{'#' * full}{'-' * (WIDTH - full)}] {share:4.0%}")
        self.write(ERASE + "  ".join(filter(None, parts)))
        self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self.write(ERASE)
            self._shown = False


def amount(size: int) -> str:
    """Bytes, for people."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
