# -*- test-case-name: tests.unit.test_fanout_session -*-
"""One client's whole conversation, without a socket: frames in, frames out.

Three parties drive it: the client's frames (`receive`), room on the socket (`pull`) and time (`beat`). What each may
do in which phase is `PHASES`; all output is whole websocket frames, ready to be written in the order given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from streamer.errors import ClientError
from streamer.fanout import commands, protocol
from streamer.fanout.bucket import Bucket
from streamer.fanout.encoding import RELAY, Encoding
from streamer.fanout.feed import HEARTBEAT, Feed
from streamer.fanout.framing import text_frame
from streamer.fanout.front import Reader
from streamer.fanout.grants import OPEN, Authority, Grants, insist
from streamer.fanout.hub import Hub
from streamer.fanout.parking import Parked
from streamer.fanout.pending import Pending
from streamer.fanout.protocol import Close
from streamer.fanout.publishing import Publishes
from streamer.fanout.start import Start, after
from streamer.fanout.verbs import PHASES, Phase, begun
from streamer.metrics import FRAMES


@attrs.define(eq=False)
class Session:
    """One connection.

    Args:
        number: unique among the sessions of this process.
        reader: woken from the hub's tick when there may be something to pull, or given the next frame in it.
        opened: seconds since the epoch.
        heartbeat: seconds within which the client is told its position, whatever happens.
        encoding: plain, or deflated for who negotiated it.
        publisher: hands the client's events to the bus; None refuses them.
        authority: says what the client's tokens are worth.
        grants: what it may do; of a token that came with the handshake, else what everybody may.
    """

    number: int
    hub: Hub
    reader: Reader
    opened: float
    heartbeat: float = HEARTBEAT
    encoding: Encoding = RELAY
    publisher: Publishes | None = None
    authority: Authority = OPEN
    grants: Grants = attrs.field(default=attrs.Factory(lambda self: self.authority.anonymous, takes_self=True))
    shared: Bucket | None = attrs.field(default=None, repr=False)  # what others of its address have in common with it
    phase: Phase = Phase.NEW
    feed: Feed = attrs.field(init=False, repr=False)
    _bucket: Bucket = attrs.field(init=False, repr=False)
    _work: Bucket = attrs.field(init=False, repr=False)  # what `sub` and `unsub` may cost
    _parked: Parked = attrs.field(factory=Parked, repr=False)
    _pending: Pending | None = attrs.field(default=None, repr=False)  # most clients publish nothing
    _resume: str | None = None
    _resume_until: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.feed = Feed(self.hub, self.reader, self.opened, self.heartbeat, self.encoding)
        self._bucket = Bucket(protocol.COMMAND_RATE, protocol.COMMAND_BURST, self.opened)
        self._work = Bucket(protocol.COMMAND_RATE, protocol.COMMAND_BURST, self.opened)

    def allow(self, now: float) -> None:
        """Count one frame of the client's against its rate.

        Raises:
            ClientError: close with 4129.
        """
        if not self._bucket.take(now):
            rate = f"{protocol.COMMAND_RATE:g} a second, {protocol.COMMAND_BURST:g} at once"
            raise ClientError("rate", f"too many frames; {rate} are allowed", close=Close.RATE, retry=True)

    def receive(self, text: str | bytes, now: float) -> list[bytes]:
        """Take one frame of the client's.

        Returns:
            The answers, to be written at once; what they set going comes from `pull`.

        Raises:
            ClientError: the connection must be closed with its `close`.
        """
        self.allow(now)
        insist(self.grants, now, self.hub.metrics)
        self.feed.insist()
        if self.phase is Phase.WELCOMED:
            self.phase = Phase.GREETED
        try:
            command = commands.read(text)
        except commands.Misread as error:
            if error.close is not None:
                raise
            return self._answer([text_frame(protocol.error_payload(error.n, error))])
        handle = PHASES[self.phase].get(type(command))
        if handle is None:
            return []
        try:
            if isinstance(command, protocol.Sub | protocol.Unsub):
                return self._charged(lambda: handle(self, command, now), now, self._searches(command, now))
            return handle(self, command, now)
        except ClientError as error:
            if error.close is not None:
                raise
            n = getattr(command, "n", None)
            return self._answer([text_frame(protocol.error_payload(n, error))])

    def pull(self, budget: int, now: float) -> bytes | None:
        """The next bytes to write: answers that came late, then see `Feed.pull`."""
        if self._pending is not None and (answers := self._pending.take()):
            self.hub.metrics.add(FRAMES, by=len(answers))
            return b"".join(answers)
        return self.feed.pull(budget, now)

    def beat(self, now: float) -> list[bytes]:
        """What time alone makes due: a `welcome` after silence, a `pos` before the heartbeat is over, parked `subd`.

        Raises:
            ClientError: close with 4000, the client never said anything; with 4001, its token has ended; or with
                4108, a strict subscription cannot be kept.
        """
        insist(self.grants, now, self.hub.metrics)
        self.feed.insist()
        if self.phase is Phase.NEW and now - self.opened >= protocol.HELLO_WAIT:
            welcome = self._answer([])
            self.phase = Phase.WELCOMED
            return welcome
        if self.phase is Phase.WELCOMED and now - self.opened >= protocol.HELLO_WITHIN:
            sentence = f"you said nothing for {protocol.HELLO_WITHIN:g} seconds; begin with hello or sub"
            raise ClientError("silent", sentence, close=Close.BAD_REQUEST)
        if self._parked and (due := self._parked.due(self.hub.journal, now)):
            return self._charged(lambda: [frame for asked in due for frame in begun(self, asked)])
        if self.phase is Phase.CLOSED or self._parked or not self.feed.position_due(now):
            return []
        return self._answer([self.feed.position(now, None if self.feed.flow.subscriptions else self._place(now))])

    def draining(self, in_ms: int) -> bytes:
        """The relay is about to stop; the clients are spread, so that they do not all come back at once."""
        return text_frame(protocol.payload("draining", {"in_ms": in_ms}))

    def close(self) -> None:
        """Let go of everything shared; nothing is pulled after it."""
        self.phase = Phase.CLOSED
        self._parked.clear()
        if self._pending is not None:
            self._pending.close()
        self.feed.close()

    def _searches(self, command: protocol.Sub | protocol.Unsub, now: float) -> bool:
        """Whether it asks for the past."""
        if isinstance(command, protocol.Unsub):
            return False
        return command.wish.last is not None or command.wish.since is not None or now < self._resume_until

    def _charged(
        self, handle: Callable[[], list[bytes]], now: float | None = None, searches: bool = False
    ) -> list[bytes]:
        """Do what may make work, and charge for it; where `now` is given, only if earlier work is paid for.

        Others of the address answer for what `searches` the past; what does not is this connection's own affair.
        """
        shared = self.shared
        owed = searches and shared is not None and now is not None and shared.owes(now)
        if owed or (now is not None and not self._work.take(now)):
            sentence = "your subscriptions made the relay search too much; ask again in a few seconds, for less"
            raise ClientError("rate", sentence, retry=True)
        journal = self.hub.journal
        before = journal.looked
        try:
            return handle()
        finally:
            cost = (journal.looked - before) / protocol.WORK_UNIT
            self._work.charge(cost)
            if shared is not None:
                shared.charge(cost)

    def _answer(self, answers: list[bytes]) -> list[bytes]:
        """Answers, with `welcome` before them if that was not said yet."""
        if self.phase is not Phase.NEW:
            return answers
        self.phase = Phase.GREETED
        return [self._welcome({}), *answers]

    def _welcome(self, recovery: dict[str, Any]) -> bytes:
        facts = {
            "session": f"s{self.number}",
            "position": self.feed.flow.live.told,
            "heartbeat": self.heartbeat,
            "limits": protocol.limits(),
        }
        return text_frame(protocol.payload("welcome", facts | self.grants.facts() | recovery))

    def _place(self, now: float) -> str:
        """The position of a client that follows nothing: where it wants to resume, else the head."""
        journal = self.hub.journal
        resume = self._resume if now < self._resume_until else None
        if resume is not None and journal.awaited(resume):
            return resume
        start = Start(journal.head) if resume is None else after(journal, resume)
        return journal.position(start.place)
