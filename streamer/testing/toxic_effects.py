# -*- test-case-name: tests.unit.test_testing_toxics -*-
"""The toxics that are on one direction of one connection, and what they say about its next piece."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable
from typing import TypeVar, cast

import attrs

from streamer.testing.toxics import (
    Bandwidth,
    Corrupt,
    Cut,
    HalfClose,
    Kind,
    Latency,
    Reset,
    Slices,
    Striking,
    Toxic,
)

PORTION = 0.02  # seconds' worth of bytes in one piece, where there is a bandwidth

T = TypeVar("T")


class End(enum.Enum):
    """How a direction ends."""

    FIN = "no more bytes this way"
    CLOSE = "both sides are closed, when they have what was written"
    RESET = "both sides are reset"


_ENDS: dict[Kind, End] = {Cut: End.CLOSE, Reset: End.RESET, HalfClose: End.FIN}


@attrs.define(eq=False)
class Effects:
    """At most one toxic of each kind.

    Args:
        struck: told of each toxic that strikes, once; it may take it off.
    """

    _struck: Callable[[Striking], None]
    _toxics: dict[Kind, Toxic] = attrs.field(factory=dict)
    _places: dict[Kind, int] = attrs.field(factory=dict)  # of those that have not struck, in bytes passed

    def put_on(self, toxic: Toxic, passed: int) -> None:
        """Let it act, in place of another of its kind, on a connection of which so many bytes have passed."""
        self._toxics[type(toxic)] = toxic
        if isinstance(toxic, Striking):
            self._places[type(toxic)] = passed + toxic.after

    def take_off(self, kind: Kind) -> bool:
        """Let it act no longer; returns whether it was on."""
        self._places.pop(kind, None)
        return self._toxics.pop(kind, None) is not None

    def on(self, kind: type[T]) -> T | None:
        """The toxic of a kind, if it is on."""
        return cast("T | None", self._toxics.get(cast(Kind, kind)))

    def ending(self, passed: int) -> bool:
        """Whether one of them ends the direction here."""
        return any(self._places.get(kind, math.inf) <= passed for kind in _ENDS)

    def end(self, passed: int) -> End:
        """End it, where it is to end."""
        kind = next(kind for kind in _ENDS if self._places.get(kind, math.inf) <= passed)
        self._strike(kind)
        return _ENDS[kind]

    def most(self, passed: int) -> int:
        """Bytes of the longest piece that may go now."""
        most = min((place for kind, place in self._places.items() if kind in _ENDS), default=sys.maxsize) - passed
        if slices := self.on(Slices):
            most = min(most, slices.size)
        if bandwidth := self.on(Bandwidth):
            most = min(most, max(1, int(bandwidth.rate * PORTION)))
        return most

    def late(self, shift: float) -> float:
        """Seconds that bytes are under way; `shift`, -1 to 1, is their part of the jitter."""
        latency = self.on(Latency)
        return 0.0 if latency is None else max(0.0, latency.seconds + latency.jitter * shift)

    def pause(self, size: int) -> float:
        """Seconds that a piece of `size` bytes keeps the next one waiting."""
        slices, bandwidth = self.on(Slices), self.on(Bandwidth)
        return max(0.0 if slices is None else slices.delay, 0.0 if bandwidth is None else size / bandwidth.rate)

    def corrupted(self, piece: bytes, passed: int) -> bytes:
        """The piece that follows those `passed` bytes, changed where its turn has come."""
        toxic, place = self.on(Corrupt), self._places.get(Corrupt, sys.maxsize) - passed
        if toxic is None or place >= len(piece):
            return piece
        self._strike(Corrupt)
        return piece[:place] + bytes([piece[place] ^ toxic.mask]) + piece[place + 1 :]

    def _strike(self, kind: Kind) -> None:
        toxic = self._toxics[kind]
        del self._places[kind]
        if isinstance(toxic, Striking):
            self._struck(toxic)
