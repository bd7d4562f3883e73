"""Server-sent events: the rules of the HTML standard, under any split of the bytes, within limits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.interfaces import IFramer
from streamer.wire.sse import RETRY_LIMIT, Sent, ServerSent
from tests.unit.test_wire_lines import pieces

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CASES = DATA / "eventsource" / "cases.json"
RECORDED = DATA / "mastodon"
CARRIED_OVER = {"format-field-id-2 (after reconnect)": "…"}  # the id that the connection before it left behind

cuts_of = st.lists(st.integers(min_value=0), max_size=12)
names = [b"data", b"event", b"id", b"retry", b"Data", b":", b": ", b" ", b"data:b\n\n"]
line_ends = [b"\r", b"\n", b"\r\n", b"\n\n"]
values = [b"a", b"\0", b"0", b"12", b"x" * 9, "…".encode(), b"\xe2\x80", b"\xff", b"\xef\xbb\xbf", b"\xef\xbb"]
streams = st.lists(st.sampled_from([*names, *line_ends, *values]), max_size=60).map(b"".join)


def fed(framer: ServerSent, parts: list[bytes]) -> list[Sent]:
    """All events of all parts."""
    return [event for part in parts for event in framer.feed(part)]


def by_the_book(body: bytes, last_id: str) -> tuple[list[Sent], str, int | None]:
    """The standard's algorithm on a whole body, step by step: events, last id, reconnection time."""
    text = body.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    data = kind = ""
    id_buffer = last_id
    retry: int | None = None
    events: list[Sent] = []
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    for line in lines:
        if line == "":
            last_id = id_buffer
            if data != "":
                events.append(Sent(data[:-1].encode(), kind or "message", last_id))
            data = kind = ""
            continue
        if line[0] == ":":
            continue
        field, value = line, ""
        if ":" in line:
            at = line.index(":")
            field, value = line[:at], line[at + 1 :]
            value = value[1:] if value[:1] == " " else value
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            retry = min(int(value), RETRY_LIMIT)
    return events, last_id, retry


