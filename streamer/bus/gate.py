# -*- test-case-name: tests.unit.test_bus_role -*-
"""Whether a connection may be written to: its transport's buffer has room, and the broker is not out of resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
@attrs.define(eq=False)
class Gate:
    """Registered as the transport's producer, and with pika for connection.blocked.

    Attributes:
        writable: False while the transport's buffer is full.
        blocked: the broker's reason for not reading from publishers; None while it does.
        changed: called when either changed.
    """

    writable: bool = True
    blocked: str | None = None
    changed: Callable[[], None] = lambda: None

    @property
    def open(self) -> bool:
        """Whether writing makes sense now."""
        return self.writable and self.blocked is None

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.writable = False
        self.changed()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.writable = True
        self.changed()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self.writable = False

    def block(self, _: Any, frame: Any) -> None:
        """The broker said connection.blocked."""
        self.blocked = frame.method.reason or "no reason given"
        self.changed()

    def unblock(self, _: Any, frame: Any) -> None:
        """The broker said connection.unblocked."""
        self.blocked = None
        self.changed()
