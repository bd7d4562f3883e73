# -*- test-case-name: tests.unit.test_services_topology_settings -*-
"""The two keys of a configuration that the topology is made of: `[enrich] shards`, and `[bus] url` where that is used.

Whoever installs the topology should hold the secret of one user of the broker, and not those of the whole house; so
no other secret of the file is looked up, and what only the services need is left for `streamer check`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs
import msgspec

from streamer import settings
from streamer.bus.address import Address
from streamer.bus.factory import check_url
from streamer.errors import ConfigurationError
from streamer.registry import suggestion
from streamer.secrets import Secret, resolve
from streamer.tables import BusSettings, EnrichSettings, place
from streamer.toml_marks import Path as KeyPath
from streamer.toml_marks import Place, marks

TABLES: Mapping[str, type[msgspec.Struct]] = {"bus": BusSettings, "enrich": EnrichSettings}


@attrs.frozen
class TopologySettings:
    """A file, as far as it is about the topology."""

    shards: int
    _url: str = attrs.field(repr=False)  # as it is written: a secret's name, perhaps
    _origin: str
    _places: Mapping[KeyPath, Place] = attrs.field(repr=False)

    @classmethod
    def read(cls, path: str) -> TopologySettings:
        """Read the file; no secret is looked up.

        Raises:
            ConfigurationError: as `settings.load`, for these tables.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
            document = tomllib.loads(text)
        except (OSError, ValueError, RecursionError):
            settings.load(path, {})  # it says what is wrong with the file, and where
            raise
        made = cls(0, "", path, marks(text))
        for name in document:
            if name not in {*settings.TABLES, "sources"}:
                made.problem((name,), f"unknown key {name!r} ({suggestion(name, {*settings.TABLES, 'sources'})})")
        bus, enrich = (made.table(document, name) for name in TABLES)
        return attrs.evolve(made, shards=enrich.shards, url=bus.url.reveal())

    def address(self, environ: Mapping[str, str]) -> Address | None:
        """The broker of `[bus] url`; None where the bus has none. This looks the secret up.

        Raises:
            ConfigurationError: there is no such secret, or it is no URL of a bus.
        """
        try:
            return check_url(resolve(self._url, environ).reveal())
        except ValueError as error:
            self.problem(("bus", "url"), f"bus.url: {error}")

    def table(self, document: Mapping[str, Any], name: str) -> Any:
        """One of `TABLES`, checked.

        Raises:
            ConfigurationError: it is not as it should be.
        """
        value, struct = document.get(name, {}), TABLES[name]
        if not isinstance(value, dict):
            self.problem((name,), f"{name} must be a table")
        for key in value:
            if key not in struct.__struct_fields__:
                known = suggestion(key, struct.__struct_fields__)
                self.problem((name, key), f"unknown key {key!r} in [{name}] ({known})")
        for key in value:
            try:
                msgspec.convert({key: value[key]}, struct, strict=True, dec_hook=_written)
            except msgspec.ValidationError as error:
                self.problem((name, key), f"{name}.{key}: {str(error).partition(' - at ')[0]}")
        return msgspec.convert(value, struct, strict=True, dec_hook=_written)

    def problem(self, path: KeyPath, sentence: str) -> NoReturn:
        """Refuse the file, naming a place in it."""
        line, column = place(self._places, path)
        raise ConfigurationError([f"{self._origin}:{line}:{column}: {sentence}"])


def _written(kind: type, value: Any) -> Any:
    """A secret as it is written."""
    if kind is not Secret or not isinstance(value, str):
        raise ValueError(f"expected a string, got {type(value).__name__}")
    return Secret(value)
