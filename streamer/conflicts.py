# -*- test-case-name: tests.unit.test_settings -*-
"""What is right in each table of the configuration and wrong in all of them together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from streamer import endpoints
from streamer.registry import suggestion
from streamer.tables import SourceSettings
from streamer.toml_marks import Path as KeyPath


def shared_ports(tables: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """One process cannot listen twice in one place; what other processes do may be on other machines."""
    for name, table in tables.items():
        written = [(key, getattr(table, key)) for key in ("listen", "admin", "hooks") if hasattr(table, key)]
        for (one, first), (other, second) in combinations(written, 2):
            if endpoints.collide(first, second):
                yield (name, other), f"{name}.{other}: {second!r} is where {name}.{one} listens; give it another port"


def shared_lanes(sources: Mapping[str, SourceSettings]) -> Iterator[tuple[KeyPath, str]]:
    """Two connections to the same stream with the same credentials would take turns cutting each other off."""
    lanes: dict[str, str] = {}
    for name, table in sources.items():
        other = lanes.setdefault(table.source.lane, name)
        if other == name:
            continue
        path = getattr(table.own, "path", "") or name
        if table.kind.name == "webhook":
            yield ("sources", name), f"[sources.{name}] has the path {path!r}, as [sources.{other}]; give it another"
        else:
            yield (
                ("sources", name),
                f"[sources.{name}] follows the same stream with the same credentials as [sources.{other}]; "
                "the upstream allows one connection, so make one source of the two",
            )


def shared_files(sources: Mapping[str, SourceSettings]) -> Iterator[tuple[KeyPath, str]]:
    """What an operator puts to one source would be asked of the other too."""
    files: dict[str, str] = {}
    for name, table in sources.items():
        path = table.common.predicates_file
        if path is None or no_file(path) is not None:
            continue
        other = files.setdefault(os.path.realpath(path), name)
        if other != name:
            sentence = f"predicates_file {path!r} is that of [sources.{other}] too; give each a file of its own"
            yield ("sources", name, "predicates_file"), f"[sources.{name}] {sentence}"


def no_file(path: str) -> str | None:
    """Why a path cannot be that of a watched file, which need not be there yet; None where it can."""
    if not path or "\0" in path:
        return "predicates_file must name a file; leave it out to have none"
    if os.path.exists(path) and not os.path.isfile(path):
        return f"predicates_file {path!r} is no regular file"
    return None


def unknown_kinds(shed: tuple[str, ...], sources: Iterable[SourceSettings]) -> Iterator[tuple[KeyPath, str]]:
    """A misspelt kind would never be shed, and nobody would know."""
    known = set[str]()
    for source in sources:
        known |= source.kind.kinds
        if isinstance(own := getattr(source.own, "kind", None), str):
            known.add(own)
    for index, kind in enumerate(shed):
        if kind not in known:
            sentence = f"streamer.shed: no source makes items of kind {kind!r} ({suggestion(kind, known)})"
            yield ("streamer", "shed", index), sentence
