# -*- test-case-name: tests.unit.test_cli -*-
"""A service in the foreground, as commands of `streamer` run it."""

from __future__ import annotations

import sys
from typing import Any


def run_service(service: Any, reactor: Any) -> None:
    """Run a service until SIGINT or SIGTERM, then until it is quiet."""
    from twisted.logger import globalLogBeginner, textFileLogObserver

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
