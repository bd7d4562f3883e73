"""`/_sim/…`, for tests in other processes."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_testing_x import STREAM, Face


class ControlTests(SynchronousTestCase):
    """Looking in and making trouble over HTTP; no token is asked for."""

    def test_status(self) -> None:
        """The status tells how things stand."""
        face = Face(rate=8.0, deleted=0.0)
        face.simulation.start()
        face.listen()
        face.advance(1.0)
        status = face.ask("/_sim/status", token=None).body
        self.assertEqual(
            (8.0, True, 8, 1, 1),
            tuple(status[name] for name in ("rate", "running", "produced", "connections", "rules")),
        )
        self.assertEqual(8, status["history"]["lines"])
        self.assertEqual(
            sum(map(len, (kept.line.data for kept in face.simulation.history._lines))), status["history"]["bytes"]
        )
        face.simulation.stop()

    def test_ledger(self) -> None:
        """The ledger is JSON of ids, and of counts by connection."""
        ledger = Face().ask("/_sim/ledger", token=None).body
        self.assertEqual({"posts": [], "deletes": [], "sent": [], "missed": [], "forgotten": 0}, ledger)

    def test_fault(self) -> None:
        """A fault is taken as JSON and happens."""
        face = Face()
        self.assertEqual(200, face.ask("/_sim/fault", {"kind": "status", "status": 503}, token=None).code)
        self.assertEqual(503, face.ask(STREAM).code)
        listener = face.listen()
        face.ask("/_sim/fault", {"kind": "garbage"})
        self.assertEqual(1, len(listener.lines))
        face.simulation.stop()

    def test_connections(self) -> None:
        """What each connection got is told, by its stream."""
        face = Face(rate=8.0, deleted=0.0)
        face.simulation.start()
        listener = face.listen()
        face.advance(1.0)
        (sent,) = face.ask("/_sim/connections", token=None).body
        expected = {"stream": "filtered_stream", "lines": 8, "missed": 0, "limited": 0, "posts": listener.posts}
        self.assertEqual(expected, sent)
        face.simulation.stop()

    def test_bad_fault(self) -> None:
        """What is no fault is 400, and says why."""
        face = Face()
        for body in (
            {},
            {"kind": "hiccup"},
            {"kind": "split"},
            {"kind": "split", "size": "many"},
            {"kind": "status", "status": 418},
            {"kind": "disconnect", "disconnect_type": "Tired"},
            b"stall",
            b"\xff",
            {"kind": "status", "status": 420},
            {"kind": "control", "what": "delete"},
            {"kind": "disconnect_code", "code": 4},
            {"kind": "disconnect_code", "code": 13},
        ):
            answer = face.ask("/_sim/fault", body)
            self.assertEqual(400, answer.code, body)
            self.assertIn("not a fault", answer.body["errors"][0]["message"])

    def test_inject(self) -> None:
        """A post is taken as JSON, sent at once, and its id told."""
        face = Face(rate=0.0)
        listener = face.listen()
        answer = face.ask("/_sim/inject", {"text": "<i>hi</i>", "lang": "und", "user": {"name": "<b>"}}, token=None)
        post = json.loads(listener.lines[0])["data"]
        self.assertEqual((answer.body["id"], "<i>hi</i>"), (post["id"], post["text"]))
        face.simulation.stop()

    def test_bad_inject(self) -> None:
        """Without a text it is 400; without rules 409, for it would reach nobody."""
        self.assertEqual(400, Face().ask("/_sim/inject", {"texts": "x"}).code)
        self.assertEqual(400, Face().ask("/_sim/inject", b"[]").code)
        self.assertEqual(409, Face(rules=[]).ask("/_sim/inject", {"text": "x"}).code)
