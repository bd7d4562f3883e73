# -*- test-case-name: tests.unit.test_policy_small -*-
"""Credentials on their way to an upstream: which URLs may carry them, what they may look like, how to tell them apart.

TLS anywhere, plain text on this machine only.
"""

from __future__ import annotations

import hashlib
import ipaddress
from urllib.parse import urlsplit


def checked_base_url(url: str) -> str:
    """A source's `base_url` without its trailing slash.

    Raises:
        ValueError: not https, and not http on a loopback address; the text says what is allowed.
    """
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise ValueError(f"base_url {url!r} cannot be used: {error}") from error
    if not port_is_good or not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"base_url {url!r} is not an http(s) URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"base_url {url!r} must hold no query, fragment or user")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"base_url {url!r} would send credentials in the clear; use https (http is for loopback addresses only)"
        )
    return url.rstrip("/")


def checked_token(token: str, name: str = "token") -> str:
    """A secret that goes into a header.

    Args:
        name: of the key in the configuration, for the message.

    Raises:
        ValueError: it is empty, or holds what no header may; the text does not show it.
    """
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{name} must be printable ASCII without spaces, and not empty; look for a stray line end")
    return token


def account(base_url: str, *identity: str) -> str:
    """An opaque name for whom the upstream counts together: equal for the same account, and nothing to be read in it.

    Args:
        identity: what names the account. A token that is random may be part of it; a password may not, for it could
            be guessed from its hash.
    """
    said = "\x00".join((base_url, *identity))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
