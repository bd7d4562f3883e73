"""Whether a broker that hangs is noticed, and one that is well is left alone."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import ConnectionParameters, spec
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import role
from streamer.bus.connection import BrokerConnection
from streamer.bus.role import Role
from streamer.metrics import BUS_ENDINGS, Metrics
from streamer.testing.broker import Broker


@attrs.define
class Hanging(Broker):
    """Answers after a while, or not at all; beats as RabbitMQ 3.10.8 does, half an interval apart when idle."""

    delay: float = 0.0

    def take(self, link: Any, found: Any) -> None:
        if self.delay:
            self.clock.callLater(self.delay, Broker.take, self, link, found)
        else:
            Broker.take(self, link, found)


class PulseTests(SynchronousTestCase):
    """A role on a broker with heartbeats of 15 s."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.metrics = Metrics()
        self.broker = Hanging(self.clock)
        self.changes: list[bool] = []

    def role(self, heartbeat: int = 15) -> Role:
        async def set_up(connection: Any, channel: Any) -> None:
            pass

        shared = role.Broker(
            [("here", self.broker)],
            lambda name: BrokerConnection(ConnectionParameters(heartbeat=heartbeat), self.clock),
            self.clock,
            self.metrics,
            lambda: 0.5,
        )
        made = Role("test", shared, set_up, lambda: self.changes.append(made.ready))
        made.start()
        self.clock.advance(0)
        self.assertTrue(made.ready)
        return made

    def pass_time(self, seconds: float, beats: float = 0.0) -> None:
        """Let time pass in small steps, with a heartbeat each so many seconds."""
        last = 0.0
        for step in range(int(seconds * 2)):
            self.clock.advance(0.5)
            if beats and step / 2 - last >= beats and not self.broker.frozen:
                last = step / 2
                self.broker.beat()

    def stop(self, made: Role) -> None:
        self.broker.frozen = False
        stopping = made.stop()
        self.clock.pump([0, 5, 0])
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hung(self) -> None:
        """A hung broker makes the role not ready after 12 s, with a word; it is given up before 30 s."""
        made = self.role()
        self.broker.frozen = True
        self.pass_time(11)
        self.assertTrue(made.ready)
        self.pass_time(5)
        self.assertFalse(made.ready)
        self.assertIn("connected to here, but it has been silent for 1", made.status)
        self.assertEqual(self.metrics.total(BUS_ENDINGS), 0)
        self.broker.refuses = 100
        with capturedLogs() as logged:
            self.pass_time(11.5)
        self.assertEqual(self.metrics.value(BUS_ENDINGS, "test", "heartbeat"), 1)
        self.assertIn("the broker was silent for 24 s, though it was asked", formatEvent(logged[0]))
        self.broker.refuses, self.broker.frozen = 0, False
        self.pass_time(60)
        self.stop(made)

    def test_recovers(self) -> None:
        """One that goes on before that makes the role ready again, on the same connection."""
        made = self.role()
        self.broker.frozen = True
        self.pass_time(16)
        self.assertFalse(made.ready)
        self.broker.frozen = False
        self.broker.beat()
        self.pass_time(3.5)
        self.assertTrue(made.ready)
        self.assertNotIn("silent", made.status)
        self.assertEqual(self.changes, [True, False, True])
        self.assertEqual(self.broker.connections, 1)
        self.stop(made)

    def test_idle(self) -> None:
        """A broker that sends a heartbeat only each 15 s, as an idle one may, is never called silent: it is asked."""
        made = self.role()
        self.pass_time(120, beats=15)
        self.assertEqual((self.changes, self.broker.connections), ([True], 1))
        asked = [method for method in self.broker.methods if isinstance(method, spec.Basic.Qos)]
        self.assertTrue(5 <= len(asked) <= 20)
        self.stop(made)

    def test_busy(self) -> None:
        """One that sends all the time is never asked."""
        made = self.role()
        self.pass_time(60, beats=1)
        self.assertFalse([method for method in self.broker.methods if isinstance(method, spec.Basic.Qos)])
        self.assertEqual(self.changes, [True])
        self.stop(made)

    @given(st.floats(0.1, 5.5))
    @settings(max_examples=20, deadline=None)
    def test_slow(self, delay: float) -> None:
        """One that takes up to 5 s for an answer is not called silent."""
        self.setUp()
        made = self.role()
        self.broker.delay = delay
        self.pass_time(90, beats=15)
        self.assertEqual(self.changes, [True])
        self.broker.delay = 0
        self.pass_time(6)
        self.stop(made)

    def test_stalled_process(self) -> None:
        """Where this process stood still for a minute, what lies in the socket is read before the broker is blamed."""
        made = self.role()
        self.pass_time(2)
        before = self.broker.connections
        self.clock.rightNow += 20.0  # all timers are late at once
        self.clock.advance(0)
        self.broker.beat()
        self.assertTrue(made.ready)
        self.pass_time(20, beats=7)
        self.assertEqual((self.changes, self.broker.connections), ([True], before))
        self.stop(made)

    def test_without_heartbeats(self) -> None:
        """Where none are agreed on, silence means nothing."""
        made = self.role(heartbeat=0)
        self.broker.frozen = True
        self.pass_time(100)
        self.assertEqual((self.changes, self.broker.connections), ([True], 1))
        self.stop(made)
