# -*- test-case-name: tests.unit.test_recording_cli -*-
"""`streamer record` and `streamer replay` (docs/how-to/record-and-replay.md).

They stand in this room and not beside `cli`, for the entry hall may not import the rooms that do their work. Whatever
needs the reactor is imported inside a command, so that `--help` stays quick.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from streamer.errors import EXIT_CONFIGURATION, ConfigurationError, StreamerError

MEMORY = "bus.url: nobody else would hear what is replayed to 'memory:'; name a broker, as amqp://…"


class _Number(click.FloatRange):
    """NaN is in no range, though Python's comparisons let it through."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


_CONFIG = click.option(
    "-c", "--config", type=click.Path(), default="conf/streamer.toml", show_default=True,
    help="Configuration file (TOML).",
)  # fmt: skip


@click.command()
@click.argument("file", type=click.Path())
@_CONFIG
@click.option("--source", "names", multiple=True, metavar="NAME", help="Follow this source only; may be repeated.")
@click.option("--seconds", type=_Number(0.001, 1e9), help="Record so long.")
@click.option("--items", type=click.IntRange(1), help="Record so many items.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.pass_context
def record(
    ctx: click.Context,
    file: str,
    config: str,
    names: Sequence[str],
    seconds: float | None,
    items: int | None,
    force: bool,
) -> None:
    """Follow sources into FILE, until Ctrl-C.

    Connects as `twistd streamer` does and takes each source's lock in the state directory, so stop that one first; no
    cursor is read or written. FILE is JSON lines, compressed where its name ends in .gz or .zst.
    """
    settings = _settings(config)
    unknown = [name for name in names if name not in settings.sources]
    known = ", ".join(sorted(settings.sources)) or "none"
    if unknown or not settings.sources:
        click.echo(f"{settings.origin}: has no source {unknown[0]!r}; there are {known}" if unknown else
                   f"{settings.origin}: names no source to record", err=True)  # fmt: skip
        sys.exit(EXIT_CONFIGURATION)
    foreground = _foreground(ctx)
    from streamer.services.record import recorder

    def begin() -> Awaitable[None]:
        return recorder(
            settings, names, file, foreground.reactor, _meter(ctx), force=force, seconds=seconds, items=items
        ).run()

    _run(foreground, begin)


@click.command()
@click.argument("file", type=click.Path())
@_CONFIG
@click.option("--speed", help="1x as recorded, 10x, 0.5x, or full: as fast as the bus takes it.  [default: 1x]")
@click.option("--rate", type=_Number(1e-6, 1e6), help="Items a second, instead of their own times.")
@click.option("--source", "names", multiple=True, metavar="NAME", help="Only items of this source; may be repeated.")
@click.option("--loop", is_flag=True, help="Begin again at the end, until Ctrl-C; later rounds get other ids.")
@click.pass_context
def replay(
    ctx: click.Context,
    file: str,
    config: str,
    speed: str | None,
    rate: float | None,
    names: Sequence[str],
    loop: bool,
) -> None:
    """Publish the items of FILE to the configured bus, byte for byte as they were recorded.

    Exits 0 once the bus has confirmed all of them.
    """
    from streamer.asks import Play
    from streamer.bus.factory import bus_for_url, check_url
    from streamer.sources.replay import speed_of

    if speed is not None and rate is not None:
        raise click.UsageError("give --speed or --rate, not both")
    try:
        times = speed_of(speed or "1x")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--speed") from error
    settings = _settings(config)
    url = settings.bus.url.reveal()
    if check_url(url) is None and not ctx.obj:
        click.echo(settings.problem(("bus", "url"), MEMORY), err=True)
        sys.exit(EXIT_CONFIGURATION)
    foreground = _foreground(ctx)
    from streamer.metrics import Metrics
    from streamer.services.record_replay import Replayer

    def begin() -> Awaitable[None]:
        reactor = foreground.reactor
        bus = ctx.obj.bus if ctx.obj else bus_for_url(url, reactor, Metrics(), "replay", settings.enrich.shards)
        play = Play(path=file, speed=times, rate=rate, loop=loop)
        return Replayer(bus, reactor, _meter(ctx), play, settings.sources, names).run()

    _run(foreground, begin)


def _settings(config: str) -> Any:
    from streamer.services.options import read

    try:
        return read(config)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIGURATION)


def _run(foreground: Any, begin: Callable[[], Awaitable[None]]) -> None:
    from twisted.internet.defer import Deferred

    async def running() -> None:
        await begin()

    try:
        code = foreground.run(lambda: Deferred.fromCoroutine(running()))
    except StreamerError as error:
        raise click.ClickException(str(error)) from error
    if code:
        sys.exit(code)


def _meter(ctx: click.Context) -> Any:
    from streamer.services.meter import Meter

    return ctx.obj.meter if ctx.obj else Meter(sys.stderr.isatty())


def _foreground(ctx: click.Context) -> Any:
    """What runs a command: over the global reactor, or what a test gives."""
    if ctx.obj:
        return ctx.obj.foreground()
    from twisted.internet import reactor  # noqa: TID251 - here it enters, as in a tap

    from streamer.services.foreground import Foreground

    return Foreground(reactor, sys.stdout.buffer)
