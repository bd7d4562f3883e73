"""Long poll, in memory."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.fanout.cohort import FRAME_LIMIT
from streamer.fanout.position import START, written
from streamer.fanout.protocol import AHEAD_GRACE
from streamer.metrics import CLIENTS, CLOSED, HANDSHAKES
from streamer.net import poll
from tests.unit.facing import ORIGIN, Answer, Asking, FacesTestCase, Facing, Keys

ALL = "/poll?topics=post.%23"


class PollTests(FacesTestCase):
    """`GET /poll`."""

    def tick(self, seconds: float = 0.01) -> None:
        self.relay.clock.advance(seconds)

    def publish(self, count: int, **more: Any) -> None:
        for _ in range(count):
            self.relay.publish(**more)

    def ids(self, answer: Answer | None) -> list[str]:
        assert answer is not None
        return [event["id"] for event in answer.json["events"]]

    def test_at_once(self) -> None:
        """Where there is something it is given at once, with the position after it."""
        self.publish(3)
        answer = self.relay.get(ALL + "&last=2", Origin=ORIGIN)
        self.assertEqual(200, answer.code)
        self.assertEqual(
            ("application/json", "no-store", ORIGIN),
            tuple(answer.headers[name] for name in ("content-type", "cache-control", "access-control-allow-origin")),
        )
        self.assertEqual(["post:2", "post:3"], self.ids(answer))
        self.assertEqual(
            {"position": self.relay.position(3), "recovered": True, "replayed": 2},
            {key: value for key, value in answer.json.items() if key != "events"},
        )
        self.assertEqual(1, self.relay.metrics.value(HANDSHAKES, "poll", "accepted"))
        self.assert_quiet("poll")

    def test_first_event(self) -> None:
        """Else the first event is the answer, with those that came in the same tick; what does not match is not."""
        asking = self.relay.ask(ALL)
        self.relay.publish("geo.x")
        self.tick(1)
        self.assertIsNone(asking.answer)
        self.assertEqual(1, self.relay.metrics.value(CLIENTS, "poll"))
        self.publish(2)
        self.tick(0)
        self.assertEqual(["post:2", "post:3"], self.ids(asking.answer))
        self.assertEqual(self.relay.position(3), asking.answer.json["position"])
        self.assertEqual(0, asking.answer.json["replayed"])
        asking.hang_up()
        self.assert_quiet("poll")

    def test_wait(self) -> None:
        """When the wait is over the answer is that there was nothing, and the newest position."""
        for query, wait in (("", poll.WAIT), ("&wait=3", 3), ("&wait=0.5", 1), ("&wait=0", 0)):
            self.relay = Facing()
            asking = self.relay.ask(ALL + query)
            self.relay.publish("geo.x")
            for _ in range(int(wait)):
                self.assertIsNone(asking.answer)
                self.tick(1)
            if wait:
                self.tick(1)
            with self.subTest(query=query):
                self.assertEqual([], self.ids(asking.answer))
                self.assertEqual(self.relay.position(1 if wait else 0), asking.answer.json["position"])
            asking.hang_up()
            self.assert_quiet("poll")

    def test_bad_wait(self) -> None:
        """The wait is a number, within limits."""
        for wait in ("x", "-1", "60.1", "nan", "inf", ""):
            answer = self.relay.get(f"{ALL}&wait={wait}")
            with self.subTest(wait=wait):
                self.assertEqual((400, "bad-request"), (answer.code, answer.json["error"]["code"]))
        self.assert_quiet("poll")

    def test_head(self) -> None:
        """HEAD waits for nothing."""
        answer = self.relay.get(ALL, "HEAD")
        self.assertEqual((200, b""), (answer.code, answer.body))
        self.assert_quiet("poll")

    def test_much(self) -> None:
        """An answer has a limited size, and the next goes on where it ended; an event that is longer comes alone."""
        sizes = [3000] * 50 + [FRAME_LIMIT * 2] + [3000] * 3
        for size in sizes:
            self.publish(1, size=size)
        got: list[str] = []
        position, answers = START, 0
        while len(got) < len(sizes):
            answer = self.relay.get(f"{ALL}&since={position}&wait=0")
            ids = self.ids(answer)
            self.assertTrue(ids)
            self.assertTrue(len(answer.body) < FRAME_LIMIT + 500 or len(ids) == 1)
            self.assertEqual(len(sizes) - len(got), answer.json["replayed"])
            got += ids
            position = answer.json["position"]
            answers += 1
        self.assertEqual([f"post:{number + 1}" for number in range(len(sizes))], got)
        self.assertEqual(5, answers)

    def test_lost_position(self) -> None:
        """A position that cannot be had is said to be lost, why, and what is the oldest there is."""
        self.relay = Facing(entries=5)
        self.publish(20)
        expired = self.relay.get(f"{ALL}&since={written('/sources/x#post:3', 3)}&last=1&wait=0").json
        self.assertEqual((False, "expired"), (expired["recovered"], expired["reason"]))
        self.assertEqual(["post:20"], [event["id"] for event in expired["events"]])
        unknown = self.relay.get(f"{ALL}&since=x&wait=0").json
        self.assertEqual((False, "unknown", []), (unknown["recovered"], unknown["reason"], unknown["events"]))
        self.assertEqual(self.relay.position(20), unknown["position"])
        self.assertTrue(self.relay.get(f"{ALL}&since={unknown['oldest']}&wait=0").json["recovered"])

    def test_ahead(self) -> None:
        """A position on its way here is waited for, even by who would not wait; whether it comes or not."""
        for comes in (True, False):
            self.relay = Facing()
            asking = self.relay.ask(f"{ALL}&since={written('/sources/x#post:2', 2)}&wait=0")
            self.assertIsNone(asking.answer)
            self.publish(3 if comes else 1)
            self.tick(AHEAD_GRACE)
            self.tick(1)
            with self.subTest(comes=comes):
                self.assertEqual(comes, asking.answer.json["recovered"])
                self.assertEqual(["post:3"] if comes else [], self.ids(asking.answer))
            asking.hang_up()
            self.assert_quiet("poll")

    def test_hang_up(self) -> None:
        """A client that goes is let go at once."""
        asking = self.relay.ask(ALL)
        asking.hang_up()
        self.assert_quiet("poll")
        self.publish(1)
        self.tick(60)

    def test_one_connection(self) -> None:
        """A connection serves one poll after the other, and counts as one place only while one is waiting."""
        asking = self.relay.ask(ALL)
        for number in range(1, 4):
            self.assertEqual(1, self.relay.admission.total)
            asking.transport.clear()
            self.publish(1)
            self.tick()
            answer = asking.answer
            self.assertEqual([f"post:{number}"], self.ids(answer))
            self.assertEqual(0, self.relay.admission.total)
            asking.transport.clear()
            asking.send(f"{ALL}&since={answer.json['position']}")
        asking.hang_up()
        self.assert_quiet("poll")

    def test_places(self) -> None:
        """Polls that wait take the places that websockets take."""
        self.relay = Facing(per_address=1)
        asking = self.relay.ask(ALL)
        answer = self.relay.get(ALL)
        self.assertEqual((503, "full"), (answer.code, answer.json["error"]["code"]))
        asking.hang_up()
        self.assertEqual(200, self.relay.get(ALL + "&wait=0").code)

    def test_token_ends(self) -> None:
        """A poll does not outlast the token it was made with."""
        self.relay = Facing(authority=Keys())
        self.assertEqual(401, self.relay.get(ALL).code)
        asking = self.relay.ask(ALL, Authorization="Bearer soon")
        self.tick(11)
        self.tick(1)
        self.assertEqual((401, "token"), (asking.answer.code, asking.answer.json["error"]["code"]))
        asking.hang_up()
        self.assert_quiet("poll")

    def test_stop(self) -> None:
        """When the relay stops every poll is answered at once, and its connection is not kept."""
        asking = self.relay.ask(ALL)
        parked = self.relay.ask(f"{ALL}&since=v1.00000000.9")
        self.publish(1)
        self.successResultOf(self.relay.clients.stop())
        self.assertEqual(["post:1"], self.ids(asking.answer))
        self.assertEqual("close", asking.answer.headers["connection"])
        self.assertEqual((503, "restarting"), (parked.answer.code, parked.answer.json["error"]["code"]))
        for one in (asking, parked):
            self.assertTrue(one.transport.disconnecting)
            one.hang_up()
        self.assertEqual(0, self.relay.metrics.total(CLOSED))
        self.assert_quiet("poll")

    def test_site_ends_keeping(self) -> None:
        """A poll that waits when the site ends its connections is served, and told that this was the last here."""
        asking = self.relay.ask(ALL)
        self.relay.site.end_keeping()
        self.assertFalse(asking.transport.disconnecting)
        self.publish(1)
        self.tick()
        self.assertEqual((["post:1"], "close"), (self.ids(asking.answer), asking.answer.headers["connection"]))
        self.assertTrue(asking.transport.disconnecting)
        asking.hang_up()
        self.assert_quiet("poll")

    def test_lag(self) -> None:
        """What left the journal before it could be given is told in the answer."""
        self.relay = Facing(entries=5)
        asking = self.relay.ask(ALL)
        self.publish(9)
        self.tick()
        (lag,) = asking.answer.json["lag"]
        self.assertEqual((9, START, self.relay.position(9)), (lag["skipped"], lag["from"], lag["to"]))
        self.assertEqual((self.relay.position(9), []), (asking.answer.json["position"], asking.answer.json["events"]))
        asking.hang_up()
        self.assert_quiet("poll")

    def test_strict(self) -> None:
        """Strictly, there is no answer but that."""
        self.relay = Facing(entries=5)
        asking = self.relay.ask(ALL + "&policy=strict")
        self.publish(9)
        self.tick()
        self.assertEqual((503, "slow"), (asking.answer.code, asking.answer.json["error"]["code"]))
        asking.hang_up()
        self.assert_quiet("poll")

    @settings(max_examples=50, deadline=None)
    @given(
        st.integers(0, 4),
        st.lists(
            st.one_of(
                st.tuples(st.just("publish"), st.integers(1, 4)),
                st.tuples(st.just("big"), st.integers(1, 3)),
                st.tuples(st.just("tick"), st.sampled_from([0.0, 0.01, 1.0, 26.0])),
                st.tuples(st.just("hang up"), st.booleans()),
            ),
            max_size=30,
        ),
    )
    def test_following(self, before: int, steps: list[tuple[str, Any]]) -> None:
        """Who names each time the position it was told is given every event once and in order, come what may."""
        self.relay = Facing()
        self.publish(before)
        asking = self.relay.ask(ALL)
        got: list[str] = []
        position = self.relay.position(before)

        def follow(asking: Asking) -> Asking:
            nonlocal position
            while asking.answer is not None:
                got.extend(self.ids(asking.answer))
                self.assertTrue(asking.answer.json["recovered"])
                position = asking.answer.json["position"]
                asking.hang_up()
                asking = self.relay.ask(f"{ALL}&since={position}")
            return asking

        for step, value in steps:
            if step == "publish":
                for number in range(value):
                    self.relay.publish("post.x" if number % 2 == 0 else "geo.x")
            elif step == "big":
                self.publish(value, size=40_000)
            elif step == "tick":
                self.tick(value)
            else:  # an answer that was written, or not, and never arrived
                asking.hang_up()
                asking = self.relay.ask(f"{ALL}&since={position}")
            if step != "publish":
                asking = follow(asking)
        self.tick(0.01)
        self.tick(0.01)
        asking = follow(asking)
        journal = self.relay.hub.journal
        wanted = [
            json.loads(journal[at].event)["id"] for at in range(before, journal.head) if journal[at].topic == "post.x"
        ]
        self.assertEqual(wanted, got)
        asking.hang_up()
        self.assert_quiet("poll")
