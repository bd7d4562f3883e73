# -*- test-case-name: tests.unit.test_bus_publisher -*-
"""How a publisher stands with a broker it is connected to: whether it reads, takes and confirms."""

from __future__ import annotations

import math

import attrs

from streamer.bus.gate import Gate

FULL_LIMIT = 5.0  # seconds the transport's buffer may be full before that is worth a word
SLOW_LIMIT = 5.0  # seconds the oldest publish may be without its confirm before that is worth a word
REFUSED_LIMIT = 5.0  # seconds the broker may refuse messages before that is worth a word


@attrs.define
class Standing:
    """Since when what is so; a new connection has a new one.

    Attributes:
        unblocked: when the broker was unblocked; infinite while it is blocked.
        full: since when the transport's buffer is full.
        refused: since when the broker refuses messages.
        refusals: how many times in a row.
    """

    unblocked: float = 0.0
    full: float | None = None
    refused: float | None = None
    refusals: int = 0

    def gate_changed(self, gate: Gate, now: float) -> None:
        """The transport's buffer, or the broker's mood, may have changed."""
        if gate.writable:
            self.full = None
        elif self.full is None:
            self.full = now
        self.unblocked = min(self.unblocked, now) if gate.blocked is None else math.inf

    def nacked(self, now: float) -> int:
        """The broker refused something. Returns how many times in a row it had done so before."""
        if self.refused is None:
            self.refused = now
        self.refusals += 1
        return self.refusals - 1

    def refused_for(self, now: float) -> float:
        """Seconds that the broker has refused messages."""
        return 0.0 if self.refused is None else now - self.refused

    def acked(self) -> None:
        """It takes messages, and nothing that it refused is left."""
        self.refused, self.refusals = None, 0

    def unanswered(self, head: float | None, now: float) -> float | None:
        """Since when the oldest publish on the wire waits, the time of being blocked left out; None where none does.

        Args:
            head: when it was written.
        """
        return None if head is None else min(max(head, self.unblocked), now)

    def trouble(self, gate: Gate, head: float | None, now: float) -> str:
        """What is wrong, for the operator. A moment of it is how a busy broker paces us, and goes unsaid."""
        if gate.blocked is not None:
            return f"the broker takes no messages ({gate.blocked})"
        if self.full is not None and now - self.full > FULL_LIMIT:
            return f"the broker has read nothing for {now - self.full:.0f} s"
        if self.refused is not None and now - self.refused > REFUSED_LIMIT:
            return f"the broker has refused messages for {now - self.refused:.0f} s; a queue is full or leaderless"
        if (since := self.unanswered(head, now)) is not None and now - since > SLOW_LIMIT:
            return f"the broker has confirmed nothing for {now - since:.0f} s"
        return ""
