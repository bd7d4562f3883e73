"""A client's conversation, without a socket."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout import protocol
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.position import written
from streamer.fanout.session import HEARTBEAT, Session
from streamer.metrics import SKIPPED, Metrics
from streamer.testing.relay_events import entry

NOW = 1_000_000.0


def parsed(data: bytes) -> list[Any]:
    """The frames in some bytes."""
    frames = []
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        frames.append(json.loads(data[start : start + length]))
        data = data[start + length :]
    return frames


class Deaf:
    """A socket's side that is never told anything: no tick comes in these tests."""

    def wake(self) -> None:
        """See `Reader`."""

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        raise AssertionError("nothing is delivered without a tick")


class SessionTests(SynchronousTestCase):
    """`Session`."""

    def setUp(self) -> None:
        self.hub = Hub(Journal(entries_limit=100), Metrics())
        self.now = NOW
        self.offset = 0
        self.session = self.open()

    def open(self) -> Session:
        return Session(1, self.hub, Deaf(), self.now)

    def publish(self, *topics: str) -> None:
        for topic in topics:
            self.offset += 1
            self.hub.append(entry(self.offset, topic))

    def say(self, *frame: Any) -> list[Any]:
        return parsed(b"".join(self.session.receive(json.dumps(frame), self.now)))

    def sub(self, id_: str = "a", topics: str = "#", **more: Any) -> dict[str, Any]:
        name, n, facts = self.say("sub", 5, {"id": id_, "topics": [topics], **more})[-1]
        self.assertEqual((name, n, facts["id"]), ("subd", 5, id_))
        return facts

    def refused(self, *frame: Any) -> str:
        name, _, facts = self.say(*frame)[-1]
        self.assertEqual(name, "err")
        return facts["code"]

    def pull(self) -> list[Any]:
        return parsed(self.session.pull(1_000_000, self.now) or b"")

    def offsets(self) -> list[int]:
        return [int(event["id"][5:]) for frame in self.pull() if frame[0] == "ev" for event in frame[2]]

    def position(self, offset: int) -> str:
        return entry(offset) and self.hub.journal.position(offset)

    def test_welcome(self) -> None:
        """`welcome` is the first frame and said once, whether a hello came or not."""
        self.publish("a")
        name, facts = self.say("hello", {})[0]
        self.assertEqual((name, facts["position"], facts["heartbeat"]), ("welcome", self.position(1), HEARTBEAT))
        self.assertEqual(facts["limits"], protocol.limits())
        self.assertEqual([frame[0] for frame in self.say("ping", 1)], ["pong"])
        self.session = self.open()
        self.assertEqual([frame[0] for frame in self.say("ping", 1)], ["welcome", "pong"])
        self.session = self.open()
        self.assertEqual([frame[0] for frame in self.say("unsub", 1, "x")], ["welcome", "err"])

    def test_welcome_after_silence(self) -> None:
        """A client that waits for `welcome` gets it, and may say hello then."""
        self.assertEqual(self.session.beat(self.now), [])
        frames = self.session.beat(self.now + protocol.HELLO_WAIT)
        self.assertEqual(parsed(b"".join(frames))[0][0], "welcome")
        self.assertEqual(self.say("hello", {})[0][0], "welcome")

    def test_never_says_anything(self) -> None:
        """Who connects and says nothing is closed, and who said the least thing is not."""
        quiet, polite = self.session, self.open()
        polite.receive('["ping",1]', self.now)
        for session in (quiet, polite):
            session.beat(self.now + protocol.HELLO_WAIT)
            session.beat(self.now + protocol.HELLO_WITHIN - 0.1)
        polite.beat(self.now + protocol.HELLO_WITHIN)
        error = self.assertRaises(ClientError, quiet.beat, self.now + protocol.HELLO_WITHIN)
        self.assertEqual(protocol.Close.BAD_REQUEST, error.close)
        late = self.open()
        late.beat(self.now + protocol.HELLO_WAIT)
        late.receive('["hello",{}]', self.now + 2)
        self.assertEqual([], late.beat(self.now + protocol.HELLO_WITHIN))

    def test_late_hello(self) -> None:
        """After the first sub it is too late for a hello."""
        self.sub()
        self.assertEqual(self.refused("hello", {}), "bad-request")

    def test_now(self) -> None:
        """Without history, events begin now."""
        self.publish("a")
        self.assertEqual(self.sub(), {"id": "a", "position": self.position(1), "replayed": 0, "recovered": True})
        self.publish("b")
        self.assertEqual(self.offsets(), [2])

    def test_last(self) -> None:
        """The most recent matching events, then live ones."""
        self.publish("a", "b", "a", "b", "a")
        self.assertEqual(self.sub(topics="a", last=2)["replayed"], 2)
        self.publish("a")
        self.assertEqual(self.offsets(), [3, 5, 6])

    def test_since(self) -> None:
        """All after a position."""
        self.publish("a", "b", "a")
        self.assertEqual(self.sub(topics="a", since=self.position(1))["replayed"], 1)
        self.assertEqual(self.offsets(), [3])

    def test_expired(self) -> None:
        """A position that is too old: the reason, what there is instead, and that can then be had."""
        self.publish("a")
        old = self.position(1)
        self.publish(*["a"] * 150)
        facts = self.sub(since=old)
        self.assertEqual((facts["recovered"], facts["reason"], facts["replayed"]), (False, "expired", 0))
        self.say("unsub", 6, "a")
        again = self.sub(since=facts["oldest"])
        self.assertEqual((again["recovered"], again["replayed"]), (True, 100))

    def test_unknown_with_last(self) -> None:
        """A position of another log, with `last` to fall back on."""
        self.publish("a", "a", "a")
        facts = self.sub(since="v1.12345678.2", last=2)
        self.assertEqual((facts["recovered"], facts["reason"], facts["replayed"]), (False, "unknown", 2))

    def test_resume(self) -> None:
        """`resume` is where subscriptions begin that name nothing else, all of them, each event once."""
        self.publish("a", "b", "a", "b")
        welcome = self.say("hello", {"resume": self.position(1)})[0][1]
        self.assertEqual((welcome["position"], welcome["recovered"]), (self.position(1), True))
        self.assertEqual(self.sub("x", "a")["replayed"], 1)
        self.assertEqual(self.sub("y", "b")["replayed"], 2)
        self.assertEqual(self.sub("z", "#", last=0)["replayed"], 0)
        self.assertEqual(sorted(self.offsets()), [2, 3, 4])

    def test_resume_has_an_end(self) -> None:
        """Long after the hello, a new subscription begins now."""
        self.publish("a", "a")
        self.say("hello", {"resume": self.position(1)})
        self.now += protocol.RESUME_WINDOW
        self.assertEqual(self.sub()["replayed"], 0)

    def test_resume_unknown(self) -> None:
        """A position that cannot be served is said to be so in `welcome` and in `subd`."""
        welcome = self.say("hello", {"resume": "rubbish"})[0][1]
        self.assertEqual((welcome["recovered"], welcome["reason"]), (False, "unknown"))
        self.assertFalse(self.sub()["recovered"])

    def test_refusals(self) -> None:
        """What cannot be had is answered, and the connection stays."""
        self.sub("a")
        for code, frame in (
            ("duplicate", ("sub", 1, {"id": "a", "topics": ["#"]})),
            ("bad-topic", ("sub", 1, {"id": "b", "topics": ["a..b"]})),
            ("unknown-id", ("unsub", 1, "b")),
            ("bad-request", ("sub", 1, {})),
        ):
            with self.subTest(code=code, frame=frame):
                self.assertEqual(self.refused(*frame), code)

    def test_subscriptions_are_limited(self) -> None:
        """The fifty-first is refused, until one goes."""
        for number in range(protocol.SUBSCRIPTIONS_LIMIT):
            self.now += 1
            self.sub(str(number))
        self.now += 60
        self.assertEqual(self.refused("sub", 1, {"id": "more", "topics": ["#"]}), "limit")
        self.say("unsub", 1, "0")
        self.sub("more")

    def test_rate(self) -> None:
        """The frame after the burst closes with 4129; a second later there is room for ten."""
        for _ in range(50):
            self.say("ping", 1)
        self.assertEqual(self.assertRaises(ClientError, self.say, "ping", 1).close, 4129)
        self.now += 1
        for _ in range(10):
            self.say("ping", 1)
        self.assertEqual(self.assertRaises(ClientError, self.say, "ping", 1).close, 4129)

    def test_heartbeat(self) -> None:
        """A position within the heartbeat, when nothing else told one."""
        self.sub(topics="none")
        self.publish("a")
        self.assertEqual(self.session.beat(self.now + 1), [])
        frames = parsed(b"".join(self.session.beat(self.now + HEARTBEAT - 1)))
        self.assertEqual(frames, [["pos", self.position(1)]])
        self.assertEqual(self.session.beat(self.now + HEARTBEAT), [])

    def test_lag(self) -> None:
        """A slow client is told from where to where, and how many it wanted in between."""
        self.sub(topics="a")
        begun = self.position(0)
        for _ in range(100):
            self.publish("a", "b")
        head = self.position(200)
        self.assertEqual(self.pull(), [["lag", {"skipped": 100, "from": begun, "to": head, "why": "slow"}]])
        self.assertEqual(self.hub.metrics.value(SKIPPED), 100)

    def test_strict(self) -> None:
        """One strict subscription is enough to end the connection rather than skip."""
        self.sub("a", policy="strict")
        self.sub("b")
        self.publish(*["a"] * 101)
        self.assertEqual(self.assertRaises(ClientError, self.pull).close, 4108)

    def test_budget(self) -> None:
        """A pull is about as large as it may be, and what is left comes with the next."""
        self.sub()
        for _ in range(60):
            self.offset += 1
            self.hub.append(entry(self.offset, size=5000))
        first = self.session.pull(64_000, self.now)
        assert first is not None
        self.assertLess(len(first), 130_000)
        got = [event["id"] for frame in parsed(first) for event in frame[2]]
        self.assertEqual(len(got) + len(self.offsets()), 60)

    def test_draining(self) -> None:
        """A client is told when to go."""
        self.assertEqual(parsed(Session(1, self.hub, Deaf(), NOW).draining(1500)), [["draining", {"in_ms": 1500}]])

    def test_strict_says_nothing_past_a_loss(self) -> None:
        """Neither `subd`, `unsubd` nor `pos` gives a strict client a position after events it never got."""
        for frame in (("sub", 1, {"id": "b", "topics": ["b"]}), ("unsub", 1, "a"), ("ping", 1)):
            self.session = self.open()
            self.sub("a", policy="strict")
            self.publish(*["a"] * 101)
            with self.subTest(frame=frame):
                self.assertEqual(self.assertRaises(ClientError, self.say, *frame).close, 4108)
        self.session = self.open()
        self.sub("a", policy="strict")
        self.publish(*["a"] * 101)
        self.assertEqual(self.assertRaises(ClientError, self.session.beat, self.now + HEARTBEAT).close, 4108)

    def test_position_before_a_loss(self) -> None:
        """Until a loss is told, positions are from before it: who resumes there is told of it there."""
        self.sub("a", "a")
        before = self.position(0)
        self.publish(*["a"] * 101)
        self.assertEqual(self.sub("b", "b")["position"], before)
        self.assertEqual([frame[0] for frame in self.pull()], ["lag"])

    def test_patterns_are_limited(self) -> None:
        """A connection has so many patterns, however they are spread over subscriptions."""
        for number in range(5):
            self.say("sub", 1, {"id": str(number), "topics": [f"{number}.{n}" for n in range(20)]})
        self.assertEqual(self.refused("sub", 1, {"id": "x", "topics": ["a"]}), "limit")
        self.say("unsub", 1, "0")
        self.sub("x")

    def test_work_is_charged(self) -> None:
        """Searching costs; in the red, `sub` and `unsub` are refused, other frames are not, until it has recovered."""
        self.patch(protocol, "WORK_UNIT", 10)
        self.publish(*["a"] * 100)
        for number in range(5):
            self.sub(str(number), f"b{number}", since=self.position(1))
        self.assertEqual(self.refused("sub", 1, {"id": "x", "topics": ["c"]}), "rate")
        self.assertEqual(self.refused("unsub", 1, "0"), "rate")
        self.assertEqual(self.say("ping", 1), [["pong", 1]])
        self.now += 5
        self.sub("x", "c")

    def test_ahead(self) -> None:
        """A position that another relay gave out before it was read here is waited for."""
        self.publish("a")
        later = written("/sources/x#post:3", 3)
        self.assertNotIn("recovered", self.say("hello", {"resume": later})[0][1])
        self.assertEqual(self.say("sub", 5, {"id": "a", "topics": ["a"]}), [])
        self.assertEqual(self.refused("sub", 6, {"id": "a", "topics": ["a"]}), "duplicate")
        self.assertEqual(self.session.beat(self.now + 1), [])
        self.publish("a", "a", "a")
        name, n, facts = parsed(b"".join(self.session.beat(self.now + 1)))[0]
        self.assertEqual((name, n, facts["recovered"], facts["replayed"]), ("subd", 5, True, 1))
        self.assertEqual(self.offsets(), [4])

    def test_ahead_of_nothing(self) -> None:
        """A position that does not turn up is judged when the time is over, or when its subscription must go."""
        later = written("/sources/x#post:3", 3)
        self.say("sub", 5, {"id": "a", "topics": ["a"], "since": later})
        facts = parsed(b"".join(self.session.beat(self.now + protocol.AHEAD_GRACE)))[0][2]
        self.assertEqual((facts["recovered"], facts["reason"]), (False, "unknown"))
        self.say("sub", 6, {"id": "b", "topics": ["a"], "since": later})
        self.assertEqual([frame[0] for frame in self.say("unsub", 7, "b")], ["subd", "unsubd"])

    def test_deleted(self) -> None:
        """History tells of a deletion where the post stood, and a subscription to posts gets deletions."""
        self.hub.append(entry(1, "post.x", "post:7", text="secret"))
        self.hub.append(entry(2, "delete.x", "delete:7", kind="delete", id="7"))
        self.assertEqual(self.sub(topics="post.#", last=5)["replayed"], 2)
        self.assertEqual([event["id"] for event in self.pull()[0][2]], ["delete:7", "delete:7"])

    def test_scrubbed(self) -> None:
        """History tells no location that was taken back, and a subscription to posts gets scrubs."""
        self.hub.append(entry(1, "post.x", "post:7", id="7", author={"id": "9"}, text="said", geo={"name": "secret"}))
        self.hub.append(entry(2, "scrub.x", "scrub:9:7", kind="scrub", author="9", up_to="7"))
        self.assertEqual(self.sub(topics="post.#", last=5)["replayed"], 2)
        post, scrub = self.pull()[0][2]
        self.assertEqual((post["data"]["text"], "geo" in post["data"], scrub["id"]), ("said", False, "scrub:9:7"))

    def test_closed(self) -> None:
        """A closed session holds nothing and says nothing."""
        self.sub()
        self.publish("a")
        self.session.close()
        self.assertEqual(self.hub.cohorts, 0)
        self.assertEqual((self.pull(), self.say("ping", 1), self.session.beat(NOW + 99)), ([], [], []))
