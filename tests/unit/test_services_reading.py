"""What a connection does when the bus is behind, the upstream misbehaves, or we do."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from streamer import metrics as m
from streamer.net.client import ANSWER_LIMIT, ANSWER_TIMEOUT, Opened
from streamer.policy import backoff
from streamer.policy.sample import PER_PERIOD
from streamer.services.leg import Leg
from streamer.services.reading import Reading
from streamer.sources.x_filtered import XFiltered
from streamer.testing import faults
from streamer.upstream import Ending
from tests.unit.following import Following

POST = b'{"data":{"id":"1"}}\r\n'


class Upstream(Resource):
    """An upstream that answers each request for the stream as a test wants."""

    isLeaf = True

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        Resource.__init__(self)
        self.answer = answer
        self.requests: list[Any] = []

    def render_GET(self, request: Any) -> Any:
        """Answer."""
        self.requests.append(request)
        self.answer(request)
        return NOT_DONE_YET


class Answer:
    """An answer whose body's transport can be looked at; the in-memory agent's cannot be paused."""

    code = 200
    headers = Headers()

    def __init__(self) -> None:
        self.transport = StringTransport()

    def deliverBody(self, body: Any) -> None:
        """Begin."""
        self.body = body
        body.makeConnection(self.transport)


class ReadingTests(SynchronousTestCase):
    """One connection."""

    def following(self, answer: Callable[[Any], Any] | None = None, **options: Any) -> Following:
        """A follower without rules of its own, which leaves no timer behind."""
        resource = None if answer is None else Upstream(answer)
        if resource is not None:
            options["rules"] = ()
        made = Following(resource=resource, **options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        return made

    def full(self, made: Following) -> tuple[Answer, Deferred[tuple[Ending, bool]]]:
        """A connection that has read four posts, which is the window; what it comes to, and how it ends."""
        answer = Answer()
        leg = Leg(
            1, made.source, None, made.follower, made.follower.client, made.intake, made.clock, made.metrics
        )  # fmt: skip
        reading = Reading(made.source, leg, made.intake, made.clock, made.metrics)
        over = Deferred.fromCoroutine(reading.run(Opened(answer, [answer.transport])))  # type: ignore[arg-type]
        for number in range(1, 5):
            answer.body.dataReceived(b'{"data":{"id":"%d"}}\r\n' % number)
        return answer, over

    def ended(self, made: Following, cause: str) -> float:
        """How many connections ended for that cause."""
        return made.metrics.value(m.ENDINGS, "birds", cause)

    def test_one_post_and_goodbye(self) -> None:
        """A server that sends the same post and closes, again and again, is not met with a tight loop."""

        def answer(request: Any) -> None:
            request.write(POST)
            request.finish()

        made = self.following(answer)
        made.start()
        made.advance(60)
        self.assertLess(self.ended(made, backoff.NETWORK), 25)
        self.assertEqual(["1"], made.ids())

    def test_refusal_with_a_broken_body(self) -> None:
        """The status decides, also where the body that should explain it is cut short."""

        def answer(request: Any) -> None:
            request.setResponseCode(429)
            request.setHeader("retry-after", "900")
            request.setHeader("content-length", "1000")
            request.write(b'{"title":')
            request.transport.loseConnection()

        made = self.following(answer)
        made.start()
        self.assertEqual(1, self.ended(made, backoff.RATE_LIMIT))
        made.advance(890, step=10)
        self.assertEqual(1, self.ended(made, backoff.RATE_LIMIT))

    def test_refusal_without_an_end(self) -> None:
        """A body that never ends does not hold up the verdict for ever."""

        def answer(request: Any) -> None:
            request.setResponseCode(401)
            request.write(b'{"title":"no')

        made = self.following(answer)
        made.start()
        made.advance(ANSWER_TIMEOUT + 1)
        self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))

    def test_a_page_in_place_of_a_stream(self) -> None:
        """A web page that nobody understood is called one, with its beginning."""

        def answer(request: Any) -> None:
            request.write(b"\n<html>\n<title>Please log in</title>\n")
            request.finish()

        made = self.following(answer)
        made.start()
        made.pump()
        self.assertEqual(1, self.ended(made, backoff.HTTP))
        self.assertIn("a web page in place of a stream", made.follower.said)
        self.assertIn("Please log in", made.follower.said)

    def test_headers_that_never_come(self) -> None:
        """An upstream that accepts and says nothing is given up in time, with a sentence."""
        made = self.following(lambda request: None)
        made.start()
        made.advance(ANSWER_TIMEOUT)
        self.assertEqual(1, self.ended(made, backoff.NETWORK))
        self.assertIn(f"no whole answer within {ANSWER_TIMEOUT:g} s", made.follower.said)

    def test_endless_rules(self) -> None:
        """A short answer that is not short is dropped and counted as the server's mistake."""

        def answer(request: Any) -> None:
            for _ in range(6):
                request.write(b"x" * (ANSWER_LIMIT // 5))

        made = Following(resource=Upstream(answer))
        made.start()
        made.pump(40)
        self.assertEqual(1, self.ended(made, backoff.HTTP))
        self.assertIn(f"longer than {ANSWER_LIMIT} bytes", made.follower.said)
        self.assertEqual([], made.stop())

    def test_pause_reaches_the_connection(self) -> None:
        """When the bus takes no more, reading stops; when it does again, reading goes on; once gone, neither."""
        made = self.following(rate=1.0, window=4)
        made.bus.held = []
        answer, over = self.full(made)
        self.assertEqual("paused", answer.transport.producerState)
        made.bus.release()
        self.assertEqual("producing", answer.transport.producerState)
        made.bus.held = []
        for number in range(5, 9):
            answer.body.dataReceived(b'{"data":{"id":"%d"}}\r\n' % number)
        answer.body.connectionLost(Failure(ResponseDone()))
        self.successResultOf(over)
        self.assertTrue(answer.transport.disconnected)
        made.bus.release()
        self.assertEqual("stopped", answer.transport.producerState)

    def test_drip(self) -> None:
        """A server that drips a byte now and then, and never ends its frame, is not alive: it is given up."""
        requests: list[Any] = []
        made = self.following(requests.append)
        made.start()
        requests[0].write(b'{"data":{"id":"')
        for _ in range(20):
            made.pump()
            made.advance(20, step=10)
            if requests[0].channel is None or self.ended(made, backoff.STALL):
                break
            requests[0].write(b"1")
        self.assertEqual(1, self.ended(made, backoff.STALL))
        self.assertIn("not at its end after 300 s", made.follower.said)

    def test_slow_frames_are_none(self) -> None:
        """Frames that come slowly, yet come, are another matter."""
        requests: list[Any] = []
        made = self.following(requests.append)
        made.start()
        for number in range(1, 40):
            requests[0].write(b'{"data":{"id":"%d"}}\r\n{"da' % number)
            made.pump()
            made.advance(20, step=10)
            requests[0].write(b'ta":{"id":"%d"}}\r\n' % (number + 100))
        made.pump()
        self.assertEqual((0, 78), (self.ended(made, backoff.STALL), len(made.ids())))

    def test_our_pause_is_no_stall(self) -> None:
        """While we do not read, the silence is ours and the connection is kept; afterwards it is the upstream's."""
        made = self.following(rate=1.0, window=4)
        made.bus.held = []
        _, over = self.full(made)
        for _ in range(60):
            made.clock.advance(10)
        self.assertNoResult(over)
        made.bus.release()
        for _ in range(20):
            made.clock.advance(10)
        ending, _ = self.successResultOf(over)
        self.assertEqual(backoff.STALL, ending.cause)

    def test_frames_after_a_farewell(self) -> None:
        """What comes after the upstream's own goodbye is not read any more."""

        def answer(request: Any) -> None:
            farewell = b'{"errors":[{"title":"operational-disconnect","disconnect_type":"OperationalDisconnect"}]}'
            request.write(POST + farewell + b"\r\n" + b'{"data":{"id":"2"}}\r\n')

        made = self.following(answer)
        made.start()
        self.assertEqual(["1"], made.ids())
        self.assertEqual(1, self.ended(made, backoff.DISCONNECT))
        self.assertFalse(made.follower.connected)

    def test_own_mistake(self) -> None:
        """An error in our own code ends the connection loudly, with a growing delay."""
        made = self.following(rate=20.0)

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("a defect")

        self.patch(XFiltered, "outcomes", broken)
        made.start()
        made.advance(20)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), self.ended(made, backoff.UNEXPECTED))
        self.assertIn(self.ended(made, backoff.UNEXPECTED), range(2, 9))

    def test_own_mistake_spares_its_neighbours(self) -> None:
        """One frame that trips us up does not cost those that were read before it."""
        outcomes = XFiltered.outcomes

        def trips(itself: Any, frame: bytes, received_ms: int) -> Any:
            if b"trip" in frame:
                raise ZeroDivisionError("a defect")
            return outcomes(itself, frame, received_ms)

        made = self.following(lambda request: request.write(POST + b'{"trip":1}\r\n'))
        self.patch(XFiltered, "outcomes", trips)
        made.start()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(["1"], made.ids())

    def test_broken_source(self) -> None:
        """A source that cannot say what to ask for is a defect: told loudly, tried again, never ready."""
        made = self.following(rate=20.0)

        def broken(*_: Any) -> Any:
            raise KeyError("a defect")

        self.patch(XFiltered, "request", broken)
        made.start()
        made.advance(20)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), self.ended(made, backoff.UNEXPECTED))
        self.assertIn(self.ended(made, backoff.UNEXPECTED), range(2, 9))
        self.assertFalse(made.follower.connected)

    def test_bad_frames_are_sampled(self) -> None:
        """A flood of rubbish is counted whole and logged in part."""
        said: list[Any] = []

        def answer(request: Any) -> None:
            request.write(b"rubbish\r\n" * 100)

        made = self.following(answer)
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        made.start()
        self.assertEqual(100, made.metrics.value(m.BAD_FRAMES, "birds", "unreadable"))
        self.assertEqual(PER_PERIOD, sum("dropped a frame" in (event.get("log_format") or "") for event in said))

    def test_compression_is_the_sources_choice(self) -> None:
        """Nobody asks for compression unasked; what comes compressed is unpacked, all members of it."""
        asked: list[Any] = []

        def answer(request: Any) -> None:
            asked.append(request.requestHeaders.getRawHeaders("accept-encoding"))
            request.setHeader("content-encoding", "gzip")
            request.write(gzip.compress(POST))
            request.write(gzip.compress(POST.replace(b"1", b"2")))

        made = self.following(answer)
        made.start()
        self.assertEqual([None], asked)
        self.assertEqual(["1", "2"], made.ids())
        self.assertLess(made.metrics.value(m.ITEM_BYTES, "birds"), 100)

    def test_damaged_compression(self) -> None:
        """A body that is not what it says is the server's mistake, and told as that."""

        def answer(request: Any) -> None:
            request.setHeader("content-encoding", "gzip")
            request.write(POST)

        made = self.following(answer)
        made.start()
        self.assertEqual(1, self.ended(made, backoff.HTTP))
        self.assertIn("compressed body is damaged", made.follower.said)

    def test_compressed_refusal(self) -> None:
        """A refusal says why, compressed or not."""

        def answer(request: Any) -> None:
            request.setResponseCode(401)
            request.setHeader("content-encoding", "gzip")
            request.write(gzip.compress(b'{"title":"Unauthorized","detail":"no such token"}'))
            request.finish()

        made = self.following(answer)
        made.start()
        self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))
        self.assertIn("no such token", made.follower.said)

    def test_too_long_frames_are_counted_as_they_come(self) -> None:
        """An operator sees them while the connection is open, not after days."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(1)
        made.x.fault(faults.Huge(2_000_000))
        made.advance(3)
        self.assertTrue(made.follower.connected)
        self.assertEqual(1, made.metrics.value(m.BAD_FRAMES, "birds", "too-long"))

    def test_stop_waits_for_the_bus(self) -> None:
        """A stop is over when the bus has answered for what was read."""
        made = Following(rate=20.0)
        made.start()
        made.bus.held = []
        made.advance(2)
        stopping = made.service.stopService()
        made.pump()
        self.assertNoResult(stopping)
        made.bus.release()
        made.pump()
        self.successResultOf(stopping)
        self.assertEqual([], made.stop())

    def test_stop_does_not_wait_for_ever(self) -> None:
        """A bus that never answers delays a stop by ten seconds."""
        made = Following(rate=20.0)
        made.start()
        made.bus.held = []
        made.advance(2)
        stopping = made.service.stopService()
        made.advance(9)
        self.assertNoResult(stopping)
        made.advance(2)
        self.successResultOf(stopping)
        made.x.stop()

    def test_not_ready_while_away(self) -> None:
        """Between two connections the source is not connected, and says what it waits for."""
        made = self.following(rate=20.0)
        made.start()
        made.x.fault(faults.Status(503, times=5))
        made.x.fault(faults.Cut())
        made.advance(2)
        self.assertFalse(made.follower.connected)
        self.assertEqual(0, made.metrics.value(m.SOURCE_CONNECTED, "birds"))
        self.assertIn("next try in", made.follower.said)

    def test_connection_is_dropped(self) -> None:
        """When we give a connection up, the upstream sees it go."""
        made = self.following(rate=20.0)
        made.start()
        self.assertEqual(1, made.x.status()["connections"])
        made.service.stopService()
        made.pump()
        self.assertEqual(0, made.x.status()["connections"])
