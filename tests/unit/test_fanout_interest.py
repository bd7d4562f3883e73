"""The tree of patterns against the matchers of single ones."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
import weakref
from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.patterns import matches
from streamer.fanout import topics
from streamer.fanout.interest import Interest
from streamer.fanout.topics import check_patterns, matcher

WORDS = st.sampled_from(["a", "b", "post", "-", "x%2E", "ä", "a+b"])
PATTERNS = (
    st.lists(WORDS | st.sampled_from(["*", "#"]), min_size=1, max_size=topics.WORDS_LIMIT)
    .filter(lambda words: words.count("#") <= topics.HASHES_LIMIT)
    .map(".".join)
)
SETS = st.lists(PATTERNS, min_size=1, max_size=4).map(check_patterns)
TOPICS = st.lists(WORDS | st.sampled_from(["unheard", "", "*", "#"]), min_size=1, max_size=9).map(".".join)
PARTIES = st.integers(0, 5)

POPULAR = ("post.#", "post.*.en.#", "post.*.*.*.#.python.#", "geo.#", "trend.*")


class Party:
    """Somebody who can be watched going."""


def planted(*patterns: str) -> Interest[str]:
    """Each pattern wanted by a party that is called so."""
    interest: Interest[str] = Interest()
    for pattern in patterns:
        interest.add(check_patterns([pattern]), pattern)
    return interest


class FindTests(SynchronousTestCase):
    """Who is found."""

    def test_examples(self) -> None:
        """A star is one word, a hash is any number of them, and everybody comes in the order of addition."""
        every = ("#", "post.#", "*.#.a", "#.a", "post.*", "post", "#.*.#", "*.*", "post.*.*.*.#.python.#")
        interest = planted(*every)
        for topic, expected in (
            ("post", ["#", "post.#", "post", "#.*.#"]),
            ("post.a", ["#", "post.#", "*.#.a", "#.a", "post.*", "#.*.#", "*.*"]),
            ("a", ["#", "#.a", "#.*.#"]),
            ("post.x.en.jack.python", ["#", "post.#", "#.*.#", "post.*.*.*.#.python.#"]),
            ("post.x.en.jack.b.python.a", ["#", "post.#", "*.#.a", "#.a", "#.*.#", "post.*.*.*.#.python.#"]),
            ("post.x.en.python", ["#", "post.#", "#.*.#"]),
            ("", ["#", "#.*.#"]),
        ):
            with self.subTest(topic=topic):
                self.assertEqual(list(interest.find(topic)), expected)

    @settings(max_examples=60)
    @given(st.lists(SETS, min_size=1, max_size=6), st.lists(TOPICS, min_size=1, max_size=4))
    @example([frozenset(["#.#"])], ["a.b"])
    @example([frozenset(["#.*.#"]), frozenset(["#.*"]), frozenset(["*.#"])], ["", "a", "a.a"])
    @example([frozenset(["#.a.#.b"])], ["a+b.a.b", "b.a", "a.b.a.b.b"])
    @example([frozenset(["a.#.b.#.b"])], ["a.b.b", "a.b", "a.b.a"])
    def test_reference(self, wanted: list[frozenset[str]], asked: list[str]) -> None:
        """Each set of patterns is found for exactly the topics that `matcher`, and AMQP as the bus has it, say."""
        interest: Interest[int] = Interest()
        for party, patterns in enumerate(wanted):
            interest.add(patterns, party)
        for topic in asked:
            by_matcher = [party for party, patterns in enumerate(wanted) if matcher(patterns)(topic)]
            by_bus = [party for party, patterns in enumerate(wanted) if any(matches(one, topic) for one in patterns)]
            self.assertEqual(list(interest.find(topic)), by_matcher)
            self.assertEqual(by_bus, by_matcher)

    @settings(max_examples=60)
    @given(
        st.lists(st.tuples(PARTIES, SETS) | st.integers(0, 20) | TOPICS, max_size=25),
        st.sampled_from([1, 2, 4096]),
        st.sampled_from([0, 1_500, 4_000_000]),
    )
    def test_coming_and_going(
        self, deeds: list[tuple[int, frozenset[str]] | int | str], topics_kept: int, memory_limit: int
    ) -> None:
        """Whatever is added, removed and asked in whatever order, and however little is remembered in between."""
        interest: Interest[int] = Interest(topics_kept=topics_kept, memory_limit=memory_limit)
        present: list[tuple[int, frozenset[str]]] = []
        order: dict[int, None] = {}
        for deed in deeds:
            if isinstance(deed, str):
                wanting = {party for party, patterns in present if matcher(patterns)(deed)}
                self.assertEqual(list(interest.find(deed)), [party for party in order if party in wanting])
            elif isinstance(deed, tuple):
                party, patterns = deed
                interest.add(patterns, party)
                present.append(deed)
                order[party] = None
            elif deed < len(present):
                party, patterns = present.pop(deed)
                interest.remove(patterns, party)
                if party not in (one for one, _ in present):
                    del order[party]
            self.assertEqual(len(interest), len(order))
        for party, patterns in present:
            interest.remove(patterns, party)
        self.assertEqual((len(interest), interest.nodes, interest.words), (0, 1, 0))

    def test_everybody_gets_the_same_tuple(self) -> None:
        """An answer is made once, for the topic and for all topics that fit the same patterns."""
        interest = planted(*POPULAR)
        first = interest.find("post.x.en.jack.cats")
        self.assertIs(interest.find("post.x.en.jack.cats"), first)
        self.assertIs(interest.find("post.birds.en.jill.dogs"), first)


class ChangeTests(SynchronousTestCase):
    """`add` and `remove`."""

    def test_found_at_once(self) -> None:
        """What was remembered of a topic does not outlive a change of the patterns that concerns it."""
        interest = planted("post.#")
        self.assertEqual(interest.find("post.a"), ("post.#",))
        for pattern in ("post.a", "*.a", "#.a", "post.*.#"):
            interest.add(frozenset([pattern]), pattern)
            self.assertEqual(interest.find("post.a"), ("post.#", pattern))
            interest.remove(frozenset([pattern]), pattern)
            self.assertEqual(interest.find("post.a"), ("post.#",))

    def test_nothing_is_left_standing(self) -> None:
        """Removal takes the words with it that led to nobody else, and no others."""
        interest = planted("a.*.b.#", "a.*.b.c")
        self.assertEqual((interest.nodes, interest.words), (6, 5))
        interest.remove(frozenset(["a.*.b.c"]), "a.*.b.c")
        self.assertEqual((interest.nodes, interest.words), (5, 4))
        interest.add(frozenset(["a"]), "a")
        interest.remove(frozenset(["a.*.b.#"]), "a.*.b.#")
        self.assertEqual((interest.nodes, interest.words, interest.find("a")), (2, 1, ("a",)))

    def test_added_twice(self) -> None:
        """A party is found once, and until it was removed as often; then it comes last when it comes again."""
        interest: Interest[str] = Interest()
        interest.add(frozenset(["a", "#"]), "one")
        interest.add(frozenset(["a"]), "two")
        interest.add(frozenset(["a"]), "one")
        self.assertEqual((interest.find("a"), len(interest)), (("one", "two"), 2))
        interest.remove(frozenset(["a", "#"]), "one")
        self.assertEqual((interest.find("a"), interest.find("b"), len(interest)), (("one", "two"), (), 2))
        interest.remove(frozenset(["a"]), "one")
        interest.add(frozenset(["#"]), "one")
        self.assertEqual((interest.find("a"), interest.find("b")), (("two", "one"), ("one",)))

    def test_patterns_that_mean_the_same(self) -> None:
        """`*.#` and `#.*` stand at one place, and are removed one by one all the same."""
        interest: Interest[str] = Interest()
        interest.add(frozenset(["*.#", "#.*"]), "one")
        self.assertEqual(interest.nodes, 3)
        interest.remove(frozenset(["#.*"]), "one")
        self.assertEqual((interest.find("a.b"), interest.find("a")), (("one",), ("one",)))
        self.assertRaises(KeyError, interest.remove, frozenset(["*.#", "#.*"]), "one")
        interest.remove(frozenset(["*.#"]), "one")
        self.assertEqual((interest.find("a"), interest.nodes, len(interest)), ((), 1, 0))

    def test_nothing_wanted(self) -> None:
        """Who wants no pattern is nobody."""
        interest: Interest[str] = Interest()
        interest.add(frozenset(), "one")
        interest.remove(frozenset(), "one")
        self.assertEqual((len(interest), interest.find("a"), interest.find("")), (0, (), ()))

    def test_never_added(self) -> None:
        """Removing what was not added is refused by name, and leaves what there is as it was."""
        interest = planted("a.b", "a.*")
        for patterns, party in ((["a.*"], "a.b"), (["a.b", "a.c"], "a.b"), (["a"], "a.b"), (["a.b"], "nobody")):
            error = self.assertRaises(KeyError, interest.remove, frozenset(patterns), party)
            self.assertIn(f"{party!r} was not added with the topic pattern", str(error))
        self.assertEqual((interest.find("a.b"), interest.nodes, len(interest)), (("a.b", "a.*"), 4, 2))


class CostTests(SynchronousTestCase):
    """Steps and bytes instead of seconds."""

    def test_new_topics_of_a_known_kind(self) -> None:
        """Authors and tags that no pattern names cost no step, however many of them come."""
        interest = planted(*POPULAR, *(f"post.*.*.*.#.tag{n}.#" for n in range(200)))
        interest.find("post.x.en.jack.a.b.c")
        before = interest.steps
        for n, tags in itertools.product(range(100), ("a", "a.b", ".".join("abcdefgh" * 8))):
            self.assertEqual(interest.find(f"post.x.en.author{n}.{tags}{n}"), ("post.#", "post.*.en.#"))
        self.assertEqual(interest.steps, before)

    def test_many_parties_of_a_pattern(self) -> None:
        """A topic's steps do not depend on how many want the same."""
        steps = Counter[int]()
        for parties in (1, 300):
            interest: Interest[int] = Interest()
            for party in range(parties):
                interest.add(frozenset(POPULAR), party)
            self.assertEqual(interest.find("post.x.en.jack.python"), tuple(range(parties)))
            steps[parties] = interest.steps
        self.assertGreater(steps[1], 0)
        self.assertEqual(steps[1], steps[300])

    @settings(max_examples=40)
    @given(PATTERNS, st.text("ab", min_size=1, max_size=128))
    @example("#.*.*.*.*.*.#.b", "a" * 128)
    @example("#.a.*.*.*.*.*.b", "a" * 128)
    @example("#.a.#.a.a.a.a.b", "a" * 128)
    @example("#.a.a.a.#.a.a.b", "aab" * 42)
    def test_one_hostile_pattern(self, pattern: str, letters: str) -> None:
        """However little is remembered, each word of the topic meets each word of the pattern once at most."""
        interest: Interest[str] = Interest(memory_limit=0)
        interest.add(check_patterns([pattern]), pattern)
        self.assertEqual(bool(interest.find(".".join(letters))), matches(pattern, ".".join(letters)))
        self.assertGreater(interest.steps, 0)
        self.assertLessEqual(interest.steps, len(letters) * (len(pattern.split(".")) + 1))

    def test_wildcards_in_a_row(self) -> None:
        """Stars beside a `#` are counted off once, at the topic's beginning, and not again from each of its words."""
        steps = []
        for pattern in ("*.*.*.*.*.*.#.b", "#.*.*.*.*.*.*.b", "*.*.*.#.*.*.*.b"):
            interest = planted(pattern)
            self.assertEqual(interest.find(".".join("a" * 127 + "b")), (pattern,))
            steps.append(interest.steps)
        self.assertEqual(steps, [10, 10, 10])

    def test_many_hostile_patterns(self) -> None:
        """Hundreds of patterns that wait for a `b` that never comes: a topic twice as long costs twice as much."""
        patterns = [f"#.a.{'.'.join(five)}.b" for five in itertools.product("ac*", repeat=5)]
        for two, three in itertools.product(itertools.product("ac", repeat=2), itertools.product("ac*", repeat=3)):
            patterns.append(f"#.{'.'.join(two)}.#.{'.'.join(three)}.b")
        topic = ".".join("aacaccca" * 16)  # 255 bytes, as long as topics are
        steps = []
        for words in (64, 128):
            interest: Interest[str] = Interest(memory_limit=0)
            for pattern in patterns:
                interest.add(check_patterns([pattern]), pattern)
            self.assertEqual(interest.find(topic[: words * 2 - 1]), ())
            self.assertGreater(interest.steps, words)
            self.assertLess(interest.steps, words * interest.nodes)
            steps.append(interest.steps)
        self.assertLess(steps[1], 2.2 * steps[0])

    def test_topics_kept(self) -> None:
        """Answers are remembered for so many topics, then forgotten all at once; and that is counted."""
        interest: Interest[str] = Interest(topics_kept=10)
        interest.add(frozenset(["post.#"]), "one")
        for n in range(35):
            self.assertEqual(interest.find(f"post.{n}"), ("one",))
        self.assertEqual(interest.forgotten, 3)

    def test_a_party_that_left(self) -> None:
        """Nothing that was remembered keeps it alive, not even until the garbage is collected."""
        for topic in ("post.x.y", "post.post.post"):
            interest: Interest[Party] = Interest()
            party = Party()
            interest.add(frozenset(["post.#"]), party)
            self.assertEqual(len(interest.find(topic)), 1)
            gone = weakref.ref(party)
            collecting = gc.isenabled()
            gc.disable()
            try:
                interest.remove(frozenset(["post.#"]), party)
                del party
                self.assertIsNone(gone())
            finally:
                if collecting:
                    gc.enable()

    def test_memory(self) -> None:
        """However many different topics come, what is remembered of them stays within the limits."""
        tags = [f"tag{n}" for n in range(300)]
        interest: Interest[str] = Interest(topics_kept=100, memory_limit=100_000)
        for tag in tags:
            interest.add(frozenset([f"post.*.#.{tag}.#"]), tag)
        tracemalloc.start()
        try:
            for first, second in zip(tags, tags[7:], strict=False):
                self.assertEqual(interest.find(f"post.x.{second}.{first}"), (first, second))
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(held, 200_000)
        self.assertGreater(interest.forgotten, 3)
