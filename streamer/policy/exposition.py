# -*- test-case-name: tests.unit.test_policy_exposition -*-
"""Reads what `/metrics` of our own services says: the Prometheus text format 0.0.4, without timestamps, strictly.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs

from streamer.errors import DecodeError

SAMPLES_LIMIT = 100_000  # of one page; ours have some hundreds
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_PAIR = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_PAIR},)*(?:{_PAIR})?)\}})? (\S+)")
_PAIRS = re.compile(_PAIR)
_ESCAPE = re.compile(r'\\([\\"n])')

Labels = tuple[tuple[str, str], ...]  # names and values, as written


@attrs.frozen
class Samples:
    """The numbers of one page, by name and labels."""

    numbers: Mapping[tuple[str, Labels], float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a name's numbers over all labels but those given; 0 where there are none."""
        return sum(number for _, number in self._chosen(name, labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The numbers of a name by the value of one label, summed over the others but those given."""
        found: dict[str, float] = {}
        for known, number in self._chosen(name, labels):
            value = known.get(label, "")
            found[value] = found.get(value, 0.0) + number
        return found

    def has(self, name: str) -> bool:
        """Whether anything has been counted under a name."""
        return any(True for _ in self._chosen(name, {}))

    def only(self, label: str, value: str) -> Samples:
        """The numbers that bear a label with that value."""
        return Samples({key: number for key, number in self.numbers.items() if (label, value) in key[1]})

    def _chosen(self, name: str, labels: Mapping[str, str]) -> Iterator[tuple[dict[str, str], float]]:
        for (known, pairs), number in self.numbers.items():
            if known == name:
                mine = dict(pairs)
                if all(mine.get(label) == value for label, value in labels.items()):
                    yield mine, number


def parse(text: str) -> Samples:
    """Read a page.

    Raises:
        DecodeError: a line is none of that format, or comes twice, or there are too many. Say that the address is
            none of an admin endpoint's.
    """
    numbers: dict[tuple[str, Labels], float] = {}
    for place, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        key, number = _sample(line, place)
        if key in numbers:
            raise DecodeError(f"line {place} repeats {key[0]} with the same labels")
        numbers[key] = number
        if len(numbers) > SAMPLES_LIMIT:
            raise DecodeError(f"more than {SAMPLES_LIMIT} numbers")
    return Samples(numbers)


def _sample(line: str, place: int) -> tuple[tuple[str, Labels], float]:
    match = _SAMPLE.fullmatch(line)
    try:
        if match is None:
            raise ValueError
        number = float(match[match.re.groups])
    except ValueError:
        raise DecodeError(f"line {place} is no sample of a metric: {line[:80]!r}") from None
    pairs = tuple((name, _unescaped(value)) for name, value in _PAIRS.findall(match[2] or ""))
    return (match[1], pairs), number


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], value)
