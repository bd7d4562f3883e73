"""Which patterns lie within which, against brute force; what grants allow."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.patterns import matches
from streamer.errors import ClientError
from streamer.fanout.grants import OPEN, Grants, contained, insist, refused
from streamer.fanout.protocol import Close
from streamer.fanout.topics import HASHES_LIMIT
from streamer.metrics import TOKENS, Metrics

# `x` stands in no pattern: it is every word that nobody thought of.
TOPICS = [".".join(words) for size in range(1, 7) for words in itertools.product("abx", repeat=size)]
PATTERNS = (
    st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=5)
    .filter(lambda words: words.count("#") <= HASHES_LIMIT)
    .map(".".join)
)


def holds(pattern: str, granted: str) -> bool:
    """Containment by trying every topic up to six words."""
    return all(matches(granted, topic) for topic in TOPICS if matches(pattern, topic))


class ContainedTests(SynchronousTestCase):
    """`contained`."""

    @settings(max_examples=120, deadline=None)
    @given(PATTERNS, PATTERNS)
    @example("#.*", "*.#")
    @example("*.#", "#.*")
    @example("#", "#.#")
    @example("#", "*.#")
    @example("#.*.#", "*.#")
    @example("a.#.b", "a.#.*")
    @example("*.*.#", "#.*.#.*")
    @example("#.a.#", "#.a")
    def test_brute_force(self, pattern: str, granted: str) -> None:
        """A pattern is contained in another exactly where no topic is matched by it and not by the other."""
        self.assertEqual(contained(pattern, granted), holds(pattern, granted))

    def test_table(self) -> None:
        """What people write: each row is a pattern asked for, a grant, and whether it is enough."""
        for pattern, granted, expected in (
            ("post.#", "post.#", True),
            ("post.en.#", "post.#", True),
            ("post", "post.#", True),
            ("post.*", "post.#", True),
            ("post.#", "post.*", False),
            ("post.#", "post.*.#", False),  # the topic `post` itself
            ("#", "post.#", False),
            ("*", "post", False),
            ("#", "*.#", True),  # there is no topic without words
            ("post.*.*.*.#.python.#", "post.#.python.#", True),
            ("post.#.python.#", "post.*.*.*.#.python.#", False),
            ("post.#.python.#.rust.#", "post.#.rust.#", True),
            ("chat.room1", "chat.*", True),
            ("chat.room1.private", "chat.*", False),
            ("posts.#", "post.#", False),
        ):
            with self.subTest(pattern=pattern, granted=granted):
                self.assertEqual(contained(pattern, granted), expected)

    def test_longest(self) -> None:
        """The worst pair that the limits on patterns let through is decided in few steps, not exponentially many."""
        self.assertTrue(contained(".".join("*" * 128), "#.*.*.*.*.*.#.*"))
        self.assertFalse(contained("#.*.*.*.*.*.#.*", "#.a.*.*.*.*.#.*"))
        self.assertFalse(contained(".".join("a" * 127) + ".b", "#.a.a.a.a.a.#.a"))


class GrantsTests(SynchronousTestCase):
    """`Grants`."""

    def test_read(self) -> None:
        """A pattern is granted by one granted pattern that contains it, and by no sum of several."""
        grants = Grants(read=frozenset({"post.en.#", "chat.*", "chat.*.*"}))
        for pattern, expected in (("post.en.birds", True), ("chat.a", True), ("chat.a.b", True), ("chat.#", False)):
            with self.subTest(pattern=pattern):
                self.assertEqual(grants.may_read(pattern), expected)

    @settings(max_examples=50, deadline=None)
    @given(PATTERNS, st.lists(PATTERNS, max_size=3).map(frozenset))
    def test_never_too_much(self, pattern: str, read: frozenset[str]) -> None:
        """Where a topic exists that the pattern matches and no grant does, the pattern is not granted."""
        leak = any(matches(pattern, topic) and not any(matches(one, topic) for one in read) for topic in TOPICS)
        if leak:
            self.assertFalse(Grants(read=read).may_read(pattern))

    @settings(max_examples=50, deadline=None)
    @given(st.sampled_from(TOPICS), st.lists(PATTERNS, max_size=3).map(frozenset))
    def test_publish(self, topic: str, publish: frozenset[str]) -> None:
        """A topic may be published where a granted pattern matches it."""
        self.assertEqual(Grants(publish=publish).may_publish(topic), any(matches(one, topic) for one in publish))

    def test_publish_wildcard(self) -> None:
        """A topic whose word is a wildcard is not let through by a grant of one word."""
        grants = Grants(publish=frozenset({"chat.*", "#.end"}))
        self.assertEqual([grants.may_publish(topic) for topic in ("chat.#", "#", "chat.a")], [False, False, True])

    def test_nothing(self) -> None:
        """Whoever was granted nothing may do nothing."""
        self.assertEqual((Grants().may_read("a"), Grants().may_publish("a")), (False, False))

    def test_expired(self) -> None:
        """Grants end at the moment named, and those without one never."""
        self.assertEqual([Grants(expires=10.0).expired(now) for now in (9.9, 10.0)], [False, True])
        self.assertFalse(Grants().expired(1e12))

    def test_open(self) -> None:
        """Without an authority everybody reads everything, nobody publishes, and a token changes nothing."""
        self.assertTrue(OPEN.anonymous.may_read("#"))
        self.assertFalse(OPEN.anonymous.may_publish("a"))
        self.assertEqual(OPEN.check("whatever", 0.0), OPEN.anonymous)

    def test_errors(self) -> None:
        """A bad token ends the connection for good; a pattern that is not granted is named, and does not end it."""
        self.assertEqual((refused("why").code, refused("why").close), ("token", Close.TOKEN))
        grants = Grants(read=frozenset({"chat.*"}))
        grants.check_read(["chat.a", "chat.*"])
        error = self.assertRaises(ClientError, grants.check_read, ["chat.a", "post.#"])
        self.assertEqual((error.code, error.close), ("forbidden", None))
        self.assertIn("'post.#'", error.message)

    def test_insist(self) -> None:
        """Whoever's grants have ended is sent away, and counted."""
        metrics = Metrics()
        insist(Grants(expires=10.0), 9.0, metrics)
        error = self.assertRaises(ClientError, insist, Grants(expires=10.0), 10.0, metrics)
        self.assertEqual((error.code, error.close), ("token", Close.TOKEN))
        self.assertEqual(f"{error.code}: {error.message}"[:14], "token: expired")
        self.assertEqual(metrics.value(TOKENS, "expired"), 1)
