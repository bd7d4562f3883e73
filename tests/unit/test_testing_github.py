# -*- test-case-name: tests.unit.test_testing_github -*-
"""The simulated GitHub: its lists, tags, pages, limits and words."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.client import UpstreamClient
from streamer.testing import faults
from streamer.testing.github import TOKEN, SimulatedGitHub
from streamer.upstream import Request, Response
from tests.unit.network import Network

NOW = 1_700_000_000.0  # seconds since the epoch


class Cases(SynchronousTestCase):
    """A client of a simulation, without any wire."""

    def begin(self, **options: Any) -> SimulatedGitHub:
        """Start a simulation that must leave nothing behind."""
        self.doCleanups()
        self.clock = Clock()
        self.clock.advance(NOW)
        made = SimulatedGitHub(self.clock, **{"rate": 10.0, **options})
        self.network = Network(made.resource, self.clock)
        self.client = UpstreamClient(self.network.agent, self.clock, "tests")
        made.start()
        self.addCleanup(self.ends_quietly, made)
        return made

    def ends_quietly(self, made: SimulatedGitHub) -> None:
        """Nothing is left."""
        made.stop()
        self.pump()
        self.assertEqual(([], 0), (self.clock.getDelayedCalls(), made.status()["connections"]))

    def pump(self) -> None:
        """Move bytes."""
        for _ in range(4):
            self.network.flush()
            self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        while seconds > 0:
            self.clock.advance(min(1.0, seconds))
            seconds -= 1.0

    def ask(self, path: str = "/events", **headers: str) -> Response:
        """What GET is answered with."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if "://" in path else f"http://127.0.0.1{path}"
        asked = Deferred.fromCoroutine(self.client.fetch(Request(url=url, headers=said)))
        self.pump()
        return self.successResultOf(asked)

    def events(self, path: str = "/events", **headers: str) -> list[dict[str, Any]]:
        """The events of a page."""
        answer = self.ask(path, **headers)
        self.assertEqual(200, answer.status, answer.body)
        found: list[dict[str, Any]] = json.loads(answer.body)
        return found


class ListTests(Cases):
    """What the lists show."""

    def test_newest_first(self) -> None:
        """Thirty by default, a hundred at most, as the ledger has them."""
        made = self.begin()
        self.assertEqual([], self.events())
        self.advance(20)
        newest = list(made.ledger.posts)[::-1]
        for path, number in (("/events", 30), ("/events?per_page=7", 7), ("/events?per_page=500", 100)):
            self.assertEqual(newest[:number], [row["id"] for row in self.events(path)], path)
        self.assertEqual(set(made.ledger.posts), set(made.ledger.made_ms))

    def test_pages(self) -> None:
        """Following `next` leads through three hundred events and no further."""
        made = self.begin()
        self.advance(60)
        path: str | None = "/events?per_page=100"
        ids: list[str] = []
        pages = 0
        while path is not None:
            answer = self.ask(path)
            ids += [row["id"] for row in json.loads(answer.body)]
            pages += 1
            found = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
            path = found[1] if found else None
        self.assertEqual((3, list(made.ledger.posts)[::-1][:300]), (pages, ids))
        self.assertIn('rel="prev"', answer.headers["link"])
        self.assertEqual(422, self.ask("/events?per_page=100&page=4").status)

    def test_shift(self) -> None:
        """What happens between two pages pushes the others on."""
        self.begin()
        self.advance(60)
        first = self.events("/events?per_page=50")
        self.advance(1)
        second = self.events("/events?per_page=50&page=2")
        self.assertEqual(first[-10:], second[:10])

    def test_a_month(self) -> None:
        """Older events are in no list."""
        self.begin(count=5)
        self.advance(10)
        self.assertEqual(5, len(self.events()))
        self.clock.advance(30 * 86_400)
        self.assertEqual([], self.events())

    def test_lists(self) -> None:
        """Of an organisation, a repository, a user: theirs alone."""
        made = self.begin(rate=50.0)
        self.advance(40)
        full, login = "amber-works/badger.0", made.events.people[-1][1]
        for path, of in (
            ("/orgs/amber-works/events", lambda row: row["org"]["login"] == "amber-works"),
            (f"/repos/{full}/events", lambda row: row["repo"]["name"] == full),
            (f"/networks/{full}/events", lambda row: row["repo"]["name"] == full),
            (f"/users/{login}/events/public", lambda row: row["actor"]["login"] == login),
            (f"/users/{login}/received_events/public", lambda row: True),
        ):
            rows = self.events(path)
            self.assertTrue(rows, path)
            self.assertTrue(all(map(of, rows)), path)
        for path in ("/orgs/nobody/events", "/repos/a/b/events", "/users/nobody/events", "/other", "/"):
            self.assertEqual((404, b'"Not Found"'), ((answer := self.ask(path)).status, answer.body[11:22]), path)

    def test_content(self) -> None:
        """Ids are strings, several types, payloads of their kinds; the same for the same seed."""
        bodies = []
        for seed in (1, 1, 2):
            self.begin(seed=seed, rate=50.0)
            self.advance(20)
            bodies.append(self.ask("/events?per_page=100").body)
        self.assertEqual(bodies[0], bodies[1])
        self.assertNotEqual(bodies[0], bodies[2])
        rows = json.loads(bodies[0])
        self.assertGreater(len({row["type"] for row in rows}), 6)
        for row in rows:
            self.assertIsInstance(row["id"], str)
            self.assertTrue(row["created_at"].endswith("Z"))
            self.assertTrue(row["payload"])
        self.assertNotIn(b"&amp;", bodies[0])

    def test_inject(self) -> None:
        """A push of one's own, or something else."""
        made = self.begin(rate=0)
        first, second = made.inject("mine"), made.inject("One", kind="Release")
        rows = self.events()
        self.assertEqual([second, first], [row["id"] for row in rows])
        self.assertEqual("mine", rows[1]["payload"]["commits"][0]["message"])
        self.assertEqual(("ReleaseEvent", "One"), (rows[0]["type"], rows[0]["payload"]["release"]["name"]))

    def test_faults_of_lines(self) -> None:
        """Twice, or in another order."""
        made = self.begin(rate=0)
        made.fault(faults.Duplicate())
        made.inject("a")
        self.assertEqual(2, len(self.events()))
        made.fault(faults.Reorder())
        first, second = made.inject("b"), made.inject("c")
        self.assertEqual([first, second], [row["id"] for row in self.events()[:2]])


