# -*- test-case-name: tests.unit.test_cli -*-
"""`streamer simulate NAME`: an upstream alone, for trials and tests; each serves until interrupted."""

from __future__ import annotations

import importlib
import math
from typing import Any
from urllib.parse import urlsplit

import attrs
import click

from streamer.services.serving import run_service

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
PRINTS = "Prints the address, then serves until interrupted. Faults are asked for by POST /_sim/fault."


@attrs.frozen
class Plain:
    """A simulated upstream that needs no options of its own.

    Args:
        place: module and class.
        help: what it is.
        how: how to be let in.
        rate: things a second, by default.
    """

    place: str
    help: str
    how: str
    rate: float = 20.0


# What `streamer simulate` knows besides X and Twitter, whose credentials can be chosen.
PLAIN: dict[str, Plain] = {
    "jetstream": Plain(
        "streamer.testing.jetstream:SimulatedJetstream",
        "Bluesky's Jetstream: /subscribe, with filters, cursors and compression.",
        "it asks for nothing",
    ),
    "mastodon": Plain(
        "streamer.testing.mastodon:SimulatedMastodon",
        "A Mastodon server: its streams by server-sent events and websocket, and its timelines.",
        "its token is 'simulated-token'",
        2.0,
    ),
    "wikimedia": Plain(
        "streamer.testing.wikimedia:SimulatedWikimedia",
        "Wikimedia's EventStreams, with canaries, resume by Last-Event-ID and the cut after 15 minutes.",
        "it asks for a User-Agent with a contact",
    ),
    "github": Plain(
        "streamer.testing.github:SimulatedGitHub",
        "GitHub's events: pages, ETags, poll intervals and rate limits.",
        "it asks for nothing",
        2.0,
    ),
    "feed": Plain(
        "streamer.testing.feeds:SimulatedFeed",
        "A site with feeds: /atom.xml and /rss.xml.",
        "it asks for nothing",
        0.2,
    ),
}


@click.group()
def simulate() -> None:
    """Run a simulated upstream alone, for trials and tests."""


def _simulation_options(command: Any, rate: float = 20.0) -> Any:
    """The options that every simulated upstream has."""
    for option in (
        click.option("--wait-for-client", is_flag=True, help="Make no post before a stream is open."),
        click.option("--count", type=COUNT, help="Posts in all; then only keep-alives."),
        click.option("--seed", default=0, help="Seed of everything random."),
        click.option("--rate", type=RATE, default=rate, show_default=True, help="Posts a second."),
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


@simulate.command("webhook")
@click.option("--to", "url", required=True, metavar="URL", help="Hook, as http://127.0.0.1:8184/hooks/deploys")
@click.option("--secret", default="", help="Secret of the signature X-Hub-Signature-256.")
@click.option("--token", default="", help="Bearer token.")
@click.option("--rate", type=RATE, default=1.0, show_default=True, help="Calls a second.")
@click.option("--count", type=COUNT, help="Calls in all; then it ends.")
@click.option("--seed", default=0, help="Seed of everything random.")
def simulate_webhook(url: str, **options: Any) -> None:
    """Call a webhook as GitHub would: signed JSON, sent again where it was not taken.

    Says at the end what became of the calls; exit code 1 where some were refused.
    """
    from twisted.internet import reactor

    from streamer.testing.webhooks import SenderService, simulated_sender

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise click.BadParameter(f"{url!r} is no URL such as 'http://127.0.0.1:8184/hooks/deploys'")
    service = SenderService(simulated_sender(reactor, url, **options), reactor)
    run_service(service, reactor)
    status = service.sender.status()
    click.echo(", ".join(f"{status[key]} {key.replace('_', ' ')}" for key in status))
    if status["refused"]:
        raise SystemExit(1)


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
    run_service(service, reactor)


def _command(name: str, plain: Plain) -> click.Command:
    def run(port: int, **options: Any) -> None:
        from twisted.internet import reactor

        module, _, class_ = plain.place.partition(":")
        simulated: Any = getattr(importlib.import_module(module), class_)
        _simulate(reactor, port, simulated(reactor, **options), plain.how)

    return click.command(name, help=f"{plain.help}\n\n{PRINTS}")(_simulation_options(run, plain.rate))


for _name, _plain in PLAIN.items():
    simulate.add_command(_command(_name, _plain))
