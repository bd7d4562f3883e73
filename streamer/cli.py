# -*- test-case-name: tests.unit.test_cli -*-
"""The `streamer` program: what stands beside `twistd streamer|enrich|relay|pipeline`.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 failed while running, 2 usage, 78 configuration error.
Whatever needs the reactor is imported inside its command, so that `--help` and `check` stay quick.
"""

from __future__ import annotations

import math
import sys
from importlib.metadata import version
from typing import Any

import click

from streamer.control_cli import sources
from streamer.errors import EXIT_CONFIGURATION, ConfigurationError
from streamer.services.dead_cli import dead
from streamer.services.topology_cli import topology_group
from streamer.services.watch_cli import tail, top

PORT = click.IntRange(0, 65_535)


class _Rate(click.FloatRange):
    """Posts a second; NaN is in no range, though Python's comparisons let it through."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        rate: float = super().convert(value, param, ctx)
        if math.isnan(rate):
            self.fail(f"{value!r} is no number", param, ctx)
        return rate


RATE = _Rate(0.000_001, 1_000_000)
COUNT = click.IntRange(0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("streamer"), message=f"streamer %(version)s, Twisted {version('twisted')}")
def main() -> None:
    """Follow live streaming APIs, carry them over RabbitMQ, enrich them, push them to browsers."""


main.add_command(sources)
main.add_command(tail)
main.add_command(top)
main.add_command(dead)
main.add_command(topology_group)


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
@click.option("--rate", type=RATE, default=20.0, show_default=True, help="Posts a second of the simulated upstream.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Port of the demonstration's page."
)
@click.option(
    "--admin", type=PORT, default=8181, show_default=True, help="Port of the demonstration's /ready and /metrics."
)
@click.option("--upstream-port", type=PORT, default=0, help="Port of the simulated upstream; a free one by default.")
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
        from streamer.services.options import PipelineOptions, check_pipeline, check_sockets, read

        try:
            settings = read(str(config))
            check_pipeline(settings)
            check_sockets(settings, PipelineOptions.endpoints)
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            sys.exit(EXIT_CONFIGURATION)
        service = assemble(settings, reactor, list(ROLES))
        click.echo(f"The page is at {settings.relay.listen}; stop with Ctrl-C.", err=True)
    _run(service, reactor)


@main.group()
def simulate() -> None:
    """Run a simulated upstream alone, for trials and tests."""


def _simulation_options(command: Any) -> Any:
    """The options that every simulated upstream has."""
    for option in (
        click.option("--wait-for-client", is_flag=True, help="Make no post before a stream is open."),
        click.option("--count", type=COUNT, help="Posts in all; then only keep-alives."),
        click.option("--seed", default=0, help="Seed of everything random."),
        click.option("--rate", type=RATE, default=20.0, show_default=True, help="Posts a second."),
        click.option(
            "--port", type=PORT, default=8090, show_default=True, help="Port on the loopback interface; 0: a free one."
        ),
    ):
        command = option(command)
    return command


@simulate.command("x")
@_simulation_options
@click.option("--token", help="Bearer token to ask for.")
@click.option("--fast", is_flag=True, help="Send posts written beforehand, up to about 20,000 a second.")
def simulate_x(port: int, token: str | None, **options: Any) -> None:
    """X's filtered, sampled and whole streams with rules, keep-alives, back-fill and faults.

    Prints the address, then serves until interrupted. Faults are asked for by POST /_sim/fault.
    """
    from twisted.internet import reactor

    from streamer.testing.x import TOKEN, SimulatedX

    simulation = SimulatedX(reactor, token=token or TOKEN, **options)
    _simulate(reactor, port, simulation, f"its token is {token or TOKEN!r}")


@simulate.command("twitter")
@_simulation_options
@click.option("--user", help="User name to ask for, with --password.")
@click.option("--password", help="Password of that user.")
@click.option("--consumer-key", help="OAuth 1.0a consumer key to ask for, with the next three.")
@click.option("--consumer-secret", help="Secret of the consumer key.")
@click.option("--token", help="OAuth 1.0a access token.")
@click.option("--token-secret", help="Secret of the access token.")
@click.option("--gzip", is_flag=True, help="Compress streams for clients that ask for it.")
def simulate_twitter(
    port: int,
    user: str | None,
    password: str | None,
    consumer_key: str | None,
    consumer_secret: str | None,
    token: str | None,
    token_secret: str | None,
    **options: Any,
) -> None:
    """Twitter's v1.1 streams, statuses/filter and statuses/sample, with keep-alives, control messages and faults.

    Takes Basic and OAuth 1.0a; where nothing is given, a user and keys that it tells. Prints the address, then serves
    until interrupted. Faults are asked for by POST /_sim/fault.
    """
    from streamer.testing.twitter import CREDENTIALS, SimulatedTwitter
    from streamer.testing.twitter_auth import Credentials

    keys = (consumer_key, consumer_secret, token, token_secret)
    if (user is None) != (password is None):
        raise click.UsageError("give both --user and --password, or neither")
    if any(keys) and not all(keys):
        raise click.UsageError("give all of --consumer-key, --consumer-secret, --token, --token-secret, or none")
    credentials = CREDENTIALS
    if user is not None or any(keys):
        credentials = Credentials(
            consumer_key=consumer_key or "",
            consumer_secret=consumer_secret or "",
            token=token or "",
            token_secret=token_secret or "",
            user=user or "",
            password=password or "",
        )
    ways = []
    if credentials.user:
        ways.append(f"user {credentials.user!r} with password {credentials.password!r}")
    if credentials.consumer_key:
        ways.append(
            f"consumer {credentials.consumer_key!r} with {credentials.consumer_secret!r}, "
            f"token {credentials.token!r} with {credentials.token_secret!r}"
        )
    from twisted.internet import reactor

    _simulate(reactor, port, SimulatedTwitter(reactor, credentials=credentials, **options), "; or ".join(ways))


def _simulate(reactor: Any, port: int, simulation: Any, how: str) -> None:
    """Serve a simulation; say where, and how to be let in."""
    from streamer.services.fatal import ends_process
    from streamer.testing.server import SimulationService

    service = SimulationService(reactor, f"tcp:{port}:interface=127.0.0.1", simulation)

    def listening(number: int) -> None:
        click.echo(f"http://127.0.0.1:{number}")
        click.echo(f"A simulated {simulation.name}; {how}. Stop with Ctrl-C.", err=True)

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
