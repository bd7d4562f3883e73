"""JSON pointers, with the examples of RFC 6901."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.pointer import NOWHERE, Pointer

# https://www.rfc-editor.org/rfc/rfc6901#section-5
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "null": None,
}
FOUND = {
    "": DOCUMENT,
    "/foo": ["bar", "baz"],
    "/foo/0": "bar",
    "/": 0,
    "/a~1b": 1,
    "/c%d": 2,
    "/e^f": 3,
    "/g|h": 4,
    "/i\\j": 5,
    '/k"l': 6,
    "/ ": 7,
    "/m~0n": 8,
    "/null": None,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


class PointerTests(SynchronousTestCase):
    """One pointer in one document."""

    def test_found(self) -> None:
        """The examples of the RFC, and null, which is something."""
        for written, value in FOUND.items():
            self.assertEqual(value, Pointer.parse(written).find(DOCUMENT), written)

    def test_nowhere(self) -> None:
        """Names, indices and steps that are not there, and the place after the last of an array."""
        for written in ("/bar", "/foo/2", "/foo/-", "/foo/-1", "/foo/00", "/foo/01", "/foo/x", "/foo/0/0", "/foo/1e0"):
            self.assertIs(NOWHERE, Pointer.parse(written).find(DOCUMENT), written)
        self.assertIs(NOWHERE, Pointer.parse("/foo/\u0661").find(DOCUMENT))  # a digit, but not one of JSON's

    def test_wrong(self) -> None:
        """What is no pointer is refused with a word on how to write it."""
        for written in ("foo", "#/foo", " /foo", "/~", "/a~2", "/" * 40):
            self.assertRaises(ValueError, Pointer.parse, written)

    @given(JSON, st.text(alphabet="/~01-ab\u0661", max_size=12))
    def test_any(self, document: Any, written: str) -> None:
        """No document and no pointer lead to anything but a value, nowhere, or a refusal of the pointer."""
        try:
            pointer = Pointer.parse(written)
        except ValueError:
            return
        pointer.find(document)

    @given(JSON)
    def test_every_place_can_be_named(self, document: Any) -> None:
        """The pointer made of the steps to a value finds it."""

        def walk(value: Any, path: str) -> None:
            assert Pointer.parse(path).find(document) is value
            rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            for key, inner in rows:
                walk(inner, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")

        walk(document, "")
