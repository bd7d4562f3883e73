"""Looking into a queue of a broker that does as the test says: page after page, and all of it handed back."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from pika import spec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import dead_hand, dead_queue
from streamer.bus.dead import Letter
from streamer.bus.dead_link import OPEN_LIMIT, QueueUnreachable
from streamer.bus.dead_publishing import NotTaken, Republishing
from streamer.bus.dead_queue import QUIET, QUIETS, DeadQueue
from streamer.bus.driver import ConnectionLost
from tests.bus_contract import raw
from tests.unit.dead_shelf import Shelf, buried, opened, shelf, turning


class DeadQueueTests(SynchronousTestCase):
    """`DeadQueue` and `reach`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())

    def open(self, broker: Shelf, **more: Any) -> DeadQueue:
        queue: DeadQueue = self.successResultOf(turning(self.clock, opened(broker, **more)))
        return queue

    def close(self, queue: DeadQueue) -> None:
        self.successResultOf(turning(self.clock, queue.close()))

    def take(self, queue: DeadQueue, seconds: float = 0.0) -> list[Letter]:
        got: list[Letter] = []
        self.successResultOf(turning(self.clock, queue.take(got.append), seconds))
        return got

    def test_all(self) -> None:
        """All are received in the order of the queue, and handed back in it; nothing is acked."""
        broker = shelf(self.clock, *range(40))
        queue = self.open(broker)
        self.assertEqual(40, queue.link.depth)
        ids = [f"birds/{number}" for number in range(40)]
        self.assertEqual(ids, [letter.id for letter in self.take(queue)])
        self.assertEqual([16, 24], broker.pages)
        self.close(queue)
        self.assertEqual((ids, [], {}), (broker.returned, broker.acked, broker.unacked))
        self.assertTrue(broker.link.gone)

    @settings(max_examples=25)
    @given(st.integers(0, 12), st.integers(1, 5), st.sets(st.integers(0, 11)))
    def test_any_acked(self, count: int, page: int, acked: set[int]) -> None:
        """Whatever is acked, and however large the pages are, each letter is acked or handed back once, in order."""
        self.clock = Clock()
        broker = shelf(self.clock, *range(count))
        queue = self.open(broker)
        with patch.object(dead_queue, "PAGE", page), patch.object(dead_queue, "FIRST_PAGE", page):
            letters = self.take(queue)
        gone = [letter for number, letter in enumerate(letters) if number in acked]
        self.assertEqual([True] * len(gone), [queue.ack(letter.tag) for letter in gone])
        self.assertEqual([False] * len(gone), [queue.ack(letter.tag) for letter in gone])
        self.close(queue)
        self.assertEqual([letter.id for letter in gone], broker.acked)
        self.assertEqual([letter.id for letter in letters if letter not in gone], broker.returned)
        self.assertEqual({}, broker.unacked)

    def test_handed_back(self) -> None:
        """Few are handed back at a time, and the next only once they are seen in the queue, or are not for a while."""
        for stolen, waits in ((0, False), (1, True)):
            with (
                self.subTest(stolen=stolen),
                patch.object(dead_hand, "NACKED", 3),
                patch.object(dead_hand, "NACKS", 2),
            ):
                broker = shelf(self.clock, *range(9))
                broker.stolen = stolen
                queue = self.open(broker)
                self.take(queue)
                closing = turning(self.clock, queue.close())
                self.assertEqual(waits, not closing.called)
                self.assertEqual(6 if waits else 9, len(broker.returned))
                self.clock.pump([dead_hand.LOOK_AFTER] * dead_hand.LOOKS * 2)
                self.successResultOf(closing)
                nacks = [method for method in broker.methods if isinstance(method, spec.Basic.Nack)]
                self.assertEqual([3, 6, 9], [nack.delivery_tag for nack in nacks])
                self.assertEqual([f"birds/{number}" for number in range(9)], broker.returned)

    def test_large(self) -> None:
        """The larger the letters are, the fewer a page has; beyond a number of bytes no more are looked at."""
        broker = shelf(self.clock, *[buried(raw(number, b"x" * 1_000)) for number in range(30)])
        queue = self.open(broker)
        with (
            patch.object(dead_queue, "FIRST_PAGE", 2),
            patch.object(dead_queue, "PAGE_BYTES", 5_000),
            patch.object(dead_queue, "LOOK_LIMIT", 11_000),
        ):
            self.assertEqual(12, len(self.take(queue)))
        self.assertEqual([2, 5, 5], broker.pages)
        self.close(queue)
        self.assertEqual(12, len(broker.returned))

    def test_empty(self) -> None:
        """Of an empty queue nothing is taken, not even what comes just then; but it is tried, which may be refused."""
        for later in ([], [buried(raw(1))]):
            broker = shelf(self.clock)
            queue = self.open(broker)
            broker.ready += later
            self.assertEqual([], self.take(queue))
            self.assertEqual(([1], 0), (broker.pages, queue.taken))
            self.close(queue)
            self.assertEqual((["birds/1"] if later else [], []), (broker.returned, broker.acked))

    def test_may_not_read(self) -> None:
        """Who may not read the queue is told how to get the right, or whom to be; also where nothing waits."""
        for letters in ((), (1,)):
            for user, words in (
                ("birdy", "asks for the right to read it, to consume; `rabbitmqctl set_permissions -p birds birdy "),
                ("streamer-relay", "that user is of `twistd relay`; log in as streamer-operator"),
            ):
                with self.subTest(user=user, letters=letters):
                    broker = shelf(self.clock, *letters)
                    broker.answers = {
                        spec.Basic.Consume: lambda *_, user=user: spec.Channel.Close(
                            403,
                            "ACCESS_REFUSED - access to queue 'streamer.dead' in vhost 'birds' refused for user "
                            f"'{user}'",
                            60,
                            20,
                        )
                    }
                    queue = self.open(broker)
                    failure = self.failureResultOf(
                        turning(self.clock, queue.take(lambda letter: None)), ConnectionLost
                    )
                    self.assertIn(words, failure.getErrorMessage())
                    self.assertEqual(user == "birdy", "set_permissions" in failure.getErrorMessage())
                    self.close(queue)

    def test_may_not_log_in(self) -> None:
        """A login or virtual host that the broker refuses is explained as by the services."""
        for code, text, words in (
            (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the log.",
             "see the log: user name or password in the broker's URL are wrong"),
            (530, "NOT_ALLOWED - vhost birds not found", "not found: there is no such virtual host"),
        ):  # fmt: skip
            with self.subTest(code):
                broker = shelf(self.clock)
                broker.answers = {
                    spec.Connection.Open: lambda *_, said=(code, text): spec.Connection.Close(*said, 0, 0)
                }
                failure = self.failureResultOf(turning(self.clock, opened(broker)), QueueUnreachable)
                self.assertIn(words, failure.getErrorMessage())
                self.assertNotIn("secret", failure.getErrorMessage())
                self.assertTrue(broker.link.gone)

    def test_new_ones(self) -> None:
        """What dies after the look began is not taken."""
        broker = shelf(self.clock, 1, 2)
        queue = self.open(broker)
        broker.ready.append(buried(raw(3)))
        self.assertEqual(["birds/1", "birds/2"], [letter.id for letter in self.take(queue)])
        self.close(queue)
        self.assertEqual(1, len(broker.ready))

    def test_fewer(self) -> None:
        """Where somebody else took some meanwhile, those that are left are enough, after a moment."""
        broker = shelf(self.clock, 1, 2, 3)
        queue = self.open(broker)
        broker.ready.pop()
        self.assertEqual(2, len(self.take(queue, 2 * QUIET + 0.5)))
        self.close(queue)

    def test_not_sent(self) -> None:
        """Letters that the broker has and does not send are waited for, but not for ever."""
        broker = shelf(self.clock, 1, 2, 3)
        broker.stingy = 1
        queue = self.open(broker)
        taking = turning(self.clock, queue.take(lambda letter: None), QUIET + 0.5)
        self.assertNoResult(taking)
        self.clock.pump([QUIET] * QUIETS)
        self.successResultOf(taking)
        self.assertEqual(2, queue.taken)
        self.close(queue)

    def test_receiver_fails(self) -> None:
        """What the receiver raises ends the taking; all is handed back, also what came behind."""
        broker = shelf(self.clock, 1, 2, 3)
        queue = self.open(broker)

        def receive(letter: Letter) -> None:
            if letter.id == "birds/2":
                raise OSError("disk full")

        self.failureResultOf(turning(self.clock, queue.take(receive)), OSError)
        self.close(queue)
        self.assertEqual(["birds/1", "birds/2", "birds/3"], broker.returned)

    def test_cancelled(self) -> None:
        """Ctrl-C in the midst: the consumer is ended before all is handed back."""
        broker = shelf(self.clock, 1, 2)
        broker.stingy = 1
        queue = self.open(broker)
        taking = turning(self.clock, queue.take(lambda letter: None))
        taking.addErrback(lambda failure: None).cancel()
        self.close(queue)
        self.assertEqual(["birds/1"], broker.returned)
        names = [type(method).__name__ for method in broker.methods]
        self.assertLess(names.index("Cancel"), names.index("Nack"))

    def test_lost(self) -> None:
        """A connection that is lost in the midst fails the taking, with its reason; closing is no trouble."""
        broker = shelf(self.clock, 1, 2)
        broker.stingy = 1
        queue = self.open(broker)
        taking = turning(self.clock, queue.take(lambda letter: None))
        broker.link.abortConnection()
        self.clock.pump([0, 0])
        failure = self.failureResultOf(taking, ConnectionLost)
        self.assertIn("cut", failure.getErrorMessage())
        self.close(queue)

    def test_refused(self) -> None:
        """A queue that is not there, or may not be read, is told in words that say which and where."""
        for code, words in (
            (404, "there is no queue streamer.dead"),
            (403, "streamer.dead at here, virtual host 'birds' cannot be looked into: 403"),
            (405, "405"),
        ):
            with self.subTest(code):
                broker = shelf(self.clock)
                broker.refusal = code
                failure = self.failureResultOf(turning(self.clock, opened(broker)), QueueUnreachable)
                self.assertIn(words, failure.getErrorMessage())
                self.assertIn("'birds'", failure.getErrorMessage())
                self.assertTrue(broker.link.gone)

    def test_next_host(self) -> None:
        """A host that refuses is passed over."""
        broker = shelf(self.clock, 1)
        broker.refuses = 1
        queue = self.open(broker, endpoints=[("there", broker), ("here", broker)])
        self.close(queue)

    def test_nobody(self) -> None:
        """Where no host answers, each one's reason is given, after the limit at the latest."""
        silent, refusing = shelf(self.clock), shelf(self.clock)
        silent.frozen, refusing.refuses = True, 1
        endpoints = [("silent", silent), ("refusing", refusing)]
        opening = turning(self.clock, opened(silent, endpoints=endpoints), OPEN_LIMIT / 2 + 0.1)
        said = self.failureResultOf(opening, QueueUnreachable).getErrorMessage()
        self.assertIn("silent: no answer within 5 s", said)
        self.assertIn("refusing: ", said)
        self.assertNotIn("secret", said)
        self.assertTrue(silent.link.gone)

    def test_interrupted_while_opening(self) -> None:
        """Ctrl-C while connecting leaves no connection."""
        broker = shelf(self.clock)
        broker.frozen = True
        opening = turning(self.clock, opened(broker))
        opening.addErrback(lambda failure: None).cancel()
        self.clock.pump([0, 0])
        self.successResultOf(opening)
        self.assertTrue(broker.link.gone)

    def publishing(self, broker: Shelf) -> tuple[DeadQueue, Republishing]:
        queue = self.open(broker)
        publishing = Republishing(queue.link, self.clock)
        self.successResultOf(turning(self.clock, publishing.begin()))
        return queue, publishing

    def outcome(self, publishing: Republishing) -> Deferred[None]:
        taken = publishing.publish(raw(1, b"x" * 300_000))
        self.clock.pump([0] * 5)
        return taken

    def test_publish(self) -> None:
        """A publish ends with the broker's word: taken, or refused."""
        broker = shelf(self.clock, 1)
        queue, publishing = self.publishing(broker)
        self.successResultOf(self.outcome(publishing))
        broker.confirms = False
        self.failureResultOf(self.outcome(publishing), NotTaken)
        self.assertEqual(["publish birds/1"] * 2, broker.log)
        self.close(queue)

    def test_publish_lost(self) -> None:
        """What is not confirmed when the connection goes fails, and so does what is published after."""
        broker = shelf(self.clock, 1)
        broker.confirms = None
        queue, publishing = self.publishing(broker)
        waiting = self.outcome(publishing)
        self.assertNoResult(waiting)
        broker.link.abortConnection()
        self.clock.pump([0, 0])
        self.failureResultOf(waiting, ConnectionLost)
        self.failureResultOf(self.outcome(publishing), ConnectionLost)
        self.close(queue)
