"""Tokens in a client's conversation: what they open, how they are renewed, and when they end."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout import protocol
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.protocol import Close
from streamer.fanout.session import Session
from streamer.metrics import TOKENS, Metrics
from streamer.net.jwks import Keys
from streamer.net.tokens import Tokens, fixed_keys
from streamer.secrets import Secret
from streamer.tables import RelayAuthSettings
from streamer.testing.relay_events import entry
from tests.unit.issuing import NOW, SECRET, ed_key, issue
from tests.unit.test_fanout_session import Deaf, parsed

SETTINGS = RelayAuthSettings(secret=Secret(SECRET), anonymous_read=("post.#",), leeway=10.0)
CHAT = {"read": ["chat.#"]}


class Cases(SynchronousTestCase):
    """One client of a relay that asks for tokens."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.hub = Hub(Journal(entries_limit=100), self.metrics)
        self.now = NOW
        self.offset = 0
        self.open()

    def open(self, table: RelayAuthSettings = SETTINGS, ask: Any = None, handshake: str = "") -> None:
        authority = Tokens(table, Keys(fixed_keys(table), ask), self.metrics)
        shown = {"grants": authority.check(handshake, self.now)} if handshake else {}
        self.session = Session(1, self.hub, Deaf(), self.now, authority=authority, **shown)

    def say(self, *frame: Any) -> list[Any]:
        return parsed(b"".join(self.session.receive(json.dumps(frame), self.now)))

    def sub(self, id_: str, *topics: str, **more: Any) -> list[Any]:
        return self.say("sub", 5, {"id": id_, "topics": topics, **more})[-1]

    def told(self) -> list[str]:
        """The topics of the events that are there to be pulled."""
        frames = parsed(self.session.pull(1_000_000, self.now) or b"")
        return [event["topic"] for frame in frames if frame[0] == "ev" for event in frame[2]]

    def publish(self, *topics: str) -> None:
        for topic in topics:
            self.offset += 1
            self.hub.append(entry(self.offset, topic))

    def ahead(self) -> str:
        """A position that the relay has not read yet, but another of the same log has."""
        other = Journal(entries_limit=100)
        for offset in range(1, self.offset + 3):
            other.append(entry(offset, "post.a"))
        self.publish("post.a")
        return other.position(other.head)

    def closes(self, code: int, function: Any, *arguments: Any) -> ClientError:
        error = self.assertRaises(ClientError, function, *arguments)
        self.assertEqual(error.close, code)
        return error

    def counts(self) -> tuple[float, ...]:
        """Tokens accepted, refused, refreshed and expired."""
        return tuple(self.metrics.value(TOKENS, name) for name in ("accepted", "refused", "refreshed", "expired"))


class ShownTests(Cases):
    """What a token opens."""

    def test_without(self) -> None:
        """Without a token one may read what everybody may, and the error names what one may not."""
        self.assertEqual(self.sub("a", "post.en.#")[0], "subd")
        name, n, facts = self.sub("b", "post.de.#", "chat.lobby")
        self.assertEqual((name, n, facts["code"], facts["retry"]), ("err", 5, "forbidden", False))
        self.assertIn("'chat.lobby'", facts["message"])
        self.publish("post.de.x", "chat.lobby", "post.en.x")
        self.assertEqual(self.told(), ["post.en.x"])

    def test_wider_than_granted(self) -> None:
        """A pattern that is wider than what is granted is refused, not narrowed."""
        self.assertEqual(self.sub("a", "#")[2]["code"], "forbidden")
        self.assertEqual(self.sub("a", "*.en.#")[2]["code"], "forbidden")

    def test_hello(self) -> None:
        """A token in `hello` opens what it grants, and `welcome` tells when it ends."""
        token = issue(exp=NOW + 60, streamer=CHAT)
        ((name, facts),) = self.say("hello", {"token": token})
        self.assertEqual((name, facts["expires"]), ("welcome", NOW + 70))
        self.assertEqual([self.sub("a", "chat.*")[0], self.sub("b", "post.#")[0]], ["subd", "subd"])
        self.assertEqual(self.counts(), (1, 0, 0, 0))

    def test_handshake(self) -> None:
        """A token that came with the handshake counts from the start, and until another is shown."""
        self.open(handshake=issue(streamer=CHAT))
        self.assertEqual(self.say("hello", {})[0][1]["expires"], NOW + 610)
        self.assertEqual(self.sub("a", "chat.*")[0], "subd")
        self.open(handshake=issue(streamer=CHAT))
        self.say("hello", {"token": issue(streamer={"read": ["shop.#"]})})
        self.assertEqual([self.sub("a", "chat.*")[0], self.sub("b", "shop.a")[0]], ["err", "subd"])

    def test_bad(self) -> None:
        """A bad token in `hello` ends the connection, though one could read without."""
        error = self.closes(Close.TOKEN, self.say, "hello", {"token": issue("x" * 32)})
        self.assertEqual((error.code, self.counts()), ("token", (0, 1, 0, 0)))

    def test_key_to_come(self) -> None:
        """A token whose key the relay does not know yet ends the connection for now: reconnect."""
        self.open(RelayAuthSettings(jwks="keys.json"), lambda: None)
        token = issue(ed_key(), "EdDSA", headers={"kid": "new"})
        self.closes(Close.STATE_LOST, self.say, "hello", {"token": token})

    def test_open(self) -> None:
        """A relay without keys ignores tokens, and grants what it grants everybody."""
        self.open(RelayAuthSettings(anonymous_read=("post.#",)))
        self.assertNotIn("expires", self.say("hello", {"token": "whatever"})[0][1])
        self.assertEqual(self.say("refresh", 1, "whatever"), [["refreshed", 1, {}]])
        self.assertEqual([self.sub("a", "post.x")[0], self.sub("b", "chat.x")[0]], ["subd", "err"])
        self.assertEqual(self.counts(), (0, 0, 0, 0))

    def test_default(self) -> None:
        """A session that is given no authority lets everybody read everything."""
        self.session = Session(1, self.hub, Deaf(), self.now)
        self.assertEqual(self.sub("a", "#")[0], "subd")


