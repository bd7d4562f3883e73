"""The simulated site with feeds: what it serves, and that it checks what comes back."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.client import UpstreamClient
from streamer.sources.feed_document import root_of
from streamer.sources.feed_entries import Read, read
from streamer.testing import faults
from streamer.testing.feeds import SimulatedFeed
from streamer.upstream import Request, Response
from tests.unit.network import Network

ROOT = "http://127.0.0.1"


class Cases(SynchronousTestCase):
    """A site, and a client that asks it."""

    def setUp(self) -> None:
        """It makes an entry a second."""
        self.site = self.made(rate=1.0)

    def made(self, **options: Any) -> SimulatedFeed:
        """A site of its own."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        site = SimulatedFeed(self.clock, **options)
        self.network = Network(site.resource, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests")
        site.start()
        self.addCleanup(self.nothing_is_left, site, self.clock)
        return site

    def nothing_is_left(self, site: SimulatedFeed, clock: Clock) -> None:
        """It stops without a rest."""
        site.stop()
        self.assertEqual([], clock.getDelayedCalls())

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.clock.advance(1)

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Response:
        """Ask for something."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, url=ROOT + path, headers=named, body=body)
        asked = Deferred.fromCoroutine(self.client.fetch(request))
        self.network.flush()
        return self.successResultOf(asked)

    def read(self, path: str) -> Read:
        """A feed, read."""
        answer = self.get(path)
        return read(root_of(answer.body, answer.headers["content-type"], ROOT + path))


class ServeTests(Cases):
    """What it serves."""

    def test_forms(self) -> None:
        """All forms say the same."""
        self.advance(30)
        atom, rss, rdf = (self.read(f"/{form}.xml") for form in ("atom", "rss", "rdf"))
        self.assertEqual(list(self.site.ledger.posts)[:-21:-1], [entry.identity for entry in atom.entries])
        for other in (rss, rdf):
            for mine, theirs in zip(atom.entries, other.entries, strict=True):
                for field in ("identity", "title", "link", "author", "summary"):
                    self.assertEqual(getattr(mine, field), getattr(theirs, field))
                assert mine.content is not None
                assert theirs.content is not None
                self.assertEqual(mine.content.value, theirs.content.value)
        self.assertTrue(any(entry.enclosures for entry in atom.entries))

    def test_same_seed(self) -> None:
        """The same bytes for the same seed and times, others for others."""
        pages = []
        for seed in (1, 1, 2):
            self.made(rate=1.0, seed=seed, edited=0.3)
            self.advance(30)
            pages.append(self.get("/atom.xml").body)
        self.assertEqual(pages[0], pages[1])
        self.assertNotEqual(pages[0], pages[2])

    def test_validators(self) -> None:
        """Each form has its own kind, and takes it to the letter only."""
        self.advance(5)
        for form, name, back in (("atom", "etag", "If_None_Match"), ("rss", "last-modified", "If_Modified_Since")):
            validator = self.get(f"/{form}.xml").headers[name]
            self.assertEqual(304, self.get(f"/{form}.xml", **{back: validator}).status)
            self.assertEqual(200, self.get(f"/{form}.xml", **{back: validator.lower()}).status)
        headers = self.get("/rdf.xml").headers
        self.assertFalse({"etag", "last-modified"} & set(headers))
        self.advance(1)
        self.assertEqual(200, self.get("/rss.xml", If_Modified_Since=validator).status)

    def test_gzip(self) -> None:
        """Compressed for those who can read it."""
        self.advance(5)
        plain, packed = self.get("/atom.xml"), self.get("/atom.xml", Accept_Encoding="gzip")
        self.assertEqual("gzip", packed.headers["content-encoding"])
        self.assertEqual(plain.body, packed.body)

    def test_places(self) -> None:
        """Redirects of all kinds, a page and what is gone."""
        for path, status in (
            ("/moved.xml", 301), ("/found.xml", 302), ("/see.xml", 303), ("/later.xml", 307), ("/settled.xml", 308),
            ("/away.xml", 302), ("/gone.xml", 410), ("/nowhere.xml", 404), ("/", 200),
        ):  # fmt: skip
            self.assertEqual(status, self.get(path).status, path)

    def test_wishes(self) -> None:
        """What it may say of its pace, and of its hub."""
        self.made(rate=0.0, ttl=5, max_age=60, hub="https://hub.example/")
        answer = self.get("/rss.xml")
        self.assertIn(b"<ttl>5</ttl>", answer.body)
        self.assertEqual("public, max-age=60", answer.headers["cache-control"])
        self.assertIn('<https://hub.example/>; rel="hub"', answer.headers["link"])
        self.assertIn(("hub", "https://hub.example/"), self.read("/atom.xml").links)

    def test_wait_for_client(self) -> None:
        """It may wait for the first poll, and makes no more than it was asked for."""
        site = self.made(rate=1.0, wait_for_client=True, count=3)
        self.advance(5)
        self.assertEqual(0, site.ledger.produced)
        self.get("/atom.xml")
        self.advance(10)
        self.assertEqual((3, False), (site.ledger.produced, site.status()["running"]))

    def test_edits(self) -> None:
        """An edit changes the page, and tells the id that should come of it."""
        id_ = self.site.inject("before")
        self.assertRegex(self.site.edit(id_, "after"), f"^{id_}#[0-9a-f]{{8}}$")
        title = self.read("/atom.xml").entries[0].title
        assert title is not None
        self.assertEqual("after", title.value)


class FaultTests(Cases):
    """What goes wrong."""

    def test_redirects(self) -> None:
        """A status may be a redirect to a place where the feed is, too."""
        self.site.fault(faults.Status(308))
        self.assertEqual(
            (308, "/elsewhere/atom.xml"), ((said := self.get("/atom.xml")).status, said.headers["location"])
        )
        self.assertEqual(200, self.get("/elsewhere/atom.xml").status)

    def test_refusals(self) -> None:
        """Others say how long to wait."""
        self.site.fault(faults.Status(503, reset_after=7))
        said = self.get("/atom.xml")
        self.assertEqual((503, "7"), (said.status, said.headers["retry-after"]))

    def test_pages(self) -> None:
        """An entry twice, two entries swapped."""
        self.advance(3)
        right = [entry.identity for entry in self.read("/atom.xml").entries]
        self.site.fault(faults.Duplicate())
        self.assertEqual([right[0], *right], [entry.identity for entry in self.read("/atom.xml").entries])
        self.site.fault(faults.Reorder())
        swapped = [entry.identity for entry in self.read("/rdf.xml").entries]
        self.assertEqual([right[1], right[0], *right[2:]], swapped)

    def test_impossible(self) -> None:
        """What no feed can do is refused."""
        for fault in (faults.Disconnect(), faults.Lag(1.0), faults.Status("too-many-connections"), faults.Status(304)):
            self.assertRaises(ValueError, self.site.fault, fault)

    def test_control(self) -> None:
        """The same from another process."""
        said = self.get("/_sim/inject", "POST", json.dumps({"text": "hello"}).encode())
        self.assertEqual(json.loads(said.body)["id"], self.site.ledger.posts[-1])
        self.get("/_sim/fault", "POST", b'{"kind":"status","status":500}')
        self.assertEqual(500, self.get("/atom.xml").status)
        self.assertEqual(0, json.loads(self.get("/_sim/status").body)["connections"])
