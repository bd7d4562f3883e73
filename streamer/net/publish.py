# -*- test-case-name: tests.unit.test_net_publish -*-
"""`POST /publish`: a client without a websocket, such as a backend, publishes one event.

    POST /publish                             200 {"id": …, "source": …}   when the bus has confirmed
    Authorization: Bearer JWT                 else {"error": {"code", "message", "retry"}}
    Content-Type: application/json
    {"topic": …, "data": {…}, "id"?: …, "subject"?: …}

A page in a browser may do so from an origin of the list, as for the websocket; browsers ask beforehand (OPTIONS),
for the content type and `Authorization` are none that a form could send (https://fetch.spec.whatwg.org/#cors-protocol).
Cookies mean nothing here, so there is nothing that another's page could ride on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import (
    BAD_REQUEST,
    FORBIDDEN,
    NO_CONTENT,
    NOT_ALLOWED,
    NOT_FOUND,
    REQUEST_ENTITY_TOO_LARGE,
    SERVICE_UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
)
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer.errors import ClientError
from streamer.fanout.bucket import Bucket
from streamer.fanout.grants import Authority, Grants
from streamer.fanout.logged import EVENT_LIMIT
from streamer.fanout.publishing import Done, Published, Publishes, outcome, read_publication
from streamer.metrics import CLIENT_PUBLISHED, Metrics
from streamer.net.assets import answer_with
from streamer.net.bearer import grants_of, refusal
from streamer.net.headers import GuardedRequest, client_address
from streamer.net.origins import Origins

PATH = b"/publish"
BODY_LIMIT = EVENT_LIMIT  # bytes
TOO_MANY_REQUESTS = 429
RETRY_AFTER = 3  # seconds that one who may come again is asked to wait
PREFLIGHT_KEPT = 600  # seconds that a browser may remember that it may publish
RATE = 50.0  # events a second, of one publisher
BURST = 100.0  # events
PUBLISHERS_LIMIT = 10_000  # publishers whose rate is remembered; the longest unheard are forgotten

STATUS: Mapping[str, int] = {
    "not-found": NOT_FOUND,
    "method": NOT_ALLOWED,
    "origin": FORBIDDEN,
    "media-type": UNSUPPORTED_MEDIA_TYPE,
    "too-long": REQUEST_ENTITY_TOO_LARGE,
    "rate": TOO_MANY_REQUESTS,
    "limit": SERVICE_UNAVAILABLE,
    "unavailable": SERVICE_UNAVAILABLE,
}  # of ClientError.code; see `_status` for "token" and "forbidden"; all others are BAD_REQUEST
_JSON = re.compile(rb"application/json\s*(?:;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)
_METHODS = b"OPTIONS, POST"


@attrs.define
class Rates:
    """How fast each publisher may go on; who comes with a token is known by its subject, others by their address."""

    _buckets: dict[tuple[str, str], Bucket] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, grants: Grants, address: str, now: float) -> None:
        """Count one event.

        Raises:
            ClientError: `rate`.
        """
        key = ("subject", grants.subject) if grants.subject else ("address", address)
        bucket = self._buckets.pop(key, None) or Bucket(RATE, BURST, now)
        self._buckets[key] = bucket  # the last heard is the last of the dict
        if len(self._buckets) > PUBLISHERS_LIMIT:
            del self._buckets[next(iter(self._buckets))]
        if not bucket.take(now):
            sentence = f"too many events; {RATE:g} a second, {BURST:g} at once are allowed"
            raise ClientError("rate", sentence, retry=True)


class Publish(Resource):
    """The page.

    Args:
        publisher: hands events to the bus.
        authority: says what a token is worth.
        origins: of pages that may publish.
    """

    isLeaf = True

    def __init__(
        self, publisher: Publishes, authority: Authority, origins: Iterable[str], metrics: Metrics, clock: IReactorTime
    ) -> None:
        Resource.__init__(self)
        self._publisher = publisher
        self._authority = authority
        self._origins = Origins(origins)
        self._metrics = metrics
        self._clock = clock
        self._rates = Rates()

    def render(self, request: Request) -> int:
        """Answer, perhaps later; the event is published even if nobody waits for the answer any more."""
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def done(answer: Published | ClientError) -> None:
            if not gone:
                _answer(request, answer)

        try:
            self._asked(request, done)
        except ClientError as error:
            if request.method == b"POST":
                self._metrics.add(CLIENT_PUBLISHED, outcome(error))
            done(error)
        return NOT_DONE_YET

    def _asked(self, request: Request, done: Done) -> None:
        self._origins.open(request, b"retry-after, www-authenticate")
        if any(request.postpath or ()):
            raise ClientError("not-found", "there is nothing below this page")
        if request.method == b"OPTIONS":
            _preflight(request)
            return
        if request.method != b"POST":
            request.setHeader(b"allow", _METHODS)
            raise ClientError("method", "events are published by POST")
        _check_type(request)
        body = cast(GuardedRequest, request).read_body()
        now = self._clock.seconds()
        grants = grants_of(request, self._authority, now)
        self._rates.take(grants, client_address(request), now)
        self._publisher.publish(read_publication(body), grants, done)


def _preflight(request: Request) -> None:
    """A browser asks what the page may send; the origin was checked."""
    request.setResponseCode(NO_CONTENT)
    request.setHeader(b"allow", _METHODS)
    if _headers(request, b"origin"):
        request.setHeader(b"access-control-allow-methods", b"POST")
        request.setHeader(b"access-control-allow-headers", b"authorization, content-type")
        request.setHeader(b"access-control-max-age", b"%d" % PREFLIGHT_KEPT)
    request.finish()


def _check_type(request: Request) -> None:
    types = _headers(request, b"content-type")
    if len(types) != 1 or not _JSON.fullmatch(types[0].strip()) or _headers(request, b"content-encoding"):
        raise ClientError("media-type", "an event is one JSON object, uncompressed: 'Content-Type: application/json'")


def _answer(request: Request, answer: Published | ClientError) -> None:
    said: Any = answer
    if isinstance(answer, ClientError):
        answer_with(request, _status(request, answer))
        if answer.retry:
            request.setHeader(b"retry-after", b"%d" % RETRY_AFTER)
        said = {"error": {"code": answer.code, "message": answer.message, "retry": answer.retry}}
    body = msgspec.json.encode(said) + b"\n"
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.setHeader(b"cache-control", b"no-store")
    request.write(body)  # twisted.web keeps it back from HEAD
    request.finish()


def _status(request: Request, error: ClientError) -> int:
    """The status of an error; the headers that belong to it are set."""
    if error.code in ("token", "forbidden"):
        return refusal(request, error)
    return STATUS.get(error.code, BAD_REQUEST)


def _headers(request: Request, name: bytes) -> Sequence[bytes]:
    return request.requestHeaders.getRawHeaders(name, [])
