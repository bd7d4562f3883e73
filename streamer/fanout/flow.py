# -*- test-case-name: tests.unit.test_fanout_flow -*-
"""All that one connection is sent from the journal, in order and once.

Its subscriptions are one live flow: a cursor in the cohort of all their patterns together. What a new
subscription needs of the past is one of three things:

* it is the only one: the cursor is simply set to its start;
* its start is behind the cursor: a `Replay` fills in what the others did not bring, before the live flow goes on;
* its start is ahead of the cursor (the client is slow): the live flow takes its patterns in when it gets there.

What a subscription covers is `[start, ∞)`, and an event that several cover is sent once. Unsubscribing forgets
what was sent for it: who asks again for history gets it again.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

import attrs
import msgspec

from streamer.fanout import conflation
from streamer.fanout.cohort import Batch
from streamer.fanout.encoding import Encoding
from streamer.fanout.front import Reader
from streamer.fanout.hub import Hub
from streamer.fanout.live import Live
from streamer.fanout.replay import Replay, uncovered
from streamer.fanout.subscription import Subscription


class Lag(msgspec.Struct, frozen=True):
    """Events the client will never get here, because it was too slow for the journal, or wants the newest only.

    Args:
        skipped: events it had asked for, exactly.
        start: the last position it was told.
        end: where it goes on.
        why: "slow" or "conflated".
    """

    skipped: int
    start: str
    end: str
    why: str = "slow"


class Turn(msgspec.Struct, frozen=True):
    """The live flow goes on after a replay; the client's position is this again."""

    position: str


Output = Batch | Lag | Turn


@attrs.define(eq=False)
class Flow:
    """One connection's events.

    Args:
        reader: woken from the hub's tick when there may be something to pull, or given the next frame in it.
        encoding: of the events.
        replays: stretches of history under way, the first being sent.
        strict: a subscription would rather end the connection than miss an event.
    """

    hub: Hub
    reader: Reader
    encoding: Encoding
    _first_told: str
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict)
    strict: bool = False
    live: Live = attrs.field(init=False)
    replays: list[Replay] = attrs.field(factory=list)
    _lag: Lag | None = None  # not told yet
    _turning: bool = False  # the last replay is over, and the client was not told

    def __attrs_post_init__(self) -> None:
        self.live = Live(self.hub, self.reader, self.encoding, self._first_told)

    @property
    def lagging(self) -> int:
        """Events that were lost to this client and it was not told yet."""
        self._catch_up()
        return 0 if self._lag is None else self._lag.skipped

    def position(self) -> str:
        """Everything before it that is wanted has been sent: the place to resume from.

        While a loss is not told, it is no later than the last position from before the loss.
        """
        self._catch_up()
        if self._lag is None:
            return self._resumable()
        place = self.hub.journal.locate(self._lag.start).place
        return self._lag.start if place is None else self._resumable(place)

    def add(self, subscription: Subscription) -> int:
        """Begin to send a subscription's events from its `start`.

        Args:
            subscription: its cohort was entered for it; `remove` and `close` leave it.

        Returns:
            How many events before the head will be sent because of it, exactly, unless a `Lag` says otherwise.
        """
        self._catch_up()
        others = list(self.subscriptions.values())
        place = self.live.place if others else subscription.start
        new = uncovered(subscription, others, self.hub.journal.head)
        before = bisect_left(new, place)
        self.subscriptions[subscription.id] = subscription
        self.strict = self.strict or subscription.strict
        if before:
            self.replays.append(Replay(subscription, place, self.hub.journal, new[:before]))
        self.live.go_on(place, self.subscriptions.values())
        return len(new)

    def remove(self, id_: str) -> None:
        """Send no more of a subscription's events, but what another relies on it for."""
        self._catch_up()
        place = self.live.place
        subscription = self.subscriptions.pop(id_)
        self.strict = any(one.strict for one in self.subscriptions.values())
        for replay in self.replays:
            replay.forget(subscription, self.subscriptions.values())
        self._drop_finished()
        self.live.go_on(place, self.subscriptions.values())
        self.hub.leave(subscription.cohort)

    def pull(self) -> Output | None:
        """The next thing to send, None where there is nothing now."""
        self._catch_up()
        output: Output | None
        if self._lag is None and not self.replays and self.live.left > conflation.BEHIND:
            self._conflate()
        if self._lag is not None:
            output = Lag(self._lag.skipped, self._lag.start, self._resumable(), self._lag.why)
            self._lag, self.live.told = None, output.end
            return output
        if self.replays:
            output = self._pull_replay()
        elif self._turning:
            self._turning = False
            output = Turn(self._resumable())
        else:
            output = self.live.pull()
        if output is not None:
            self.live.told = output.position
        return output

    def close(self) -> None:
        """Let go of everything shared."""
        self.replays.clear()
        gone = list(self.subscriptions.values())
        self.subscriptions.clear()
        self.live.go_on(0, self.subscriptions.values())
        for subscription in gone:
            self.hub.leave(subscription.cohort)

    def _conflate(self) -> None:
        """Leave out of the backlog what is not the newest of its topic, where that is wanted."""
        subscriptions = tuple(self.subscriptions.values())
        if not any(one.conflate for one in subscriptions):
            return
        backlog, journal = self.live.skim(conflation.AT_ONCE), self.hub.journal
        kept = conflation.newest(journal, backlog, subscriptions)
        if kept:
            self.replays.append(Replay(None, self.live.place, journal, array("q", kept), relying=subscriptions))
        if len(kept) < len(backlog):
            self._lag = Lag(len(backlog) - len(kept), self.live.told, "", "conflated")

    def _pull_replay(self) -> Batch:
        events = self.replays[0].take()
        position = self._resumable()
        self._drop_finished()
        size = sum(len(one.event) for one in events)
        return Batch(self.encoding.events(position, events), size, len(events), 0, position)

    def _resumable(self, *places: int) -> str:
        return self.hub.journal.position(min([self.live.place, *(replay.place for replay in self.replays), *places]))

    def _catch_up(self) -> None:
        """Give up what has left the journal. The live flow jumps to the head, a replay to the floor."""
        skipped = 0
        for replay in self.replays:
            if replay.lost:
                skipped += replay.give_up()
        if skipped:
            self._drop_finished()
        if self.live.lost:
            skipped += self.live.left
            head = self.hub.journal.head
            for subscription in self.subscriptions.values():
                subscription.start = head
            self.live.go_on(head, self.subscriptions.values())
        if skipped:
            waiting = self._lag
            self._lag = Lag(
                skipped + (waiting.skipped if waiting else 0), waiting.start if waiting else self.live.told, ""
            )

    def _drop_finished(self) -> None:
        for replay in [replay for replay in self.replays if not replay.remaining]:
            self.replays.remove(replay)
            self._turning = not self.replays
