# -*- test-case-name: tests.unit.test_fanout_journal -*-
"""The entries that a journal holds, by their places: counted, and without what was taken back."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from streamer.fanout.logged import Logged
from streamer.fanout.scrubs import Scrubs

DELETIONS_KEPT = 9_000  # ids of events that a deletion left nothing of, three a post


@attrs.define
class Held:
    """Entries by place.

    Args:
        bytes: the sum of their sizes.
        rewritten: entries so far whose event, or its location, was taken back while they were held.
    """

    bytes: int = 0
    rewritten: int = 0
    _entries: dict[int, Logged] = attrs.field(factory=dict)
    _scrubs: Scrubs[Logged] = attrs.field(factory=Scrubs)
    _deletions: OrderedDict[str, Logged] = attrs.field(factory=OrderedDict)  # by what they leave nothing of

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
        if new.located is not None:
            self._scrubs.hold(place, new.located)

    def take(self, place: int) -> Logged:
        """Hold the entry at that place no longer."""
        old = self._entries.pop(place)
        self.bytes -= old.size
        if old.located is not None:
            self._scrubs.release(place, old.located)
        return old

    def rewrite(self, place: int, new: Logged) -> None:
        """Put what is left of the entry at that place in its stead."""
        self.take(place)
        self.put(place, new)
        self.rewritten += 1

    def taken_back(self, new: Logged) -> Logged:
        """Carry out the new entry if it takes something back; returns what is left of it after those before it.

        What is taken back may come after what takes it back: upstreams say so, and enrichers overtake each other.
        """
        deletion = self._deletions.get(new.message_id)
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
            earlier = self._scrubs.over(new.located)
            if earlier is not None:
                return new.scrubbed(earlier)
        return new
