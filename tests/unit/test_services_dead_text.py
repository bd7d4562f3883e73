"""Dead letters on a terminal, and as JSON."""

from __future__ import annotations

import base64

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.services.dead_text import COLUMNS, DUMPED, age, body, encoded, lines, page, row, whole
from tests.unit.test_bus_dead import DEATH, ROW, found

NOW = 1_700 + 3_700.0


class TextTests(SynchronousTestCase):
    """`dead_text`."""

    def test_row(self) -> None:
        """A program gets times as RFC 3339, ages as seconds, and null for what there is not."""
        got = row(found(headers={**DEATH, "x-death": [ROW], "x-delivery-count": 4}), NOW)
        expected = {
            "id": "birds/1",
            "topic": "raw.birds.post",
            "kind": "post",
            "source": "birds",
            "exchange": "streamer.raw",
            "reason": "rejected",
            "died_in": "streamer.enrich",
            "died": "1970-01-01T00:28:20.000Z",
            "deaths": 2,
            "handed_back": 4,
            "age": 3_700,
            "bytes": 2,
            "made": "1970-01-01T00:26:40.000Z",
        }
        self.assertEqual(expected, got)
        never = row(found(message_id=None, timestamp=2**60), NOW)
        self.assertEqual([None] * 5, [never[name] for name in ("source", "reason", "died_in", "died", "made")])
        self.assertEqual(0, never["age"])

    def test_lines(self) -> None:
        """People get columns; what could move the cursor does not get through."""
        self.assertEqual([], lines([]))
        head, first, second = lines(
            [row(found(headers={**DEATH, "x-death": [ROW]}, type="a\x1b[2J"), NOW), row(found(2), NOW)]
        )
        self.assertEqual(list(COLUMNS), head.split())
        self.assertEqual(head.index("died_in"), first.index("streamer.enrich"))
        self.assertIn("1h01m", first)
        self.assertNotIn("\x1b", first)
        self.assertEqual(["birds/2", "raw.birds.post", "post", "-", "-", "-", "1h03m", "0", "2"], second.split())

    def test_age(self) -> None:
        """Two units at most."""
        ages = [age(seconds) for seconds in (0, 59, 60, 3_599, 3_600, 7_500, 86_399, 86_400, 100_000)]
        self.assertEqual(["0s", "59s", "1m", "59m", "1h00m", "2h05m", "23h59m", "1d00h", "1d03h"], ages)

    def test_body(self) -> None:
        """JSON is shown with its structure, other text as it is, all else as a dump of its beginning."""
        self.assertEqual(["{", '  "n": [', "    1", "  ]", "}"], body(b'{"n":[1]}'))
        self.assertEqual(['{"n":[1]'], body(b'{"n":[1]'))
        self.assertEqual(["one", "two     \N{REPLACEMENT CHARACTER}"], body("one\ntwo\t\x9b".encode()))
        self.assertEqual([], body(b""))
        self.assertEqual(["00000000  1f 8b 41" + " " * 41 + "..A"], body(b"\x1f\x8bA"))
        dump = body(b"\xff" * (DUMPED + 7))
        self.assertEqual((DUMPED // 16 + 1, "… and 7 more bytes; --json has them"), (len(dump), dump[-1]))

    def test_page(self) -> None:
        """One letter: every fact on a line, then the body."""
        got = page(found(headers={**DEATH, "x-death": [ROW], "received": 5}, body=b"[1]"), NOW, "it decodes now")
        self.assertIn(
            "died             1970-01-01T00:28:20.000Z (1h01m ago) in streamer.enrich, 2 times: rejected", got
        )
        self.assertIn("header received  5", got)
        self.assertIn("now              it decodes now", got)
        self.assertEqual(["", "[", "  1", "]"], got[-4:])
        self.assertTrue(any("no binding wanted it" in line for line in page(found(), NOW, "")))

    def test_page_deep(self) -> None:
        """A body that is nested too deep for a JSON reader is shown all the same."""
        self.assertTrue(body(b"[" * 100_000 + b"]" * 100_000))

    @given(st.binary(max_size=200))
    def test_whole(self, data: bytes) -> None:
        """A program gets every byte of the body back, as text where it is text."""
        got = msgspec.json.decode(encoded(whole(found(body=data), NOW, "")))
        self.assertNotEqual("body" in got, "body_base64" in got)
        self.assertEqual(data, got["body"].encode() if "body" in got else base64.b64decode(got["body_base64"]))

    def test_no_unicode(self) -> None:
        """Somebody else's message may hold what is no Unicode; it is marked, and stops nothing."""
        got = msgspec.json.decode(encoded(whole(found(message_id="a\udcff", headers={"\udcff": "b"}), NOW, "")))
        self.assertEqual(("a?", {"?": "b"}), (got["id"], got["headers"]))
