# -*- test-case-name: tests.unit.test_bus_pulse -*-
"""Whether the broker still says something.

A broker that hangs keeps its TCP connections; its heartbeats stop, which is certain only after two of them are
missing, 20 to 40 s at 15 s each. Nor does a lack of them say much sooner: RabbitMQ sends one every half interval, but
leaves out the one after anything else it sent, so a broker that is well is silent for up to a whole interval
(measured with 3.10.8: 15.0 s). Hence it is asked something small once it has been silent for a while; only a silence
that goes on after that counts.

Silence is counted in looks, not in seconds: where this process was stopped for a minute, what the broker said
meanwhile lies unread in the socket, and one look finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import Attribute, Interface

from streamer.bus.driver import IChannel, Loss

# In fifths of the heartbeat interval: at 15 s it is asked after 6 s, called silent after 12 s, given up after 24 s.
LOOKS = 5
ASK = 2
SILENT = 4
GIVE_UP = 8


class IAudible(Interface):
    """What a connection says of itself where its silence can be told; see IConnection."""

    received = Attribute("int: bytes that came in so far.")
    heartbeat = Attribute("int: seconds, as agreed on with the broker; 0 for none.")


@attrs.define(eq=False)
class Pulse:
    """Listens to one connection.

    Args:
        channel: what may be asked; see `_ask`.
        changed: called when `silent` changed.

    Attributes:
        silent: it said nothing for a while, though it was asked.
    """

    _connection: Any
    _channel: IChannel
    _clock: IReactorTime
    _changed: Callable[[], None]
    silent: bool = False
    _heard: int = 0
    _quiet: int = 0  # looks in a row that found nothing
    _next: IDelayedCall | None = None

    def begin(self) -> None:
        """Listen, where the connection can be listened to; until `end`."""
        if IAudible.providedBy(self._connection) and self._connection.heartbeat:
            self._heard = self._connection.received
            self._later()

    def end(self) -> None:
        """Listen no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    @property
    def word(self) -> str:
        """For a role's status."""
        if not self.silent:
            return ""
        return f", but it has been silent for {self._quiet * self._connection.heartbeat / LOOKS:.0f} s"

    def _later(self) -> None:
        self._next = self._clock.callLater(self._connection.heartbeat / LOOKS, self._look)

    def _look(self) -> None:
        self._later()
        received, heard = self._connection.received, self._heard
        self._heard = received
        self._quiet = self._quiet + 1 if received == heard else 0
        if self._quiet == ASK:
            self._ask()
        elif self._quiet >= GIVE_UP:
            seconds = self._quiet * self._connection.heartbeat / LOOKS
            silent = f"the broker was silent for {seconds:.0f} s, though it was asked"
            self._connection.abort(Loss("heartbeat", silent))
        if self.silent != (self._quiet >= SILENT):
            self.silent = not self.silent
            self._changed()

    def _ask(self) -> None:
        # Any question will do. This one needs no permission, and changes nothing for consumers that are there already
        # (https://www.rabbitmq.com/docs/consumer-prefetch); no role begins another.
        self._channel.prefetch(1).addErrback(lambda _: None)
