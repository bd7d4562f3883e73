# -*- test-case-name: tests.unit.test_testing_twitter_auth -*-
"""OAuth 1.0a signatures, computed as a server does to check one. Not shared with our client, so that neither hides
the other's mistake.

https://www.rfc-editor.org/rfc/rfc5849#section-3.4
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

Pairs = list[tuple[bytes, bytes]]


def escape(value: bytes) -> str:
    """Percent-encode all but the unreserved characters."""
    return quote(value, safe="")


def base_string(method: str, url: str, pairs: Iterable[tuple[bytes, bytes]]) -> str:
    """What is signed: the method, the URL without its query, and all parameters but the signature, sorted."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme.lower()):
        host = f"{host}:{parts.port}"
    address = f"{parts.scheme.lower()}://{host}{parts.path or '/'}"
    parameters = "&".join(f"{name}={value}" for name, value in sorted((escape(n), escape(v)) for n, v in pairs))
    return "&".join((method.upper(), escape(address.encode()), escape(parameters.encode())))


def signature(method: str, url: str, pairs: Iterable[tuple[bytes, bytes]], consumer_secret: str, secret: str) -> str:
    """The HMAC-SHA1 signature, base64.

    Args:
        pairs: the query's, the form's and the header's parameters, decoded, without `oauth_signature`.
        secret: the token's.
    """
    key = f"{escape(consumer_secret.encode())}&{escape(secret.encode())}".encode()
    digest = hmac.new(key, base_string(method, url, pairs).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def read_header(header: str) -> dict[str, str]:
    """The parameters of an `Authorization: OAuth …` header, the realm left out; what is malformed is left out too."""
    found = {}
    for part in header.removeprefix("OAuth ").split(","):
        name, equals, value = part.strip().partition("=")
        if equals and name.startswith("oauth_") and len(value) >= 2 and value[0] == value[-1] == '"':
            found[name] = unquote_to_bytes(value[1:-1]).decode("utf-8", "replace")
    return found


def read_form(text: bytes) -> Pairs:
    """Decode a query or a form, in order, empty values kept."""
    pairs = []
    for part in text.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))))
    return pairs
