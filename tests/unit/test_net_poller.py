"""Polls as a stream: one step after the other, in turn at each host, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from streamer.asks import Hook, Page, Poll, Polling, Reply, Taken, Wait
from streamer.net import failures
from streamer.net.client import Opened, UpstreamClient
from streamer.net.failures import Over
from streamer.net.poller import Poller
from streamer.policy import backoff
from streamer.policy.turns import APART, AT_ONCE
from streamer.upstream import Ending, Request, Response
from tests.unit.hooking import call, in_memory
from tests.unit.network import Network

ENOUGH = Ending(cause=backoff.FINISHED, detail="enough")


def asking(path: str = "/", host: str = "127.0.0.1") -> Request:
    """A request for a path."""
    return Request(url=f"http://{host}{path}")


class Site(Resource):
    """Answers with how many requests came before; or not at all."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.mute = False
        self.open: list[Any] = []

    def render_GET(self, request: Any) -> Any:
        self.asked.append(request.path)
        if self.mute:
            self.open.append(request)
            return NOT_DONE_YET
        return b"%d" % len(self.asked)

    def answer(self) -> None:
        """Answer what waits."""
        waiting, self.open = self.open, []
        for request in waiting:
            request.write(b"late")
            request.finish()


class Reader:
    """Takes frames, as a `StreamBody` does."""

    def __init__(self) -> None:
        self.got: list[Sequence[Any]] = []
        self.lost: Failure | None = None
        self.on_data: Callable[[], None] = lambda: None
        self.transport: Any = None
        self.taker: Any = None

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: Sequence[Any]) -> None:
        self.got.append(data)
        self.on_data()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None, "lost twice"
        self.lost = reason


