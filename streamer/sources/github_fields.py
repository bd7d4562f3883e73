# -*- test-case-name: tests.unit.test_sources_github -*-
"""Fields of JSON whose shape is not certain: they are there and of the right type, or they are not there."""

from __future__ import annotations

from typing import Any

LINE_LIMIT = 300  # characters
LINK_LIMIT = 2_000  # characters


def at(value: Any, *path: str | int) -> Any:
    """What is at a path of names and places; None where it leads nowhere."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def text_at(value: Any, *path: str | int) -> str | None:
    """A text that is not empty."""
    found = at(value, *path)
    return found if isinstance(found, str) and found else None


def number_at(value: Any, *path: str | int) -> int | None:
    """A whole number above zero."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def rows_at(value: Any, *path: str | int) -> list[Any]:
    """A list; an empty one where there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def link_at(value: Any, *path: str | int) -> str | None:
    """An address for people to follow."""
    found = text_at(value, *path)
    fits = found and len(found) <= LINK_LIMIT and found.startswith(("https://", "http://")) and found.isprintable()
    return found if fits else None


def one_line(text: str | None) -> str | None:
    """A short text on one line."""
    return " ".join(text[: 2 * LINE_LIMIT].split())[:LINE_LIMIT] or None if text else None
