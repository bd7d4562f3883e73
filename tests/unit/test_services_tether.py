"""A child's hold on its supervisor."""

from __future__ import annotations

import os

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.services.tether import Tether


class TetherTests(SynchronousTestCase):
    """`Tether`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.ours, self.theirs = os.pipe()
        self.addCleanup(os.close, self.ours)
        self.parted: list[bool] = []
        self.tether = Tether(self.reactor, lambda: self.parted.append(True), self.ours)
        self.tether.startService()

    def test_start_and_stop(self) -> None:
        """It is watched for as long as the service runs."""
        self.assertEqual({self.tether}, self.reactor.readers)
        self.assertEqual((self.ours, "tether"), (self.tether.fileno(), self.tether.logPrefix()))
        self.tether.stopService()
        self.assertEqual(set(), self.reactor.readers)
        self.tether.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.parted)
        os.close(self.theirs)

    def test_words(self) -> None:
        """What comes means nothing, nor does a reactor that was wrong about it."""
        os.write(self.theirs, b"hello")
        self.tether.doRead()
        self.tether.doRead()
        self.assertEqual([], self.parted)
        os.close(self.theirs)

    def test_end(self) -> None:
        """The end of the pipe is told, once."""
        os.close(self.theirs)
        self.tether.doRead()
        self.assertEqual(([True], set()), (self.parted, self.reactor.readers))

    def test_hung_up(self) -> None:
        """epoll reports it in another way."""
        os.close(self.theirs)
        self.tether.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([True], self.parted)
