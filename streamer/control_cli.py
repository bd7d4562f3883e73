# -*- test-case-name: tests.unit.test_cli_control -*-
"""`streamer sources …`: the operator's verbs from a terminal, over the streamer's admin endpoint (docs/control.md).

A short exchange with one server needs no reactor, so this is the standard library's HTTP client. It takes no notice
of proxies in the environment, for the endpoint is on this machine or near it.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urlencode, urlsplit

import attrs
import click
import msgspec
from click.core import ParameterSource

from streamer.policy.source_table import source_table
from streamer.secrets import Secret, resolve

ADMIN = "http://127.0.0.1:8181"
WAIT = 60.0  # seconds without a byte; a stop takes as long as the bus needs for what is under way
ANSWER_LIMIT = 16_000_000  # bytes
HEADER_TEXT = range(0x21, 0x7F)  # what a token may be made of

Connect = Callable[[SplitResult], HTTPConnection]


def connection(url: SplitResult) -> HTTPConnection:
    """A connection to the endpoint, not yet open."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(url.hostname or "", url.port, timeout=WAIT)


@attrs.frozen
class Endpoint:
    """Where to ask.

    Args:
        url: its scheme, host, port and what stands before each path.
        token: None sends none.
        connect: makes a connection.
    """

    url: SplitResult
    token: Secret | None
    connect: Connect

    def ask(self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> Any:
        """The answer, read.

        Raises:
            click.ClickException: there is none, or it is a no; click prints it and exits 1.
        """
        target = self.url.path.rstrip("/") + path + ("?" + urlencode(query) if query else "")
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token.reveal()}"}
        at = self.url.geturl()
        channel = self.connect(self.url)
        try:
            channel.request(method, target, body, headers)
            response = channel.getresponse()
            said = response.read(ANSWER_LIMIT)
        except TimeoutError as error:
            raise click.ClickException(
                f"{at} has not answered for {WAIT:g} s; what was asked may still be done"
            ) from error
        except (OSError, HTTPException, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            mend = "Is the streamer running, and is this its [streamer] admin? See --admin."
            raise click.ClickException(f"{at} does not answer: {reason}. {mend}") from error
        finally:
            channel.close()
        try:
            document = msgspec.json.decode(said)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        if response.status != 200:
            sentence = document.get("error") if isinstance(document, dict) else None
            raise click.ClickException(printable(f"{at} answers {response.status}: {sentence or response.reason}"))
        if not isinstance(document, dict):
            raise click.ClickException(f"what {at} answers is no JSON object; is it a streamer's admin endpoint?")
        return document


def _at(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where to ask; it takes an `Endpoint` first."""

    @click.option("--admin", default=ADMIN, show_default=True, metavar="URL", help="The streamer's admin endpoint.")
    @click.option(
        "--token", envvar="STREAMER_TOKEN", help="As in [streamer] token: '$NAME', 'file:/path' or the token itself."
    )
    @click.pass_context
    @functools.wraps(command)
    def asking(ctx: click.Context, /, admin: str, token: str | None, **given: Any) -> None:
        command(Endpoint(_url(admin), _token(token), ctx.obj or connection), **given)

    return asking


def _at_endpoint(command: Callable[..., None]) -> Callable[..., None]:
    """The same, for a command that is about some sources or all."""
    return click.argument("names", nargs=-1, metavar="[NAME]…")(_at(command))


_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(invoke_without_command=True)
@_at
@_AS_JSON
def sources(endpoint: Endpoint, as_json: bool) -> None:
    """Look at, stop, start and change the sources of a running streamer.

    Alone it shows how all of them stand; needs no token. NAMEs are those of [sources.NAME]; without any, a command is
    for all of them. Options for a command stand after it.
    """
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        _status(endpoint, (), as_json)
        return
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{given[0]} stands after the command: streamer sources {context.invoked_subcommand} …")


@sources.command()
@_at_endpoint
@_AS_JSON
def status(endpoint: Endpoint, names: Sequence[str], as_json: bool) -> None:
    """Show how sources stand; needs no token."""
    _status(endpoint, names, as_json)


def _status(endpoint: Endpoint, names: Sequence[str], as_json: bool) -> None:
    rows = endpoint.ask("GET", "/status").get("streamer")
    if not isinstance(rows, dict):
        raise click.ClickException("no streamer runs at that endpoint; give the one of [streamer] admin. See --admin.")
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise click.ClickException(f"no source {unknown[0]!r} is followed there; known are {', '.join(rows)}")
    _show({name: rows[name] for name in names or rows}, as_json)


@sources.command()
@_at_endpoint
@_AS_JSON
def stop(endpoint: Endpoint, names: Sequence[str], as_json: bool) -> None:
    """Hang up and stay away; done when every connection is gone."""
    _show(endpoint.ask("POST", "/stop", _named(names)), as_json)


@sources.command()
@_at_endpoint
@_AS_JSON
def start(endpoint: Endpoint, names: Sequence[str], as_json: bool) -> None:
    """Follow again what was stopped."""
    _show(endpoint.ask("POST", "/start", _named(names)), as_json)


@sources.command()
@_at_endpoint
@_AS_JSON
def update(endpoint: Endpoint, names: Sequence[str], as_json: bool) -> None:
    """Bring what is wanted into force, with a new connection where one is needed."""
    _show(endpoint.ask("POST", "/update", _named(names)), as_json)


@sources.command()
@_at_endpoint
@click.option("--put", type=click.File("rb"), help="JSON file of other predicates, '-' for stdin.")
@click.option("--dry-run", is_flag=True, help="With --put: change nothing, say what would be done.")
def predicates(endpoint: Endpoint, names: Sequence[str], put: BinaryIO | None, dry_run: bool) -> None:
    """Show what sources ask for, or ask for something else."""
    if put is None:
        if dry_run:
            raise click.UsageError("--dry-run is for --put")
        _show(endpoint.ask("GET", "/predicates", _named(names)), True)
        return
    query = [*_named(names), *([("dry_run", "true")] if dry_run else [])]
    _show(endpoint.ask("PUT", "/predicates", query, put.read()), True)


def printable(text: str) -> str:
    """Without what could move a terminal's cursor: states may quote what an upstream said."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _show(document: Mapping[str, Any], as_json: bool) -> None:
    if as_json or not all(isinstance(row, dict) for row in document.values()):
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
        click.echo("\n".join(map(printable, text.split("\n"))))
    else:
        click.echo("\n".join(source_table(document, shutil.get_terminal_size().columns)))


def _named(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("source", name) for name in names]


def _url(written: str) -> SplitResult:
    try:
        url = urlsplit(written)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        good = False
    if not good or url.query or url.fragment or url.username is not None:
        raise click.BadParameter(f"{written!r} is no address such as {ADMIN}", param_hint="--admin")
    return url


def _token(written: str | None) -> Secret | None:
    if not written:
        return None
    try:
        token = resolve(written, os.environ)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--token") from error
    if any(ord(character) not in HEADER_TEXT for character in token.reveal()):
        raise click.BadParameter("a token is made of printable ASCII without spaces", param_hint="--token")
    return token
