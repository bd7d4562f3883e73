# -*- test-case-name: tests.unit.test_net_hooks -*-
"""Hooks: requests that others make to us. They look like any other stream to whoever reads them.

One site of a process serves them all, below `/hooks/`; it listens from the first that is opened to the last that is
closed. A caller is answered once the bus has what he brought: if anything fails before that he is asked to come again,
so an item may come twice, and its id makes that harmless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers

from streamer.asks import Hook, Listen, Posted, Reply
from streamer.endpoints import not_handed
from streamer.errors import MessageRefused
from streamer.net.client import Opened, UpstreamClient
from streamer.net.failures import Over
from streamer.net.hook_site import HookSite, later, sentence
from streamer.policy import backoff
from streamer.policy.sample import Sample
from streamer.upstream import Ending, brief

CONFIRM_WITHIN = 10.0  # seconds that a caller waits for the bus; the first senders give up after 10 s
IN_FLIGHT = 100  # calls at once that wait for the bus
CLOSED_KEPT = 1_000  # hooks that were open; their callers are asked to come again, for 404 would end it for many
PATH_SHOWN = 8  # characters of a path that go to the log; the whole of it may be a secret
PULSE = 10.0  # seconds between two signs that a hook is open; what comes to it until then is ours

Binding = Callable[[HookSite], Awaitable[IListeningPort]]


def binding(reactor: Any, endpoint: str) -> Binding:
    """How to listen at an endpoint, in Twisted's notation.

    Raises:
        Over: when called: it cannot be had.
    """

    async def bind(site: HookSite) -> IListeningPort:
        try:
            if (missing := not_handed(endpoint)) is not None:
                raise LookupError(f"{missing}.")
            port: IListeningPort = await serverFromString(reactor, endpoint).listen(site)
        except Exception as error:
            detail = f"hooks cannot listen on {endpoint!r}: {error} Change [streamer] hooks."
            raise Over(Ending(cause=backoff.NETWORK, detail=detail)) from error
        return port

    return bind


@attrs.define(eq=False)
class Hooks:
    """The hooks of one process. It is also the way of a `Listen`; see `client.Way`."""

    bind: Binding
    clock: IReactorTime
    site: HookSite = attrs.field(init=False)
    waiting: int = 0  # calls that wait for the bus
    _open: dict[str, list[Opening]] = attrs.field(factory=dict)  # by path; the last one is served
    _closed: dict[str, Hook] = attrs.field(factory=dict)  # by path; may be open again soon
    _port: IListeningPort | None = None
    _lock: DeferredLock = attrs.field(factory=DeferredLock)  # who opens or closes the port

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self.site = HookSite(self._find, self._call, self.clock)

    async def open(self, ask: Listen, client: UpstreamClient) -> Opened:
        """Open a hook.

        Raises:
            Over: nothing can listen there.
        """
        opening = await self.mount(ask.hook)
        return Opened(opening, [opening])

    async def mount(self, hook: Hook) -> Opening:
        """Open a hook, which may be that of a poll. Where its path is open already, the new one takes its place.

        Raises:
            Over: nothing can listen there.
        """
        opening = Opening(hook, self)
        self._open.setdefault(hook.path, []).append(opening)
        self._closed.pop(hook.path, None)
        try:
            await self._listen()
        except BaseException:
            opening.close()
            raise
        return opening

    def unmount(self, opening: Opening) -> None:
        """Serve a hook no more; the one whose place it took is served again, if that is still open."""
        path = opening.hook.path
        left = [other for other in self._open.get(path, ()) if other is not opening]
        if left:
            self._open[path] = left
        else:
            self._open.pop(path, None)
            self._closed[path] = opening.hook
            if len(self._closed) > CLOSED_KEPT:
                del self._closed[next(iter(self._closed))]
        if not self._open:
            Deferred.fromCoroutine(self._leave()).addErrback(self._stuck)

    async def _listen(self) -> None:
        await self._lock.acquire()
        try:
            if self._port is None and self._open:
                self.site.keeping.ended = False
                self._port = await self.bind(self.site)
                self.log.info("Hooks are at {address}.", address=self._port.getHost())
        finally:
            self._lock.release()

    async def _leave(self) -> None:
        await self._lock.acquire()
        try:
            port = self._port
            if port is not None and not self._open:
                self._port = None
                self.site.keeping.end()
                await maybeDeferred(port.stopListening)
        finally:
            self._lock.release()

    def _stuck(self, failure: Any) -> None:
        self.log.failure("while closing the port of the hooks", failure=failure)

    def _find(self, path: str) -> Hook | None:
        opening = self._served(path)
        return self._closed.get(path) if opening is None else opening.hook

    async def _call(self, path: str, posted: Posted) -> Reply:
        opening = self._served(path)
        return later("the hook is closed at the moment") if opening is None else await opening.answer(posted)

    def _served(self, path: str) -> Opening | None:
        """The newest that somebody reads; the newest of all where nobody reads any."""
        openings = self._open.get(path, ())
        return next((opening for opening in reversed(openings) if opening.read), openings[-1] if openings else None)


@attrs.define(eq=False)
class Opening:
    """A hook that is open. It is the answer of a `Listen`, as `client.Answer` has it, and its transport.

    Attributes:
        woken: called when a reply says that whoever polls beside this hook is to go on now.
    """

    hook: Hook
    hooks: Hooks
    code: int = 200
    headers: Headers = attrs.field(factory=Headers)
    woken: Callable[[], None] = lambda: None
    closed: bool = False
    _body: Any = None  # the protocol that gets the frames
    _paused: bool = False
    _pulse: IDelayedCall | None = None
    _settling: set[Deferred[None]] = attrs.field(factory=set)
    _refused: Sample = attrs.field(factory=Sample)

    log = Logger()

    @property
    def read(self) -> bool:
        """Somebody gets what comes."""
        return self._body is not None

    def deliverBody(self, protocol: Any) -> None:
        """Let a `stream.StreamBody` have the frames; this is its transport."""
        self.attach(protocol)
        protocol.makeConnection(self)
        self._beat()

    def attach(self, protocol: Any) -> None:
        """Let a protocol have the frames beside those of its own transport."""
        self._body = protocol

    def pauseProducing(self) -> None:
        """Send callers away."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Take what comes."""
        self._paused = False

    def stopProducing(self) -> None:
        """Close it."""
        self.close()

    def abortConnection(self) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Take nothing more; who waits for the bus is asked to come again."""
        if self.closed:
            return
        self.closed = True
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            pulse.cancel()
        for settling in tuple(self._settling):
            settling.cancel()
        self.hooks.unmount(self)

    async def answer(self, posted: Posted) -> Reply:
        """What to say to a caller."""
        refusal = self._unwilling() if posted.method not in ("GET", "HEAD") else ""
        if refusal:
            if self._body is not None and self._body.taker is not None:
                self._body.taker.sent_away()
            return later(refusal)
        try:
            said = self.hook.answer(posted)
        except Exception:
            self.log.failure("while answering at the hook {path}", path=self.hook.path)
            return sentence(500, "something went wrong here")
        if isinstance(said, Reply):
            self._note(said, posted)
            return said
        if self._body is None:
            return later("nobody reads this hook yet")
        taker = self._body.taker
        since = 0 if taker is None else taker.taken
        self._body.dataReceived(said.frames)
        try:
            return said.reply if await self._settled(since) else later("what was sent is not safe yet")
        except MessageRefused as error:
            if self._unwilling():  # nothing is taken at all at the moment
                return later("what was sent is not safe yet")
            refused = sentence(422, f"this can never be taken: {brief(str(error))}")
            self._note(refused, posted)
            return refused

    def _note(self, said: Reply, posted: Posted) -> None:
        """Wake whoever waits for this reply; log a refusal, for the sender's operator may ask ours about it."""
        if said.wake:
            self.woken()
        if said.status >= 400 and self._refused.take(str(said.status), self.hooks.clock.seconds()) is not None:
            text = brief(said.body.decode("utf-8", "replace"))
            self.log.warn(
                "The hook {hook} refused a call from {address}: {status} {text}",
                hook=self.hook.path[:PATH_SHOWN],
                address=posted.address,
                status=said.status,
                text=text,
            )

    def _unwilling(self) -> str:
        """Why nothing is taken now, as a sentence."""
        if self.closed or self._body is None:
            return "nobody reads this hook at the moment"
        if self.hooks.waiting >= IN_FLIGHT:
            return "too many calls wait for the bus"
        taker = self._body.taker
        unwilling = "" if taker is None else str(taker.unwilling)
        return unwilling or ("reading is paused" if self._paused else "")

    async def _settled(self, since: int) -> bool:
        """Wait for the bus; False where it took too long, MessageRefused where it will never take it."""
        if self.closed:  # by what it was sent
            return False
        if self._body.taker is None:
            return True
        settling: Deferred[None] = self._body.taker.settled(since)
        self._settling.add(settling)
        self.hooks.waiting += 1
        try:
            await settling.addTimeout(CONFIRM_WITHIN, self.hooks.clock)
        except TimedOut:
            return False
        except Exception:
            if not self.closed:
                raise
            return False
        finally:
            self._settling.discard(settling)
            self.hooks.waiting -= 1
        return True

    def _beat(self) -> None:
        """Say that the hook is open, and that nothing else came."""
        self._pulse = self.hooks.clock.callLater(PULSE, self._beat)
        if not self._paused:
            self._body.dataReceived(())
