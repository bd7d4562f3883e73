# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""The numbered ring of events: all that the relay remembers, once for everybody.

Entries get contiguous places 0, 1, 2, … as they are appended. `floor` is the oldest place still held, `head` the
one the next entry will get. A repeat (a `message_id` seen lately) gets no place, but its offset is remembered:
another relay, whose history began later, may have taken it for a first sight and given out its position.

What is older than the floor may be read from the log again, for who comes back late, and is put before it: places may
be negative, the floor falls, and all else is as if it had never risen. These entries are `cold`: they have a limit of
their own, and are let go when nobody has needed them for a while. What leaves the rest at its limits is cold, too,
while there are any: who reads there is not cut off.

A deletion leaves nothing of what it deletes: the entries of the post that are still held keep their places and their
positions, but hold the deletion's event instead of their own. So a replay tells of it where the post stood. A scrub
does the same to the locations of an author, except that a post's own event stays and only loses its location.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from streamer.fanout.arrivals import Arrivals
from streamer.fanout.held import Held
from streamer.fanout.locate import Located, located_mark, located_start
from streamer.fanout.logged import Logged, logged
from streamer.fanout.position import START, Mark, Verdict, parse
from streamer.fanout.sights import IDS_KEPT, Sights
from streamer.fanout.stretch import placed
from streamer.message import Entry

ENTRIES_LIMIT = 50_000  # entries; 100 s of 500 events/s
BYTES_LIMIT = 64_000_000  # bytes of events, topics and ids
AGE_LIMIT = 3_600.0  # seconds
COLD_LIMIT = 32_000_000  # bytes, as above
COLD_KEPT = 60.0  # seconds that older entries are kept when nobody needs them
EXPIRE_STEP = 5_000  # entries that leave in one call of `expire`, a few milliseconds' work


