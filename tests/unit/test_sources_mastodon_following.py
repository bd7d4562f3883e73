"""Following a simulated Mastodon server in the ways that are its own, and what it says when it refuses.

The common suite has the rest.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.sources import mastodon_events
from streamer.sources.mastodon_streams import Predicates
from streamer.testing import faults
from streamer.upstream import Ending, Response
from tests.unit.following import Following

NOW = 1_700_000_000.0  # seconds since the epoch
WEBSOCKET = {"transport": "websocket"}


class Cases(SynchronousTestCase):
    """What both transports have in common."""

    def following(self, own: dict[str, Any] | None = None, **options: Any) -> Following:
        """A source that follows, and must leave nothing behind."""
        made = Following.of("mastodon", own, **{"rate": 2.0, **options})
        self.addCleanup(lambda: self.assertEqual(([], 0), (made.stop(), made.network.open)))
        made.start()
        made.advance(10)
        return made

    def ended(self, made: Following, cause: str) -> float:
        """How many connections ended for this cause."""
        return made.metrics.value(m.ENDINGS, "birds", cause)


class BothTests(Cases):
    """By server-sent events and by websocket."""

    def both(self, **options: Any) -> list[Following]:
        """One source of each."""
        return [self.following(**options), self.following(WEBSOCKET, **options)]

    def test_same_items(self) -> None:
        """The same items come by either way, byte for byte."""
        one, other = self.both()
        self.assertGreater(len(one.items), 10)
        known = [(item.id, item.kind, item.body, item.cursor, item.partition) for item in one.items]
        self.assertEqual(known, [(item.id, item.kind, item.body, item.cursor, item.partition) for item in other.items])

    def test_killed(self) -> None:
        """A revoked token ends the stream without a word; what is said then is that an operator has to look."""
        for made in self.both():
            made.x.fault(faults.Kill())
            made.advance(3)
            self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))
            self.assertIn("Invalid access token", made.follower.said)
            self.assertIs(State.WAITING, made.follower.course.state)
            attempts = len(made.network.attempts)
            made.advance(200, step=5)
            self.assertEqual(attempts, len(made.network.attempts))

    def test_restarting(self) -> None:
        """A server that restarts is had again at once, and what was missed is fetched."""
        for made in self.both():
            made.x.fault(faults.Close(1001, "restarting"))
            made.advance(1)
            self.assertTrue(made.follower.connected)
            made.advance(20)
            self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))

    def test_refusals(self) -> None:
        """Each refusal has its cause, whether it has a body or a header."""
        for status, cause in (
            (400, backoff.REFUSED),
            (401, backoff.AUTHORISATION),
            (404, backoff.REFUSED),
            (429, backoff.RATE_LIMIT),
            (500, backoff.HTTP),
        ):
            for made in self.both(rate=1.0):
                made.x.fault(faults.Status(status, reset_after=100.0))
                made.x.fault(faults.Cut())
                made.advance(3)
                self.assertEqual(1, self.ended(made, cause), (status, made.follower.said))
                self.assertIn(f"HTTP {status}, ", made.follower.said)

    def test_rate_limit(self) -> None:
        """It waits for the reset that the server names, for that is later than its own delay."""
        made = self.following()
        made.x.fault(faults.Status(429, reset_after=100.0))
        made.x.fault(faults.Cut())
        made.advance(95)
        self.assertFalse(made.follower.connected)
        made.advance(10)
        self.assertTrue(made.follower.connected)

    def test_quiet(self) -> None:
        """A stream without posts lives by the server's own beats."""
        for made in self.both(rate=0.001):
            made.advance(400, step=5)
            self.assertEqual((0, True), (made.metrics.total(m.ENDINGS), made.follower.connected))


