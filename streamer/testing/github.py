# -*- test-case-name: tests.unit.test_testing_github -*-
"""GitHub's events, simulated: `SimulatedGitHub(clock).resource` serves the event lists of `https://api.github.com/`.

Entity tags, poll intervals, pages, limits by the hour and the window of 300 events are as documented. Of the faults,
`Status(403)` is the limit of an hour, told with the time of its end, and `Status(429)` the secondary limit, told with
`Retry-After`; what happens faster than it is polled overflows the window by itself.
"""

from __future__ import annotations

import random
from typing import Any

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime

from streamer.testing.answering import Answering
from streamer.testing.control import ControlFolder
from streamer.testing.faults import Fault, Faults, Status
from streamer.testing.github_events import Events
from streamer.testing.github_pages import REASONS, Listed, Lists, ListsFolder, on_demand
from streamer.testing.history import Line
from streamer.testing.ledger import Ledger
from streamer.testing.production import Production
from streamer.testing.simulation import impossible

TOKEN = "simulated-token"
POLL_INTERVAL = 60  # seconds


@attrs.define
class GitHubFeed:
    """Makes events and lists them; faults may double or swap some."""

    clock: IReactorTime
    events: Events
    ledger: Ledger
    faults: Faults
    lists: Lists

    def make(self, number: int) -> int:
        """Let so much happen; returns how much did."""
        for _ in range(number):
            self.happen()
        return number

    def happen(self, **fields: Any) -> str:
        """Let something happen; returns its id. See `Events.event`."""
        now_ms = int(self.clock.seconds() * 1000)
        made = self.events.event(now_ms, **fields)
        self.ledger.posted(made.id, now_ms // 1000 * 1000)  # the seconds are all that is told
        self._list(self.faults.disturb([Line(msgspec.json.encode(made.document), made.id, (now_ms, made.names))]))
        return made.id

    def release(self) -> None:
        """No more comes: list what a fault held back."""
        self._list(self.faults.release())

    def _list(self, lines: list[Line]) -> None:
        for line in lines:
            self.lists.add(Listed(line.id, line.data, *line.about))


class SimulatedGitHub:
    """A simulated GitHub.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: events a second; more than 300 between two polls are more than a list holds.
        count: events in all; None never ends.
        wait_for_client: let the first happen only after a list was asked for.
        token: of the one account; None knows nobody.
        poll_interval: seconds, whole ones, that clients are told to wait.
        anonymous_limit, account_limit: requests in an hour.
    """

    name = "GitHub"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        count: int | None = None,
        wait_for_client: bool = False,
        token: str | None = TOKEN,
        poll_interval: int = POLL_INTERVAL,
        anonymous_limit: int = 60,
        account_limit: int = 5_000,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.events = Events(random.Random(seed))
        self.lists = Lists(clock, self.events, token, poll_interval)
        self.lists.allowances[False].limit = anonymous_limit
        self.lists.allowances[True].limit = account_limit
        self._feed = GitHubFeed(clock, self.events, self.ledger, self.faults, self.lists)
        self._production = Production(clock, rate, count, self._feed.make, self._feed.release)
        self._waits = wait_for_client
        self._started = False
        self.answering = Answering("GitHub", clock, self.faults, self.ledger, on_demand, self._asked)
        self.resource = ListsFolder(self.lists, self.answering)
        self.resource.putChild(b"_sim", ControlFolder(self.ledger, self.status, self.fault, self.inject))

    def start(self) -> None:
        """Begin to let things happen, or to wait for the first client."""
        self._started = True
        if not self._waits:
            self._production.start()

    def stop(self) -> None:
        """Let nothing more happen and drop every request; nothing is left on the clock."""
        self._started = False
        self._production.stop()
        self.answering.stop()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong when its time comes; see `faults` and `answering`.

        Raises:
            ValueError: GitHub cannot go wrong in this way.
        """
        if isinstance(fault, Status) and fault.status not in (*REASONS, 403):
            raise impossible("GitHub", fault)
        self.answering.fault(fault)

    def move(self, path: str, target: str, status: int = 301) -> None:
        """From now on tell whoever asks for a path that it is elsewhere: another path, or an absolute URL."""
        self.lists.moved[path] = (status, target)

    def inject(self, text: str, **fields: Any) -> str:
        """Let something happen that says this: a push, or what `kind` names. Returns its id."""
        return self._feed.happen(**{"kind": "Push", **fields, "text": text})

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {
            "rate": self._production.rate,
            "running": self._production.running,
            "produced": self.ledger.produced,
            "connections": len(self.answering),
            "connected": len(self.ledger.connections),
            "listed": len(self.lists.all),
        }

    def _asked(self) -> None:
        if self._started and self._waits:
            self._waits = False
            self._production.start()
