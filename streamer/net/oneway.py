# -*- test-case-name: tests.unit.test_net_sse -*-
"""What the faces without a conversation have in common: who may come in, what the query asks for, how it is refused.

    ?topics=post.%23,geo.%23   patterns between commas, also several times; `#` must be written %23 in a URL
    &topic=PATTERN             one pattern, taken whole, commas too; also several times
    &last=20  &since=POSITION  &policy=skip|strict|conflate      as in `sub` of `relay.v1.json`

A token is shown as `Authorization: Bearer …`. In a query it would end up in the logs of every proxy on the way, so
one that is written there is refused. Origins are checked as for the websocket, see `upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import attrs
import msgspec
from twisted.web.http import BAD_REQUEST, FORBIDDEN, NO_CONTENT, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request

from streamer.errors import ClientError
from streamer.fanout.commands import wrong
from streamer.fanout.grants import Grants, forbidden
from streamer.fanout.oneway import error_facts
from streamer.fanout.protocol import Close, Wish
from streamer.fanout.topics import check_patterns
from streamer.metrics import HANDSHAKES
from streamer.net.admission import Admission, TooFast
from streamer.net.assets import Leaf, answer_with, whole
from streamer.net.bearer import grants_of, refusal
from streamer.net.clients import Clients
from streamer.net.headers import client_address
from streamer.net.origins import Origins

TOO_MANY_REQUESTS = 429
RETRY_AFTER = 10  # seconds that one who may come again is asked to wait
PREFLIGHT_KEPT = 600  # seconds that a browser may remember that a page may ask
STATUS: Mapping[str, int] = {
    "origin": FORBIDDEN,
    "forbidden": FORBIDDEN,
    "rate": TOO_MANY_REQUESTS,
    "full": SERVICE_UNAVAILABLE,
    "slow": SERVICE_UNAVAILABLE,
    "restarting": SERVICE_UNAVAILABLE,
}  # of ClientError.code; see `status` for "token"; all others are BAD_REQUEST
SINCE_LIMIT = 64  # characters of a position; what is longer is none of ours
NOWHERE = "-"  # is no position
_KEYS = frozenset({"topics", "topic", "last", "since", "policy", "last_event_id"})


class Asked(msgspec.Struct, frozen=True):
    """A request that may be served.

    Args:
        address: whom it counts for.
        more: the values of the face's own keys.
    """

    wish: Wish
    grants: Grants
    address: str
    more: Mapping[str, str]


@attrs.define(eq=False)
class Entrance:
    """The way in to all one-way faces of a relay.

    Args:
        origins: of pages that may listen.
    """

    clients: Clients
    admission: Admission
    origins: Iterable[str]
    _origins: Origins = attrs.field(init=False)
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        self._origins = Origins(self.origins)

    def ask(self, request: Request, *own: str, topics: Sequence[str] = ()) -> Asked:
        """What a request asks for, if it may have it.

        Args:
            own: keys of the query that only this face has.
            topics: patterns where the query has none: those of them that are granted, or all if none is.

        Raises:
            ClientError: see `refuse`.
        """
        self.check_origin(request)
        if self._closed:
            request.setHeader(b"connection", b"close")
            cast(Any, request.channel).persistent = False
            raise ClientError("restarting", "the relay restarts; come again in some seconds", retry=True)
        clients = self.clients
        grants = grants_of(request, clients.authority, clients.now())
        granted = [pattern for pattern in topics if grants.may_read(pattern)]
        wish, more = read_query(request, own, granted or topics)
        check_granted(wish, grants)
        address = client_address(request)
        clients.works.insist(address, clients.now())
        return Asked(wish, grants, address, more)

    def close(self) -> None:
        """The relay stops: nobody is let in any more, for connections that are kept alive may bring requests yet."""
        self._closed = True

    def admit(self, address: str) -> None:
        """Count a client in, to be given back with `admission.release`.

        Raises:
            ClientError: `full`.
        """
        full = self.admission.admit(address)
        if full is not None:
            raise ClientError("full", full, retry=True)

    def admit_stream(self, address: str) -> None:
        """As `admit`, for a client that stays.

        Raises:
            ClientError: `full`, or `rate`.
        """
        self.admit(address)
        try:
            self.admission.greet(address, self.clients.now())
        except ClientError:
            self.admission.release(address)
            raise

    @contextmanager
    def charging(self, address: str, cost: float = 0.0) -> Iterator[None]:
        """Charge an address for what the journal is searched meanwhile, and for `cost` units of other work.

        An address is known only behind a TCP socket; behind others nobody is charged.
        """
        clients = self.clients
        with clients.works.charging(clients.hub.journal, address, clients.now(), cost):
            yield

    def refuse(self, request: Request, face: str, error: ClientError) -> bytes:
        """What to return from `render_GET` to say no."""
        self.clients.hub.metrics.add(HANDSHAKES, face, error.code)
        return refused(request, error)

    def check_origin(self, request: Request) -> None:
        """See that a page of that origin may ask, and let it read the answer.

        Raises:
            ClientError: `origin`.
        """
        self._origins.open(request, b"etag, retry-after, www-authenticate")


class Face(Leaf):
    """A page that is read, by pages of other origins too, which may have to ask beforehand whether they may.

    Browsers ask when a page wants to send `Authorization`; https://fetch.spec.whatwg.org/#cors-preflight-fetch
    """

    def __init__(self, entrance: Entrance) -> None:
        Leaf.__init__(self)
        self.entrance = entrance

    def render_OPTIONS(self, request: Request) -> int | bytes:
        """Say that it may, where its origin is on the list."""
        try:
            self.entrance.check_origin(request)
        except ClientError as error:
            return refused(request, error)
        request.setResponseCode(NO_CONTENT)
        request.setHeader(b"access-control-allow-methods", b"GET, HEAD")
        request.setHeader(b"access-control-allow-headers", b"authorization, last-event-id")
        request.setHeader(b"access-control-max-age", b"%d" % PREFLIGHT_KEPT)
        request.finish()  # not by returning nothing: an answer without content must not tell its length
        return NOT_DONE_YET


def read_query(request: Request, own: Sequence[str] = (), topics: Sequence[str] = ()) -> tuple[Wish, dict[str, str]]:
    """The wish in a request's query, and the values of the face's own keys that stand there.

    Raises:
        ClientError: `bad-request` or `bad-topic`.
    """
    asked = _decoded(request)
    if "access_token" in asked:
        raise _bad("a token in a URL ends up in logs; show it as the header 'Authorization: Bearer …'")
    unknown = sorted(asked.keys() - _KEYS - set(own))
    if unknown:
        known = ", ".join(sorted([*_KEYS, *own]))
        raise _bad(f"there is no key {unknown[0][:40]!r} in this query; it can have {known}")
    patterns = [part for value in asked.pop("topics", []) for part in value.split(",")] + asked.pop("topic", [])
    for pattern in patterns:
        if pattern == "" or pattern.endswith("."):
            raise ClientError("bad-topic", f"the topic pattern {pattern[:40]!r} is cut off; write `#` as %23 in a URL")
    for key, values in asked.items():
        if len(values) > 1:
            raise _bad(f"{key} stands several times in the query; which of them counts?")
    single = {key: values[0] for key, values in asked.items()}
    wish = {"id": "-", "topics": patterns or list(topics)}
    wish |= {key: single[key] for key in ("last", "policy") if key in single}
    since = _last_event_id(request) or single.get("last_event_id") or single.get("since")
    if since:
        # EventSource says what it was told last, perhaps by another server; an error would end it for good.
        wish["since"] = since if len(since) <= SINCE_LIMIT else NOWHERE
    if not wish["topics"]:
        raise _bad("say what you want to hear, as ?topics=post.%23")
    try:
        return msgspec.convert(wish, Wish, strict=False), {key: single[key] for key in own if key in single}
    except msgspec.ValidationError as error:
        raise _bad(f"the query is not understood: {wrong(error)}") from error


def check_granted(wish: Wish, grants: Grants) -> None:
    """See that a client may read what it wishes.

    Raises:
        ClientError: `forbidden`; or as `check_patterns`.
    """
    for pattern in sorted(check_patterns(wish.topics)):
        if not grants.may_read(pattern):
            raise forbidden(pattern)


def refused(request: Request, error: ClientError) -> bytes:
    """What to return from `render_GET` for an error: its status, and JSON that says it."""
    answer_with(request, status(request, error))
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return whole(request, msgspec.json.encode({"error": error_facts(error)}) + b"\n")


def status(request: Request, error: ClientError) -> int:
    """The status of the answer to an error; sets the headers that belong to it."""
    if error.retry:
        request.setHeader(b"retry-after", b"%d" % (error.after if isinstance(error, TooFast) else RETRY_AFTER))
    if isinstance(error, TooFast):
        return SERVICE_UNAVAILABLE
    if error.code in ("token", "forbidden"):
        return refusal(request, error)
    return STATUS.get(error.code, BAD_REQUEST)


def _decoded(request: Request) -> dict[str, list[str]]:
    try:
        args: Mapping[bytes, list[bytes]] = request.args or {}
        return {key.decode(): [value.decode() for value in values] for key, values in args.items()}
    except UnicodeDecodeError as error:
        raise _bad("the query is not UTF-8") from error


def _last_event_id(request: Request) -> str:
    """A browser's EventSource sends it when it connects again; it counts for more than what the URL once said."""
    return (request.getHeader(b"last-event-id") or b"").decode("utf-8", "replace")


def _bad(sentence: str) -> ClientError:
    return ClientError("bad-request", sentence, close=Close.BAD_REQUEST)
