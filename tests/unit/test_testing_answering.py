# -*- test-case-name: tests.unit.test_testing_answering -*-
"""Tests for `streamer.testing.answering`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from streamer.net.client import UpstreamClient
from streamer.testing import faults
from streamer.testing.answering import Answering, Whole, refusal
from streamer.testing.connection import HTML
from streamer.testing.faults import Fault, Faults
from streamer.testing.ledger import Ledger
from streamer.upstream import Request, Response
from tests.unit.network import Network

BODY = b'[{"id":"1"},{"id":"2"}]'
WHOLE = Whole(headers={"Content-Type": "application/json", "ETag": '"a"'}, body=BODY, ids=("1", "2"))


class Page(Resource):
    """Answers everything with `whole`."""

    isLeaf = True

    def __init__(self, answering: Answering) -> None:
        super().__init__()
        self.answering = answering
        self.whole = WHOLE
        self.made = 0

    def render(self, request: Any) -> int:
        def make() -> Whole:
            self.made += 1
            return self.whole

        return self.answering.answer(request, make, "page")


class AnsweringTests(SynchronousTestCase):
    """Whole answers, and what can go wrong with them."""

    def setUp(self) -> None:
        """A page, and a client without any wire."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.ledger = Ledger()
        self.answering = Answering("Poll", self.clock, Faults(), self.ledger)
        self.page = Page(self.answering)
        self.network = Network(self.page, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests")

    def ask(self, *struck: Fault) -> Deferred[Response]:
        """Ask for the page, after some faults."""
        for fault in struck:
            self.answering.fault(fault)
        asked = Deferred.fromCoroutine(self.client.fetch(Request(url="http://127.0.0.1/page")))
        self.pump()
        return asked

    def pump(self) -> None:
        """Move bytes."""
        for _ in range(4):
            self.network.flush()
            self.clock.advance(0)

    def got(self, *struck: Fault) -> Response:
        """The answer, which is there at once."""
        return self.successResultOf(self.ask(*struck))

    def fails(self, *struck: Fault) -> None:
        """It does not come whole."""
        self.failureResultOf(self.ask(*struck))
        self.quiet()

    def quiet(self) -> None:
        """No request waits, no connection is open, nothing is on the clock."""
        self.pump()
        self.assertEqual((0, 0, []), (len(self.answering), self.network.open, self.clock.getDelayedCalls()))

    def test_undisturbed(self) -> None:
        """Status, headers and body as made, entered in the ledger."""
        answer = self.got()
        self.assertEqual((200, BODY, '"a"'), (answer.status, answer.body, answer.headers["etag"]))
        (sent,) = self.ledger.connections
        self.assertEqual(("page", 2, ["1", "2"]), (sent.stream, sent.lines, list(sent.posts)))
        self.quiet()

    def test_not_modified(self) -> None:
        """An answer whose status admits no body has none."""
        self.page.whole = Whole(304, {"ETag": '"a"'}, b"ignored")
        answer = self.got()
        self.assertEqual((304, b"", '"a"'), (answer.status, answer.body, answer.headers["etag"]))
        self.quiet()

    def test_split(self) -> None:
        """In pieces of any size it is the same answer."""
        for size in (1, 7, 4096, 0):
            self.assertEqual(BODY, self.got(faults.Split(size)).body, size)
        self.quiet()

    def test_stall(self) -> None:
        """Nothing comes for as long as was said; then what is due at that time."""
        asked = self.ask(faults.Stall(5.0))
        self.assertEqual((1, 0), (len(self.answering), self.page.made))
        self.assertNoResult(asked)
        self.page.whole = Whole(body=b"later")
        self.clock.advance(5)
        self.pump()
        self.assertEqual(b"later", self.successResultOf(asked).body)
        self.quiet()

    def test_stall_for_ever(self) -> None:
        """Until the client gives up."""
        asked = self.ask(faults.Stall())
        self.clock.advance(31)
        self.pump()
        self.failureResultOf(asked)
        self.quiet()
        self.assertEqual(0, self.page.made)

    def test_cut(self) -> None:
        """Half an answer is none, whether the connection ends politely or by a reset."""
        self.fails(faults.Cut())
        self.fails(faults.Cut(reset=True))
        self.assertEqual([0, 0], [sent.lines for sent in self.ledger.connections])
        self.page.whole = Whole(304)
        self.fails(faults.Cut())

    def test_accept_then_close(self) -> None:
        """200, and nothing."""
        answer = self.got(faults.AcceptThenClose())
        self.assertEqual((200, b"", 0), (answer.status, answer.body, self.page.made))
        self.assertEqual(BODY, self.got().body)
        self.quiet()

    def test_status(self) -> None:
        """So many refusals, with the time to wait; the page is not asked."""
        for _ in range(2):
            answer = self.got(*([faults.Status(503, times=2, reset_after=6.5)] if not self.ledger.connections else []))
            self.assertEqual(
                (503, "7", b"Service Unavailable"), (answer.status, answer.headers["retry-after"], answer.body)
            )
        self.assertEqual(0, self.page.made)
        self.assertEqual(200, self.got().status)
        self.assertNotIn("Retry-After", refusal(faults.Status(404), 0.0).headers)

    def test_own_words(self) -> None:
        """An upstream refuses in its own words, and may say until when."""
        self.answering.refused = lambda fault, now: Whole(403, {"X-Reset": str(now + fault.reset_after)}, b"no")
        answer = self.got(faults.Status(403, reset_after=60))
        self.assertEqual((403, b"no", "1060.0"), (answer.status, answer.body, answer.headers["x-reset"]))

    def test_garbage(self) -> None:
        """Half a JSON text, or the page of a proxy, with a status that promises better."""
        answer = self.got(faults.Garbage())
        self.assertEqual((200, "application/json"), (answer.status, answer.headers["content-type"]))
        self.assertNotEqual(BODY, answer.body)
        answer = self.got(faults.Garbage(html=True))
        self.assertEqual((200, "text/html", HTML), (answer.status, answer.headers["content-type"], answer.body))

    def test_noise(self) -> None:
        """Bytes that are no text."""
        self.assertEqual(faults.NOISE, self.got(faults.Noise()).body)

    def test_huge(self) -> None:
        """As long as asked for; the client's limit is what ends it."""
        self.assertEqual(100_000, len(self.got(faults.Huge(100_000)).body))
        self.fails(faults.Huge(6_000_000))

    def test_one_fault_an_answer(self) -> None:
        """Faults that wait strike one request each, in their order."""
        self.fails(faults.Cut(), faults.Garbage(html=True), faults.Huge(50))
        self.assertEqual([HTML, 50], [self.got().body, len(self.got().body)])
        self.assertEqual(BODY, self.got().body)

    def test_impossible(self) -> None:
        """What only a stream can do wrong is refused."""
        for fault in (
            faults.Close(),
            faults.Disconnect(),
            faults.DisconnectCode(),
            faults.Control("limit"),
            faults.Kill(),
            faults.Lag(1.0),
            faults.Status("too-many-connections"),
        ):
            with self.assertRaisesRegex(ValueError, "Poll has no"):
                self.answering.fault(fault)

    def test_stop(self) -> None:
        """A stop drops those who wait."""
        asked = self.ask(faults.Stall(100.0))
        self.answering.stop()
        self.pump()
        self.failureResultOf(asked)
        self.quiet()

    def test_client_leaves(self) -> None:
        """Who leaves before his answer costs nothing more."""
        asked = self.ask(faults.Stall(100.0))
        asked.addErrback(lambda failure: None)
        asked.cancel()
        self.pump()
        self.network.cut(0)
        self.quiet()
