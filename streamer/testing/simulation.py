# -*- test-case-name: tests.unit.test_testing_x -*-
"""What every simulated upstream is to those who run it, and the part of running that all share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.testing.connections import Connections
from streamer.testing.faults import Fault
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder
from streamer.testing.production import Production
from streamer.testing.recorder import Recorder
from streamer.testing.terms import Manners


class Simulation(Protocol):
    """A simulated upstream, as `SimulationService` takes it."""

    name: str  # as in "the simulated X"
    resource: Folder

    def start(self) -> None:
        """Begin to make posts, or to wait for the first client."""

    def stop(self) -> None:
        """Make no more posts and drop every stream; nothing is left on the clock."""

    def status(self) -> dict[str, Any]:
        """How things stand."""


class Feeds(Protocol):
    """Whatever makes an upstream's messages and records them."""

    def make(self, number: int) -> int:
        """Make up to that many posts; returns how many."""


@attrs.define
class Run:
    """Posts while it runs: production and connections together.

    Args:
        rate, count: as `Production` has them.
        wait_for_client: make the first post only after a stream was opened.

    Attributes:
        connections: those of `connect`, which comes before `start`.
    """

    clock: IReactorTime
    rate: float
    count: int | None
    wait_for_client: bool
    feed: Feeds
    recorder: Recorder
    connections: Connections = attrs.field(init=False)
    production: Production = attrs.field(init=False)
    _started: bool = False

    def __attrs_post_init__(self) -> None:
        self.production = Production(self.clock, self.rate, self.count, self._make, self._ended)

    def connect(
        self,
        ledger: Ledger,
        manners: Manners,
        *,
        most: int,
        keep_alive: float,
        buffer_limit: int,
        replace_oldest: bool = False,
        forgets_after: float = 0.0,
        gzip: bool = False,
    ) -> Connections:
        """The open streams, which read what is recorded; see `Connections`."""
        self.connections = Connections(
            clock=self.clock,
            history=self.recorder.history,
            ledger=ledger,
            faults=self.recorder.faults,
            manners=manners,
            most=most,
            replace_oldest=replace_oldest,
            forgets_after=forgets_after,
            keep_alive=keep_alive,
            buffer_limit=buffer_limit,
            gzip=gzip,
            opened=self.opened,
        )
        return self.connections

    def start(self) -> None:
        """Begin."""
        self._started = True
        if not self.wait_for_client:
            self.production.start()

    def stop(self) -> None:
        """End; nothing is left on the clock."""
        self._started = False
        self.production.stop()
        self.connections.abort()

    def opened(self) -> None:
        """A stream was opened."""
        if self._started:
            self.production.start()

    def now(self, do: Callable[[], Any]) -> Any:
        """Do something that records messages, and let everybody write them at once."""
        done = do()
        self.connections.flush()
        return done

    def status(self) -> dict[str, Any]:
        """How things stand, as far as every upstream has such things."""
        history, ledger = self.connections.history, self.connections.ledger
        return {
            "rate": self.production.rate,
            "running": self.production.running,
            "produced": ledger.produced,
            "connections": len(self.connections),
            "connected": len(ledger.connections),
            "history": {"lines": history.end - history.first, "bytes": history.size},
        }

    def _make(self, number: int) -> int:
        made: int = self.now(lambda: self.feed.make(number))
        return made

    def _ended(self) -> None:
        self.now(self.recorder.release)


def impossible(name: str, fault: Fault) -> ValueError:
    """The error for a fault that this upstream cannot have."""
    return ValueError(f"{name} has no {fault!r}; see streamer.testing.faults for what each upstream can do wrong")
