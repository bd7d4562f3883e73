"""What a publisher has taken and the broker has not confirmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.outbox import Outbox
from tests.bus_contract import raw


class OutboxTests(SynchronousTestCase):
    """Three places, one order."""

    def test_recover(self) -> None:
        """After a loss everything goes out again in its first order, refused and unwritten too, with tags from 1."""
        outbox = Outbox()
        for number in range(5):
            outbox.add(raw(number), None)
        for _ in range(4):
            outgoing = outbox.next()
            assert outgoing is not None
            outbox.sent(outgoing, 0.0)
        outbox.settle(2, False, acked=False)
        outbox.settle(1, False, acked=True)
        self.assertEqual((outbox.unconfirmed, outbox.waiting, len(outbox)), (2, 2, 4))
        self.assertEqual(sorted(outgoing.number for outgoing in outbox.recover()), [2, 3, 4])
        numbers = []
        while (outgoing := outbox.next()) is not None:
            numbers.append(outgoing.number)
            outbox.sent(outgoing, 0.0)
        self.assertEqual(numbers, [2, 3, 4, 5])
        self.assertEqual([found.number for found in outbox.settle(1, False, acked=True)], [2])

    @given(st.lists(st.sampled_from(["add", "send", "ack", "nack", "retry", "recover"]), max_size=60))
    def test_nothing_is_forgotten(self, steps: list[str]) -> None:
        """Every message taken is settled or still there, whatever happens in between."""
        outbox, added, acked, tag = Outbox(), 0, [], 0
        for step in steps:
            if step == "add":
                outbox.add(raw(added), None)
                added += 1
            elif step == "send" and (outgoing := outbox.next()) is not None:
                outbox.sent(outgoing, 0.0)
            elif step in ("ack", "nack") and outbox.unconfirmed:
                tag += 1
                found = outbox.settle(tag, False, acked=step == "ack")
                acked += [outgoing.number for outgoing in found if step == "ack"]
            elif step == "retry":
                outbox.retry()
            elif step == "recover":
                outbox.recover()
                tag = 0
            self.assertEqual(len(outbox) + len(acked), added)
        outbox.recover()
        left = []
        while (outgoing := outbox.next()) is not None:
            left.append(outgoing.number)
        self.assertEqual(left, sorted(left))
        self.assertEqual(sorted(acked + left), list(range(1, added + 1)))
