"""One module an upstream: how tests follow it. Each has an `UPSTREAM`; `of(kind)` finds it by its source type."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import attrs


@attrs.frozen
class Upstream:
    """A source type with the simulation that goes with it.

    Args:
        kind: the source type's name.
        settings: of a source that gets every post of its simulation (of a volume stream every second).
        simulation: its class; made with a clock and `options`.
        kinds: of the items in its simulation's `ledger.posts`, which holds their ids.
        due: the ids that are due to the source, of those in the ledger, in order.
        settle: seconds after which what was made has come in: for a poll, its interval and a little more.
        silence: seconds after which a silent upstream has been given up; the source's `stall_after` where None.
        closed: refusals that it knows, as `faults.Status` has them, after which it is tried again.
        without: tests of the common suite that make no sense here, each with the reason.
    """

    kind: str
    settings: Mapping[str, Any]
    simulation: Any
    options: Mapping[str, Any] = attrs.field(factory=dict)
    kinds: frozenset[str] = frozenset({"post"})
    due: Callable[[list[str]], list[str]] = list
    settle: float = 1.0
    silence: float | None = None
    closed: tuple[int, ...] = (503,)
    without: Mapping[str, str] = attrs.field(factory=dict)


@functools.cache
def upstreams() -> Mapping[str, Upstream]:
    """All of them, by kind."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}").UPSTREAM for module in pkgutil.iter_modules(__path__)
    ]
    return {upstream.kind: upstream for upstream in found}


def of(kind: str) -> Upstream:
    """That of a source type."""
    return upstreams()[kind]
