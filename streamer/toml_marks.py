# -*- test-case-name: tests.unit.test_toml_marks -*-
"""Where each key of a TOML document stands.

`tomllib` gives values without places, and an error without a place costs the operator an afternoon. This scanner
runs after `tomllib` has accepted the document, so it need not judge the syntax: it only walks over strings,
comments, tables and values (https://toml.io/en/v1.0.0) and notes line and column of each key and array element.
"""

from __future__ import annotations

import re
import tomllib

import attrs

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, both from 1

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # the closing quotes may be preceded by up to two more
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def marks(text: str) -> dict[Path, Place]:
    """The place of every key and array element of a valid TOML document.

    Args:
        text: a document that `tomllib.loads` accepts.

    Returns:
        Path of keys and indices → (line, column) of the key or element, both from 1. A table that is opened
        several times keeps its first place.
    """
    return _Scanner(text.replace("\r\n", "\n")).run()


@attrs.define
class _Scanner:
    text: str
    at: int = 0
    found: dict[Path, Place] = attrs.field(factory=dict)
    _tables: dict[Path, int] = attrs.field(factory=dict)  # [[arrays of tables]] and how many each has

    def run(self) -> dict[Path, Place]:
        table: Path = ()
        while self._blank() < len(self.text):
            table = self._header() if self.text[self.at] == "[" else self._pair(table)
        return self.found

    def _header(self) -> Path:
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        path: Path = ()
        places: list[tuple[Path, Place]] = []
        for key, place in self._key():
            if path in self._tables:
                path = (*path, self._tables[path])  # below an array of tables: its last element
            path = (*path, key)
            places.append((path, place))
        if array:
            self._tables[path] = self._tables.get(path, -1) + 1
            path = (*path, self._tables[path])
            places.append((path, places[-1][1]))
        for known, place in places:
            self.found.setdefault(known, place)
        self.at = self.text.index("]", self.at) + (2 if array else 1)
        return path

    def _pair(self, table: Path) -> Path:
        path = table
        for key, place in self._key():
            path = (*path, key)
            self.found.setdefault(path, place)
        self.at += 1  # the equals sign
        self._value(path)
        return table

    def _key(self) -> list[tuple[str, Place]]:
        parts: list[tuple[str, Place]] = []
        while True:
            self._blank()
            place = self._place()
            written = self._take(_STRING, _BARE)
            parts.append((tomllib.loads(f"k={written}")["k"] if written[0] in "\"'" else written, place))
            self._blank()
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        self._blank()
        first = self.text[self.at]
        if first == "[":
            self._sequence(path, "]")
        elif first == "{":
            self._sequence(path, "}")
        else:
            self._take(_STRING, _SCALAR)

    def _sequence(self, path: Path, closing: str) -> None:
        self.at += 1
        index = 0
        while self._peek() != closing:
            if closing == "}":
                self._pair(path)
            else:
                self.found[(*path, index)] = self._place()
                self._value((*path, index))
                index += 1
            if self._peek() == ",":
                self.at += 1
        self.at += 1

    def _take(self, *patterns: re.Pattern[str]) -> str:
        for pattern in patterns:
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return match[0]
        raise ValueError("marks() was given a document that is not TOML")

    def _peek(self) -> str:
        return self.text[self._blank()]

    def _blank(self) -> int:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _place(self) -> Place:
        return self.text.count("\n", 0, self.at) + 1, self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
