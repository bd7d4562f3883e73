# -*- test-case-name: tests.unit.test_policy_losses -*-
"""Many small losses → a gap now and then.

An upstream that keeps items back says so every second, and a full spool sheds thousands; each is announced, but
gathered, at most one announcement a cause in `PERIOD_MS`.
"""

from __future__ import annotations

import attrs

from streamer.gap import Gap

PERIOD_MS = 60_000


@attrs.define
class Losses:
    """Of one source; bounded by the number of causes."""

    _open: dict[str, Gap] = attrs.field(factory=dict)

    def note(self, cause: str, missed: int, start_ms: int, now_ms: int) -> None:
        """So many were lost for this cause, some time since `start_ms`."""
        known = self._open.get(cause)
        self._open[cause] = Gap(
            start=min(start_ms, known.start) if known else start_ms,
            end=now_ms,
            cause=cause,
            missed=missed + ((known.missed or 0) if known else 0),
        )

    def due(self, now_ms: int, *, all_of_them: bool = False) -> list[Gap]:
        """What is to be announced now; it is forgotten here."""
        ripe = [gap for gap in self._open.values() if all_of_them or now_ms - gap.start >= PERIOD_MS]
        for gap in ripe:
            del self._open[gap.cause]
        return ripe

    @property
    def open(self) -> tuple[Gap, ...]:
        """What a process that dies now would not have announced."""
        return tuple(self._open.values())
