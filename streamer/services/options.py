# -*- test-case-name: tests.unit.test_plugins -*-
"""`-c FILE`: the options all four plugins share. Data only; the file is read and checked in `postOptions`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from twisted.python import usage

from streamer import settings
from streamer.bus.factory import check_url
from streamer.errors import EXIT_CONFIGURATION, ConfigurationError
from streamer.net import tokens
from streamer.net.forwarded import Trusted
from streamer.tables import Settings
from streamer.toml_marks import Path


def read(path: str, *, alone: bool = False) -> Settings:
    """Load a configuration and check what only lower rooms can: `twistd … -c` and `streamer check` both call it.

    Args:
        alone: it is for one of several processes, which only meet at a broker.

    Raises:
        ConfigurationError: with every problem and its place.
    """
    found = settings.load(path)
    try:
        address = check_url(found.bus.url.reveal())
        if alone and address is None:
            raise ValueError("'memory:' joins nothing between processes; use twistd pipeline, or an amqp:// URL")
    except ValueError as error:
        raise ConfigurationError([found.problem(("bus", "url"), f"bus.url: {error}")]) from error
    wrong: list[tuple[Path, str]] = [
        (("auth", *path), sentence) for path, sentence in tokens.problems(found.relay.auth)
    ]
    wrong += _no_proxies(found.relay.trusted_proxies)
    if wrong:
        raise ConfigurationError([found.problem(("relay", *path), sentence) for path, sentence in wrong])
    return found


def _no_proxies(written: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """What in `[relay] trusted_proxies` is no proxy's address."""
    for index, proxy in enumerate(written):
        try:
            Trusted((proxy,))
        except ValueError as error:
            sentence = f"{error}; write an address, a network as 10.0.0.0/8, or unix"
            yield ("trusted_proxies", index), f"relay.trusted_proxies.{index}: {sentence}"


class Options(usage.Options):
    """Options of `twistd enrich` and `relay`."""

    alone = True  # one of several processes
    optParameters = [["config", "c", "conf/streamer.toml", "Configuration file (TOML)."]]

    settings: Settings

    def postOptions(self) -> None:
        """Read the file; end the process with exit code 78 and no traceback where it is wrong."""
        try:
            self.settings = read(self["config"], alone=self.alone)
        except ConfigurationError as error:
            print(error, file=sys.stderr)
            raise SystemExit(EXIT_CONFIGURATION) from None


class PipelineOptions(Options):
    """Options of `twistd pipeline`."""

    alone = False


class StreamerOptions(Options):
    """Options of `twistd streamer`; each `--source` names one, all of the file's without it."""

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["sources"] = []

    def opt_source(self, name: str) -> None:
        """Follow this source only; may be given several times."""
        self["sources"].append(name)

    def postOptions(self) -> None:
        """As for all, and every `--source` must be one of the file's."""
        Options.postOptions(self)
        known: Any = self.settings.sources
        for name in self["sources"]:
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                print(f"{self.settings.origin}: has no source {name!r}; there are {names}", file=sys.stderr)
                raise SystemExit(EXIT_CONFIGURATION)