class Cases(SynchronousTestCase):
    """A site, and polls of it."""

    def setUp(self) -> None:
        """No request was made."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.site = Site()
        self.network = Network(self.site, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests")
        self.poller = Poller(self.clock, lambda: 0.5)
        self.closed: list[str] = []
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        """Neither timers nor connections; and every turn was given back."""
        self.pump()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, self.network.open)
        self.assertEqual({}, self.poller.turnstile._waiting)
        self.assertTrue(all(known.under_way == 0 for known in self.poller.turnstile.turns._hosts.values()))

    def pump(self) -> None:
        """Move bytes."""
        for _ in range(4):
            self.network.flush()
            self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, by tenths of a second."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.pump()

    def noted(self, steps: Callable[[], Polling], name: str = "polls") -> Callable[[], Polling]:
        """Steps that note when they are closed, or over."""

        def noting() -> Polling:
            try:
                return (yield from steps())
            finally:
                self.closed.append(name)

        return noting

    def open(self, steps: Callable[[], Polling], name: str = "polls") -> Deferred[Opened]:
        """Open a poll."""
        opening = Deferred.fromCoroutine(self.poller.open(Poll(self.noted(steps, name)), self.client))
        self.pump()
        return opening

    def read(self, steps: Callable[[], Polling]) -> tuple[Opened, Reader]:
        """Open a poll and read it."""
        opened = self.successResultOf(self.open(steps))
        reader = Reader()
        opened.answer.deliverBody(reader)
        self.pump()
        return opened, reader


class OpenTests(Cases):
    """The first answer says whether there is something to be read."""

    def test_first_answer(self) -> None:
        """It is open once the first answer was understood, and not before; nothing further is asked for."""
        answers: list[Response | None] = []

        def steps() -> Polling:
            answers.append((yield asking("/a")))
            answers.append((yield Wait(5.0)))
            yield asking("/b")
            return ENOUGH

        self.site.mute = True
        opening = self.open(steps)
        self.assertNoResult(opening)
        self.site.answer()
        self.pump()
        opened = self.successResultOf(opening)
        self.assertEqual(200, opened.answer.code)
        (first,) = answers
        assert first is not None
        self.assertEqual((200, b"late"), (first.status, first.body))
        self.assertEqual([b"/a"], self.site.asked)
        opened.abort()

    def test_several_requests(self) -> None:
        """Redirects and the like belong to the first answer."""

        def steps() -> Polling:
            yield asking("/a")
            yield asking("/b")
            yield Page((b"found",))
            return ENOUGH

        opening = self.open(steps)
        self.assertNoResult(opening)
        self.advance(APART)
        self.assertEqual([b"/a", b"/b"], self.site.asked)
        opened = self.successResultOf(opening)
        opened.abort()

    def test_no_good(self) -> None:
        """Where the steps are over at once, their ending is what opening fails with."""

        def steps() -> Polling:
            yield asking()
            return ENOUGH

        failure = self.failureResultOf(self.open(steps), Over)
        self.assertEqual(ENOUGH, failures.ending(failure, "while connecting"))
        self.assertEqual(["polls"], self.closed)

    def test_refused(self) -> None:
        """A request that fails is the failure, and the steps are closed."""

        def steps() -> Polling:
            yield asking()
            return ENOUGH

        self.network.refuses = ConnectionRefusedError("refused")
        self.failureResultOf(self.open(steps), ConnectionRefusedError)
        self.assertEqual(["polls"], self.closed)

    def test_refused_and_caught(self) -> None:
        """What the steps are told of it they may make good by another request."""

        def steps() -> Polling:
            try:
                yield asking("/a")
            except ConnectionRefusedError:
                self.network.refuses = None
            yield asking("/b")
            yield Page((b"found",))
            return ENOUGH

        self.network.refuses = ConnectionRefusedError("refused")
        opening = self.open(steps)
        self.advance(APART)
        self.assertEqual([b"/b"], self.site.asked)
        self.successResultOf(opening).abort()

    def test_silence(self) -> None:
        """An answer that does not come is given up by the client's time-out."""

        def steps() -> Polling:
            yield asking()
            return ENOUGH

        self.site.mute = True
        opening = self.open(steps)
        self.advance(31)
        self.assertEqual(backoff.NETWORK, failures.ending(self.failureResultOf(opening), "while connecting").cause)
        self.assertEqual(["polls"], self.closed)

    def test_cancelled(self) -> None:
        """Opening can be given up."""

        def steps() -> Polling:
            yield asking()
            return ENOUGH

        self.site.mute = True
        opening = self.open(steps)
        opening.cancel()
        self.failureResultOf(opening)
        self.assertEqual(["polls"], self.closed)

    def test_mistake(self) -> None:
        """A mistake in the steps is a mistake of ours."""

        def steps() -> Polling:
            yield asking()
            raise ZeroDivisionError("ours")

        failure = self.failureResultOf(self.open(steps), ZeroDivisionError)
        self.assertEqual(backoff.UNEXPECTED, failures.ending(failure, "while connecting").cause)


