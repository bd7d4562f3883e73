# -*- test-case-name: tests.unit.test_services_relay_tap -*-
"""`twistd relay`: one process; or, with `[relay] processes` above 1, a supervisor and as many others as that says."""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from typing import Any

import attrs
import msgspec
from twisted.internet.endpoints import quoteStringArgument
from twisted.logger import Logger

from streamer.errors import ConfigurationError
from streamer.metrics import Metrics
from streamer.net.gathered import gathered_site
from streamer.net.listen import SharedPorts
from streamer.services import options as common
from streamer.services.assembly import assemble
from streamer.services.fatal import ends_process
from streamer.services.hangup import Hangup
from streamer.services.listening import ListeningService
from streamer.services.relay_fleet import Command, FleetService
from streamer.services.staged import Staged
from streamer.services.tether import Tether
from streamer.tables import RelaySettings, Settings

__all__ = ["Options", "makeService"]

KEPT = ("processes", "listen", "admin")  # what the supervisor goes by for as long as it runs
TWISTD = "from twisted.scripts.twistd import run; run()"
SPARE = 1.25  # of a process's equal share; the kernel deals connections out by chance, and one may be away

_log = Logger()


class Options(common.Options):
    """Options of `twistd relay`; those without a letter are for processes that it starts itself."""

    optParameters = [
        ["process", "", "", "Be this one of several processes; twistd relay sets it for those it starts."],
        ["socket", "", "", "UNIX socket of that process's admin endpoint."],
    ]

    def check_fit(self) -> None:
        """As for all; but the file's admin endpoint is not that of one of several."""
        self.endpoints = (("relay", "listen"),) if self["process"] else (("relay", "listen"), ("relay", "admin"))
        common.Options.check_fit(self)


def check_renewal(running: Settings, config: str) -> None:
    """See that relays which read a configuration file now could take the places of those that run.

    Raises:
        ConfigurationError: they could not; or something has changed that is the supervisor's.
    """
    found = common.read(config, alone=True)
    changed = [key for key in KEPT if getattr(found.relay, key) != getattr(running.relay, key)]
    if changed:
        sentence = "relay.{0}: has changed; that takes a restart, not a reload"
        raise ConfigurationError([found.problem(("relay", key), sentence.format(key)) for key in changed])


def makeService(options: Options) -> Staged:
    """The process that `twistd relay -c FILE` runs."""
    from twisted.internet import reactor

    if options["process"]:
        return child(options.settings, options["socket"], reactor)
    if options.settings.relay.processes > 1:
        return supervisor(options.settings, os.path.abspath(options["config"]), reactor)
    return assemble(options.settings, reactor, ["relay"], first=[Hangup(reactor, _nobody_takes_over)])


def child(settings: Settings, path: str, reactor: Any) -> Staged:
    """One relay of several: it stops with its supervisor, and leaves SIGHUP to it."""
    admin = f"unix:{quoteStringArgument(path)}:mode=600:lockfile=0"
    relay = msgspec.structs.replace(share(settings.relay), admin=admin)
    own = attrs.evolve(settings, relay=relay)
    whole = assemble(own, SharedPorts(reactor), ["relay"], first=[Hangup(reactor, lambda: None)])
    whole.addService(Tether(reactor, lambda: _left_alone(reactor, path)))
    return whole


def share(relay: RelaySettings) -> RelaySettings:
    """The limits of one of several processes.

    Those of an address stay as they are: its connections may all be dealt to one process, and people who share an
    address must not be refused for that.
    """
    part = SPARE / relay.processes
    clients = min(relay.clients, math.ceil(relay.clients * part))
    return msgspec.structs.replace(relay, clients=clients, handshakes=min(relay.handshakes, relay.handshakes * part))


def child_command(config: str) -> Command:
    """How one of the relays of a configuration file is started: this program again."""

    def command(number: int, path: str) -> list[str]:
        own = ["relay", "-c", config, "--process", str(number), "--socket", path]
        return [sys.executable, "-c", TWISTD, "-n", "--pidfile=", *own]

    return command


def supervisor(settings: Settings, config: str, reactor: Any) -> Staged:
    """What keeps them running. Its admin endpoint is there to the last, to say that they stop."""
    metrics, fatal = Metrics(), ends_process(reactor)

    check = partial(check_renewal, settings, config)
    fleet = FleetService(settings.relay, child_command(config), check, reactor, metrics, fatal)
    site = gathered_site(fleet.members, metrics, lambda: fleet.stopping, reactor)
    admin = ListeningService("The admin endpoint", "[relay] admin", settings.relay.admin, site, reactor, fatal)
    whole = Staged()
    for service in (Hangup(reactor, fleet.renew), admin, fleet):  # a SIGHUP while it stops must not end it either
        whole.addService(service)
    return whole


def _nobody_takes_over() -> None:
    _log.warn("SIGHUP: one process has nobody to take its clients; restart it instead")


def _left_alone(reactor: Any, path: str) -> None:
    """Stop, and tidy up what the supervisor cannot any more."""
    reactor.addSystemEventTrigger("after", "shutdown", _remove_folder, os.path.dirname(path))
    reactor.stop()


def _remove_folder(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # others of them are still there; the last one succeeds
