# -*- test-case-name: tests.unit.test_net_control -*-
"""The operator's verbs over HTTP.

    POST /update /stop /start ?source=NAME…       answers when it is done (stop: when all is quiet) with a row a source
    GET  /predicates ?source=NAME…                a row a source
    PUT  /predicates ?source=NAME&dry_run=true    its row; the body is JSON, as in [sources.NAME.predicates]

Each may be used in every state and any number of times. Whatever is not understood is refused rather than guessed
at, for a misspelt name must not stop every source. An answer that says no is {"error": SENTENCE}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import attrs
import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.web.http import (
    BAD_REQUEST,
    INTERNAL_SERVER_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    REQUEST_ENTITY_TOO_LARGE,
)
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer.errors import ControlRefused
from streamer.net.permission import Permission
from streamer.operating import IControl
from streamer.secrets import Secret

BODY_LIMIT = 1_000_000  # bytes of predicates
FIELD_LIMIT = 1_000  # parameters in a query
SOURCE, DRY_RUN = "source", "dry_run"

Rows = Mapping[str, Any]


@attrs.frozen
class Ask:
    """What a request asks for, apart from who sent it.

    Args:
        query: names and values, in the order of the URL.
    """

    query: Sequence[tuple[str, str]]
    body: bytes

    def names(self) -> list[str]:
        """The sources it names, each once."""
        return list(dict.fromkeys(value for name, value in self.query if name == SOURCE))

    def dry_run(self) -> bool:
        """Whether nothing may change.

        Raises:
            ControlRefused: it is neither true nor false.
        """
        said = {value for name, value in self.query if name == DRY_RUN}
        if not said <= {"true", "false"} or len(said) > 1:
            raise ControlRefused(f"{DRY_RUN} is true or false, not {' and '.join(sorted(said))!r}", BAD_REQUEST)
        return said == {"true"}


@attrs.frozen
class Verb:
    """One method of one page; `parameters` are those that its query may hold."""

    act: Callable[[Ask], Awaitable[Rows]]
    parameters: frozenset[str]
    takes_body: bool = False


def control_pages(control: IControl, token: Secret | None) -> dict[bytes, Resource]:
    """The pages, by their path.

    Args:
        control: what carries them out.
        token: see `Permission`.
    """
    permission, named = Permission(token), frozenset({SOURCE})

    def acting(verb: Callable[[Sequence[str]], Any]) -> Resource:
        async def act(ask: Ask) -> Rows:
            names = ask.names()
            await maybeDeferred(verb, names)
            return control.standing(names)

        return Page(permission, {b"POST": Verb(act, named)})

    async def get(ask: Ask) -> Rows:
        return control.predicates(ask.names())

    async def put(ask: Ask) -> Rows:
        _json(ask.body)
        name = _only(ask.names() or control.predicates(()))
        return await control.put_predicates(name, ask.body, ask.dry_run())

    return {
        b"update": acting(control.update),
        b"stop": acting(control.stop),
        b"start": acting(control.start),
        b"predicates": Page(permission, {b"GET": Verb(get, named), b"PUT": Verb(put, named | {DRY_RUN}, True)}),
    }


class Page(Resource):
    """A page whose answers are JSON, and may take their time."""

    isLeaf = True
    log = Logger()

    def __init__(self, permission: Permission, verbs: Mapping[bytes, Verb]) -> None:
        Resource.__init__(self)
        self._permission = permission
        self._verbs = dict(verbs)
        if b"GET" in verbs:
            self._verbs[b"HEAD"] = verbs[b"GET"]

    def render(self, request: Request) -> int:
        """Answer later, if anybody is still there; what was asked for is carried out in any case."""
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        Deferred.fromCoroutine(self._answer(request, gone))
        return NOT_DONE_YET

    async def _answer(self, request: Request, gone: Sequence[object]) -> None:
        code = OK
        try:
            body = msgspec.json.encode(await self._act(request))
        except ControlRefused as refused:
            code, body = refused.status, _error(str(refused))
        except Exception:
            self.log.failure("while answering {method} {path}", method=_text(request.method), path=_text(request.path))
            code, body = INTERNAL_SERVER_ERROR, _error("this failed, and it is our fault; the log says why")
        if gone:
            return
        body += b"\n"
        request.setResponseCode(code)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.write(body)  # twisted.web keeps it back from HEAD
        request.finish()

    async def _act(self, request: Request) -> Rows:
        self._permission.check(request)
        if any(request.postpath or ()):
            raise ControlRefused("there is nothing below this page; name sources as ?source=NAME", NOT_FOUND)
        verb = self._verbs.get(request.method)
        if verb is None:
            allowed = b", ".join(sorted(self._verbs))
            request.setHeader(b"allow", allowed)
            raise ControlRefused(f"{_text(request.method)} is not for this page, but {allowed.decode()}", NOT_ALLOWED)
        ask = Ask(_query(request.uri, verb.parameters), _body(request, verb.takes_body))
        if request.method not in (b"GET", b"HEAD"):
            self.log.info(
                "{peer} asks: {method} {path} {query}",
                peer=getattr(request.getClientAddress(), "host", "a unix socket"),
                method=_text(request.method),
                path=_text(request.path),
                query=ask.query,
            )
        return await verb.act(ask)


def _query(uri: bytes, known: frozenset[str]) -> list[tuple[str, str]]:
    # twisted.web's own reading drops a parameter without "=": "/stop?source" would stop every source.
    try:
        written = uri.partition(b"?")[2].decode("ascii")
        query = parse_qsl(written, keep_blank_values=True, errors="strict", max_num_fields=FIELD_LIMIT)
    except ValueError as error:
        raise ControlRefused(f"the query cannot be read: {error}", BAD_REQUEST) from error
    unknown = sorted({name for name, _ in query} - known)
    if unknown:
        raise ControlRefused(
            f"unknown query parameter {', '.join(map(repr, unknown))}; known here: {', '.join(sorted(known))}",
            BAD_REQUEST,
        )
    if (SOURCE, "") in query:
        raise ControlRefused(f"{SOURCE} is empty; name a source, or leave it out for all of them", BAD_REQUEST)
    return query


def _body(request: Request, wanted: bool) -> bytes:
    content = request.content
    body: bytes = b"" if content is None else content.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise ControlRefused(f"the body is longer than {BODY_LIMIT} bytes", REQUEST_ENTITY_TOO_LARGE)
    if body and not wanted:
        raise ControlRefused("no body is read here; name sources in the query, as ?source=NAME", BAD_REQUEST)
    return body


def _json(body: bytes) -> None:
    """See that it is JSON; what it says is for others to judge."""
    if not body.strip():
        raise ControlRefused("the body is empty; send predicates as JSON", BAD_REQUEST)
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlRefused(f"the body is no JSON: {error}", BAD_REQUEST) from error


def _only(names: Sequence[str] | Rows) -> str:
    if len(names) != 1:
        said = ", ".join(names) or "none"
        raise ControlRefused(f"predicates are of one source, named as ?source=NAME; here are: {said}", BAD_REQUEST)
    return next(iter(names))


def _error(sentence: str) -> bytes:
    return msgspec.json.encode({"error": sentence})


def _text(words: bytes) -> str:
    return words.decode("latin-1")
