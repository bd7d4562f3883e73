# -*- test-case-name: tests.unit.test_fanout_feed -*-
"""One client's way out, whatever its face: the bytes of its flow, and what must be said when nothing flows.

A face (`session` for `relay.v1.json`, `listener` for those that cannot ask) decides what is subscribed to and what
is answered; what is sent of the journal, when a position is due, and when a strict client must go is the same for all.
"""

from __future__ import annotations

from typing import Any

import attrs

from streamer.errors import ClientError
from streamer.fanout.cohort import Batch
from streamer.fanout.encoding import RELAY, Encoding
from streamer.fanout.flow import Flow, Lag, Output, Turn
from streamer.fanout.front import Reader
from streamer.fanout.hub import Hub
from streamer.fanout.protocol import Close
from streamer.fanout.start import begin
from streamer.fanout.subscription import Subscription
from streamer.metrics import CONFLATED, DELIVERED, FRAMES, SKIPPED

HEARTBEAT = 25.0  # seconds
BEAT_MARGIN = 0.2  # of the heartbeat: how early a position is told, for beats come on a coarse timer


@attrs.define(eq=False)
class Feed:
    """What one client is sent.

    Args:
        opened: seconds since the epoch.
        heartbeat: seconds within which the client is told its position, whatever happens.
    """

    hub: Hub
    reader: Reader
    opened: float
    heartbeat: float = HEARTBEAT
    encoding: Encoding = RELAY
    flow: Flow = attrs.field(init=False)
    _told_at: float = attrs.field(init=False)  # when the client was last told a position by itself

    def __attrs_post_init__(self) -> None:
        head = self.hub.journal.position(self.hub.journal.head)
        self.flow = Flow(self.hub, self.reader, self.encoding, head)
        self._told_at = self.opened

    def subscribe(
        self, id_: str, patterns: frozenset[str], since: str | None, last: int | None, policy: str
    ) -> dict[str, Any]:
        """Begin a subscription, with what there is; see `start.begin`.

        Returns:
            What its client is told: where it begins, how many events follow because of it, and whether it was
            served as it asked.
        """
        flow, journal = self.flow, self.hub.journal
        cohort = self.hub.enter(patterns)
        start = begin(journal, cohort, since, last)
        strict, conflate = policy == "strict", policy == "conflate"
        replayed = flow.add(Subscription(id_, cohort, strict, start.place, conflate, journal.head))
        flow.live.told = flow.position()
        return {"position": flow.live.told, "replayed": replayed} | start.facts()

    def pull(self, budget: int, now: float) -> bytes | None:
        """The next bytes to write, frames until those in them make up the `budget`, before they are compressed.

        Returns:
            None where there is nothing now; the reader is woken, or given a frame, when that changes.

        Raises:
            ClientError: close with 4108; a strict subscription cannot be kept.
        """
        chosen: list[bytes] = []
        while budget > 0 and (output := self.flow.pull()) is not None:
            data = self._written(output)
            self._told_at = now
            budget -= output.size if isinstance(output, Batch) else len(data)
            chosen.append(data)
        if len(chosen) > 1:
            return b"".join(chosen)
        return chosen[0] if chosen else None

    def insist(self) -> None:
        """See that strict subscriptions were kept so far; before anything is said that would hide that they were not.

        Raises:
            ClientError: close with 4108.
        """
        if self.flow.strict and (skipped := self.flow.lagging):
            self.hub.metrics.add(SKIPPED, by=skipped)
            raise _slow(skipped)

    def position_due(self, now: float) -> bool:
        """Whether the client must be told its position, so that it hears from us and can resume from a quiet topic."""
        front = self.flow.live.front
        told_at = self._told_at if front is None else max(self._told_at, front.told_at)
        return now - told_at >= self.heartbeat * (1 - BEAT_MARGIN)

    def position(self, now: float, otherwise: str | None = None) -> bytes:
        """Tell the client its position; `otherwise` is that of one that follows nothing."""
        self._told_at = now
        self.flow.live.told = self.flow.position() if otherwise is None else otherwise
        return self.encoding.position(self.flow.live.told)

    @property
    def behind(self) -> int:
        """Events that are held for the client and it was not sent."""
        return self.flow.live.left + sum(replay.remaining for replay in self.flow.replays)

    @property
    def policy(self) -> str:
        """The strictest of its subscriptions'."""
        if self.flow.strict:
            return "strict"
        return "conflate" if any(one.conflate for one in self.flow.subscriptions.values()) else "skip"

    def fall_behind(self) -> None:
        """The socket is full: nothing is delivered from now on, until `pull` has caught up."""
        self.flow.live.fall_behind()

    def close(self) -> None:
        """Let go of everything shared; nothing is pulled after it."""
        self.flow.close()

    def _written(self, output: Output) -> bytes:
        metrics = self.hub.metrics
        metrics.add(FRAMES)
        if isinstance(output, Batch):
            metrics.add(DELIVERED, by=output.events)
            return output.data
        if isinstance(output, Turn):
            return self.encoding.position(output.position)
        metrics.add(SKIPPED if output.why == "slow" else CONFLATED, by=output.skipped)
        if self.flow.strict and output.why == "slow":
            raise _slow(output.skipped)
        return self.encoding.lag(_facts(output))


def _facts(lag: Lag) -> dict[str, Any]:
    return {"skipped": lag.skipped, "from": lag.start, "to": lag.end, "why": lag.why}


def _slow(skipped: int) -> ClientError:
    sentence = f"you read too slowly: {skipped} events have left the relay's memory"
    return ClientError("slow", sentence, close=Close.SLOW, retry=True)
