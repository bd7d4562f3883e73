"""A feed with a hub: it subscribes, is brought what is new, and polls all the same; site and hub are simulated."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.state_lock import StateLock
from streamer.policy.course import State
from streamer.services.keeping import Keeping
from streamer.sources.feed import Settings, feed
from streamer.sources.feed_push import Push, _header_links
from streamer.testing.feeds import SimulatedFeed
from streamer.testing.hub import SimulatedHub
from streamer.upstream import Request, Response
from tests.unit.following import Following, table_of
from tests.unit.hooking import Caller

TOPIC = "https://feeds.example/atom.xml"
OWN = {
    "url": TOPIC,
    "interval": 10.0,
    "interval_max": 3600.0,
    "websub": "https://us.example/hooks",
}


class Pushed(Following):
    """A feed whose site has a hub beside it, which reaches our hooks."""

    hub: SimulatedHub

    @classmethod
    def made(cls, own: dict[str, Any] | None = None, **options: Any) -> Pushed:
        """With a hub at /hub."""
        options = {"rate": 0.0, "edited": 0.0, "hub": "http://127.0.0.1/hub", **options}
        made = cls(table=table_of("feed", {**OWN, **(own or {})}), simulation=SimulatedFeed, **options)
        made.hub = SimulatedHub(made.clock, made.fetch, url="http://127.0.0.1/hub")
        made.x.resource.putChild(b"hub", made.hub.resource)
        return made

    async def fetch(self, request: Request) -> Response:
        """As the hub reaches us."""
        caller = Caller(self.hooks)
        path = request.url.removeprefix("https://us.example")
        headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
        said = caller.call(path, request.body or b"", request.method, **headers)
        for _ in range(20):
            if said is not None:
                break
            await deferLater(self.clock, 0.5)
            said = caller.said()
        caller.hang_up()
        assert said is not None
        return Response(status=said.status, headers=said.headers, body=said.body, received=self.clock.seconds())

    def publish(self, *titles: str) -> list[str]:
        """New entries, of which the hub knows at once."""
        ids = [self.x.inject(title) for title in titles]
        self.bring(len(ids))
        return ids

    def bring(self, count: int, body: bytes | None = None) -> None:
        """Let the hub bring the newest entries."""
        page = self.x.shelf.page("atom", list(reversed(self.x.shelf.entries))[:count])
        self.hub.distribute(TOPIC, page if body is None else body)
        self.advance(3)

    @property
    def polls(self) -> int:
        """How often the feed was asked for."""
        return sum(path == "/atom.xml" for path, _ in self.x.asked)


class Cases(SynchronousTestCase):
    """Feeds with a hub that must leave nothing behind."""

    def started(self, own: dict[str, Any] | None = None, seconds: float = 20, **options: Any) -> Pushed:
        """Followed until it is subscribed."""
        made = Pushed.made(own, **options)
        self.addCleanup(self.ends_quietly, made)
        made.start()
        made.advance(seconds)
        return made

    def ends_quietly(self, made: Pushed) -> None:
        """Nothing is left when it stops."""
        made.hub.stop()
        self.assertEqual([], made.stop())
        self.assertEqual((0, 0), (made.network.open, made.ports.open))
        self.assertEqual([], made.hub.complaints)


class PushTests(Cases):
    """In good times."""

    def test_subscribed(self) -> None:
        """The hub that the feed names is asked, verifies, and from then on polls are rare."""
        made = self.started()
        self.assertEqual([TOPIC], [granted.topic for granted in made.hub.subscriptions()])
        made.advance(60)
        polls = made.polls
        made.advance(3000, 5.0)
        self.assertLessEqual(made.polls - polls, 1)

    def test_brought(self) -> None:
        """What the hub brings comes at once, and does not come again with a poll."""
        made = self.started()
        ids = made.publish("one") + made.publish("two", "three")
        self.assertEqual(ids, made.ids())
        self.assertEqual(2, made.hub.counts.delivered)
        made.advance(4000, 5.0)
        self.assertEqual((ids, []), (made.ids(), made.gaps()))

    def test_brought_again(self) -> None:
        """Content that comes twice is taken once; an edit that is brought is an update."""
        made = self.started()
        ids = made.publish("one")
        made.bring(1)
        self.assertEqual(ids, made.ids())
        again = made.x.edit(ids[0], "changed")
        made.bring(1)
        self.assertEqual([*ids, again], made.ids())

    def test_nonsense(self) -> None:
        """What is no feed is taken from the hub, so that it does not bring it again, and nothing comes of it."""
        made = self.started()
        for body in (b"", b"rubbish", b"<html/>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><feed/>"):
            made.bring(1, body)
        self.assertEqual((4, 0), (made.hub.counts.delivered, made.hub.counts.given_up))
        self.assertEqual([], made.ids())
        self.assertEqual(State.STREAMING, made.follower.course.state)

    def test_not_signed(self) -> None:
        """What has no good signature is ignored."""
        made = self.started()
        path = msgspec.json.decode(str(made.intake.cursor))["hub"]["path"]
        made.x.shelf.entries.append(made.x.shelf.writer.entry(0))
        body = made.x.shelf.page("atom", list(made.x.shelf.entries))
        for signature in ("", "sha256=00", "md5=00"):
            caller = Caller(made.hooks)
            said = caller.call(f"/hooks/{path}", body, X_Hub_Signature=signature)
            assert said is not None
            self.assertEqual(202, said.status)
            caller.hang_up()
        made.advance(2)
        self.assertEqual([], made.ids())

    def test_renewed(self) -> None:
        """A lease is renewed before it ends."""
        made = self.started(seconds=0)
        made.hub.lease = 1000
        made.advance(20)
        made.advance(5000, 5.0)
        self.assertEqual(1, len(made.hub.subscriptions()))
        self.assertGreater(made.hub.asked, 4)

    def test_from_the_header(self) -> None:
        """A feed may name its hub in the head of the answer alone."""
        made = self.started({"url": "https://feeds.example/rdf.xml"})
        self.assertEqual(1, len(made.hub.subscriptions()))


class TroubleTests(Cases):
    """In bad ones: the polls go on."""

    def poll_on(self, made: Pushed) -> None:
        """Entries come without the hub."""
        id_ = made.x.inject("by poll")
        made.advance(700, 5.0)
        self.assertIn(id_, made.ids())
        self.assertEqual(State.STREAMING, made.follower.course.state)

    def test_no_hub(self) -> None:
        """A feed that names no hub is polled, as ever."""
        made = self.started(hub=None)
        self.assertEqual(0, made.hub.asked)
        self.poll_on(made)

    def test_denied(self) -> None:
        """A hub that does not want us."""
        made = self.started(seconds=0)
        made.hub.denies = "members only"
        made.advance(20)
        self.poll_on(made)
        self.assertLess(made.hub.asked, 3)

    def test_denied_later(self) -> None:
        """A hub that wants us no more: it is polled at once, and as often as before."""
        made = self.started()
        made.advance(600, 5.0)
        polls = made.polls
        made.hub.deny("go away")
        made.advance(10)
        self.assertGreater(made.polls, polls)
        self.poll_on(made)

    def test_lost(self) -> None:
        """A hub that forgets us: the rare poll finds what it did not bring."""
        made = self.started()
        made.hub.lose()
        id_ = made.publish("lost")[0]
        self.assertEqual([], made.ids())
        made.advance(4000, 5.0)
        self.assertEqual([id_], made.ids())

    def test_mute(self) -> None:
        """A hub that never verifies."""
        made = self.started(seconds=0)
        made.hub.mute = True
        made.advance(20)
        self.poll_on(made)

    def test_away(self) -> None:
        """A hub that cannot be reached ends nothing."""
        made = self.started(seconds=0, hub="https://127.0.0.1:1/none")
        made.advance(20)
        self.poll_on(made)

    def test_our_bus_is_away(self) -> None:
        """While the bus takes nothing the hub is asked to come again, and does."""
        made = self.started()
        made.bus.held = []
        ids = made.publish("held")
        made.advance(12)
        made.bus.release()
        made.advance(60)
        self.assertEqual(ids, made.ids())


class RestartTests(Cases):
    """What outlives the process."""

    def test_restart(self) -> None:
        """The subscription is kept: the hub need not be asked again, and reaches us where it did."""
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        folder = Path(held.name)

        def keeping() -> Keeping:
            return Keeping(folder / "birds.cursor", StateLock(folder, "birds"), None, maybeDeferred)

        first = Pushed.made(keeping=keeping())
        first.start()
        first.advance(20)
        asked = first.hub.asked
        self.successResultOf(first.end())
        first.advance(10)
        second = Pushed(table=table_of("feed", OWN), simulation=first.x, clock=first.clock, keeping=keeping())
        second.hub, first.hub.fetch = first.hub, second.fetch
        self.addCleanup(self.ends_quietly, second)
        second.start()
        second.advance(20)
        self.assertEqual(asked, second.hub.asked)
        self.assertEqual(second.publish("after"), second.ids())


class PartTests(SynchronousTestCase):
    """Small things."""

    def test_links(self) -> None:
        """A Link header, as various as they come."""
        for header, expected in (
            ('<https://hub.example/>; rel="hub", <https://x.example/f>; rel="self"', ["hub", "self"]),
            ("<https://hub.example/>;rel=hub", ["hub"]),
            ('</hub>; title="a, b; c"; rel="hub other"', ["hub", "other"]),
            ("<https://hub.example/>", []),
            ("<https://[bad>; rel=hub", []),
            ("rubbish, <, >; rel=", []),
            ("<" * 8000, []),
            ("<a>;" * 4000, []),
        ):
            self.assertEqual(
                expected, [rel for rel, _ in _header_links(header, "https://x.example/feed")], header[:80]
            )

    def test_kept(self) -> None:
        """Nonsense that was kept is another subscription."""
        for kept in (None, {}, {"path": 5}, {"path": "short"}, "x"):
            made = Push.of(TOPIC, "https://us.example/hooks", lambda: "w" * 43, kept)
            self.assertEqual("w" * 43, made.kept["path"])

    def test_warning(self) -> None:
        """The operator is told once what a hub said, without what stands in the feed's query."""
        made = Push.of(f"{TOPIC}?token=SECRET", "https://us.example/hooks", lambda: "w" * 43, None)
        made.subscription.said = f"the hub answered 400: no such topic {TOPIC}?token=SECRET, token%3DSECRET"
        (warned,) = made.warning()
        self.assertIn("no such topic", warned.detail)
        self.assertNotIn("SECRET", warned.detail)
        self.assertEqual((), made.warning())

    def test_settings(self) -> None:
        """The public address of the hooks is https."""
        for websub in ("http://us.example/hooks", "us.example", "ftp://us.example"):
            error = self.assertRaises(ValueError, feed.build, "birds", Settings(url=TOPIC, websub=websub))
            self.assertIn("websub", str(error))
