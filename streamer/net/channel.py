# -*- test-case-name: tests.unit.test_net_site -*-
"""One HTTP connection, counted, and with a deadline that no trickle of bytes puts off.

twisted.web's own time-out begins again with each byte, so that a byte now and then would hold a descriptor for ever.
https://en.wikipedia.org/wiki/Slowloris_(cyber_attack)

A relay that stops closes its port, but proxies and browsers keep connections for requests to come, and would bring
these to a relay that sends everybody away. So connections on which nothing happens are closed, and each answer that is
still given says that its connection ends with it; then the next request goes where somebody listens.
"""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

from streamer.net.admission import Admission

REQUEST_WITHIN = 10.0  # seconds from the connection, or from the last answer, to the end of a request
PIPELINED_LIMIT = 8  # requests that come together; more answers than to these are not kept for who does not read them

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@attrs.define(eq=False)
class Keeping:
    """The connections of a site that wait for a request, and whether any is kept for a next one.

    Attributes:
        waiting: those of which no whole request has come since the last answer, or since they were made.
        ended: no connection outlasts its answer any more.
    """

    waiting: set[GuardedChannel] = attrs.field(factory=set)
    ended: bool = False

    def end(self) -> None:
        """Close those on which nothing happens, and the others with their answers."""
        self.ended = True
        for channel in tuple(self.waiting):
            channel.retire()


class GuardedChannel(HTTPChannel):
    """twisted.web's channel; `GuardedSite` makes it.

    A connection that becomes a websocket is counted out by that, not here.
    """

    admission: Admission | None = None
    address = ""  # counted in the admission
    keeping: Keeping  # the site's
    _idle = False  # a request was answered, and not a byte of the next has come
    _late: IDelayedCall | None = None
    _answered = 0  # requests since data came in last

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._expect()

    def dataReceived(self, data: bytes) -> None:
        """Take some of a request, or several."""
        self._answered = 0
        self._idle = False
        super().dataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """The request's target, or a header, is longer than any that we want."""
        transport = cast(Any, self.transport)
        transport.write(TOO_LARGE)
        transport.loseConnection()

    def allContentReceived(self) -> None:
        """The request is there."""
        self._wait_no_more()
        super().allContentReceived()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Write the head of an answer; say in it whether the connection is kept."""
        if self.keeping.ended:
            headers.setRawHeaders(b"connection", [b"close"])
            self.persistent = False
        super().writeHeaders(version, code, reason, headers)

    def requestDone(self, request: Request) -> None:
        """The answer is written; wait for the next request, or for the client to take it."""
        self._expect()
        self._answered += 1
        self._idle = True
        if self._answered >= PIPELINED_LIMIT or self.keeping.ended:
            self.persistent = False  # what else came with them is not looked at; the client asks again
        super().requestDone(request)

    def retire(self) -> None:
        """Close the connection, if it is kept for nothing but a next request.

        One that is new is let be: its first request may be on its way, and if the connection broke, a client that
        cannot tell whether it was served would not repeat it, as one does whose connection was idle.
        """
        if self._idle and self.transport is not None:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it out."""
        self._wait_no_more()
        if self.admission is not None:
            self.admission.leave(self.address)
        super().connectionLost(reason)

    def _expect(self) -> None:
        self._wait_no_more()
        self._late = self.callLater(REQUEST_WITHIN, self._abort)
        self.keeping.waiting.add(self)

    def _wait_no_more(self) -> None:
        self.keeping.waiting.discard(self)
        late, self._late = self._late, None
        if late is not None:
            late.cancel()

    def _abort(self) -> None:
        self._late = None
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()
