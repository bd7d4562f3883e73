# -*- test-case-name: tests.unit.test_services_topology_report -*-
"""The topology, and what became of it on a broker, as text: for terminals, for programs, for `docs/bus.md`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streamer.bus.definitions import bound, policies, standing
from streamer.bus.permissions import NOTHING, USERS
from streamer.bus.topology import MARKER, Exchange, Layout
from streamer.bus.verdict import Row
from streamer.bus.versions import DIFFERENCES, Version, in_force

Table = tuple[str, Sequence[str], list[list[str]]]  # title, heads, rows
COLUMNS = ("kind", "name", "state", "ready", "consumers", "declared")


def tables(layout: Layout, wanted: Collection[str] = ()) -> Iterator[Table]:
    """The whole topology; optional queues where they are wanted."""
    exchanges = (*layout.exchanges.values(), Exchange(name=MARKER, type="fanout"))
    yield "Exchanges", ("exchange", "type"), [[one.name, one.type] for one in exchanges]
    queues = [[queue.name, _pairs(queue.required())] for queue in standing(layout, wanted)]
    yield "Queues", ("queue", "arguments that no policy can carry"), queues
    bindings = [[one.exchange, one.pattern, one.queue] for one in bound(layout, wanted)]
    yield "Bindings", ("exchange", "topics", "queue"), bindings
    rows = [[one.name, one.pattern, one.applies, _pairs(one.definition)] for one in policies(layout)]
    yield "Policies", ("policy", "names", "applies to", "definition"), rows
    users = []
    for user in USERS:
        rights = [user.rights.configure, user.rights.write, user.rights.read]
        topics = "; ".join(f"{exchange}: {pattern}" for exchange, pattern in user.topics.items())
        shown = ["" if right == NOTHING else right for right in rights]
        users.append([user.name, user.who.replace("`", ""), *shown, topics, ", ".join(user.tags)])
    yield "Users", ("user", "for", "configure", "write", "read", "topics it may publish", "tags"), users


def versions() -> Table:
    """What RabbitMQ's versions do differently."""
    rows = [[one.span, one.what, one.ours] for one in DIFFERENCES]
    return "Versions", ("RabbitMQ", "does", "and so"), rows


def plain(found: Iterable[Table]) -> str:
    """For a terminal."""
    return "\n\n".join(f"{title.upper()}\n{columns([list(heads), *rows])}" for title, heads, rows in found)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def markdown(found: Iterable[Table], level: int = 3) -> str:
    """For a document; names and patterns as code, sentences as they are."""
    parts = []
    for title, heads, rows in found:
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += [
            "| " + " | ".join(_cell(head, text) for head, text in zip(heads, row, strict=True)) + " |" for row in rows
        ]
        parts.append(f"{'#' * level} {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _cell(head: str, text: str) -> str:
    words = head in ("for", "tags", "applies to", "type", "RabbitMQ", "does", "and so")
    safe = text.replace("|", "\\|")
    return safe if words or not text else f"`{safe}`"


def verdict(rows: Sequence[Row], server: str) -> str:
    """For a terminal: what was looked at, with a line below each that is not well; then what its version does."""
    cells = [list(COLUMNS), *([_shown(getattr(row, column)) for column in COLUMNS] for row in rows)]
    lines = columns(cells).split("\n")
    out = [lines[0]]
    for line, row in zip(lines[1:], rows, strict=True):
        out.append(line)
        said = (("DIFFERS", row.problem), ("ALARM", row.alarm), ("note", row.note))
        out += [f"    {word}: {sentence}" for word, sentence in said if sentence is not None]
    version = Version.parse(server)
    if version is not None:
        out += ["", f"What {server} does that other versions do not, and what we do:"]
        out += [f"  {one.what}: {one.ours}" for one in in_force(version)]
    return "\n".join(out)


def judged(rows: Sequence[Row], server: str, good: bool) -> Mapping[str, Any]:
    """The same for a program."""
    version = Version.parse(server)
    found = () if version is None else in_force(version)
    return {
        "server": server,
        "good": good,
        "rows": [msgspec.to_builtins(row) for row in rows],
        "differences": [{"what": one.what, "ours": one.ours} for one in found],
    }


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _pairs(arguments: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={_argument(value)}" for key, value in arguments.items())


def _argument(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
