# -*- test-case-name: tests.integration.test_soak -*-
"""A seed → which faults happen when, to whom; nothing else decides it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

Party = Literal["x", "twitter", "broker", "streamer"]
Deed = dict[str, Any]  # what to do: {"kind": …, its particulars}
Make = Callable[[random.Random], Deed]

QUIET = 3.0  # seconds at the beginning in which nothing happens
LONG = 240.0  # seconds a run must last for faults that keep a source away for a minute or more

# Mean seconds between two faults of one party.
PAUSES: dict[Party, float] = {"x": 2.5, "twitter": 6.0, "broker": 10.0, "streamer": 8.0}
SHORTEST = 0.2  # seconds between two faults of one party

# After these a source may be asked again at once, or after seconds. Those that take minutes are left out.
X_SOON = ("OperationalDisconnect", "UpstreamOperationalDisconnect", "UpstreamUncleanDisconnect")
X_LATER = ("ForceDisconnect", "SlowReader", "InternalError")
TWITTER_SOON = (1, 5)
TWITTER_LATER = (2, 3, 4, 7, 10, 11, 12)


class Fault(msgspec.Struct, frozen=True):
    """One fault to come.

    Args:
        at: seconds after the beginning; later where the party is still busy with the one before.
    """

    at: float
    party: Party
    deed: Deed

    def __str__(self) -> str:
        particulars = " ".join(f"{key}={value}" for key, value in self.deed.items() if key != "kind")
        return f"{self.party} {self.deed['kind']} {particulars}".rstrip()


def plan(seed: int, seconds: float) -> list[Fault]:
    """All faults of a run, in the order in which they are due."""
    faults: list[Fault] = []
    for party, pause in PAUSES.items():
        rng = random.Random(f"{seed} {party}")
        deeds = _dealt(rng, DECKS[party])
        at = QUIET + rng.expovariate(2 / pause)
        while at < seconds:
            faults.append(Fault(at, party, next(deeds)))
            at += max(SHORTEST, rng.expovariate(1 / pause))
        if seconds >= LONG and party in RATE_LIMITS:
            faults.append(Fault(rng.uniform(0.2, 0.6) * seconds, party, RATE_LIMITS[party](rng)))
    return sorted(faults, key=lambda fault: fault.at)


def _dealt(rng: random.Random, deck: Sequence[Make]) -> Iterator[Deed]:
    """Deeds as cards are dealt: every one of the deck before any comes again, so that short runs are varied too."""
    while True:
        for make in rng.sample(deck, len(deck)):
            yield make(rng)


def _deed(kind: str, **particulars: Any) -> Make:
    """A deed whose particulars that are functions are drawn anew each time."""

    def make(rng: random.Random) -> Deed:
        return {"kind": kind, **{key: value(rng) if callable(value) else value for key, value in particulars.items()}}

    return make


def _between(low: float, high: float) -> Callable[[random.Random], float]:
    return lambda rng: round(rng.uniform(low, high), 2)


def _whole(low: int, high: int) -> Callable[[random.Random], int]:
    return lambda rng: rng.randint(low, high)


def _one_of(values: Sequence[Any]) -> Callable[[random.Random], Any]:
    return lambda rng: rng.choice(values)


# Faults of streamer.testing.faults, whose names these are; `for_seconds` says when to take a lasting one back.
UPSTREAM: tuple[Make, ...] = (
    _deed("cut", reset=False),
    _deed("cut", reset=True),
    _deed("cut", reset=_one_of((True, False))),
    _deed("stall", seconds=_between(0.5, 4)),
    _deed("stall", seconds=_between(8, 12)),
    _deed("status", status=503, times=1),
    _deed("accept_then_close", times=_whole(1, 3)),
    _deed("garbage", html=False),
    _deed("garbage", html=True),
    _deed("huge", size=_whole(1_000, 3_000_000)),
    _deed("duplicate", times=_whole(1, 50)),
    _deed("split", size=_whole(1, 400), for_seconds=_between(1, 6)),
    _deed("lag", seconds=_between(0.2, 2), for_seconds=_between(1, 6)),
)
X = (
    *UPSTREAM,
    _deed("disconnect", disconnect_type=_one_of(X_SOON)),
    _deed("disconnect", disconnect_type=_one_of(X_SOON)),
    _deed("disconnect", disconnect_type=_one_of(X_LATER)),
    _deed("status", status="too-many-connections"),
)
TWITTER = (
    *UPSTREAM,
    _deed("disconnect_code", code=_one_of(TWITTER_SOON)),
    _deed("disconnect_code", code=_one_of(TWITTER_SOON)),
    _deed("disconnect_code", code=_one_of(TWITTER_LATER)),
    _deed("control", what="limit", times=_whole(1, 60)),
    _deed("control", what=_one_of(("delete", "scrub_geo")), times=_whole(1, 20)),
    _deed("control", what=_one_of(("status_withheld", "user_withheld", "warning")), times=_whole(1, 5)),
)
BROKER: tuple[Make, ...] = (
    _deed("stop_app", seconds=_between(1, 8)),
    _deed("kill9", seconds=_between(0, 3)),
    _deed("alarm", seconds=_between(2, 8)),
    _deed("close_connections"),
    _deed("close_connections"),
)
STREAMER: tuple[Make, ...] = (
    _deed("kill9", seconds=_between(0, 0.5)),
    _deed("kill9", seconds=_between(0.5, 5)),
    _deed("terminate", seconds=_between(0, 2)),
    _deed("update"),
    _deed("predicates", source="x", serial=_whole(1, 9)),
    _deed("predicates", source="twitter", serial=_whole(1, 9)),
    _deed("stop_start", seconds=_between(0.5, 4)),
)
DECKS: dict[Party, Sequence[Make]] = {"x": X, "twitter": TWITTER, "broker": BROKER, "streamer": STREAMER}
# Both are answered with a wait of a minute, however short a reset they name, so there is one in a run.
RATE_LIMITS: dict[Party, Make] = {
    "x": _deed("status", status=429, reset_after=_between(1, 5)),
    "twitter": _deed("status", status=420, reset_after=_between(1, 5)),
}
