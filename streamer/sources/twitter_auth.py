# -*- test-case-name: tests.unit.test_sources_twitter_v1 -*-
"""How a v1.1 stream is told who asks: OAuth 1.0a, or Basic for the older servers.

Each has `account` (opaque, equal for whom the upstream counts together, without any secret in it) and `header`.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence

import attrs

from streamer.policy import oauth
from streamer.policy.transport import account, checked_token

NONCE_BYTES = 16


def fresh_nonce() -> str:
    """A nonce that was never used before, by us or by another process with the same token.

    Random rather than counted, so that nothing needs to be remembered. It takes bytes from the kernel's generator,
    which waits for nobody and can be asked at any time, so a source that calls it still does no I/O; whoever needs the
    same header twice gives `OAuth` another one.
    """
    return secrets.token_hex(NONCE_BYTES)


@attrs.frozen
class OAuth:
    """Signs each request anew, for the server takes a nonce only once."""

    keys: oauth.Keys
    nonce: Callable[[], str] = fresh_nonce

    def account(self, base_url: str) -> str:
        """A user's token of an application."""
        return account(base_url, self.keys.consumer_key, self.keys.token)

    def header(self, method: str, url: str, parameters: Sequence[tuple[str, str]], now_ms: int) -> str:
        """See `policy.oauth.authorization`."""
        return oauth.authorization(method, url, parameters, self.keys, nonce=self.nonce(), timestamp=now_ms // 1000)


@attrs.frozen
class Basic:
    """User and password, https://www.rfc-editor.org/rfc/rfc7617."""

    user: str
    password: str = attrs.field(repr=False)

    def account(self, base_url: str) -> str:
        """A user; the password has no part in it, for it could be guessed from a hash."""
        return account(base_url, self.user)

    def header(self, method: str, url: str, parameters: Sequence[tuple[str, str]], now_ms: int) -> str:
        """The same for every request."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def chosen(oauth_parts: dict[str, str | None], user: str | None, password: str | None) -> OAuth | Basic:
    """The one of the two ways that is configured.

    Args:
        oauth_parts: the four of `oauth.Keys`, by the names of their keys in the configuration.

    Raises:
        ValueError: none is, or both are, or a part is missing or cannot be sent; no secret is shown.
    """
    basic_parts = {"user": user, "password": password}
    given = {name: value for name, value in {**oauth_parts, **basic_parts}.items() if value is not None}
    by_oauth, by_basic = given.keys() & oauth_parts.keys(), given.keys() & basic_parts.keys()
    if bool(by_oauth) == bool(by_basic):
        both = f"has {', '.join(sorted(given))}" if given else "has no credentials"
        raise ValueError(
            f"{both}; it takes either {', '.join(oauth_parts)} (OAuth 1.0a), or user and password (Basic)"
        )
    wanted = oauth_parts if by_oauth else basic_parts
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}, which belongs to {', '.join(sorted(by_oauth | by_basic))}")
    if by_oauth:
        return OAuth(oauth.Keys(**{name: checked_token(value, name) for name, value in given.items()}))
    if not given["user"] or ":" in given["user"] or not (given["user"] + given["password"]).isprintable():
        raise ValueError("user must not be empty or hold a colon, and user and password no line ends")
    return Basic(given["user"], given["password"])
