# -*- test-case-name: tests.unit.test_testing_webhooks -*-
"""A service that calls webhooks: a client, where the other simulations are servers.

It posts what GitHub would, signed as GitHub signs, https://docs.github.com/en/webhooks/webhook-events-and-payloads
and, unlike GitHub, posts again what was not taken: 429, 5xx and no answer at all mean later, other refusals never.
"""

from __future__ import annotations

import hmac
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from streamer.message import rfc3339
from streamer.net.client import UpstreamClient, agents
from streamer.policy.backoff import doubling, retry_after
from streamer.testing.ledger import Ledger
from streamer.testing.production import Production
from streamer.upstream import Request, Response

AGAIN = doubling(1, 60)  # seconds, by the attempt
AT_ONCE = 20  # calls under way; others wait for their turn
_PEOPLE = ("robin", "wren", "finch", "kestrel", "heron", "swift")
_PLACES = ("birds/nest", "birds/pond", "forest/oak", "forest/moss", "harbour/pier")
_WORK = ("Add", "Fix", "Move", "Explain", "Remove", "Measure", "Rename")
_THINGS = ("the map", "a test", "the feeder", "two twigs", "the door", "some moss", "the light")

Fetch = Callable[[Request], Awaitable[Response]]


@attrs.define(eq=False)
class SimulatedSender:
    """One sender.

    Args:
        fetch: makes requests; `UpstreamClient.fetch`.
        url: of the hook.
        secret: of the signature; empty for none.
        token: sent as a bearer token; empty for none.
        rate: calls a second.
        count: calls in all; None never ends.
        done: called once, when all of `count` were taken or refused.

    Attributes:
        ledger: ids as the items have them, in the order of their making.
        taken: ids of calls that were answered 2xx.
        refused: ids that were refused for good, with the status.
        attempts: how often something was posted.
    """

    clock: IReactorTime
    fetch: Fetch
    url: str
    secret: str = ""
    token: str = ""
    seed: int = 0
    rate: float = 1.0
    count: int | None = None
    done: Callable[[], None] = lambda: None
    name: str = "sender of webhooks"
    ledger: Ledger = attrs.field(factory=Ledger)
    taken: list[str] = attrs.field(factory=list)
    refused: dict[str, int] = attrs.field(factory=dict)
    attempts: int = 0
    _random: random.Random = attrs.field(init=False)
    _production: Production = attrs.field(init=False)
    _waiting: list[tuple[str, Request]] = attrs.field(factory=list)  # for their turn
    _running: set[Deferred[None]] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._production = Production(self.clock, self.rate, self.count, self._make, self._look)

    def start(self) -> None:
        """Begin to call."""
        self._production.start()

    def stop(self) -> None:
        """Call no more; nothing is left on the clock."""
        self._production.stop()
        self._waiting.clear()
        for running in tuple(self._running):
            running.cancel()

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {
            "made": self.ledger.produced,
            "taken": len(self.taken),
            "refused": len(self.refused),
            "attempts": self.attempts,
            "under_way": len(self._running) + len(self._waiting),
        }

    def inject(self, text: str, event: str = "push", **fields: Any) -> str:
        """Make one call with this text, and other fields of the body; returns the item's id."""
        return self._post(
            event, {**_body(event, self._random, rfc3339(int(self.clock.seconds() * 1000))), "text": text, **fields}
        )

    def _make(self, number: int) -> int:
        for _ in range(number):
            event = self._random.choice(("push", "push", "release", "issues"))
            self._post(event, _body(event, self._random, rfc3339(int(self.clock.seconds() * 1000))))
        return number

    def _post(self, event: str, body: dict[str, Any]) -> str:
        delivery = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        written = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}
        if self.secret:
            digest = hmac.new(self.secret.encode(), written, "sha256").hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        id_ = f"{event}/{delivery}"
        self.ledger.posted(id_, int(self.clock.seconds() * 1000))
        self._waiting.append((id_, Request(method="POST", url=self.url, headers=headers, body=written)))
        self._next()
        return id_

    def _next(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            running: Deferred[None] = Deferred.fromCoroutine(self._bring(*self._waiting.pop(0)))
            if not running.called:
                self._running.add(running)
                running.addBoth(self._over, running)

    def _over(self, _: object, running: Deferred[None]) -> None:
        self._running.discard(running)
        self._next()
        self._look()

    async def _bring(self, id_: str, request: Request) -> None:
        """Post until it is taken, or refused for good."""
        attempt = 0
        while True:
            attempt += 1
            self.attempts += 1
            wait = AGAIN(attempt)
            try:
                answer = await self.fetch(request)
            except CancelledError:
                raise
            except Exception:  # nobody there, or no whole answer
                await deferLater(self.clock, wait)
                continue
            if 200 <= answer.status < 300:
                self.taken.append(id_)
                return
            if answer.status != 429 and answer.status < 500:
                self.refused[id_] = answer.status
                return
            asked = retry_after(answer.headers.get("retry-after"), self.clock.seconds()) or 0.0
            await deferLater(self.clock, max(wait, asked))

    def _look(self) -> None:
        """Tell when all is done."""
        made = self.count is not None and self._production.made >= self.count
        if made and not self._production.running and not self._running and not self._waiting:
            self.done()


def _body(event: str, chance: random.Random, now: str) -> dict[str, Any]:
    """What GitHub would say of an event, in short."""
    person, place = chance.choice(_PEOPLE), chance.choice(_PLACES)
    work = f"{chance.choice(_WORK)} {chance.choice(_THINGS)}"
    url = f"https://github.com/{place}"
    body: dict[str, Any] = {
        "repository": {"full_name": place, "html_url": url},
        "sender": {"login": person, "html_url": f"https://github.com/{person}"},
    }
    number = chance.randrange(1, 10_000)
    match event:
        case "release":
            release = {
                "name": f"{number // 100}.{number % 100}",
                "html_url": f"{url}/releases/{number}",
                "body": work,
            }
            return {"action": "published", "release": {**release, "published_at": now}, **body}
        case "issues":
            issue = {"number": number, "title": work, "html_url": f"{url}/issues/{number}", "updated_at": now}
            return {"action": "opened", "issue": issue, **body}
        case _:
            commit = {"id": f"{chance.getrandbits(160):040x}", "message": work, "timestamp": now}
            compare = f"{url}/compare/{commit['id'][:12]}"
            return {"ref": "refs/heads/main", "compare": compare, "head_commit": commit, **body}


def simulated_sender(reactor: Any, url: str, **options: Any) -> SimulatedSender:
    """A sender over real connections."""
    return SimulatedSender(
        reactor, UpstreamClient(agents(reactor), reactor, "GitHub-Hookshot/simulated").fetch, url, **options
    )


class SenderService(Service):
    """A sender that runs until all is done."""

    def __init__(self, sender: SimulatedSender, reactor: Any) -> None:
        self.sender = sender
        sender.done = lambda: reactor.callLater(0, reactor.stop)

    def startService(self) -> None:
        """Begin to call."""
        super().startService()
        self.sender.start()

    def stopService(self) -> None:
        """Call no more."""
        super().stopService()
        self.sender.stop()
