# -*- test-case-name: tests.unit.test_fanout_listener -*-
"""A client that says all it wants when it connects, and then only listens.

Server-sent events, long poll and `cloudevents.json` are such clients. They have one subscription, which begins at
once or, where its position is on its way here, within moments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from streamer.fanout.encoding import Encoding
from streamer.fanout.feed import HEARTBEAT, Feed
from streamer.fanout.front import Reader
from streamer.fanout.hub import Hub
from streamer.fanout.parking import Asked, Parked
from streamer.fanout.protocol import AHEAD_GRACE, Sub, Wish
from streamer.fanout.topics import check_patterns

Begun = Callable[[dict[str, Any]], None]


@attrs.define(eq=False)
class Listener:
    """One connection.

    Args:
        begun: called once, with the facts that `subd` has in `relay.v1.json`, before anything can be pulled.
        opened: seconds since the epoch.
        heartbeat: seconds within which it is told its position, whatever happens.
    """

    hub: Hub
    reader: Reader
    begun: Begun
    opened: float
    encoding: Encoding
    heartbeat: float = HEARTBEAT
    feed: Feed = attrs.field(init=False, repr=False)
    _parked: Parked = attrs.field(factory=Parked, repr=False)

    def __attrs_post_init__(self) -> None:
        self.feed = Feed(self.hub, self.reader, self.opened, self.heartbeat, self.encoding)

    def subscribe(self, wish: Wish, now: float) -> None:
        """Ask for events; to be called once.

        Args:
            wish: `id` means nothing here.

        Raises:
            ClientError: its patterns are none, or too many; nothing was begun.
        """
        asked = Asked(Sub(0, wish), check_patterns(wish.topics), wish.since, now + AHEAD_GRACE)
        if wish.since is not None and self.hub.journal.awaited(wish.since):
            self._parked.put(asked)
        else:
            self._begin(asked)

    def pull(self, budget: int, now: float) -> bytes | None:
        """The next bytes to write; see `Feed.pull`."""
        return self.feed.pull(budget, now)

    def beat(self, now: float) -> bytes:
        """What time alone makes due: the beginning of a subscription that waited, and a position.

        Raises:
            ClientError: a strict subscription cannot be kept.
        """
        self.feed.insist()
        for asked in self._parked.due(self.hub.journal, now) if self._parked else ():
            self._begin(asked)
        if self._parked or not self.feed.position_due(now):
            return b""
        return self.feed.position(now)

    def close(self) -> None:
        """Let go of everything shared; nothing is pulled after it."""
        self._parked.clear()
        self.feed.close()

    def _begin(self, asked: Asked) -> None:
        wish = asked.command.wish
        self.begun(self.feed.subscribe(wish.id, asked.patterns, asked.since, wish.last, wish.policy))
