"""Requests on their way out, and how much of an answer is taken before its body."""

from __future__ import annotations

import gzip
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.net import failures
from streamer.net.client import ANSWER_TIMEOUT, HEADERS_LIMIT, UpstreamClient, agents
from streamer.policy import backoff
from streamer.upstream import Request

OK = b"HTTP/1.1 200 OK\r\n"
FIELD = b"X-Padding: " + b"v" * 1011 + b"\r\n"  # 1,024 bytes


class Wire(StringTransport):
    """A connection that only tells whether it was reset."""

    aborted = False

    def abortConnection(self) -> None:
        """Reset."""
        self.aborted = True


class Asked:
    """One request by the agents of production, over a reactor in memory."""

    def __init__(self, url: str = "http://127.0.0.1:8090/x", **request: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.client = UpstreamClient(agents(self.reactor), self.reactor, "tests")
        self.request = Request(url=url, **request)
        self.wire = Wire()

    def open(self) -> Deferred[Any]:
        """Ask, and connect."""
        return self._begin(self.client.open(self.request))

    def fetch(self) -> Deferred[Any]:
        """Ask for a short answer, and connect."""
        return self._begin(self.client.fetch(self.request))

    def _begin(self, asking: Any) -> Deferred[Any]:
        asked: Deferred[Any] = Deferred.fromCoroutine(asking)
        ((_, self.port, factory, *_),) = self.reactor.tcpClients  # that reactor knows but one address
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.wire)
        return asked

    def say(self, data: bytes) -> None:
        """The server says something; nothing more is heard of it after a reset."""
        if not self.wire.aborted:
            self.protocol.dataReceived(data)

    def lost(self, reason: Exception) -> None:
        """The connection is gone."""
        self.protocol.connectionLost(Failure(reason))


