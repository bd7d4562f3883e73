# -*- test-case-name: tests.unit.test_net_site -*-
"""One HTTP connection, counted, and with a deadline that no trickle of bytes puts off.

twisted.web's own time-out begins again with each byte, so that a byte now and then would hold a descriptor for ever.
https://en.wikipedia.org/wiki/Slowloris_(cyber_attack)
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from streamer.net.admission import Admission

REQUEST_WITHIN = 10.0  # seconds from the connection, or from the last answer, to the end of a request
PIPELINED_LIMIT = 8  # requests that come together; more answers than to these are not kept for who does not read them

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class GuardedChannel(HTTPChannel):
    """twisted.web's channel; `GuardedSite` makes it.

    A connection that becomes a websocket is counted out by that, not here.
    """

    admission: Admission | None = None
    address = ""  # counted in the admission
    _late: IDelayedCall | None = None
    _answered = 0  # requests since data came in last

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._expect()

    def dataReceived(self, data: bytes) -> None:
        """Take some of a request, or several."""
        self._answered = 0
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

    def requestDone(self, request: Request) -> None:
        """The answer is written; wait for the next request, or for the client to take it."""
        self._expect()
        self._answered += 1
        if self._answered >= PIPELINED_LIMIT:
            self.persistent = False  # what else came with them is not looked at; the client asks again
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it out."""
        self._wait_no_more()
        if self.admission is not None:
            self.admission.leave(self.address)
        super().connectionLost(reason)

    def _expect(self) -> None:
        self._wait_no_more()
        self._late = self.callLater(REQUEST_WITHIN, self._abort)

    def _wait_no_more(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            late.cancel()

    def _abort(self) -> None:
        self._late = None
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()
