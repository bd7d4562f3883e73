# -*- test-case-name: tests.unit.test_policy_oauth -*-
"""OAuth 1.0a: the signature of a request, and its `Authorization` header.

Pure: the nonce and the timestamp are arguments. HMAC-SHA1 is what the upstream's rules ask for; it is not broken by
what broke SHA-1. https://www.rfc-editor.org/rfc/rfc5849#section-3.4 and, with worked examples,
https://docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import msgspec

Parameters = Iterable[tuple[str, str]]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Keys(msgspec.Struct, frozen=True):
    """The four parts of a credential: the application's key and secret, the user's token and its secret."""

    consumer_key: str
    consumer_secret: str
    token: str
    token_secret: str

    def __repr__(self) -> str:
        return "Keys('…')"


def encoded(text: str) -> str:
    """Percent-encoding of RFC 3986: nothing but letters, digits and `-._~` stays as it is."""
    return quote(text, safe="")


def form(parameters: Parameters) -> str:
    """Parameters as a form body or a query that the signature over them fits: a blank is `%20` and not `+`."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in parameters)


def signature(method: str, url: str, parameters: Parameters, keys: Keys) -> str:
    """The signature of a request.

    Args:
        url: without query and fragment.
        parameters: those of the query, of the form body and of OAuth itself, decoded, in any order.
    """
    pairs = sorted((encoded(name), encoded(value)) for name, value in parameters)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    base = f"{method.upper()}&{encoded(_base_url(url))}&{encoded(joined)}"
    key = f"{encoded(keys.consumer_secret)}&{encoded(keys.token_secret)}"
    return base64.b64encode(hmac.digest(key.encode(), base.encode(), hashlib.sha1)).decode()


def authorization(method: str, url: str, parameters: Parameters, keys: Keys, *, nonce: str, timestamp: int) -> str:
    """The value of the `Authorization` header.

    Args:
        url, parameters: as for `signature`, without those of OAuth.
        nonce: never used before with this timestamp.
        timestamp: seconds since the epoch; the server refuses one that is minutes off.
    """
    own = [
        ("oauth_consumer_key", keys.consumer_key),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", str(timestamp)),
        ("oauth_token", keys.token),
        ("oauth_version", "1.0"),
    ]
    signed = ("oauth_signature", signature(method, url, [*parameters, *own], keys))
    return "OAuth " + ", ".join(f'{name}="{encoded(value)}"' for name, value in sorted([*own, signed]))


def _base_url(url: str) -> str:
    """Scheme and host in lower case, a default port left out, no query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path or '/'}"
