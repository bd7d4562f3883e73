# -*- test-case-name: tests.unit.test_plugins -*-
"""An operator's verbs, for as long as the process is not stopping.

The admin endpoint is there to the last, so that everybody can see what a process that stops still waits for. What it
could change is gone by then: a source that has put its files away must not be asked to follow, or to write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.http import CONFLICT
from zope.interface import implementer

from streamer.errors import ControlRefused
from streamer.operating import IControl


@implementer(IControl)
class ControlWhile:
    """Passes everything on; whatever changes something only while it may.

    Args:
        may: asked each time.
    """

    def __init__(self, may: Callable[[], bool], control: Any) -> None:
        self._may = may
        self._control = IControl(control)

    def update(self, names: Sequence[str]) -> Any:
        """See IControl."""
        return self._allowed().update(names)

    def stop(self, names: Sequence[str]) -> Deferred[None]:
        """See IControl."""
        stopping: Deferred[None] = self._allowed().stop(names)
        return stopping

    def start(self, names: Sequence[str]) -> Any:
        """See IControl."""
        return self._allowed().start(names)

    def standing(self, names: Sequence[str]) -> Mapping[str, Any]:
        """See IControl."""
        rows: Mapping[str, Any] = self._control.standing(names)
        return rows

    def predicates(self, names: Sequence[str]) -> Mapping[str, Any]:
        """See IControl."""
        rows: Mapping[str, Any] = self._control.predicates(names)
        return rows

    def put_predicates(self, name: str, body: bytes, dry_run: bool) -> Deferred[Mapping[str, Any]]:
        """See IControl."""
        return maybeDeferred(lambda: self._allowed().put_predicates(name, body, dry_run))

    def _allowed(self) -> Any:
        if not self._may():
            raise ControlRefused("the streamer is stopping; ask the process that takes its place", CONFLICT)
        return self._control
