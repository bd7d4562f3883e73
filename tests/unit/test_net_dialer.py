"""Websockets that we open: whole messages, every kind of refusal and end, and one host after the other."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Dial
from streamer.errors import DecodeError
from streamer.net import failures
from streamer.net.client import Opened, UpstreamClient
from streamer.net.dialed import CLOSE_WITHIN, MESSAGE_LIMIT, PIECES_LIMIT
from streamer.net.dialer import Dialer, endpoints
from streamer.policy import backoff
from streamer.testing.socket_frames import BINARY, CLOSE, DEFLATED, PING, TEXT, frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # https://www.rfc-editor.org/rfc/rfc6455#section-1.3
ONE = "ws://one.example/subscribe?x=1"


class Wire(StringTransport):
    """The socket of a client, with what its server does."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.aborted = False
        protocol.makeConnection(self)

    def abortConnection(self) -> None:
        """The client hangs up."""
        if not self.aborted:
            self.aborted = True
            self.lose(ConnectionLost())

    def lose(self, reason: Exception) -> None:
        """The connection is gone."""
        if not self.disconnected:
            self.disconnected = True
            self.protocol.connectionLost(Failure(reason))

    def send(self, data: bytes) -> None:
        """The server writes."""
        self.protocol.dataReceived(data)

    def accept(self, more: str = "", after: bytes = b"") -> None:
        """The server agrees."""
        key, asked = self.request[b"sec-websocket-key"], len(self.value())
        proof = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}"
        self.send(f"{head}Sec-WebSocket-Accept: {proof}\r\n\r\n".encode() + after)
        sent = self.value()[asked:]
        self.clear()
        self.write(sent)

    @property
    def request(self) -> dict[bytes, bytes]:
        """The headers of the handshake, and its first line as b""."""
        first, *lines = self.value().partition(b"\r\n\r\n")[0].split(b"\r\n")
        return {b"": first, **{line.split(b": ", 1)[0].lower(): line.split(b": ", 1)[1] for line in lines}}

    def said(self) -> list[tuple[int, bytes]]:
        """What the client has sent since the last look: opcode and payload of each frame."""
        data, frames = self.value(), []
        self.clear()
        while data:
            opcode, size, at = data[0] & 0x0F, data[1] & 0x7F, 2
            if size == 126:
                size, at = struct.unpack("!H", data[2:4])[0], 4
            mask, body = data[at : at + 4], data[at + 4 : at + 4 + size]
            frames.append((opcode, bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))))
            data = data[at + 4 + size :]
        return frames


