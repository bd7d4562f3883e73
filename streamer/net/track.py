# -*- test-case-name: tests.unit.test_net_player -*-
"""The recording of one `asks.Play`: which of its entries come next, and how far it was played."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Self

import attrs

from streamer.asks import Play
from streamer.net.failures import Over
from streamer.net.recording_file import RecordingFile, RecordingUnusable
from streamer.policy import backoff
from streamer.upstream import Ending, Warned, brief
from streamer.wire.recording import Entry, Joined, Place, Recorded, check_of

NAMES_SHOWN = 10  # of sources


@attrs.define(eq=False)
class Track:
    """One recording, round after round.

    Args:
        only: the recorded sources whose items are played; None for all of them.
        place: how far it was played.
        found: what is read now comes after what was played in earlier times.
        part: of the last entries, how much was played, 0 to 1.
        others: items that were passed over in this round, for they are of other sources.
    """

    ask: Play
    file: RecordingFile
    only: Collection[str] | None
    place: Place
    found: bool
    part: float = 0.0
    others: int = 0
    _names: dict[str, None] = attrs.field(factory=dict)  # of those sources, some of them
    _known: set[str] = attrs.field(factory=set)  # of `only`, what is there
    _before: int = 0  # bytes of the file, read before the last entries
    _read: int = 0  # and with them

    @classmethod
    def open(cls, ask: Play) -> Self:
        """Open the file.

        Raises:
            Over: it cannot be played.
        """
        return cls(ask, *_opened(ask), Place(ask.round, ask.skip, ask.check), not ask.skip)

    @property
    def share(self) -> float:
        """How much of the file was played in this round, 0 to 1, about."""
        played = self._before + (self._read - self._before) * self.part
        return min(1.0, played / self.file.size) if self.file.size else 1.0

    def plays(self, entry: Recorded) -> bool:
        """Whether an item is to be played; it is counted where it is not."""
        source = entry.item.source
        if self.only is None:
            return True
        if source in self.only:
            self._known.add(source)
            return True
        self.others += 1
        if len(self._names) < NAMES_SHOWN:
            self._names[source] = None
        return False

    def joined(self, sources: Collection[str]) -> None:
        """Another recording begins."""
        self._known.update(name for name in sources if name in (self.only or ()) or len(self._known) < NAMES_SHOWN)

    @property
    def left_out(self) -> str:
        """What was passed over, as a clause; empty where nothing was."""
        if not self.others:
            return ""
        return f"{self.others:,} items of other sources were passed over ({brief(', '.join(self._names))})"

    def end(self) -> None:
        """It was played to its end.

        Raises:
            Over: a source that was to be played is not there.
        """
        for name in self.only or ():
            if name not in self._known and name not in self.file.sources:
                names = ", ".join([*self.file.sources, *sorted(self._known - set(self.file.sources))][:NAMES_SHOWN])
                raise _refused(f"the recording {self.ask.path} holds no source {name!r}; it holds {names or 'none'}")

    def passed(self, entry: Recorded) -> None:
        """It was played this far."""
        self.place = Place(self.place.round, entry.number, check_of(entry.item))

    def more(self) -> Sequence[Entry | Warned] | None:
        """The next entries, perhaps none of them; None at the end.

        Raises:
            Over: it cannot be played any further.
        """
        try:
            entries = self.file.entries()
            self._before, self._read, self.part = self._read, self.file.read, 0.0
        except RecordingUnusable as error:
            raise _refused(str(error)) from error
        if self.found:
            return entries
        for index, entry in enumerate(entries or ()):
            if isinstance(entry, Joined):
                self.joined(entry.sources)
            elif isinstance(entry, Recorded) and self.only is not None and entry.item.source in self.only:
                self._known.add(entry.item.source)
            if entry.number >= self.place.number:
                same = isinstance(entry, Recorded) and self.place.check == check_of(entry.item)
                self.found = same and entry.number == self.place.number
                return (entries or [])[index + 1 :] if self.found else self._another()
        return self._another() if entries is None else []

    def again(self, round_: int) -> None:
        """Begin another round.

        Raises:
            Over: the file cannot be played any more.
        """
        self.file.close()
        self.place, self.found = Place(round_), True
        self._before = self._read = self.others = 0
        self.file, self.only = _opened(self.ask)

    def _another(self) -> Sequence[Warned]:
        """It is another recording than the one that was played: begin with it."""
        self.again(0)
        return [Warned(detail=f"{self.ask.path} is not what was played before; it is played from its beginning")]


def _opened(ask: Play) -> tuple[RecordingFile, Collection[str] | None]:
    try:
        file = RecordingFile.open(ask.path)
    except RecordingUnusable as error:
        raise _refused(str(error)) from error
    try:
        return file, None if ask.choose is None else ask.choose(file.sources)
    except ValueError as error:
        file.close()
        raise _refused(f"the recording {ask.path} {error}") from error


def _refused(detail: str) -> Over:
    return Over(Ending(cause=backoff.REFUSED, detail=detail))
