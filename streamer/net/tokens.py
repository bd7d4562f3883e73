# -*- test-case-name: tests.unit.test_net_tokens -*-
"""JSON Web Tokens → grants.

    {"exp": 1767225600, "sub": "room-service", "streamer": {"read": ["chat.#"], "publish": ["chat.lobby"]}}

A token must be signed with a key of `net.jwks`, end (`exp`; one that never ends cannot be taken back), name the
issuer and audience that are configured, and hold the claim `streamer`. What everybody may do, its bearer may too.
PyJWT checks the signature and only that: it would check the claims by the wall clock.
https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import attrs
import jwt
import msgspec
from msgspec import Meta

from streamer.errors import ClientError
from streamer.fanout.grants import SUBJECT_LIMIT, TOKEN_LIMIT, Grants, refused
from streamer.fanout.protocol import Close
from streamer.fanout.topics import check_pattern
from streamer.metrics import TOKENS, Metrics
from streamer.net.jwks import (
    KID_LIMIT,
    TRIES_LIMIT,
    Key,
    Keys,
    check_url,
    is_url,
    public_key,
    secret_key,
)
from streamer.net.jwks_file import check_file
from streamer.tables import RelayAuthSettings
from streamer.toml_marks import Path

GRANTS_LIMIT = 50  # patterns to read, and as many to publish, of one token
ANONYMOUS = "anonymous"  # whom events are from that were published without a token: nobody's name

Second = Annotated[float, Meta(ge=0, le=2**53)]  # since the epoch
Patterns = Annotated[tuple[str, ...], Meta(max_length=GRANTS_LIMIT)]


class Rights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The claim `streamer`; an unknown key is refused, for it may be a restriction that we would not apply."""

    read: Patterns = ()
    publish: Patterns = ()


class Claims(msgspec.Struct, frozen=True):
    """What we read of a token; others may stand beside it."""

    exp: Second
    streamer: Rights
    nbf: Second = 0.0
    iss: str = ""
    aud: str | tuple[str, ...] = ()
    sub: Annotated[str, Meta(max_length=SUBJECT_LIMIT)] = ""


@attrs.frozen
class Tokens:
    """The `fanout.grants.Authority` of a configuration.

    Without a key of any kind nobody could sign a token, and whatever is shown as one is ignored.

    Args:
        settings: in which `problems` finds none.
    """

    _settings: RelayAuthSettings
    _keys: Keys
    _metrics: Metrics
    anonymous: Grants = attrs.field(init=False)

    @anonymous.default
    def _granted_to_all(self) -> Grants:
        settings = self._settings
        return Grants(read=frozenset(settings.anonymous_read), publish=frozenset(settings.anonymous_publish))

    def check(self, token: str, now: float) -> Grants:
        """See `fanout.grants.Authority`; counted."""
        if not needed(self._settings):
            return self.anonymous
        try:
            grants = self._grants(token, now)
        except ClientError:
            self._metrics.add(TOKENS, "refused")
            raise
        self._metrics.add(TOKENS, "accepted")
        return grants

    def _grants(self, token: str, now: float) -> Grants:
        claims = _claims(self._verified(token))
        self._check_claims(claims, now)
        rights, anonymous = claims.streamer, self.anonymous
        return Grants(
            subject=claims.sub,
            read=anonymous.read | _patterns(rights.read, "read"),
            publish=anonymous.publish | _patterns(rights.publish, "publish"),
            expires=claims.exp + self._settings.leeway,
        )

    def _verified(self, token: str) -> bytes:
        """What a token says, once its signature is found right."""
        if len(token) > TOKEN_LIMIT or not token.isascii():
            raise refused(f"the token is no JSON Web Token of at most {TOKEN_LIMIT} characters")
        try:
            header = _jws.get_unverified_header(token)
        except jwt.PyJWTError:
            raise refused("the token is no JSON Web Token: three parts in base64url, with dots between") from None
        kid = header.get("kid")
        if kid is not None and not (isinstance(kid, str) and len(kid) <= KID_LIMIT):
            raise refused(f"the token names its key by no text of at most {KID_LIMIT} characters")
        tries = 0
        for key in self._keys.find(kid):
            if key.algorithm != header.get("alg"):
                continue
            tries += kid is None and key.kid is not None
            if tries > TRIES_LIMIT:
                raise refused(
                    f"the token must name its key (`kid`); it is signed with none of the {TRIES_LIMIT} that were tried"
                )
            try:
                content: bytes = _jws.decode_complete(token, key.key, [key.algorithm])["payload"]
            except jwt.PyJWTError:
                continue
            return content
        if self._keys.awaited(kid):
            sentence = "the relay does not know the token's key yet, and asks for it; try again in a few seconds"
            raise ClientError("token", sentence, close=Close.STATE_LOST, retry=True)
        raise refused("the token is signed with no key that this relay knows for its algorithm")

    def _check_claims(self, claims: Claims, now: float) -> None:
        settings = self._settings
        if now >= claims.exp + settings.leeway:
            raise refused("the token has expired; get a new one")
        if now < claims.nbf - settings.leeway:
            raise refused("the token is not valid yet; see that the clock of whoever issued it is right")
        if settings.issuer and claims.iss != settings.issuer:
            raise refused("the token is of another issuer (`iss`) than this relay trusts")
        named = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        wanted = (settings.audience,) if settings.audience else ()
        # A token that names an audience is for nobody else: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3
        if (named or wanted) and not set(named).intersection(wanted):
            raise refused("the token is for another audience (`aud`) than the relay's [relay.auth] audience")
        if claims.streamer.publish and claims.sub in ("", ANONYMOUS):
            raise refused("a token that lets its bearer publish must name it in the claim `sub`")


