# -*- test-case-name: tests.unit.test_fanout_slowest -*-
"""Who is furthest behind: the rows of `/status` and `/status.json` that let an operator see who suffers, and why.

A row holds nothing that tells who a client is: neither address nor token nor what it follows, for `/status.json` is
public.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from operator import attrgetter

import msgspec

SHOWN = 5  # clients

_rank = attrgetter("behind", "paused_for")


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How one client stands; it is encoded as it is.

    Args:
        session: as in its `welcome`.
        face: the metrics' label of the way it is connected.
        connected_for: seconds.
        behind: events that the relay holds for it and it was not sent.
        paused_for: seconds since its socket took anything; 0 where it takes.
        policy: `strict`, `conflate` or `skip`, the strictest of its subscriptions.
    """

    session: str
    face: str
    connected_for: float
    behind: int
    paused_for: float
    policy: str


def slowest(standings: Iterable[Standing], shown: int = SHOWN) -> list[Standing]:
    """The clients that are furthest behind, the worst first; those that are up to date and take bytes are left out.

    Times are rounded to a tenth of a second. One pass: 10,000 clients that are all behind take some milliseconds, most
    of them for making the `standings`; whoever makes them may leave out those that are not behind.
    """
    late = [standing for standing in standings if standing.behind or standing.paused_for]
    worst = nlargest(shown, late, key=_rank) if len(late) > shown else sorted(late, key=_rank, reverse=True)
    return [_rounded(standing) for standing in worst]


def _rounded(standing: Standing) -> Standing:
    return msgspec.structs.replace(
        standing, connected_for=round(standing.connected_for, 1), paused_for=round(standing.paused_for, 1)
    )
