# -*- test-case-name: tests.unit.test_services_authority -*-
"""Where a JSON Web Key Set is: a file or an address on the web, looked at again and again by `services.authority`."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol as BodyReceiver
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from streamer.net import failures
from streamer.net.client import UpstreamClient
from streamer.net.jwks import SET_LIMIT
from streamer.net.jwks_file import Stamp, read_file
from streamer.upstream import Request

FILE_EVERY = 5.0  # seconds between looks at a file
URL_EVERY = 600.0  # seconds between fetches that went well
ASK_EVERY = 30.0  # seconds, at least, between fetches in any case
FETCH_LIMIT = 20.0  # seconds that a fetch may take, as a whole


class KeySetPlace(Protocol):
    """Where a key set is."""

    every: float  # seconds between looks
    again: float  # seconds after a look that went wrong

    async def look(self) -> bytes | None:
        """The content; None where it has not changed since the last look.

        Raises:
            ValueError: it cannot be had; the text says why.
        """


@attrs.define
class KeySetFile:
    """A key set in a file, read in the reactor's thread."""

    path: str
    every: float = FILE_EVERY
    again: float = FILE_EVERY
    _stamp: Stamp = ()

    async def look(self) -> bytes | None:
        """See `KeySetPlace`."""
        known, self._stamp = self._stamp, ()
        self._stamp, content = read_file(self.path, known)
        return content


@attrs.define
class KeySetUrl:
    """A key set on the web. Redirects are not followed: what is trusted is the address in the configuration."""

    url: str
    client: UpstreamClient
    every: float = URL_EVERY
    again: float = ASK_EVERY

    async def look(self) -> bytes | None:
        """See `KeySetPlace`."""
        asked = Deferred.fromCoroutine(self._fetch())
        try:
            return await asked.addTimeout(FETCH_LIMIT, self.client.clock)
        except (CancelledError, ValueError):
            raise
        except Exception as error:
            raise ValueError(failures.ending(Failure(error), "while fetching it").detail) from error

    async def _fetch(self) -> bytes:
        opened = await self.client.open(Request(url=self.url, headers={"Accept": "application/json"}))
        try:
            if opened.answer.code != 200:
                raise ValueError(
                    f"the server answered {opened.answer.code}; it must be there by 200, without redirect"
                )
            body = _Body()
            opened.answer.deliverBody(body)
            return await body.finished
        finally:
            opened.abort()


class _Body(BodyReceiver):
    """Collects the body of an answer, up to `SET_LIMIT`."""

    def __init__(self) -> None:
        self.finished: Deferred[bytes] = Deferred()
        self._content = bytearray()

    def dataReceived(self, data: bytes) -> None:
        if self.finished.called:
            return
        self._content += data
        if len(self._content) > SET_LIMIT:
            self.finished.errback(ValueError(f"it is longer than {SET_LIMIT} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(bytes(self._content))
        else:
            self.finished.errback(reason)
