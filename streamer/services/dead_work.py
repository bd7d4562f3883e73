# -*- test-case-name: tests.unit.test_services_dead_work -*-
"""What each `streamer dead …` does between opening a queue and handing back: all of it, once, whatever happens.

Nothing is written to stdout while letters are in hand: who pages through it may take an hour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.bus.dead import Letter, Wish, again
from streamer.bus.dead_queue import DeadQueue
from streamer.errors import BusError, MessageRefused
from streamer.services.dead_bodies import Bodies, Saving
from streamer.services.dead_replay import HOLD_LIMIT, Replay

Keep = Callable[[Letter], bool]
Sentence = Callable[[str], object]


@attrs.define
class Found:
    """What was found, the oldest death first, and what came of it.

    Args:
        queue: its name.
        depth: letters in the queue when it was opened.
        looked_at: how many of them were seen.
        letters: those wanted, without bodies.
        left: those wanted for which there was no room.
        done: those replayed or dropped.
        notes: sentences about letters that cannot be what was asked, by tag.
        failure: why it stopped early; empty where it did not.
    """

    queue: str
    depth: int
    looked_at: int = 0
    letters: list[Letter] = attrs.field(factory=list)
    left: int = 0
    done: list[Letter] = attrs.field(factory=list)
    notes: dict[int, str] = attrs.field(factory=dict)
    failure: str = ""


@attrs.define
class Work:
    """One command's.

    Args:
        reach: opens the queue.
        wish: which letters.
        say: tells the operator something on the way.
    """

    reach: Callable[[], Awaitable[DeadQueue]]
    wish: Wish
    clock: IReactorTime
    say: Sentence

    async def look(self) -> Found:
        """The letters that are wanted."""
        queue = await self.reach()
        try:
            return await self._take(queue, lambda letter: True)
        finally:
            await queue.close()

    async def one(self) -> Letter | None:
        """The oldest of the letters that are wanted, with its body; None where there is none."""
        oldest: list[Letter] = []

        def keep(letter: Letter) -> bool:
            if not oldest or letter.since < oldest[0].since:
                oldest[:] = [letter]
            return False

        queue = await self.reach()
        try:
            await self._take(queue, keep)
        finally:
            await queue.close()
        return oldest[0] if oldest else None

    async def plan(self, shards: int | None) -> Found:
        """As `look`, with notes about those that could not be replayed."""
        found = await self.look()
        for letter in found.letters:
            try:
                again(letter.message, shards)
            except MessageRefused as error:
                found.notes[letter.tag] = str(error)
        return found

    async def replay(self, shards: int | None, rate: float | None) -> Found:
        """Publish them again, and take off the queue what the broker confirmed."""
        bodies = Bodies()
        queue = await self.reach()
        try:
            found = await self._take(queue, bodies.keep)
            most = len(found.letters) if rate is None else max(1, int(rate * HOLD_LIMIT))
            if most < len(found.letters):
                self.say(
                    f"At {rate:g} a second only the oldest {most} can be replayed at once; do it again for the rest."
                )
            if found.left:
                self.say(f"For {found.left} more there is no room in the temporary file; do it again for them.")
            replay = Replay(queue, bodies, shards, rate, self.clock)
            try:
                await replay.run(found.letters[:most])
                if replay.done:
                    await self._told(queue, found)
            except (BusError, TimeoutError) as error:
                found.failure = str(error)
            finally:
                self.say(f"{len(replay.done)} of {len(found.letters)} replayed to where they were published.")
            found.done = replay.done
            found.notes = {letter.tag: why for letter, why in replay.stuck}
            found.failure = "; ".join(filter(None, (replay.failure, found.failure)))
            return found
        finally:
            bodies.close()
            await queue.close()

    async def drop(self, save: Path | None) -> Found:
        """Take them off the queue, once they are safe in the file where one is given.

        Raises:
            OSError: that file cannot be written; nothing was dropped.
        """
        queue = await self.reach()
        saving: Saving | None = None
        found = Found(queue.name, queue.link.depth)
        try:
            saving = None if save is None else Saving(save, self.clock.seconds())
            found = await self._take(queue, (lambda letter: True) if saving is None else saving.keep)
            if saving is not None and found.letters:
                saving.finish()
            for letter in sorted(found.letters, key=_by_tag):
                if queue.ack(letter.tag):
                    found.done.append(letter)
            await self._told(queue, found)
        finally:
            self.say(f"{len(found.done)} of {len(found.letters)} dropped.")
            if saving is not None:
                saving.close(wanted=bool(found.done))
            await queue.close()
        return found

    async def _take(self, queue: DeadQueue, keep: Keep) -> Found:
        found = Found(queue.name, queue.link.depth)

        def receive(letter: Letter) -> None:
            if self.wish.takes(letter):
                if keep(letter):
                    found.letters.append(letter.bare())
                else:
                    found.left += 1

        await queue.take(receive)
        found.looked_at = queue.taken
        found.letters.sort(key=_oldest)
        return found

    async def _told(self, queue: DeadQueue, found: Found) -> None:
        try:
            if queue.blocked:
                raise TimeoutError("it reads nothing")
            await queue.told()
        except (BusError, TimeoutError) as error:
            found.failure = (
                f"the broker may not have heard which letters may go ({error}): those may be in the queue again"
            )


def _oldest(letter: Letter) -> tuple[float, int, int]:
    """Deaths have whole seconds; of those in the same one what was made first goes first."""
    return letter.since, letter.message.timestamp_ms, letter.tag


def _by_tag(letter: Letter) -> int:
    return letter.tag


def counts(found: Found, shown: int) -> str:
    """How many there are, and how many of them are shown."""
    said = f"{found.queue} holds {found.depth or '0 that nobody has in hand'}"
    if len(found.letters) != found.depth:
        said += f", {len(found.letters)} of them wanted"
    if found.looked_at < found.depth:
        said += f" among the first {found.looked_at}, more are not looked at"
    return f"{said}; {shown} shown."