class ReadTests(Cases):
    """What the steps find goes to who reads."""

    def endless(self) -> Polling:
        """A page every ten seconds."""
        while True:
            answer = yield asking("/feed")
            assert answer is not None
            yield Page((answer.body, answer.body + b"!"))
            yield Wait(10.0, 0.2)

    def test_frames(self) -> None:
        """A page's frames come together; pauses are spread."""
        opened, reader = self.read(self.endless)
        self.assertEqual([(b"1", b"1!")], reader.got)
        self.advance(10.5)
        self.assertEqual(1, len(self.site.asked))
        self.advance(0.6)  # 10 s and half of the fifth part of it
        self.assertEqual([(b"1", b"1!"), (b"2", b"2!")], reader.got)
        opened.abort()
        self.assertIsNone(reader.lost)

    def test_signs_of_life(self) -> None:
        """Only a page is heard, be it empty: an answer by itself may be one of several, or bad."""

        def steps() -> Polling:
            yield Wait(1.0)
            yield asking("/limited")
            yield Wait(1.0)
            yield asking("/first")
            yield asking("/second")
            yield Page()
            yield asking("/bad")
            return ENOUGH

        _, reader = self.read(steps)
        self.advance(10)
        self.assertEqual([()], reader.got)
        self.assertIsNotNone(reader.lost)

    def test_failure_caught(self) -> None:
        """What a request fails with is thrown into the steps, which may go on."""

        def steps() -> Polling:
            yield Page()
            try:
                yield asking()
            except ConnectionRefusedError:
                yield Page((b"never mind",))
            return ENOUGH

        self.network.refuses = ConnectionRefusedError("refused")
        _, reader = self.read(steps)
        self.assertEqual([(), (b"never mind",)], reader.got)
        assert reader.lost is not None
        self.assertEqual(ENOUGH, failures.ending(reader.lost, "while reading"))

    def test_ending(self) -> None:
        """Steps that are over end it with their reason."""

        def steps() -> Polling:
            yield Page((b"all",))
            return ENOUGH

        _, reader = self.read(steps)
        self.assertEqual([(b"all",)], reader.got)
        assert reader.lost is not None
        self.assertEqual(ENOUGH, failures.ending(reader.lost, "while reading"))

    def test_failure(self) -> None:
        """So does a request that fails, and the steps are closed."""
        _, reader = self.read(self.endless)
        self.network.refuses = ConnectionRefusedError("refused")
        self.advance(12)
        assert reader.lost is not None
        self.assertEqual(backoff.NETWORK, failures.ending(reader.lost, "while reading").cause)
        self.assertEqual(["polls"], self.closed)

    def test_mistake(self) -> None:
        """So does a mistake in the steps."""

        def steps() -> Polling:
            yield Page()
            raise ZeroDivisionError("ours")

        _, reader = self.read(steps)
        assert reader.lost is not None
        self.assertIsInstance(reader.lost.value, ZeroDivisionError)

    def test_pause(self) -> None:
        """Whoever pauses gets nothing more until he reads on, and then what is due."""
        opened, reader = self.read(self.endless)
        reader.transport.pauseProducing()
        reader.transport.pauseProducing()
        self.advance(60)
        self.assertEqual(1, len(self.site.asked))
        reader.transport.resumeProducing()
        reader.transport.resumeProducing()
        self.pump()
        self.assertEqual([(b"1", b"1!"), (b"2", b"2!")], reader.got)
        opened.abort()

    def test_pause_within_a_page(self) -> None:
        """A pause asked for while a page is taken holds back the next step."""

        def steps() -> Polling:
            for number in range(3):
                yield Page((b"%d" % number,))
            return ENOUGH

        opened = self.successResultOf(self.open(steps))
        reader = Reader()
        reader.on_data = lambda: reader.transport.pauseProducing()
        opened.answer.deliverBody(reader)
        self.assertEqual([(b"0",)], reader.got)
        reader.transport.resumeProducing()
        self.assertEqual([(b"0",), (b"1",)], reader.got)
        reader.on_data = lambda: None
        reader.transport.resumeProducing()
        self.assertEqual([(b"0",), (b"1",), (b"2",)], reader.got)
        self.assertIsNotNone(reader.lost)

    def test_wake(self) -> None:
        """A pause of the steps may be ended from outside; nothing else may."""
        opened, reader = self.read(self.endless)
        self.advance(2)
        reader.transport.wake()
        self.pump()
        self.assertEqual(2, len(self.site.asked))
        self.site.mute = True
        self.advance(2)
        reader.transport.wake()
        self.pump()
        reader.transport.wake()
        self.pump()
        self.assertEqual(3, len(self.site.asked))
        self.site.answer()
        self.pump()
        self.assertEqual((b"late", b"late!"), reader.got[-1])
        opened.abort()


