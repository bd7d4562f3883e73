# -*- test-case-name: tests.unit.test_policy_transport -*-
"""Credentials on their way to an upstream: which URLs may carry them, what they may look like, how to tell them apart.

TLS anywhere, plain text on this machine only.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from urllib.parse import quote, urlsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}
PATH_SAFE = "/%:@!$&'()*+,;="  # besides letters, digits and -._~: https://www.rfc-editor.org/rfc/rfc3986#section-3.3
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def checked_base_url(url: str) -> str:
    """A source's `base_url` in the one spelling that is sent, signed and compared.

    Returns:
        ASCII: the host in lower case (and IDNA), IPv6 addresses in brackets, no default port, the path
        percent-encoded, no slash at the end.

    Raises:
        ValueError: not https, and not http on a loopback address, or nothing that can be asked for. The text says what
            is allowed, and shows no more of the URL than its scheme and host: people put passwords into the rest.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("base_url holds blanks, line ends or control characters; take them out, or write %20")
    try:
        parts = urlsplit(url)
        host = _host(parts.hostname or "")
        shown = f"{parts.scheme}://{host}"
    except ValueError:  # its text would show whatever stands there
        raise ValueError("base_url is no http(s) URL whose host can be looked up") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError("base_url is no http(s) URL such as 'https://api.x.com'")
    try:
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise ValueError(f"base_url {shown!r} has a port that is no number from 1 to 65535")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"base_url {shown!r} must hold no query, fragment or user")
    if parts.scheme == "http" and not is_loopback(host.strip("[]")):
        raise ValueError(
            f"base_url {shown!r} would send credentials in the clear; use https (http is for loopback addresses only)"
        )
    at = "" if port == DEFAULT_PORTS[parts.scheme] else f":{port}"
    path = quote(_BARE_PERCENT.sub("%25", parts.path), safe=PATH_SAFE)
    return f"{shown}{at}{path}".rstrip("/")


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


def _host(written: str) -> str:
    """A host in its one spelling; an empty one stays empty."""
    if ":" in written:
        address = ipaddress.IPv6Address(written)
        if address.scope_id is not None:
            raise ValueError("an address with a zone")
        return f"[{address.compressed}]"
    # Not by Python's own codec, which knows the names of 2003 only and takes ß for ss: another host.
    return idna.encode(written.removesuffix("."), uts46=True).decode("ascii") if written else ""
