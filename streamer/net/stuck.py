# -*- test-case-name: tests.unit.test_net_sse -*-
"""How long a socket has taken nothing of what waits for it."""

from __future__ import annotations

import attrs

from streamer.net.outlet import Outlet


@attrs.define
class Stuck:
    """Watches one socket while its transport is paused; `since` is when it last took something."""

    outlet: Outlet
    since: float = 0.0
    _waiting: int = 0

    def seconds(self, now: float) -> float:
        """So long nothing was taken; to be asked now and then."""
        waiting = self.outlet.backlog()
        if 0 <= waiting < self._waiting:
            self.since = now
        self._waiting = waiting
        return now - self.since
