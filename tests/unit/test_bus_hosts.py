"""The order in which a broker's hosts are tried."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import deadline
from streamer.bus.hosts import Hosts
from streamer.policy.delivery import RECONNECT_FIRST, Reconnect


def hosts(count: int, seed: int) -> Hosts:
    return Hosts([(f"host{number}", number) for number in range(count)], random.Random(seed).random)


class HostsTests(SynchronousTestCase):
    """Rounds, shuffled, with the one that failed last at the end."""

    @given(st.integers(1, 6), st.integers(0, 999), st.lists(st.booleans(), max_size=30))
    @settings(max_examples=50)
    def test_rounds(self, count: int, seed: int, lasting: list[bool]) -> None:
        """Between two connections that lasted, no host is tried twice before each was tried; `upcoming` is next."""
        order = hosts(count, seed)
        tried: list[str] = []
        for lasted in lasting:
            upcoming = order.upcoming
            name, endpoint = order.next()
            self.assertIn(upcoming, (name, "any host"))
            self.assertEqual(name, f"host{endpoint}")
            self.assertNotIn(name, tried)
            tried.append(name)
            whole = order.failed(name, lasted)
            self.assertEqual(whole, (len(tried) == count and not lasted) or count == 1)
            self.assertTrue(count == 1 or order.upcoming != name, "the one that failed is not the next")
            if lasted or len(tried) == count:
                tried.clear()

    @given(st.integers(2, 6), st.integers(0, 999))
    @settings(max_examples=50)
    def test_failed_comes_last(self, count: int, seed: int) -> None:
        """After a connection that lasted, its host is tried when all others were."""
        order = hosts(count, seed)
        lost, _ = order.next()
        order.failed(lost, lasted=True)
        tried = []
        for _ in range(count):
            tried.append(order.next()[0])
            order.failed(tried[-1], lasted=False)
        self.assertEqual((tried[-1], len(set(tried))), (lost, count))

    def test_shuffled(self) -> None:
        """Clients spread over the nodes: each begins with another one."""
        first = [hosts(3, seed).next()[0] for seed in range(300)]
        self.assertTrue(all(first.count(f"host{number}") > 60 for number in range(3)))

    def test_patience(self) -> None:
        """While there are others to try, a host that says nothing is waited for less long; the first time round."""
        order = hosts(3, 1)
        found = []
        for _ in range(5):
            name, _ = order.next()
            found.append(order.patience)
            order.failed(name, lasted=False)
        self.assertEqual(found, [deadline.CONNECT_ONE] * 3 + [deadline.CONNECT] * 2)
        order.failed(order.next()[0], lasted=True)
        order.next()
        self.assertEqual(order.patience, deadline.CONNECT_ONE)
        single = hosts(1, 1)
        single.next()
        self.assertEqual(single.patience, deadline.CONNECT)

    @given(st.integers(2, 6), st.integers(0, 999))
    @settings(max_examples=50)
    def test_living_node_is_near(self, count: int, seed: int) -> None:
        """With any one node of a cluster dead, a living one is tried within two pauses of 0.2 s at most."""
        order, reconnect = hosts(count, seed), Reconnect(random.Random(seed).random)
        dead, _ = order.next()
        waited = reconnect.delay(100.0, order.failed(dead, lasted=True))
        while (name := order.next()[0]) == dead:
            waited += reconnect.delay(0.0, order.failed(name, lasted=False))
        self.assertLess(waited, 2 * RECONNECT_FIRST)

    def test_dead_cluster_is_left_alone(self) -> None:
        """With all nodes dead, the pauses after each round grow to the ceiling: few attempts in ten minutes."""
        order, reconnect = hosts(3, 7), Reconnect(lambda: 0.5)
        now, attempts = 0.0, 0
        while now < 600.0:
            name, _ = order.next()
            attempts += 1
            now += reconnect.delay(0.0, order.failed(name, lasted=False))
        self.assertLess(attempts, 160)
