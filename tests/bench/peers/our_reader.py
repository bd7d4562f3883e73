"""This streamer's reading and understanding alone: all of it, but a bus that takes everything at once.

Built by the same hand as `twistd streamer` builds it, so that whatever stands between the socket and the bus is in it.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from zope.interface import implementer

from streamer.bus.memory_locks import MemoryLocks
from streamer.interfaces import IBus, ISubscription
from streamer.message import Message
from streamer.metrics import Metrics
from streamer.services.assembly import ROLES, Process
from streamer.services.fatal import ends_process
from streamer.services.garbage import Garbage
from streamer.settings import load
from tests.bench.peers.tally import Tally


@implementer(IBus)
class Nowhere(Service):
    """Confirms at once."""

    ready = True
    durable = False  # as much as to say: spool nothing for it
    trouble = ""
    status = "takes everything"
    window = 1000

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.locks = MemoryLocks()

    def publish(self, message: Message) -> Deferred[None]:
        """See IBus."""
        self._tally.count += 1
        return succeed(None)

    def work(self, queue: str, handler: Any, prefetch: int) -> ISubscription:
        """Nobody asks."""
        raise LookupError(f"nothing to work on in {queue}")

    def log(self, history: float, receive: Any) -> Any:
        """Nobody asks."""
        raise LookupError("no log")


def main() -> None:
    """Read until ended."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--config", required=True)
    quiet = LogLevelFilterPredicate(LogLevel.warn)
    globalLogBeginner.beginLoggingTo(
        [FilteringLogObserver(textFileLogObserver(sys.stdout), [quiet])], redirectStandardIO=False
    )
    settings = load(options.parse_args().config)
    process = Process(reactor, Metrics(), ends_process(reactor), ())
    service = ROLES["streamer"](settings, Nowhere(Tally()), process)
    reactor.callWhenRunning(Garbage().startService)  # as in `twistd streamer`
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
