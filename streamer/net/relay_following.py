# -*- test-case-name: tests.unit.test_net_relay_following -*-
"""What a client of `relay.v1.json` says, and what it remembers from one connection to the next: bytes in, values out.

It asks for one subscription. On every connection but the first it names the last position it was told, so that it
misses nothing, and drops what it has had: the relay may repeat what it had not yet confirmed a position for.

A time to begin at is not in the protocol. It is asked for as the most recent events there can be, and of those
replayed the older ones are left out; whether they reached back far enough is told by `reach`.
"""

from __future__ import annotations

import attrs
import msgspec

from streamer.fanout.protocol import LAST_LIMIT
from streamer.net.relay_frames import (
    EventsFrame,
    Frame,
    LagFrame,
    PositionFrame,
    RefusalFrame,
    SubscribedFrame,
    WelcomeFrame,
    read,
)
from streamer.policy.dedupe import Recent
from streamer.policy.event_line import seconds
from streamer.secrets import Secret

SUBSCRIPTION = "all"  # our one subscription's id
NUMBER = 1  # of our one request
HEARTBEAT = (1.0, 3_600.0)  # seconds; what a relay claims beyond these is not believed
IDS_KEPT = 50_000  # as many as a relay's journal holds: 10 MB at most
UNCOUNTED = frozenset({"streamer.delete", "streamer.scrub"})  # the N of `last` does not count them

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct, frozen=True):
    """The attributes by which an event is known; the others are left to who shows it."""

    id: str = ""
    source: str = ""
    type: str = ""
    time: str = ""


_head = msgspec.json.Decoder(_Head).decode


@attrs.frozen
class Wish:
    """What to follow.

    Args:
        topics: patterns.
        last: so many recent events first.
        since: a position to begin after; with `last`, that is what comes where the position cannot be served.
        not_before: seconds since the epoch; of the events from before the subscription, only those made since then.
        policy: see `fanout.protocol`.
    """

    topics: tuple[str, ...]
    last: int | None = None
    since: str | None = None
    not_before: float | None = None
    policy: str = "skip"


@attrs.define(eq=False)
class Following:
    """One client across its connections.

    Attributes:
        position: everything before it that was wanted has come; None before the first `subd`.
        heartbeat: seconds within which the relay says something; None before its `welcome`.
        reach: seconds since the epoch of the oldest event that was replayed where that is all the relay would send
            and it is after `not_before`; else None.
        repeated: events that were dropped because they had come before.
    """

    wish: Wish
    token: Secret | None = None
    position: str | None = None
    heartbeat: float | None = None
    reach: float | None = None
    repeated: int = 0
    _recent: Recent = attrs.field(factory=lambda: Recent(IDS_KEPT))
    _history: int = 0  # events from before the first subscription that are still to come
    _counted: int = 0  # of them that `last` counts
    _oldest: float | None = None

    @property
    def last(self) -> int | None:
        """How many recent events are asked for at first."""
        return LAST_LIMIT if self.wish.not_before is not None else self.wish.last

    def opening(self) -> list[bytes]:
        """The frames to begin a connection with."""
        self.heartbeat = None
        greeting = {} if self.token is None else {"token": self.token.reveal()}
        wish = self.wish
        asked: dict[str, object] = {"id": SUBSCRIPTION, "topics": wish.topics, "policy": wish.policy}
        if self.position is not None:  # as much as can be had, where the position has expired
            asked |= {"since": self.position, "last": LAST_LIMIT}
        else:
            asked |= {} if self.last is None else {"last": self.last}
            asked |= {} if wish.since is None else {"since": wish.since}
        return [_encode(["hello", greeting]), _encode(["sub", NUMBER, asked])]

    def receive(self, payload: bytes) -> Frame | None:
        """Take one message of the relay's.

        Returns:
            What it says, of events only those that are new and wanted; None where it is nothing to tell anybody.

        Raises:
            DecodeError: it is no frame of the protocol; hang up.
        """
        frame = read(payload)
        if isinstance(frame, WelcomeFrame):
            least, most = HEARTBEAT
            self.heartbeat = min(max(frame.facts.heartbeat, least), most)
        elif isinstance(frame, SubscribedFrame):
            if self.position is None:
                self._history = frame.facts.replayed
            self.position = frame.facts.position
        elif isinstance(frame, EventsFrame):
            self.position = frame.position
            return EventsFrame(frame.position, tuple(event for event in frame.events if self._wanted(event)))
        elif isinstance(frame, PositionFrame):
            self.position = frame.position
        elif isinstance(frame, LagFrame):
            self.position, self._history = frame.facts.end, 0
        elif isinstance(frame, RefusalFrame) and frame.n not in (NUMBER, None):
            return None
        return frame

    def _wanted(self, event: msgspec.Raw) -> bool:
        try:
            head = _head(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            head = _Head()  # not as CloudEvents are; shown all the same
        if head.id and self._recent.seen(f"{head.source}#{head.id}"):
            self.repeated += 1
            return False
        if not self._history:
            return True
        self._history -= 1
        since = self.wish.not_before
        if since is None:
            return True
        made = seconds({"time": head.time})
        if head.type not in UNCOUNTED:
            self._counted += 1
            if made is not None:
                self._oldest = made if self._oldest is None else min(made, self._oldest)
            if self._counted == LAST_LIMIT and self._oldest is not None and self._oldest > since:
                self.reach = self._oldest
        return made is None or made >= since
