"""A feed that is followed: polls, repeats, edits, redirects, refusals and restarts, against the simulated site."""

from __future__ import annotations

import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from streamer import metrics as m
from streamer.bus.state_lock import StateLock
from streamer.errors import DecodeError
from streamer.events.change import change
from streamer.interfaces import ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.registry import find
from streamer.services.keeping import Keeping
from streamer.sources.feed import Settings, feed
from streamer.testing import faults
from streamer.testing.faults import Fault
from streamer.upstream import Response, Resume
from tests.unit.following import Following, table_of

URL = "https://feeds.example/atom.xml"


class Cases(SynchronousTestCase):
    """Feeds that must leave neither timer nor connection behind."""

    def following(self, own: dict[str, Any] | None = None, **options: Any) -> Following:
        """A feed that is followed, an entry a second by default."""
        made = Following.of("feed", own, **{"rate": 1.0, **options})
        self.addCleanup(self.ends_quietly, made)
        return made

    def ends_quietly(self, made: Following) -> None:
        """Nothing is left when it stops."""
        self.assertEqual([], made.stop())
        self.assertEqual(0, made.network.open)

    def started(self, own: dict[str, Any] | None = None, seconds: float = 10, **options: Any) -> Following:
        """Followed for a while."""
        made = self.following(own, **options)
        made.start()
        made.advance(seconds)
        return made

    def whole(self, made: Following, seconds: float = 20) -> None:
        """Every entry comes, once and in order, and no gap is told."""
        made.advance(seconds)
        made.x._production.stop()
        made.advance(6)
        self.assertGreater(len(made.ids()), 10)
        self.assertEqual(made.due(), made.ids())
        self.assertEqual([], made.gaps())

    def at(self, path: str) -> dict[str, Any]:
        """Settings for another path of the site."""
        return {"url": f"https://feeds.example{path}"}


class FollowTests(Cases):
    """In good times."""

    def test_undisturbed(self) -> None:
        """Every entry once, in order."""
        self.whole(self.started(seconds=60))

    def test_forms(self) -> None:
        """In each form of the feed, whichever validators it has."""
        for form in ("atom", "rss", "rdf"):
            self.whole(self.started(self.at(f"/{form}.xml")))

    def test_backlog(self) -> None:
        """At the first contact so many entries are taken, the newest, the oldest of them first."""
        made = self.following({"backlog": 3})
        made.advance(12)
        made.start()
        made.advance(1)
        self.assertEqual(made.due()[9:12], made.ids()[:3])
        made.advance(5)
        self.assertEqual([], [id_ for id_ in made.due()[9:16] if id_ not in made.ids()])

    def test_unchanged(self) -> None:
        """Validators go back to the letter, so that an unchanged feed costs nothing; polls become rarer then."""
        for form in ("atom", "rss"):
            made = self.following(self.at(f"/{form}.xml"), rate=0.0)
            made.advance(5)
            made.start()
            made.advance(30)
            self.assertEqual([200, *[304] * (len(made.x.asked) - 1)], [status for _, status in made.x.asked])
            self.assertLess(len(made.x.asked), 11)

    def test_pace(self) -> None:
        """From the least interval to the longest without news, and back with them."""
        made = self.following({"interval": 60.0, "interval_max": 600.0}, rate=0.0)
        made.start()
        made.advance(4000, 5.0)
        made.x.inject("news")
        made.advance(2000, 5.0)
        times = made.network.attempts
        waits = [round(after - before, -1) for before, after in pairwise(times)]
        self.assertEqual([60, 90, 140, 200, 300, 460, 600, 600, 600, 600, 600, 300, 450, 600], waits[:14])

    def test_wishes(self) -> None:
        """A feed that asks for more time gets it, up to the longest interval."""
        for options, polls in (({"ttl": 1}, 10), ({"max_age": 60}, 10), ({"ttl": 1_000_000}, 3)):
            own = {**self.at("/rss.xml"), "interval_max": 200.0}
            made = self.started(own, seconds=595, **options)
            self.assertEqual(polls, len(made.x.asked), options)

    def test_edits(self) -> None:
        """A changed entry comes again as an update, under another id, once."""
        made = self.started(rate=0.0, seconds=1)
        id_ = made.x.inject("first words")
        made.advance(5)
        again = made.x.edit(id_, "second words")
        made.advance(10)
        self.assertEqual([id_, again], made.ids())
        first, second = (made.source.decode(item) for item in made.items)
        self.assertEqual(("entry", "first words", id_), (first.action, first.title, first.id))
        self.assertEqual(("update", "second words", id_), (second.action, second.title, second.id))
        self.assertEqual(1, len({item.partition for item in made.items}))

    def test_many_edits(self) -> None:
        """Edits among entries: each that could be seen is."""
        made = self.started(rate=1.0, edited=0.5, seconds=60)
        updates = [item.id for item in made.items if "#" in item.id]
        self.assertGreater(len(updates), 10)
        self.assertEqual(set(), {re.sub(r"\.\d+$", "", one) for one in updates} - set(made.x.shelf.edits))

    def test_too_many_at_once(self) -> None:
        """Where a whole page is new there may have been more: the time between the two polls is a gap."""
        made = self.started(seconds=20)
        for number in range(50):
            made.x.inject(f"{number}")
        made.advance(10)
        self.assertTrue(made.missing())
        self.assertEqual([], made.unannounced())
        self.assertEqual(["overflow"], [gap.cause for gap in made.gaps()])

    def test_overflow_at_nearly(self) -> None:
        """As long as one entry is known, there was none in between."""
        made = self.started(seconds=20, rate=0.0)
        made.x.inject("known")
        made.advance(10)
        for number in range(19):
            made.x.inject(f"{number}")
        made.advance(10)
        self.assertEqual((20, []), (len(made.ids()), made.gaps()))

    def test_events(self) -> None:
        """An entry becomes a change: who published what, and where."""
        made = self.started(rate=0.0, seconds=1)
        made.x.inject("A title", author="Kind Meadow", summary="In short.", tags=("tea",), lang="en")
        made.advance(5)
        event = change.derive(made.source.decode(made.items[0]), 0)
        assert event is not None
        self.assertEqual(("change.birds.entry.feeds%2Eexample.kind%20meadow.tea"), event.topic)
        self.assertEqual(("A title", "In short."), (event.data.title, event.data.summary))


