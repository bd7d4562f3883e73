# -*- test-case-name: tests.unit.test_net_gathered -*-
"""The admin endpoint of several like processes: each page is asked of all of them, at that moment, and joined.

/live     answers while the supervisor's reactor turns
/ready    200 when any of them is ready, for then new clients are served; its body names those that are not, and why.
          503 with each one's reasons when none is, or when the supervisor stops
/metrics  all their numbers, with the label `process`, and the supervisor's own without
/status   a list
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec
import treq
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_ALLOWED, OK, SERVICE_UNAVAILABLE
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from streamer.metrics import Metrics
from streamer.net.admin import admin_site, render
from streamer.net.assets import whole
from streamer.net.merging import merged

ANSWER_WITHIN = 3.0  # seconds a process has to answer; who asks us gives up soon after
ANSWER_LIMIT = 4_000_000  # bytes of one process's page

Answer = tuple[int, bytes]  # status, body
Ask = Callable[[str], Deferred[Answer]]  # the name of a page → what a process says


@attrs.frozen
class Member:
    """One of the processes.

    Args:
        facts: what the supervisor knows of it, for `/status`.
        ask: None while it does not run.
        trouble: why it does not run.
    """

    number: int
    facts: Mapping[str, Any]
    ask: Ask | None = None
    trouble: str = "it does not run"


Members = Callable[[], list[Member]]


def gathered_site(members: Members, metrics: Metrics, stopping: Callable[[], bool], reactor: Any) -> Site:
    """The endpoint.

    Args:
        metrics: the supervisor's own.
        stopping: whether the supervisor is; then nothing is ready.
    """
    site = admin_site(metrics, dict, list, reactor=reactor)
    pages = Pages(members, metrics, stopping)
    root = site.resource
    root.putChild(b"ready", _Later("text/plain", pages.ready))
    root.putChild(b"metrics", _Later("text/plain; version=0.0.4", pages.metrics))
    root.putChild(b"status", _Later("application/json", pages.status))
    return site


def unix_pages(path: str, reactor: Any) -> Ask:
    """Ask the admin endpoint that listens on a UNIX socket."""
    agent = Agent.usingEndpointFactory(reactor, _Fixed(reactor, path))

    async def answer(page: str) -> Answer:
        response = await agent.request(b"GET", b"http://process/" + page.encode())
        body = bytearray()

        def collect(data: bytes) -> None:
            body.extend(data)
            if len(body) > ANSWER_LIMIT:
                raise ValueError(f"its /{page} is longer than {ANSWER_LIMIT} bytes")

        await treq.collect(response, collect)
        return response.code, bytes(body)

    return lambda page: Deferred.fromCoroutine(answer(page)).addTimeout(ANSWER_WITHIN, reactor)


@attrs.frozen
class Pages:
    """What the endpoint says."""

    _members: Members
    _metrics: Metrics
    _stopping: Callable[[], bool]

    async def ready(self) -> Answer:
        """200 where any process says so, as the others are renewed, or start anew, behind its back."""
        answers = await self._ask("ready")
        said: list[str] = []
        for member, (code, body) in answers:
            if code != OK:
                lines = body.decode(errors="replace").splitlines() or [f"/ready answered {code}"]
                said += [f"process {member.number}: {line}" for line in lines]
        code = OK if any(code == OK for _, (code, _) in answers) else SERVICE_UNAVAILABLE
        if self._stopping():
            code = SERVICE_UNAVAILABLE
            said.insert(0, "relay: stopping")
        elif not answers:
            said.append("relay: no process runs")
        elif code == OK:
            said.insert(0, "ready")
        return code, "".join(f"{line}\n" for line in said).encode()

    async def metrics(self) -> Answer:
        """The numbers of those that answer."""
        answers = await self._ask("metrics")
        pages = {str(member.number): body.decode() for member, (code, body) in answers if code == 200}
        return 200, merged({"": render(self._metrics), **pages}).encode()

    async def status(self) -> Answer:
        """One object a process; `status` is its own, null where it has none to say."""
        said = []
        for member, (code, body) in await self._ask("status"):
            status = msgspec.Raw(body) if code == 200 else None
            trouble = {} if code == 200 else {"trouble": body.decode(errors="replace")}
            said.append({"process": member.number, **member.facts, **trouble, "status": status})
        return 200, msgspec.json.encode({"stopping": self._stopping(), "processes": said})

    async def _ask(self, page: str) -> list[tuple[Member, Answer]]:
        members = self._members()
        asked = [_answered(member, page) for member in members]
        return list(zip(members, await gatherResults(asked, consumeErrors=True), strict=True))


def _answered(member: Member, page: str) -> Deferred[Answer]:
    """What a process says; 503 and a sentence where it says nothing. Never fails, but may be cancelled."""

    async def answer() -> Answer:
        if member.ask is None:
            return SERVICE_UNAVAILABLE, member.trouble.encode()
        try:
            return await member.ask(page)
        except CancelledError:
            raise
        except Exception as error:
            return SERVICE_UNAVAILABLE, f"its admin endpoint does not answer: {_why(error)}".encode()

    return Deferred.fromCoroutine(answer())


def _why(error: BaseException) -> str:
    """A phrase for an operator; Twisted's web client says of most that went wrong only that something did."""
    while isinstance(error, RequestTransmissionFailed | ResponseFailed | ResponseNeverReceived) and error.reasons:
        error = error.reasons[0].value
    if isinstance(error, DeferredTimeout):
        return f"it said nothing for {ANSWER_WITHIN:g} s"
    return str(error) or type(error).__name__


class _Later(Resource):
    """A page whose answer takes a moment."""

    isLeaf = True
    log = Logger()

    def __init__(self, content_type: str, answer: Callable[[], Any]) -> None:
        Resource.__init__(self)
        self._content_type = content_type.encode()
        self._answer = answer

    def render(self, request: Request) -> int | bytes:
        """Ask; give up where whoever asked has left."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            request.setResponseCode(NOT_ALLOWED)
            return b"this page is only read\n"
        asked: Deferred[Any] = Deferred.fromCoroutine(self._answer())
        gone: Deferred[None] = request.notifyFinish()
        gone.addErrback(lambda _: asked.cancel())
        asked.addCallback(lambda said: None if gone.called else self._say(request, *said))
        asked.addErrback(lambda failure: None if gone.called else self._failed(request, failure))
        return NOT_DONE_YET

    def _failed(self, request: Request, failure: Failure) -> None:
        self.log.failure("while asking all processes for {uri}", failure=failure, uri=request.uri)
        self._say(request, INTERNAL_SERVER_ERROR, b"see the log\n")

    def _say(self, request: Request, code: int, body: bytes) -> None:
        request.setResponseCode(code)
        request.setHeader(b"content-type", self._content_type)
        request.setHeader(b"cache-control", b"no-store")
        request.write(whole(request, body))
        request.finish()


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
@attrs.frozen
class _Fixed:
    """Every URL is at the same socket."""

    _reactor: Any
    _path: str

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        protocolFactory.noisy = False  # a log line at each end of each connection says nothing
        connecting: Deferred[Any] = UNIXClientEndpoint(self._reactor, self._path, ANSWER_WITHIN).connect(
            protocolFactory
        )
        return connecting
