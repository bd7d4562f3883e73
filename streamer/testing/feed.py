# -*- test-case-name: tests.unit.test_testing_x -*-
"""From generated posts to the history: numbered, matched with rules, entered in the ledger, disturbed by faults."""

from __future__ import annotations

import random
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from streamer.testing.faults import Faults
from streamer.testing.history import History
from streamer.testing.ledger import Ledger
from streamer.testing.posts import PostGenerator
from streamer.testing.rule_book import RuleBook


class NothingMatches(Exception):
    """There is no rule, so that no post can reach anybody. Add a rule first."""


@attrs.define
class Feed:
    """Makes posts and deletes, and puts them where connections read.

    Args:
        deleted: share of posts after which some earlier post is deleted.
        chance: decides when.
    """

    clock: IReactorTime
    generator: PostGenerator
    book: RuleBook
    history: History
    ledger: Ledger
    faults: Faults
    deleted: float
    chance: random.Random

    def make(self, number: int) -> int:
        """Make that many posts. Returns how many: none where there is no rule, for then X delivers none."""
        if not len(self.book):
            return 0
        now_ms = self._now_ms()
        lines = []
        for _ in range(number):
            made = self.generator.post(now_ms, self.book.matched(self.ledger.produced))
            self.ledger.posted(made.id)
            lines.append(made.line)
            if self.chance.random() < self.deleted:
                gone = self.generator.delete(now_ms)
                if gone is not None:
                    self.ledger.deleted(gone.id)
                    lines.append(gone.line)
        self._put(self.faults.disturb(lines))
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Make one post with this text; see `PostGenerator.inject`. Returns its id.

        Raises:
            NothingMatches: there is no rule.
        """
        if not len(self.book):
            raise NothingMatches("there is no rule that the post could match; add one first")
        made = self.generator.inject(self._now_ms(), text, self.book.matched(self.ledger.produced), **fields)
        self.ledger.posted(made.id)
        self._put(self.faults.disturb([made.line]))
        return made.id

    def release(self) -> None:
        """No more posts come: let go of a line that a fault held back."""
        self._put(self.faults.release())

    def _put(self, lines: list[bytes]) -> None:
        now_ms = self._now_ms()
        for line in lines:
            self.history.append(now_ms, line)

    def _now_ms(self) -> int:
        return int(self.clock.seconds() * 1000)
