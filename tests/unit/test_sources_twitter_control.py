"""What the messages of a v1.1 stream mean, whatever they are."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.interfaces import Outcome
from streamer.message import Item
from streamer.policy import backoff
from streamer.sources.twitter_control import DISCONNECTS, ERRORS, outcomes
from streamer.sources.twitter_payload import decode
from streamer.upstream import Ending, Undelivered, Warned

NOW = 1_700_000_000_000
POST = {"id": 20, "id_str": "20", "text": "just setting up", "user": {"id": 12, "screen_name": "jack"}}

WORDS = """id id_str text delete status scrub_geo user_id up_to_status_id limit track timestamp_ms status_withheld
user_withheld disconnect code reason warning message percent_full event friends for_user errors error entities urls
indices user extended_tweet full_text retweeted_status coordinates place bounding_box"""
KEYS = st.sampled_from(re.findall("[a-z_]+", WORDS))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["1", "20"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def of(message: Any) -> list[Outcome]:
    """What a message means."""
    return list(outcomes("tw", message if isinstance(message, bytes) else json.dumps(message).encode(), NOW))


def item(message: Any) -> Item:
    """The item that a message becomes."""
    first = of(message)[0]
    assert isinstance(first, Item)
    return first


def ending(message: Any) -> Ending:
    """The end that a message brings."""
    last = of(message)[-1]
    assert isinstance(last, Ending)
    return last


class ItemTests(SynchronousTestCase):
    """Messages about posts and users."""

    def test_post(self) -> None:
        """The body is the upstream's bytes; the id is the string, else the number."""
        frame = b'{"text":"x",  "id_str":"20","id":20}'
        self.assertEqual([Item(source="tw", kind="post", id="20", received=NOW, body=frame)], of(frame))
        for ids in ({"id": 20}, {"id_str": "20"}, {"id": 20, "id_str": None}, {"id_str": "x", "id": 20}):
            self.assertEqual("20", item({"text": "x", **ids}).id)
        self.assertEqual("post", item({"id": 20, "extended_tweet": {"full_text": "x"}}).kind)

    def test_error_beside_a_post(self) -> None:
        """What else stands in a post does not make it something else."""
        self.assertEqual("post", item({**POST, "errors": [{"code": 1}], "limit": None}).kind)

    def test_lone_surrogate(self) -> None:
        """A post whose text is no Unicode is still a post, byte for byte."""
        frame = rb'{"id":7,"text":"\ud800 x"}'
        self.assertEqual(("7", frame), (item(frame).id, item(frame).body))

    def test_delete(self) -> None:
        """Named by the post it deletes, in whichever form."""
        for status in ({"id": 1234, "id_str": "1234", "user_id": 3}, {"id": 1234}, {"id_str": "1234"}):
            found = item({"delete": {"status": status, "timestamp_ms": "1447730313816"}})
            self.assertEqual(("delete", "delete:1234"), (found.kind, found.id))

    def test_author(self) -> None:
        """Posts, their deletions and scrubs carry their author's id, so that their order can be kept."""
        rows: tuple[tuple[Any, str | None], ...] = (
            (POST, "12"),
            ({**POST, "user": {"id_str": "13", "id": 12}}, "13"),
            ({**POST, "user": {"id": "x y"}}, None),
            ({**POST, "user": [1]}, None),
            ({"id": 20, "text": "nobody's"}, None),
            ({"delete": {"status": {"id": 20, "user_id": 12}}}, "12"),
            ({"delete": {"status": {"id": 20, "user_id": {}}}}, None),
            ({"scrub_geo": {"user_id": 12, "up_to_status_id": 20}}, "12"),
        )
        for message, author in rows:
            with self.subTest(message=message):
                self.assertEqual(item(message).partition, author)

    def test_scrub(self) -> None:
        """Named by the user and the newest post."""
        said = {"user_id": 14090452, "user_id_str": "14090452", "up_to_status_id": 23260136625}
        self.assertEqual(
            ("scrub", "scrub:14090452-23260136625"), (item({"scrub_geo": said}).kind, item({"scrub_geo": said}).id)
        )

    def test_withheld(self) -> None:
        """Named by the post or user; withheld in more countries later it is another item, repeated it is the same."""
        status = {"status_withheld": {"id": 1234, "user_id": 5, "withheld_in_countries": ["DE"]}}
        more = {"status_withheld": {"id": 1234, "user_id": 5, "withheld_in_countries": ["DE", "AR"]}}
        user = {"user_withheld": {"id": 1234, "withheld_in_countries": ["DE"]}}
        self.assertEqual({"withheld"}, {item(one).kind for one in (status, more, user)})
        self.assertEqual(3, len({item(one).id for one in (status, more, user)}))
        self.assertEqual(item(status).id, item(status).id)
        self.assertTrue(item(status).id.startswith("withheld:1234@"))
        self.assertTrue(item(user).id.startswith("withheld:user:1234@"))

    def test_user_events(self) -> None:
        """Events and the preamble of user streams are items; a name that is none does not get into an id."""
        follow = {"event": "follow", "created_at": "x", "source": {"id": 1}, "target": {"id": 2}}
        self.assertEqual("event", item(follow).kind)
        self.assertTrue(item(follow).id.startswith("event:follow:"))
        self.assertTrue(item({"event": "a b\n#"}).id.startswith("event:other:"))
        self.assertNotEqual(item(follow).id, item({**follow, "target": {"id": 3}}).id)
        for friends in ({"friends": [1, 2]}, {"friends_str": ["1", "2"]}):
            self.assertEqual("friends", item(friends).kind)

    def test_envelopes(self) -> None:
        """Messages of site streams come out of their envelope, with their own bytes; an envelope in one does not."""
        for message in (POST, {"delete": {"status": {"id": 1}}}, {"friends": []}):
            found = item({"for_user": "12", "message": message})
            self.assertEqual(json.dumps(message).encode(), found.body)
            self.assertEqual(item(message).id, found.id)
        self.assertRaises(DecodeError, of, {"for_user": "1", "message": {"for_user": "2", "message": POST}})


