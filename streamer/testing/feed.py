# -*- test-case-name: tests.unit.test_testing_x -*-
"""From generated posts to X's history: numbered, matched with rules, entered in the ledger."""

from __future__ import annotations

import random
from typing import Any

import attrs

from streamer.testing.history import Line
from streamer.testing.ledger import Ledger
from streamer.testing.posts import Made, PostGenerator
from streamer.testing.recorder import Recorder
from streamer.testing.rule_book import RuleBook
from streamer.testing.x_endpoints import About


class NothingMatches(Exception):
    """There is no rule and no volume stream, so that no post can reach anybody. Add a rule first."""


@attrs.define
class Feed:
    """Makes posts and deletes, and puts them where connections read.

    Args:
        deleted: share of posts after which some earlier post is deleted.
        chance: decides when.
        unruly: whether there are posts even where there is no rule; so from the first volume stream on.
    """

    generator: PostGenerator
    book: RuleBook
    ledger: Ledger
    recorder: Recorder
    deleted: float
    chance: random.Random
    unruly: bool = False

    def make(self, number: int) -> int:
        """Make that many posts. Returns how many: none where nobody could get them."""
        if not self._reaches():
            return 0
        now_ms = self.recorder.now_ms
        lines = []
        for _ in range(number):
            lines.append(self._posted(self.generator.post(now_ms, self.book.matched(self.ledger.produced))))
            if self.chance.random() < self.deleted:
                gone = self.generator.delete(now_ms)
                if gone is not None:
                    self.ledger.deleted(gone.id)
                    lines.append(Line(gone.line, about=About(gone.id, gone.lang, None, len(self.book) > 0)))
        self.recorder.put(lines)
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Make one post with this text; see `PostGenerator.inject`. Returns its id.

        Raises:
            NothingMatches: there is no rule.
        """
        if not self._reaches():
            raise NothingMatches("there is no rule that the post could match; add one first")
        matched = self.book.matched(self.ledger.produced)
        made = self.generator.inject(self.recorder.now_ms, text, matched, **fields)
        self.recorder.put([self._posted(made)])
        return made.id

    def unleash(self) -> None:
        """From now on make posts even where there is no rule."""
        self.unruly = True

    def _reaches(self) -> bool:
        return self.unruly or len(self.book) > 0

    def _posted(self, made: Made) -> Line:
        self.ledger.posted(made.id)
        return Line(made.line, made.id, About(made.id, made.lang, made.bare, len(self.book) > 0))
