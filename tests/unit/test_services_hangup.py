"""SIGHUP."""

from __future__ import annotations

import os
import signal

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.services.hangup import Hangup


class HangupTests(SynchronousTestCase):
    """`Hangup`."""

    def test_signal(self) -> None:
        """While it runs a SIGHUP is heard, in a turn of the reactor; then all is as before."""
        before = signal.getsignal(signal.SIGHUP)
        reactor = MemoryReactorClock()
        turns: list[object] = []
        reactor.callFromThread = turns.append
        heard: list[str] = []
        service = Hangup(reactor, lambda: heard.append("hung up"))
        service.startService()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual([], heard)
        (turn,) = turns
        turn()
        self.assertEqual(["hung up"], heard)
        service.stopService()
        self.assertIs(before, signal.getsignal(signal.SIGHUP))
