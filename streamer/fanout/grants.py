# -*- test-case-name: tests.unit.test_fanout_grants -*-
"""Who may read and publish what: grants are topic patterns, and a subscription must lie within one of them.

A pattern is a set of topics, and to ask for it is to ask for all of them; so it is granted only where every topic that
it matches is matched by a grant. Events are never filtered after that: what was let in once costs nothing more.
https://www.rabbitmq.com/tutorials/amqp-concepts#exchange-topic
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Protocol

import msgspec

from streamer.errors import ClientError
from streamer.fanout.protocol import Close
from streamer.metrics import TOKENS, Metrics

TOKEN_LIMIT = 8192  # characters of a token
SUBJECT_LIMIT = 128  # characters of whom a token is for
_ANSWERS_KEPT = 4096  # pairs of patterns remembered


class Grants(msgspec.Struct, frozen=True):
    """What one client may do.

    Args:
        subject: whom the token is for; empty for a client without one.
        read: patterns of the topics that it may subscribe to.
        publish: patterns of the topics that it may publish.
        expires: when all of it ends, seconds since the epoch; None where it does not.
    """

    subject: str = ""
    read: frozenset[str] = frozenset()
    publish: frozenset[str] = frozenset()
    expires: float | None = None

    def may_read(self, pattern: str) -> bool:
        """Whether every topic that the pattern matches is matched by one and the same granted pattern.

        A pattern that only several grants together would cover is not granted: whoever issues tokens can grant it by
        its own name, and the answer stays easy to foresee.
        """
        return pattern in self.read or any(contained(pattern, granted) for granted in self.read)

    def may_publish(self, topic: str) -> bool:
        """Whether a topic is matched by a granted pattern. A topic with wildcards is taken for the set it would be."""
        return any(_contained(topic, granted) for granted in self.publish)

    def check_read(self, patterns: Iterable[str]) -> None:
        """See that all patterns of a subscription are granted.

        Raises:
            ClientError: `forbidden`; names one that is not. The connection goes on.
        """
        for pattern in patterns:
            if not self.may_read(pattern):
                raise forbidden(pattern)

    def expired(self, now: float) -> bool:
        """Whether it has ended."""
        return self.expires is not None and now >= self.expires

    def facts(self) -> dict[str, float]:
        """What `welcome` and `refreshed` tell of it."""
        return {} if self.expires is None else {"expires": self.expires}


class Authority(Protocol):
    """Says what a token is worth."""

    @property
    def anonymous(self) -> Grants:
        """What everybody may do, without any token."""

    def check(self, token: str, now: float) -> Grants:
        """What the bearer of a token may do; never less than `anonymous`.

        Args:
            now: seconds since the epoch.

        Raises:
            ClientError: `token`; close with its `close`: 4001 where the token is worth nothing, 4200 where it may be
                once the relay has newer keys (then `retry` is true). The sentence never quotes the token.
        """


class _Open:
    """Everybody reads everything, and tokens are ignored."""

    anonymous = Grants(read=frozenset({"#"}))

    def check(self, _token: str, _now: float) -> Grants:
        return self.anonymous


OPEN: Authority = _Open()


def refused(sentence: str) -> ClientError:
    """The error for a token that is worth nothing."""
    return ClientError("token", sentence, close=Close.TOKEN)


def forbidden(pattern: str) -> ClientError:
    """The error for a pattern that is not granted; the connection goes on."""
    sentence = f"you may not read the topic pattern {pattern!r}; it lies within none that you were granted"
    return ClientError("forbidden", sentence)


def insist(grants: Grants, now: float, metrics: Metrics) -> None:
    """See that a client's grants have not ended; to be called in each beat of its connection.

    Raises:
        ClientError: close with 4001; counted.
    """
    if grants.expired(now):
        metrics.add(TOKENS, "expired")
        raise refused("expired; reconnect with a new token, and refresh that in time")


def _contained(pattern: str, granted: str) -> bool:
    """Whether every topic that `pattern` matches is matched by `granted`; exact for topics of any length.

    Both are automata whose states are the places between words. One topic is read by both, chosen by an adversary who
    wants `pattern` to take it and `granted` not to. For a wildcard of `pattern` the adversary does best to say a word
    that stands in neither: whatever `granted` makes of that, it makes of every word. So a place in `pattern` leaves a
    choice only at a `#`, which can be left or given one word more, and what has to be searched is pairs of a place in
    `pattern` and the set (as bits) of places that `granted` may be in: a few thousand at most with the limits of
    `topics.check_pattern`.
    """
    asked, given = pattern.split("."), granted.split(".")
    todo = [(0, _past_hashes(given, 1), False)]
    seen = set(todo)
    while todo:
        place, places, said = todo.pop()
        if place == len(asked):
            if said and not places >> len(given):  # there is no topic of no words
                return False
            continue
        word = None if asked[place] in ("*", "#") else asked[place]
        after = _step(given, places, word)
        if asked[place] == "#":
            following = [(place + 1, places, said), (place, after, True)]
        else:
            following = [(place + 1, after, True)]
        todo += [state for state in following if state not in seen]
        seen.update(following)
    return True


def _step(given: list[str], places: int, word: str | None) -> int:
    """The places after one more word; None is a word that stands in no pattern."""
    reached = 0
    for place, wanted in enumerate(given):
        if not places >> place & 1:
            continue
        if wanted == "#":
            reached |= 1 << place
        elif wanted == "*" or wanted == word:
            reached |= 2 << place
    return _past_hashes(given, reached)


def _past_hashes(given: list[str], places: int) -> int:
    """The places, and those behind any `#` that they stand before, for it may match no word at all."""
    for place, wanted in enumerate(given):
        if wanted == "#" and places >> place & 1:
            places |= 2 << place
    return places


contained = functools.lru_cache(maxsize=_ANSWERS_KEPT)(_contained)
