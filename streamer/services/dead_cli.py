# -*- test-case-name: tests.unit.test_services_dead_cli -*-
"""`streamer dead …`: an operator's look at what died, and what no binding wanted (docs/bus.md).

Whatever needs the reactor is imported inside a command, so that `--help` stays quick.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import click

from streamer.errors import EXIT_CONFIGURATION, BusError, ConfigurationError

LIMIT = 50  # letters that are shown
SHOWN_LIMIT = 10_000  # letters; `bus.dead_queue.MOST`, which a test compares
QUEUE_NAMES = ("dead", "unrouted")  # of `bus.dead.QUEUES`, as above
_NONE: Mapping[int, str] = MappingProxyType({})
MEMORY = "dead letters of an in-process bus cannot be reached from outside: they are gone with the process"


@attrs.define
class Place:
    """Where to look, and on what it runs."""

    queue: str
    address: Any
    settings: Any  # None without a configuration
    foreground: Any
    reach: Any = None  # a test's own way to a queue

    @property
    def shards(self) -> int | None:
        """See `bus.dead.again`."""
        return None if self.settings is None else self.settings.enrich.shards

    def work(self, wish: Any) -> Any:
        """The work on the letters of a wish."""
        from streamer.bus.dead import QUEUES
        from streamer.bus.dead_queue import open_queue
        from streamer.services.dead_work import Work

        reach = self.reach or open_queue
        reactor = self.foreground.reactor
        return Work(lambda: reach(QUEUES[self.queue], self.address, reactor), wish, reactor, say)

    def now(self) -> float:
        """Seconds since the epoch."""
        return float(self.foreground.reactor.seconds())

    def run(self, begin: Callable[[], Awaitable[Any]], lines: Callable[[Any], Sequence[str]]) -> Any:
        """What a coroutine function returns, once its lines are on stdout; ends the process where a signal came."""
        from twisted.internet.defer import Deferred

        results: list[Any] = []

        async def running() -> None:
            results.append(await begin())
            self.foreground.write("".join(f"{line}\n" for line in lines(results[0])).encode("utf-8", "replace"))

        try:
            code = self.foreground.run(lambda: Deferred.fromCoroutine(running()))
        except (BusError, TimeoutError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'a file'} cannot be written: {error.strerror}") from error
        if code:
            sys.exit(code)
        return results[0]


@click.group()
def dead() -> None:
    """Look at dead letters, replay and drop them.

    They are in the queue streamer.dead, or with --queue unrouted in streamer.unrouted, of a RabbitMQ. Looking changes
    nothing; replay and drop change something only with --yes. Letters are held while a command looks at them, and a
    second command at the same time does not see them.
    """


def _somewhere(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where to look; it takes a `Place` first."""

    @click.option("-c", "--config", type=click.Path(), help="Configuration file (TOML); its [bus] url is used.")
    @click.option("--bus", help="The broker, before that of a file: '$NAME', 'file:/path' or amqp://…")
    @click.option("--queue", type=click.Choice(QUEUE_NAMES), default="dead", show_default=True, help="Which letters.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a letter.")
    @click.pass_context
    @functools.wraps(command)
    def placed(ctx: click.Context, /, config: str | None, bus: str | None, queue: str, **given: Any) -> None:
        settings, address = _found(config, bus)
        command(Place(queue, address, settings, _foreground(ctx), ctx.obj.reach if ctx.obj else None), **given)

    return placed


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters; it takes a `Wish` as `wish`."""

    @click.option("--topic", default="#", metavar="PATTERN", help="Only topics that match: * is a word, # any number.")
    @click.option("--reason", help="Only what died of this: rejected, delivery_limit, …")
    @click.option("--source", help="Only what is of this source.")
    @functools.wraps(command)
    def filtered(
        *place: Any, topic: str, reason: str | None, source: str | None, ids: Sequence[str] = (), **given: Any
    ) -> None:
        from streamer.bus.dead import Wish

        wish = Wish(ids=frozenset(ids), topic=topic, reason=reason, source=source)
        command(*place, wish=wish, **given)

    return filtered


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that changes something what says which letters, and whether it is meant."""

    @click.argument("ids", nargs=-1, metavar="[ID]…")
    @click.option("--all", "everything", is_flag=True, help="All letters, as far as the filters want them.")
    @click.option("--yes", is_flag=True, help="Do it; without, only what would be done is printed.")
    @functools.wraps(command)
    def choosing(*place: Any, ids: Sequence[str], everything: bool, **given: Any) -> None:
        if bool(ids) == everything:
            raise click.UsageError("give the IDs of letters, or --all")
        command(*place, ids=ids, **given)

    return choosing


@dead.command("list")
@_somewhere
@_filters
@click.option("--limit", type=click.IntRange(1, SHOWN_LIMIT), default=LIMIT, show_default=True, help="Show so many.")
def list_(place: Place, wish: Any, limit: int, as_json: bool) -> None:
    """List letters, the oldest death first, without their bodies."""
    from streamer.services.dead_work import counts

    found = place.run(place.work(wish).look, lambda found: _lines(place, found.letters[:limit], as_json))
    say(counts(found, min(limit, len(found.letters))))


