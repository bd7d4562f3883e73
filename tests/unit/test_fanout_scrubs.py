# -*- test-case-name: tests.unit.test_fanout_scrubs -*-
"""Locations that were taken back, and the journal that must not keep them."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout.journal import Journal
from streamer.fanout.scrubs import Located, Scrub, Scrubs, located, scrub, without_location
from streamer.message import Entry
from streamer.testing.relay_events import entry

MANY = 30  # digits
IDS = st.integers(1, 30).map(str)
STEP = st.tuples(st.sampled_from(["geo", "post", "scrub", "delete"]), st.sampled_from("ab"), IDS)


def geo(offset: int, author: str | None, post: str) -> Entry:
    whose = {} if author is None else {"author": author}
    return entry(offset, "geo.x.nz", f"geo:{post}", kind="geo", lat=-41.3, lon=174.8, post=post, **whose)


def post(offset: int, author: str, id_: str) -> Entry:
    return entry(offset, "post.x", f"post:{id_}", id=id_, text="kept", author={"id": author}, geo={"lat": -41.3})


def scrubbed(offset: int, author: str, up_to: str) -> Entry:
    return entry(offset, "scrub.x", f"scrub:{author}:{up_to}", kind="scrub", author=author, up_to=up_to)


def deleted(offset: int, id_: str) -> Entry:
    return entry(offset, "delete.x", f"delete:{id_}", kind="delete", id=id_)


def events(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(journal[place].event) for place in range(journal.floor, journal.head)]


class ScrubTests(SynchronousTestCase):
    """What a scrub covers."""

    def test_covers(self) -> None:
        """Ids are compared as numbers, of one author of one source, up to and with the post that is named."""
        one = scrub("/sources/x", {"author": "7", "up_to": "10"})
        assert one is not None
        for author, id_, covered in (("7", "9", True), ("7", "10", True), ("7", "11", False), ("8", "9", False)):
            held = located("streamer.geo", "/sources/x", {"author": author, "post": id_})
            assert held is not None
            self.assertIs(one.covers(held), covered, (author, id_))
        elsewhere = located("streamer.geo", "/sources/y", {"author": "7", "post": "9"})
        assert elsewhere is not None
        self.assertFalse(one.covers(elsewhere))

    def test_no_numbers(self) -> None:
        """What cannot be told to come later goes: rather one location too many than one too few."""
        held = Located("x#7", None, True)
        self.assertTrue(Scrub("x#7", 10).covers(held))
        for up_to in (None, "at://x", "٣", "9" * (MANY + 1), 10):
            one = scrub("x", {"author": "7", "up_to": up_to})
            assert one is not None
            self.assertTrue(one.covers(Located("x#7", 10**18, True)), up_to)

    def test_nobody(self) -> None:
        """Data of any other shape names nobody."""
        for data in (None, 7, [], {}, {"author": None, "up_to": "1"}, {"author": 7, "up_to": "1"}, {"author": ""}):
            self.assertIsNone(scrub("x", data), data)
            self.assertIsNone(located("streamer.geo", "x", data), data)
            self.assertIsNone(located("streamer.post", "x", data), data)

    def test_located(self) -> None:
        """A place on the map is a location, a post holds one or none, and nothing else does."""
        whole = {"author": "7", "post": "9", "id": "9"}
        self.assertEqual(located("streamer.geo", "x", whole), Located("x#7", 9, True))
        part = {"author": {"id": "7"}, "id": "9", "geo": {"lat": 1}}
        self.assertEqual(located("streamer.post", "x", part), Located("x#7", 9, False))
        self.assertIsNone(located("streamer.post", "x", {**part, "geo": None}))
        self.assertIsNone(located("streamer.notice", "x", whole))

    def test_without_location(self) -> None:
        """A post without its location is otherwise the same, digit by digit."""
        body = b'{"id":"post:1","n":1.50,"data":{"id":"1","geo":{"lat":1},"x":[1e3,"\\u00e9"]},"z":{"geo":1}}'
        left = b'{"id":"post:1","n":1.50,"data":{"id":"1","x":[1e3,"\\u00e9"]},"z":{"geo":1}}'
        self.assertEqual(without_location(body), left)


class ScrubsTests(SynchronousTestCase):
    """What is remembered."""

    def test_bounded(self) -> None:
        """The scrubs of the authors heard of last are remembered."""
        scrubs: Scrubs[str] = Scrubs(kept=2)
        for author in "abac":
            scrubs.remember(Scrub(author, 10), author)
        known = {author: scrubs.over(Located(author, 10, True)) for author in "abc"}
        self.assertEqual(known, {"a": "a", "b": None, "c": "c"})

    def test_the_furthest(self) -> None:
        """Of an author's scrubs the one that covers most is remembered, whichever came first."""
        for order in ((10, 5), (5, 10), (10, None), (None, 10)):
            scrubs: Scrubs[int | None] = Scrubs()
            for up_to in order:
                scrubs.remember(Scrub("a", up_to), up_to)
            self.assertIs(scrubs.over(Located("a", 10, True)), None if None in order else 10)
            later = scrubs._last["a"][0].covers(Located("a", 11, True))
            self.assertIs(later, None in order)