class WebsocketTests(Cases):
    """By websocket alone."""

    def test_several_streams(self) -> None:
        """All streams come over one connection, each post once."""
        streams = Predicates(("public:local", "public:remote", "user", "hashtag:cats"))
        made = self.following({**WEBSOCKET, "predicates": streams}, reposted=0.3, notified=0.3, edited=0.3)
        self.assertEqual((1, []), (len(made.network.attempts), made.missing()))
        self.assertEqual({"post", "edit", "repost", "notification"}, {item.kind for item in made.items})

    def test_split(self) -> None:
        """However the bytes are cut, the same comes of them."""
        for size in (1, 7, 100):
            made = self.following({**WEBSOCKET, "predicates": Predicates(("public", "user"))})
            made.x.fault(faults.Split(size))
            made.advance(10)
            self.assertEqual(([], 0), (made.missing(), made.metrics.total(m.BAD_FRAMES)))

    def test_stall_and_cut(self) -> None:
        """A silent connection is given up, one that breaks is made anew; what was missed is fetched."""
        for fault, seconds in ((faults.Stall(), 95.0), (faults.Cut(), 5.0), (faults.Cut(reset=True), 5.0)):
            made = self.following(WEBSOCKET, deleted=0.0)
            made.x.fault(fault)
            made.advance(seconds)
            made.advance(30)
            self.assertEqual(1, made.metrics.total(m.ENDINGS))
            self.assertEqual(([], []), (made.missing()[:-2], made.gaps()))

    def test_what_it_may_not(self) -> None:
        """A list of somebody else's is refused in words, and that is the end."""
        made = self.following({**WEBSOCKET, "predicates": Predicates(("public", "list:7"))})
        self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))
        self.assertIn("Not authorized to stream this list", made.follower.said)

    def test_rubbish(self) -> None:
        """What is no message is counted, and harms nothing."""
        made = self.following(WEBSOCKET)
        made.x.fault(faults.Garbage())
        made.x.fault(faults.Garbage(html=True))
        made.x.fault(faults.Huge(2_000_000))
        made.advance(5)
        self.assertEqual((3, 0), (made.metrics.total(m.BAD_FRAMES), made.metrics.total(m.ENDINGS)))
        self.assertEqual([], made.missing())


class EventTests(Cases):
    """Words of the server's that are no posts."""

    def test_words(self) -> None:
        """`filters_changed` is nothing; what nobody knows is of one kind for all; nothing is counted as bad."""
        for own in ({}, WEBSOCKET):
            made = self.following({**own, "predicates": Predicates(("user",))})
            made.x.say("filters_changed", "undefined")
            made.x.say("announcement.delete", "5")
            made.x.say("invented", '{"id":"1"}')
            made.advance(1)
            kinds = [item.kind for item in made.items]
            self.assertIn("announcement-delete", kinds)
            self.assertIn("event", kinds)
            self.assertNotIn("invented", kinds)
            self.assertNotIn("filters_changed", kinds)
            self.assertEqual(0, made.metrics.total(m.BAD_FRAMES))

    def test_deletes(self) -> None:
        """A deletion comes through, and names what came."""
        made = self.following(deleted=0.0)
        gone = made.ids()[-1]
        made.x.delete(gone)
        made.advance(1)
        self.assertIn(f"delete:{gone}", [item.id for item in made.items])

    def test_elsewhere(self) -> None:
        """A host that does not stream is not asked again."""
        made = self.following({"streaming_url": "http://127.0.0.1/elsewhere"})
        self.assertEqual(1, self.ended(made, backoff.REFUSED))


class RefusalTests(SynchronousTestCase):
    """What an answer other than the one hoped for means."""

    def ending(self, status: int, body: bytes = b'{"error":"no"}', **headers: str) -> Ending:
        """Of an answer."""
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        return mastodon_events.refusal(Response(status=status, received=NOW, headers=written, body=body))

    def test_causes(self) -> None:
        """By status, or by the code a websocket was closed with."""
        for status, cause in {
            400: backoff.REFUSED,
            401: backoff.AUTHORISATION,
            403: backoff.AUTHORISATION,
            404: backoff.REFUSED,
            410: backoff.GONE,
            422: backoff.REFUSED,
            429: backoff.RATE_LIMIT,
            500: backoff.HTTP,
            503: backoff.HTTP,
            1000: backoff.DISCONNECT,
            1001: backoff.DISCONNECT,
            1006: backoff.DISCONNECT,
            1003: backoff.HTTP,
            4000: backoff.HTTP,
        }.items():
            self.assertEqual(cause, self.ending(status).cause, status)

    def test_details(self) -> None:
        """The server's words, wherever it puts them; a redirect says where to."""
        self.assertEqual(
            "HTTP 401, Missing access token", self.ending(401, b'{"error":"Missing access token"}').detail
        )
        self.assertEqual("HTTP 401, No token", self.ending(401, b"", x_error_message="No token").detail)
        moved = self.ending(301, location="https://streaming.example/api/v1/streaming").detail
        self.assertIn("https://streaming.example", moved)
        self.assertIn("streaming_url", moved)
        self.assertIn("code 1001: bye", self.ending(1001, b"bye").detail)

    def test_rate_limit(self) -> None:
        """The reset is an ISO 8601 time; one that is past or nonsense is none."""
        self.assertEqual(60.0, self.ending(429, x_ratelimit_reset="2023-11-14T22:14:20.000Z").retry_after)
        self.assertEqual(
            90.0, self.ending(429, x_ratelimit_reset="2023-11-14T22:14:20Z", retry_after="90").retry_after
        )
        for nonsense in ("2023-11-14T22:00:00.000Z", "2023-11-14T22:14:20", "soon", "9999999999"):
            self.assertIsNone(self.ending(429, x_ratelimit_reset=nonsense).retry_after)
        self.assertEqual(7.0, self.ending(503, retry_after="7").retry_after)
