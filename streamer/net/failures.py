# -*- test-case-name: tests.unit.test_services_follower -*-
"""What Twisted's web client raises → an `Ending`, so that every kind of loss ends in the same loop."""

from __future__ import annotations

from OpenSSL.SSL import Error as TLSError
from twisted.internet import error
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss

from streamer.errors import DecodeError
from streamer.policy import backoff
from streamer.upstream import Ending, Response, brief

UNTRUSTED = "certificate verify failed"
CERTIFICATE = "; it has expired, is for another name, or nobody whom this machine trusts has signed it"
_WRAPPERS = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)
_NETWORK = (
    error.ConnectError,
    error.ConnectionClosed,
    error.DNSLookupError,
    error.TimeoutError,
    DeferredTimeout,
    PotentialDataLoss,
    ResponseDone,
    TLSError,
    *_WRAPPERS,
    OSError,
)


class Over(Exception):
    """What was asked for is over, and whoever carried it out knows why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


class Refused(Exception):
    """The upstream ended it in words that only the source understands: see `ISource.refusal`."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status} {response.body[:200]!r}")
        self.response = response


def ending(failure: Failure, doing: str) -> Ending:
    """Classify a failure.

    Args:
        doing: what was being done, for the sentence: "while connecting".
    """
    inner = _innermost(failure)
    if isinstance(inner, Over):
        return inner.ending
    if isinstance(inner, ResponseDone | PotentialDataLoss | error.ConnectionDone):
        whole = isinstance(inner, ResponseDone)
        return Ending(cause=backoff.NETWORK, detail=f"the upstream closed the connection {doing}", whole=whole)
    if isinstance(inner, DecodeError):
        return Ending(cause=backoff.HTTP, detail=f"{inner} {doing}")
    cause = backoff.NETWORK if isinstance(inner, _NETWORK) or inner is not failure.value else backoff.UNEXPECTED
    detail = brief(f"{type(inner).__name__} {doing}: {inner}")
    return Ending(cause=cause, detail=detail + CERTIFICATE if UNTRUSTED in detail else detail)


def _innermost(failure: Failure) -> BaseException:
    while isinstance(failure.value, _WRAPPERS) and failure.value.reasons:
        failure = failure.value.reasons[0]
    value: BaseException = failure.value  # type: ignore[assignment]  # only a NoCurrentExceptionError has none
    return value