class NumberTests(SynchronousTestCase):
    """Messages about how well we keep up."""

    def test_limit(self) -> None:
        """An item and a count; the id holds when, as the server says it, else as we saw it."""
        found, undelivered = of({"limit": {"track": 1234, "timestamp_ms": "1447730313816"}})
        assert isinstance(found, Item)
        self.assertEqual(("limit", "limit:1234@1447730313816"), (found.kind, found.id))
        self.assertEqual(Undelivered(1234), undelivered)
        self.assertEqual(f"limit:0@{NOW}", item({"limit": {"track": 0}}).id)

    def test_bad_limit(self) -> None:
        """A count that is none is not believed."""
        for track in (-1, None, "x", 1.5, 2**60, [], True):
            self.assertRaises(DecodeError, of, {"limit": {"track": track}})

    def test_warning(self) -> None:
        """An item, and what it says with how full the queue is."""
        said = {"code": "FALLING_BEHIND", "message": "Your queue is now over 60% full.", "percent_full": 60}
        found, warned = of({"warning": said})
        assert isinstance(found, Item)
        self.assertEqual(("warning", f"warning:FALLING_BEHIND@{NOW}"), (found.kind, found.id))
        self.assertEqual(Warned(detail="FALLING_BEHIND: Your queue is now over 60% full.", percent=60.0), warned)

    def test_other_warnings(self) -> None:
        """Without a number, or with one that is none, there is no percentage."""
        for percent in (None, "60", True, -1, 101, 10**400, []):
            warned = of({"warning": {"code": "FOLLOWS_OVER_LIMIT", "message": "x", "percent_full": percent}})[1]
            assert isinstance(warned, Warned)
            self.assertIsNone(warned.percent)
        self.assertEqual(Warned(detail="other: no reason given"), of({"warning": {}})[1])


