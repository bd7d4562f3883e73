"""The samples and the firehose: every post once over all partitions, and what may be asked."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.faults import AcceptThenClose, Status
from streamer.testing.x_endpoints import FIREHOSE, About, Endpoint, samples
from tests.unit.test_testing_x import EVERYTHING, STREAM, Face

SAMPLE = "/2/tweets/sample/stream"
SAMPLE10 = "/2/tweets/sample10/stream"
HOSE = "/2/tweets/firehose/stream"


class VolumeTests(SynchronousTestCase):
    """What comes over the volume streams."""

    def face(self, **options: object) -> Face:
        """A simulation that has started, and is stopped at the end without leaving a timer."""
        face = Face(rate=64.0, **options)
        face.simulation.start()
        self.addCleanup(lambda: self.assertEqual([], face.clock.getDelayedCalls()))
        self.addCleanup(face.simulation.stop)
        return face

    def test_firehose(self) -> None:
        """All twenty partitions together have every post once, and its deletion where the post was."""
        face = self.face(deleted=0.1)
        listeners = [face.listen(f"?partition={number}", HOSE) for number in range(1, 21)]
        face.advance(4.0)
        found = [listener.posts for listener in listeners]
        self.assertEqual(sorted(face.simulation.ledger.posts), sorted(id_ for ids in found for id_ in ids))
        self.assertTrue(all(found))
        self.assertEqual(256, len(face.simulation.ledger.posts))
        deletes = 0
        for listener, ids in zip(listeners, found, strict=True):
            for line in listener.lines:
                if line.startswith(b'{"delete"'):
                    deletes += 1
                    self.assertIn(json.loads(line)["delete"]["status"]["id_str"], ids)
        self.assertEqual(len(face.simulation.ledger.deletes), deletes)

    def test_sample10(self) -> None:
        """The two partitions share the sample, which is about a tenth of everything, and have no post twice."""
        face = self.face(fast=True, deleted=0.0)
        listeners = [face.listen(f"?partition={number}", SAMPLE10) for number in (1, 2)]
        face.advance(32.0)
        first, second = (set(listener.posts) for listener in listeners)
        self.assertFalse(first & second)
        self.assertTrue(140 <= len(first | second) <= 270, len(first | second))
        self.assertTrue(first | second < set(face.simulation.ledger.posts))

    def test_sample(self) -> None:
        """The sample has about a hundredth, or the share that was configured."""
        face = self.face(fast=True, deleted=0.0)
        listener = face.listen("", SAMPLE)
        face.advance(32.0)
        self.assertTrue(8 <= len(listener.posts) <= 40, len(listener.posts))
        whole = self.face(sample_share=1.0, deleted=0.0)
        listener = whole.listen("", SAMPLE)
        whole.advance(1.0)
        self.assertEqual(list(whole.simulation.ledger.posts), listener.posts)

    def test_same_posts_as_filtered(self) -> None:
        """They are the posts of the filtered stream, but for the rules; fields are chosen in the same way."""
        face = self.face(sample_share=1.0, deleted=0.0)
        filtered, sample, bare = (
            face.listen(EVERYTHING),
            face.listen(EVERYTHING, SAMPLE),
            face.listen("?partition=1", HOSE),
        )
        face.advance(1.0)
        posts = [json.loads(line) for line in filtered.lines]
        for post in posts:
            self.assertTrue(post.pop("matching_rules"))
        self.assertEqual(posts, [json.loads(line) for line in sample.lines])
        self.assertEqual({"id", "text", "edit_history_tweet_ids"}, set(json.loads(bare.lines[0])["data"]))

    def test_fast_has_no_rules_either(self) -> None:
        """Posts written beforehand are sent whole, without the rules."""
        face = self.face(sample_share=1.0, fast=True, deleted=0.0)
        listener = face.listen("", SAMPLE)
        face.advance(0.5)
        self.assertEqual({"data", "includes"}, set(json.loads(listener.lines[0])))

    def test_languages(self) -> None:
        """A language stream has the posts in that language, once over its partitions."""
        face = self.face(deleted=0.0)
        listeners = [face.listen(f"?partition={n}&tweet.fields=lang", HOSE + "/lang/ja") for n in (1, 2)]
        whole = [face.listen(f"?partition={n}&tweet.fields=lang", HOSE) for n in range(1, 21)]
        face.advance(2.0)

        def japanese(line: bytes) -> bool:
            return json.loads(line)["data"]["lang"] == "ja"

        expected = [line for listener in whole for line in listener.lines if japanese(line)]
        self.assertTrue(expected)
        self.assertEqual(sorted(expected), sorted(line for listener in listeners for line in listener.lines))

    def test_without_rules(self) -> None:
        """They need no rules: posts happen from the first such stream on, and go on when it is gone."""
        face = self.face(rules=[], sample_share=1.0, deleted=0.0)
        face.advance(1.0)
        self.assertEqual(0, face.simulation.ledger.produced)
        first = face.listen("", SAMPLE)
        face.advance(1.0)
        first.transport.loseConnection()
        face.agent.flush()
        face.advance(1.0)
        second = face.listen("?backfill_minutes=1", SAMPLE)
        self.assertEqual(128, len(second.posts))
        self.assertEqual(list(face.simulation.ledger.posts), second.posts)
        self.assertEqual(first.posts, second.posts[:64])
        self.assertEqual(409, face.ask(STREAM).code)

    def test_recovery(self) -> None:
        """A span of a partition is replayed, and the response ends; the 1 % stream cannot do this."""
        face = self.face(deleted=0.0)
        live = face.listen("?partition=3", HOSE)
        face.advance(3.0)
        live.transport.loseConnection()
        face.agent.flush()
        span = "start_time=2026-11-21T04:00:01Z&end_time=2026-11-21T04:00:03Z"
        replayed = face.listen(f"?partition=3&{span}", HOSE)
        ids = list(face.simulation.ledger.posts)[63:191]
        self.assertEqual([id_ for id_ in live.posts if id_ in ids], replayed.posts)
        self.assertTrue(replayed.posts)
        self.assertIsNotNone(replayed.ended)
        self.assertEqual(400, face.ask(f"{SAMPLE}?{span}").code)

    def test_partition_parameter(self) -> None:
        """A partition must be named where there are some, and none where there are none."""
        face = self.face()
        for path, bad in (
            (SAMPLE, ("?partition=1",)),
            (STREAM, ("?partition=1",)),
            (SAMPLE10, ("", "?partition=0", "?partition=3", "?partition=x", "?partition=1,2")),
            (HOSE, ("", "?partition=21", "?partition=1&partition=2")),
            (HOSE + "/lang/en", ("", "?partition=9")),
            (HOSE + "/lang/ko", ("?partition=3",)),
        ):
            for query in bad:
                answer = face.ask(path + query)
                self.assertEqual((400, "Invalid Request"), (answer.code, answer.body["title"]), path + query)
        self.assertEqual(404, face.ask(HOSE + "/lang/xx?partition=1").code)
        self.assertEqual(404, face.ask(HOSE + "/lang").code)

    def test_connections_by_partition(self) -> None:
        """Each endpoint and partition has places of its own."""
        face = self.face()
        for path, query in ((STREAM, ""), (SAMPLE, ""), (HOSE, "?partition=1"), (HOSE, "?partition=2")):
            face.listen(query, path)
            answer = face.ask(path + query)
            self.assertEqual((429, "TooManyConnections"), (answer.code, answer.body["connection_issue"]))
        names = [count.stream for count in face.simulation.ledger.connections]
        self.assertEqual(["filtered_stream", "sample_stream", "firehose_stream/1", "firehose_stream/2"], names)

    def test_oldest_of_the_partition(self) -> None:
        """Where the oldest has to go it is the oldest of that partition."""
        face = self.face(replace_oldest=True)
        one, two = face.listen("?partition=1", HOSE), face.listen("?partition=2", HOSE)
        again = face.listen("?partition=2", HOSE)
        self.assertEqual([False, True, False], [listener.ended is not None for listener in (one, two, again)])

    def test_oldest_of_several(self) -> None:
        """Nobody has to go while there is room."""
        face = self.face(replace_oldest=True, max_connections=3)
        listeners = [face.listen("", SAMPLE) for _ in range(4)]
        self.assertEqual([True, False, False, False], [listener.ended is not None for listener in listeners])

    def test_refusals(self) -> None:
        """Token, rate limit and faults are as for the filtered stream; each endpoint has its own window."""
        face = self.face(connect_limit=1)
        self.assertEqual(401, face.ask(SAMPLE, token="wrong").code)
        face.simulation.fault(Status(503))
        self.assertEqual(503, face.ask(SAMPLE).code)
        face.simulation.fault(AcceptThenClose())
        self.assertIsNotNone(face.listen("", SAMPLE).ended)
        self.assertEqual(429, face.ask(SAMPLE).code)
        face.listen("?partition=1", SAMPLE10)


class EndpointTests(SynchronousTestCase):
    """Which line goes where."""

    @given(st.integers(0, 2**63 - 1), st.sampled_from((FIREHOSE, *samples(0.5, 0.5))))
    def test_one_partition(self, id_: int, endpoint: Endpoint) -> None:
        """A post is in one partition, or where there is only a sample in none; its language does not matter."""
        about = About(str(id_), "und", None, False)
        found = [endpoint.has(about, number) for number in range(1, (endpoint.partitions or 1) + 1)]
        self.assertIn(sum(found), (1,) if endpoint.share == 1 else (0, 1))

    def test_even(self) -> None:
        """Partitions get about the same."""
        counts = [0] * 20
        for number in range(20_000):
            about = About(str(2_123_989_782_596_947_968 + (number << 22)), "en", None, False)
            counts[[FIREHOSE.has(about, n) for n in range(1, 21)].index(True)] += 1
        self.assertTrue(min(counts) > 700 and max(counts) < 1300, counts)
