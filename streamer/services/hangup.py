# -*- test-case-name: tests.unit.test_services_hangup -*-
"""SIGHUP, which `systemctl reload` sends: without a handler it would end the process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service


class Hangup(Service):
    """Does something at each SIGHUP, from its start to its stop.

    Args:
        act: called in a turn of the reactor.
    """

    def __init__(self, reactor: Any, act: Callable[[], object]) -> None:
        self._reactor = reactor
        self._act = act
        self._before: Any = None

    def startService(self) -> None:
        """Handle it."""
        Service.startService(self)
        self._before = signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._act))

    def stopService(self) -> None:
        """As it was."""
        Service.stopService(self)
        signal.signal(signal.SIGHUP, self._before)