class EndingTests(SynchronousTestCase):
    """Messages that end the connection."""

    def test_disconnects(self) -> None:
        """Each of the twelve codes is an item, and an end with its own cause and meaning."""
        self.assertEqual(set(range(1, 13)), set(DISCONNECTS))
        wanted = {
            backoff.CONNECTION_LIMIT: {2, 7},
            backoff.SLOW: {4},
            backoff.AUTHORISATION: {6},
            backoff.DISCONNECT: {1, 5},
            backoff.HTTP: {3, 8, 9, 10, 11, 12},
        }
        for cause, codes in wanted.items():
            for code in codes:
                message = {"disconnect": {"code": code, "stream_name": "a-b", "reason": "admin logout"}}
                self.assertEqual((cause, 2), (ending(message).cause, len(of(message))))
                self.assertIn(f"code {code}: {DISCONNECTS[code][1]} (admin logout)", ending(message).detail)
                self.assertEqual(f"disconnect:{code}@{NOW}", item(message).id)

    def test_unknown_disconnect(self) -> None:
        """A code we do not know ends the connection all the same."""
        for code in (99, None, "4x", -1):
            self.assertEqual(backoff.HTTP, ending({"disconnect": {"code": code}}).cause)
        self.assertEqual(backoff.SLOW, ending({"disconnect": {"code": "4"}}).cause)

    def test_operational_errors(self) -> None:
        """Errors in the place of a message, by their code, in both forms."""
        for code, cause in ERRORS.items():
            self.assertEqual(cause, ending({"errors": [{"code": code, "message": "why"}]}).cause)
        said = ending({"errors": [{"code": 130, "message": "Over capacity"}]})
        self.assertEqual((backoff.HTTP, "Over capacity (code 130)"), (said.cause, said.detail))
        self.assertEqual("Server overloaded", ending({"error": "Server overloaded"}).detail)
        newer = {"errors": [{"title": "operational-disconnect", "disconnect_type": "SlowReader"}]}
        self.assertEqual(backoff.SLOW, ending(newer).cause)

    def test_no_errors(self) -> None:
        """An empty list of errors, and errors that are none, end nothing."""
        for errors in ([], [1], {}, "x"):
            self.assertRaises(DecodeError, of, {"errors": errors})


class RubbishTests(SynchronousTestCase):
    """What is not understood is said to be so."""

    def test_unknown(self) -> None:
        """Not JSON, not an object, objects of no known kind, ids that are none."""
        deep = b'{"id":5,"text":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
        rubbish: list[Any] = [b"", b"<html>", b"[]", b"{}", b"\xff", b"Exceeded connection limit for user", deep]
        rubbish += [{"id": 5}, {"id": "x", "text": "x"}, {"id": [], "text": "x"}, {"id": 10**30, "text": "x"}]
        rubbish += [{"delete": None}, {"delete": {}}, {"delete": {"status": {}}}, {"scrub_geo": {"user_id": 1}}]
        rubbish += [{"status_withheld": {}}, {"direct_message": {}}, {"message": POST}, {"for_user": 1, "message": 2}]
        for frame in rubbish:
            self.assertRaises(DecodeError, of, frame)

    @given(st.dictionaries(KEYS, VALUES, max_size=5))
    def test_any_object(self, message: dict[str, Any]) -> None:
        """Any object has a meaning or none; what it says decodes or is refused; nothing else is ever raised."""
        try:
            found = of(message)
        except DecodeError:
            return
        self.assertTrue(found)
        for outcome in found:
            if isinstance(outcome, Item):
                self.assertRegex(outcome.id, r"\A[A-Za-z0-9_:@-]{1,120}\Z")
                try:
                    decode(outcome)
                except DecodeError:
                    pass

    @given(st.binary(max_size=60))
    def test_any_bytes(self, frame: bytes) -> None:
        """Any bytes."""
        try:
            of(frame)
        except DecodeError:
            pass
