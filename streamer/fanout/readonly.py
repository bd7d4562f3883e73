# -*- test-case-name: tests.unit.test_fanout_readonly -*-
"""A websocket whose client says nothing: `cloudevents.json`, which has what a `Session` has and takes no frames.

The first frame is the relay's own event `streamer.subscribed`, which says where the subscription begins and whether
that is what was asked for. When its position is on its way here, that is also the first thing to come, later.
"""

from __future__ import annotations

from typing import Any

import attrs

from streamer.errors import ClientError
from streamer.fanout.bucket import Bucket
from streamer.fanout.feed import HEARTBEAT, Feed
from streamer.fanout.front import Reader
from streamer.fanout.grants import Grants, insist
from streamer.fanout.hub import Hub
from streamer.fanout.listener import Listener
from streamer.fanout.oneway import Announcing
from streamer.fanout.protocol import COMMAND_BURST, COMMAND_RATE, Close, Wish
from streamer.metrics import FRAMES

SUBPROTOCOL = "cloudevents.json"  # https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/websockets-protocol-binding.md


@attrs.define(eq=False)
class ReadOnly:
    """One connection.

    Args:
        reader: woken from the hub's tick when there may be something to pull, or given the next frame in it.
        opened: seconds since the epoch.
        wish: checked.
        grants: what the client may do; they hold the wish, and end when they end.
    """

    hub: Hub
    reader: Reader
    opened: float
    wish: Wish
    grants: Grants
    encoding: Announcing
    heartbeat: float = HEARTBEAT
    _listener: Listener = attrs.field(init=False, repr=False)
    _pings: Bucket = attrs.field(init=False, repr=False)
    _said: list[bytes] = attrs.field(factory=list, repr=False)  # to be sent before anything else

    def __attrs_post_init__(self) -> None:
        self._pings = Bucket(COMMAND_RATE, COMMAND_BURST, self.opened)
        self._listener = Listener(self.hub, self.reader, self._begun, self.opened, self.encoding, self.heartbeat)
        self._listener.subscribe(self.wish, self.opened)

    @property
    def feed(self) -> Feed:
        """See `Listener`."""
        return self._listener.feed

    def allow(self, now: float) -> None:
        """Count one websocket ping of the client's against its rate.

        Raises:
            ClientError: close with 4129.
        """
        if not self._pings.take(now):
            raise ClientError("rate", "too many pings", close=Close.RATE, retry=True)

    def receive(self, _text: str | bytes, _now: float) -> list[bytes]:
        """Take nothing.

        Raises:
            ClientError: always; close with 4000.
        """
        sentence = f"{SUBPROTOCOL} is only read; what you want to hear stands in the URL"
        raise ClientError("bad-request", sentence, close=Close.BAD_REQUEST)

    def pull(self, budget: int, now: float) -> bytes | None:
        """The next bytes to write; see `Feed.pull`."""
        if self._said:
            return b"".join(self._taken())
        return self._listener.pull(budget, now)

    def beat(self, now: float) -> list[bytes]:
        """What time alone makes due: the beginning of a subscription that waited.

        Raises:
            ClientError: close with 4001, the client's token has ended; or 4108, a strict subscription cannot be kept.
        """
        insist(self.grants, now, self.hub.metrics)
        self._listener.beat(now)  # there is no word for a position: websocket pings keep the connection
        return self._taken()

    def draining(self, in_ms: int) -> bytes:
        """There is no word for it; the close frame comes soon."""
        return b""

    def close(self) -> None:
        """Let go of everything shared; nothing is pulled after it."""
        self._said.clear()
        self._listener.close()

    def _begun(self, facts: dict[str, Any]) -> None:
        self._said.append(self.encoding.subscribed(facts))

    def _taken(self) -> list[bytes]:
        taken, self._said = self._said, []
        self.hub.metrics.add(FRAMES, by=len(taken))
        return taken