class EndTests(Cases):
    """When a token ends."""

    def test_expired(self) -> None:
        """When its token ends the connection is closed by the next beat, and not before."""
        self.say("hello", {"token": issue(exp=NOW + 60)})
        self.sub("a", "chat.#")
        self.assertEqual(parsed(b"".join(self.session.beat(NOW + 69.9)))[0][0], "pos")
        error = self.closes(Close.TOKEN, self.session.beat, NOW + 70)
        self.assertTrue(f"{error.code}: {error.message}".startswith("token: expired"))
        self.assertEqual(self.counts(), (1, 0, 0, 1))

    def test_between_beats(self) -> None:
        """Whatever is said after a token's end and before a beat is not heard."""
        self.say("hello", {"token": issue(exp=NOW + 60)})
        self.now += 70
        self.closes(Close.TOKEN, self.sub, "a", "chat.#")

    def test_taken_by_leeway(self) -> None:
        """A token that is taken though its time is over, for clocks differ, is good for what is left of the leeway."""
        self.say("hello", {"token": issue(exp=NOW - 5)})
        self.session.beat(NOW + 4)
        self.closes(Close.TOKEN, self.session.beat, NOW + 5)

    def test_refreshed(self) -> None:
        """A new token in time keeps the connection, its subscriptions and its place."""
        self.say("hello", {"token": issue(exp=NOW + 60)})
        self.sub("a", "chat.#")
        self.publish("chat.a")
        self.now += 60
        self.assertEqual(self.say("refresh", 1, issue(exp=NOW + 120)), [["refreshed", 1, {"expires": NOW + 130}]])
        self.session.beat(NOW + 129)
        self.publish("chat.b")
        self.assertEqual((self.told(), self.counts()), (["chat.a", "chat.b"], (2, 0, 1, 0)))
        self.closes(Close.TOKEN, self.session.beat, NOW + 130)

    def test_refresh_from_nothing(self) -> None:
        """Who came without a token may show one later."""
        self.assertEqual(self.sub("a", "chat.#")[0], "err")
        self.assertEqual([frame[0] for frame in self.say("refresh", 1, issue())], ["refreshed"])
        self.assertEqual(self.sub("a", "chat.#")[0], "subd")

    def test_bad_refresh(self) -> None:
        """A bad token in `refresh` is refused, and the one there was goes on until it ends."""
        self.say("hello", {"token": issue(exp=NOW + 60)})
        ((name, n, facts),) = self.say("refresh", 1, issue("x" * 32))
        self.assertEqual((name, n, facts["code"], facts["retry"]), ("err", 1, "token", False))
        self.assertEqual(self.sub("a", "chat.#")[0], "subd")
        self.closes(Close.TOKEN, self.session.beat, NOW + 70)

    def test_narrower(self) -> None:
        """Subscriptions that a new token does not grant end, each with a word; the others go on without a gap."""
        self.say("hello", {"token": issue(streamer={"read": ["chat.#", "shop.#"]})})
        self.sub("a", "chat.a", "shop.a")
        self.sub("b", "shop.b")
        self.sub("c", "post.c")
        frames = self.say("refresh", 9, issue(streamer={"read": ["shop.*"]}))
        self.assertEqual([frame[:2] for frame in frames], [["refreshed", 9], ["err", 9], ["unsubd", 9]])
        self.assertEqual((frames[1][2]["code"], frames[2][2]), ("forbidden", {"id": "a"}))
        self.publish("chat.a", "shop.a", "shop.b", "post.c")
        self.assertEqual(self.told(), ["shop.b", "post.c"])
        self.assertEqual(self.sub("a", "shop.a")[0], "subd")

    def test_narrower_while_waiting(self) -> None:
        """A subscription that waits for its position, and is not granted any more when that came, is refused."""
        for verb, expected in (("beat", [["err", 5]]), ("unsub", [["err", 5], ["err", 7]])):
            with self.subTest(verb=verb):
                self.setUp()
                self.say("hello", {"token": issue()})
                self.assertEqual(self.say("sub", 5, {"id": "a", "topics": ["chat.#"], "since": self.ahead()}), [])
                self.say("refresh", 6, issue(streamer={}))
                if verb == "beat":
                    frames = parsed(b"".join(self.session.beat(NOW + protocol.AHEAD_GRACE)))
                else:
                    frames = self.say("unsub", 7, "a")
                self.assertEqual([frame[:2] for frame in frames], expected)
                self.assertEqual(frames[0][2]["code"], "forbidden")
                self.assertFalse(self.session.feed.flow.subscriptions)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["sub", "unsub", "refresh", "publish", "tick"]), st.integers(0, 3)), max_size=25
        )
    )
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """However tokens, subscriptions and events alternate, nobody is given what his token did not grant then."""
        self.setUp()
        rooms = ["chat.0", "chat.1", "chat.2", "chat.3"]
        allowed: set[str] = set()
        for verb, number in steps:
            if verb == "refresh":
                self.told()
                allowed = set(rooms[:number])
                self.say("refresh", 1, issue(streamer={"read": rooms[:number]}))
            elif verb == "sub":
                self.sub(rooms[number], rooms[number], last=5)
            elif verb == "unsub":
                self.say("unsub", 1, rooms[number])
            elif verb == "publish":
                self.publish(rooms[number])
            self.now += 0.2  # no rate is exceeded
            self.assertLessEqual(set(self.told()), allowed)
