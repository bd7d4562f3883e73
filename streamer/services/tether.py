# -*- test-case-name: tests.unit.test_services_tether -*-
"""A child's hold on its supervisor: a pipe that ends with the supervisor, however that ends, and ends the child.

No signal tells a process that its parent was killed, and a relay that goes on alone would hold the port, unseen by
any admin endpoint, for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

STDIN = 0  # the descriptor the pipe comes by


@implementer(IReadDescriptor)
class Tether(Service):
    """Watches the pipe.

    Args:
        parted: called once when the supervisor is gone.
        descriptor: to read from; what comes is dropped, its end is what counts.
    """

    log = Logger()

    def __init__(self, reactor: Any, parted: Callable[[], object], descriptor: int = STDIN) -> None:
        self._reactor = reactor
        self._parted = parted
        self._descriptor = descriptor

    def startService(self) -> None:
        """Watch."""
        Service.startService(self)
        os.set_blocking(self._descriptor, False)
        self._reactor.addReader(self)

    def stopService(self) -> None:
        """Watch no more."""
        Service.stopService(self)
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        """What is watched."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Whose errors they are."""
        return "tether"

    def doRead(self) -> None:
        """Something came, or nothing ever will."""
        try:
            if os.read(self._descriptor, 4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # as good as ended
        self._reactor.removeReader(self)
        self._part()

    def connectionLost(self, reason: object) -> None:
        """epoll says of an empty pipe that it hung up, not that it can be read; the reactor reads it no more."""
        self._part()

    def _part(self) -> None:
        if self.running:
            self.log.warn("The supervisor is gone; this process stops")
            self._parted()
