# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Conversations that go on for several posts, and the posts that were just written."""

from __future__ import annotations

import random
from collections import deque

import attrs
import msgspec

from streamer.testing.profiles import Profile

OPEN_THREADS = 64  # conversations at once; the oldest ends where one more begins
RECENT = 512  # posts that may be deleted or quoted
BEGINNINGS = 0.2  # share of the first posts that somebody answers
LONGEST = 7  # answers in one conversation
ANSWERS = 0.25  # share of answers among all posts, while there is something to answer


class Written(msgspec.Struct, frozen=True):
    """What is remembered of a post."""

    id: str
    conversation_id: str
    author: Profile
    text: str
    created_at: str
    lang: str


@attrs.define
class Threads:
    """The conversations under way, each as its last post and the answers to come."""

    chance: random.Random
    _open: deque[tuple[Written, int]] = attrs.field(factory=lambda: deque(maxlen=OPEN_THREADS))
    _recent: deque[Written] = attrs.field(factory=lambda: deque(maxlen=RECENT))

    def to_answer(self) -> tuple[Written, int] | None:
        """The post that the next one answers, taken out, with the answers to come; None where it begins anew."""
        if not self._open or self.chance.random() >= ANSWERS:
            return None
        self._open.rotate(self.chance.randrange(len(self._open)))
        return self._open.popleft()

    def wrote(self, post: Written, left: int | None = None) -> None:
        """Take note of a post; `left` answers come after it, None for one that begins anew."""
        self._recent.append(post)
        if left is None:
            left = self.chance.randint(2, LONGEST) if self.chance.random() < BEGINNINGS else 0
        if left > 0:
            self._open.append((post, left))

    def recent(self) -> Written | None:
        """Any of the last posts."""
        return self.chance.choice(self._recent) if self._recent else None

    def forget(self, post: Written) -> None:
        """It was deleted: nobody answers or quotes it from now on."""
        self._recent.remove(post)
        kept = [row for row in self._open if row[0].id != post.id]
        self._open.clear()
        self._open.extend(kept)