@dead.command()
@_somewhere
@click.argument("id_", metavar="ID")
def show(place: Place, id_: str, as_json: bool) -> None:
    """Show one letter whole; with --config also what its source says to it now."""
    from streamer.bus.dead import Wish
    from streamer.services import dead_text
    from streamer.services.dead_decoding import verdict

    def lines(letter: Any) -> list[str]:
        if letter is None:
            return []
        now = place.now()
        said = verdict(letter.message, place.settings, int(now * 1000))
        if as_json:
            return [dead_text.encoded(dead_text.whole(letter, now, said))]
        return dead_text.page(letter, now, said)

    if place.run(place.work(Wish(ids=frozenset([id_]))).one, lines) is None:
        raise click.ClickException(f"there is no letter {id_!r}")


@dead.command()
@_somewhere
@_chosen
@_filters
@click.option("--rate", type=click.FloatRange(0.001, 100_000), help="Replay no more than so many a second.")
def replay(place: Place, wish: Any, rate: float | None, yes: bool, as_json: bool) -> None:
    """Publish letters again to where they were published, then take them off the queue.

    Each keeps its id, headers, kind and time, so that whoever has had it already can tell. It is taken off only when
    the broker has confirmed it; the first that fails ends the command, and no letter is lost by that.
    """
    work = place.work(wish)
    if yes:
        found = place.run(lambda: work.replay(place.shards, rate), lambda found: _lines(place, found.done, as_json))
    else:
        found = place.run(
            lambda: work.plan(place.shards), lambda found: _lines(place, found.letters, as_json, found.notes)
        )
        say(f"{len(found.letters) - len(found.notes)} would be replayed; add --yes to do it.")
    _end(wish, found, "replayed")


@dead.command()
@_somewhere
@_chosen
@_filters
@click.option("--save", type=click.Path(path_type=Path), help="New file that gets what is dropped, as JSON lines.")
def drop(place: Place, wish: Any, save: Path | None, yes: bool, as_json: bool) -> None:
    """Take letters off the queue for ever."""
    work = place.work(wish)
    if yes:
        found = place.run(lambda: work.drop(save), lambda found: _lines(place, found.done, as_json))
    else:
        found = place.run(work.look, lambda found: _lines(place, found.letters, as_json))
        say(f"{len(found.letters)} would be dropped; add --yes to do it.")
    _end(wish, found, "dropped")


def _end(wish: Any, found: Any, verb: str) -> None:
    """Say what is not as it was asked for, and exit 1 where something is."""
    from streamer.bus.dead import missing

    by_tag = {letter.tag: letter.id for letter in found.letters}
    wrong = [f"{by_tag[tag]} cannot be {verb}: {why}" for tag, why in found.notes.items()]
    wrong += [f"there is no letter {id_!r}" for id_ in missing(wish, found.letters)]
    if found.failure:
        wrong.append(f"{found.failure}; the others are where they were")
    if found.looked_at < found.depth:
        say(f"Only the first {found.looked_at} of {found.depth} were looked at; do it again for the rest.")
    for sentence in wrong[:LIMIT]:
        say(f"Error: {sentence}")
    if wrong:
        sys.exit(1)


def _lines(place: Place, letters: Sequence[Any], as_json: bool, notes: Mapping[int, str] = _NONE) -> list[str]:
    """A line a letter; `notes` by tag, why one stays where it is."""
    from streamer.services import dead_text

    now = place.now()
    rows = [dead_text.row(letter, now) for letter in letters]
    if not as_json:
        return dead_text.lines(rows)
    noted = [
        {**row, "stays": notes[letter.tag]} if letter.tag in notes else row
        for row, letter in zip(rows, letters, strict=True)
    ]
    return [dead_text.encoded(row) for row in noted]


def _found(config: str | None, bus: str | None) -> tuple[Any, Any]:
    """The settings, where a file is given, and the broker's address."""
    from streamer.bus.factory import check_url
    from streamer.secrets import resolve
    from streamer.services.options import read

    if config is None and not bus:
        raise click.UsageError("give --config FILE or --bus URL")
    settings = None
    if config is not None:
        try:
            settings = read(config)
        except ConfigurationError as error:
            say(str(error))
            sys.exit(EXIT_CONFIGURATION)
    try:
        url = resolve(bus, os.environ).reveal() if bus else settings.bus.url.reveal() if settings is not None else ""
        address = check_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--bus") from error
    if address is None:
        raise click.ClickException(MEMORY)
    return settings, address


def _foreground(ctx: click.Context) -> Any:
    """What runs a command: over the global reactor, or what a test gives."""
    if ctx.obj:
        return ctx.obj.foreground()
    from twisted.internet import reactor  # noqa: TID251 - here it enters, as in a tap

    from streamer.services.foreground import Foreground

    return Foreground(reactor, sys.stdout.buffer)


def say(sentence: str) -> None:
    """Talk goes to stderr."""
    click.echo(sentence, err=True)
