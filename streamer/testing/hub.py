# -*- test-case-name: tests.unit.test_testing_hub -*-
"""A WebSub hub without a network: https://www.w3.org/TR/websub/#hub-role

It takes subscriptions (202), verifies them at the callback, and distributes signed content until their leases end. It
can deny, lose, be mute, or send its subscribers to another hub; and `fault` makes its answers go wrong, as those of
every simulation that is asked. Content that a subscriber does not take is brought again, later each time.
"""

from __future__ import annotations

import hmac
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from streamer.testing.answering import Answering, Whole
from streamer.testing.faults import Fault, Faults
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder
from streamer.upstream import Request, Response

SECRET_LIMIT = 200  # bytes; a secret has fewer
LEASE_DEFAULT = 864_000  # seconds, where the subscriber asks for none
VERIFY_AFTER = 0.5  # seconds from the 202 to the verification
RETRIES = (1.0, 5.0, 30.0, 120.0)  # seconds before content is brought again
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}

Fetch = Callable[[Request], Awaitable[Response]]


@attrs.frozen
class Granted:
    """A subscription that its subscriber has confirmed."""

    callback: str
    topic: str
    secret: str
    until: float  # seconds since the epoch


@attrs.define
class Counts:
    """What became of contents, one count a subscriber and content, but for `refused`, which counts attempts."""

    delivered: int = 0
    refused: int = 0
    given_up: int = 0


@attrs.define(eq=False)
class Couriers:
    """What a hub brings to its subscribers."""

    clock: IReactorTime
    fetch: Fetch
    counts: Counts
    _running: set[Deferred[None]] = attrs.field(factory=set)

    async def say_denied(self, callback: str, topic: str, reason: str) -> None:
        """Tell a subscriber that it is none any more."""
        query = {"hub.mode": "denied", "hub.topic": topic, "hub.reason": reason}
        await self.fetch(Request(url=_with(callback, query)))

    async def bring(self, granted: Granted, headers: Mapping[str, str], body: bytes) -> bool:
        """Bring content until it is taken, or for long enough; False where the subscriber is gone."""
        for wait in (0.0, *RETRIES):
            if wait:
                await deferLater(self.clock, wait)
            try:
                answer = await self.fetch(Request(method="POST", url=granted.callback, headers=headers, body=body))
            except CancelledError:
                raise
            except Exception:  # nobody there
                self.counts.refused += 1
                continue
            if 200 <= answer.status < 300:
                self.counts.delivered += 1
                return True
            self.counts.refused += 1
            if answer.status == 410:
                return False
        self.counts.given_up += 1
        return True

    def run(self, work: Any) -> None:
        """Let something go on beside the rest."""
        running: Deferred[None] = Deferred.fromCoroutine(work)
        self._running.add(running)
        running.addBoth(lambda _: self._running.discard(running))

    def stop(self) -> None:
        """Drop whatever is under way."""
        for running in tuple(self._running):
            running.cancel()


