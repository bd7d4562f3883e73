"""The simulated sender of webhooks, and the source that it calls: nothing is lost, nothing comes twice."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from streamer.cli import main
from streamer.interfaces import ISource
from streamer.net.client import UpstreamClient
from streamer.secrets import Secret
from streamer.sources.webhook import webhook
from streamer.sources.webhook_settings import Settings
from streamer.tables import CommonSettings, SourceSettings
from streamer.testing.webhooks import SimulatedSender
from tests.unit.following import START, Following
from tests.unit.test_testing_hub import SiteNetwork

SECRET = "a secret of the sender"


class Idle:
    """No upstream: hooks are called."""

    resource = Resource()

    def stop(self) -> None:
        """Nothing runs."""


class SenderTests(SynchronousTestCase):
    """A sender, the hook it calls, and what reaches the bus."""

    def setUp(self) -> None:
        """A signed hook that is followed."""
        settings = Settings(secret=Secret(SECRET))
        table = SourceSettings(CommonSettings(), webhook, settings, ISource(webhook.build("birds", settings)))
        self.made = Following(table=table, simulation=Idle())
        self.clock: Clock = self.made.clock
        self.network = SiteNetwork(None, self.clock).serve(self.made.hooks.site)  # type: ignore[arg-type]
        self.client = UpstreamClient(self.network.agent, self.clock, "sender")
        self.finished: list[int] = []
        self.made.start()

    def sender(self, **options: Any) -> SimulatedSender:
        """A sender that knows the secret."""
        options = {"secret": SECRET, "count": 20, "rate": 2.0, **options}
        made = SimulatedSender(
            self.clock,
            self.client.fetch,
            "http://127.0.0.1/hooks/birds",
            done=lambda: self.finished.append(1),
            **options,
        )
        made.start()
        self.addCleanup(self.finish, made)
        return made

    def finish(self, sender: SimulatedSender) -> None:
        """Nothing is left behind."""
        sender.stop()
        self.network.refuses = None
        self.run_for(11)
        self.assertEqual([], self.made.stop())

    def run_for(self, seconds: float) -> None:
        """Let time pass and bytes move."""
        while seconds > 0:
            self.clock.advance(0.25)
            for _ in range(3):
                self.network.flush()
                self.made.pump(1)
            seconds -= 0.25

    def check(self, sender: SimulatedSender) -> None:
        """All that was made came once, as it was made."""
        ids = [item.id for item in self.made.items if item.kind == "hook"]
        self.assertEqual(sorted(sender.ledger.posts), sorted(ids))
        self.assertEqual(sorted(sender.taken), sorted(ids))

    def test_all_comes(self) -> None:
        """In order, where nothing goes wrong."""
        sender = self.sender()
        self.run_for(15)
        self.check(sender)
        self.assertEqual(list(sender.ledger.posts), [item.id for item in self.made.items])
        self.assertEqual(([1], 20), (self.finished, sender.attempts))
        self.assertEqual({"made": 20, "taken": 20, "refused": 0, "attempts": 20, "under_way": 0}, sender.status())

    def test_all_says_something(self) -> None:
        """Each decodes to what somebody did somewhere."""
        self.sender()
        self.run_for(15)
        for item in self.made.items:
            activity = self.made.source.decode(item)
            self.assertIn(activity.action, ("push", "release", "issues"))
            self.assertTrue(activity.title and activity.scope and activity.url and activity.author)
            self.assertGreaterEqual(activity.created or 0, START * 1000)

    def test_same_seed_same_bytes(self) -> None:
        """Only the times are those of the clock."""
        first, second = self.sender(seed=5), self.sender(seed=5)
        self.run_for(15)
        self.assertEqual(list(first.ledger.posts), list(second.ledger.posts))
        self.assertEqual(20, len(self.made.items))

    def test_a_bus_that_is_away_for_a_while(self) -> None:
        """What was refused meanwhile is sent again."""
        sender = self.sender()
        self.run_for(3)
        self.made.bus.away = True
        self.run_for(20)
        self.assertLess(len(sender.taken), 20)
        self.made.bus.away = False
        self.run_for(60)
        self.check(sender)
        self.assertGreater(sender.attempts, 20)

    def test_a_bus_that_does_not_confirm(self) -> None:
        """What was taken without a confirmation is sent again, and is there once."""
        sender = self.sender(count=5)
        self.made.bus.held = []
        self.run_for(14)
        self.assertEqual([], sender.taken)
        self.made.bus.release()
        self.run_for(30)
        self.check(sender)

    def test_nobody_listens(self) -> None:
        """A streamer that comes late gets all of it."""
        self.network.refuses = ConnectionRefusedError()
        sender = self.sender()
        self.run_for(12)
        self.network.refuses = None
        self.run_for(60)
        self.check(sender)

    def test_answers_that_are_lost(self) -> None:
        """The connection breaks before the answer is there: the second call is a repeat, and dropped."""
        sender = self.sender(count=1, rate=1.0)
        self.made.bus.held = []
        self.run_for(1.5)
        self.network.cut(0)
        self.made.bus.release()
        self.run_for(10)
        self.assertEqual(2, sender.attempts)
        self.check(sender)

    def test_the_wrong_secret(self) -> None:
        """What is refused for good is not sent again."""
        sender = self.sender(secret="another secret", count=3)
        self.run_for(5)
        self.assertEqual(([403] * 3, 3), (list(sender.refused.values()), sender.attempts))
        self.assertEqual([], self.made.items)

    def test_inject(self) -> None:
        """A test says what is in a call."""
        sender = self.sender(count=0)
        id_ = sender.inject("Fly, my pretties!", title="Fly")
        self.run_for(1)
        (item,) = self.made.items
        activity = self.made.source.decode(item)
        self.assertEqual((id_, "Fly", "Fly, my pretties!"), (item.id, activity.title, activity.text))

    def test_a_renewal_loses_nothing(self) -> None:
        """A stop and a start in between: calls are refused meanwhile and sent again."""
        sender = self.sender()
        self.run_for(3)
        self.made.streamer.stop(["birds"])
        self.run_for(3)
        self.made.streamer.start(["birds"])
        self.run_for(60)
        self.check(sender)


class CommandTests(SynchronousTestCase):
    """`streamer simulate webhook`, without the reactor."""

    def test_help(self) -> None:
        """It says what it does."""
        result = CliRunner().invoke(main, ["simulate", "webhook", "--help"])
        self.assertEqual(0, result.exit_code)
        self.assertIn("--to URL", result.output)

    def test_no_url(self) -> None:
        """What is no URL is refused before anything runs."""
        for url in ("deploys", "ftp://x", "http://"):
            result = CliRunner().invoke(main, ["simulate", "webhook", "--to", url])
            self.assertEqual(2, result.exit_code)
            self.assertIn("is no URL such as 'http://127.0.0.1:8184/hooks/deploys'", result.output)
