"""AMQP's topic patterns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.patterns import matches

WORDS = st.lists(st.sampled_from(["a", "b", "", "python"]), min_size=1, max_size=6).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#", ""]), min_size=1, max_size=6).map(".".join)


def by_recursion(pattern: list[str], topic: list[str]) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not topic
    if pattern[0] == "#":
        return by_recursion(pattern[1:], topic) or (bool(topic) and by_recursion(pattern, topic[1:]))
    return bool(topic) and pattern[0] in ("*", topic[0]) and by_recursion(pattern[1:], topic[1:])


class PatternsTests(SynchronousTestCase):
    """Examples, and the definition."""

    def test_examples(self) -> None:
        """A star is one word, a hash is any number of them."""
        for pattern, topic, expected in (
            ("raw.#", "raw", True),
            ("raw.#", "raw.birds.post", True),
            ("raw.#", "rawer.birds", False),
            ("#", "", True),
            ("*", "", True),
            ("*.b", "a.b", True),
            ("*.b", "a.a.b", False),
            ("post.*.*.*.#.python.#", "post.x.en.jack.python", True),
            ("post.*.*.*.#.python.#", "post.x.en.jack.a.python.b", True),
            ("post.*.*.*.#.python.#", "post.x.en.python", False),
        ):
            self.assertIs(matches(pattern, topic), expected, (pattern, topic))

    @given(PATTERNS, WORDS)
    def test_definition(self, pattern: str, topic: str) -> None:
        """Any pattern and topic agree with the definition."""
        self.assertEqual(matches(pattern, topic), by_recursion(pattern.split("."), topic.split(".")))

    def test_hostile(self) -> None:
        """Many hashes over a long topic cost nothing out of the ordinary."""
        self.assertFalse(matches(".".join(["#", "a"] * 40), ".".join(["a"] * 39 + ["b"])))
