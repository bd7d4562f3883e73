"""A simulated Twitter on a Clock, and a client that speaks HTTP with it in memory."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import urlencode

from treq.testing import RequestTraversalAgent
from twisted.internet.task import Clock
from twisted.web.client import Response
from twisted.web.http_headers import Headers

from streamer.testing.oauth1 import escape, read_form, signature
from streamer.testing.twitter import CREDENTIALS, FILTER, SimulatedTwitter
from streamer.testing.twitter_auth import Credentials
from tests.unit.test_testing_x import NOW, Listener, WholeBody

HOST = "http://simulated.example"
BASIC = "Basic c2ltdWxhdGVkOnNpbXVsYXRlZC1wYXNzd29yZA=="
_nonces = itertools.count()

__all__ = ["BASIC", "FILTER", "HOST", "NOW", "Listener", "TwitterFace", "oauth"]


def oauth(
    verb: str,
    url: str,
    form: bytes = b"",
    *,
    credentials: Credentials = CREDENTIALS,
    nonce: str | None = None,
    timestamp: str = str(int(NOW)),
    version: str | None = "1.0",
    method_name: str = "HMAC-SHA1",
) -> str:
    """The Authorization header of a signed request."""
    own = {
        "oauth_consumer_key": credentials.consumer_key,
        "oauth_nonce": f"nonce{next(_nonces)}" if nonce is None else nonce,
        "oauth_signature_method": method_name,
        "oauth_timestamp": timestamp,
        "oauth_token": credentials.token,
        **({} if version is None else {"oauth_version": version}),
    }
    address, _, query = url.partition("?")
    pairs = [(name.encode(), value.encode()) for name, value in own.items()]
    pairs += read_form(query.encode()) + read_form(form)
    own["oauth_signature"] = signature(verb, address, pairs, credentials.consumer_secret, credentials.token_secret)
    return "OAuth " + ", ".join(f'{name}="{escape(value.encode())}"' for name, value in own.items())


class TwitterFace:
    """The simulation, and its client."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        options.setdefault("deleted", 0.0)
        self.simulation = SimulatedTwitter(self.clock, **options)
        self.agent = RequestTraversalAgent(self.simulation.resource)

    def request(
        self, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """GET, or POST where there is a form; by Basic where no header says otherwise."""
        given = {"authorization": BASIC, **(headers or {})}
        body = None
        if form is not None:
            given.setdefault("content-type", "application/x-www-form-urlencoded")
            body = WholeBody(urlencode(form).encode())
        found: list[Response] = []
        verb = b"GET" if form is None else b"POST"
        kept = Headers({name: [value] for name, value in given.items()})
        self.agent.request(verb, f"{HOST}/{path}".encode(), kept, body).addCallback(found.append)
        self.agent.flush()
        return found[0]

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
        """A request that is refused, or answered at once: its status and body."""
        response = self.request(path, form, headers)
        listener = Listener()
        response.deliverBody(listener)
        self.agent.flush()
        return response.code, listener.data.decode()

    def control(self, name: str, body: Any = None) -> tuple[int, Any]:
        """Ask `/_sim`."""
        found: list[Response] = []
        producer = None if body is None else WholeBody(json.dumps(body).encode())
        verb = b"GET" if body is None else b"POST"
        self.agent.request(verb, f"{HOST}/_sim/{name}".encode(), Headers(), producer).addCallback(found.append)
        self.agent.flush()
        listener = Listener()
        found[0].deliverBody(listener)
        self.agent.flush()
        return found[0].code, json.loads(listener.data)

    def listen(self, path: str = FILTER, /, **form: str) -> Listener:
        """Open a stream; by POST, with these parameters."""
        response = self.request(path, form)
        assert response.code == 200, response.code
        listener = Listener()
        response.deliverBody(listener)
        self.agent.flush()
        return listener

    def advance(self, seconds: float, step: float = 0.125) -> None:
        """Let time go by, and bytes arrive."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.agent.flush()


def documents(listener: Listener, kind: str | None = None) -> list[Any]:
    """The messages that came: the tweets, or those of another kind."""
    found = [json.loads(line) for line in listener.lines]
    return [row for row in found if "text" in row] if kind is None else [row[kind] for row in found if kind in row]
