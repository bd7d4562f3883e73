"""Events that clients publish: what becomes of them, without a bus."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.limits import check
from streamer.errors import ClientError
from streamer.fanout.grants import Grants
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.logged import EVENT_LIMIT, logged
from streamer.fanout.pending import Pending
from streamer.fanout.protocol import PENDING_LIMIT, PUBLISH_BURST, PUBLISH_RATE
from streamer.fanout.publishing import (
    ABOUT_LIMIT,
    DEPTH_LIMIT,
    ID_LIMIT,
    RESERVED,
    Done,
    Publication,
    Published,
    checked_topic,
    event_of,
    outcome,
    read_publication,
    source_of,
)
from streamer.fanout.session import Session
from streamer.fanout.verbs import Phase
from streamer.message import TOPIC_LIMIT, WORD_LIMIT, Entry, Event, Topic, topic
from streamer.metrics import CLIENT_PUBLISHED, FRAMES, Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_session import parsed

NOW = 1_519.25  # seconds since the epoch
ANYTHING = Grants("jack", read=frozenset({"#"}), publish=frozenset({"#"}))
SUBJECTS = st.text(max_size=150) | st.sampled_from(["anonymous", "Anonymous", "~", "%61nonymous", "a" * 97])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)


def made(grants: Grants = ANYTHING, **publication: Any) -> dict[str, Any]:
    """The event of a publication."""
    asked: dict[str, Any] = {"topic": "chat.irc.room", "data": {}, **publication}
    body = event_of(read_publication(json.dumps(asked).encode()), grants, NOW, "random")[1].body
    event: dict[str, Any] = json.loads(body)
    return event


class PublishingTests(SynchronousTestCase):
    """`Publication` and what is made of it."""

    def refused(self, code: str, grants: Grants = ANYTHING, **publication: Any) -> str:
        error = self.assertRaises(ClientError, made, grants, **publication)
        self.assertEqual((error.code, error.close, error.retry), (code, None, False))
        self.assertLess(len(error.message), 400)
        return error.message

    def test_event(self) -> None:
        """What is not the client's to say is the relay's: type, source and times."""
        event = made(topic="chat.irc.room", data={"body": "hi"}, id="m-1", subject="#room")
        time = "1970-01-01T00:25:19.250Z"
        self.assertEqual(
            event,
            {
                "specversion": "1.0",
                "id": "m-1",
                "source": "/clients/jack",
                "type": "streamer.chat",
                "time": time,
                "subject": "#room",
                "topic": "chat.irc.room",
                "received": time,
                "enriched": time,
                "datacontenttype": "application/json",
                "data": {"body": "hi"},
            },
        )

    def test_attributes_of_all_events(self) -> None:
        """It has the attributes, in the order, of an event that the house derives, and its envelope."""
        house = Event(
            id="m-1",
            source="x",
            type="streamer.chat",
            topic=Topic("chat.irc"),
            data={},
            time=1,
            received=1,
            enriched=1,
        ).message()
        published, message = event_of(Publication("chat.irc", {}), ANYTHING, NOW, "random")
        self.assertEqual(list(json.loads(message.body)), list(json.loads(house.body)))
        self.assertEqual((message.exchange, message.content_type), (house.exchange, house.content_type))
        self.assertEqual((message.kind, message.topic), ("streamer.chat", "chat.irc"))
        self.assertEqual(message.message_id, f"{published.source}#{published.id}")
        self.assertEqual((message.timestamp_ms, published.id), (1_519_250, "random"))

    def test_not_understood(self) -> None:
        """A body that is not such an object is refused with a sentence."""
        for body, says in (
            (b"", "one JSON object"),
            (b"{", "one JSON object"),
            (b"\xff", "one JSON object"),
            (b'{"topic":"a","data":{"a":"\\ud800"}}', "one JSON object"),
            (b"[" * 100_000, ""),
            (b"[]", "not understood"),
            (b'{"topic":"a"}', "data"),
            (b'{"data":{}}', "topic"),
            (b'{"topic":"a","data":[]}', "object"),
            (b'{"topic":"a","data":"x"}', "object"),
            (b'{"topic":1,"data":{}}', "str"),
            (b'{"topic":"a","data":{},"source":"/sources/x"}', "source"),
            (b'{"topic":"a","data":{"a":1e999}}', ""),
            (b'{"topic":"a","data":{},"subject":""}', "length"),
            (b'{"topic":"a","data":{},"subject":"%b"}' % (b"s" * (ABOUT_LIMIT + 1)), "length"),
        ):
            with self.subTest(body=body[:60]):
                error = self.assertRaises(ClientError, read_publication, body)
                self.assertEqual((error.code, error.retry), ("bad-request", False))
                self.assertIn(says, error.message)

    def test_topics(self) -> None:
        """One topic, in the one way it can be written; the sentence shows that way."""
        for good in ("chat", "chat.-.a", "chat.été.日本", "a%2Eb.%23", "x" * WORD_LIMIT, "%2A"):
            with self.subTest(good=good):
                self.assertEqual(made(topic=good)["topic"], good)
        for bad, says in (
            ("", "empty word"),
            ("a..b", "empty word"),
            (".a", "empty word"),
            ("a.", "empty word"),
            ("a.*", "wildcard"),
            ("#", "wildcard"),
            ("a.b*", "written 'b%2A'"),
            ("A.b", "written 'a'"),
            ("a b", "written 'a%20b'"),
            ("a\nb", "written 'a%0Ab'"),
            ("100%", "written '100%25'"),
            ("%61", "written 'a'"),
            ("%2a", "written '%2A'"),
            ("a%2eb", "written 'a%2Eb'"),
            ("%FF", "written"),
            ("x" * (WORD_LIMIT + 1), "written"),
            ("x." * 130 + "x", f"{TOPIC_LIMIT} are allowed"),
            ("é" * 128, "256 bytes"),
        ):
            with self.subTest(bad=bad):
                self.assertIn(says, self.refused("bad-topic", topic=bad))

    @given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
    @example(["İ", "ΑΣ", "ß"])
    def test_house_topics_are_taken(self, words: list[str]) -> None:
        """What the house's own `topic` writes is a topic."""
        written = topic(*words)
        self.assertEqual(checked_topic(written), written)

    def test_ids(self) -> None:
        """An id is short and of harmless characters."""
        for good in ("a", "A-Z_0.9~:@+=", "x" * ID_LIMIT):
            self.assertEqual(made(id=good)["id"], good)
        for bad in ("", "x" * (ID_LIMIT + 1), "a#b", "a b", "é", "a\n", "a/b", '"'):
            with self.subTest(bad=bad):
                self.assertIn("id has 1 to 128", self.refused("bad-request", id=bad))

    @given(st.lists(SUBJECTS, min_size=2, max_size=2, unique=True))
    @example(["anonymous", ""])
    @example(["anonymous", "%61nonymous"])
    @example(["a" * 97, "a" * 98])
    @example(["~" + "0" * 64, "0" * 65])
    def test_sources_are_apart(self, subjects: list[str]) -> None:
        """Two subjects have two sources, that of clients without a token among them; none is a source's."""
        one, other = map(source_of, subjects)
        self.assertNotEqual(one, other)
        self.assertRegex(one, r"\A/clients/[A-Za-z0-9._~%-]{1,96}\Z")
        self.assertEqual(one == "/clients/anonymous", not subjects[0])

    def test_long_subject_cannot_be_chosen(self) -> None:
        """The short form of one subject's long name is no other subject's name."""
        short = source_of("a" * 200).removeprefix("/clients/")
        self.assertTrue(short.startswith("~"))
        self.assertNotEqual(source_of(short), source_of("a" * 200))

    @given(SUBJECTS, st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.none() | st.just("i" * ID_LIMIT))
    def test_any_data_arrives(self, subject: str, data: dict[str, Any], id_: str | None) -> None:
        """Whatever JSON a client sends, bus and journal take the event, in one line, and readers get that data."""
        body = json.dumps({"topic": "t" * WORD_LIMIT, "data": data, "id": id_}).encode()
        try:
            publication = read_publication(body)
        except ClientError as error:
            self.assertIn("range", error.message)  # an integer beyond what readers could hold
            return
        _, message = event_of(publication, Grants(subject, publish=frozenset({"#"})), NOW, "random")
        check(message)
        entry = logged(Entry(1, message))
        self.assertNotIn(b"\n", entry.event)
        self.assertEqual(json.loads(entry.event)["data"], data)

    def test_too_long(self) -> None:
        """The whole event, not only what the client sent, must fit the journal's limit."""
        room = EVENT_LIMIT - len(json.dumps(made(data={"a": ""}), separators=(",", ":")))
        self.assertEqual(len(made(data={"a": "x" * room})["data"]["a"]), room)
        self.assertIn(f"{EVENT_LIMIT + 1} bytes", self.refused("too-long", data={"a": "x" * (room + 1)}))

    def test_too_deep(self) -> None:
        """Data nested deeper than some reader's stack is refused."""
        nested: Any = []
        for _ in range(DEPTH_LIMIT // 2 - 1):
            nested = [{"a": nested, "b": "c"}]
        self.assertEqual(made(data={"a": nested})["data"], {"a": nested})
        self.assertIn("in each other", self.refused("bad-request", data={"a": [nested]}))
        self.assertIn("in each other", self.refused("bad-request", data={"a": {"a": nested}}))

    def test_grants(self) -> None:
        """Only a topic that is granted."""
        chat = Grants("jack", publish=frozenset({"chat.irc.*"}))
        self.assertEqual(made(chat, topic="chat.irc.room")["type"], "streamer.chat")
        for grants in (chat, Grants("jack", read=frozenset({"#"})), Grants()):
            with self.subTest(grants=grants):
                self.assertIn("post.x", self.refused("forbidden", grants, topic="post.x"))
        self.assertIn("without a token", self.refused("forbidden", Grants(), topic="chat"))

    def test_deletions_need_a_grant_by_name(self) -> None:
        """A grant of everything lets nobody send what reaches every client, or speak the house's own words."""
        for first in sorted(RESERVED):
            for patterns, may in (
                ({"#"}, False),
                ({"*.x"}, False),
                ({"#.x", "#", "*.*", f"{first}.y"}, False),
                ({f"{first}.x"}, True),
                ({f"{first}.*"}, True),
                ({f"{first}.#"}, True),
                ({"#", f"{first}.#"}, True),
            ):
                grants = Grants("jack", publish=frozenset(patterns))
                with self.subTest(first=first, patterns=patterns):
                    if may:
                        self.assertEqual(made(grants, topic=f"{first}.x")["type"], f"streamer.{first}")
                    else:
                        self.refused("forbidden", grants, topic=f"{first}.x")
        self.assertLessEqual({"delete", "scrub"}, RESERVED)

    def test_deletion_takes_back_its_own(self) -> None:
        """A client that may delete takes back what has its own source, and nothing of another's."""
        grants = Grants("jack", publish=frozenset({"#", "delete.#"}))
        _, post = event_of(Publication("post.chat", {}, "post:7"), grants, NOW, "r")
        _, deletion = event_of(Publication("delete.chat", {"id": "7"}), grants, NOW, "r")
        gone = logged(Entry(2, deletion)).gone
        self.assertIn(post.message_id, gone)
        self.assertTrue(all(name.startswith("/clients/jack#") for name in gone))

    def test_outcomes(self) -> None:
        """Each answer has one of four labels."""
        for answer, label in (
            (Published("a", "b"), "confirmed"),
            (ClientError("forbidden", ""), "forbidden"),
            (ClientError("unavailable", ""), "unavailable"),
            (ClientError("rate", ""), "refused"),
            (ClientError("bad-topic", ""), "refused"),
        ):
            self.assertEqual(outcome(answer), label)


class Slow:
    """A publisher that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Publication, Grants, Done]] = []
        self.at_once: Published | ClientError | None = None

    def publish(self, publication: Publication, grants: Grants, done: Done) -> None:
        """See `Publishes`."""
        if self.at_once is not None:
            done(self.at_once)
        else:
            self.asked.append((publication, grants, done))

    def answer(self, answer: Published | ClientError) -> None:
        """Of the oldest."""
        self.asked.pop(0)[2](answer)


class PendingTests(SynchronousTestCase):
    """`Pending`."""

    def setUp(self) -> None:
        self.publisher, self.metrics = Slow(), Metrics()
        self.woken: list[int] = []
        self.pending = Pending(self.publisher, self.metrics, lambda: self.woken.append(1), NOW)

    def ask(self, n: int, now: float = NOW) -> None:
        self.pending.ask(n, Publication("chat", {}), ANYTHING, now)

    def taken(self) -> list[Any]:
        return [json.loads(frame[2 if frame[1] < 126 else 4 :]) for frame in self.pending.take()]

    def test_answers_wait(self) -> None:
        """Answers come as the bus gives them, wake the session, and are given out once."""
        self.ask(1)
        self.ask(2)
        self.assertEqual((self.taken(), self.woken), ([], []))
        self.publisher.answer(Published("a", "/clients/jack"))
        self.publisher.answer(ClientError("unavailable", "later", retry=True))
        self.assertEqual(len(self.woken), 2)
        self.assertEqual(
            self.taken(),
            [
                ["pubd", 1, {"id": "a", "source": "/clients/jack"}],
                ["err", 2, {"code": "unavailable", "message": "later", "retry": True}],
            ],
        )
        self.assertEqual((self.taken(), len(self.pending)), ([], 0))

    def test_at_once(self) -> None:
        """An answer that comes while it is asked for wakes nobody: who asks takes it."""
        self.publisher.at_once = Published("a", "/clients/jack")
        self.ask(1)
        self.assertEqual((len(self.taken()), self.woken), (1, []))

    def test_limit(self) -> None:
        """An event counts until its answer is given out."""
        for n in range(PENDING_LIMIT):
            self.ask(n)
        error = self.assertRaises(ClientError, self.ask, 99)
        self.assertEqual((error.code, error.retry, error.close), ("limit", True, None))
        self.publisher.answer(Published("a", "b"))
        self.assertRaises(ClientError, self.ask, 99)
        self.assertEqual(len(self.taken()), 1)
        self.ask(99)
        self.assertEqual(self.metrics.value(CLIENT_PUBLISHED, "refused"), 2)

    def test_rate(self) -> None:
        """A connection can publish a burst, then at a rate; to be told so closes nothing."""
        self.publisher.at_once = Published("a", "b")
        for n in range(int(PUBLISH_BURST)):
            self.ask(n)
            self.pending.take()
        error = self.assertRaises(ClientError, self.ask, 99)
        self.assertEqual((error.code, error.retry, error.close), ("rate", True, None))
        self.ask(100, NOW + 1.5 / PUBLISH_RATE)
        self.assertRaises(ClientError, self.ask, 101, NOW + 1.5 / PUBLISH_RATE)

    def test_closed(self) -> None:
        """A session that closed is told nothing."""
        self.ask(1)
        self.ask(2)
        self.publisher.answer(Published("a", "b"))
        self.woken.clear()
        self.pending.close()
        self.publisher.answer(Published("a", "b"))
        self.assertEqual((self.taken(), self.woken, len(self.pending)), ([], [], 0))

    @given(st.lists(st.sampled_from(["ask", "answer", "take"]), max_size=80))
    def test_every_event_is_answered_once(self, steps: list[str]) -> None:
        """Whatever the order, each event taken gets one answer, in the bus's order, and never more than the limit."""
        self.setUp()
        asked: list[int] = []
        told: list[int] = []
        for n, step in enumerate(steps):
            if step == "ask":
                try:
                    self.ask(n, NOW + n)
                    asked.append(n)
                except ClientError as error:
                    self.assertEqual((error.code, len(self.pending)), ("limit", PENDING_LIMIT))
            elif step == "answer" and self.publisher.asked:
                self.publisher.answer(Published("a", "b"))
            elif step == "take":
                told += [frame[1] for frame in self.taken()]
            self.assertLessEqual(len(self.pending), PENDING_LIMIT)
        while self.publisher.asked:
            self.publisher.answer(Published("a", "b"))
        told += [frame[1] for frame in self.taken()]
        self.assertEqual((told, len(self.pending)), (asked, 0))


class Socket:
    """A socket's side that counts how often it is woken."""

    woken = 0

    def wake(self) -> None:
        """See `Reader`."""
        self.woken += 1

    def deliver(self, data: bytes) -> None:
        """See `Reader`."""
        raise AssertionError("nothing is delivered without a tick")


class SessionTests(SynchronousTestCase):
    """`pub` in a client's conversation."""

    def setUp(self) -> None:
        self.publisher, self.hub, self.socket = Slow(), Hub(Journal(entries_limit=100), Metrics()), Socket()
        self.session = self.open(self.publisher)

    def open(self, publisher: Slow | None) -> Session:
        return Session(1, self.hub, self.socket, NOW, publisher=publisher, grants=ANYTHING)

    def say(self, *frame: Any) -> list[Any]:
        return parsed(b"".join(self.session.receive(json.dumps(frame), NOW)))

    def pub(self, n: int = 7, **more: Any) -> list[Any]:
        return self.say("pub", n, {"topic": "chat.a", "data": {}, **more})

    def pull(self) -> list[Any]:
        return parsed(self.session.pull(1_000_000, NOW) or b"")

    def test_answer_comes_later(self) -> None:
        """`pub` goes on with the session's grants; its answer wakes the socket and is pulled before events."""
        self.hub.append(entry(1))
        self.say("sub", 1, {"id": "a", "topics": ["#"], "last": 1})
        self.assertEqual(self.pub(id="m-1"), [])
        [(publication, grants, _)] = self.publisher.asked
        self.assertEqual((publication.id, grants), ("m-1", ANYTHING))
        self.publisher.answer(Published("m-1", "/clients/jack"))
        self.assertEqual(self.socket.woken, 1)
        self.assertEqual(self.pull(), [["pubd", 7, {"id": "m-1", "source": "/clients/jack"}]])
        self.assertEqual([frame[0] for frame in self.pull()], ["ev"])
        self.assertEqual(self.hub.metrics.value(FRAMES), 2)

    def test_first_frame(self) -> None:
        """`welcome` comes before every answer, whether the bus answers at once or not; a hello may still follow."""
        self.assertEqual([frame[0] for frame in self.pub()], ["welcome"])
        self.publisher.at_once = Published("m-1", "/clients/jack")
        self.session = self.open(self.publisher)
        self.assertEqual([frame[0] for frame in self.pub()], ["welcome", "pubd"])
        self.assertEqual((self.session.phase, self.socket.woken), (Phase.GREETED, 0))
        self.assertEqual([frame[0] for frame in self.say("hello", {})], ["welcome"])

    def test_refused(self) -> None:
        """What is no publication, too much at once, or not served here at all, is an `err` with the frame's number."""
        self.pub()
        for frame in (
            ("pub", 8, {"topic": "chat"}),
            ("pub", 8, {"topic": "chat", "data": {}, "source": "/sources/x"}),
            ("pub", 8),
        ):
            [answer] = self.say(*frame)
            self.assertEqual((answer[0], answer[1], answer[2]["code"]), ("err", 8, "bad-request"))
        for n in range(PENDING_LIMIT - 1):
            self.assertEqual(self.pub(n), [])
        [answer] = self.pub(99)
        self.assertEqual((answer[:2], answer[2]["code"], answer[2]["retry"]), (["err", 99], "limit", True))
        self.session = self.open(None)
        self.assertEqual(self.pub()[1][2]["code"], "unsupported")

    def test_closed_meanwhile(self) -> None:
        """A session that closed gets nothing, and its socket is left alone."""
        self.pub()
        self.session.close()
        self.publisher.answer(Published("m-1", "/clients/jack"))
        self.assertEqual((self.socket.woken, self.session.pull(1_000, NOW)), (0, None))

    def test_told(self) -> None:
        """`welcome` tells the limits."""
        limits = self.pub()[0][1]["limits"]
        self.assertEqual((limits["publish_pending"], limits["publish_per_second"]), (PENDING_LIMIT, PUBLISH_RATE))
