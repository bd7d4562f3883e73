# -*- test-case-name: tests.unit.test_bus_hosts -*-
"""Which of a broker's hosts is tried next.

A client may use any node of a cluster, so the order is shuffled, which spreads clients over the nodes; each role of a
bus has an order of its own. In one round every host is tried once, the one that failed last at its end: so whoever
loses a node is at a living one with the next try or the one after, whatever the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from streamer.bus import deadline

Place = tuple[str, Any]  # a name for people, and the endpoint


@attrs.define
class Hosts:
    """The order of trying, for one role.

    Args:
        random: gives a number from 0 up to 1.
    """

    _all: Sequence[Place]
    _random: Callable[[], float]
    _round: list[Place] = attrs.field(factory=list)  # those not tried in this round
    _rounds: int = 0  # begun since the last connection that lasted
    _failed: str | None = None

    def next(self) -> Place:
        """The host to try now."""
        if not self._round:
            self._deal()
        return self._round.pop(0)

    def failed(self, name: str, lasted: bool) -> bool:
        """A host could not be used, or a connection to it that `lasted` for a while is lost.

        Returns:
            Whether the whole round has failed, which asks for a longer pause than one host does.
        """
        whole = not self._round
        self._failed = name
        if lasted:
            self._rounds = 0
        if whole or lasted:
            self._deal()
        return (whole and not lasted) or len(self._all) == 1

    @property
    def upcoming(self) -> str:
        """Name of the host that `next` gives."""
        return self._round[0][0] if self._round else "any host"

    @property
    def patience(self) -> float:
        """Seconds that the host under way may take to be reached: few while others have not been tried at all."""
        return deadline.CONNECT_ONE if self._rounds <= 1 and len(self._all) > 1 else deadline.CONNECT

    def _deal(self) -> None:
        self._rounds += 1
        places = list(self._all)
        for last in range(len(places) - 1, 0, -1):
            other = int(self._random() * (last + 1))
            places[last], places[other] = places[other], places[last]
        self._round = sorted(places, key=lambda place: place[0] == self._failed)