class DisturbedTests(Cases):
    """In bad ones."""

    def test_split(self) -> None:
        """However an answer is cut up."""
        for size in (1, 7):
            made = self.following()
            made.x.fault(faults.Split(size))
            made.start()
            self.whole(made)

    def disturbed(self, fault: Fault, cause: str, times: int = 1) -> None:
        """A fault ends the connection with a cause; afterwards everything is had, and nothing told missing."""
        made = self.started(rate=0.2)
        made.x.fault(fault)
        made.advance(50)
        self.assertEqual(times, self.endings(made, cause), made.follower.said)
        made.advance(100)
        self.assertEqual(State.STREAMING, made.follower.course.state)
        self.whole(made)

    def endings(self, made: Following, cause: str) -> int:
        """How often it ended by a cause."""
        return int(made.metrics.value(m.ENDINGS, "birds", cause))

    def test_stall(self) -> None:
        """An answer that does not come is given up, and asked for again."""
        self.disturbed(faults.Stall(), backoff.NETWORK)

    def test_cut(self) -> None:
        """An answer that breaks off is none."""
        for reset in (False, True):
            self.disturbed(faults.Cut(reset), backoff.NETWORK)

    def test_empty(self) -> None:
        """200 and nothing is no feed."""
        self.disturbed(faults.AcceptThenClose(), backoff.HTTP)

    def test_garbage(self) -> None:
        """Neither is what is no XML, nor a proxy's page."""
        for html in (False, True):
            self.disturbed(faults.Garbage(html), backoff.HTTP)

    def test_huge(self) -> None:
        """An answer beyond our own limit is not read, nor one beyond the client's."""
        for size in (2_000_001, 6_000_000):
            self.disturbed(faults.Huge(size), backoff.HTTP)

    def test_duplicate(self) -> None:
        """An entry that stands on a page twice is one."""
        made = self.started(rate=0.2)
        made.x.fault(faults.Duplicate(3))
        made.advance(60)
        self.assertLessEqual(made.missing(), made.due()[-1:])
        self.assertEqual(len(set(made.ids())), len(made.ids()))

    def test_reorder(self) -> None:
        """Entries that change places are no news."""
        made = self.started(rate=0.2)
        made.x.fault(faults.Reorder(3))
        made.advance(40)
        self.assertEqual(sorted(made.due()), sorted(made.ids()))

    def test_outage(self) -> None:
        """After half an hour without network everything that is still on the page is had, and no gap is told."""
        made = self.started(rate=0.0)
        made.x.inject("before")
        made.advance(10)
        made.network.refuses = OSError("no network")
        for number in range(10):
            made.x.inject(f"{number}")
            made.advance(180, 5.0)
        made.network.refuses = None
        made.advance(1000, 5.0)
        self.assertEqual((11, []), (len(made.ids()), made.gaps()))

    def test_long_outage(self) -> None:
        """What left the page meanwhile is announced."""
        made = self.started(rate=0.2)
        made.network.refuses = OSError("no network")
        made.advance(1800, 5.0)
        made.network.refuses = None
        made.advance(1000, 5.0)
        self.assertTrue(made.missing())
        self.assertEqual([], made.unannounced())

    def test_statuses(self) -> None:
        """What each refusal is taken for, and when it is asked again."""
        for status, cause, delays in (
            (401, backoff.AUTHORISATION, (300, 600)),
            (403, backoff.AUTHORISATION, (300, 600)),
            (404, backoff.HTTP, (60, 120, 240)),
            (406, backoff.HTTP, (60, 120, 240)),
            (429, backoff.RATE_LIMIT, (200, 200, 240)),
            (500, backoff.HTTP, (60, 120, 240)),
            (503, backoff.HTTP, (200, 200, 240)),
            (410, backoff.GONE, ()),
        ):
            made = self.following(rate=0.0)
            made.x.fault(faults.Status(status, times=10, reset_after=200))
            made.start()
            made.advance(1000, 1.0)
            attempts = made.network.attempts
            waits = tuple(round(b - a) for a, b in pairwise(attempts))
            self.assertEqual(delays, waits[: len(delays)], status)
            self.assertEqual(cause, made.service.progress.cause)
            if not delays:
                self.assertEqual((1, State.FAILED), (len(attempts), made.follower.course.state))

    def test_bad_tail(self) -> None:
        """A feed that is cut short by its maker is read as far as it goes."""
        site = Site(b"<rss><channel><item><title>a</title><guid>1</guid></item><item><title>b")
        made = self.started({"url": "https://feeds.example/"}, resource=site)
        self.assertEqual("1", made.ids()[-1])