class ConditionalTests(Cases):
    """Tags and patience."""

    def test_not_modified(self) -> None:
        """304 for the tag that we have, weak and quoted, at no cost; 200 as soon as something happened."""
        made = self.begin(rate=0)
        made.inject("a")
        first = self.ask()
        self.assertRegex(first.headers["etag"], '^W/"[0-9a-f]{64}"$')
        again = self.ask(If_None_Match=first.headers["etag"])
        self.assertEqual((304, b""), (again.status, again.body))
        self.assertEqual("60", again.headers["x-poll-interval"])
        self.assertEqual(first.headers["x-ratelimit-remaining"], again.headers["x-ratelimit-remaining"])
        made.inject("b")
        self.assertEqual(200, self.ask(If_None_Match=first.headers["etag"]).status)

    def test_allowance(self) -> None:
        """Sixty an hour for everybody together, more with the token; then 403 until the hour is over."""
        self.begin(anonymous_limit=3)
        left = [self.ask().headers["x-ratelimit-remaining"] for _ in range(3)]
        self.assertEqual(["2", "1", "0"], left)
        answer = self.ask()
        self.assertEqual((403, "0"), (answer.status, answer.headers["x-ratelimit-remaining"]))
        self.assertIn(b"API rate limit exceeded", answer.body)
        self.assertEqual(str(int(NOW) + 3600), answer.headers["x-ratelimit-reset"])
        account = self.ask(Authorization=f"Bearer {TOKEN}")
        self.assertEqual(
            ("5000", "4999"), (account.headers["x-ratelimit-limit"], account.headers["x-ratelimit-remaining"])
        )
        self.advance(3600)
        self.assertEqual(200, self.ask().status)

    def test_credentials(self) -> None:
        """A wrong token is worse than none; so is no name at all."""
        self.begin()
        answer = self.ask(Authorization="Bearer wrong")
        self.assertEqual(401, answer.status)
        self.assertIn(b"Bad credentials", answer.body)
        self.assertEqual(403, self.ask(User_Agent="").status)

    def test_moved(self) -> None:
        """A list that has moved says where to."""
        made = self.begin()
        made.move("/orgs/old/events", "/events", 301)
        made.move("/users/x/events", "https://elsewhere.example/", 302)
        answer = self.ask("/orgs/old/events?per_page=5")
        self.assertEqual((301, "http://127.0.0.1/events?per_page=5"), (answer.status, answer.headers["location"]))
        answer = self.ask("/users/x/events")
        self.assertEqual((302, "https://elsewhere.example/"), (answer.status, answer.headers["location"]))

    def test_refusals(self) -> None:
        """On demand: the limit of an hour, the secondary one, and what else servers say."""
        made = self.begin()
        for status, header, value in (
            (403, "x-ratelimit-reset", str(int(NOW) + 90)),
            (429, "retry-after", "90"),
            (503, "retry-after", None),
            (401, "content-type", "application/json; charset=utf-8"),
        ):
            made.fault(faults.Status(status, reset_after=90.0))
            answer = self.ask()
            self.assertEqual((status, value), (answer.status, answer.headers.get(header)))
            self.assertIn("message", json.loads(answer.body))
        for fault in (faults.Status(418), faults.Status("too-many-connections"), faults.Disconnect(), faults.Lag(1.0)):
            with self.assertRaisesRegex(ValueError, "GitHub has no"):
                made.fault(fault)

    def test_wait_for_client(self) -> None:
        """Nothing happens before somebody asks."""
        made = self.begin(wait_for_client=True)
        self.advance(5)
        self.assertEqual(0, made.status()["produced"])
        self.ask()
        self.advance(5)
        self.assertEqual((50, True), (made.status()["produced"], made.status()["running"]))

    def test_control(self) -> None:
        """Other processes look in and let things happen by `/_sim`."""
        made = self.begin(rate=0)
        made.inject("a")
        self.assertEqual(list(made.ledger.posts), json.loads(self.ask("/_sim/ledger").body)["posts"])
        self.assertEqual(1, json.loads(self.ask("/_sim/status").body)["listed"])
