# -*- test-case-name: tests.unit.test_services_topology_cli -*-
"""`streamer topology show|check|declare`: what the house needs at a broker, told, compared and made.

Whatever needs the reactor is imported inside a command, so that `--help` and `show` stay quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from streamer.bus import definitions, topology, versions
from streamer.bus.shards import SHARDS_LIMIT
from streamer.bus.topology import layout
from streamer.errors import BusError
from streamer.services.topology_target import CONFIGURATION, at, find, of_file, visit

OPTIONAL = tuple(queue.name for queue in layout().queues.values() if queue.optional)

_SHARDS = click.option(
    "--shards", type=click.IntRange(0, SHARDS_LIMIT), help="Instead of the [enrich] shards of the file."
)
_WITH = click.option(
    "--with", "wanted", multiple=True, type=click.Choice(OPTIONAL), help="An optional queue that is to be there."
)


@click.group("topology")
def topology_group() -> None:
    """Exchanges, queues, bindings, policies and users at the broker: show, check, declare."""


def _at_broker(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which broker."""
    for option in (
        click.option(
            "--management",
            metavar="URL",
            help="RabbitMQ's management API, such as http://127.0.0.1:15672; '$NAME' and 'file:/path' too. Its user "
            "is the bus's unless the URL has one.",
        ),
        _SHARDS,
        click.option(
            "--bus", metavar="URL", help="Instead of the file's [bus] url: an address, '$NAME' or 'file:/path'."
        ),
        click.option(
            "-c", "--config", type=click.Path(), help=f"Configuration file; {CONFIGURATION} unless --bus is given."
        ),
    ):
        command = option(command)
    return command


@topology_group.command()
@click.option(
    "-c", "--config", type=click.Path(), help="Configuration file, for its [enrich] shards and virtual host."
)
@_SHARDS
@_WITH
@click.option("--vhost", help="Virtual host; '/' by default, or the file's.")
@click.option("--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True)
@click.option(
    "--without-users", is_flag=True, help="In JSON: no users; to load users takes the password of each away."
)
def show(
    config: str | None, shards: int | None, wanted: Sequence[str], vhost: str | None, form: str, without_users: bool
) -> None:
    """Print the topology; as JSON it is what `rabbitmqctl import_definitions` loads."""
    from streamer.services import topology_report as report

    if form != "json" and (vhost is not None or without_users):
        raise click.UsageError("--vhost and --without-users are for --format json")
    if config is not None:
        written, there = of_file(config, vhost=form == "json" and vhost is None)
        shards, vhost = written if shards is None else shards, vhost or there
    house = layout(shards or 0)
    if form == "json":
        whole = definitions.definitions(house, vhost or "/", wanted, users=not without_users)
        click.echo(definitions.render(whole), nl=False)
        return
    write = report.plain if form == "table" else report.markdown
    click.echo(write(report.tables(house, wanted)))


@topology_group.command()
@_at_broker
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--strict", is_flag=True, help="Exit 1 over alarms, too.")
@click.pass_context
def check(
    ctx: click.Context,
    config: str | None,
    bus: str | None,
    shards: int | None,
    management: str | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Compare a broker with the topology; nothing is changed. Exits 1 where something differs."""
    from streamer.bus.survey import Presence, survey
    from streamer.bus.verdict import rows
    from streamer.services import topology_report as report
    from streamer.services.topology_compare import compare, gather

    target = find(config, bus, shards)
    api = None if management is None else at(ctx, management, target.address)
    found = visit(ctx, target, lambda connection: survey(target.layout, connection))
    judged = rows(target.layout, found)
    if api is not None:
        try:
            documents = gather(api, target.address.vhost, target.address.user)
        except BusError as error:
            raise click.ClickException(f"management: {error}") from error
        judged += compare(
            target.layout,
            documents,
            target.address.user,
            prepared=found.marker is Presence.THERE,
            known=[one.name for one in found.surplus],
        )
    wrong = sum(row.problem is not None for row in judged)
    alarms = sum(row.alarm is not None for row in judged)
    good = not wrong and not (strict and alarms)
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(report.judged(judged, found.server, good)), indent=2).decode()
    else:
        text = report.verdict(judged, found.server)
    click.echo(text)
    click.echo(f"{_counted(wrong, 'difference')}, {_counted(alarms, 'alarm')}", err=True)
    if not good:
        sys.exit(1)


@topology_group.command()
@_at_broker
@_WITH
@click.option("--users", is_flag=True, help="With --management: users and permissions, too; needs an administrator.")
@click.option("--dry-run", is_flag=True, help="Print the steps, and do none.")
@click.pass_context
def declare(
    ctx: click.Context,
    config: str | None,
    bus: str | None,
    shards: int | None,
    management: str | None,
    wanted: Sequence[str],
    users: bool,
    dry_run: bool,
) -> None:
    """Make what is missing; may be repeated. With --management the broker is prepared: limits become policies.

    Without, everything is declared as services do it on a fresh broker, or, where it is prepared, what is missing is.
    """
    from streamer.services.topology_declare import Declaring, describe, prepare, steps

    target = find(config, bus, shards)
    if users and management is None:
        raise click.UsageError("--users needs --management")
    if management is None:
        if dry_run:
            click.echo("where the broker is not prepared; where it is, without what policies carry:", err=True)
            for call in topology.declares(target.layout, wanted):
                click.echo(describe(call))
            return
        declaring = Declaring(target.layout, wanted, click.echo)
        done = visit(ctx, target, declaring.run)
    else:
        every = list(steps(target.layout, target.address.vhost, wanted, users=users))
        if dry_run:
            for step in every:
                click.echo(step.says)
            return
        api = at(ctx, management, target.address)
        try:
            _check_version(api)
            done = prepare(api, every, click.echo)
        except BusError as error:
            raise click.ClickException(f"management: {error}") from error
    if not done:
        raise click.ClickException("not everything could be declared")


def _check_version(api: Any) -> None:
    """Refuse a broker that is too old before anything is changed."""
    overview = api.get("overview") or {}
    refusal = versions.refusal(f"RabbitMQ {overview.get('rabbitmq_version', '')}")
    if refusal is not None:
        raise BusError(refusal)


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
