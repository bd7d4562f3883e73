"""Each fault does what it says, and only that."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.server import Site

from streamer.testing.faults import (
    AcceptThenClose,
    Cut,
    Disconnect,
    Duplicate,
    Faults,
    Garbage,
    Huge,
    Reorder,
    Split,
    Stall,
    Status,
    decode_fault,
)
from streamer.testing.history import Line
from streamer.testing.x_problems import DISCONNECT_TYPES
from tests.unit.test_testing_x import NOW, STREAM, Face, Listener


class FaultTests(SynchronousTestCase):
    """Faults of an open stream."""

    def setUp(self) -> None:
        self.face = Face(rate=8.0, deleted=0.0)
        self.simulation = self.face.simulation
        self.simulation.start()

    def tearDown(self) -> None:
        self.simulation.stop()
        self.assertEqual([], self.face.clock.getDelayedCalls())

    def ids(self) -> list[str]:
        return list(self.simulation.ledger.posts)

    def test_split(self) -> None:
        """Every write is cut into chunks of so many bytes; the bytes stay the same; 0 ends it."""
        channel = Site(self.simulation.resource, reactor=self.face.clock).buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        self.simulation.fault(Split(7))
        channel.dataReceived(
            f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer simulated-token\r\n\r\n".encode()
        )
        transport.clear()
        self.face.clock.advance(0.125)
        chunks = transport.value().split(b"\r\n7\r\n")
        self.assertTrue(len(chunks) > 20)
        self.simulation.fault(Split(0))
        transport.clear()
        self.face.clock.advance(0.125)
        self.assertEqual(1, transport.value().count(b'"matching_rules"'))
        self.assertEqual(b"%x" % (len(transport.value().split(b"\r\n")[1]) + 2), transport.value().split(b"\r\n")[0])
        channel.connectionLost(Failure(ConnectionDone()))

    def test_stall_for_ever(self) -> None:
        """A stalled stream is silent, keep-alives and all, but open; the next stream is well."""
        listener = self.face.listen()
        self.face.advance(1.0)
        before = listener.data
        self.simulation.fault(Stall())
        self.face.advance(60.0)
        self.assertEqual((before, None), (listener.data, listener.ended))
        listener.transport.loseConnection()
        self.face.agent.flush()
        after = self.face.listen("?backfill_minutes=2")
        self.face.advance(1.0)
        self.assertEqual(self.ids(), after.posts)

    def test_stall_for_a_while(self) -> None:
        """A stall that ends sends what was due."""
        listener = self.face.listen()
        self.simulation.fault(Stall(5.0))
        self.face.advance(4.5)
        self.assertEqual([], listener.posts)
        self.face.advance(1.0)
        self.assertEqual(self.ids(), listener.posts)
        self.assertEqual(44, len(listener.posts))

    def test_cut(self) -> None:
        """The next line stops in its middle and the connection is lost; backfill has the line whole."""
        for reset in (False, True):
            listener = self.face.listen()
            before = len(self.ids())
            self.simulation.fault(Cut(reset))
            self.assertIsNone(listener.ended)
            self.face.advance(0.125)
            self.assertEqual([], listener.lines)
            self.assertTrue(listener.data.startswith(b'{"data":{"id":"' + self.ids()[before].encode()))
            listener.ended.trap(ResponseFailed)
            again = self.face.listen("?backfill_minutes=1")
            self.assertEqual(self.ids(), again.posts)
            again.transport.loseConnection()
            self.face.agent.flush()

    def test_cut_counts_whole_lines(self) -> None:
        """The ledger counts the lines before the cut one."""
        self.face.listen()
        self.face.advance(1.0)
        self.simulation.fault(Cut())
        self.face.advance(1.0)
        self.assertEqual(8, self.simulation.ledger.connections[0].lines)

    def test_disconnect(self) -> None:
        """The in-stream problem of each type, then the end of the response, whole."""
        for kind in DISCONNECT_TYPES:
            listener = self.face.listen()
            self.simulation.fault(Disconnect(kind))
            self.face.agent.flush()
            (error,) = json.loads(listener.lines[-1])["errors"]
            self.assertEqual(("operational-disconnect", kind), (error["title"], error["disconnect_type"]))
            self.assertFalse(listener.ended.check(ResponseFailed))

    def test_disconnect_of_no_such_type(self) -> None:
        """Other types are refused."""
        self.assertRaises(ValueError, Disconnect, "Tired")

    def test_garbage(self) -> None:
        """A line that is no JSON, of either sort; the stream goes on."""
        listener = self.face.listen()
        self.simulation.fault(Garbage())
        self.simulation.fault(Garbage(html=True))
        self.face.agent.flush()
        self.assertEqual(2, len(listener.lines))
        for line in listener.lines:
            self.assertRaises(ValueError, json.loads, line)
        self.assertTrue(listener.lines[1].startswith(b"<html>"))
        self.face.advance(1.0)
        self.assertEqual(10, len(listener.lines))

    def test_huge(self) -> None:
        """One line of exactly so many bytes, JSON where possible; the stream goes on."""
        listener = self.face.listen()
        for size in (3, 8, 200_000):
            self.simulation.fault(Huge(size))
        self.face.advance(1.0)
        self.assertEqual([3, 8, 200_000], [len(line) for line in listener.lines[:3]])
        self.assertEqual({"x": "x" * 199_992}, json.loads(listener.lines[2]))
        self.assertEqual(11, len(listener.lines))

    def test_waits_for_a_connection(self) -> None:
        """A fault of connections that finds none strikes the next one, and only that."""
        self.simulation.fault(Garbage())
        self.assertEqual(1, len(self.face.listen().lines))
        self.simulation.connections.abort()
        self.face.agent.flush()
        self.assertEqual(0, len(self.face.listen().lines))

    def test_disconnect_at_once(self) -> None:
        """A stream may be ended as soon as it is open."""
        self.simulation.fault(Disconnect())
        listener = self.face.listen()
        self.assertEqual(1, len(listener.lines))
        self.assertIsNotNone(listener.ended)

    def test_accept_then_close(self) -> None:
        """So many streams are answered with 200 and nothing; then one is well again."""
        self.simulation.fault(AcceptThenClose(2))
        for _ in range(2):
            listener = self.face.listen()
            self.assertEqual(b"", listener.data)
            self.assertIsNotNone(listener.ended)
        self.assertIsNone(self.face.listen().ended)

    def test_status(self) -> None:
        """So many requests are refused with the exact answer; then one is well again."""
        for status, code, key, value in (
            (401, 401, "title", "Unauthorized"),
            (403, 403, "reason", "client-not-enrolled"),
            (409, 409, "connection_issue", "RuleConfigurationIssue"),
            (429, 429, "title", "Too Many Requests"),
            ("too-many-connections", 429, "connection_issue", "TooManyConnections"),
            (503, 503, "title", "Service Unavailable"),
        ):
            self.simulation.fault(Status(status, times=2, reset_after=77.0))
            for _ in range(2):
                answer = self.face.ask(STREAM)
                self.assertEqual((code, value), (answer.code, answer.body[key]))
            expected = str(int(NOW) + 77) if status == 429 else None
            self.assertEqual(expected, answer.header("x-rate-limit-reset"))
            listener = self.face.listen()
            listener.transport.loseConnection()
            self.face.agent.flush()

    def test_duplicate(self) -> None:
        """So many lines come twice."""
        listener = self.face.listen()
        self.simulation.fault(Duplicate(3))
        self.face.advance(1.0)
        counts = Counter(listener.posts)
        self.assertEqual([2, 2, 2, 1, 1, 1, 1, 1], [counts[id_] for id_ in self.ids()])

    def test_reorder(self) -> None:
        """Neighbours are swapped so many times; nothing is lost."""
        listener = self.face.listen()
        self.simulation.fault(Reorder(2))
        self.face.advance(1.0)
        ids = self.ids()
        self.assertEqual([ids[1], ids[0], ids[3], ids[2], *ids[4:]], listener.posts)


class LastLineTests(SynchronousTestCase):
    """What a swap held back is not lost at the end."""

    def test_released(self) -> None:
        """After the last post the line held back goes out."""
        face = Face(rate=8.0, count=3, deleted=0.0)
        face.simulation.fault(Reorder(2))
        face.simulation.start()
        listener = face.listen()
        face.advance(2.0)
        ids = list(face.simulation.ledger.posts)
        self.assertEqual([ids[1], ids[0], ids[2]], listener.posts)
        face.simulation.stop()


class SplitTests(SynchronousTestCase):
    """Splitting changes nothing but the chunks."""

    @settings(max_examples=12, deadline=None)
    @given(size=st.integers(1, 3000), seed=st.integers(0, 99))
    def test_same_bytes(self, size: int, seed: int) -> None:
        """With any split the same bytes arrive."""

        def heard(split: int) -> Listener:
            face = Face(rate=64.0, seed=seed)
            face.simulation.fault(Split(split))
            face.simulation.start()
            listener = face.listen()
            face.advance(0.25)
            face.simulation.stop()
            return listener

        self.assertEqual(heard(0).data, heard(size).data)


class DisturbTests(SynchronousTestCase):
    """Duplicates and swaps, whatever the batches."""

    @given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 5), st.integers(0, 5))
    def test_nothing_is_lost(self, batches: list[int], twice: int, swaps: int) -> None:
        """Every line goes out once, the first `twice` lines twice, and none moves further than one place."""
        faults = Faults()
        faults.add(Duplicate(twice))
        faults.add(Reorder(swaps))
        lines, out = [], []
        for size in batches:
            batch = [Line(b"%d" % (len(lines) + index)) for index in range(size)]
            lines += batch
            out += faults.disturb(batch)
        out += faults.release()
        counts = Counter(out)
        self.assertEqual([2 if index < twice else 1 for index in range(len(lines))], [counts[x] for x in lines])
        order = list(dict.fromkeys(out))
        self.assertTrue(all(abs(order.index(line) - index) <= 1 for index, line in enumerate(lines)))


class DecodeTests(SynchronousTestCase):
    """Faults as JSON."""

    def test_each(self) -> None:
        """Each kind has a name, and the same fields as its class."""
        for text, fault in (
            ('{"kind":"split","size":3}', Split(3)),
            ('{"kind":"stall"}', Stall()),
            ('{"kind":"stall","seconds":2.5}', Stall(2.5)),
            ('{"kind":"cut","reset":true}', Cut(True)),
            ('{"kind":"accept_then_close","times":2}', AcceptThenClose(2)),
            ('{"kind":"status","status":503,"times":4}', Status(503, 4)),
            ('{"kind":"status","status":"too-many-connections"}', Status("too-many-connections")),
            ('{"kind":"duplicate","times":9}', Duplicate(9)),
            ('{"kind":"reorder"}', Reorder()),
            ('{"kind":"disconnect","disconnect_type":"InternalError"}', Disconnect("InternalError")),
            ('{"kind":"garbage","html":true}', Garbage(True)),
            ('{"kind":"huge","size":9}', Huge(9)),
        ):
            self.assertEqual(fault, decode_fault(text), text)