@attrs.define(eq=False)
class SimulatedHub:
    """One hub.

    Args:
        fetch: makes requests to subscribers; `UpstreamClient.fetch`.
        url: its own, for Link headers.
        lease: the longest that it grants, in seconds.
        algorithm: of its signatures.

    Attributes:
        denies: why it denies every subscription from now on; empty where it does not.
        moved: a status, 307 or 308, and the hub that it sends subscribers to.
        mute: it takes subscriptions and never verifies them.
        complaints: what subscribers did that the recommendation does not allow.
    """

    clock: IReactorTime
    fetch: Fetch
    seed: int = 0
    url: str = "http://127.0.0.1/"
    lease: int = 864_000
    algorithm: str = "sha256"
    name: str = "WebSub hub"
    denies: str = ""
    moved: tuple[int, str] | None = None
    mute: bool = False
    asked: int = 0
    complaints: list[str] = attrs.field(factory=list)
    counts: Counts = attrs.field(factory=Counts)
    ledger: Ledger = attrs.field(factory=Ledger)
    resource: Folder = attrs.field(init=False)
    _granted: dict[tuple[str, str], Granted] = attrs.field(factory=dict)
    _answering: Answering = attrs.field(init=False)
    _couriers: Couriers = attrs.field(init=False)
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._couriers = Couriers(self.clock, lambda request: self.fetch(request), self.counts)
        self._answering = Answering(self.name, self.clock, Faults(), self.ledger)
        self.resource = _Page(self._answering, self._take)

    def start(self) -> None:
        """It only answers."""

    def stop(self) -> None:
        """Drop whatever is under way; nothing is left on the clock."""
        self._answering.stop()
        self._couriers.stop()

    def fault(self, fault: Fault) -> None:
        """See `Answering.fault`."""
        self._answering.fault(fault)

    def status(self) -> dict[str, Any]:
        """How things stand."""
        return {"subscriptions": len(self.subscriptions()), "connections": len(self._answering)}

    def subscriptions(self) -> list[Granted]:
        """Those whose lease lasts."""
        now = self.clock.seconds()
        return [granted for granted in self._granted.values() if granted.until > now]

    def lose(self) -> None:
        """Forget all subscriptions without a word, as after a loss of data."""
        self._granted.clear()

    def deny(self, reason: str) -> None:
        """End all subscriptions, and say so to the subscribers."""
        self.denies = reason
        granted, self._granted = list(self._granted.values()), {}
        for one in granted:
            self._couriers.run(self._couriers.say_denied(one.callback, one.topic, reason))

    def distribute(self, topic: str, body: bytes, content_type: str = "application/atom+xml") -> int:
        """Bring content to the topic's subscribers; returns how many there are."""
        due = [granted for granted in self.subscriptions() if granted.topic == topic]
        for granted in due:
            self._couriers.run(self._bring(granted, body, content_type))
        return len(due)

    def _take(self, form: Mapping[str, str]) -> Whole:
        """Somebody wants to subscribe, or no longer to be subscribed."""
        self.asked += 1

        def refuse(text: str) -> Whole:
            self.complaints.append(text)
            return Whole(400, PLAIN, text.encode())

        if self.moved is not None:
            status, location = self.moved
            return Whole(status, {"Location": location})
        mode, topic, callback = form.get("hub.mode"), form.get("hub.topic", ""), form.get("hub.callback", "")
        secret, lease = form.get("hub.secret", ""), form.get("hub.lease_seconds", str(LEASE_DEFAULT))
        if mode not in ("subscribe", "unsubscribe"):
            return refuse("hub.mode is subscribe or unsubscribe")
        if urlsplit(callback).scheme not in ("http", "https") or not topic:
            return refuse("hub.callback and hub.topic are required")
        if len(secret.encode()) >= SECRET_LIMIT:
            return refuse("hub.secret must be less than 200 bytes in length")
        if not lease.isdecimal():
            return refuse("hub.lease_seconds is a number")
        if not self.mute:
            self._couriers.run(
                self._verify(mode, Granted(callback, topic, secret, float(min(int(lease), self.lease))))
            )
        return Whole(202, PLAIN, b"")

    async def _verify(self, mode: str, wanted: Granted) -> None:
        """Ask the subscriber; `wanted.until` is the lease in seconds."""
        await deferLater(self.clock, VERIFY_AFTER)
        if self.denies:
            await self._couriers.say_denied(wanted.callback, wanted.topic, self.denies)
            return
        challenge = f"{self._random.getrandbits(64):016x}"
        query = {
            "hub.mode": mode,
            "hub.topic": wanted.topic,
            "hub.challenge": challenge,
            "hub.lease_seconds": str(int(wanted.until)),
        }
        answer = await self.fetch(Request(url=_with(wanted.callback, query)))
        key = (wanted.callback, wanted.topic)
        if not 200 <= answer.status < 300 or answer.body != challenge.encode():
            return
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.complaints.append("the challenge was echoed as HTML, which a browser would run")
        if mode == "unsubscribe":
            self._granted.pop(key, None)
        else:
            self._granted[key] = attrs.evolve(wanted, until=self.clock.seconds() + wanted.until)

    async def _bring(self, granted: Granted, body: bytes, content_type: str) -> None:
        headers = {
            "Content-Type": content_type,
            "Link": f'<{self.url}>; rel="hub", <{granted.topic}>; rel="self"',
        }
        if granted.secret:
            digest = hmac.new(granted.secret.encode(), body, self.algorithm).hexdigest()
            headers["X-Hub-Signature"] = f"{self.algorithm}={digest}"
        if not await self._couriers.bring(granted, headers, body):
            self._granted.pop((granted.callback, granted.topic), None)


class _Page(Folder):
    """Where subscribers post to."""

    def __init__(self, answering: Answering, take: Callable[[Mapping[str, str]], Whole]) -> None:
        super().__init__()
        self._answering = answering
        self._take = take

    def getChild(self, path: bytes, request: Any) -> Any:
        """The hub is at every path."""
        return self

    def render_POST(self, request: Any) -> int:
        """Take a form."""
        rows = parse_qs(request.content.getvalue().decode("utf-8", "replace"))
        form = {name: values[-1] for name, values in rows.items()}
        return self._answering.answer(request, lambda: self._take(form))


def _with(callback: str, query: Mapping[str, str]) -> str:
    """A callback with more in its query."""
    return f"{callback}{'&' if '?' in callback else '?'}{urlencode(query)}"
