# -*- test-case-name: tests.unit.test_services_fatal -*-
"""The end of a process that cannot do its work: a sentence, an orderly stop, exit code 1.

twistd itself knows no exit code but 0 once its reactor has run, and systemd would take that for success; so the code
is set when the interpreter exits, after twistd has tidied up.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

EXIT_FAILED = 1

Fatal = Callable[[str], None]  # told a sentence for the operator

_log = Logger()


def ends_process(reactor: Any, at_exit: Callable[[Callable[[], None]], object] = atexit.register) -> Fatal:
    """What to call when this process cannot go on; later calls only say their sentence."""
    told: list[str] = []

    def fatal(sentence: str) -> None:
        _log.critical("{sentence}", sentence=sentence)
        told.append(sentence)
        if len(told) == 1:
            at_exit(_exit)
            reactor.callWhenRunning(reactor.callLater, 0, reactor.stop)

    return fatal


def _exit() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
