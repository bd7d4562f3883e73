"""A Jetstream followed by the whole of `twistd streamer`, with everything going wrong that its simulation can do."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.asks import Dial
from streamer.bus.state_lock import StateLock
from streamer.message import Item
from streamer.net.client import Way
from streamer.net.dialer import Dialer
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.services.keeping import Keeping
from streamer.sources.jetstream_predicates import Predicates
from streamer.testing import faults
from streamer.testing.jetstream_names import did
from tests.unit.following import Following, table_of
from tests.unit.network import Network

HEALTHY = 6.0  # seconds after which a stream with posts has proved itself
DICTIONARY = Path(__file__).parents[3] / "shared" / "data" / "jetstream" / "legacy_subscribe.zdict"


class Several(Following):
    """A source with several hosts, of which those in `down` cannot be reached."""

    down: frozenset[str] = frozenset()
    asked: tuple[str, ...] = ()

    def ways(self) -> Mapping[type, Way]:
        """With a network that knows its hosts apart."""
        return {**Following.ways(self), Dial: Dialer(self.endpoint, self.clock)}

    def endpoint(self, host: str, port: int, secure: bool) -> Any:
        """See `net.dialer`."""
        self.asked += (host.split(".")[0],)
        if host.split(".")[0] in self.down:
            nowhere = Network(self.x.resource, self.clock, refuses=ConnectionRefusedError())
            return nowhere.endpoint(host, port, secure)
        return self.network.endpoint(host, port, secure)


class Live(SynchronousTestCase):
    """A simulation, its source, and what came of it."""

    def follow(
        self,
        rate: float = 1.0,
        own: Mapping[str, Any] | None = None,
        made_of: type[Following] = Following,
        **more: Any,
    ) -> Following:
        """A source that must leave neither timer nor connection behind."""
        made = made_of.of("jetstream", own, rate=rate, **more)
        self.addCleanup(self.ends_quietly, made)
        return made

    def healthy(self, **options: Any) -> Following:
        """A source whose stream has proved itself."""
        made = self.follow(**options)
        made.start()
        made.advance(HEALTHY, step=1)
        self.assertEqual((State.STREAMING, ""), (made.follower.course.state, made.follower.said))
        return made

    def ends_quietly(self, made: Following) -> None:
        """Stopping takes no time, and nothing is left."""
        self.assertEqual([], made.stop())
        self.assertEqual(0, made.network.open)

    def ended(self, made: Following) -> dict[str, float]:
        """How many connections ended, by cause."""
        return {labels[1]: number for metric, labels, number in made.metrics if metric is m.ENDINGS}

    def whole(self, made: Following, seconds: float = 6.0) -> None:
        """Everything that was due came, once, and goes on coming; nothing is announced as missing."""
        before = len(made.ids())
        made.advance(seconds, step=1)
        self.assertEqual(made.due(), list(dict.fromkeys(made.ids())))
        self.assertEqual(len(set(made.ids())), len(made.ids()))
        self.assertGreater(len(made.ids()), before)
        self.assertEqual([], made.gaps())


class StreamTests(Live):
    """One host."""

    def test_undisturbed(self) -> None:
        """Every post arrives once, in order, with nothing announced or counted as bad; deletes and edits come too."""
        made = self.follow(rate=5.0, deleted=0.2, edited=0.2)
        made.start()
        made.advance(60, step=1)
        self.assertEqual(made.due(), made.ids())
        self.assertEqual(([], {}, 0), (made.gaps(), self.ended(made), made.metrics.total(m.BAD_FRAMES)))
        deletes = [made.source.decode(item).id for item in made.items if item.kind == "delete"]
        self.assertEqual(list(made.x.ledger.deletes), deletes)
        self.assertTrue(made.ids("edit"))
        posts = {made.source.decode(item).id for item in made.items if item.kind == "post"}
        self.assertLessEqual(set(deletes), posts)

    def test_other_kinds(self) -> None:
        """With all collections asked for, likes and the like come as kinds of their own, and nothing is lost of it."""
        made = self.healthy(rate=10.0, own={"predicates": Predicates(())}, others=3.0)
        made.advance(30, step=1)
        self.assertLessEqual(
            {"like", "unlike", "repost", "follow", "identity", "account"}, {i.kind for i in made.items}
        )
        self.assertEqual(made.due(), made.ids())
        self.assertEqual(0, made.metrics.total(m.BAD_FRAMES))

    def test_split(self) -> None:
        """A stream of single bytes, or of pieces that cut characters and frames in two, is read the same."""
        made = self.healthy()
        for size in (1, 7, 4096):
            made.x.fault(faults.Split(size))
            self.whole(made, 3)
        self.assertEqual({}, self.ended(made))

    def test_pings_only(self) -> None:
        """A quiet host is not a dead one, however long."""
        made = self.follow(rate=0)
        made.start()
        made.advance(600, step=10)
        self.assertEqual(({}, 1), (self.ended(made), made.x.status()["connections"]))

    def test_one_message_a_minute(self) -> None:
        """So is one that is slow to say something, as long as it pings."""
        made = self.follow(rate=1 / 60)
        made.start()
        made.advance(1200, step=10)
        self.assertEqual(({}, made.due()), (self.ended(made), made.ids()))

    def test_stall(self) -> None:
        """A silent host, pings included, is given up after 90 seconds, and what it kept is had from another."""
        made = self.healthy()
        made.x.fault(faults.Stall())
        made.advance(89, step=1)
        self.assertEqual({}, self.ended(made))
        made.advance(2, step=1)
        self.assertEqual({backoff.STALL: 1}, self.ended(made))
        self.whole(made)

    def test_cut(self) -> None:
        """A connection cut in the middle of a frame is made anew, and repeats what was missed."""
        made = self.healthy()
        for times, reset in enumerate((False, True), 1):
            made.x.fault(faults.Cut(reset=reset))
            self.whole(made)
            self.assertEqual({backoff.NETWORK: times}, self.ended(made))

    def test_accept_then_close(self) -> None:
        """A server that accepts and closes proves nothing: each attempt comes later than the one before."""
        made = self.follow()
        made.x.fault(faults.AcceptThenClose(times=5))
        made.start()
        made.advance(3, step=0.25)
        self.assertEqual({backoff.NETWORK: 5}, self.ended(made))
        self.assertEqual(State.WAITING, made.follower.course.state)
        self.whole(made, 10)

    def test_refusals(self) -> None:
        """Each refusal has its cause and its delay; afterwards what was missed is repeated."""
        for status, cause, delay in (
            (503, backoff.HTTP, 5.0),
            (500, backoff.HTTP, 5.0),
            (403, backoff.AUTHORISATION, 300.0),
            (429, backoff.RATE_LIMIT, 60.0),
        ):
            made = self.healthy()
            made.x.fault(faults.Status(status, reset_after=20.0))
            made.x.fault(faults.Cut())
            made.advance(3, step=1)
            self.assertEqual({backoff.NETWORK: 1, cause: 1}, self.ended(made), status)
            made.advance(delay - 4, step=1)
            self.assertEqual(State.WAITING, made.follower.course.state, status)
            made.advance(3, step=1)
            self.whole(made)

    def test_not_there(self) -> None:
        """404 is final: another host must be configured."""
        made = self.follow()
        made.x.fault(faults.Status(404))
        made.start()
        made.advance(7200, step=600)
        self.assertEqual((State.FAILED, {backoff.REFUSED: 1}), (made.follower.course.state, self.ended(made)))
        self.assertIn("404", made.follower.said)

    def test_closes(self) -> None:
        """Close codes have causes; a restart is had back at once, without a gap."""
        made = self.healthy()
        made.x.fault(faults.Close())
        self.whole(made)
        made.x.fault(faults.Close(1012, "restart"))
        self.whole(made)
        made.x.fault(faults.Close(1011, "out of memory"))
        self.whole(made, 10)
        self.assertEqual({backoff.DISCONNECT: 2, backoff.HTTP: 1}, self.ended(made))

    def test_garbage(self) -> None:
        """What is no event is counted and dropped, text or binary, short or long; the stream goes on."""
        made = self.healthy()
        wrong = (faults.Garbage(), faults.Garbage(html=True), faults.Noise(), faults.Huge(100), faults.Huge(2_000_000))
        for number, fault in enumerate((*wrong, faults.Huge(5_000_000)), 1):
            made.x.fault(fault)
            self.whole(made, 2)
            self.assertEqual(number, made.metrics.total(m.BAD_FRAMES))
        self.assertEqual({}, self.ended(made))
        self.assertEqual(2, made.metrics.value(m.BAD_FRAMES, "birds", "too-long"))

    def test_message_beyond_all_limits(self) -> None:
        """A message of 17 MB ends the connection; with the next one everything else is there."""
        made = self.healthy()
        made.x.fault(faults.Huge(17_000_000))
        self.whole(made, 12)
        self.assertEqual({backoff.HTTP: 1}, self.ended(made))

    def test_doubles_and_order(self) -> None:
        """What comes twice is published once; what comes out of order still all does."""
        made = self.healthy()
        made.x.fault(faults.Duplicate(4))
        made.x.fault(faults.Reorder(2))
        made.advance(10, step=1)
        self.assertEqual(sorted(made.due()), sorted(made.ids()))
        self.assertGreater(made.metrics.value(m.REPEATED_ITEMS, "birds"), 0)

    def test_slow_reader(self) -> None:
        """While the bus takes nothing we read nothing; dropped for it, we miss nothing, for all is repeated."""
        made = self.healthy(rate=50.0, window=50, buffer_limit=20_000)
        made.bus.held = []
        made.advance(20, step=1)
        self.assertTrue(made.intake.paused)
        made.bus.release()
        made.advance(20, step=1)
        self.assertIn(backoff.NETWORK, self.ended(made))
        self.assertEqual([], made.missing())

    def test_outage(self) -> None:
        """After a quarter of an hour without network everything of it is repeated, and nothing twice."""
        made = self.healthy()
        made.network.refuses = OSError("no route")
        made.network.cut(0)
        made.advance(900, step=10)
        made.network.refuses = None
        made.advance(30, step=1)
        self.whole(made)

    def test_a_long_outage(self) -> None:
        """What is older than 36 hours is a gap, and said to be; the rest comes."""
        made = self.follow(rate=0)
        made.start()
        made.x.inject("before")
        made.pump()
        made.network.refuses = OSError("no route")
        made.network.cut(0)
        for _ in range(40):
            made.clock.advance(1800)
            made.x.inject("meanwhile")
            made.clock.advance(1800)
        made.network.refuses = None
        made.advance(60, step=10)
        (gap,) = made.gaps()
        self.assertLess(abs(gap.end - gap.start - 4 * 3_600_000), 60_000)
        self.assertEqual([], made.unannounced())
        self.assertEqual(4, len(made.missing()))

    def test_restart(self) -> None:
        """A process that goes on where another stopped misses nothing and publishes nothing of before again."""
        folder = Path(tempfile.mkdtemp())

        def keeping() -> Keeping:
            return Keeping(folder / "birds.cursor", StateLock(folder, "birds"), None, maybeDeferred)

        first = self.healthy(keeping=keeping())
        self.assertTrue(first.end().called)
        first.advance(300, step=10)
        second = _again(first, keeping())
        second.start()
        second.advance(20, step=1)
        again = set(first.ids()) & set(second.ids())
        self.assertEqual([], [id_ for id_ in first.due() if id_ not in {*first.ids(), *second.ids()}])
        self.assertLessEqual(len(again), 16, "the last ten seconds, and no more")
        self.assertEqual([], second.gaps())
        self.assertEqual([], second.stop())

    def test_backfill(self) -> None:
        """A source that knows of nothing yet asks for as much of the past as is configured."""
        for minutes, expected in ((0, 0), (5, 300)):
            made = self.follow(own={"backfill_minutes": minutes})
            made.advance(600, step=1)
            made.start()
            self.assertEqual(expected, len(made.ids()))


def _again(first: Following, keeping: Keeping) -> Following:
    """Another process with the same simulation."""
    return Following(table=table_of("jetstream"), simulation=first.x, clock=first.clock, keeping=keeping)


class FilterTests(Live):
    """What is asked for."""

    def put(self, made: Following, predicates: Predicates) -> None:
        """Wish for something else."""
        made.streamer.put_predicates("birds", msgspec.json.encode(predicates), False)
        made.pump()

    def test_change(self) -> None:
        """Another filter takes effect on the open connection, and stays with the next one."""
        made = self.healthy(rate=10.0)
        self.assertEqual({"post"}, {item.kind for item in made.items} & {"post", "like"})
        self.put(made, Predicates(("app.bsky.feed.like",)))
        made.advance(1)
        made.items.clear()
        made.advance(20, step=1)
        self.assertEqual({"like"}, {item.kind for item in made.items} & {"post", "like"})
        self.assertEqual(({}, 1), (self.ended(made), made.x.status()["connected"]))
        made.x.fault(faults.Cut())
        made.advance(20, step=1)
        self.assertEqual({"like"}, {item.kind for item in made.items} & {"post", "like"})
        self.assertEqual({backoff.NETWORK: 1}, self.ended(made))

    def test_authors(self) -> None:
        """Only what those authors do comes."""
        made = self.healthy(rate=10.0)
        some = made.items[0].partition
        assert some is not None
        self.put(made, Predicates(("app.bsky.feed.*",), (some,)))
        made.items.clear()
        made.advance(60, step=1)
        self.assertEqual({some}, {item.partition for item in made.items})

    def test_a_long_filter(self) -> None:
        """Ten thousand authors do not fit into a URL: they are said before anything is sent, also on a reconnect."""
        dids = tuple(did(str(number)) for number in range(10_000))
        made = self.follow(rate=10.0, own={"predicates": Predicates(dids=dids)})
        made.start()
        made.advance(5, step=1)
        self.assertEqual((State.STREAMING, []), (made.follower.course.state, made.items))
        writer = made.x.inject("hello", langs=["en"])
        author = writer.split("/")[2]
        self.put(made, Predicates(dids=(*dids[1:], author)))
        made.x.fault(faults.Cut())
        made.advance(60, step=1)
        self.assertTrue(made.items)
        self.assertEqual({author}, {item.partition for item in made.items if item.kind != "gap"})

    def test_wishes_beyond_the_limits(self) -> None:
        """They are refused in a sentence, and nothing changes."""
        made = self.healthy()
        result = made.streamer.put_predicates("birds", b'{"collections":["app.bsky.fo*"]}', False)
        self.assertIn("app.bsky.fo*", str(self.failureResultOf(result).value))
        self.whole(made)


class CompressionTests(Live):
    """zstd and permessage-deflate."""

    def zstd(self, **options: Any) -> Following:
        """A compressed stream."""
        if not DICTIONARY.is_file():
            self.skipTest(f"the dictionary is not at {DICTIONARY}")  # type: ignore[attr-defined]
        own = {"compress": True, "zstd_dictionary": str(DICTIONARY)}
        return self.healthy(own=own, dictionary=DICTIONARY.read_bytes(), **options)

    def test_zstd(self) -> None:
        """Events are unpacked with the dictionary, and items hold what was packed."""
        made = self.zstd()
        self.whole(made)
        self.assertTrue(all(item.body.startswith(b'{"did":') for item in made.items))

    def test_zstd_disturbed(self) -> None:
        """Frames that cannot be unpacked, or unpack to too much, cost themselves alone."""
        made = self.zstd()
        for number, fault in enumerate(
            (faults.Noise(), faults.Garbage(), faults.Huge(100), faults.Huge(50_000_000)), 1
        ):
            made.x.fault(fault)
            self.whole(made, 2)
            self.assertEqual(number, made.metrics.total(m.BAD_FRAMES))
        made.x.fault(faults.Split(1))
        self.whole(made, 2)
        made.x.fault(faults.Cut())
        self.whole(made)
        self.assertEqual({backoff.NETWORK: 1}, self.ended(made))

    def test_deflate(self) -> None:
        """So it goes with permessage-deflate, also in pieces."""
        made = self.healthy(own={"deflate": True})
        made.x.fault(faults.Split(3))
        self.whole(made)
        self.assertEqual({}, self.ended(made))
        made.x.fault(faults.Close())
        self.whole(made)
        self.assertEqual({backoff.DISCONNECT: 1}, self.ended(made))

    def test_deflate_declined(self) -> None:
        """A server that does not compress is as good."""
        self.whole(self.healthy(own={"deflate": True}, deflate=False))


class HostsTests(Live):
    """Several hosts."""

    hosts = tuple(f"https://{name}.example" for name in ("one", "two", "three"))

    def several(self) -> Several:
        """A source with three of them."""
        made = self.healthy(own={"base_url": None, "hosts": self.hosts}, made_of=Several)
        assert isinstance(made, Several)
        return made

    def test_failover(self) -> None:
        """A host that goes down is left for the next one at once, and nothing is missed."""
        made = self.several()
        made.down = frozenset({"one", "two"})
        made.x.fault(faults.Cut())
        self.whole(made)
        self.assertEqual(("one", "two", "three"), made.asked)
        self.assertEqual({backoff.NETWORK: 1}, self.ended(made))

    def test_one_that_refuses(self) -> None:
        """A host that says no is left too; not even 404 is final, where there are others."""
        made = self.several()
        for status in (404, 503):
            made.x.fault(faults.Status(status))
        made.x.fault(faults.Cut())
        made.advance(20, step=1)
        self.whole(made)
        self.assertEqual(("one", "two", "three", "one"), made.asked)

    def test_silent_one(self) -> None:
        """A host that fell silent is not asked again first."""
        made = self.several()
        made.x.fault(faults.Stall())
        made.advance(100, step=1)
        self.whole(made)
        self.assertEqual(("one", "two"), made.asked)


class ItemTests(SynchronousTestCase):
    """What the simulation makes is what its source understands."""

    def test_all_of_it(self) -> None:
        """Every line of an hour is an item whose id the simulation knows, and can be decoded."""
        made = Following.of(
            "jetstream", {"predicates": Predicates(())}, rate=20.0, others=2.0, edited=0.1, deleted=0.1
        )
        made.start()
        made.advance(60, step=1)
        lines, _ = made.x.history.read(0, 10**9)
        ids: list[str] = []
        for line in lines:
            (item,) = made.source.outcomes(line.data, 5)
            assert isinstance(item, Item)
            self.assertEqual(line.id, item.id)
            ids.append(item.id)
            activity = made.source.decode(item)
            for facet in activity.facets or ():
                text = (activity.text or "")[facet.start : facet.end]
                if facet.kind == "tag":
                    self.assertEqual(f"#{facet.value}", text)
                else:
                    self.assertIn(text[0], "@p")
        self.assertEqual(len(ids), len(set(ids)))
        self.assertGreater(len(ids), 3000)
        self.assertEqual([], made.stop())