class RedirectTests(Cases):
    """Where a feed leads."""

    def paths(self, made: Following) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in made.x.asked]

    def test_for_good(self) -> None:
        """A new place is remembered, and asked from then on."""
        for path in ("/moved.xml", "/settled.xml"):
            made = self.started(self.at(path))
            self.assertEqual([path, "/atom.xml", "/atom.xml"], self.paths(made)[:3])
            self.assertEqual(1, self.paths(made).count(path))
            self.whole(made)

    def test_for_now(self) -> None:
        """A detour is followed and not remembered."""
        for path in ("/found.xml", "/see.xml", "/later.xml"):
            made = self.started(self.at(path))
            self.assertEqual([path, "/atom.xml", path, "/atom.xml"], self.paths(made)[:4])
            self.whole(made)

    def test_moved_to_a_bad_place(self) -> None:
        """A place that proves no good is not remembered."""
        made = self.started(rate=0.1)
        made.x.fault(faults.Status(301))
        made.x.fault(faults.Status(500))
        made.advance(30)
        made.advance(120)
        self.assertNotIn("elsewhere", str(made.intake.cursor))
        self.assertEqual(State.STREAMING, made.follower.course.state)

    def test_loop(self) -> None:
        """One that leads in circles is given up after five."""
        made = self.started(self.at("/away.xml"), seconds=20)
        self.assertEqual(6, len(made.x.asked))
        self.assertIn("more than 5 redirects", made.follower.said)

    def refused(self, location: str, said: str, **own: Any) -> None:
        """A redirect that is not followed."""
        site = Site(b"", 302, location)
        made = self.started({"url": "https://feeds.example/", **own}, resource=site)
        self.assertIn(said, made.follower.said)
        self.assertEqual(1, site.asked)

    def test_refused(self) -> None:
        """Nowhere, to what is no web address, or in the clear."""
        self.refused("ftp://feeds.example/x", "no http(s) URL")
        self.refused("http://u:p@feeds.example/x", "user")
        self.refused("https://[::/x", "Invalid IPv6 URL")
        self.refused("http://feeds.example:99999/x", "port")

    def test_gone(self) -> None:
        """What is gone is asked for no more, also not after a restart."""
        made = self.started(self.at("/gone.xml"), seconds=7200)
        self.assertEqual(1, len(made.x.asked))
        self.assertEqual(State.FAILED, made.follower.course.state)

    def test_web_page(self) -> None:
        """A web page is no feed; the operator is told of those that it names."""
        made = self.started(self.at("/"))
        self.assertIn("web page, not a feed; it names http://127.0.0.1/atom.xml", made.follower.said)


