"""How X's streams are asked for: now, again, and for a span of the past."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.secrets import Secret
from streamer.sources.x_stream import MINUTE, RECOVERY_LIMIT, REWIND, XStream
from streamer.upstream import Request, Resume

NOW = 1_700_000_000_000  # 2023-11-14T22:13:20Z


def stream(**fields: Any) -> XStream:
    """A stream with these fields."""
    return XStream("https://api.x.com", Secret("hush"), "/2/tweets/sample/stream", **fields)


def asked(request: Request | None) -> dict[str, str]:
    """The query of a request."""
    assert request is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


class RequestTests(SynchronousTestCase):
    """The request for the stream."""

    def test_plain(self) -> None:
        """Fields, the stream's own parameters, the token in the header and nowhere else; nothing is repeated."""
        request = stream(params={"partition": "2"}).request(None, NOW)
        self.assertEqual("2", asked(request)["partition"])
        self.assertIn("author_id", asked(request)["tweet.fields"].split(","))
        self.assertEqual("Bearer hush", request.headers["Authorization"])
        self.assertNotIn("hush", request.url)
        self.assertIsNone(request.replays_from)

    def test_backfill(self) -> None:
        """Minutes are rounded up, after a rewind of 5 s; at least one, at most what is configured."""
        for missed, minutes in ((0, 1), (55_000, 1), (55_001, 2), (60_000, 2), (115_000, 2), (115_001, 3), (9**9, 3)):
            request = stream(backfill_minutes=3).request(Resume(received=NOW - missed), NOW)
            self.assertEqual(str(minutes), asked(request)["backfill_minutes"], missed)
            self.assertEqual(NOW - minutes * MINUTE, request.replays_from)

    def test_nothing_known(self) -> None:
        """A source that knows of nothing safe asks for all it may."""
        self.assertEqual("5", asked(stream(backfill_minutes=5).request(None, NOW))["backfill_minutes"])

    @given(st.integers(-(10**6), 10**9), st.integers(1, 5))
    def test_covers(self, missed: int, limit: int) -> None:
        """Whatever was missed is asked for with the rewind before it, unless the limit forbids it."""
        request = stream(backfill_minutes=limit).request(Resume(received=NOW - missed), NOW)
        assert request.replays_from is not None
        minutes = int(asked(request)["backfill_minutes"])
        self.assertTrue(1 <= minutes <= limit)
        if minutes < limit:
            self.assertLessEqual(request.replays_from, NOW - missed - REWIND)


class RecoveryTests(SynchronousTestCase):
    """The request for the past."""

    def test_whole_seconds(self) -> None:
        """The start is rounded down, the end up and past what comes next, and the answer is known to begin there."""
        request = stream(recovers=True).recovery(NOW - 600_001, NOW - 300_999)
        found = asked(request)
        self.assertEqual("2023-11-14T22:03:19Z", found["start_time"])
        self.assertEqual("2023-11-14T22:08:22Z", found["end_time"])
        assert request is not None
        self.assertEqual(NOW - 601_000, request.replays_from)
        self.assertNotIn("backfill_minutes", found)

    def test_at_most_a_day(self) -> None:
        """A longer span is cut at its beginning, with what back-fill covers and a margin taken off."""
        for minutes in (0, 5):
            end = NOW - minutes * MINUTE
            request = stream(recovers=True, backfill_minutes=minutes).recovery(0, end)
            assert request is not None
            self.assertEqual(NOW - RECOVERY_LIMIT + MINUTE, request.replays_from)

    def test_none(self) -> None:
        """Without such a contract, and for a span that is none, there is no request."""
        self.assertIsNone(stream().recovery(NOW - 600_000, NOW))
        self.assertIsNone(stream(recovers=True).recovery(NOW, NOW))
        self.assertIsNone(stream(recovers=True).recovery(NOW, NOW - 1))

    def test_partition(self) -> None:
        """The past of a partition is that partition's."""
        request = stream(recovers=True, params={"partition": "2"}).recovery(NOW - 600_000, NOW)
        self.assertEqual("2", asked(request)["partition"])


class IdentityTests(SynchronousTestCase):
    """Who is counted together, and who would cut whom off."""

    def test_credential(self) -> None:
        """One for each token at each server, and the token cannot be read in it."""
        other_token = XStream("https://api.x.com", Secret("other"), "/s")
        other_server = XStream("https://x.example", Secret("hush"), "/s")
        self.assertEqual(stream().credential, XStream("https://api.x.com", Secret("hush"), "/s").credential)
        self.assertEqual(3, len({stream().credential, other_token.credential, other_server.credential}))
        self.assertNotIn("hush", stream().credential + stream().lane + repr(stream()))

    def test_lane(self) -> None:
        """One for each stream and partition of a token."""
        lanes = [stream().lane, stream(params={"partition": "1"}).lane, stream(params={"partition": "2"}).lane]
        self.assertEqual(3, len(set(lanes)))
        self.assertEqual(stream(backfill_minutes=3).lane, stream().lane)
