# -*- test-case-name: tests.unit.test_testing_feeds -*-
"""A site with feeds, simulated: `SimulatedFeed(clock).resource` serves one feed in several forms, which grows.

`/atom.xml` has an ETag, `/rss.xml` a date of its last change, `/rdf.xml` neither; `/moved.xml` leads to the first for
good, `/found.xml` and `/see.xml` for now, `/away.xml` to itself, `/gone.xml` is gone, and `/` is a page that names
them. A validator counts only where it comes back to the letter.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.answering import Answering, Whole, refusal
from streamer.testing.control import ControlFolder
from streamer.testing.faults import Duplicate, Fault, Faults, Reorder, Status
from streamer.testing.feeds_forms import FORMS
from streamer.testing.feeds_shelf import HOST, Shelf, Wishes
from streamer.testing.feeds_texts import Writer
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder
from streamer.testing.production import Production
from streamer.testing.simulation import impossible

REDIRECTS = {"moved": 301, "found": 302, "see": 303, "later": 307, "settled": 308, "away": 302}
ASKED = 10_000  # requests that are remembered


class SimulatedFeed:
    """A simulated site with feeds.

    Args:
        clock: the reactor, or a Clock.
        seed: of everything random.
        rate: entries a second.
        count: entries in all; None never ends.
        wait_for_client: make the first entry only after a poll.
        length: entries of a page.
        edited: share of entries after which an earlier one on the page is changed.
        ttl: minutes that the RSS feed asks readers to wait; 0 says nothing.
        max_age: seconds that an answer may be kept; 0 says nothing.
        packed: compress answers for who can read that.
        hub: address of a WebSub hub to name; None names none.
        topic: the feed's own address as the hub knows it; None gives `https://feeds.example/atom.xml`.
    """

    name = "feed"

    def __init__(
        self,
        clock: IReactorTime,
        *,
        seed: int = 0,
        rate: float = 20.0,
        count: int | None = None,
        wait_for_client: bool = False,
        length: int = 20,
        edited: float = 0.02,
        ttl: int = 0,
        max_age: int = 0,
        packed: bool = True,
        hub: str | None = None,
        topic: str | None = None,
    ) -> None:
        self.faults = Faults()
        self.ledger = Ledger()
        self.asked: deque[tuple[str, int]] = deque(maxlen=ASKED)  # path and status of what was asked for
        self.shelf = Shelf(
            clock,
            self.ledger,
            Wishes(ttl, max_age, packed, hub, topic or f"https://{HOST}/atom.xml"),
            Writer(seed),
            random.Random(seed),
            deque(maxlen=length),
            edited,
        )
        self._waits = wait_for_client
        self._started = False
        self._answering = Answering("the simulated feed", clock, self.faults, self.ledger, self._refused)
        self._production = Production(clock, rate, count, self.shelf.make, lambda: None)
        self.resource = _Site(self)

    def start(self) -> None:
        """Begin to make entries, or to wait for the first poll."""
        self._started = True
        if not self._waits:
            self._production.start()

    def stop(self) -> None:
        """Make no more entries and drop every request; nothing is left on the clock."""
        self._started = False
        self._production.stop()
        self._answering.stop()

    def fault(self, fault: Fault) -> None:
        """Let something go wrong; see `faults`. `Status` takes redirects, too, which lead to `/elsewhere/atom.xml`.

        Raises:
            ValueError: a feed cannot go wrong in this way.
        """
        match fault:
            case Duplicate(times=times):
                self.shelf.twice += times
            case Reorder(times=times):
                self.shelf.swaps += times
            case Status(status=304):
                raise impossible("a feed", fault)
            case _:
                self._answering.fault(fault)

    def inject(self, text: str, **fields: Any) -> str:
        """Publish an entry with this title now. Returns its id.

        Args:
            fields: of `feeds_forms.Entry`, replacing what would be there.
        """
        return self.shelf.publish(text, **fields)

    def edit(self, id_: str, text: str) -> str:
        """Change the title of an entry that is on the page. Returns the id of the item that should come of it."""
        return self.shelf.edit(id_, text)

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {
            "rate": self._production.rate,
            "running": self._production.running,
            "produced": self.ledger.produced,
            "edited": len(self.shelf.edits),
            "connections": len(self._answering),
            "connected": len(self.ledger.connections),
            "entries": len(self.shelf.entries),
        }

    def serve(self, request: Request, form: str) -> int:
        """Answer a poll of one form of the feed."""
        if self._started and self._waits:
            self._waits = False
            self._production.start()
        return self._answering.answer(request, lambda: self._noted(request, self.shelf.answer(request, form)), form)

    def say(self, request: Request, whole: Whole) -> int:
        """Answer something else."""
        return self._answering.answer(request, lambda: self._noted(request, whole))

    def _noted(self, request: Request, whole: Whole) -> Whole:
        self.asked.append((request.path.decode("ascii", "replace"), whole.status))
        return whole

    def _refused(self, fault: Status, now: float) -> Whole:
        whole = refusal(fault, now)
        if whole.status < 400:
            return Whole(whole.status, {"Location": "/elsewhere/atom.xml"}, b"It is elsewhere.")
        return whole


class _Page(Folder):
    """One form of the feed."""

    isLeaf = True

    def __init__(self, site: SimulatedFeed, form: str) -> None:
        super().__init__()
        self._site, self._form = site, form

    def render_GET(self, request: Request) -> int:
        return self._site.serve(request, self._form)


class _Said(Folder):
    """Always the same answer."""

    isLeaf = True

    def __init__(self, site: SimulatedFeed, whole: Whole) -> None:
        super().__init__()
        self._site, self._whole = site, whole

    def render_GET(self, request: Request) -> int:
        return self._site.say(request, self._whole)


class _Site(Folder):
    """All of it."""

    def __init__(self, site: SimulatedFeed) -> None:
        super().__init__()
        elsewhere = Folder()
        for folder in (self, elsewhere):
            for form in FORMS:
                folder.putChild(f"{form}.xml".encode(), _Page(site, form))
        self.putChild(b"elsewhere", elsewhere)
        for name, status in REDIRECTS.items():
            where = "/away.xml" if name == "away" else "/atom.xml"
            self.putChild(f"{name}.xml".encode(), _Said(site, Whole(status, {"Location": where})))
        self.putChild(b"gone.xml", _Said(site, Whole(410, {"Content-Type": "text/plain"}, b"It is gone.")))
        links = "".join(
            f'<link rel="alternate" type="{kind.partition(";")[0]}" href="/{form}.xml">'
            for form, kind in FORMS.items()
        )
        body = f"<!DOCTYPE html><html><head><title>A site</title>{links}</head><body><p>Hello&nbsp;there</body></html>"
        self.putChild(b"", _Said(site, Whole(200, {"Content-Type": "text/html; charset=utf-8"}, body.encode())))
        self.putChild(b"_sim", ControlFolder(site.ledger, site.status, site.fault, site.inject))
