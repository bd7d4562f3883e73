# -*- test-case-name: tests.unit.test_fanout_topics -*-
"""AMQP topic patterns: `*` is exactly one word, `#` is any number of words, also none.

The same strings are RabbitMQ binding keys, so there is nothing to translate. A pattern is compiled to a regular
expression, and the number of `#` is limited. What stands between two `#` is taken where it comes first and not sought
again (what follows a `#` finds it no harder from there), so that a hostile pattern takes time in proportion to the
topic's length. A `#` that is not last must be searched for all the same, and a subscription may have few of those.
https://www.rabbitmq.com/tutorials/amqp-concepts#exchange-topic
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable

from streamer.errors import ClientError

PATTERN_LIMIT = 255  # bytes; an AMQP 0-9-1 short string
WORDS_LIMIT = 8  # words of a pattern that has a `#`
PLAIN_WORDS_LIMIT = 16  # words of one that has none
HASHES_LIMIT = 2  # `#` in one pattern: `post.*.*.*.#.python.#` has two
PATTERNS_LIMIT = 20  # patterns of one subscription
SEARCHING_LIMIT = 4  # of them, patterns with a `#` before their end: they cost ten times what others do
_MATCHERS_KEPT = 256  # compiled sets of patterns remembered

Matcher = Callable[[str], object]  # truthy where the topic matches

_BAD = re.compile(r"[\s\x00-\x1f\x7f]")


def check_pattern(pattern: str) -> str:
    """Return the pattern.

    Raises:
        ClientError: `bad-topic`; it is empty, too long, has an empty word, mixes a wildcard into a word, or has more
            wildcards than we match for a stranger.
    """
    if not pattern:
        raise _bad(pattern, "is empty; `#` alone matches everything")
    size = len(pattern.encode("utf-8", "surrogatepass"))
    if size > PATTERN_LIMIT:
        raise _bad(pattern[:40] + "…", f"has {size} bytes; {PATTERN_LIMIT} are allowed")
    if _BAD.search(pattern):
        raise _bad(pattern, "holds white space or control characters; topics have them percent-encoded")
    words = pattern.split(".")
    for word in words:
        if not word:
            raise _bad(pattern, "has an empty word; an absent word of a topic is `-`")
        if len(word) > 1 and ("*" in word or "#" in word):
            raise _bad(pattern, f"mixes a wildcard into the word `{word}`; `*` and `#` stand for whole words")
    hashes = words.count("#")
    if hashes > HASHES_LIMIT:
        raise _bad(pattern, f"has {hashes} `#`; {HASHES_LIMIT} are allowed")
    if hashes and len(words) > WORDS_LIMIT:
        raise _bad(pattern, f"has {len(words)} words and a `#`; {WORDS_LIMIT} words are allowed beside a `#`")
    if len(words) > PLAIN_WORDS_LIMIT:
        raise _bad(pattern, f"has {len(words)} words; {PLAIN_WORDS_LIMIT} are allowed")
    return pattern


def check_patterns(patterns: Iterable[str]) -> frozenset[str]:
    """The set of patterns of one subscription.

    Raises:
        ClientError: `bad-topic` for one that is none, `limit` for more than `PATTERNS_LIMIT`, `bad-request` for none.
    """
    checked = frozenset(check_pattern(pattern) for pattern in patterns)
    if not checked:
        raise ClientError("bad-request", "a subscription needs at least one topic pattern; `#` matches everything")
    if len(checked) > PATTERNS_LIMIT:
        raise ClientError("limit", f"{len(checked)} topic patterns are too many; {PATTERNS_LIMIT} are allowed")
    searching = sum("#" in pattern[:-1] for pattern in checked)
    if searching > SEARCHING_LIMIT:
        sentence = f"{searching} topic patterns have a `#` before their end; {SEARCHING_LIMIT} of one subscription may"
        raise ClientError("limit", sentence)
    return checked


def words_of(patterns: Iterable[str]) -> int:
    """How many words some patterns have, all together: what they cost in memory goes by it."""
    return sum(pattern.count(".") + 1 for pattern in patterns)


def matcher(patterns: frozenset[str]) -> Matcher:
    """A function that is truthy for the topics which any of the patterns matches."""
    return _compile(patterns)


@functools.lru_cache(maxsize=_MATCHERS_KEPT)
def _compile(patterns: frozenset[str]) -> Matcher:
    expressions = [_expression(pattern) for pattern in sorted(patterns)]
    if None in expressions:
        return _everything
    return re.compile("|".join(f"(?:{expression})" for expression in expressions)).fullmatch


def _everything(_topic: str) -> bool:
    return True


def _expression(pattern: str) -> str | None:
    """A regular expression for the whole topic, None where everything matches.

    Every word but the first brings the dot before it, so that a `#` can bring none.
    """
    words = [word for word, before in itertools.pairwise([*pattern.split("."), ""]) if not word == before == "#"]
    if words == ["#"]:
        return None
    leading = words[0] == "#"
    parts: list[str] = []
    hashes = words.count("#")
    for index, word in enumerate(words):
        if word == "#":
            # Leading: words with their dots behind them. Elsewhere: words with their dots before them.
            some = r"(?:[^.]*\.)*" if leading and index == 0 else r"(?:\.[^.]*)*"
            first = hashes > 1 and "#" not in words[:index]
            parts.append(f"(?>{some}?" if first else f"(?![^.])){some}" if hashes > 1 else some)
            continue
        dot = "" if index == 0 or (leading and index == 1) else r"\."
        parts.append(dot + (r"[^.]*" if word == "*" else re.escape(word)))
    return "".join(parts)


def _bad(pattern: str, why: str) -> ClientError:
    return ClientError("bad-topic", f"the topic pattern {pattern!r} {why}")
