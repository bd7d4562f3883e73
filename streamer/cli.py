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

from streamer.control_cli import sources
from streamer.errors import EXIT_CONFIGURATION, ConfigurationError
from streamer.services.dead_cli import dead
from streamer.services.recording_cli import record, replay
from streamer.services.serving import run_service
from streamer.services.topology_cli import topology_group
from streamer.services.watch_cli import tail, top
from streamer.simulate_cli import PORT, RATE, simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("streamer"), message=f"streamer %(version)s, Twisted {version('twisted')}")
def main() -> None:
    """Follow live streaming APIs, carry them over RabbitMQ, enrich them, push them to browsers."""


main.add_command(sources)
main.add_command(tail)
main.add_command(top)
main.add_command(dead)
main.add_command(record)
main.add_command(replay)
main.add_command(topology_group)
main.add_command(simulate)


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
    run_service(service, reactor)
