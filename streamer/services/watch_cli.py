# -*- test-case-name: tests.unit.test_watch_cli -*-
"""`streamer tail` and `streamer top`: a running system, watched from a terminal.

They stand in this room and not beside `cli`, for the entry hall may not import the rooms that do their work. Whatever
needs the reactor is imported inside a command, so that `--help` stays quick.
"""

from __future__ import annotations

import math
import os
import random
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import click

from streamer.secrets import Secret, resolve

RELAY = "ws://127.0.0.1:8080/ws"
ADMINS = ("http://127.0.0.1:8181", "http://127.0.0.1:8182", "http://127.0.0.1:8183")
TOPICS_LIMIT = 20  # patterns; `fanout.protocol.TOPICS_IN_LIMIT`, which a test compares
LAST_LIMIT = 500  # events; `fanout.protocol.LAST_LIMIT`, as above
AGO_LIMIT = 86_400  # seconds; `fanout.arrivals.AGO_LIMIT`, as above
UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
POSITION = re.compile(r"v[0-9]+\.\S+")
DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])")


def _since(ctx: click.Context, param: click.Parameter, written: str | None) -> str | None:
    """A position, or a time, as the relay understands them."""
    if written is None or POSITION.fullmatch(written):
        return written
    match = DURATION.fullmatch(written)
    if match is None:
        raise click.BadParameter(f"{written!r} is neither a time such as 30s, 5m or 2h nor a position such as v1.…")
    seconds = math.ceil(float(match[1]) * UNITS[match[2]])
    if seconds > AGO_LIMIT:
        raise click.BadParameter(f"{written} is too long ago; {AGO_LIMIT // 3_600}h are allowed")
    return f"{seconds}s"


@click.command()
@click.argument("patterns", nargs=-1, metavar="[URL] PATTERN…")
@click.option("--url", default=RELAY, show_default=True, help="The relay's websocket; may stand before the patterns.")
@click.option(
    "--since",
    callback=_since,
    metavar="TIME|POSITION",
    help="Begin with what came to the relay so long ago (30s, 5m, 2h), as far as it remembers, or after a position.",
)
@click.option(
    "--last",
    type=click.IntRange(0, LAST_LIMIT),
    help="Begin with so many recent events; beside --since, only where that cannot be had.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each CloudEvent on a line, exactly as received.")
@click.option("--token", envvar="STREAMER_TOKEN", help="JWT for the relay: '$NAME', 'file:/path' or the token itself.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@click.pass_context
def tail(
    ctx: click.Context,
    patterns: Sequence[str],
    url: str,
    since: str | None,
    last: int | None,
    as_json: bool,
    token: str | None,
    count: int | None,
) -> None:
    """Print a relay's events as they come: those whose topic matches a PATTERN.

    Patterns are AMQP's: '*' is one word, '#' any number of them, as in 'post.#' or 'post.*.en.#'. A connection that is
    lost is made again, and what came meanwhile is fetched: nothing is lost or doubled where the relay remembers it,
    and where it does not, that is said. Events go to stdout, one a line; everything else to stderr.
    """
    from streamer.net import relay_address
    from streamer.net.relay_following import Following, Wish
    from streamer.net.relay_reader import RelayReader, RelayRefused
    from streamer.policy.rejoin import Rejoin
    from streamer.services.tail import Enough, Tail

    if patterns and "://" in patterns[0]:
        url, patterns = patterns[0], patterns[1:]
    if not 1 <= len(patterns) <= TOPICS_LIMIT:
        raise click.UsageError(f"give 1 to {TOPICS_LIMIT} patterns, such as 'post.#'; '#' alone is everything")
    secret = _secret(token)
    try:
        address = relay_address.read(url)
        if secret is not None:
            address.check_token()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    foreground = _foreground(ctx)
    following = Following(Wish(tuple(patterns), last, since), secret)
    listener = Tail(address.url, foreground.write, _say, as_json, count or 0)
    endpoint = ctx.obj.connects(address) if ctx.obj else address.endpoint(foreground.reactor)
    rejoin = Rejoin(random.uniform)  # spreads reconnects, guards nothing
    reader = RelayReader(
        address, endpoint, foreground.reactor, following, rejoin, listener, f"streamer/{version('streamer')} tail"
    )
    try:
        code = foreground.run(lambda: reader.start().addErrback(lambda failure: failure.trap(Enough)))
    except RelayRefused as error:
        hint = " Is the relay running, and is this its [relay] listen?" if error.unreached else ""
        raise click.ClickException(f"{error}{hint}") from error
    except OSError as error:
        raise click.ClickException(f"stdout cannot be written: {error}") from error
    sys.exit(code)


@click.command()
@click.argument("admins", nargs=-1, metavar="[ADMIN_URL]…")
@click.option("--once", is_flag=True, help="Print once and end; so it is where stdout is no terminal.")
@click.pass_context
def top(ctx: click.Context, admins: Sequence[str], once: bool) -> None:
    """Watch sources, enrichers and relays, once a second.

    Asks the admin endpoints of running services, by default the three that the configuration has by default; those of
    'twistd pipeline' are all on the first of them.
    """
    from streamer.services.top import Screen, Top

    for url in admins:
        _check_admin(url)
    foreground = _foreground(ctx)
    live = not once and foreground.out.isatty()
    watching = Top(
        tuple(url.rstrip("/") for url in admins or ADMINS),
        ctx.obj.client if ctx.obj else _client(foreground.reactor),
        foreground.reactor,
        Screen(foreground.write, live),
    )
    try:
        code = foreground.run(watching.start)
    except OSError as error:
        raise click.ClickException(f"stdout cannot be written: {error}") from error
    sys.exit(code)


def _foreground(ctx: click.Context) -> Any:
    """What runs a command: over the global reactor, or what a test gives."""
    if ctx.obj:
        return ctx.obj.foreground()
    from twisted.internet import reactor  # noqa: TID251 - here it enters, as in a tap

    from streamer.services.foreground import Foreground

    return Foreground(reactor, sys.stdout.buffer)


def _client(reactor: Any) -> Any:
    from streamer.net.client import UpstreamClient, agents

    return UpstreamClient(agents(reactor), reactor, f"streamer/{version('streamer')} top")


def _secret(written: str | None) -> Secret | None:
    if not written:
        return None
    try:
        return resolve(written, os.environ)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--token") from error


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _check_admin(written: str) -> None:
    try:
        url = urlsplit(written)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0 and written.isascii()
    except ValueError:
        good = False
    if not good or url.query or url.fragment or url.username is not None or written != written.strip():
        raise click.UsageError(f"{written!r} is no admin endpoint such as {ADMINS[0]}")
