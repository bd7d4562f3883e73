# -*- test-case-name: tests.unit.test_services_control -*-
"""The seams of a running streamer: what an operator may do to it, and what keeps two of them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface


class IControl(Interface):
    """What an operator may do to the sources of a running streamer; behind the admin endpoint.

    Each verb may be used in every state and any number of times. Sources are given by name; none means all of them.
    All of them raise ControlRefused for a name that is not followed here.
    """

    def update(names: Sequence[str]) -> None:
        """Bring what is wanted into force: start what is stopped, make a new connection where one is needed.

        A new connection comes after the delay of `policy.restart`; see there.
        """

    def stop(names: Sequence[str]) -> Deferred[None]:
        """Hang up and stay away until `start` or `update`; fires when every connection is gone."""

    def start(names: Sequence[str]) -> None:
        """Follow again; nothing happens to a source that is not stopped."""

    def standing(names: Sequence[str]) -> Mapping[str, Any]:
        """A row a source: its state and numbers, as JSON has them."""

    def predicates(names: Sequence[str]) -> Mapping[str, Any]:
        """A row a source: its predicates, wanted and live, as JSON has them."""

    def put_predicates(name: str, body: bytes, dry_run: bool) -> Deferred[Mapping[str, Any]]:
        """Want other predicates.

        Args:
            body: JSON, in the form of `[sources.<name>.predicates]`.
            dry_run: change nothing, only say what would be done.

        Returns:
            The source's row of `predicates`, with what was changed.

        Raises:
            ControlRefused: (through the Deferred) they are not understood, or the upstream would refuse them.
        """


class ILocks(Interface):
    """Sees to it that a source is followed by one process only, wherever the others run."""

    def take(name: str, lost: Callable[[str], None]) -> Deferred[None]:
        """Become the one process that follows a source.

        Args:
            lost: called at most once, with a sentence, when another process has become that while we could not hold
                on to it, the broker being away: hang up at once.

        Returns:
            Fires when it is ours. Fails with `SourceTaken` where another process has it; with BusStopped where the
            bus stopped first. Where the broker is away it fires after a few seconds all the same: whether another
            process has it is seen when the broker is back. Cancel it to want it no more.
        """

    def waits(name: str) -> str:
        """Why it is not ours though it was wanted, as a sentence; empty where it is, or nothing is known of it."""

    def release(name: str) -> Deferred[None]:
        """Let it go; fires when another process can have it. Nothing happens where it is not ours."""
