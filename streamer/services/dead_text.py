# -*- test-case-name: tests.unit.test_services_dead_text -*-
"""Dead letters for people and for programs: a line each, or one as a whole."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamer.bus.dead import Letter
from streamer.control_cli import printable
from streamer.message import rfc3339

DUMPED = 1024  # bytes of a body that is no text, of which a dump is shown
DUMP_ROW = 16  # bytes
MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds
COLUMNS = ("id", "topic", "kind", "reason", "died_in", "died", "age", "deaths", "bytes")


def row(letter: Letter, now: float) -> dict[str, Any]:
    """What a program wants to know of a letter, but for its body."""
    message, death = letter.message, letter.death
    return {
        "id": letter.id,
        "topic": message.topic,
        "kind": message.kind,
        "source": letter.source or None,
        "exchange": message.exchange,
        "reason": None if death is None else death.reason,
        "died_in": None if death is None else death.queue,
        "died": None if death is None else rfc3339(death.at * 1000),
        "deaths": letter.deaths,
        "handed_back": letter.returned,
        "age": max(0, round(now - letter.since)),
        "bytes": letter.size,
        "made": rfc3339(message.timestamp_ms) if 0 <= message.timestamp_ms < 2**47 else None,
    }


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows in columns for people, under a head; no line where there is no row."""
    if not rows:
        return []
    cells = [list(COLUMNS)]
    for found in rows:
        shown = {**found, "age": age(found["age"])}
        cells.append(["-" if shown[name] in (None, "") else printable(str(shown[name])) for name in COLUMNS])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def encoded(document: Mapping[str, Any]) -> str:
    """A row as a line of JSON; what is no Unicode in it (of somebody else's message) becomes a mark."""
    return msgspec.json.encode(_clean(document)).decode()


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(name): _clean(held) for name, held in value.items()}
    return value


def age(seconds: int) -> str:
    """`7s`, `12m`, `3h05m`, `2d04h`."""
    if seconds < MINUTE:
        return f"{seconds}s"
    if seconds < HOUR:
        return f"{seconds // MINUTE}m"
    if seconds < DAY:
        return f"{seconds // HOUR}h{seconds % HOUR // MINUTE:02d}m"
    return f"{seconds // DAY}d{seconds % DAY // HOUR:02d}h"


def whole(letter: Letter, now: float, verdict: str) -> dict[str, Any]:
    """All of a letter, for a program."""
    message = letter.message
    text = _text(message.body)
    return {
        **row(letter, now),
        "content_type": message.content_type,
        "headers": dict(message.headers),
        "now": verdict,
        **({"body_base64": base64.b64encode(message.body).decode()} if text is None else {"body": text}),
    }


def page(letter: Letter, now: float, verdict: str) -> list[str]:
    """All of a letter, for people."""
    message, death = letter.message, letter.death
    made = row(letter, now)["made"] or "at no time that can be told"
    if death is None:
        died = "never: no binding wanted it"
    else:
        times = f", {letter.deaths} times" if letter.deaths > 1 else ""
        ago = age(max(0, round(now - death.at)))
        died = f"{rfc3339(death.at * 1000)} ({ago} ago) in {death.queue}{times}: {death.reason}"
    facts = {
        "id": letter.id,
        "topic": message.topic,
        "kind": message.kind,
        "exchange": message.exchange,
        "source": letter.source,
        "made": made,
        "content type": message.content_type,
        **{f"header {name}": str(value) for name, value in message.headers.items()},
        "died": died,
        "handed back": f"{letter.returned} times",
        "now": verdict,
        "body": f"{letter.size} bytes",
    }
    width = max(map(len, facts))
    said = [f"{name.ljust(width)}  {printable(value) or '-'}" for name, value in facts.items()]
    return [*said, "", *body(message.body)]


def body(data: bytes) -> list[str]:
    """A body as lines: JSON with its structure shown, other text as it is, else the beginning as a dump."""
    text = _text(data)
    if text is None:
        shown = data[:DUMPED]
        rows = [_dumped(shown[at : at + DUMP_ROW], at) for at in range(0, len(shown), DUMP_ROW)]
        return rows if len(data) <= DUMPED else [*rows, f"… and {len(data) - DUMPED} more bytes; --json has them"]
    try:
        msgspec.json.decode(data)
        text = msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError):
        pass  # a body that died need not be what its content type says
    return [printable(line.expandtabs()) for line in text.splitlines()]


def _text(data: bytes) -> str | None:
    """The text that bytes are, if they are: such without control characters, but for those of lines and columns."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if any(character < " " and character not in "\t\r\n" for character in text) else text


def _dumped(part: bytes, at: int) -> str:
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
    return f"{at:08x}  {part.hex(' ').ljust(3 * DUMP_ROW - 1)}  {shown}"
