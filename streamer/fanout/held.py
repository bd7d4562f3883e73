# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""The entries that a journal holds, by their places: counted, and without what was taken back.

Those below `warm` are held for clients that came back late; they are counted apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import attrs

from streamer.fanout.logged import Logged
from streamer.fanout.scrubs import Located, Scrub, Scrubs

DELETIONS_KEPT = 9_000  # ids of events that a deletion left nothing of, three a post


@attrs.define
class Held:
    """Entries by place.

    Args:
        bytes: the sum of their sizes.
        cold_bytes: of those below `warm`.
        warm: a place.
        rewritten: entries so far whose event, or its location, was taken back while they were held.
    """

    bytes: int = 0
    cold_bytes: int = 0
    warm: int = 0
    rewritten: int = 0
    _entries: dict[int, Logged] = attrs.field(factory=dict)
    _scrubs: Scrubs[Logged] = attrs.field(factory=Scrubs)
    _deletions: OrderedDict[str, Logged] = attrs.field(factory=OrderedDict)  # by what they leave nothing of
    _gone: dict[str, int] = attrs.field(factory=dict)  # the same of those that are held: the place of the last
    _scrubbing: dict[str, dict[int, Scrub]] = attrs.field(factory=dict)  # scrubs that are held, by author

    def __getitem__(self, place: int) -> Logged:
        """The entry at a place.

        Raises:
            KeyError: there is none.
        """
        return self._entries[place]

    def get(self, place: int, default: Logged | None = None) -> Logged | None:
        """The entry at a place, or the default where there is none."""
        return self._entries.get(place, default)

    def put(self, place: int, new: Logged) -> None:
        """Hold an entry at a place that holds none."""
        self._entries[place] = new
        self.bytes += new.size
        if place < self.warm:
            self.cold_bytes += new.size
        if new.located is not None:
            self._scrubs.hold(place, new.located)
        for message_id in new.gone:
            self._gone[message_id] = max(place, self._gone.get(message_id, place))
        if new.scrub is not None:
            self._scrubbing.setdefault(new.scrub.author, {})[place] = new.scrub

    def take(self, place: int) -> Logged:
        """Hold the entry at that place no longer."""
        old = self._entries.pop(place)
        self.bytes -= old.size
        if place < self.warm:
            self.cold_bytes -= old.size
        if old.located is not None:
            self._scrubs.release(place, old.located)
        for message_id in old.gone:
            if self._gone.get(message_id) == place:
                del self._gone[message_id]
        if old.scrub is not None:
            scrubbing = self._scrubbing[old.scrub.author]
            del scrubbing[place]
            if not scrubbing:
                del self._scrubbing[old.scrub.author]
        return old

    def cool(self) -> None:
        """The lowest of the others is counted apart from now on."""
        self.cold_bytes += self._entries[self.warm].size
        self.warm += 1

    def rewrite(self, place: int, new: Logged) -> None:
        """Put what is left of the entry at that place in its stead."""
        self.take(place)
        self.put(place, new)
        self.rewritten += 1

    def delete(self, new: Logged, place_of: Callable[[str], int | None]) -> None:
        """Leave nothing of what an entry deletes, as far as it is held.

        Args:
            place_of: the place that an id was given.
        """
        for message_id in new.gone:
            place = place_of(message_id)
            old = None if place is None else self._entries.get(place)
            if place is not None and old is not None and old.message_id == message_id:
                self.rewrite(place, old.replaced(new))

    def taken_back(self, new: Logged) -> Logged:
        """Carry out the new entry if it takes something back; returns what is left of it after those before it.

        What is taken back may come after what takes it back: upstreams say so, and enrichers overtake each other.
        """
        deletion = self._deletion_of(new)
        if deletion is not None:
            return new.replaced(deletion)
        for message_id in new.gone:
            self._deletions[message_id] = new
        while len(self._deletions) > DELETIONS_KEPT:
            self._deletions.popitem(last=False)
        if new.scrub is not None:
            for place in self._scrubs.covered(new.scrub):
                self.rewrite(place, self._entries[place].scrubbed(new))
            self._scrubs.remember(new.scrub, new)
        elif new.located is not None:
            earlier = self._scrub_over(new.located)
            if earlier is not None:
                return new.scrubbed(earlier)
        return new

    def older(self, new: Logged) -> Logged:
        """What is left of an entry that stood before all that is held; carries it out if it takes something back.

        It is taken back by whatever took it back later, as far as that is held or remembered.
        """
        deletion = self._deletion_of(new)
        if deletion is not None:
            return new.replaced(deletion)
        if new.scrub is not None:
            for covered in self._scrubs.covered(new.scrub):
                self.rewrite(covered, self._entries[covered].scrubbed(new))
        elif new.located is not None:
            earlier = self._scrub_over(new.located)
            if earlier is not None:
                return new.scrubbed(earlier)
        return new

    def _deletion_of(self, new: Logged) -> Logged | None:
        """What leaves nothing of an entry, as far as it is held or remembered."""
        place = self._gone.get(new.message_id)
        return self._entries[place] if place is not None else self._deletions.get(new.message_id)

    def _scrub_over(self, located: Located) -> Logged | None:
        """What takes back a location, as far as it is held or remembered."""
        for at, scrub in self._scrubbing.get(located.author, {}).items():
            if scrub.covers(located):
                return self._entries[at]
        return self._scrubs.over(located)
