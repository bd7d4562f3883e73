"""What a publisher has taken and the broker has not confirmed."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.outbox import Outbox
from tests.bus_contract import raw


def filled(count: int) -> Outbox:
    """Messages 1 to `count`, of 10 bytes each."""
    outbox = Outbox()
    for number in range(1, count + 1):
        outbox.add(raw(number, b"{....}"), b"head")
    return outbox


def send(outbox: Outbox, most: int = sys.maxsize) -> list[int]:
    """Send what waits; returns the numbers."""
    batch = outbox.take(most, sys.maxsize)
    outbox.sent(batch, 0.0)
    return [outgoing.number for outgoing in batch]


class OutboxTests(SynchronousTestCase):
    """Three places, one order."""

    def test_take(self) -> None:
        """A batch ends with the message that makes it large enough, or with as many as are wanted."""
        cases = [(9, 1, [1]), (9, 10, [1]), (9, 11, [1, 2]), (2, 99, [1, 2]), (0, 99, []), (9, 0, [])]
        for most, size, numbers in cases:
            outbox = filled(3)
            self.assertEqual([outgoing.number for outgoing in outbox.take(most, size)], numbers)
            self.assertEqual(outbox.waiting, 3 - len(numbers))

    def test_recover(self) -> None:
        """After a loss everything goes out again in its first order, refused and unwritten too, with tags from 1."""
        outbox = filled(5)
        send(outbox, 4)
        outbox.settle(2, False, acked=False)
        outbox.settle(1, False, acked=True)
        self.assertEqual((outbox.unconfirmed, outbox.waiting, len(outbox)), (2, 2, 4))
        self.assertEqual(sorted(outgoing.number for outgoing in outbox.recover()), [2, 3, 4])
        self.assertEqual(send(outbox), [2, 3, 4, 5])
        self.assertEqual([found.number for found in outbox.settle(1, False, acked=True)], [2])

    def test_retry(self) -> None:
        """What was refused finds its place before what has never been written, and among what goes out again too."""
        outbox = filled(9)
        send(outbox, 6)
        for tags in ((5, 2), (4,), (3, 6)):
            for tag in tags:
                outbox.settle(tag, False, acked=False)
            outbox.retry()
        self.assertEqual(send(outbox), [2, 3, 4, 5, 6, 7, 8, 9])

    @given(
        st.lists(
            st.tuples(st.sampled_from(["add", "send", "ack", "nack", "retry", "recover"]), st.integers(1, 5)),
            max_size=60,
        )
    )
    def test_nothing_is_forgotten(self, steps: list[tuple[str, int]]) -> None:
        """Every message taken is settled or still there, and what waits is in order, whatever happens in between."""
        outbox, added, acked, tag = Outbox(), 0, [], 0
        for step, count in steps:
            if step == "add":
                for _ in range(count):
                    added += 1
                    outbox.add(raw(added), b"")
            elif step == "send":
                numbers = send(outbox, count)
                self.assertEqual(numbers, sorted(numbers))
            elif step in ("ack", "nack") and outbox.unconfirmed:
                upto = min(count, outbox.unconfirmed)
                tag += upto
                found = outbox.settle(tag, True, acked=step == "ack")
                self.assertEqual(len(found), upto)
                acked += [outgoing.number for outgoing in found if step == "ack"]
            elif step == "retry":
                outbox.retry()
            elif step == "recover":
                outbox.recover()
                tag = 0
            self.assertEqual(len(outbox) + len(acked), added)
        outbox.recover()
        left = send(outbox)
        self.assertEqual(left, sorted(left))
        self.assertEqual(sorted(acked + left), list(range(1, added + 1)))