@attrs.define
class Journal:
    """The ring.

    Args:
        entries_limit: entries held at most, at least 1.
        bytes_limit: bytes held at most; the newest entry is held whatever its size.
        age_limit: seconds since it came after which an entry leaves.
        cold_limit: bytes of older entries held besides.
        older: asked for a position below the floor: whether it is being read from the log, so that to wait is no use
            in vain. None where that is never done.
        looked: the work of all searches so far: times that an entry was held against a pattern.
    """

    entries_limit: int = ENTRIES_LIMIT
    bytes_limit: int = BYTES_LIMIT
    age_limit: float = AGE_LIMIT
    cold_limit: int = COLD_LIMIT
    floor: int = 0
    head: int = 0
    looked: int = 0
    older: Callable[[Mark], bool] | None = None
    held: Held = attrs.field(factory=Held)
    sights: Sights = attrs.field(init=False)
    arrivals: Arrivals = attrs.field(factory=Arrivals)
    _below: Logged | None = None  # the entry just under the floor, kept for its position
    _needed: bool = False  # cold entries were, since the last `expire`
    _needed_at: float = 0.0  # seconds since the epoch

    def __attrs_post_init__(self) -> None:
        self.sights = Sights(max(IDS_KEPT, 2 * self.entries_limit))

    def append(self, entry: Entry) -> Logged | None:
        """Take the next entry of the log.

        An offset that does not rise means that the log was deleted and made again: what was held is dropped.

        Returns:
            What was appended; None where it is a repeat.

        Raises:
            DecodeError: it could not stand in everybody's frame, see `logged`; count it and go on.
        """
        message_id = entry.message.message_id
        held, sights = self.held, self.sights
        last = held.get(self.head - 1, self._below)
        rises = last is None or entry.offset > last.offset
        if sights.place(message_id) is not None:
            if rises:
                sights.repeated(entry.offset, message_id, self.head)
            return None
        new = logged(entry)
        if not rises:
            while self.floor < self.head:
                self._evict()
            self._below = None
            sights.begin_again(self.head)
        held.delete(new, sights.place)
        new = held.taken_back(new)
        sights.appended(message_id, self.head)
        self.arrivals.made(entry.message.timestamp_ms / 1000, self.head)
        held.put(self.head, new)
        self.head += 1
        while self.head - held.warm > self.entries_limit or (
            held.bytes - held.cold_bytes > self.bytes_limit and self.head - held.warm > 1
        ):
            if self.floor < held.warm:
                held.cool()
            else:
                self._evict()
        while held.cold_bytes > self.cold_limit:
            self._evict()
        return new

    def prepend(self, base: Logged | None, entries: Sequence[Logged]) -> bool:
        """Put older entries before the floor: they are cold. None of them has been rewritten yet.

        Args:
            base: the entry before them in the log; None where the first of them is the first of the log.
            entries: all that follow it up to `edge`, in order.

        Returns:
            Whether they join what is held. They do not where `edge` has changed meanwhile, or where the log is not
            the one that was read before: nothing is changed then, and they are of no use.
        """
        edge = self.edge
        if edge is not None:
            last = entries[-1] if entries else base
            if last is None or (last.offset, last.message_id) != (edge.offset, edge.message_id):
                return False
            if self._below is None:
                entries = entries[:-1]  # it is held
        try:
            kept, repeats = placed(base, entries, self.floor, self.sights)
        except ValueError:
            return False
        for new in kept:
            self.floor -= 1
            self.held.delete(new, self.sights.place)
            self.held.put(self.floor, self.held.older(new))
            self.sights.prepended(new.message_id, self.floor)
        for repeat, place in repeats:
            self.sights.repeated(repeat.offset, repeat.message_id, place, older=True)
        self._below, self._needed = base, True
        return True

    def expire(self, now: float) -> int:
        """Let go what is too old, and cold entries that nobody needs; to be called every second or so.

        Args:
            now: seconds since the epoch. Also taken for the time at which all came that was appended since the last
                call.

        Returns:
            How many entries have left the journal. At most `EXPIRE_STEP`: the next call goes on.
        """
        held, floor = self.held, self.floor
        self.arrivals.note(now, floor, self.head)
        old = self.arrivals.before(now - self.age_limit)
        if self._needed:
            self._needed, self._needed_at = False, now
        forgotten = now - self._needed_at >= COLD_KEPT
        for _ in range(EXPIRE_STEP):
            ages = old is not None and held.warm < old
            if self.floor < held.warm and (forgotten or held.cold_bytes > self.cold_limit):
                self._evict()
            elif ages and self.floor < held.warm:
                held.cool()
            elif ages:
                self._evict()
            else:
                break
        return self.floor - floor

    def __getitem__(self, place: int) -> Logged:
        """The entry at a place.

        Raises:
            KeyError: it is below the floor, or not there yet.
        """
        if place < self.held.warm:
            self._needed = True
        return self.held[place]

    @property
    def bytes(self) -> int:
        """Bytes held: of events, topics and ids."""
        return self.held.bytes

    @property
    def rewritten(self) -> int:
        """Entries so far whose event, or its location, was taken back while they were held."""
        return self.held.rewritten

    def position(self, place: int) -> str:
        """The text for `everything before this place`.

        Args:
            place: `floor` to `head`; one that fell below the floor is written as the floor.
        """
        before = self.held.get(place - 1, self._below)
        return START if before is None else before.position

    def locate(self, position: str) -> Located:
        """Where a position stands: found, expired or unknown."""
        mark = parse(position)
        if mark is None or self.sights.disproved(mark):
            return Located(Verdict.UNKNOWN)
        located = located_start(self) if mark.check is None else located_mark(self, mark)
        if located.place is not None and located.place < self.held.warm:
            self._needed = True
        return located

    def awaited(self, position: str, ahead: bool = True) -> bool:
        """Whether a position is none that can be found now, but may be soon: wait, and ask again.

        Args:
            ahead: whether one may wait for what is `ahead`, too.
        """
        mark = parse(position)
        if mark is None:
            return False
        expired = self.edge is None or self.locate(position).verdict is Verdict.EXPIRED
        if expired and self.older is not None and self.older(mark):
            return True
        return ahead and self.ahead(position)

    def ahead(self, position: str) -> bool:
        """Whether a position is after everything read so far: it may be of an entry that is on its way here."""
        mark = parse(position)
        if mark is None or mark.check is None or self.sights.repeat_at(mark.offset) is not None:
            return False
        last = self.held.get(self.head - 1, self._below)
        return last is None or mark.offset > last.offset

    @property
    def edge(self) -> Logged | None:
        """The oldest entry whose offset is known: the one below the floor, or the first one where that was never read.

        None where nothing was read yet.
        """
        return self._below or self.held.get(self.floor)

    def _evict(self) -> None:
        self._below = gone = self.held.take(self.floor)
        self.sights.evicted(gone.message_id, self.floor)
        self.floor += 1
        self.held.warm = max(self.held.warm, self.floor)
