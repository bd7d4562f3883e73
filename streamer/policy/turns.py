# -*- test-case-name: tests.unit.test_policy_turns -*-
"""When a host may be asked again: a few requests at once, and a moment between the beginnings of any two.

Who polls a hundred feeds of one host is one client to it, whatever each of them is called in our configuration.
https://www.rfc-editor.org/rfc/rfc9309 leaves the pace to the client; a request a second is what most crawlers keep.
"""

from __future__ import annotations

import attrs

AT_ONCE = 2  # requests under way to one host
APART = 1.0  # seconds from the beginning of one to that of the next
MOST_IDLE = 1_000  # hosts that are remembered although nothing is under way


@attrs.define
class _Host:
    under_way: int = 0
    next_at: float = 0.0  # seconds since the epoch: no request begins sooner


@attrs.define
class Turns:
    """The requests to all hosts; whoever got a turn gives it back by `done`."""

    at_once: int = AT_ONCE
    apart: float = APART
    _hosts: dict[str, _Host] = attrs.field(factory=dict)

    def take(self, host: str, now: float) -> float | None:
        """Ask for a turn.

        Returns:
            Seconds to wait before the request is sent; None where there is no turn until somebody's is done.
        """
        if host not in self._hosts and len(self._hosts) >= MOST_IDLE:
            self._forget(now)
        known = self._hosts.setdefault(host, _Host())
        if known.under_way >= self.at_once:
            return None
        known.under_way += 1
        begins = max(now, min(known.next_at, now + self.at_once * self.apart))  # a clock set back stops nobody
        known.next_at = begins + self.apart
        return begins - now

    def done(self, host: str) -> None:
        """Give a turn back, used or not."""
        self._hosts[host].under_way -= 1

    def _forget(self, now: float) -> None:
        self._hosts = {
            host: known for host, known in self._hosts.items() if known.under_way or now < known.next_at <= now + 3600
        }