class JournalTests(SynchronousTestCase):
    """The journal after a scrub."""

    def test_taken_back(self) -> None:
        """Of a place on the map the scrub is left, of a post all but its location; others and positions stay."""
        journal = Journal()
        for offset, one in enumerate((geo(0, "7", "9"), post(1, "7", "9"), geo(2, "7", "11"), geo(3, "8", "8"))):
            self.assertEqual(one.offset, offset)
            journal.append(one)
        positions = [journal.position(place) for place in range(5)]
        logged = journal.append(scrubbed(4, "7", "10"))
        assert logged is not None
        self.assertTrue(logged.deletion)
        ids = [event["id"] for event in events(journal)]
        self.assertEqual(ids, ["scrub:7:10", "post:9", "geo:11", "geo:8", "scrub:7:10"])
        self.assertEqual(events(journal)[1]["data"], {"pad": "", "id": "9", "text": "kept", "author": {"id": "7"}})
        self.assertEqual([journal.position(place) for place in range(5)], positions)
        self.assertEqual(journal.rewritten, 2)

    def test_of_nobody_known(self) -> None:
        """A location that does not say whose it is stays; so it is with a scrub that names nobody."""
        journal = Journal()
        journal.append(geo(0, None, "9"))
        journal.append(scrubbed(1, "7", "10"))
        journal.append(entry(2, "scrub.x", kind="scrub"))
        self.assertEqual([event["type"] for event in events(journal)], ["streamer.geo"] + ["streamer.scrub"] * 2)

    def test_before_its_post(self) -> None:
        """A scrub that came first, because it was sent or enriched so, is carried out when its post comes."""
        journal = Journal()
        for one in (scrubbed(0, "7", "10"), geo(1, "7", "9"), post(2, "7", "9"), geo(3, "7", "11")):
            journal.append(one)
        self.assertEqual([event["id"] for event in events(journal)], ["scrub:7:10"] * 2 + ["post:9", "geo:11"])
        self.assertNotIn("geo", events(journal)[2]["data"])
        self.assertFalse(journal[1].deletion, "those who asked for no places need not hear of it twice")
        self.assertEqual(journal.position(2), journal[1].position)

    def test_deleted_first(self) -> None:
        """A location that a deletion took already is not looked at again."""
        journal = Journal()
        for one in (geo(0, "7", "9"), deleted(1, "9"), scrubbed(2, "7", "10")):
            journal.append(one)
        self.assertEqual([event["id"] for event in events(journal)], ["delete:9", "delete:9", "scrub:7:10"])
        self.assertEqual(journal.rewritten, 1)

    @settings(max_examples=80, deadline=None)
    @given(st.lists(STEP, max_size=40), st.integers(1, 12))
    def test_no_location_is_left(self, steps: list[tuple[str, str, str]], limit: int) -> None:
        """Whatever comes in whatever order: none that was taken back is held, all others are, the sums are right."""
        journal = Journal(entries_limit=limit)
        furthest: dict[str, int] = {}
        gone: set[str] = set()
        for offset, (kind, author, id_) in enumerate(steps):
            if kind == "scrub":
                furthest[author] = max(furthest.get(author, 0), int(id_))
                journal.append(scrubbed(offset, author, id_))
            elif kind == "delete":
                gone.add(id_)
                journal.append(deleted(offset, id_))
            else:
                journal.append((geo if kind == "geo" else post)(offset, author, id_))
            held = {place: journal[place] for place in range(journal.floor, journal.head)}
            indexed = {place for places in journal.held._scrubs._places.values() for place in places}
            self.assertEqual(indexed, {place for place, one in held.items() if one.located})
            self.assertEqual(journal.bytes, sum(one.size for one in held.values()))
            for one in held.values():
                event = json.loads(one.event)
                data = event["data"]
                if event["type"] == "streamer.geo":
                    self.assertGreater(int(data["post"]), furthest.get(data["author"], 0))
                elif event["type"] == "streamer.post":
                    covered = int(data["id"]) <= furthest.get(data["author"]["id"], 0)
                    self.assertIs("geo" not in data, covered)
