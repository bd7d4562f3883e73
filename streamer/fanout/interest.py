# -*- test-case-name: tests.unit.test_fanout_interest -*-
"""Who wants an event of a topic, when thousands of patterns are wanted at once.

The patterns are one tree of words, so that what many begin with is looked at once. Reading a topic word by word, the
places of the tree that can be reached are a set; sets that were met before are remembered with where each word leads
from there (a finite automaton, built as it is needed). All words that no pattern names lead to the same set: that is
why a topic nobody has seen before, with a new author and new tags, still costs two look-ups a word, however many
patterns and parties there are. A change of the patterns forgets the sets, and the topics asked for last; reading the
next topic is then as dear as building its sets, some ten times what it is otherwise.

Before it is planted a pattern is put in order: `*` and `#` side by side mean the same in any order, and one `#` is as
good as two. Behind a `#` there is then always a named word or nothing, and a topic is read in one pass without trying
again, whatever the patterns: for each word of it, at most once over the nodes of the tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, groupby
from typing import Generic, TypeVar

import attrs

TOPICS_KEPT = 4096  # topics whose answer is remembered
MEMORY_LIMIT = 4_000_000  # bytes, about, of the sets of places remembered; forgetting them takes a millisecond
_STATE_BYTES = 600  # of a set of places by itself
_NODE_BYTES = 50  # more for each place in it
_WAY_BYTES = 100  # for each named word that is known to lead on from it
_PARTY_BYTES = 8  # for each party of its answer

T = TypeVar("T", bound=Hashable)
Words = tuple[str, ...]


@attrs.define(eq=False)
class _Node(Generic[T]):
    """A place in the tree: what was read so far fits the beginning of some patterns.

    Args:
        stays: it stands behind a `#`: once reached, it is reached still after any word more.
        words: where the next words of patterns lead, wildcards too. That a topic holds a word `*` or `#` does no
            harm: it leads to where any word leads.
        parties: whose patterns end here, and how many of each party's.
    """

    stays: bool = False
    words: dict[str, _Node[T]] = attrs.field(factory=dict)
    parties: dict[T, int] = attrs.field(factory=dict)


@attrs.define(eq=False)
class _Tree(Generic[T]):
    """The patterns, and the words they name.

    Args:
        named: how many edges carry each word.
    """

    root: _Node[T] = attrs.field(factory=_Node)
    named: Counter[str] = attrs.field(factory=Counter)

    def plant(self, words: Words, party: T, times: int) -> None:
        """A party wants a pattern, so many times."""
        node = self.root
        for word in words:
            child = node.words.get(word)
            if child is None:
                child = node.words[word] = _Node(stays=word == "#")
                self.named[word] += 1
            node = child
        node.parties[party] = node.parties.get(party, 0) + times

    def times(self, words: Words, party: T) -> int:
        """How many times the party wants the pattern."""
        node: _Node[T] | None = self.root
        for word in words:
            node = node and node.words.get(word)
        return node.parties.get(party, 0) if node else 0

    def uproot(self, words: Words, party: T, times: int) -> None:
        """Undo `plant`; nothing is left standing that leads to nobody."""
        path = [self.root]
        for word in words:
            path.append(path[-1].words[word])
        node = path.pop()
        node.parties[party] -= times
        if not node.parties[party]:
            del node.parties[party]
        for word in reversed(words):
            if node.parties or node.words:
                break
            node = path.pop()
            del node.words[word]
            self.named[word] -= 1
            if not self.named[word]:
                del self.named[word]

    def __len__(self) -> int:
        """Nodes, counted one by one; 1 where nothing is planted."""
        waiting = [self.root]
        count = 0
        while waiting:
            waiting.extend(waiting.pop().words.values())
            count += 1
        return count


@attrs.define(eq=False)
class _State(Generic[T]):
    """Places that are reached together, and where words lead from them, as far as was asked.

    Args:
        ways: where the words lead that patterns name.
        other: where all other words lead.
        found: who wants a topic that ends here.
    """

    nodes: frozenset[_Node[T]]
    ways: dict[str, _State[T]] = attrs.field(factory=dict)
    other: _State[T] | None = None
    found: tuple[T, ...] | None = None


@attrs.define(eq=False)
class Interest(Generic[T]):
    """Which parties want an event of a topic: the same as `topics.matcher` says of each party's patterns.

    Args:
        topics_kept: topics whose answer is remembered; when there are more, all are forgotten.
        memory_limit: bytes, about, for remembered sets of places; when they need more, all are forgotten.
        steps: places looked at so far for lack of a remembered set: what `find` costs beside its look-ups.
        forgotten: times that a limit made us forget.
    """

    topics_kept: int = TOPICS_KEPT
    memory_limit: int = MEMORY_LIMIT
    steps: int = attrs.field(default=0, init=False)
    forgotten: int = attrs.field(default=0, init=False)
    _tree: _Tree[T] = attrs.field(factory=_Tree, init=False, repr=False)
    _order: dict[T, int] = attrs.field(factory=dict, init=False, repr=False)
    _wants: Counter[T] = attrs.field(factory=Counter, init=False, repr=False)  # patterns of each party
    _added: int = attrs.field(default=0, init=False, repr=False)
    _topics: dict[str, tuple[T, ...]] = attrs.field(factory=dict, init=False, repr=False)
    _states: dict[frozenset[_Node[T]], _State[T]] = attrs.field(factory=dict, init=False, repr=False)
    _start: _State[T] | None = attrs.field(default=None, init=False, repr=False)
    _bytes: int = attrs.field(default=0, init=False, repr=False)

    def __len__(self) -> int:
        """Parties that want anything."""
        return len(self._order)

    @property
    def nodes(self) -> int:
        """Places in the tree, 1 where nobody wants anything. Counted when asked, which takes time."""
        return len(self._tree)

    @property
    def words(self) -> int:
        """Distinct words, wildcards included, of all patterns."""
        return len(self._tree.named)

    def add(self, patterns: frozenset[str], party: T) -> None:
        """A party wants what any of these patterns matches, beside what it wanted before.

        Args:
            patterns: from `topics.check_patterns`.
            party: may be added again, even with the same patterns; each time is removed by itself.
        """
        if not patterns:
            return
        if party not in self._order:
            self._added += 1
            self._order[party] = self._added
        self._wants[party] += len(patterns)
        for words, times in _in_order(patterns).items():
            self._tree.plant(words, party, times)
        self._forget()

    def remove(self, patterns: frozenset[str], party: T) -> None:
        """Undo one `add`.

        Raises:
            KeyError: the party was not added with all of these patterns; nothing is changed. The caller is broken.
        """
        if not patterns:
            return
        planted = _in_order(patterns)
        for words, times in planted.items():
            if self._tree.times(words, party) < times:
                raise KeyError(f"{party!r} was not added with the topic pattern {'.'.join(words)!r}")
        for words, times in planted.items():
            self._tree.uproot(words, party, times)
        self._wants[party] -= len(patterns)
        if not self._wants[party]:
            del self._wants[party], self._order[party]
        self._forget()

    def find(self, topic: str) -> tuple[T, ...]:
        """The parties that want an event of this topic: each once, in the order in which they were added."""
        found = self._topics.get(topic)
        if found is not None:
            return found
        named = self._tree.named
        state = self._start or self._begin()
        for word in topic.split("."):
            following = state.ways.get(word) if word in named else state.other
            state = following or self._follow(state, word)
        found = state.found
        if found is None:
            found = self._answer(state)
        if len(self._topics) >= self.topics_kept:
            self._topics.clear()
            self.forgotten += 1
        self._topics[topic] = found
        return found

    def _begin(self) -> _State[T]:
        root = self._tree.root
        self._start = self._state(frozenset(node for node in (root, root.words.get("#")) if node is not None))
        return self._start

    def _follow(self, state: _State[T], word: str) -> _State[T]:
        self.steps += len(state.nodes)
        reached: list[_Node[T]] = []
        for node in state.nodes:
            if node.stays:
                reached.append(node)
            for child in (node.words.get(word), node.words.get("*")):
                if child is not None:
                    reached.append(child)
                    if "#" in child.words:  # no word more is enough for it
                        reached.append(child.words["#"])
        following = self._state(frozenset(reached))
        if word in self._tree.named:
            self._make_room(_WAY_BYTES)
            state.ways[word] = following
        else:
            state.other = following
        return following

    def _state(self, nodes: frozenset[_Node[T]]) -> _State[T]:
        state = self._states.get(nodes)
        if state is None:
            self._make_room(_STATE_BYTES + _NODE_BYTES * len(nodes))
            state = self._states[nodes] = _State(nodes)
        return state

    def _answer(self, state: _State[T]) -> tuple[T, ...]:
        parties = dict.fromkeys(chain.from_iterable(node.parties for node in state.nodes))
        self._make_room(_PARTY_BYTES * len(parties))
        found = state.found = tuple(sorted(parties, key=self._order.__getitem__))
        return found

    def _make_room(self, size: int) -> None:
        # Whoever is in the middle of a topic goes on with the set it has: that is right still, only not remembered.
        if self._bytes + size > self.memory_limit:
            self._forget()
            self.forgotten += 1
        self._bytes += size

    def _forget(self) -> None:
        for state in self._states.values():  # they refer to each other in circles
            state.ways.clear()
            state.other = None
        self._states.clear()
        self._topics.clear()
        self._start = None
        self._bytes = 0


def _in_order(patterns: Iterable[str]) -> Counter[Words]:
    """The words of each pattern, every run of wildcards that holds a `#` as its `*` and then one `#`."""
    return Counter(tuple(_ordered(pattern.split("."))) for pattern in patterns)


def _ordered(words: list[str]) -> Iterator[str]:
    for wild, run in groupby(words, lambda word: word in ("*", "#")):
        together = list(run)
        if wild and "#" in together:
            yield from (word for word in together if word == "*")
            yield "#"
        else:
            yield from together