class AbortTests(Cases):
    """It can be dropped at any time, without a word and without a rest."""

    def drop(self, steps: Callable[[], Polling], seconds: float, *, paused: bool = False) -> None:
        """Drop it after so long."""
        opened, reader = self.read(steps)
        self.advance(seconds)
        if paused:
            reader.transport.pauseProducing()
            self.advance(20)
        reader.transport.stopProducing()
        opened.abort()
        self.assertEqual(["polls"], self.closed)
        got = len(reader.got)
        self.advance(20)
        self.assertIsNone(reader.lost)
        self.assertEqual(got, len(reader.got))

    def polls(self) -> Polling:
        """A poll every five seconds."""
        while True:
            yield Page((b"x",))
            yield Wait(5.0)
            yield asking()

    def test_during_a_wait(self) -> None:
        """While it waits."""
        self.drop(self.polls, 1.0)

    def test_during_a_request(self) -> None:
        """While an answer is under way."""
        self.site.mute = True
        self.drop(self.polls, 6.0)
        self.assertEqual(1, len(self.site.asked))

    def test_while_paused(self) -> None:
        """While it is paused."""
        self.drop(self.polls, 1.0, paused=True)

    def test_before_it_is_read(self) -> None:
        """Before anybody reads."""
        opened = self.successResultOf(self.open(self.polls))
        opened.abort()
        self.assertEqual(["polls"], self.closed)

    def test_within_a_page(self) -> None:
        """By the reader, while he takes a page."""
        opened = self.successResultOf(self.open(self.polls))
        reader = Reader()
        reader.on_data = opened.abort
        opened.answer.deliverBody(reader)
        self.advance(20)
        self.assertEqual([(b"x",)], reader.got)
        self.assertIsNone(reader.lost)
        self.assertEqual(["polls"], self.closed)

    def test_after_its_end(self) -> None:
        """And again when it is over already."""

        def steps() -> Polling:
            yield Page()
            return ENOUGH

        opened, reader = self.read(steps)
        opened.abort()
        opened.abort()
        self.assertIsNotNone(reader.lost)


class HookTests(Cases):
    """A hook that is open while the polls go on."""

    def setUp(self) -> None:
        """Hooks in memory."""
        super().setUp()
        self.hooks, self.ports = in_memory(self.clock)
        self.poller = Poller(self.clock, lambda: 0.5, self.hooks)
        self.replies: list[Reply | Taken] = []

    def nothing_is_left(self) -> None:
        """Nor does anything listen."""
        super().nothing_is_left()
        self.assertEqual(0, self.ports.open)

    def read_with_hook(self, steps: Callable[[], Polling]) -> tuple[Opened, Reader]:
        """Open a poll that has a hook, and read it."""
        hook = Hook("secret", lambda posted: self.replies.pop(0))
        opened = self.successResultOf(
            Deferred.fromCoroutine(self.poller.open(Poll(self.noted(steps), hook=hook), self.client))
        )
        reader = Reader()
        opened.answer.deliverBody(reader)
        self.pump()
        return opened, reader

    def polls(self) -> Polling:
        """A poll a minute."""
        while True:
            yield Page((b"polled",))
            yield Wait(60.0, 0.0)

    def test_called(self) -> None:
        """What the hook is brought is read beside what is polled."""
        opened, reader = self.read_with_hook(self.polls)
        self.replies.append(Taken(frames=(b"brought",), reply=Reply(status=202)))
        said = call(self.hooks, "/hooks/secret", b"x")
        assert said is not None
        self.assertEqual(202, said.status)
        self.assertEqual([(b"polled",), (b"brought",)], reader.got)
        opened.abort()
        self.assertEqual(0, self.ports.open)

    def test_without_its_hook(self) -> None:
        """Where the hooks cannot listen, the polls go on without."""
        self.ports.refuses = Over(Ending(cause=backoff.NETWORK, detail="hooks cannot listen"))
        opened, reader = self.read_with_hook(self.polls)
        self.clock.advance(61)
        self.pump()
        self.assertEqual([(b"polled",), (b"polled",)], reader.got)
        opened.abort()

    def test_wake_while_paused(self) -> None:
        """A wake that comes while nobody reads harms nothing: the reader goes on when he reads again."""
        opened, reader = self.read_with_hook(self.polls)
        running: Any = reader.transport
        running.pauseProducing()
        self.clock.advance(70)
        running.wake()
        self.pump()
        self.assertEqual([(b"polled",)], reader.got)
        running.resumeProducing()
        self.pump()
        self.assertEqual([(b"polled",), (b"polled",)], reader.got)
        self.assertIsNone(reader.lost)
        opened.abort()

    def test_wake(self) -> None:
        """A reply may let a pause of the polls be over."""
        opened, reader = self.read_with_hook(self.polls)
        self.replies.append(Reply(status=200, wake=True))
        call(self.hooks, "/hooks/secret", b"x")
        self.pump()
        self.assertEqual([(b"polled",), (b"polled",)], reader.got)
        opened.abort()

    def test_pause(self) -> None:
        """While the reader pauses, callers are asked to come again."""
        opened, reader = self.read_with_hook(self.polls)
        reader.transport.pauseProducing()
        said = call(self.hooks, "/hooks/secret", b"x")
        assert said is not None
        self.assertEqual(503, said.status)
        reader.transport.resumeProducing()
        self.replies.append(Reply(status=204))
        said = call(self.hooks, "/hooks/secret", b"x")
        assert said is not None
        self.assertEqual(204, said.status)
        opened.abort()

    def test_endings(self) -> None:
        """However the polls end, nobody listens any more."""

        def over() -> Polling:
            yield Page()
            return ENOUGH

        def bad() -> Polling:
            yield asking()
            return ENOUGH

        _, reader = self.read_with_hook(over)
        self.assertIsNotNone(reader.lost)
        self.assertEqual(0, self.ports.open)
        hook = Hook("secret", lambda posted: Reply(status=200))
        opening = Deferred.fromCoroutine(self.poller.open(Poll(bad, hook=hook), self.client))
        self.pump()
        self.failureResultOf(opening, Over)

    def test_no_hooks(self) -> None:
        """A process without hooks says so."""
        self.poller = Poller(self.clock, lambda: 0.5)
        hook = Hook("secret", lambda posted: Reply(status=200))
        opening = Deferred.fromCoroutine(self.poller.open(Poll(self.polls, hook=hook), self.client))
        self.failureResultOf(opening, Over)


