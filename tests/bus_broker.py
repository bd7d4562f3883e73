# -*- test-case-name: tests.unit.test_bus_publisher -*-
"""The fake broker under its old name; new tests take `streamer.testing.broker`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamer.testing import broker
from streamer.testing.broker import CAPABILITIES, Link, pika_properties

__all__ = ["CAPABILITIES", "REPLIES", "Broker", "Link", "pika_properties"]

REPLIES: dict[type, Any] = broker.REPLIES


class Broker(broker.Broker):
    """With replies that a test may patch for all brokers at once."""

    @property
    def replies(self) -> Mapping[type, Any]:
        return {**REPLIES, **self.answers}