class RestartTests(Cases):
    """What outlives the process."""

    def setUp(self) -> None:
        """A state directory."""
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.folder = Path(held.name)

    def keeping(self) -> Keeping:
        """The files of a new process."""
        return Keeping(self.folder / "birds.cursor", StateLock(self.folder, "birds"), None, maybeDeferred)

    def restarted(self, own: dict[str, Any] | None = None, after: dict[str, Any] | None = None) -> Following:
        """Followed, stopped for a minute, followed again."""
        first = Following.of("feed", own, rate=0.2, keeping=self.keeping())
        first.start()
        first.advance(60)
        self.successResultOf(first.end())
        first.advance(60)
        table = table_of("feed", {**(own or {}), **(after or {})})
        second = Following(table=table, simulation=first.x, clock=first.clock, keeping=self.keeping())
        second.items = first.items
        self.addCleanup(self.ends_quietly, second)
        second.start()
        second.advance(20)
        return second

    def test_restart(self) -> None:
        """It goes on where it stopped: nothing twice, nothing missing, no gap."""
        made = self.restarted()
        self.assertEqual(made.due(), made.ids())
        self.assertEqual([], made.gaps())
        self.assertGreater(len(made.ids()), 20)

    def test_moved(self) -> None:
        """The new place is remembered."""
        made = self.restarted(self.at("/moved.xml"))
        self.assertEqual(1, [path for path, _ in made.x.asked].count("/moved.xml"))
        self.assertEqual(made.due(), made.ids())

    def test_another_feed(self) -> None:
        """Memories of another address are of no use: a first contact, and the time before it is a gap."""
        made = self.restarted(None, {**self.at("/rss.xml"), "backlog": 2})
        self.assertEqual(1, len(made.gaps()))
        self.assertEqual([], made.unannounced())


class Site(Resource):
    """Answers everything alike."""

    isLeaf = True

    def __init__(self, body: bytes, status: int = 200, location: str = "") -> None:
        super().__init__()
        self.body, self.status, self.location = body, status, location
        self.asked = 0

    def render_GET(self, request: Any) -> bytes | int:
        self.asked += 1
        request.setResponseCode(self.status)
        request.setHeader("content-type", "application/xml")
        if self.location:
            request.setHeader("location", self.location)
        return self.body


class Dripping(Resource):
    """Begins an answer, and writes a byte of it a second."""

    isLeaf = True

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self.clock = clock

    def render_GET(self, request: Any) -> int:
        def drip() -> None:
            if request.channel is not None:
                request.write(b" ")
                self.clock.callLater(1.0, drip)

        drip()
        return NOT_DONE_YET


class SlowTests(Cases):
    """Answers without an end."""

    def test_drip(self) -> None:
        """A byte a second is given up in time."""
        made = self.following(rate=0.0)
        made.network._site.resource = Dripping(made.clock)
        made.start()
        made.advance(31)
        made.network._site.resource = made.x.resource
        made.advance(5)
        self.assertEqual(backoff.NETWORK, made.service.progress.cause)


