# -*- test-case-name: tests.unit.test_fanout_conflation -*-
"""What is left of a backlog when only the newest event of each topic matters.

Who follows figures (trends, statistics, the state of something) and falls behind wants the newest figure, not all that
led to it. The key is the topic. What somebody asked for as history is no backlog, and neither are events that another
subscription of the connection wants in full, nor deletions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from streamer.fanout.cohort import tree
from streamer.fanout.journal import Journal
from streamer.fanout.subscription import Subscription

BEHIND = 100  # events that wait for a client before it counts as behind
AT_ONCE = 2_000  # events looked at in one turn


def newest(journal: Journal, backlog: Sequence[int], subscriptions: Collection[Subscription]) -> list[int]:
    """The places of a backlog that are to be sent, in order.

    Args:
        backlog: places of events that the subscriptions match, in order.
    """
    whole = tree(frozenset().union(*(one.patterns for one in subscriptions if not one.conflate)))
    asked = max((one.asked for one in subscriptions), default=0)
    seen: set[str] = set()
    kept: list[int] = []
    for place in reversed(backlog):
        logged = journal[place]
        topic = logged.topic
        if place >= asked and not logged.deletion and topic in seen and not whole.find(topic):
            continue
        seen.add(topic)
        kept.append(place)
    kept.reverse()
    return kept