_jws = jwt.PyJWS()


def _claims(content: bytes) -> Claims:
    try:
        return msgspec.json.decode(content, type=Claims)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(f"the token's claims are not understood: {error}") from None


def _patterns(written: tuple[str, ...], kind: str) -> frozenset[str]:
    for index, pattern in enumerate(written):
        try:
            check_pattern(pattern)
        except ClientError:  # its sentence would quote the token
            raise refused(f"`streamer.{kind}[{index}]` in the token is no topic pattern that we match") from None
    return frozenset(written)


def needed(settings: RelayAuthSettings) -> bool:
    """Whether there are keys, so that tokens count."""
    return bool(settings.secret or settings.public_keys or settings.jwks)


def fixed_keys(settings: RelayAuthSettings) -> tuple[Key, ...]:
    """The keys that stand in the configuration.

    Raises:
        ValueError: one cannot be used; `problems` says which, in words for the operator.
    """
    secret = () if settings.secret is None else (secret_key(settings.secret.reveal()),)
    return (*secret, *(public_key(pem.reveal()) for pem in settings.public_keys))


def problems(settings: RelayAuthSettings, *, files: bool = True) -> list[tuple[Path, str]]:
    """What is wrong with `[relay.auth]`: the key's path within it, and a sentence that shows no secret.

    Args:
        files: look at the key set's file, too; one who waits for it does not.
    """
    checks: list[tuple[Path, Callable[[], object]]] = []
    if settings.secret is not None:
        checks.append((("secret",), partial(secret_key, settings.secret.reveal())))
    for index, pem in enumerate(settings.public_keys):
        checks.append((("public_keys", index), partial(public_key, pem.reveal())))
    if is_url(settings.jwks):
        checks.append((("jwks",), partial(check_url, settings.jwks)))
    elif settings.jwks and files:
        checks.append((("jwks",), partial(check_file, settings.jwks)))
    for name in ("anonymous_read", "anonymous_publish"):
        for index, pattern in enumerate(getattr(settings, name)):
            checks.append(((name, index), partial(check_pattern, pattern)))
    found: list[tuple[Path, str]] = []
    for path, check in checks:
        try:
            check()
        except (ValueError, ClientError) as error:
            found.append((path, f"relay.auth.{'.'.join(map(str, path))} {error}"))
    return found
