# -*- test-case-name: tests.unit.test_plugins -*-
"""Upstreams → the bus: one follower a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime

from streamer import metrics as m
from streamer.interfaces import IBus, ISource
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.services.follower import Follower
from streamer.services.intake import Intake


class StreamerService(MultiService):
    """Follows a set of sources, each independent of the others.

    Args:
        jitter: between -1 and 1, for the back-off.
    """

    def __init__(
        self,
        bus: IBus,
        sources: Iterable[ISource],
        client: UpstreamClient,
        clock: IReactorTime,
        metrics: Metrics,
        jitter: Callable[[], float],
    ) -> None:
        MultiService.__init__(self)
        self.metrics = metrics
        self.followers: dict[str, Follower] = {}
        for source in sources:
            intake = Intake(source.name, bus, metrics)
            follower = Follower(source, client, intake, clock, metrics, jitter)
            follower.setServiceParent(self)
            self.followers[source.name] = follower

    def troubles(self) -> list[str]:
        """Why it is not ready: sources without a connection, or with one that waits for the bus."""
        if not self.followers:
            return ["streamer: the configuration names no source"]
        found = [
            f"source {name}: {follower.state}" for name, follower in self.followers.items() if not follower.connected
        ]
        found += [
            f"source {name}: reading is paused until the bus catches up"
            for name, follower in self.followers.items()
            if follower.intake.paused
        ]
        return found

    def status(self) -> dict[str, Any]:
        """A row a source."""
        return {
            name: {
                "state": follower.state,
                "items": int(sum(n for metric, labels, n in self.metrics if metric is m.ITEMS and labels[0] == name)),
                "last_byte": self.metrics.value(m.LAST_BYTE, name) or None,
                "last_item": self.metrics.value(m.LAST_ITEM, name) or None,
                "unconfirmed": len(follower.intake.checkpoint),
            }
            for name, follower in self.followers.items()
        }
