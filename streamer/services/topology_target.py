# -*- test-case-name: tests.unit.test_services_topology_cli -*-
"""Which broker a command of `streamer topology` is about, and the ways there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from streamer.bus import versions
from streamer.bus.address import Address
from streamer.bus.topology import Layout, layout
from streamer.errors import EXIT_CONFIGURATION, BusError, ConfigurationError
from streamer.secrets import resolve

CONFIGURATION = "conf/streamer.toml"


class Target(msgspec.Struct, frozen=True):
    """Which broker, and what is to be there."""

    address: Address
    layout: Layout


def visit(ctx: click.Context, target: Target, errand: Callable[[Any], Any]) -> Any:
    """Run an errand at the broker; ends the process where it cannot be done."""
    from streamer.bus import visit as visits

    if ctx.obj:
        foreground, driver = ctx.obj.foreground(), ctx.obj.driver
    else:
        from twisted.internet import reactor  # noqa: TID251 - here it enters, as in a tap

        from streamer.bus.connection import connect as driver  # once there is a reactor
        from streamer.services.foreground import Foreground

        foreground = Foreground(reactor, sys.stdout.buffer)
    from twisted.internet.defer import Deferred

    from streamer.bus.logins import login_of

    address, clock, found = target.address, foreground.reactor, []

    def connect() -> Any:
        return driver(login_of(address, "streamer topology"), clock)

    async def checked(connection: Any) -> Any:
        refusal = versions.refusal(connection.server)
        if refusal is not None:
            raise BusError(refusal)
        return await errand(connection)

    async def run() -> None:
        endpoints = ctx.obj.endpoints if ctx.obj else address.endpoints(clock)
        found.append(await visits.visit(endpoints, connect, clock, checked))

    try:
        code = foreground.run(lambda: Deferred.fromCoroutine(run()))
    except (BusError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if not found:
        sys.exit(code)
    return found[0]


def find(config: str | None, bus: str | None, shards: int | None) -> Target:
    """What the options name; ends the process where they name nothing. Of the file no secret is read in vain."""
    from streamer.bus.factory import check_url

    settings = _read(config or CONFIGURATION) if config is not None or bus is None else None
    if bus is not None:
        try:
            address = check_url(resolve(bus, os.environ).reveal())
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--bus") from error
    else:
        address = _of(settings)
    if address is None:
        raise click.ClickException("the bus is 'memory:', which has no broker; name one with --bus")
    if settings is not None and shards is None:
        shards = settings.shards
    return Target(address, layout(shards or 0))


def of_file(config: str, *, vhost: bool) -> tuple[int, str]:
    """The shards of a file, and the virtual host of its bus where that is asked for; ends the process as `find`."""
    settings = _read(config)
    address = _of(settings) if vhost else None
    return settings.shards, "/" if address is None else address.vhost


def _read(config: str) -> Any:
    from streamer.services.topology_settings import TopologySettings

    return _or_exit(lambda: TopologySettings.read(config))


def _of(settings: Any) -> Address | None:
    found: Address | None = _or_exit(lambda: settings.address(os.environ))
    return found


def _or_exit(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIGURATION)


def at(ctx: click.Context, written: str, address: Address) -> Any:
    """The management API that `--management` names, in the name of the bus's user unless it names another."""
    from streamer.services.topology_management import Management, connection

    connects = ctx.obj.connects if ctx.obj else connection
    try:
        return Management.at(resolve(written, os.environ).reveal(), address.user, address.password, connects)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--management") from error