class ServerSentTests(SynchronousTestCase):
    """What `ServerSent` promises."""

    def test_interface(self) -> None:
        """It is a framer."""
        verifyObject(IFramer, ServerSent())

    def test_an_event(self) -> None:
        """Data, type and id make an event, and each is optional but the data."""
        framer = ServerSent()
        self.assertEqual(
            [Sent(b"a\nb", "edit", "7"), Sent(b"c", "message", "7")],
            framer.feed(b"event: edit\r\nid: 7\r\ndata: a\r\ndata: b\r\n\r\nevent: x\r\n\r\ndata: c\r\n\r\n"),
        )

    def test_an_event_does_not_wait(self) -> None:
        """A CR ends the event at once; the LF that may follow is no second line end, and no event."""
        framer = ServerSent()
        self.assertEqual([Sent(b"a")], framer.feed(b"data:a\r\r"))
        self.assertEqual([], framer.feed(b"\n"))
        self.assertEqual([Sent(b"b\nc")], framer.feed(b"data:b\r\ndata:c\r\n\r"))

    def test_id_without_data(self) -> None:
        """A blank line makes the id count, also where there is no event; before it the id does not count."""
        framer = ServerSent(last_id="1")
        framer.feed(b"id: 2\n")
        self.assertEqual("1", framer.last_id)
        self.assertEqual([], framer.feed(b"\n"))
        self.assertEqual("2", framer.last_id)

    def test_id_of_the_connection_before(self) -> None:
        """The last id is carried over connections until the server gives another."""
        framer = ServerSent(last_id="é")
        self.assertEqual([Sent(b"a", id="é"), Sent(b"b", id="3")], framer.feed(b"data:a\n\ndata:b\nid:3\n\n"))

    def test_retry(self) -> None:
        """It counts at once, in ASCII digits only, and never for longer than a day."""
        framer = ServerSent()
        for value, retry_ms in [
            (b"", None), (b"1s", None), (b"-1", None), ("٣".encode(), None), (b"007", 7), (b"+1", 7), (b"0", 0),
            (b"86400001", RETRY_LIMIT), (b"9" * 5_000, RETRY_LIMIT), (b"0" * 5_000 + b"5", 5),
        ]:  # fmt: skip
            framer.feed(b"retry: " + value + b"\n")
            self.assertEqual(retry_ms, framer.retry_ms)

    def test_finish(self) -> None:
        """The end of the stream leaves no event; what there was of one is told and forgotten, its id too."""
        framer = ServerSent()
        framer.feed(b"data: a\nid: 1\ndata: b\ndata: ha")
        self.assertEqual(b"a\nb\ndata: ha", framer.finish())
        self.assertEqual(b"", framer.finish())
        self.assertEqual("", framer.last_id)
        self.assertEqual([Sent(b"c")], framer.feed(b"data:c\n\n"))

    def test_finish_without_data(self) -> None:
        """A comment, whole or cut, and a retry are nothing unfinished; half a byte order mark is."""
        for rest in (b":thump", b":thump\n", b"retry: 5\n", b""):
            framer = ServerSent()
            framer.feed(b"data:a\n\n" + rest)
            self.assertEqual(b"", framer.finish())
        for start, rest in [(b"\xef\xbb", b"\xef\xbb"), (b"\xef\xbb\xbf", b"")]:
            framer = ServerSent()
            framer.feed(start)
            self.assertEqual(rest, framer.finish())

    def test_limit(self) -> None:
        """An event at the limit passes; a longer one is skipped to its blank line and counted, in one line or many."""
        at_limit = b"event:ab\ndata:1234567\n\n"
        over = [b"data:12345678901234567\n\n", b"data:1\n" * 4 + b"event: x\n\n", b"x" * 90 + b"\ndata:1\n\n"]
        framer = ServerSent(limit=20)
        self.assertEqual([Sent(b"1234567", "ab")], framer.feed(at_limit))
        for number, event in enumerate(over, 1):
            self.assertEqual([Sent(b"1234567", "ab")], framer.feed(event + at_limit))
            self.assertEqual(number, framer.skipped)

    def test_limit_of_an_unfinished_line(self) -> None:
        """What the lines before it take counts, so the event is given up as soon as that is sure; and once only."""
        framer = ServerSent(limit=20)
        framer.feed(b"data:1234567890\ndata:1")
        self.assertEqual(1, framer.skipped)
        for part in (b"2\ndata:", b"x" * 30, b"y" * 30, b"\ndata:" + b"z" * 30):
            self.assertEqual([], framer.feed(part))
        self.assertEqual(b"", framer.finish())
        self.assertEqual(1, framer.skipped)

    def test_malformed_utf_8(self) -> None:
        """What is not UTF-8 becomes U+FFFD in data, type and id, once for each part of a character; the rest stays."""
        event = Sent("é\ufffd \ufffd\n\ufffdx".encode(), "\ufffd", "a\ufffd")
        body = b"event:\xff\nid:a\xe2\x80\ndata:\xc3\xa9\xe2\x80 \xff\ndata:\xf0\x9f\x98x\n\n"
        self.assertEqual([event], ServerSent().feed(body))
        self.assertEqual([event], fed(ServerSent(), [bytes([byte]) for byte in body]))

    def test_id_of_a_skipped_event(self) -> None:
        """An id that came before the line that was too long counts: to resume must not fetch the event again."""
        framer = ServerSent(limit=20)
        self.assertEqual([], framer.feed(b"id: 9\ndata: 123456789012345\nid: 10\n\n"))
        self.assertEqual("9", framer.last_id)

    def test_the_limit_holds_while_the_event_grows(self) -> None:
        """An endless line and an endless event are not kept in memory, and count once each."""
        framer = ServerSent(limit=50)
        for part in (b"x" * 100, b"data:a\n"):
            for _ in range(1000):
                self.assertEqual([], framer.feed(part))
                self.assertLessEqual(sum(map(len, framer._parts + framer._data)), 50)
            framer.feed(b"\n\n")
        self.assertEqual(2, framer.skipped)
        self.assertEqual([Sent(b"b")], framer.feed(b"data:b\n\n"))

    def test_comments_cost_nothing(self) -> None:
        """Comments belong to no event, however many and however long: they are not kept and break no limit."""
        framer = ServerSent(limit=10)
        framer.feed(b"data:a\n:")
        for _ in range(1000):
            framer.feed(b"x" * 100)
            self.assertEqual([], framer._parts)
        framer.feed(b"\n" + b":thump\n" * 1000)
        self.assertEqual([Sent(b"a")], framer.feed(b"\n"))
        self.assertEqual(0, framer.skipped)

    def test_cost_is_linear(self) -> None:
        """A line that comes a byte at a time is joined once, not at every byte."""
        framer = ServerSent()
        for byte in b"data:" + b"x" * 20_000:
            framer.feed(bytes([byte]))
        self.assertEqual(20_005, len(framer._parts))
        self.assertEqual([Sent(b"x" * 20_000)], framer.feed(b"\n\n"))

    @given(streams, cuts_of, st.sampled_from(["", "old"]))
    def test_any_split_by_the_book(self, body: bytes, cuts: list[int], last_id: str) -> None:
        """However the bytes are cut, the events, the last id and the retry are those of the standard's algorithm."""
        framer = ServerSent(last_id=last_id)
        events = fed(framer, pieces(body, cuts))
        self.assertEqual(by_the_book(body, last_id), (events, framer.last_id, framer.retry_ms))
        self.assertEqual(0, framer.skipped)

    @given(streams, cuts_of)
    def test_any_split_under_a_limit(self, body: bytes, cuts: list[int]) -> None:
        """However the bytes are cut, the same events are skipped, and the rest is the same."""
        whole, cut = ServerSent(limit=12), ServerSent(limit=12)
        self.assertEqual(whole.feed(body), fed(cut, pieces(body, cuts)))
        self.assertEqual(
            (whole.skipped, whole.last_id, whole.retry_ms, whole.finish()),
            (cut.skipped, cut.last_id, cut.retry_ms, cut.finish()),
        )


