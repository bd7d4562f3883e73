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


class GuardedChannel(HTTPChannel):
    """twisted.web's channel; `GuardedSite` makes it.

    A connection that becomes a websocket is counted out by that, not here.
    """

    admission: Admission | None = None
    address = ""  # counted in the admission
    _late: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait for a request."""
        super().connectionMade()
        self._expect()

    def allContentReceived(self) -> None:
        """The request is there."""
        self._wait_no_more()
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """The answer is written; wait for the next request, or for the client to take it."""
        self._expect()
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
