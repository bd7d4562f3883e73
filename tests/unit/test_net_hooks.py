"""Hooks as callers see them, and as those see them who read what was called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Hook, Listen, Posted, Reply, Taken
from streamer.errors import MessageRefused
from streamer.net import hook_site, hooks
from streamer.net.client import Opened
from streamer.net.failures import Over
from streamer.net.hooks import Hooks, Opening, binding
from streamer.net.stream import StreamBody
from tests.unit.hooking import Caller, Said, call, in_memory

PIECES = [
    b"POST /hooks/birds HTTP/1.1\r\n",
    b"GET /hooks/birds HTTP/1.0\r\n",
    b"POST /hooks/birds?a=%zz&b HTTP/1.1\r\n",
    b"Host: us\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"X-\xff: \xfe\r\n",
    b"\r\n",
    b"5\r\n",
    b"0\r\n\r\n",
    b"hello",
]  # of requests
DONE = Reply(status=202, headers={"X-Thing": "yes"}, body=b"thanks")


@attrs.define
class Bus:
    """Takes what hooks bring, when a test lets it."""

    unwilling: str = ""
    held: list[Deferred[None]] | None = None
    away: int = 0  # callers that were sent away
    taken: int = 0

    def sent_away(self) -> None:
        """See `stream.Taker`."""
        self.away += 1

    def settled(self, since: int) -> Deferred[None]:
        """See `stream.Taker`."""
        if self.held is None:
            return succeed(None)
        self.held.append(Deferred())
        return self.held[-1]


def taking(posted: Posted) -> Reply | Taken:
    """Every body is a frame."""
    return Taken(frames=(posted.body,), reply=DONE)


class HooksTests(SynchronousTestCase):
    """One process's hooks."""

    def setUp(self) -> None:
        """A clock, and ports in memory."""
        self.clock = Clock()
        self.hooks, self.ports = in_memory(self.clock)
        self.bus = Bus()
        self.frames: list[Any] = []
        self.ends: list[Failure] = []

    def opened(self, path: str = "birds", answer: Callable[[Posted], Reply | Taken] = taking, **own: Any) -> Opened:
        """A hook that nobody reads yet."""
        made: Opened = self.successResultOf(
            Deferred.fromCoroutine(self.hooks.open(Listen(Hook(path, answer, **own)), None))  # type: ignore[arg-type]
        )
        return made

    def read(self, path: str = "birds", answer: Callable[[Posted], Reply | Taken] = taking, **own: Any) -> StreamBody:
        """A hook that is read."""
        body = StreamBody(self.frames.extend, self.ends.append, self.bus)
        self.opened(path, answer, **own).answer.deliverBody(body)
        return body

    def test_a_call_is_a_frame(self) -> None:
        """The body reaches whoever reads, and the caller gets the source's reply."""
        self.read()
        said = call(self.hooks, "/hooks/birds", b"{}")
        self.assertEqual([b"{}"], self.frames)
        assert said is not None
        self.assertEqual((202, b"thanks", "yes"), (said.status, said.body, said.headers["x-thing"]))

    def test_what_the_source_sees(self) -> None:
        """Method, query, headers in lower case, the last of repeated ones, the peer and the time."""
        seen: list[Posted] = []

        def answer(posted: Posted) -> Reply:
            seen.append(posted)
            return Reply(status=204, body=b"never")

        self.read(answer=answer, methods=("GET", "POST"))
        self.clock.advance(5)
        said = call(self.hooks, "/hooks/birds?a=1&b=%20", method="GET", X_Odd="1", x_odd="2")
        assert said is not None
        self.assertEqual((204, b""), (said.status, said.body))
        (posted,) = seen
        self.assertEqual(("GET", "a=1&b=%20", b"", 5.0), (posted.method, posted.query, posted.body, posted.received))
        self.assertEqual(("2", "192.0.2.1"), (posted.headers["x-odd"], posted.address))

    def test_nothing_tells_what_we_are(self) -> None:
        """The headers of an answer are these, and no others."""
        self.read()
        for path in ("/hooks/birds", "/hooks/other"):
            said = call(self.hooks, path)
            assert said is not None
            self.assertLessEqual(
                set(said.headers),
                {"date", "content-type", "content-length", "cache-control", "x-content-type-options", "x-thing"},
            )

    def test_unknown_paths(self) -> None:
        """They are not there, whatever is asked of them."""
        self.read()
        for path in ("/", "/hooks", "/hooks/", "/hooks/bird", "/hooks/birds/", "/hooks/birds%20", "/other/birds"):
            for method in ("GET", "POST", "OPTIONS"):
                said = call(self.hooks, path, method=method)
                self.assertEqual(404, said and said.status, path)

    def test_methods(self) -> None:
        """What a hook does not take is refused, with what it takes."""
        self.read()
        for method in ("GET", "PUT", "HEAD", "BREW"):
            said = call(self.hooks, "/hooks/birds", method=method)
            assert said is not None
            self.assertEqual((405, "post"), (said.status, said.headers["allow"]))
            self.assertEqual(method == "HEAD", said.body == b"")

    def test_the_reply_waits_for_the_bus(self) -> None:
        """Only when the bus has it the caller may forget it."""
        self.bus.held = []
        self.read()
        caller = Caller(self.hooks)
        self.assertIsNone(caller.call("/hooks/birds", b"1"))
        self.assertEqual(([b"1"], 1), (self.frames, self.hooks.waiting))
        self.bus.held[0].callback(None)
        said = caller.said()
        self.assertEqual(202, said and said.status)
        self.assertEqual(0, self.hooks.waiting)
        caller.hang_up()

    def test_a_bus_that_is_too_slow(self) -> None:
        """The caller is asked to come again after a while."""
        self.bus.held = []
        self.read()
        caller = Caller(self.hooks)
        caller.call("/hooks/birds", b"1")
        self.clock.advance(hooks.CONFIRM_WITHIN)
        self.refused(caller.said(), "what was sent is not safe yet")
        self.assertEqual(0, self.hooks.waiting)
        self.assertEqual(202, self.code(caller, held=1))
        caller.hang_up()

    def test_what_the_bus_refuses(self) -> None:
        """It is never called taken: the caller is told why, or to come again where nothing is taken at all."""
        self.bus.held = []
        self.read()
        for unwilling, status in (("", 422), ("the disk is full", 503)):
            caller = Caller(self.hooks)
            caller.call("/hooks/birds", b"1")
            self.bus.unwilling = unwilling
            self.bus.held.pop().errback(MessageRefused("its message id\nhas 309 bytes"))
            said = caller.said()
            assert said is not None
            self.assertEqual(status, said.status)
            if status == 422:
                self.assertEqual(b"this can never be taken: its message id has 309 bytes\n", said.body)
            caller.hang_up()
        self.assertEqual(0, self.hooks.waiting)

    def code(self, caller: Caller, held: int) -> int | None:
        """The answer to another call on the same connection, once the bus has it."""
        caller.call("/hooks/birds", b"2")
        assert self.bus.held is not None
        self.bus.held[held].callback(None)
        said = caller.said()
        return said and said.status

    def refused(self, said: Said | None, sentence: str) -> None:
        """The caller is asked to come again."""
        assert said is not None
        self.assertEqual((503, f"{sentence}\n".encode()), (said.status, said.body))
        self.assertEqual("5", said.headers["retry-after"])

    def test_an_unwilling_bus(self) -> None:
        """Nothing is taken, and the source is not even asked; who only asks something gets his answer."""
        self.bus.unwilling = "the bus cannot take anything at the moment"
        self.read(methods=("POST",), answer=lambda posted: self.fail("asked"))  # type: ignore[arg-type]
        self.refused(call(self.hooks, "/hooks/birds", b"1"), "the bus cannot take anything at the moment")
        self.read("hub", lambda posted: Reply(status=200, body=b"challenge"), methods=("GET", "POST"))
        said = call(self.hooks, "/hooks/hub", method="GET")
        self.assertEqual(b"challenge", said and said.body)
        self.assertEqual(([], 1), (self.frames, self.bus.away))

    def test_paused(self) -> None:
        """Who reads no more sends callers away until he goes on."""
        body = self.read()
        body.pause()
        self.refused(call(self.hooks, "/hooks/birds", b"1"), "reading is paused")
        self.clock.advance(2 * hooks.PULSE)
        body.resume()
        said = call(self.hooks, "/hooks/birds", b"1")
        self.assertEqual(202, said and said.status)
        self.assertEqual([b"1"], self.frames)

    def test_too_many_calls_wait(self) -> None:
        """Beyond a number callers are asked to come again."""
        self.patch(hooks, "IN_FLIGHT", 2)
        self.bus.held = []
        self.read()
        callers = [Caller(self.hooks) for _ in range(3)]
        for caller in callers:
            caller.call("/hooks/birds", b"1")
        for waiting in self.bus.held:
            waiting.callback(None)
        first, second, third = callers
        self.assertEqual([202, 202], [said.status for said in (first.said(), second.said()) if said])
        self.assertEqual(2, len(self.frames))
        third.hang_up()

    def test_a_caller_that_goes_away(self) -> None:
        """Nobody waits for the bus for his sake; what he brought stays ours."""
        self.bus.held = []
        self.read()
        caller = Caller(self.hooks)
        caller.call("/hooks/birds", b"1")
        caller.hang_up()
        self.assertEqual((0, [b"1"]), (self.hooks.waiting, self.frames))
        self.assertEqual([], self.flushLoggedErrors())

    def test_a_source_that_fails(self) -> None:
        """500 for the caller, a traceback in the log, and the hook goes on."""
        wrong = [ValueError("our mistake")]

        def answer(posted: Posted) -> Reply | Taken:
            if wrong:
                raise wrong.pop()
            return taking(posted)

        self.read(answer=answer)
        said = call(self.hooks, "/hooks/birds", b"1")
        assert said is not None
        self.assertEqual((500, False), (said.status, b"mistake" in said.body))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        said = call(self.hooks, "/hooks/birds", b"2")
        self.assertEqual(202, said and said.status)

    def test_a_reader_that_fails(self) -> None:
        """The caller learns that it went wrong."""

        def fail(frames: Any) -> None:
            if frames:
                raise ValueError("our mistake")

        self.opened().answer.deliverBody(StreamBody(fail, self.ends.append, self.bus))
        said = call(self.hooks, "/hooks/birds", b"1")
        self.assertEqual(500, said and said.status)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_odd_replies(self) -> None:
        """A status without a name, and headers with line ends in them, harm nobody."""
        self.read(answer=lambda posted: Reply(status=299, headers={"X-A": "b\r\nSet-Cookie: c"}))
        said = call(self.hooks, "/hooks/birds", b"1")
        assert said is not None
        self.assertEqual(299, said.status)
        self.assertNotIn("set-cookie", said.headers)

    def test_a_long_body(self) -> None:
        """413; what is far too long is not even read to its end."""
        self.read(body_limit=10)
        said = call(self.hooks, "/hooks/birds", b"x" * 11)
        self.assertEqual(413, said and said.status)
        caller = Caller(self.hooks)
        caller.send(b"POST /hooks/birds HTTP/1.1\r\nHost: us\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 41)
        said = caller.said()
        self.assertEqual((413, True), (said and said.status, caller.transport.disconnecting))
        caller.hang_up()
        self.assertEqual(([], 0), (self.frames, self.hooks.site.bodies.held))

    def test_a_body_for_nobody(self) -> None:
        """What is sent to no hook, or by the wrong method, is not kept."""
        self.read()
        for line in (b"POST /hooks/other", b"PUT /hooks/birds"):
            caller = Caller(self.hooks)
            caller.send(line + b" HTTP/1.1\r\nHost: us\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
            self.assertEqual(0, self.hooks.site.bodies.held)
            caller.send(b"x" * 20_000)
            self.assertTrue(caller.transport.disconnecting)
            caller.hang_up()

    def test_all_bodies_together(self) -> None:
        """When the memory for bodies is full, callers are asked to come again."""
        self.hooks.site.bodies.limit = 15
        self.read(body_limit=10)
        half = Caller(self.hooks)
        half.send(b"POST /hooks/birds HTTP/1.1\r\nHost: us\r\nContent-Length: 10\r\n\r\n" + b"x" * 9)
        said = call(self.hooks, "/hooks/birds", b"y" * 9)
        self.assertEqual(503, said and said.status)
        half.hang_up()
        self.assertEqual(0, self.hooks.site.bodies.held)

    def test_a_body_a_byte_at_a_time(self) -> None:
        """A request has to be there in time."""
        self.read()
        caller = Caller(self.hooks)
        caller.send(b"POST /hooks/birds HTTP/1.1\r\nHost: us\r\nContent-Length: 100\r\n\r\n")
        for _ in range(30):
            if not caller.transport.disconnected:
                self.clock.advance(0.5)
                caller.send(b"x")
        self.assertTrue(caller.transport.disconnected)
        caller.hang_up()

    def test_long_heads(self) -> None:
        """Request line and headers are bounded."""
        self.read()
        for head in (b"POST /" + b"x" * 70_000, b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, b"A: b\r\n" * 20_000):
            caller = Caller(self.hooks)
            caller.send(head)
            self.assertTrue(caller.transport.disconnecting)
            caller.hang_up()

    def test_connections_are_bounded(self) -> None:
        """Who holds them all does not take the descriptors of the upstreams."""
        self.read()
        callers = []
        while len(callers) < 10 * hook_site.CONNECTIONS:
            caller = Caller(self.hooks, f"192.0.2.{len(callers) % 250}")
            if caller.channel is None:
                break
            callers.append(caller)
        self.assertEqual(300, len(callers))
        for caller in callers:
            caller.hang_up()
        self.assertEqual(0, self.hooks.site.admission.connections)

    def test_the_port(self) -> None:
        """It is open from the first hook to the last."""
        first, second = self.read("one"), self.read("two")
        self.assertEqual((1, 1), (self.ports.open, self.ports.opened))
        first.close()
        self.assertEqual(1, self.ports.open)
        second.close()
        self.assertEqual(0, self.ports.open)
        self.read("one").close()
        self.assertEqual((0, 2), (self.ports.open, self.ports.opened))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_connections_outlast_the_last_hook_by_their_answer(self) -> None:
        """Idle ones are closed; a caller that waits is answered, and then his connection ends."""
        self.bus.held = []
        body = self.read()
        idle, busy = Caller(self.hooks), Caller(self.hooks)
        idle.call("/hooks/other")
        busy.call("/hooks/birds", b"1")
        body.close()
        self.assertTrue(idle.transport.disconnecting)
        self.refused(busy.said(), "what was sent is not safe yet")
        self.assertTrue(busy.transport.disconnecting)
        for caller in (idle, busy):
            caller.hang_up()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_taken_port(self) -> None:
        """The attempt ends with a sentence that names the setting; the next may succeed."""
        reactor = MemoryReactorClock()
        reactor.listenTCP = lambda *args, **kwargs: (_ for _ in ()).throw(OSError(98, "Address already in use"))
        bind = binding(reactor, "tcp:8184:interface=127.0.0.1")
        failure = self.failureResultOf(Deferred.fromCoroutine(bind(self.hooks.site)), Over)  # type: ignore[arg-type]
        ending = failure.value.ending  # type: ignore[attr-defined]
        self.assertEqual("network", ending.cause)
        self.assertRegex(ending.detail, "^hooks cannot listen on 'tcp:8184.*already in use Change .streamer. hooks")
        self.ports.refuses = failure.value
        opening = Deferred.fromCoroutine(self.hooks.open(Listen(Hook("birds", taking)), None))  # type: ignore[arg-type]
        self.failureResultOf(opening, Over)
        self.ports.refuses = None
        self.read()
        self.assertEqual(1, self.ports.open)

    def test_a_socket_that_systemd_did_not_hand_over(self) -> None:
        """The sentence says which one is missing."""
        bind = binding(MemoryReactorClock(), "systemd:domain=INET:name=hooks")
        failure = self.failureResultOf(Deferred.fromCoroutine(bind(self.hooks.site)), Over)  # type: ignore[arg-type]
        self.assertIn("systemd handed over no socket named 'hooks'", str(failure.value))

    def test_a_real_description(self) -> None:
        """Twisted's notation of endpoints is understood."""
        reactor = MemoryReactorClock()
        made = Hooks(binding(reactor, "tcp:8184:interface=127.0.0.1"), reactor)
        opening: Opening = self.successResultOf(Deferred.fromCoroutine(made.mount(Hook("birds", taking))))
        ((port, factory, _, interface),) = reactor.tcpServers
        self.assertEqual((8184, made.site, "127.0.0.1"), (port, factory, interface))
        opening.close()

    def test_a_renewal_takes_the_place(self) -> None:
        """What comes goes to the newer one as soon as it is read; closing the older one does not matter."""
        old = self.read(answer=lambda posted: Reply(status=201))
        new = self.opened(answer=lambda posted: Reply(status=202))
        self.assertEqual(201, self.status())
        body = StreamBody(self.frames.extend, self.ends.append, self.bus)
        new.answer.deliverBody(body)
        self.assertEqual(202, self.status())
        old.close()
        self.assertEqual(202, self.status())
        body.close()
        self.assertEqual(0, self.ports.open)

    def test_a_renewal_that_fails(self) -> None:
        """The older one is served again."""
        old = self.read(answer=lambda posted: Reply(status=201))
        new = self.read(answer=lambda posted: Reply(status=202))
        self.assertEqual(202, self.status())
        new.close()
        self.assertEqual(201, self.status())
        old.close()

    def test_a_hook_that_is_closed(self) -> None:
        """While its source is stopped its callers are asked to come again; to many, 404 would be final."""
        self.read("other")
        self.read().close()
        self.refused(call(self.hooks, "/hooks/birds", b"1"), "the hook is closed at the moment")
        self.read()
        self.assertEqual(202, self.status())

    def test_closed_hooks_are_forgotten(self) -> None:
        """Not as many as there ever were are remembered."""
        self.patch(hooks, "CLOSED_KEPT", 2)
        self.read("other")
        for path in ("birds", "bees", "bats"):
            self.read(path).close()
        self.assertEqual(404, self.status())

    def status(self) -> int | None:
        """What a call is answered with."""
        said = call(self.hooks, "/hooks/birds", b"1")
        return said and said.status

    def test_nobody_reads_yet(self) -> None:
        """Between opening and reading, callers are asked to come again."""
        self.opened()
        self.refused(call(self.hooks, "/hooks/birds", b"1"), "nobody reads this hook at the moment")

    def test_silence_is_told(self) -> None:
        """Whoever reads hears now and then that nothing came, so that he knows until when all is his."""
        beats: list[Any] = []
        opened = self.opened()
        body = StreamBody(beats.append, self.ends.append, self.bus)
        opened.answer.deliverBody(body)
        for _ in range(3):
            self.clock.advance(hooks.PULSE)
        self.assertEqual([()] * 4, beats)
        opened.abort()
        opened.abort()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_wake(self) -> None:
        """A reply may tell those who poll beside a hook to go on."""
        woken: list[int] = []
        opening: Opening = self.successResultOf(
            Deferred.fromCoroutine(self.hooks.mount(Hook("hub", lambda posted: Reply(status=200, wake=True))))
        )
        opening.woken = lambda: woken.append(1)
        opening.attach(StreamBody(self.frames.extend, self.ends.append, self.bus))
        said = call(self.hooks, "/hooks/hub", b"1")
        self.assertEqual((200, [1]), (said and said.status, woken))
        opening.close()

    def test_a_body_in_chunks(self) -> None:
        """Its length need not be known beforehand."""
        self.read(body_limit=10)
        caller = Caller(self.hooks)
        head = b"POST /hooks/birds HTTP/1.1\r\nHost: us\r\nTransfer-Encoding: chunked\r\n\r\n"
        caller.send(head + b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')
        said = caller.said()
        self.assertEqual((202, [b'{"a":1}']), (said and said.status, self.frames))
        caller.send(head + b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n")
        said = caller.said()
        self.assertEqual(413, said and said.status)
        caller.hang_up()

    @given(st.lists(st.binary(max_size=40) | st.sampled_from(PIECES), max_size=12))
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Whatever is sent, nothing is raised, and nothing is held when the caller is gone."""
        clock = Clock()
        made, _ = in_memory(clock)
        opened = self.successResultOf(Deferred.fromCoroutine(made.mount(Hook("birds", taking, body_limit=20))))
        opened.attach(StreamBody(lambda frames: None, self.ends.append, self.bus))
        caller = Caller(made)
        for piece in pieces:
            if not (caller.transport.disconnecting or caller.transport.disconnected):
                caller.send(piece)
        caller.hang_up()
        self.assertEqual((0, 0), (made.site.bodies.held, made.site.admission.connections))
        self.assertEqual([], [call for call in clock.getDelayedCalls() if call.active()])

    def test_several_requests_on_one_connection(self) -> None:
        """A sender may keep its connection."""
        self.read()
        caller = Caller(self.hooks)
        for number in range(3):
            said = caller.call("/hooks/birds", b"%d" % number)
            self.assertEqual(202, said and said.status)
        self.assertEqual([b"0", b"1", b"2"], self.frames)
        caller.hang_up()
