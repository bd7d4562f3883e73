"""Who is furthest behind."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.slowest import SHOWN, Standing, slowest


def standing(session: str, behind: int = 0, paused_for: float = 0.0) -> Standing:
    """Of a client that has been there for a while."""
    return Standing(session, "websocket", 100.26, behind, paused_for, "skip")


class SlowestTests(SynchronousTestCase):
    """The rows."""

    def test_order(self) -> None:
        """By events behind, then by how long it has been paused; who is neither is not there."""
        clients = [
            standing("s1"),
            standing("s2", 5),
            standing("s3", 7),
            standing("s4", 5, 2.0),
            standing("s5", 0, 9.0),
        ]
        self.assertEqual(["s3", "s4", "s2", "s5"], [row.session for row in slowest(clients)])
        self.assertEqual([], slowest([standing("s1")]))

    def test_row(self) -> None:
        """A row as JSON has it, with times that can be read, and nothing that says who the client is."""
        (row,) = slowest([standing("s2", 5, 1.04)])
        self.assertEqual(
            {
                "session": "s2", "face": "websocket", "connected_for": 100.3, "behind": 5, "paused_for": 1.0,
                "policy": "skip",
            },
            msgspec.json.decode(msgspec.json.encode(row)),
        )  # fmt: skip

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.5, 30.0])), max_size=40))
    def test_worst_of_many(self, clients: list[tuple[int, float]]) -> None:
        """Of many, as many as are shown, and nobody who is left out is worse."""
        rows = slowest(standing(f"s{n}", *client) for n, client in enumerate(clients))
        late = sorted((client for client in clients if any(client)), reverse=True)
        self.assertEqual(late[:SHOWN], [(row.behind, row.paused_for) for row in rows])