class RequestTests(SynchronousTestCase):
    """What goes out."""

    def test_ipv6(self) -> None:
        """A server may be an IPv6 address."""
        asked = Asked("http://[::1]:8090/2/stream?a=b,c")
        result = asked.open()
        self.assertEqual(8090, asked.port)
        sent = asked.wire.value()
        self.assertTrue(sent.startswith(b"GET /2/stream?a=b,c HTTP/1.1\r\n"), sent)
        self.assertIn(b"Host: [::1]:8090\r\n", sent)
        asked.say(OK + b"\r\n")
        self.assertEqual(200, self.successResultOf(result).answer.code)

    def test_as_written(self) -> None:
        """The URL goes out byte for byte, for it may be signed; no compression is asked for."""
        asked = Asked("http://127.0.0.1:8090/a%7Eb/%c3%bc;x/../y?q=%20+%2B")
        asked.open()
        self.assertTrue(asked.wire.value().startswith(b"GET /a%7Eb/%c3%bc;x/../y?q=%20+%2B HTTP/1.1\r\n"))
        self.assertNotIn(b"ncoding", asked.wire.value())

    def test_body(self) -> None:
        """A body is sent with its length and headers."""
        asked = Asked(method="POST", headers={"Content-Type": "application/json"}, body=b"{}")
        asked.fetch()
        self.assertIn(b"POST /x HTTP/1.1\r\n", asked.wire.value())
        self.assertTrue(asked.wire.value().endswith(b"\r\n\r\n{}"), asked.wire.value())
        self.assertIn(b"Content-Length: 2\r\n", asked.wire.value())

    def test_packed_answer(self) -> None:
        """A short answer that a server compressed unasked is read."""
        asked, packed = Asked(), gzip.compress(b'{"data":[]}')
        result = asked.fetch()
        asked.say(OK + b"Content-Encoding: GZIP\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)
        self.assertEqual(b'{"data":[]}', self.successResultOf(result).body)
        self.assertTrue(asked.wire.aborted)

    def test_repeated_headers(self) -> None:
        """The lines of a list are one list; of what stands once the last line counts."""
        asked = Asked()
        result = asked.fetch()
        asked.say(
            OK + b"Link: <https://hub.example/>; rel=hub\r\nLink: </f>; rel=self\r\nCache-Control: a\r\n"
            b"cache-control: b\r\nETag: 1\r\nETag: 2\r\nLocation: /a\r\nLocation: /b\r\nX-Poll-Interval: 6\r\n"
            b"X-Poll-Interval: 7\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )
        headers = self.successResultOf(result).headers
        self.assertEqual("<https://hub.example/>; rel=hub, </f>; rel=self", headers["link"])
        self.assertEqual(("a, b", "2", "/b"), (headers["cache-control"], headers["etag"], headers["location"]))
        self.assertEqual(("7", "b=2"), (headers["x-poll-interval"], headers["set-cookie"]))

    def test_nothing_left(self) -> None:
        """A request that is not answered in time leaves no timer behind."""
        asked = Asked()
        result = asked.open()
        asked.reactor.advance(ANSWER_TIMEOUT)
        self.failureResultOf(result)
        self.assertEqual([], asked.reactor.getDelayedCalls())


class HeadersTests(SynchronousTestCase):
    """The bytes before a body."""

    def refused(self, asked: Asked, result: Deferred[Any]) -> None:
        """It was reset, and is told as a fault of the upstream."""
        self.assertTrue(asked.wire.aborted)
        asked.lost(ConnectionError())
        failure = self.failureResultOf(result, DecodeError)
        ending = failures.ending(failure, "while connecting")
        self.assertEqual(
            (backoff.HTTP, f"the answer's headers are longer than {HEADERS_LIMIT} bytes while connecting"),
            (ending.cause, ending.detail),
        )
        self.assertEqual([], asked.reactor.getDelayedCalls())

    def test_endless(self) -> None:
        """Headers without an end are cut off soon after the limit."""
        asked = Asked()
        result = asked.open()
        asked.say(OK)
        said = 0
        while not asked.wire.aborted and said < 10 * HEADERS_LIMIT:
            asked.say(FIELD)
            said += len(FIELD)
        self.assertLess(said, HEADERS_LIMIT + 2 * len(FIELD))
        self.refused(asked, result)

    def test_endless_after_an_interim_answer(self) -> None:
        """So are those that follow a 1xx answer, and answers of that kind without an end."""
        for more in (FIELD, b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * 40):
            asked = Asked()
            result = asked.open()
            asked.say(b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + (OK if more == FIELD else b""))
            for _ in range(HEADERS_LIMIT // len(more) + 1):
                asked.say(more)
            self.refused(asked, result)

    def test_within(self) -> None:
        """Headers up to the limit are good, and a body of any length after them is not counted."""
        asked = Asked()
        result = asked.open()
        asked.say(OK + FIELD * (HEADERS_LIMIT // len(FIELD) - 1))
        self.assertNoResult(result)
        asked.say(b"\r\n" + b"b" * HEADERS_LIMIT)
        opened = self.successResultOf(result)
        asked.say(b"b" * HEADERS_LIMIT)
        self.assertFalse(asked.wire.aborted)
        self.assertEqual(200, opened.answer.code)

    def test_out_of_the_way(self) -> None:
        """Once the headers are in, bytes go to Twisted's protocol with nothing of ours between."""
        asked = Asked()
        asked.open()
        inner = asked.protocol
        while hasattr(inner, "_wrappedProtocol"):  # of the endpoint
            inner = inner._wrappedProtocol
        self.assertIn("dataReceived", vars(inner))
        asked.say(OK + b"\r\n")
        self.assertNotIn("dataReceived", vars(inner))

    @settings(max_examples=30)
    @given(st.integers(0, 4), st.lists(st.integers(1, 2000), min_size=1, max_size=20))
    def test_any_pieces(self, count: int, sizes: list[int]) -> None:
        """An answer means the same in whatever pieces it comes."""
        asked, answer = Asked(), OK + FIELD * count + b"Content-Length: 2\r\n\r\nhi"
        result, turn = asked.fetch(), 0
        while answer:
            size = sizes[turn % len(sizes)]
            asked.say(answer[:size])
            answer, turn = answer[size:], turn + 1
        self.assertEqual(b"hi", self.successResultOf(result).body)
