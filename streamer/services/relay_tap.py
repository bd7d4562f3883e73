# -*- test-case-name: tests.unit.test_services_relay_tap -*-
"""`twistd relay`: one process; or, with `[relay] processes` above 1, a supervisor and as many others as that says."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

import attrs
import msgspec
from twisted.internet.endpoints import quoteStringArgument

from streamer.errors import EXIT_CONFIGURATION, ConfigurationError
from streamer.metrics import Metrics
from streamer.net.gathered import gathered_site
from streamer.net.listen import Place, SharedPorts
from streamer.services import options as common
from streamer.services.assembly import assemble
from streamer.services.fatal import ends_process
from streamer.services.hangup import Hangup
from streamer.services.listening import ListeningService
from streamer.services.relay_fleet import Command, FleetService
from streamer.services.staged import Staged
from streamer.services.tether import Tether
from streamer.tables import Settings

__all__ = ["Options", "makeService"]

KEPT = ("processes", "listen", "admin")  # what the supervisor goes by for as long as it runs
TWISTD = "from twisted.scripts.twistd import run; run()"


class Options(common.Options):
    """Options of `twistd relay`; those without a letter are for processes that it starts itself."""

    optParameters = [
        ["process", "", "", "Be this one of several processes; twistd relay sets it for those it starts."],
        ["socket", "", "", "UNIX socket of that process's admin endpoint."],
    ]

    def postOptions(self) -> None:
        """As for all, and several processes must be able to share the port."""
        common.Options.postOptions(self)
        try:
            check_processes(self.settings)
        except ConfigurationError as error:
            print(error, file=sys.stderr)
            raise SystemExit(EXIT_CONFIGURATION) from None


def check_processes(settings: Settings) -> None:
    """See that `[relay] processes` and `listen` go together.

    Raises:
        ConfigurationError: with the place of `listen`.
    """
    if settings.relay.processes > 1:
        try:
            Place.of(settings.relay.listen)
        except ValueError as error:
            raise ConfigurationError([settings.problem(("relay", "listen"), f"relay.listen: {error}")]) from error


def check_renewal(running: Settings, config: str) -> None:
    """See that relays which read a configuration file now could take the places of those that run.

    Raises:
        ConfigurationError: they could not; or something has changed that is the supervisor's.
    """
    found = common.read(config, alone=True)
    check_processes(found)
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
    return assemble(options.settings, reactor, ["relay"])


def child(settings: Settings, path: str, reactor: Any) -> Staged:
    """One relay of several: it stops with its supervisor, and leaves SIGHUP to it."""
    admin = f"unix:{quoteStringArgument(path)}:mode=600:lockfile=0"
    relay = msgspec.structs.replace(settings.relay, admin=admin)
    whole = assemble(attrs.evolve(settings, relay=relay), SharedPorts(reactor), ["relay"])
    whole.addService(Tether(reactor, lambda: _left_alone(reactor, path)))
    whole.addService(Hangup(reactor, lambda: None))
    return whole


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
    for service in (admin, fleet, Hangup(reactor, fleet.renew)):
        whole.addService(service)
    return whole


def _left_alone(reactor: Any, path: str) -> None:
    """Stop, and tidy up what the supervisor cannot any more."""
    reactor.addSystemEventTrigger("after", "shutdown", _remove_folder, os.path.dirname(path))
    reactor.stop()


def _remove_folder(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # others of them are still there; the last one succeeds
