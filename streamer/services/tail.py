# -*- test-case-name: tests.unit.test_watch_cli -*-
"""`streamer tail`: what a `net.relay_reader` hears, as lines. Data goes to stdout, talk to stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from streamer.net.relay_frames import Lag, Subscribed
from streamer.policy.event_line import line

LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")  # JSON may hold them between its tokens, and means nothing by them

REASONS = {
    "expired": "the relay does not remember that far back",
    "unknown": "the position is of another log, or the relay is older than this program and knows no times",
}


class Enough(Exception):
    """As many events were shown as were asked for."""


@attrs.define(eq=False)
class Tail:
    """A listener that prints.

    Args:
        write: takes whole lines for stdout.
        say: takes a sentence for stderr.
        as_json: print events as they came instead of lines for people.
        count: end after so many events; 0 never does.
    """

    url: str
    write: Callable[[bytes], None]
    say: Callable[[str], None]
    as_json: bool = False
    count: int = 0
    _shown: int = 0

    def connected(self, facts: Subscribed) -> None:
        """See `net.relay_reader.Listener`."""
        before = f"; {facts.replayed} events from before follow" if facts.replayed else ""
        self.say(f"connected to {self.url}{before}")
        if not facts.recovered:
            reason = REASONS.get(facts.reason, facts.reason)
            self.say(f"recovered: false: {reason}; events may be missing before those that follow")

    def events(self, bodies: Sequence[bytes]) -> None:
        """See `net.relay_reader.Listener`.

        Raises:
            Enough: that was the last one.
            OSError: they could not be written.
        """
        left = self.count - self._shown if self.count else len(bodies)
        shown = bodies[:left]
        self.write(b"".join(self._line(body) for body in shown))
        self._shown += len(shown)
        if self.count and self._shown >= self.count:
            raise Enough

    def lagged(self, facts: Lag) -> None:
        """See `net.relay_reader.Listener`."""
        self.say(f"lag: {facts.skipped} events skipped")

    def waiting(self, sentence: str, seconds: float) -> None:
        """See `net.relay_reader.Listener`."""
        self.say(f"{sentence}; reconnecting in {seconds:.1f} s")

    def _line(self, body: bytes) -> bytes:
        if self.as_json:
            return body.translate(LINE_ENDS) + b"\n"
        return line(body).encode(errors="replace") + b"\n"
