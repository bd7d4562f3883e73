# -*- test-case-name: tests.unit.test_net_dialer -*-
"""Opens websockets: carries out what an `asks.Dial` asks for, at the first host that can be reached.

Where a host fails, in whatever way, the next attempt begins with the one after it: with several hosts an upstream that
is half down is as good as up. Certificates are verified against the system's trust roots, as in `net.client`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from streamer.asks import Dial
from streamer.errors import DecodeError
from streamer.net.client import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Opened, UpstreamClient
from streamer.net.dialed import Conversation, DialFactory
from streamer.net.dialed_refusal import RefusedAnswer

REMEMBERED = 1_000  # sets of hosts
QUIET = 20.0  # seconds of silence after which hanging up means that the host is of no use

Endpoints = Callable[[str, int, bool], IStreamClientEndpoint]  # host, port, whether by TLS


def endpoints(reactor: Any) -> Endpoints:
    """Verified TLS or plain TCP."""

    def endpoint(host: str, port: int, secure: bool) -> IStreamClientEndpoint:
        plain: IStreamClientEndpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
        return wrapClientTLS(optionsForClientTLS(host), plain) if secure else plain

    return endpoint


@attrs.define(eq=False)
class Dialer:
    """The way of a `Dial`; see `client.Way`."""

    endpoint: Endpoints
    clock: IReactorTime
    _first: dict[tuple[str, ...], int] = attrs.field(factory=dict)  # which host to begin with, by hosts

    async def open(self, ask: Dial, client: UpstreamClient) -> Opened:
        """Connect to one host after the other until one answers.

        Raises:
            DecodeError: what answers there is no websocket.
            Exception: why the last of them could not be reached; see `net.failures`.
        """
        hosts = tuple(urlsplit(url).netloc for url in ask.urls)
        first = self._first.get(hosts, 0)
        patience = ANSWER_TIMEOUT if len(hosts) == 1 else CONNECT_TIMEOUT
        error: Exception = DecodeError("there is no host to dial")
        for number in range(first, first + len(hosts)):
            index = number % len(hosts)
            dialling = Deferred.fromCoroutine(self._dial(ask.urls[index], ask, client.user_agent))
            try:
                answer = await dialling.addTimeout(patience, self.clock, _timed_out)
            except (CancelledError, ConnectingCancelledError):  # by who asked
                raise
            except Exception as failed:
                error = failed
                self._failed(hosts, index)
                continue
            return self._opened(answer, hosts, index)
        raise error

    async def _dial(self, url: str, ask: Dial, user_agent: str) -> Any:
        factory = DialFactory(url, ask, self.clock, user_agent)
        parts = urlsplit(url)
        protocol: Any = await self.endpoint(parts.hostname or "", factory.port, factory.isSecure).connect(factory)
        try:
            return await protocol.answered
        except CancelledError:
            protocol.transport.abortConnection()
            raise

    def _opened(self, answer: Conversation | RefusedAnswer, hosts: tuple[str, ...], index: int) -> Opened:
        if isinstance(answer, RefusedAnswer):
            self._failed(hosts, index)
            if answer.code < 300:
                answer.abortConnection()
                raise DecodeError(f"a page and no websocket is there ({answer.code}); is a proxy in between?")
            return Opened(answer, [answer])

        def ended(by_us: bool) -> None:
            if not by_us or self.clock.seconds() - answer.last_heard >= QUIET:
                self._failed(hosts, index)

        answer.ended = ended
        return Opened(answer, [answer], answer.say)

    def _failed(self, hosts: tuple[str, ...], index: int) -> None:
        self._first.pop(hosts, None)
        if len(self._first) >= REMEMBERED:
            del self._first[next(iter(self._first))]
        self._first[hosts] = (index + 1) % len(hosts)


def _timed_out(_: object, seconds: float) -> NoReturn:
    raise TimedOut(f"no answer to the websocket's handshake within {seconds:g} s")
