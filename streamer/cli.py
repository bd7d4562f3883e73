# -*- test-case-name: tests.unit.test_cli -*-
"""The `streamer` program: what stands beside `twistd streamer|enrich|relay|pipeline`.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 failed while running, 2 usage, 78 configuration error.
Whatever needs the reactor is imported inside its command, so that `--help` and `check` stay quick.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import click

from streamer.errors import EXIT_CONFIGURATION, ConfigurationError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("streamer"), message=f"streamer %(version)s, Twisted {version('twisted')}")
def main() -> None:
    """Follow live streaming APIs, carry them over RabbitMQ, enrich them, push them to browsers."""


@main.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]…")
def check(files: tuple[str, ...]) -> None:
    """Check configuration files; conf/streamer.toml by default.

    Prints each problem with its file, line and column. Exits 78 where there is one.
    """
    from streamer.services.options import read

    wrong = False
    for path in files or ("conf/streamer.toml",):
        try:
            settings = read(path)
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            wrong = True
        else:
            names = ", ".join(settings.sources) or "none"
            click.echo(f"{path}: good; sources: {names}; relay: {settings.relay.listen}")
    if wrong:
        sys.exit(EXIT_CONFIGURATION)


@main.command()
@click.option("-c", "--config", type=click.Path(), help="Configuration file (TOML).")
@click.option("--demo", is_flag=True, help="Follow a simulated upstream instead of a configured one.")
@click.option("--rate", default=20.0, show_default=True, help="Posts a second of the simulated upstream.")
@click.option("--port", default=8080, show_default=True, help="Port of the demonstration's page.")
@click.option("--admin", default=8181, show_default=True, help="Port of the demonstration's /ready and /metrics.")
@click.option("--upstream-port", default=0, help="Port of the simulated upstream; a free one by default.")
@click.option("--seed", default=0, help="Seed of the simulated upstream.")
def run(config: str | None, demo: bool, rate: float, port: int, admin: int, upstream_port: int, seed: int) -> None:
    """Run all three services in this process, in the foreground."""
    if (config is None) == (not demo):
        raise click.UsageError("give either --config FILE or --demo")
    from twisted.internet import reactor

    if demo:
        from streamer.demo import DemoService

        service: Any = DemoService(reactor, rate=rate, port=port, admin=admin, upstream=upstream_port, seed=seed)
        page = f"http://127.0.0.1:{port}/"
        click.echo(f"A simulated upstream posts {rate:g} times a second; open {page} and stop with Ctrl-C.", err=True)
    else:
        from streamer.services.assembly import ROLES, assemble
        from streamer.services.options import read

        try:
            settings = read(str(config))
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            sys.exit(EXIT_CONFIGURATION)
        service = assemble(settings, reactor, list(ROLES))
        click.echo(f"The page is at {settings.relay.listen}; stop with Ctrl-C.", err=True)
    _run(service, reactor)


@main.group()
def simulate() -> None:
    """Run a simulated upstream alone, for trials and tests."""


@simulate.command("x")
@click.option("--port", default=8090, show_default=True, help="Port on the loopback interface; 0 takes a free one.")
@click.option("--rate", default=20.0, show_default=True, help="Posts a second.")
@click.option("--seed", default=0, help="Seed of everything random.")
@click.option("--count", type=int, help="Posts in all; then only keep-alives.")
@click.option("--token", help="Bearer token to ask for.")
@click.option("--wait-for-client", is_flag=True, help="Make no post before a stream is open.")
@click.option("--fast", is_flag=True, help="Send posts written beforehand, up to about 20,000 a second.")
def simulate_x(
    port: int, rate: float, seed: int, count: int | None, token: str | None, wait_for_client: bool, fast: bool
) -> None:
    """X's filtered stream with its rules, keep-alives, back-fill and faults.

    Prints the address, then serves until interrupted. Faults are asked for by POST /_sim/fault.
    """
    from twisted.internet import reactor

    from streamer.services.fatal import ends_process
    from streamer.testing.x import TOKEN, SimulatedX
    from streamer.testing.x_server import SimulationService

    simulation = SimulatedX(
        reactor,
        seed=seed,
        rate=rate,
        token=token or TOKEN,
        count=count,
        wait_for_client=wait_for_client,
        fast=fast,
    )
    service = SimulationService(reactor, f"tcp:{port}:interface=127.0.0.1", simulation)

    def listening(number: int) -> None:
        click.echo(f"http://127.0.0.1:{number}")
        click.echo(f"A simulated X; its token is {token or TOKEN!r}. Stop with Ctrl-C.", err=True)

    def taken(failure: Any) -> None:
        ends_process(reactor)(f"The simulation cannot listen: {failure.getErrorMessage()} Choose another --port.")

    service.listening.addCallbacks(listening, taken)
    _run(service, reactor)


def _run(service: Any, reactor: Any) -> None:
    """Run a service until SIGINT or SIGTERM, then until it is quiet."""
    from twisted.logger import globalLogBeginner, textFileLogObserver

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