def conformance_cases() -> list[Any]:
    """The parser cases of the web platform tests."""
    if not CASES.exists():
        return []
    cases = json.loads(CASES.read_text(encoding="utf-8"))["parser_cases"]
    return [pytest.param(case, id=case["name"].encode("unicode_escape").decode()) for case in cases]


def conforms(case: dict[str, Any], cuts: list[int] | None) -> None:
    """Compare a case's events, last id and retry with ours; `cuts` None means byte by byte."""
    body = bytes.fromhex(case["body_hex"])
    framer = ServerSent(last_id=CARRIED_OVER.get(case["name"], ""))
    cuts = list(range(len(body))) if cuts is None else cuts
    events = fed(framer, pieces(body, cuts))
    expected = [Sent(event["data"].encode(), event["type"], event["lastEventId"]) for event in case["events"]]
    assert events == expected
    assert framer.last_id == case["last_event_id_after"]
    assert framer.retry_ms == case["retry_ms"]


@pytest.mark.skipif(not CASES.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize("case", conformance_cases())
def test_conformance(case: dict[str, Any]) -> None:
    """A case of the web platform tests comes out right, whole and byte by byte."""
    conforms(case, [])
    conforms(case, None)


@pytest.mark.skipif(not CASES.exists(), reason="../shared/data is not here")
@given(cuts=cuts_of)
def test_conformance_of_any_split(cuts: list[int]) -> None:
    """All cases come out right however their bytes are cut."""
    for case in conformance_cases():
        conforms(case.values[0], cuts)


@pytest.mark.skipif(not RECORDED.exists(), reason="../shared/data is not here")
@given(cuts=cuts_of)
def test_any_split_of_recorded_bytes(cuts: list[int]) -> None:
    """Streams that were recorded from Mastodon hold the same events however their bytes are cut."""
    body = b"".join(path.read_bytes() for path in sorted(RECORDED.glob("*user*.sse")))
    framer = ServerSent()
    events = fed(framer, pieces(body, cuts))
    assert events == by_the_book(body, "")[0]
    assert {event.event for event in events} >= {"update", "conversation"}
    assert all(json.loads(event.data) for event in events if event.event in ("update", "conversation"))
    assert framer.finish() == b""
