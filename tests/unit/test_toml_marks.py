"""Every key of a TOML document has its place."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.toml_marks import marks

REFERENCE = Path(__file__).resolve().parents[2] / "conf" / "streamer.toml"


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of keys and indices in a parsed document."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in rows:
        yield (*path, key)
        yield from paths(inner, (*path, key))


class MarksTests(SynchronousTestCase):
    """Places that were counted by hand."""

    def test_plain(self) -> None:
        """Tables, keys, arrays and comments."""
        found = marks('# c = 1\n[a.b]\n  key = [1, "]", # ]\n    3]\nother = "#"\n')
        self.assertEqual((2, 2), found["a",])
        self.assertEqual((2, 4), found["a", "b"])
        self.assertEqual((3, 3), found["a", "b", "key"])
        self.assertEqual((3, 13), found["a", "b", "key", 1])
        self.assertEqual((4, 5), found["a", "b", "key", 2])
        self.assertEqual((5, 1), found["a", "b", "other"])

    def test_inline_tables_and_dotted_keys(self) -> None:
        """Keys inside braces and after dots."""
        found = marks("rules = [{ value = \"a\", tag.x = 1 }, { value = 'b' }]\n")
        self.assertEqual((1, 12), found["rules", 0, "value"])
        self.assertEqual((1, 25), found["rules", 0, "tag"])
        self.assertEqual((1, 29), found["rules", 0, "tag", "x"])
        self.assertEqual((1, 40), found["rules", 1, "value"])

    def test_arrays_of_tables(self) -> None:
        """Each [[table]] is an element, and tables below it belong to the last one."""
        text = "[[a]]\nx = 1\n[a.sub]\ny = 2\n[[a]]\nx = 3\n[[a.b]]\nz = 1\n"
        found = marks(text)
        self.assertEqual(set(found), set(paths(tomllib.loads(text))))
        self.assertEqual((4, 1), found["a", 0, "sub", "y"])
        self.assertEqual((8, 1), found["a", 1, "b", 0, "z"])

    def test_multi_line_strings(self) -> None:
        """Quotes and hashes inside strings mean nothing."""
        text = 'a = """x\n"" # [no]\n""""\nb = \'\'\'\n[c]\n\'\'\'\r\n"quoted key".x = 1\n'
        found = marks(text)
        self.assertEqual((4, 1), found["b",])
        self.assertEqual((7, 1), found["quoted key",])

    def test_reference_file(self) -> None:
        """All keys of the shipped reference are found."""
        text = REFERENCE.read_text(encoding="utf-8")
        self.assertEqual(set(marks(text)), set(paths(tomllib.loads(text))))

    @given(
        st.recursive(
            st.one_of(st.integers(-9, 9), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=6)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3), st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
            ),
            max_leaves=8,
        )
    )
    def test_generated(self, value: Any) -> None:
        """Whatever tomllib finds in a document of one value has a place."""
        text = f"value = {_written(value)} # end\nlast = 1\n"
        self.assertEqual(set(marks(text)), set(paths(tomllib.loads(text))))


def _written(value: Any) -> str:
    """A value as TOML; strings with every character escaped that might need it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)} = {_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n ".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08X}" if char in '"\\' or ord(char) < 32 or ord(char) == 127 else char
                             for char in value) + '"'  # fmt: skip
    return str(value)
