"""The admin endpoint of several processes, in memory."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived

from streamer.metrics import CLIENTS, DELIVERED, FANOUT_LAG, HANDSHAKES, Metrics
from streamer.net.admin import admin_site, render
from streamer.net.gathered import ANSWER_WITHIN, Member, gathered_site, unix_pages
from streamer.net.merging import merged
from streamer.policy.exposition import parse


def numbers(**delivered: float) -> Metrics:
    """Some metrics."""
    metrics = Metrics()
    metrics.add(DELIVERED, by=delivered["delivered"])
    metrics.add(HANDSHAKES, "websocket", "accepted", by=2)
    metrics.add(FANOUT_LAG, "0.1", by=3)
    return metrics


class MergedTests(SynchronousTestCase):
    """`merged`."""

    def test_labels(self) -> None:
        """Each number keeps its labels and gets one more, under one heading; our own get none."""
        own = Metrics()
        own.set(CLIENTS, "none", to=1)
        page = merged({"": render(own), "1": render(numbers(delivered=5)), "2": render(numbers(delivered=7))})
        self.assertEqual(1, page.count("# TYPE streamer_delivered_total counter\n"))
        samples = parse(page)
        self.assertEqual({"1": 5, "2": 7}, samples.by("streamer_delivered_total", "process"))
        self.assertEqual(2, samples.total("streamer_handshakes_total", process="2", outcome="accepted"))
        self.assertEqual(3, samples.total("streamer_fanout_lag_seconds_bucket", process="1", le="0.1"))
        self.assertEqual({"": 1}, samples.by("streamer_clients", "process"))
        heads = [line.split(" ")[2] for line in page.splitlines() if line.startswith("# HELP")]
        self.assertEqual(len(set(heads)), len(heads), "each metric stands in one place")

    @given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1e9)), unique_by=lambda pair: pair[0], max_size=5))
    def test_any_label(self, values: list[tuple[str, float]]) -> None:
        """Whatever stands in a label, nothing is lost and nothing mixed up."""
        metrics = Metrics()
        for label, number in values:
            metrics.set(CLIENTS, label, to=number)
        one, both = parse(render(metrics)), parse(merged({"1": render(metrics), "2": render(metrics)}))
        for process in ("1", "2"):
            self.assertEqual(one.by("streamer_clients", "face"), both.by("streamer_clients", "face", process=process))


class GatheredTests(SynchronousTestCase):
    """`gathered_site`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.stopping = self.none = False
        self.answers: dict[int, Any] = {}
        self.metrics = Metrics()
        site = gathered_site(self.members, self.metrics, lambda: self.stopping, self.reactor)
        self.treq = StubTreq(site.resource)

    def members(self) -> list[Member]:
        """Two processes, and a third that does not run; or none."""
        if self.none:
            return []
        asks = [
            Member(number, {"pid": number}, lambda page, number=number: self.answers[number](page))
            for number in self.answers
        ]
        return [*asks, Member(3, {"pid": None}, None, "it ended")][: 2 if len(self.answers) > 1 else 3]

    def get(self, page: str, method: str = "GET") -> tuple[int, bytes]:
        response = self.successResultOf(self.treq.request(method, f"http://admin/{page}"))
        return response.code, self.successResultOf(response.content())

    def answer(self, number: int, **pages: tuple[int, bytes]) -> None:
        self.answers[number] = lambda page: succeed(pages[page])

    def test_ready(self) -> None:
        """Ready when any is, with the reasons of those that are not; when none is, all the reasons."""
        self.answer(1, ready=(200, b"ready\n"))
        self.answer(2, ready=(200, b"ready\n"))
        self.assertEqual((200, b"ready\n"), self.get("ready"))
        self.answer(2, ready=(503, b"bus: away\nrelay: late\n"))
        self.assertEqual((200, b"ready\nprocess 2: bus: away\nprocess 2: relay: late\n"), self.get("ready"))
        self.answers[1] = lambda page: fail(ConnectionRefusedError())
        code, body = self.get("ready")
        self.assertEqual(503, code)
        self.assertIn(b"process 1: its admin endpoint does not answer: ", body)
        self.assertIn(b"process 2: bus: away\n", body)

    def test_no_answer(self) -> None:
        """Why a process does not answer is said in words, however deep Twisted hides it."""
        lost = ResponseNeverReceived([Failure(ConnectionLost())])
        for error, words in (
            (ConnectionRefusedError(), "Connection was refused by other side."),
            (lost, str(ConnectionLost())),
            (RequestTransmissionFailed([Failure(lost)]), str(ConnectionLost())),
            (DeferredTimeout(3.0, "Deferred"), "it said nothing for 3 s"),
            (OSError(), "OSError"),
        ):
            with self.subTest(error=error):
                self.answers[1] = lambda page, error=error: fail(error)
                code, body = self.get("ready")
                self.assertEqual(503, code)
                self.assertIn(f"process 1: its admin endpoint does not answer: {words}\n".encode(), body)
                self.assertNotIn(b"Failure", body)

    def test_not_running(self) -> None:
        """A process that is not there says why."""
        self.answer(1, ready=(200, b"ready\n"))
        self.assertEqual((200, b"ready\nprocess 3: it ended\n"), self.get("ready"))
        self.answer(1, ready=(503, b""))
        self.assertEqual((503, b"process 1: /ready answered 503\nprocess 3: it ended\n"), self.get("ready"))

    def test_nobody(self) -> None:
        """Without processes there is nobody to serve anyone."""
        self.none = True
        self.assertEqual((503, b"relay: no process runs\n"), self.get("ready"))

    def test_stopping(self) -> None:
        """A supervisor that stops is not ready, whatever its processes say."""
        self.answer(1, ready=(200, b"ready\n"))
        self.answer(2, ready=(200, b"ready\n"))
        self.stopping = True
        self.assertEqual((503, b"relay: stopping\n"), self.get("ready"))

    def test_metrics(self) -> None:
        """Those of who answers, and our own."""
        self.metrics.add(HANDSHAKES, "x", "y")
        self.answer(1, metrics=(200, render(numbers(delivered=5)).encode()))
        code, body = self.get("metrics")
        self.assertEqual(200, code)
        samples = parse(body.decode())
        self.assertEqual({"1": 5}, samples.by("streamer_delivered_total", "process"))
        self.assertEqual({"": 1, "1": 2}, samples.by("streamer_handshakes_total", "process"))

    def test_status(self) -> None:
        """A list: what the supervisor knows, and what each says of itself."""
        self.answer(1, status=(200, b'{"relay":{"clients":3}}'))
        code, body = self.get("status")
        expected = [
            {"process": 1, "pid": 1, "status": {"relay": {"clients": 3}}},
            {"process": 3, "pid": None, "trouble": "it ended", "status": None},
        ]
        self.assertEqual((200, {"stopping": False, "processes": expected}), (code, json.loads(body)))

    def test_only_read(self) -> None:
        """They are read, HEAD included; and /live needs nobody."""
        self.answer(1, ready=(200, b"ready\n"))
        self.assertEqual((200, b""), self.get("ready", "HEAD"))
        self.assertEqual(405, self.get("ready", "POST")[0])
        self.assertEqual((200, b"live\n"), self.get("live"))
        self.assertEqual(404, self.get("other")[0])

    def test_gone(self) -> None:
        """Who asks and leaves is not answered; what was asked for him is given up."""
        cancelled: list[Any] = []
        self.answers[1] = lambda page: Deferred(cancelled.append)
        asked = self.treq.get("http://admin/ready")
        self.assertNoResult(asked)
        asked.cancel()
        self.failureResultOf(asked)
        self.treq.flush()
        self.assertEqual(1, len(cancelled))


class UnixPagesTests(SynchronousTestCase):
    """`unix_pages`: how a process is asked."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.asked = unix_pages("/run/x/1-0", self.reactor)("ready")
        ((path, self.factory, _, _),) = self.reactor.unixClients
        self.assertEqual("/run/x/1-0", path)

    def test_answer(self) -> None:
        """Its own admin endpoint answers; nothing is left open."""
        site = admin_site(Metrics(), dict, lambda: ["bus: away"], reactor=self.reactor)
        server, client = site.buildProtocol(None), self.factory.buildProtocol(None)
        server.callLater = self.reactor.callLater
        pump = connect(server, FakeTransport(server, True), client, FakeTransport(client, False))
        pump.flush()
        self.assertEqual((503, b"bus: away\n"), self.successResultOf(self.asked))
        pump.flush()
        self.assertTrue(pump.clientIO.disconnected)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_silence(self) -> None:
        """A process that does not answer is given up."""
        self.reactor.advance(ANSWER_WITHIN)
        self.failureResultOf(self.asked)
        self.assertEqual([], self.reactor.getDelayedCalls())
