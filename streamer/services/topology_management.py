# -*- test-case-name: tests.unit.test_services_topology_management -*-
"""RabbitMQ's management API (https://www.rabbitmq.com/docs/management#http-api), as far as the topology needs it.

A few requests to one server, one after another: the standard library's client does, as for `streamer sources`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs
import msgspec

from streamer.errors import BusError
from streamer.secrets import Secret

WAIT = 20.0  # seconds without a byte
ANSWER_LIMIT = 64_000_000  # bytes; a broker may have many queues that are not ours

Connect = Callable[[SplitResult], HTTPConnection]


def connection(url: SplitResult) -> HTTPConnection:
    """A connection to the API, not yet open; `https` is verified against the system's authorities."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(url.hostname or "", url.port, timeout=WAIT)


class Refused(BusError):
    """The API said no: HTTP's status, and its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Request(msgspec.Struct, frozen=True):
    """One request; `path` begins after `/api/`."""

    method: str
    path: str
    body: Any = None


def path(*parts: str) -> str:
    """A path of these parts, whatever they hold: a virtual host is often called `/`."""
    return "/".join(quote(part, safe="") for part in parts)


@attrs.frozen
class Management:
    """The API of one broker.

    Args:
        url: its scheme, host, port and what stands before `/api/`.
        user: who asks.
        connect: makes a connection.
    """

    url: SplitResult
    user: str
    password: Secret
    connect: Connect = connection

    @classmethod
    def at(cls, written: str, user: str, password: str, connect: Connect = connection) -> Management:
        """From a URL such as `http://127.0.0.1:15672`; a login in it goes before the one given.

        Raises:
            ValueError: it is no such URL. The text holds no password.
        """
        try:
            url = urlsplit(written)
            good = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:
            good = False
        if not good or url.query or url.fragment or not written.isascii() or written != written.strip():
            raise ValueError("no address of the management API, such as http://127.0.0.1:15672")
        if url.username is not None:
            user, password = unquote(url.username), unquote(url.password or "")
        place = url._replace(netloc=url.netloc.rpartition("@")[2])
        return cls(place, user, Secret(password), connect)

    def get(self, *parts: str) -> Any:
        """What is at a path; None where nothing is.

        Raises:
            Refused, BusError: as `send`.
        """
        try:
            return self.send(Request("GET", path(*parts)))[1]
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def send(self, request: Request) -> tuple[int, Any]:
        """The status of a yes, and its document; None where there is none.

        Raises:
            Refused: the API said no.
            BusError: nobody answers there, or something else than the API does.
        """
        at = self.url.geturl()
        login = base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        body = None if request.body is None else msgspec.json.encode(request.body)
        channel = self.connect(self.url)
        try:
            channel.request(request.method, f"{self.url.path.rstrip('/')}/api/{request.path}", body, headers)
            response = channel.getresponse()
            said = response.read(ANSWER_LIMIT)
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            mend = "Is the plugin rabbitmq_management enabled (rabbitmq-plugins enable rabbitmq_management)?"
            raise BusError(f"the management API at {at} does not answer: {reason}. {mend}") from error
        finally:
            channel.close()
        try:
            document = msgspec.json.decode(said) if said else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BusError(f"what {at} answers ({response.status}) is no JSON; is it the management API?") from None
        if not 200 <= response.status < 300:
            own = document.get("reason") if isinstance(document, dict) else None
            raise Refused(response.status, str(own or response.reason))
        return response.status, document
