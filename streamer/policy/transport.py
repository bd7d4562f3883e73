# -*- test-case-name: tests.unit.test_policy_small -*-
"""Which URLs may carry credentials: TLS anywhere, plain text on this machine only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def checked_base_url(url: str) -> str:
    """A source's `base_url` without its trailing slash.

    Raises:
        ValueError: not https, and not http on a loopback address; the text says what is allowed.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"base_url {url!r} is not an http(s) URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"base_url {url!r} must hold no query, fragment or user")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"base_url {url!r} would send credentials in the clear; use https (http is for loopback addresses only)"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
