"""Topic patterns against a naive reference matcher."""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout import topics
from streamer.fanout.topics import check_pattern, check_patterns, matcher

WORDS = st.sampled_from(["a", "b", "post", "-", "x%2E", "ä", "a+b"])
PATTERNS = (
    st.lists(WORDS | st.sampled_from(["*", "#"]), min_size=1, max_size=8)
    .filter(lambda words: words.count("#") <= topics.HASHES_LIMIT)
    .map(".".join)
)
TOPICS = st.lists(WORDS, min_size=1, max_size=8).map(".".join)


def naive(pattern: list[str], topic: list[str]) -> bool:
    """AMQP's definition, by recursion."""
    if not pattern:
        return not topic
    if pattern[0] == "#":
        return naive(pattern[1:], topic) or bool(topic and naive(pattern, topic[1:]))
    return bool(topic) and pattern[0] in ("*", topic[0]) and naive(pattern[1:], topic[1:])


class MatcherTests(SynchronousTestCase):
    """`matcher`."""

    @given(st.lists(PATTERNS, min_size=1, max_size=4), TOPICS)
    @example(["#.#"], "a.b")
    @example(["#.*.#"], "a")
    @example(["a.#"], "a")
    @example(["#.a.#"], "b.a.b")
    @example(["post.*.*.*.#.a.#"], "post.x.b.-.a")
    @example(["#.a.#.b"], "a+b.a.b")
    @example(["a.#.b.#.b"], "a.b.b")
    def test_reference(self, patterns: list[str], topic: str) -> None:
        """A set of patterns matches exactly what AMQP says that any of them matches."""
        expected = any(naive(pattern.split("."), topic.split(".")) for pattern in patterns)
        self.assertEqual(bool(matcher(check_patterns(patterns))(topic)), expected)

    def test_hostile(self) -> None:
        """The worst pattern allowed against the longest topic takes a bounded number of steps, not exponential."""
        pattern = "#.*.*.*.*.*.#.b"
        self.assertFalse(matcher(frozenset([check_pattern(pattern)]))(".".join("a" * 128)))


class CheckTests(SynchronousTestCase):
    """`check_pattern` and `check_patterns`."""

    def refused(self, pattern: str) -> str:
        error = self.assertRaises(ClientError, check_pattern, pattern)
        self.assertEqual((error.code, error.close), ("bad-topic", None))
        return error.message

    def test_sentences(self) -> None:
        """Each way to be wrong has its own sentence."""
        for pattern, part in (
            ("", "is empty"),
            ("a" * 256, "256 bytes"),
            ("a b", "white space"),
            ("a\x00", "control"),
            ("a..b", "empty word"),
            ("post.b*", "whole words"),
            ("##", "whole words"),
            ("#.a.#.b.#", "3 `#`"),
            ("a.b.c.d.e.f.g.h.#", "9 words"),
        ):
            with self.subTest(pattern=pattern):
                self.assertIn(part, self.refused(pattern))

    def test_limits_include_their_bound(self) -> None:
        """The longest pattern allowed is allowed."""
        self.assertEqual(check_pattern("ä" * 127), "ä" * 127)
        self.assertEqual(check_pattern("a.b.c.d.e.f.#.#"), "a.b.c.d.e.f.#.#")

    def test_sets(self) -> None:
        """None and too many patterns are refused, repeats count once."""
        self.assertEqual(self.assertRaises(ClientError, check_patterns, []).code, "bad-request")
        many = [f"a{number}" for number in range(topics.PATTERNS_LIMIT + 1)]
        self.assertEqual(self.assertRaises(ClientError, check_patterns, many).code, "limit")
        self.assertEqual(check_patterns(["a", "a"]), {"a"})

    def test_searching_patterns(self) -> None:
        """Only a few may have a `#` that is not last; those that end in one are not counted."""
        few = [f"#.a{number}" for number in range(topics.SEARCHING_LIMIT)]
        check_patterns([*few, "b.#", "c.#", "#"])
        self.assertEqual(self.assertRaises(ClientError, check_patterns, [*few, "b.#.c"]).code, "limit")
