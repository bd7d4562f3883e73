"""Reading what clients send."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout import protocol
from streamer.fanout.commands import Misread, read
from streamer.fanout.protocol import Close, Hello, Ping, Refresh, Sub, Unsub

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["hello", "sub", "unsub", "ping", "refresh", "nonsense"])


class ReadTests(SynchronousTestCase):
    """`read`."""

    def misread(self, text: str | bytes) -> Misread:
        return self.assertRaises(Misread, read, text)

    def test_commands(self) -> None:
        """Each frame of the prose is read."""
        self.assertEqual(read('["hello"]'), Hello())
        hello = read('["hello",{"resume":"v1.-.0","client":"web"}]')
        self.assertEqual(hello.greeting.resume, "v1.-.0")
        sub = read('["sub",7,{"id":"a","topics":["post.#"],"last":20,"policy":"strict"}]')
        assert isinstance(sub, Sub)
        self.assertEqual((sub.n, sub.wish.topics, sub.wish.last, sub.wish.since), (7, ("post.#",), 20, None))
        self.assertEqual(read('["unsub",8,"a"]'), Unsub(8, "a"))
        self.assertEqual(read(b'["ping",0]'), Ping(0))
        self.assertEqual(read('["refresh",1,"x.y.z"]'), Refresh(1, "x.y.z"))

    def test_no_frame(self) -> None:
        """What is no JSON array with a name ends the connection."""
        for text in ("", "{}", "[]", "[1]", '["ping",1', '"ping"', "null", b"\xff", "[" * 9000):
            with self.subTest(text=text[:10]):
                self.assertEqual(self.misread(text).close, Close.BAD_REQUEST)
        self.assertIn("too long", self.misread(" " * (protocol.FRAME_IN_LIMIT + 1)).message)

    def test_wrong_arguments(self) -> None:
        """A request that is not understood is answered with its number and a sentence that says where it is wrong."""
        for text, part in (
            ('["sub",3,{"id":"a"}]', "topics"),
            ('["sub",3,{"id":"a","topics":[]}]', "length >= 1"),
            ('["sub",3,{"id":"","topics":["#"]}]', "length >= 1"),
            ('["sub",3,{"id":"a","topics":["#"],"last":501}]', "<= 500"),
            ('["sub",3,{"id":"a","topics":["#"],"last":"5"}]', "int"),
            ('["sub",3,{"id":"a","topics":["#"],"policy":"x"}]', "policy is one of skip, strict, conflate"),
            ('["sub",3,{"id":"a","topics":["#"],"policy":7}]', "policy is one of skip, strict, conflate"),
            ('["sub",3,{"id":"a","topics":["#"],"filter":{}}]', "filter"),
            ('["nonsense",3]', "can send hello, sub"),
            ('["ping",3,4]', "at most length"),
        ):
            with self.subTest(text=text):
                error = self.misread(text)
                self.assertEqual((error.n, error.close, error.code), (3, None, "bad-request"))
                self.assertIn(part, error.message)
        self.assertIsNone(self.misread('["ping","x"]').n)

    @given(st.tuples(NAMES, JSON, JSON) | st.tuples(NAMES, JSON) | JSON)
    def test_any_json(self, frame: object) -> None:
        """Whatever JSON comes, it is a command or a Misread."""
        try:
            read(json.dumps(frame))
        except Misread as error:
            self.assertLess(len(error.message), 400)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, data: bytes) -> None:
        """As above, for bytes."""
        try:
            read(data)
        except Misread:
            pass


class PayloadTests(SynchronousTestCase):
    """What we send."""

    def test_spliced(self) -> None:
        """Events are spliced in as they are."""
        self.assertEqual(protocol.events_payload("v1.-.0", [b'{"a": 1}', b"{}"]), b'["ev","v1.-.0",[{"a": 1},{}]]')

    def test_limits_are_told(self) -> None:
        """What `welcome` tells is what `read` enforces."""
        self.assertEqual(protocol.limits()["frame_bytes"], protocol.FRAME_IN_LIMIT)
        read(json.dumps(["sub", 1, {"id": "i" * protocol.ID_LIMIT, "topics": ["#"] * protocol.limits()["topics"]}]))
