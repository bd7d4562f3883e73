# -*- test-case-name: tests.unit.test_net_relay_following -*-
"""What a client of `relay.v1.json` says, and what it remembers from one connection to the next: bytes in, values out.

It asks for one subscription. On every connection but the first it names the last position it was told, so that it
misses nothing, and drops what it has had: the relay may repeat what it had not yet confirmed a position for.
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
from streamer.secrets import Secret

SUBSCRIPTION = "all"  # our one subscription's id
NUMBER = 1  # of our one request
HEARTBEAT = (1.0, 3_600.0)  # seconds; what a relay claims beyond these is not believed
IDS_KEPT = 50_000  # as many as a relay's journal holds: 10 MB at most

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct, frozen=True):
    """The attributes by which an event is known; the others are left to who shows it."""

    id: str = ""
    source: str = ""


_head = msgspec.json.Decoder(_Head).decode


@attrs.frozen
class Wish:
    """What to follow.

    Args:
        topics: patterns.
        last: so many recent events first.
        since: a position to begin after, or a time such as "300s" to look back when the relay is reached first; with
            `last`, that is what comes where it cannot be served.
        policy: see `fanout.protocol`.
    """

    topics: tuple[str, ...]
    last: int | None = None
    since: str | None = None
    policy: str = "skip"


@attrs.define(eq=False)
class Following:
    """One client across its connections.

    Attributes:
        position: everything before it that was wanted has come; None before the first `subd`.
        heartbeat: seconds within which the relay says something; None before its `welcome`.
        repeated: events that were dropped because they had come before.
    """

    wish: Wish
    token: Secret | None = None
    position: str | None = None
    heartbeat: float | None = None
    repeated: int = 0
    _recent: Recent = attrs.field(factory=lambda: Recent(IDS_KEPT))

    def opening(self) -> list[bytes]:
        """The frames to begin a connection with."""
        self.heartbeat = None
        greeting = {} if self.token is None else {"token": self.token.reveal()}
        wish = self.wish
        asked: dict[str, object] = {"id": SUBSCRIPTION, "topics": wish.topics, "policy": wish.policy}
        if self.position is not None:  # as much as can be had, where the position has expired
            asked |= {"since": self.position, "last": LAST_LIMIT}
        else:
            asked |= {} if wish.last is None else {"last": wish.last}
            asked |= {} if wish.since is None else {"since": wish.since}
        return [_encode(["hello", greeting]), _encode(["sub", NUMBER, asked])]

    def receive(self, payload: bytes) -> Frame | None:
        """Take one message of the relay's.

        Returns:
            What it says, of events only those that are new; None where it is nothing to tell anybody.

        Raises:
            DecodeError: it is no frame of the protocol; hang up.
        """
        frame = read(payload)
        if isinstance(frame, WelcomeFrame):
            least, most = HEARTBEAT
            self.heartbeat = min(max(frame.facts.heartbeat, least), most)
        elif isinstance(frame, SubscribedFrame):
            self.position = frame.facts.position
        elif isinstance(frame, EventsFrame):
            self.position = frame.position
            return EventsFrame(frame.position, tuple(event for event in frame.events if self._new(event)))
        elif isinstance(frame, PositionFrame):
            self.position = frame.position
        elif isinstance(frame, LagFrame):
            self.position = frame.facts.end
        elif isinstance(frame, RefusalFrame) and frame.n not in (NUMBER, None):
            return None
        return frame

    def _new(self, event: msgspec.Raw) -> bool:
        try:
            head = _head(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            head = _Head()  # not as CloudEvents are; shown all the same
        if head.id and self._recent.seen(f"{head.source}#{head.id}"):
            self.repeated += 1
            return False
        return True
