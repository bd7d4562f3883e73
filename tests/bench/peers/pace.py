"""What the peers and the publishers on Python have in common: the events, at the rate that is asked for on stdin.

`rate R` asks for R events a second from now on, and is answered by `sent N`, the number made until now. pace.mjs does
the same for those on Node.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import attrs

TEMPLATE = Path(__file__).with_name("event.json")
TOPICS = 50  # the event's topic names one of so many authors
FIRST = 1_000_000_000  # every number has as many digits
TICK = 0.001  # seconds between looks
MADE_UP_FOR = 0.05  # seconds of events that a server which is late still makes; the rest are never made


class Event(NamedTuple):
    """One event; `text` is its JSON."""

    number: int
    text: bytes


def topic(number: int) -> str:
    """What the event of that number says in its `topic`."""
    return f"post.bench.en.author{number % TOPICS}.tag"


@attrs.define
class Pace:
    """Which events are due; times in seconds of any clock that does not go back."""

    _template: bytes = attrs.field(factory=lambda: TEMPLATE.read_bytes().rstrip())
    _rate: float = 0.0
    _began: float = 0.0
    _planned: int = 0
    made: int = 0

    def told(self, line: str, now: float) -> str:
        """Heed a line of stdin; returns the answer."""
        word, rate = line.split()
        if word != "rate":
            raise ValueError(f"{line!r} is no command; there is `rate R` only")
        self._rate, self._began, self._planned = float(rate), now, 0
        return f"sent {self.made}"

    def due(self, now: float) -> Iterator[Event]:
        """The events to be made now, each with the time at which it is asked for."""
        due = int((now - self._began) * self._rate)
        self._planned = max(self._planned, due - max(1, int(self._rate * MADE_UP_FOR)))
        while self._planned < due:
            number = FIRST + self.made
            self.made += 1
            self._planned += 1
            text = self._template.replace(b"@N@", b"%d" % number).replace(b"@K@", b"%d" % (number % TOPICS))
            yield Event(number, text.replace(b"@T@", b"%d" % time.monotonic_ns()))


def say(line: str) -> None:
    """One line to whoever started this."""
    print(line, flush=True)


def publish_all(publish: Callable[[list[Event]], None]) -> None:
    """Hand on what is due until stdin ends: for publishers, which do nothing else."""
    pace = Pace()
    say("ready")
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], TICK)
        if readable:
            line = sys.stdin.readline()
            if not line:
                return
            say(pace.told(line, time.monotonic()))
        events = list(pace.due(time.monotonic()))
        if events:
            publish(events)
