# -*- test-case-name: tests.unit.test_testing_twitter_auth -*-
"""Who may open Twitter's streams: OAuth 1.0a, checked in earnest, and Basic.

https://developer.x.com/en/docs/authentication/oauth-1-0a/authorizing-a-request
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from streamer.testing.oauth1 import Pairs, read_form, read_header, signature

SKEW = 300.0  # seconds that a client's clock may be off
MOST_NONCES = 10_000  # remembered; an older one than `SKEW` is refused by its timestamp


@attrs.frozen
class Credentials:
    """The one account there is; `user` or `consumer_key` empty closes that way in."""

    consumer_key: str = "simulated-consumer"
    consumer_secret: str = "simulated-consumer-secret"
    token: str = "7-simulated-token"
    token_secret: str = "simulated-token-secret"
    user: str = "simulated"
    password: str = "simulated-password"


@attrs.define
class Gate:
    """Tells who a request comes from.

    Args:
        credentials: None lets everybody in.
    """

    clock: IReactorTime
    credentials: Credentials | None
    _nonces: OrderedDict[tuple[str, str], None] = attrs.field(factory=OrderedDict)  # by timestamp and nonce

    def account(self, request: Request, pairs: Pairs) -> str | None:
        """The name of the account, or None where the request is not to be let in.

        Args:
            pairs: the parameters of query and form.
        """
        known = self.credentials
        if known is None:
            return "anybody"
        header = request.getHeader("authorization") or ""
        kind, _, rest = header.partition(" ")
        if kind == "Basic" and known.user:
            return known.user if self._basic(known, rest) else None
        if kind == "OAuth" and known.consumer_key:
            return known.token if self._oauth(known, request, header, pairs) else None
        return None

    @staticmethod
    def _basic(known: Credentials, rest: str) -> bool:
        try:
            given = base64.b64decode(rest.strip(), validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(given, f"{known.user}:{known.password}".encode())

    def _oauth(self, known: Credentials, request: Request, header: str, pairs: Pairs) -> bool:
        given = read_header(header)
        signed = given.pop("oauth_signature", "")
        stamp, nonce = given.get("oauth_timestamp", ""), given.get("oauth_nonce", "")
        if (
            given.get("oauth_consumer_key") != known.consumer_key
            or given.get("oauth_token") != known.token
            or given.get("oauth_signature_method") != "HMAC-SHA1"
            or given.get("oauth_version", "1.0") != "1.0"
            or not nonce
            or (stamp, nonce) in self._nonces
            or not (stamp.isascii() and stamp.isdigit())
            or abs(int(stamp) - self.clock.seconds()) > SKEW
        ):
            return False
        own = [(name.encode(), value.encode()) for name, value in given.items()]
        verb = request.method.decode("ascii", "replace")
        try:
            expected = signature(verb, address(request), pairs + own, known.consumer_secret, known.token_secret)
        except ValueError:  # the host's port is no number
            return False
        if not hmac.compare_digest(signed.encode(), expected.encode()):
            return False
        self._nonces[stamp, nonce] = None
        if len(self._nonces) > MOST_NONCES:
            self._nonces.popitem(last=False)
        return True


def address(request: Request) -> str:
    """The URL that the client asked for, without its query."""
    scheme = "https" if request.isSecure() else "http"
    host = (request.getHeader("host") or "").strip()
    path = request.uri.partition(b"?")[0].decode("ascii", "replace")
    return f"{scheme}://{host}{path}"


def parameters(request: Request) -> Pairs:
    """The parameters of query and form, as they are signed."""
    pairs = read_form(request.uri.partition(b"?")[2])
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    if request.content is not None and kind == "application/x-www-form-urlencoded":
        request.content.seek(0)
        pairs += read_form(request.content.read())
    return pairs
