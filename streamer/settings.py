# -*- test-case-name: tests.unit.test_settings -*-
"""TOML → frozen settings. Every service reads its own tables; `conf/streamer.toml` is the commented reference.

Strict: an unknown key is an error with a suggestion, and every error carries file:line:column. All problems are
reported at once, for nobody likes to mend a file one error at a time.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import attrs
import msgspec

from streamer import conflicts, endpoints
from streamer.errors import ConfigurationError, UnknownPlugin
from streamer.interfaces import IEventKind, IHydrator, ISource, ISourceType
from streamer.registry import find, suggestion
from streamer.secrets import Secret, resolve
from streamer.tables import (
    BusSettings,
    CommonSettings,
    EnrichSettings,
    RelaySettings,
    Settings,
    SourceSettings,
    StateSettings,
    StreamerSettings,
    place,
)
from streamer.toml_marks import Path as KeyPath
from streamer.toml_marks import Place, marks

TABLES: dict[str, type[msgspec.Struct]] = {
    "bus": BusSettings,
    "state": StateSettings,
    "streamer": StreamerSettings,
    "enrich": EnrichSettings,
    "relay": RelaySettings,
}
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header `Authorization: Bearer …` can carry
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_AT = re.compile(r" - at `\$((?:\.[^`.\[]+|\[[^\]`]*\])*)`$")


def load(path: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration file.

    Args:
        environ: where `$NAME` secrets are looked up; the process's own by default.

    Raises:
        ConfigurationError: the file is missing, is no TOML, or says something we do not understand. Print it and
            exit with `errors.EXIT_CONFIGURATION`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is not UTF-8: {error}"]) from error
    return loads(text, path, environ)


def loads(text: str, origin: str = "<string>", environ: Mapping[str, str] | None = None) -> Settings:
    """As `load`, from a string; `origin` stands for the path in messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_syntax_problem(origin, text, error)]) from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise ConfigurationError([f"{origin}:1:1: {error}"]) from error
    except RecursionError as error:
        raise ConfigurationError([f"{origin}:1:1: is nested too deeply"]) from error
    reading = _Reading(origin, marks(text), os.environ if environ is None else environ)
    settings = reading.settings(document)
    if reading.problems:
        raise ConfigurationError([problem for _, problem in sorted(reading.problems)])
    return settings