class Hosts:
    """Endpoints: what each host does with a connection."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, bool]] = []
        self.wires: list[Wire] = []
        self.fails: dict[str, Exception] = {}
        self.waiting: list[Deferred[Any]] = []

    def __call__(self, host: str, port: int, secure: bool) -> Any:
        """See `dialer.Endpoints`."""
        self.asked.append((host, port, secure))
        hosts = self

        class Endpoint:
            def connect(self, factory: Any) -> Deferred[Any]:
                error = hosts.fails.get(host)
                if error is not None:
                    return fail(error)
                if host == "silent.example":
                    hosts.waiting.append(Deferred())
                    return hosts.waiting[-1]
                hosts.wires.append(Wire(factory.buildProtocol(None)))
                return succeed(hosts.wires[-1].protocol)

        return Endpoint()

    @property
    def names(self) -> list[str]:
        """Which hosts were asked."""
        return [host for host, _, _ in self.asked]


class Body(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, ...]] = []
        self.over: list[Failure] = []

    def dataReceived(self, data: Any) -> None:
        self.got.append(tuple(data))

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.over.append(reason)


class Dialling(SynchronousTestCase):
    """A dialer and servers written byte by byte."""

    def setUp(self) -> None:
        """A dialer; nothing may be left on its clock."""
        self.clock = Clock()
        self.hosts = Hosts()
        self.dialer = Dialer(self.hosts, self.clock)
        self.client = UpstreamClient(lambda connected: None, self.clock, "tests/1")  # type: ignore[arg-type,return-value]
        self.addCleanup(lambda: self.assertEqual([], self.clock.getDelayedCalls()))

    def dial(self, *urls: str, **fields: Any) -> Deferred[Opened]:
        """Ask for a websocket."""
        return Deferred.fromCoroutine(self.dialer.open(Dial(urls or (ONE,), **fields), self.client))


class DialerTests(Dialling):
    """One host."""

    def opened(self, **fields: Any) -> tuple[Opened, Wire, Body]:
        """A websocket that is open and read."""
        asked = self.dial(**fields)
        wire = self.hosts.wires[-1]
        wire.accept()
        opened, body = self.successResultOf(asked), Body()
        opened.answer.deliverBody(body)
        self.addCleanup(opened.abort)
        return opened, wire, body

    def cause(self, body: Body) -> str:
        """What its end is taken for."""
        (failure,) = body.over
        return failures.ending(failure, "while reading").cause

    def test_handshake(self) -> None:
        """The request is what RFC 6455 asks for, with the query as it stands, our name, and what the source adds."""
        asked = self.dial(headers={"X-One": "1"}, protocols=("a", "b"))
        wire = self.hosts.wires[0]
        request = wire.request
        self.assertEqual(b"GET /subscribe?x=1 HTTP/1.1", request[b""])
        wanted = {
            b"host": b"one.example:80",
            b"user-agent": b"tests/1",
            b"x-one": b"1",
            b"sec-websocket-version": b"13",
        }
        self.assertEqual(wanted, {name: request[name] for name in wanted})
        self.assertEqual(b"a,b", request[b"sec-websocket-protocol"])
        self.assertNotIn(b"sec-websocket-extensions", request)
        self.assertEqual([("one.example", 80, False)], self.hosts.asked)
        wire.accept("Sec-WebSocket-Protocol: b\r\nX-Two: 2\r\n")
        opened = self.successResultOf(asked)
        self.assertEqual((200, ["2"]), (opened.answer.code, opened.answer.headers.getRawHeaders("x-two")))
        opened.abort()
        self.assertTrue(wire.aborted)

    def test_tls(self) -> None:
        """`wss` is TLS, at 443 unless the URL says otherwise."""
        self.hosts.fails["one.example"] = ConnectionRefusedError()
        self.failureResultOf(self.dial("wss://one.example/"), ConnectionRefusedError)
        self.failureResultOf(self.dial("wss://one.example:8443/"), ConnectionRefusedError)
        self.assertEqual([("one.example", 443, True), ("one.example", 8443, True)], self.hosts.asked)

    def test_messages(self) -> None:
        """Each message comes whole, text or binary, however its bytes are split; those of one read come together."""
        _, wire, body = self.opened()
        sent = frame(TEXT, b"one") + frame(BINARY, b"\xff\x00") + frame(TEXT, b"x" * 70_000)
        wire.send(sent)
        self.assertEqual([(b"one", b"\xff\x00", b"x" * 70_000)], body.got)
        body.got.clear()
        for at in range(len(sent) - 69_000):
            wire.send(sent[at : at + 1])
        wire.send(sent[-69_000:])
        self.assertEqual([(b"one",), (b"\xff\x00",), (b"x" * 70_000,)], body.got)

    def test_fragments(self) -> None:
        """A message in several frames is one, also where a ping comes between them."""
        _, wire, body = self.opened()
        wire.send(b"\x01\x02on" + frame(PING, b"?") + b"\x80\x01e")
        self.assertEqual([(b"one",)], body.got)

    def test_messages_with_the_answer(self) -> None:
        """What comes together with the handshake's answer is not lost, also where nobody listens yet."""
        asked = self.dial()
        wire = self.hosts.wires[0]
        wire.accept(after=frame(TEXT, b"one") + frame(TEXT, b"two"))
        self.assertEqual("paused", wire.producerState)
        opened, body = self.successResultOf(asked), Body()
        opened.answer.deliverBody(body)
        self.assertEqual(("producing", [(b"one", b"two")]), (wire.producerState, body.got))
        opened.abort()

    def test_ping(self) -> None:
        """A ping is answered, and heard as a sign of life without a message; so is a pong."""
        _, wire, body = self.opened()
        wire.send(frame(PING, b"abc"))
        self.assertEqual([(10, b"abc")], wire.said())
        wire.send(frame(10, b""))
        self.assertEqual([(), ()], body.got)

    def test_no_text(self) -> None:
        """A text message that is no UTF-8 costs that message alone, not the connection: its source refuses it."""
        _, wire, body = self.opened()
        wire.send(frame(TEXT, b"\xff\xfe") + frame(TEXT, b"two"))
        self.assertEqual(([(b"\xff\xfe", b"two")], []), (body.got, body.over))

    def test_hello_and_say(self) -> None:
        """What a source wants to say goes out at once, and what it says later in its turn."""
        opened, wire, _ = self.opened(hello=("ä", "two"))
        self.assertEqual([(TEXT, "ä".encode()), (TEXT, b"two")], wire.said())
        assert opened.say is not None
        opened.say("three")
        self.assertEqual([(TEXT, b"three")], wire.said())
        wire.send(frame(CLOSE, struct.pack("!H", 1001)))
        wire.clear()
        opened.say("four")
        self.assertEqual([], wire.said())

    def test_pause(self) -> None:
        """A pause stops the socket itself."""
        opened, wire, _ = self.opened()
        opened.answer.pauseProducing()  # type: ignore[attr-defined]
        self.assertEqual("paused", wire.producerState)
        opened.answer.resumeProducing()  # type: ignore[attr-defined]
        self.assertEqual("producing", wire.producerState)

    def test_close_frame(self) -> None:
        """A close frame is answered, and told as a refusal with its code and reason once the connection is gone."""
        for code, reason in ((1001, "server shutting down"), (1012, ""), (4999, "x"), (1008, "ä")):
            _, wire, body = self.opened()
            wire.send(frame(TEXT, b"last") + frame(CLOSE, struct.pack("!H", code) + reason.encode()))
            self.assertEqual([(b"last",)], body.got)
            self.assertEqual(CLOSE, wire.said()[0][0])
            wire.lose(ConnectionDone())
            (failure,) = body.over
            said = failure.value
            assert isinstance(said, failures.Refused)
            self.assertEqual((code, reason.encode()), (said.response.status, said.response.body))

    def test_close_frame_without_a_code(self) -> None:
        """It is told as 1005, which no frame can hold."""
        _, wire, body = self.opened()
        wire.send(frame(CLOSE, b""))
        wire.lose(ConnectionDone())
        (failure,) = body.over
        self.assertEqual(1005, failure.value.response.status)  # type: ignore[attr-defined]

    def test_nonsense_in_a_close_frame(self) -> None:
        """A code that none may send, and a reason that is no UTF-8, are told as they are."""
        for payload, status in ((struct.pack("!H", 5) + b"x", 5), (struct.pack("!H", 1000) + b"\xff", 1000)):
            _, wire, body = self.opened()
            wire.send(frame(CLOSE, payload))
            wire.lose(ConnectionDone())
            (failure,) = body.over
            self.assertEqual(status, failure.value.response.status)  # type: ignore[attr-defined]

    def test_close_without_an_end(self) -> None:
        """A server that says goodbye and stays is hung up on."""
        _, wire, body = self.opened()
        wire.send(frame(CLOSE, struct.pack("!H", 1001)))
        self.clock.advance(CLOSE_WITHIN)
        self.assertTrue(wire.aborted)
        self.assertEqual(1, len(body.over))

    def test_lost(self) -> None:
        """A connection that ends without a word is a loss of the network, clean or not."""
        for reason in (ConnectionDone(), ConnectionLost()):
            _, wire, body = self.opened()
            wire.send(frame(TEXT, b"whole") + frame(TEXT, b"half")[:-2])
            wire.lose(reason)
            self.assertEqual(([(b"whole",)], backoff.NETWORK), (body.got, self.cause(body)))

    def test_too_long(self) -> None:
        """A message beyond the limit is not read: the connection ends with 1009, and we say why."""
        _, wire, body = self.opened()
        wire.send(struct.pack("!BBQ", 0x82, 127, MESSAGE_LIMIT + 1))
        ((opcode, payload),) = wire.said()
        self.assertEqual((CLOSE, 1009), (opcode, struct.unpack("!H", payload[:2])[0]))
        wire.send(b"x" * 100_000)
        self.clock.advance(CLOSE_WITHIN)
        self.assertEqual(([], backoff.HTTP), (body.got, self.cause(body)))

    def test_pieces_without_end(self) -> None:
        """A message of ever more empty frames is not collected for ever; one of many pieces is read."""
        _, wire, body = self.opened()
        wire.send(b"\x01\x00" + b"\x00\x01x" * 10_000 + b"\x80\x00")
        self.assertEqual([(b"x" * 10_000,)], body.got)
        wire.send(b"\x01\x00" + b"\x00\x00" * PIECES_LIMIT)
        ((opcode, payload),) = wire.said()
        self.assertEqual((CLOSE, 1009), (opcode, struct.unpack("!H", payload[:2])[0]))
        self.clock.advance(CLOSE_WITHIN)
        self.assertEqual(backoff.HTTP, self.cause(body))

    def test_lost_before_anybody_listens(self) -> None:
        """Who comes too late still gets what came, and hears of the end."""
        asked = self.dial()
        wire = self.hosts.wires[-1]
        wire.accept(after=frame(TEXT, b"one") + frame(CLOSE, struct.pack("!H", 1001)))
        wire.lose(ConnectionDone())
        body = Body()
        self.successResultOf(asked).answer.deliverBody(body)
        self.assertEqual([(b"one",)], body.got)
        self.assertIsInstance(body.over[0].value, failures.Refused)

    @given(st.lists(st.binary(max_size=60), max_size=5))
    def test_any_answer(self, pieces: list[bytes]) -> None:
        """Whatever answers, there is a refusal, an error, or nothing until the time is over."""
        asked = self.dial()
        wire = self.hosts.wires[-1]
        for piece in (b"HTTP/1.1 101 x\r\n", *pieces, b"\r\n\r\n"):
            wire.send(piece)
        self.clock.advance(30)
        self.failureResultOf(asked)
        self.assertTrue(wire.aborted)

    @given(st.lists(st.binary(max_size=60), max_size=5))
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Whatever comes on an open websocket, it is messages or the end of it."""
        _, wire, body = self.opened()
        for piece in pieces:
            if not wire.disconnected:
                wire.send(piece)
        self.clock.advance(CLOSE_WITHIN)
        for failure in body.over:
            self.assertNotEqual(backoff.UNEXPECTED, failures.ending(failure, "").cause)
        self.assertLessEqual(len(body.over), 1)

    def test_long(self) -> None:
        """A message of 5 MB is taken in, for its source to skip."""
        _, wire, body = self.opened()
        wire.send(frame(BINARY, b"x" * 5_000_000))
        self.assertEqual([5_000_000], [len(message) for messages in body.got for message in messages])

    def test_violation(self) -> None:
        """Frames that are none end the connection; what came before them counts."""
        for wrong in (b"\xf1\x00", b"\x83\x00", b"\x89\x7e\x01\x00", b"\x81\x80abcd"):
            _, wire, body = self.opened()
            wire.send(frame(TEXT, b"one") + wrong)
            self.clock.advance(CLOSE_WITHIN)
            self.assertEqual(([(b"one",)], backoff.HTTP), (body.got, self.cause(body)), wrong)

    def test_deflate(self) -> None:
        """Compression is offered where the source wants it, undone here, and bounded."""
        asked = self.dial(deflate=True)
        wire = self.hosts.wires[-1]
        self.assertTrue(wire.request[b"sec-websocket-extensions"].startswith(b"permessage-deflate"))
        wire.accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        opened, body = self.successResultOf(asked), Body()
        opened.answer.deliverBody(body)

        def deflated(message: bytes) -> bytes:
            packer = zlib.compressobj(wbits=-15)
            return frame(TEXT, (packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], DEFLATED)

        wire.send(deflated(b"one" * 1000))
        self.assertEqual([(b"one" * 1000,)], body.got)
        wire.send(deflated(b"x" * (MESSAGE_LIMIT + 1)))
        self.clock.advance(CLOSE_WITHIN)
        self.assertEqual((1, backoff.HTTP), (len(body.got), self.cause(body)))

    def test_compression_that_nobody_offered(self) -> None:
        """A server that compresses unasked is no websocket."""
        asked = self.dial()
        self.hosts.wires[-1].accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        self.failureResultOf(asked, DecodeError)

    def test_abort(self) -> None:
        """Who hangs up hears nothing more, and the socket is gone at once."""
        opened, wire, body = self.opened()
        opened.abort()
        self.assertTrue(wire.aborted)
        self.assertEqual([], body.over)
        opened.abort()

    def test_refusals(self) -> None:
        """An HTTP answer is told as such: code, headers and body, cut short or in chunks."""
        for answer, expected in (
            (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait", b"wait"),
            (b"HTTP/1.1 429 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwai\r\n1;x=y\r\nt\r\n0\r\n\r\n", b"wait"),
            (b"HTTP/1.0 500 x\r\n\r\nwait", b"wait"),
            (b"HTTP/1.1 400 x\r\nContent-Length: 400\r\n\r\nwait", b"wait"),
            (b"HTTP/1.1 304 x\r\n\r\n", b""),
        ):
            asked = self.dial()
            wire = self.hosts.wires[-1]
            for at in range(len(answer)):
                wire.send(answer[at : at + 1])
            opened = self.successResultOf(asked)
            self.assertEqual(int(answer[9:12]), opened.answer.code)
            reading = Deferred.fromCoroutine(self.client.read(opened))
            wire.lose(ConnectionDone())
            response = self.successResultOf(reading)
            self.assertEqual(expected, response.body, answer)

    def test_retry_after(self) -> None:
        """The headers of a refusal reach whoever classifies it."""
        asked = self.dial()
        self.hosts.wires[-1].send(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
        response = self.successResultOf(Deferred.fromCoroutine(self.client.read(self.successResultOf(asked))))
        self.assertEqual("7", response.headers["retry-after"])

    def test_a_page_in_the_place_of_a_websocket(self) -> None:
        """200 and a page is no success: a proxy stands in between, perhaps."""
        asked = self.dial()
        wire = self.hosts.wires[-1]
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Welcome!</html>")
        error = self.failureResultOf(asked, DecodeError).value
        self.assertIn("200", str(error))
        self.assertTrue(wire.aborted)

    def test_answers_that_are_none(self) -> None:
        """Whatever else answers is refused in a sentence, and hung up on."""
        for answer in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x15\x03\x01\x00\x02",
            b"HTTP/1.1 101 x\r\n\r\n",
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
            "HTTP/1.1 101 ä\r\n\r\n".encode(),
            b"HTTP/1.1 101 x\r\nno header\r\n: x\r\n\r\n",
            b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n",
            b"HTTP/1.1 101 x\r\nX: " + b"x" * 20_000,
        ):
            asked = self.dial()
            wire = self.hosts.wires[-1]
            wire.send(answer)
            self.failureResultOf(asked, DecodeError)
            self.assertTrue(wire.aborted, answer)

    def test_lost_in_the_handshake(self) -> None:
        """A connection that ends before the answer is a loss of the network."""
        for reason in (ConnectionDone(), ConnectionLost()):
            asked = self.dial()
            self.hosts.wires[-1].send(b"HTTP/1.1 101")
            self.hosts.wires[-1].lose(reason)
            failure = self.failureResultOf(asked)
            self.assertEqual(backoff.NETWORK, failures.ending(failure, "").cause)

    def test_no_answer(self) -> None:
        """A single host has thirty seconds to answer."""
        asked = self.dial()
        self.clock.advance(29.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(backoff.NETWORK, failures.ending(self.failureResultOf(asked), "").cause)
        self.assertTrue(self.hosts.wires[-1].aborted)

    def test_cancel(self) -> None:
        """Who no longer wants it is rid of it, connecting or in the handshake, and no other host is asked."""
        asked = self.dial()
        asked.cancel()
        self.failureResultOf(asked)
        self.assertTrue(self.hosts.wires[-1].aborted)
        asked = self.dial("ws://silent.example/", "ws://two.example/")
        asked.cancel()
        self.failureResultOf(asked)
        self.assertEqual(["one.example", "silent.example"], self.hosts.names)


class EndpointsTests(SynchronousTestCase):
    """`endpoints`."""

    def test_tls(self) -> None:
        """TLS where it is asked for, and only there."""
        make = endpoints(MemoryReactorClock())
        self.assertIsInstance(make("one.example", 80, False), HostnameEndpoint)
        self.assertNotIsInstance(make("one.example", 443, True), HostnameEndpoint)


class HostsTests(Dialling):
    """Several hosts."""

    urls = ("ws://one.example/a", "ws://two.example/a", "ws://three.example/a")

    def next(self, **fields: Any) -> str:
        """The host that the next attempt begins with."""
        before = len(self.hosts.asked)
        asked = self.dial(*self.urls, **fields)
        asked.addErrback(lambda failure: None)
        asked.cancel()
        return self.hosts.names[before]

    def test_the_next_host(self) -> None:
        """A host that cannot be reached, or has no name, is passed over in the same attempt; the good one is kept."""
        self.hosts.fails = {"one.example": ConnectionRefusedError(), "two.example": DNSLookupError()}
        asked = self.dial(*self.urls)
        self.assertEqual(["one.example", "two.example", "three.example"], self.hosts.names)
        self.hosts.wires[-1].accept()
        opened = self.successResultOf(asked)
        opened.abort()
        self.hosts.fails = {}
        self.assertEqual("three.example", self.next())

    def test_none(self) -> None:
        """Where none can be reached the attempt fails, and the next begins where this one did."""
        self.hosts.fails = {f"{name}.example": ConnectionRefusedError() for name in ("one", "two", "three")}
        self.failureResultOf(self.dial(*self.urls), ConnectionRefusedError)
        self.assertEqual(3, len(self.hosts.asked))
        self.hosts.fails = {}
        self.assertEqual("one.example", self.next())

    def test_silence(self) -> None:
        """One of several has ten seconds."""
        asked = self.dial(*self.urls)
        for _ in range(3):
            self.clock.advance(10)
        self.failureResultOf(asked)
        self.assertEqual(["one.example", "two.example", "three.example"], self.hosts.names)

    def test_refusal(self) -> None:
        """A refusal is told, and the next attempt asks the next host, whatever stands in the URLs besides."""
        asked = self.dial(*self.urls)
        self.hosts.wires[-1].send(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")
        self.successResultOf(asked).abort()
        self.urls = tuple(f"{url}?cursor=5" for url in self.urls)
        self.assertEqual("two.example", self.next())

    def test_a_page_at_one(self) -> None:
        """A host with a page in the place of a websocket is passed over."""
        self.dial(*self.urls).addErrback(lambda failure: None)
        wire = self.hosts.wires[-1]
        wire.send(b"HTTP/1.1 200 x\r\n\r\n")
        self.assertEqual("two.example", self.next())

    def test_ends(self) -> None:
        """A host that ended a connection is the last to be asked again; so is one on which we gave up in silence."""
        for end, expected in (("lost", "two.example"), ("stopped", "one.example"), ("stalled", "two.example")):
            self.dialer = Dialer(self.hosts, self.clock)
            asked = self.dial(*self.urls)
            wire = self.hosts.wires[-1]
            wire.accept()
            opened, body = self.successResultOf(asked), Body()
            opened.answer.deliverBody(body)
            if end == "stalled":
                self.clock.advance(30)
            if end == "lost":
                wire.lose(ConnectionLost())
            opened.abort()
            self.assertEqual(expected, self.next(), end)
