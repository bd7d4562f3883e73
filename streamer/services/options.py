# -*- test-case-name: tests.unit.test_plugins -*-
"""`-c FILE`: the options all four plugins share. Data only; the file is read and checked in `postOptions`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.python import usage

from streamer import settings
from streamer.bus.factory import check_url
from streamer.endpoints import not_handed
from streamer.errors import EXIT_CONFIGURATION, ConfigurationError
from streamer.net import tokens
from streamer.net.forwarded import Trusted
from streamer.net.listen import Place
from streamer.tables import Settings
from streamer.toml_marks import Path


def read(path: str, *, alone: bool = False) -> Settings:
    """Load a configuration and check what only lower rooms can: `twistd … -c` and `streamer check` both call it.

    Whether systemd has handed over a socket is not asked, for a check is made outside the unit.

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
    check_processes(found)
    wrong: list[tuple[Path, str]] = [
        (("auth", *path), sentence) for path, sentence in tokens.problems(found.relay.auth)
    ]
    wrong += _no_proxies(found.relay.trusted_proxies)
    if wrong:
        raise ConfigurationError([found.problem(("relay", *path), sentence) for path, sentence in wrong])
    return found


def check_processes(settings: Settings) -> None:
    """See that `[relay] processes` goes together with `listen`, and with the bus.

    Raises:
        ConfigurationError: with the place of what is to change.
    """
    if settings.relay.processes == 1:
        return
    try:
        Place.of(settings.relay.listen)
    except ValueError as error:
        raise ConfigurationError([settings.problem(("relay", "listen"), f"relay.listen: {error}")]) from error
    if check_url(settings.bus.url.reveal()) is None:
        raise _one_process(settings, "several relays meet at a broker; name one in [bus] url, or")


def check_pipeline(settings: Settings) -> None:
    """See that one process can be all that the file says.

    Raises:
        ConfigurationError: it asks for several relays.
    """
    if settings.relay.processes > 1:
        raise _one_process(settings, "the pipeline is one process; run twistd relay for several, or")


def check_sockets(settings: Settings, listens: Iterable[tuple[str, str]]) -> None:
    """See that this process has the sockets that systemd is to hand over.

    Args:
        listens: table and key of what it listens on.

    Raises:
        ConfigurationError: with the place of each that is missing.
    """
    missing = []
    for table, key in listens:
        sentence = not_handed(getattr(getattr(settings, table), key))
        if sentence is not None:
            missing.append(settings.problem((table, key), f"{table}.{key}: {sentence}"))
    if missing:
        raise ConfigurationError(missing)


def _one_process(settings: Settings, why: str) -> ConfigurationError:
    sentence = f"relay.processes: {why} set [relay] processes = 1"
    return ConfigurationError([settings.problem(("relay", "processes"), sentence)])


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
    endpoints: tuple[tuple[str, str], ...] = (("enrich", "admin"),)  # what it listens on: table, key
    optParameters = [["config", "c", "conf/streamer.toml", "Configuration file (TOML)."]]

    settings: Settings

    def postOptions(self) -> None:
        """Read the file; end the process with exit code 78 and no traceback where it is wrong."""
        try:
            self.settings = read(self["config"], alone=self.alone)
            self.check_fit()
        except ConfigurationError as error:
            print(error, file=sys.stderr)
            raise SystemExit(EXIT_CONFIGURATION) from None

    def check_fit(self) -> None:
        """See that this process can do what the file says.

        Raises:
            ConfigurationError: it cannot, though the file may be good for another.
        """
        check_sockets(self.settings, self.endpoints)


class PipelineOptions(Options):
    """Options of `twistd pipeline`."""

    alone = False
    endpoints = (("relay", "listen"), ("streamer", "admin"))

    def check_fit(self) -> None:
        """As for all, and its relay is one of its parts."""
        check_pipeline(self.settings)
        Options.check_fit(self)


class StreamerOptions(Options):
    """Options of `twistd streamer`; each `--source` names one, all of the file's without it."""

    endpoints = (("streamer", "admin"),)

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