class SettingsTests(SynchronousTestCase):
    """What an operator may write."""

    def test_plugin(self) -> None:
        """It is found by its name."""
        self.assertEqual("feed", find(ISourceType, "feed").name)

    def built(self, **own: Any) -> Any:
        """A source."""
        return feed.build("birds", Settings(**{"url": URL, **own}))

    def refused(self, said: str, **own: Any) -> None:
        """Settings that are refused, and why."""
        error = self.assertRaises(ValueError, self.built, **own)
        self.assertIn(said, str(error))
        self.assertNotIn("base_url", str(error).replace("base_url 'ftp", ""))

    def test_url(self) -> None:
        """Addresses that cannot be asked for, or not safely, are refused with a sentence."""
        self.refused("allow_http", url="http://feeds.example/x")
        self.refused("no http(s) URL", url="feeds.example/x")
        self.refused("no http(s) URL", url="")
        self.refused("user", url="https://me:secret@feeds.example/x")
        self.refused("longer than", url="https://feeds.example/" + "x" * 3000)
        self.assertNotIn("secret", str(self.assertRaises(ValueError, self.built, url="https://me:secret@x.example/")))
        self.assertEqual("http://feeds.example/x", self.built(url="http://Feeds.Example/x", allow_http=True).url)
        self.assertEqual("http://127.0.0.1:99/x?y=1", self.built(url="http://127.0.0.1:99/x?y=1#z").url)
        self.assertEqual("https://xn--bcher-kva.example/%C3%BC", self.built(url="https://bücher.example/ü").url)

    def test_intervals(self) -> None:
        """The least interval is not longer than the longest."""
        self.refused("interval_max", interval=100.0, interval_max=50.0)

    def test_base_url(self) -> None:
        """It takes the place of the origin; the scope stays that of the feed."""
        made = self.built(base_url="http://127.0.0.1:8080/proxy")
        self.assertEqual(("http://127.0.0.1:8080/proxy/atom.xml", "feeds.example"), (made.url, made.scope))

    def test_tokens(self) -> None:
        """A token in the address is shown neither in what is logged nor in what is published."""
        made = self.built(url="https://feeds.example/atom.xml?token=s3cret")
        self.assertNotIn("s3cret", repr(made))
        following = Following.of("feed", {"url": "https://feeds.example/atom.xml?token=s3cret"}, rate=1.0)
        following.start()
        following.advance(10)
        self.assertEqual([], following.stop())
        self.assertGreater(len(following.items), 5)
        self.assertNotIn(b"s3cret", b"".join(item.body for item in following.items))

    def test_lanes(self) -> None:
        """Two sources of one feed are one too many; two feeds of one site are not."""
        self.assertEqual(self.built().lane, self.built(interval=1000.0).lane)
        self.assertNotEqual(self.built().lane, self.built(url="https://feeds.example/rss.xml").lane)

    def test_the_rest(self) -> None:
        """No predicates, nothing to prepare, nothing to recover."""
        made = self.built()
        self.assertRaises(ValueError, made.with_predicates, None)
        self.assertEqual(0, made.changes(made))
        self.assertIsNone(made.recovery(0, 1))
        self.assertEqual(backoff.GONE, made.refusal(Response(status=410, received=0.0)).cause)

    def test_replays(self) -> None:
        """With a memory nothing is missed beforehand; without one, or with another's, everything is."""
        made = self.built()
        self.assertIsNone(made.request(None, 5).replays_from)
        for cursor in (None, "", "{}", "garbage", '{"of":"x","url":"https://x.example/"}'):
            self.assertIsNone(made.request(Resume(received=100_000, cursor=cursor), 5).replays_from)


class FrameTests(SynchronousTestCase):
    """What is no entry is dropped, whatever it is."""

    @settings(max_examples=200)
    @given(st.binary(max_size=200) | st.just(b"{}") | st.just(b'{"identity":"a","feed":{}}'))
    def test_any_bytes(self, frame: bytes) -> None:
        """Nothing but a DecodeError."""
        source = feed.build("birds", Settings(url=URL))
        self.assertRaises(DecodeError, source.outcomes, frame, 0)

    @given(st.binary(max_size=200))
    def test_any_item(self, body: bytes) -> None:
        """Nor from an item."""
        source = feed.build("birds", Settings(url=URL))
        item = Item(source="birds", kind="entry", id="x", received=0, body=body)
        self.assertRaises(DecodeError, source.decode, item)
