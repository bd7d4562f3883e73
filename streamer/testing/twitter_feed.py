# -*- test-case-name: tests.unit.test_testing_twitter -*-
"""From generated tweets to the history, and the control messages that come between them."""

from __future__ import annotations

import random
from typing import Any, Literal, NamedTuple

import attrs

from streamer.testing.faults import Control
from streamer.testing.history import Line
from streamer.testing.ledger import Ledger
from streamer.testing.recorder import Recorder
from streamer.testing.twitter_messages import notice, warning
from streamer.testing.twitter_predicates import Facets
from streamer.testing.twitter_tweets import Tweeted, TweetGenerator

WARNED = 60  # percent: what a warning says that a fault asks for


Kind = Literal["tweet", "notice", "limit", "warning"]


class About(NamedTuple):
    """What the streams choose a line by.

    Args:
        kind: `limit` and `warning` are about each connection; they hold what it takes to make their message.
        facets: of the tweet that it is, or is about.
        serial: rises from line to line, so that a connection knows what was there before it.
        now_ms: when it was written.
        hold: tweets to hold back.
    """

    kind: Kind
    id: str
    facets: Facets | None
    serial: int
    now_ms: int
    hold: int = 0


class NothingYet(ValueError):
    """There was no tweet yet that a control message could be about. Let some be made first."""


@attrs.define
class TwitterFeed:
    """Makes tweets and control messages, and puts them where connections read.

    Args:
        deleted, scrubbed, withheld: shares of tweets after which there is such news of an earlier one.
        chance: decides when.
    """

    generator: TweetGenerator
    ledger: Ledger
    recorder: Recorder
    deleted: float
    scrubbed: float
    withheld: float
    chance: random.Random
    serial: int = 0  # of the line that comes next

    def make(self, number: int) -> int:
        """Make that many tweets. Returns how many."""
        now_ms = self.recorder.now_ms
        lines = []
        shares = (
            ("delete", self.deleted),
            ("scrub_geo", self.scrubbed),
            ("status_withheld", self.withheld / 2),
            ("user_withheld", self.withheld / 2),
        )
        for _ in range(number):
            lines.append(self._tweet(self.generator.tweet(now_ms)))
            lines.extend(self._notice(what) for what, share in shares if self.chance.random() < share)
        self.recorder.put(lines)
        return number

    def inject(self, text: str, **fields: Any) -> str:
        """Make one tweet with this text; see `TweetGenerator.inject`. Returns its id."""
        made = self.generator.inject(self.recorder.now_ms, text, **fields)
        self.recorder.put([self._tweet(made)])
        return made.id

    def control(self, control: Control) -> None:
        """Send control messages.

        Raises:
            NothingYet: there was no tweet they could be about.
        """
        match control.what:
            case "limit":
                lines = [Line(b"", about=self._about("limit", hold=control.times))]
            case "warning":
                lines = [Line(warning(WARNED), about=self._about("warning")) for _ in range(control.times)]
            case what:
                lines = [self._notice(what) for _ in range(control.times)]
        self.recorder.put(lines)

    def _tweet(self, made: Tweeted) -> Line:
        self.ledger.posted(made.id)
        return Line(made.line, made.id, self._about("tweet", made))

    def _about(self, kind: Kind, tweet: Tweeted | None = None, hold: int = 0) -> About:
        self.serial += 1
        id_, facets = ("", None) if tweet is None else (tweet.id, tweet.facets)
        return About(kind, id_, facets, self.serial - 1, self.recorder.now_ms, hold)

    def _notice(self, what: str) -> Line:
        """The news of some earlier tweet, chosen by what that tweet was, for those who got it."""
        tweet = self.generator.earlier()
        if tweet is None:
            raise NothingYet(f"there was no tweet yet that {what} could be about; let some be made first")
        if what == "delete":
            self.generator.forget(tweet.id)
            self.ledger.deleted(tweet.id)
        line = notice(what, tweet.id, tweet.user_id, self.recorder.now_ms)
        return Line(line, about=self._about("notice", tweet))
