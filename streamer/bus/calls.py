# -*- test-case-name: tests.unit.test_bus_role -*-
"""Questions to the broker that have no answer yet."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred


@attrs.define
class Calls:
    """Deferreds that may be cancelled by whoever waits, answered by the broker, or failed all at once."""

    _waiting: set[Deferred[Any]] = attrs.field(factory=set)

    def ask(self) -> Deferred[Any]:
        """A new one."""
        answer: Deferred[Any] = Deferred()
        self._waiting.add(answer)
        return answer

    def answer(self, answer: Deferred[Any], result: object) -> None:
        """The broker answered; nothing happens where nobody waits any more."""
        self._waiting.discard(answer)
        if not answer.called:
            answer.callback(result)

    def drop(self, answer: Deferred[Any]) -> None:
        """It was never asked."""
        self._waiting.discard(answer)

    def fail(self, error: Exception) -> None:
        """Nothing will be answered any more."""
        waiting, self._waiting = self._waiting, set()
        for answer in waiting:
            if not answer.called:
                answer.errback(error)
