"""One source followed through everything that X can do to it; bytes and time are in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics as m
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.sources.x_rules import Rule
from streamer.testing import faults
from tests.unit.following import Following


class FollowerTests(SynchronousTestCase):
    """Connect, read, wait, again."""

    def following(self, **options: Any) -> Following:
        """A follower that must leave no timer behind."""
        made = Following(**options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        return made

    def assert_all_arrived(self, made: Following) -> None:
        """Each post that the upstream made reached the bus once, in order."""
        self.assertEqual(list(made.x.ledger.posts), made.ids())
        self.assertTrue(made.ids())

    def ended(self, made: Following, cause: str) -> float:
        """How many connections ended for that cause."""
        return made.metrics.value(m.ENDINGS, "birds", cause)

    def test_posts_arrive(self) -> None:
        """Rules are made, the stream is opened, every post reaches the bus once and in order."""
        made = self.following(rate=20.0)
        made.start()
        self.assertTrue(made.follower.connected)
        made.advance(10)
        self.assertGreater(len(made.ids()), 150)
        self.assert_all_arrived(made)

    def test_deletions_arrive(self) -> None:
        """Deletions travel as items of their own kind, with ids that do not clash with their posts'."""
        made = self.following(rate=20.0, deleted=0.2)
        made.start()
        made.advance(20)
        self.assertEqual([f"delete:{id_}" for id_ in made.x.ledger.deletes], made.ids("delete"))
        self.assertTrue(made.ids("delete"))

    def test_rules_are_reconciled(self) -> None:
        """The server ends up with just the configured rules, whatever was there."""
        made = self.following(rules=[Rule("cat", "pets"), Rule("dog", "new tag")])
        made.x.rules.add([_wanted("stale", None), _wanted("dog", "old tag"), _wanted("cat", "pets")])
        kept = {rule.value: rule.id for rule in made.x.rules.all()}
        made.start()
        self.assertEqual(
            {("cat", "pets"), ("dog", "new tag")}, {(rule.value, rule.tag) for rule in made.x.rules.all()}
        )
        self.assertIn(kept["cat"], {rule.id for rule in made.x.rules.all()})

    def test_no_rules_of_ours(self) -> None:
        """Without configured rules the server's are left alone."""
        made = self.following(rules=[])
        made.x.rules.add([_wanted("theirs", None)])
        made.start()
        self.assertEqual(["theirs"], [rule.value for rule in made.x.rules.all()])
        self.assertTrue(made.follower.connected)

    def test_keep_alives_hold_the_connection(self) -> None:
        """A quiet upstream is not a dead one."""
        made = self.following(rate=0.0001)
        made.start()
        made.advance(300)
        self.assertEqual(0, made.metrics.total(m.ENDINGS))
        self.assertTrue(made.follower.connected)

    def test_stall(self) -> None:
        """Silence, keep-alives included, ends the connection after 45 s and a new one is made."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(5)
        made.x.fault(faults.Stall())
        made.advance(44)
        self.assertEqual(0, self.ended(made, backoff.STALL))
        made.advance(3)
        self.assertEqual(1, self.ended(made, backoff.STALL))
        made.advance(5)
        self.assertTrue(made.follower.connected)

    def test_split(self) -> None:
        """A stream that comes a few bytes at a time is read the same."""
        made = self.following(rate=5.0)
        made.x.fault(faults.Split(7))
        made.start()
        made.advance(3)
        self.assert_all_arrived(made)

    def test_cut_and_backfill(self) -> None:
        """A connection cut in the middle of a post is made anew, and back-fill brings what was missed, once."""
        made = self.following(rate=20.0, backfill_minutes=5)
        made.start()
        made.advance(20)
        made.x.fault(faults.Cut())
        made.advance(20)
        self.assertEqual(1, self.ended(made, backoff.NETWORK))
        self.assert_all_arrived(made)
        self.assertGreater(made.metrics.value(m.REPEATED_ITEMS, "birds"), 0)

    def test_accept_then_close(self) -> None:
        """A server that accepts and closes is not met with a tight loop (T5, HB, TW)."""
        made = self.following(rate=20.0)
        made.x.fault(faults.AcceptThenClose(times=1000))
        made.start()
        made.advance(60)
        self.assertLess(self.ended(made, backoff.NETWORK), 25)

    def test_statuses(self) -> None:
        """Each refusal is its own cause, with its own delay, and the next answer heals it."""
        for status, cause, delay in (
            (401, backoff.AUTHORISATION, 300),
            (403, backoff.AUTHORISATION, 300),
            (409, backoff.NO_RULES, 60),
            (429, backoff.RATE_LIMIT, 600),
            ("too-many-connections", backoff.CONNECTION_LIMIT, 5),
            (503, backoff.HTTP, 5),
        ):
            made = self.following(rate=1.0)
            made.x.fault(faults.Status(status, reset_after=600))
            made.start()
            self.assertEqual(1, self.ended(made, cause), status)
            self.assertIn(cause, made.follower.said)
            made.advance(delay - 1, step=1)
            self.assertFalse(made.follower.connected, status)
            made.advance(2)
            self.assertTrue(made.follower.connected, status)

    def test_wrong_token(self) -> None:
        """Wrong credentials show as such, in X's own words, and are tried again slowly."""
        made = self.following(token="another")
        made.start()
        self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))
        self.assertIn("401", made.follower.said)
        made.advance(250, step=5)
        self.assertEqual(1, self.ended(made, backoff.AUTHORISATION))

    def test_in_stream_disconnect(self) -> None:
        """X's farewell within the stream names the cause; its type decides the delay."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(2)
        made.x.fault(faults.Disconnect("SlowReader"))
        made.advance(1)
        self.assertEqual(1, self.ended(made, backoff.SLOW))
        made.advance(10)
        self.assertTrue(made.follower.connected)

    def test_garbage(self) -> None:
        """What is no JSON is counted and dropped; the stream goes on."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(1)
        made.x.fault(faults.Garbage())
        made.advance(0.5)
        made.x.fault(faults.Garbage(html=True))
        made.advance(2)
        self.assertEqual(2, made.metrics.value(m.BAD_FRAMES, "birds", "unreadable"))
        self.assertTrue(made.follower.connected)
        self.assert_all_arrived(made)

    def test_huge_frame(self) -> None:
        """A frame past the limit is skipped and counted; the next ones are whole."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(1)
        made.x.fault(faults.Huge(3_000_000))
        made.advance(5)
        self.assertTrue(made.follower.connected)
        self.assert_all_arrived(made)
        made.stop()
        self.assertEqual(1, made.metrics.value(m.BAD_FRAMES, "birds", "too-long"))

    def test_duplicates_and_order(self) -> None:
        """Posts sent twice reach the bus once; out of order they still all do."""
        made = self.following(rate=20.0)
        made.start()
        made.advance(1)
        made.x.fault(faults.Duplicate(5))
        made.x.fault(faults.Reorder(3))
        made.advance(5)
        self.assertEqual(sorted(made.x.ledger.posts), sorted(made.ids()))
        self.assertGreaterEqual(made.metrics.value(m.REPEATED_ITEMS, "birds"), 5)

    def test_stop_while_connecting(self) -> None:
        """A stop does not wait for an answer."""
        made = Following()
        made.service.startService()
        self.assertEqual([], made.stop())

    def test_stop_while_waiting(self) -> None:
        """A stop does not wait for a back-off."""
        made = Following(token="another")
        made.start()
        self.assertFalse(made.follower.connected)
        self.assertEqual([], made.stop())

    def test_stop_while_silent(self) -> None:
        """A stop does not wait for the next byte (T11, hbc#141)."""
        made = Following(rate=20.0)
        made.start()
        made.x.fault(faults.Stall())
        made.advance(5)
        self.assertEqual([], made.stop())
        self.assertIs(State.STOPPED, made.follower.course.state)

    def test_stop_when_given_up(self) -> None:
        """A source that waits for another configuration can be stopped too."""
        made = Following(rules=[Rule("has:media", "")])
        made.start()
        self.assertEqual(1, self.ended(made, backoff.REFUSED))
        self.assertIn("stopped until the configuration changes", made.follower.said)
        self.assertEqual([], made.stop())


def _wanted(value: str, tag: str | None) -> Any:
    from streamer.testing.rule_book import Wanted

    return Wanted(value, tag)
