"""The simulated WebSub hub, and the subscription that follows it, over connections in memory."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Hook, Posted, Reply, Taken
from streamer.net.client import UpstreamClient
from streamer.net.hooks import Hooks
from streamer.net.stream import StreamBody
from streamer.policy.websub import AFTER_REFUSAL, Content, Kept, Subscription
from streamer.testing import faults
from streamer.testing.hub import SimulatedHub
from streamer.upstream import Request, Response
from tests.unit.hooking import in_memory
from tests.unit.network import Network

FEED = "http://127.0.0.1/feed"
START = 1_700_000_000.0


class SiteNetwork(Network):
    """Connections to whatever a factory serves."""

    def serve(self, factory: Any) -> SiteNetwork:
        """Lead to this factory."""
        self._site = factory
        return self


class Taker:
    """A bus that has everything at once."""

    unwilling = ""
    taken = 0

    def settled(self, since: int) -> Deferred[None]:
        """At once."""
        return succeed(None)


class HubTests(SynchronousTestCase):
    """A hub, a subscriber and his hook."""

    def setUp(self) -> None:
        """Both ends of two networks: to the hub, and to the hooks."""
        self.clock = Clock()
        self.clock.advance(START)
        self.hooks, _ = in_memory(self.clock)
        self.outside = SiteNetwork(None, self.clock).serve(self.hooks.site)  # type: ignore[arg-type]
        self.hub = SimulatedHub(self.clock, UpstreamClient(self.outside.agent, self.clock, "hub").fetch, lease=1000)
        self.inside = Network(self.hub.resource, self.clock)
        self.client = UpstreamClient(self.inside.agent, self.clock, "tests")
        self.frames: list[Any] = []
        self.ignored = 0
        self.made = self.subscription(self.hooks)

    def subscription(self, hooks: Hooks, kept: Kept | None = None) -> Subscription:
        """One that is reached by a hook."""
        words = (f"word-that-is-long-enough-{number}" for number in itertools.count())
        made = Subscription(FEED, "http://127.0.0.1/hooks", lambda: next(words), kept or Kept("p" * 43))

        def answer(posted: Posted) -> Reply | Taken:
            said = made.called(posted)
            return Taken(frames=(said.body,), reply=said.reply) if isinstance(said, Content) else said

        hook = Hook(made.kept.path, answer, methods=("GET", "POST"))
        opening = self.successResultOf(Deferred.fromCoroutine(hooks.mount(hook)))
        opening.attach(StreamBody(self.frames.extend, lambda reason: None, Taker()))
        made.discovered(["http://127.0.0.1/hub"], FEED, self.clock.seconds())
        return made

    def pump(self, seconds: float = 0.0) -> None:
        """Let time pass and bytes move."""
        for _ in range(8):
            self.inside.flush()
            self.outside.flush()
            self.clock.advance(0)
        if seconds:
            self.clock.advance(seconds)
            self.pump()

    def ask(self) -> Response | None:
        """Make the request that is due, and let the hub do what it will."""
        request = self.made.due(self.clock.seconds())
        if request is None:
            return None
        asking = Deferred.fromCoroutine(self.client.fetch(request))
        self.pump()
        response: Response = self.successResultOf(asking)
        self.made.answered(response, self.clock.seconds())
        self.pump(1)
        return response

    def post(self, **form: str) -> Response:
        """Any form."""
        body = "&".join(f"hub.{name}={value}" for name, value in form.items()).encode()
        asking = Deferred.fromCoroutine(self.client.fetch(Request(method="POST", url="http://127.0.0.1/", body=body)))
        self.pump()
        response: Response = self.successResultOf(asking)
        return response

    def tearDown(self) -> None:
        """Nothing is left of the hub."""
        self.hub.stop()
        self.pump()
        self.assertEqual([], self.hub.complaints)
        self.assertEqual(0, self.hub.status()["connections"])

    def test_subscribe_and_get_content(self) -> None:
        """Asked, verified, content: the whole way."""
        response = self.ask()
        self.assertEqual(202, response and response.status)
        self.assertTrue(self.made.active(self.clock.seconds()))
        (granted,) = self.hub.subscriptions()
        self.assertEqual((FEED, "http://127.0.0.1/hooks/" + "p" * 43), (granted.topic, granted.callback))
        self.assertEqual(1, self.hub.distribute(FEED, b"<feed/>"))
        self.pump()
        self.assertEqual(([b"<feed/>"], 1), (self.frames, self.hub.counts.delivered))
        self.assertEqual(0, self.hub.distribute("http://127.0.0.1/other", b"<feed/>"))

    def test_every_signature(self) -> None:
        """Whatever the hub signs with."""
        self.ask()
        for algorithm in ("sha1", "sha256", "sha384", "sha512"):
            self.hub.algorithm = algorithm
            self.hub.distribute(FEED, algorithm.encode())
            self.pump()
        self.assertEqual([b"sha1", b"sha256", b"sha384", b"sha512"], self.frames)

    def test_renewed_for_ever(self) -> None:
        """A lease that is renewed before its end never ends."""
        self.ask()
        for _ in range(40):
            self.pump(100)
            self.ask()
            self.assertEqual(1, len(self.hub.subscriptions()))
            self.assertTrue(self.made.active(self.clock.seconds()))
        self.assertEqual(6, self.hub.asked)

    def test_a_lease_that_ends(self) -> None:
        """Without a renewal both sides see it end."""
        self.ask()
        self.pump(1001)
        self.assertEqual([], self.hub.subscriptions())
        self.assertFalse(self.made.active(self.clock.seconds()))

    def test_a_hub_that_lost_us(self) -> None:
        """The renewal subscribes anew."""
        self.ask()
        self.hub.lose()
        self.assertEqual(0, self.hub.distribute(FEED, b"lost"))
        self.pump(800)
        self.ask()
        self.assertEqual(1, self.hub.distribute(FEED, b"found"))
        self.pump()
        self.assertEqual([b"found"], self.frames)

    def test_denied(self) -> None:
        """At once, or later; then only polling is left, until a next attempt."""
        self.hub.denies = "no"
        self.ask()
        self.assertFalse(self.made.active(self.clock.seconds()))
        self.assertEqual("the hub denied the subscription: no", self.made.said)
        self.assertIsNone(self.ask())
        self.hub.denies = ""
        self.pump(AFTER_REFUSAL)
        self.ask()
        self.assertTrue(self.made.active(self.clock.seconds()))
        self.hub.deny("changed our mind")
        self.pump()
        self.assertFalse(self.made.active(self.clock.seconds()))

    def test_sent_to_another_hub(self) -> None:
        """By 307 or 308."""
        for status in (307, 308):
            self.hub.moved = (status, "http://127.0.0.1/elsewhere")
            made = self.made = self.subscription(self.hooks, Kept("q" * 43 + str(status)))
            response = self.ask()
            self.assertEqual(status, response and response.status)
            self.hub.moved = None
            request = made.due(self.clock.seconds())
            self.assertEqual("http://127.0.0.1/elsewhere", request and request.url)

    def test_mute(self) -> None:
        """A hub that never verifies is asked again later."""
        self.hub.mute = True
        self.ask()
        self.assertFalse(self.made.active(self.clock.seconds()))
        self.assertIsNone(self.ask())
        self.hub.mute = False
        self.pump(300)
        self.ask()
        self.assertTrue(self.made.active(self.clock.seconds()))

    def test_faults(self) -> None:
        """Its answers can go wrong."""
        self.hub.fault(faults.Status(503, reset_after=700))
        response = self.ask()
        self.assertEqual(503, response and response.status)
        self.pump(650)
        self.assertIsNone(self.ask())
        self.pump(60)
        self.ask()
        self.assertTrue(self.made.active(self.clock.seconds()))

    def test_content_that_is_not_taken(self) -> None:
        """It is brought again, until it is taken."""
        self.ask()
        self.outside.refuses = ConnectionRefusedError()
        self.hub.distribute(FEED, b"<feed/>")
        self.pump()
        self.assertEqual(([], 1), (self.frames, self.hub.counts.refused))
        self.outside.refuses = None
        self.pump(1)
        self.assertEqual([b"<feed/>"], self.frames)

    def test_content_that_is_never_taken(self) -> None:
        """The hub gives up at last."""
        self.ask()
        self.outside.refuses = ConnectionRefusedError()
        self.hub.distribute(FEED, b"<feed/>")
        for _ in range(40):
            self.pump(5)
        self.assertEqual((5, 1), (self.hub.counts.refused, self.hub.counts.given_up))

    def test_a_subscriber_that_is_gone(self) -> None:
        """410 ends the subscription."""
        self.ask()
        self.made.kept = Kept("p" * 43)
        self.hub.distribute(FEED, b"<feed/>")
        self.pump()
        self.assertEqual(([], []), (self.frames, self.hub.subscriptions()))

    def test_a_restart(self) -> None:
        """A subscriber with the same path and secret goes on."""
        self.ask()
        self.made = self.subscription(self.hooks, self.made.kept)
        self.assertIsNone(self.ask())
        self.hub.distribute(FEED, b"<feed/>")
        self.pump()
        self.assertEqual([b"<feed/>"], self.frames)

    def test_what_it_refuses(self) -> None:
        """Forms that say too little or too much."""
        for form, text in (
            ({}, "hub.mode is subscribe or unsubscribe"),
            ({"mode": "subscribe"}, "hub.callback and hub.topic are required"),
            ({"mode": "subscribe", "callback": "http://x/", "topic": "t", "secret": "s" * 200}, "less than 200 bytes"),
            ({"mode": "subscribe", "callback": "http://x/", "topic": "t", "lease_seconds": "x"}, "is a number"),
        ):
            response = self.post(**form)
            self.assertEqual(400, response.status)
            self.assertIn(text, response.body.decode())
        self.hub.complaints.clear()

    def test_unsubscribing(self) -> None:
        """A subscriber that never asked for it does not agree, and stays."""
        self.ask()
        self.post(mode="unsubscribe", callback="http://127.0.0.1/hooks/" + "p" * 43, topic=FEED)
        self.pump(1)
        self.assertEqual(1, len(self.hub.subscriptions()))