@attrs.define
class _Reading:
    """One pass over a document, collecting problems with their places."""

    origin: str
    places: dict[KeyPath, Place]
    environ: Mapping[str, str]
    problems: list[tuple[tuple[int, int], str]] = attrs.field(factory=list)

    def settings(self, document: dict[str, Any]) -> Settings:
        self._unknown(document, {*TABLES, "sources"}, ())
        tables: dict[str, Any] = {}
        for name, table in TABLES.items():
            made = self.table(document.get(name, {}), table, (name,))
            if made is not None:
                tables[name] = made
        enrich = tables.get("enrich", EnrichSettings())
        for name in ("streamer", "enrich", "relay"):
            for key in ("listen", "admin", "hooks"):
                self._endpoint(getattr(tables.get(name), key, None), (name, key))
        for path, sentence in conflicts.shared_ports(tables):
            self.problem(path, sentence)
        self._plugins(enrich.hydrators, IHydrator, ("enrich", "hydrators"))
        self._plugins(enrich.events, IEventKind, ("enrich", "events"))
        sources = self._sources(document.get("sources", {}))
        streamer = tables.get("streamer", StreamerSettings())
        if streamer.token is not None and not _TOKEN.fullmatch(streamer.token.reveal()):
            sentence = "must be printable ASCII without spaces, and not empty, or nobody could send it"
            self.problem(("streamer", "token"), f"[streamer] token {sentence}")
        shared = (*conflicts.shared_lanes(sources), *conflicts.shared_files(sources))
        for path, sentence in (*shared, *conflicts.unknown_kinds(streamer.shed, sources.values())):
            self.problem(path, sentence)
        return Settings(self.origin, **tables, sources=sources, places=self.places)

    def table(self, value: Any, struct: type[msgspec.Struct], path: KeyPath) -> Any:
        """One table as its struct; None where it has problems."""
        before = len(self.problems)
        if not isinstance(value, dict):
            self.problem(path, f"{_dotted(path)} must be a table")
            return None
        self._unknown_in(value, struct, path)
        if len(self.problems) > before:
            return None
        try:
            return msgspec.convert(value, struct, strict=True, dec_hook=self._secret)
        except msgspec.ValidationError as error:
            text = str(error)
            at = _AT.search(text)
            inner = _path(at[1]) if at else ()
            sentence = text[: at.start()] if at else text
            self.problem((*path, *inner), f"{_dotted((*path, *inner))}: {sentence}")
            return None

    def problem(self, path: KeyPath, sentence: str) -> None:
        line, column = place(self.places, path)
        self.problems.append(((line, column), f"{self.origin}:{line}:{column}: {sentence}"))

    def _sources(self, table: Any) -> dict[str, SourceSettings]:
        found: dict[str, SourceSettings] = {}
        if not isinstance(table, dict):
            self.problem(("sources",), "sources must be a table of tables, as [sources.birds]")
            return found
        for name, own in table.items():
            path: KeyPath = ("sources", name)
            if not _SOURCE_NAME.fullmatch(name):
                self.problem(path, f"a source's name is made of a-z, 0-9, _ and -, at most 63; {name!r} is not")
            elif not isinstance(own, dict) or not isinstance(own.get("type"), str):
                self.problem(path, f"[sources.{name}] needs a key 'type', the name of a source type")
            else:
                source = self._source(name, dict(own), path)
                if source is not None:
                    found[name] = source
        return found

    def _source(self, name: str, own: dict[str, Any], path: KeyPath) -> SourceSettings | None:
        try:
            kind = find(ISourceType, own.pop("type"))
        except UnknownPlugin as error:
            self.problem((*path, "type"), str(error))
            return None
        shared = {key: own.pop(key) for key in CommonSettings.__struct_fields__ if key in own}
        common = self.table(shared, CommonSettings, path)
        settings = self.table(own, kind.settings, path)
        if settings is None or common is None:
            return None
        try:
            source = ISource(kind.build(name, settings))
            if common.predicates_file is None and source.predicates is not None:
                source = source.with_predicates(source.predicates)  # nothing else will say what is wanted
        except ValueError as error:
            self.problem(path, f"[sources.{name}] {error}")
            return None
        if common.predicates_file is not None:
            wrong = conflicts.no_file(common.predicates_file)
            if kind.predicates is None:
                wrong = "a source of this type takes no predicates"
            if wrong is not None:
                self.problem((*path, "predicates_file"), f"[sources.{name}] {wrong}")
        return SourceSettings(common, kind, settings, source)

    def _endpoint(self, written: str | None, path: KeyPath) -> None:
        if written is None:
            return
        wrong = endpoints.problem(written)
        if wrong is not None:
            self.problem(path, f"{_dotted(path)}: {wrong}")

    def _plugins(self, names: tuple[str, ...], interface: Any, path: KeyPath) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                self.problem((*path, index), f"{_dotted(path)}: {name!r} stands there twice")
            try:
                find(interface, name)
            except UnknownPlugin as error:
                self.problem((*path, index), str(error))

    def _unknown_in(self, value: Any, struct: type[msgspec.Struct], path: KeyPath) -> None:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
        self._unknown(value, fields, path)
        for key, kind in fields.items():
            for index, inner in _nested(value.get(key), kind):
                self._unknown_in(inner[0], inner[1], (*path, key, *index))

    def _unknown(self, value: Mapping[str, Any], known: Any, path: KeyPath) -> None:
        where = f" in [{_dotted(path)}]" if path else ""
        for key in value:
            if key not in known:
                self.problem((*path, key), f"unknown key {key!r}{where} ({suggestion(key, known)})")

    def _secret(self, kind: type, value: Any) -> Any:
        if kind is not Secret or not isinstance(value, str):
            raise ValueError(f"expected a string, got {type(value).__name__}")
        return resolve(value, self.environ)


def _nested(value: Any, kind: Any) -> list[tuple[tuple[int, ...], tuple[Any, type[msgspec.Struct]]]]:
    """The tables inside a value whose type is a struct, or a tuple of them."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return [((), (value, kind))]
    if isinstance(kind, UnionType):
        return [found for one in kind.__args__ for found in _nested(value, one)]
    inner = next(iter(getattr(kind, "__args__", ())), None)
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, list):
        return [((index,), (row, inner)) for index, row in enumerate(value) if isinstance(row, dict)]
    return []


def _path(written: str) -> KeyPath:
    """`.rules[0].value` → ("rules", 0, "value"), as msgspec writes paths in its messages."""
    return tuple(
        int(part[1:-1]) if part[1:-1].isdigit() else part[1:] for part in re.findall(r"\.[^.\[]+|\[[^\]]*\]", written)
    )


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _syntax_problem(origin: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    sentence = str(error)
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", sentence)
    if at is None:
        return f"{origin}:1:1: {sentence}"
    lines = text.split("\n")
    line, column = (int(at[1]), int(at[2])) if at[1] else (len(lines), len(lines[-1]) + 1)
    return f"{origin}:{line}:{column}: {sentence[: at.start()]}"
