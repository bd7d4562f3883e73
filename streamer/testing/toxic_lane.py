# -*- test-case-name: tests.unit.test_testing_toxics -*-
"""One direction of one proxied connection, without sockets: bytes and the time go in, pieces and their time come out.

What was read is held in a row with the time it came, and toxics act when the head of the row is looked at: so putting
one on or taking one off has its effect at once, also on what is held. In this order, the first that applies: what has
an end strikes when its place is reached; `Stall` holds everything; `HalfOpen` drops everything; `Latency`,
`Bandwidth` and `Slices` say when the next piece is due, and how long it is; `Corrupt` changes a byte in it.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

import attrs

from streamer.testing.toxic_effects import Effects, End
from streamer.testing.toxics import HalfOpen, Kind, Stall, Striking, Toxic

HELD = 262_144  # bytes held beyond which nothing more is read; enough for 0.2 s of latency at 1 MB/s


@attrs.define
class _Held:
    """What came at one time: bytes, of which the first `taken` are gone, or the end."""

    came: float
    shift: float  # -1 to 1, of the jitter
    content: bytes | End
    taken: int = 0


@attrs.define(eq=False)
class Lane:
    """See the module.

    Args:
        struck: told of each toxic that strikes, once; it may take it off.
        random: gives numbers from 0 up to 1, for jitter.

    Attributes:
        writable: whether the other side takes bytes; a reset does not wait for that.
        held: bytes read and not passed on; `HELD` and one read at most.
        passed: bytes passed on.
        dropped: bytes read and thrown away.
        ended: how it ended, once `take` returned that; set by `drain`, too.
    """

    _struck: Callable[[Striking], None] = lambda toxic: None
    _random: Callable[[], float] = random.random
    writable: bool = True
    held: int = 0
    passed: int = 0
    dropped: int = 0
    ended: End | None = None
    _effects: Effects = attrs.field(
        init=False, default=attrs.Factory(lambda self: Effects(self._struck), takes_self=True)
    )
    _row: deque[_Held] = attrs.field(factory=deque)
    _free: float = -math.inf  # when the next piece may go, seconds
    _torn: bool = False  # something of it was dropped by HalfOpen

    def put_on(self, toxic: Toxic) -> None:
        """Let it act from now on, in place of another one of its kind."""
        self._effects.put_on(toxic, self.passed)
        self._free = -math.inf
        if isinstance(toxic, HalfOpen):
            self._torn = self._torn or bool(self._row)
            self._drop()

    def take_off(self, kind: Kind) -> None:
        """Let it act no longer; nothing happens where it is not on."""
        if self._effects.take_off(kind):
            self._free = -math.inf
            if kind is HalfOpen and self._torn:
                self._row.append(_Held(-math.inf, 0.0, End.RESET))

    def put(self, data: bytes, now: float) -> None:
        """Bytes were read, at a time in seconds."""
        if self.ended is None:
            self.held += len(data)
            self._add(data, now)
        else:
            self.dropped += len(data)

    def end(self, how: End, now: float) -> None:
        """The side that is read from ended, by FIN after all it sent, or by RESET, which drops what is held."""
        if self.ended is None:
            if how is End.RESET:
                self._drop()
            self._add(how, now)

    def drain(self) -> None:
        """The side that is written to is gone: drop what is held, and what is still to come."""
        self._drop()
        self.ended = self.ended or End.RESET

    @property
    def reading(self) -> bool:
        """Whether more should be read."""
        return self._effects.on(Stall) is None and self.held < HELD

    @property
    def due(self) -> float | None:
        """When `take` has something, seconds; None where that is up to other events. In the past means now."""
        if self.ended is not None:
            return None
        if self._effects.ending(self.passed):
            return -math.inf
        if self._effects.on(Stall) is not None or not self._row:
            return None
        head = self._row[0]
        if not self.writable and head.content is not End.RESET:
            return None
        return max(head.came + self._effects.late(head.shift), self._free)

    def take(self, now: float) -> bytes | End | None:
        """The next piece to write, or how it ends, at a time in seconds; None where nothing is due yet."""
        due = self.due
        if due is None or due > now:
            return None
        if self._effects.ending(self.passed):
            return self._over(self._effects.end(self.passed))
        head = self._row[0]
        if isinstance(head.content, End):
            return self._over(head.content)
        piece = head.content[head.taken : head.taken + self._effects.most(self.passed)]
        head.taken += len(piece)
        if head.taken == len(head.content):
            self._row.popleft()
        self.held -= len(piece)
        self._free = now + self._effects.pause(len(piece))
        piece = self._effects.corrupted(piece, self.passed)
        self.passed += len(piece)
        return piece

    def _add(self, content: bytes | End, now: float) -> None:
        self._row.append(_Held(now, 2.0 * self._random() - 1.0, content))
        if self._effects.on(HalfOpen) is not None:
            self._torn = True
            self._drop()

    def _drop(self) -> None:
        """Throw away what is held."""
        self.dropped += self.held
        self.held = 0
        self._row.clear()

    def _over(self, how: End) -> End:
        self._drop()
        self.ended = how
        return how
