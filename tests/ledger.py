"""A ledger for runs in which something fails: what was published, what was confirmed, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from streamer.message import Entry
from tests.bus_contract import Kit, Notes, event, raw

RUN = 2000  # messages published before something happens, and as many after
LIMIT = 60.0  # seconds until a run is given up for want of confirms


@attrs.define
class Ledger:
    """What was published, what was confirmed, and what came out on either side.

    Args:
        first: number of the first message, where several ledgers share a broker.
        size: bytes of a body.
    """

    first: int = 0
    size: int = 500
    answers: list[Deferred[Any]] = attrs.field(factory=list)
    confirmed: list[str] = attrs.field(factory=list)
    handled: Notes = attrs.field(factory=Notes)
    entries: list[Entry] = attrs.field(factory=list)

    def publish(self, bus: Any) -> Deferred[Any]:
        """Publish the next message: items and events in turn."""
        number, body = self.first + len(self.answers), b"x" * self.size
        message = raw(number, body) if number % 2 else event(number, body=body)
        answer: Deferred[Any] = bus.publish(message)
        answer.addCallback(lambda _: self.confirmed.append(message.message_id))
        self.answers.append(answer)
        return answer

    async def run(
        self, kit: Kit, bus: Any, happen: Callable[[], Deferred[Any]], count: int = RUN, pause: float = 0.0
    ) -> None:
        """Publish, keeping to half the window, before, while and after something happens.

        Args:
            happen: begins it; the Deferred fires when it is over.
            count: messages before it, and after it.
            pause: seconds between fifty messages and the next.
        """
        happening: Deferred[Any] | None = None
        begun, after = len(self.answers), 0
        while after < count:
            if happening is None and len(self.answers) - begun == count:
                happening = happen()
            if happening is not None and happening.called:
                after += 1
            self.publish(bus)
            if len(self.answers) % 50 == 1:
                await kit.until(
                    lambda: len(self.answers) - len(self.confirmed) < bus.window // 2, "confirms", limit=LIMIT
                )
                if pause:
                    await deferLater(kit.clock, pause)
        await DeferredList(self.answers)
        if happening is not None:
            await happening

    async def check(self, kit: Kit) -> None:
        """Every Deferred fired, what was confirmed was received, and the log is whole."""
        assert len(self.confirmed) == len(self.answers)
        items = {id_ for id_ in self.confirmed if id_.startswith("birds/")}
        events = set(self.confirmed) - items
        await kit.until(lambda: items <= set(self.handled.ids), "every confirmed item is handled")
        await kit.until(lambda: events <= {entry.message.message_id for entry in self.entries}, "the log has all")
        offsets = [entry.offset for entry in self.entries]
        assert offsets == list(range(len(offsets))), "an entry of the log is missing, twice, or out of order"