class TurnTests(Cases):
    """All polls of a process are one client to each host."""

    def begin(self, count: int, host: str = "127.0.0.1") -> list[Deferred[Opened]]:
        """Open so many polls of one request each."""

        def steps(number: int) -> Callable[[], Polling]:
            def one() -> Polling:
                yield asking(f"/{number}", host)
                yield Page()
                return ENOUGH

            return one

        return [self.open(steps(number), str(number)) for number in range(count)]

    def end(self, polls: Sequence[Deferred[Opened]]) -> None:
        """Drop them all."""
        for poll in polls:
            poll.addCallbacks(lambda opened: opened and opened.abort(), lambda failure: None)

    def test_apart(self) -> None:
        """A second lies between the beginnings of two requests to one host."""
        polls = self.begin(4)
        self.assertEqual(1, len(self.site.asked))
        for expected in (2, 3, 4):
            self.advance(APART)
            self.assertEqual(expected, len(self.site.asked))
        self.end(polls)

    def test_other_hosts(self) -> None:
        """What goes on at one host is nothing to another."""
        polls = [*self.begin(1, "a.example"), *self.begin(1, "b.example")]
        self.assertEqual(2, len(self.site.asked))
        self.end(polls)

    def test_at_once(self) -> None:
        """While two are under way the others wait, in the order in which they came."""
        self.site.mute = True
        polls = self.begin(5)
        self.advance(5)
        self.assertEqual([b"/0", b"/1"], self.site.asked)
        self.site.answer()
        self.advance(3)
        self.assertEqual([b"/0", b"/1", b"/2", b"/3"], self.site.asked)
        self.assertEqual(AT_ONCE, len(self.site.open))
        self.site.answer()
        self.advance(3)
        self.assertEqual(b"/4", self.site.asked[-1])
        self.site.answer()
        self.pump()
        self.end(polls)

    def test_giving_up(self) -> None:
        """Whoever gives up, in the queue or before his second is over, is passed by."""
        self.site.mute = True
        polls = self.begin(5)
        for number in (1, 2, 3):
            polls[number].cancel()
            self.failureResultOf(polls[number], CancelledError)
        self.advance(5)
        self.assertEqual([b"/0", b"/4"], self.site.asked)
        self.site.answer()
        self.pump()
        self.end(polls)

    def test_failures(self) -> None:
        """A request that fails gives its turn to the next."""
        self.network.refuses = ConnectionRefusedError("refused")
        polls = self.begin(3)
        self.advance(3)
        for poll in polls:
            self.failureResultOf(poll, ConnectionRefusedError)
