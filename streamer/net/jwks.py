# -*- test-case-name: tests.unit.test_net_jwks -*-
"""The keys that tokens are signed with: a shared secret, public keys in PEM, a JSON Web Key Set.

Each key carries its one algorithm, found by what the key is and never by what a token says of itself: a token that
could choose would sign itself with `none`, or with a public key used as a shared secret.
https://www.rfc-editor.org/rfc/rfc8725#section-3.1, https://www.rfc-editor.org/rfc/rfc7517#section-4
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from streamer.policy.transport import is_loopback

SECRET_LEAST = 32  # bytes; https://www.rfc-editor.org/rfc/rfc7518#section-3.2
RSA_LEAST = 2048  # bits; https://www.rfc-editor.org/rfc/rfc7518#section-3.3
SET_LIMIT = 256_000  # bytes of a key set
KEYS_LIMIT = 64  # keys of a set; of what one token may have to be tried with, where neither names its key
TRIES_LIMIT = 10  # keys that have a name, which a token that names none is tried with
KID_LIMIT = 256  # characters of a key's id
AWAITED_LIMIT = 100  # ids of unknown keys remembered
RSA_MOST = 8192  # bits, and beyond _EXPONENT_LIMIT in the exponent: a larger key only costs time at each token
_EXPONENT_LIMIT = 2**32
FILE = "file:"  # may stand before a path, as in `secrets`

Algorithm = Literal["HS256", "RS256", "EdDSA"]


@attrs.frozen
class Key:
    """One key.

    Args:
        key: as PyJWT takes it: bytes of a secret, else a public key.
        kid: its id in a key set; None for a key that has none.
    """

    algorithm: Algorithm
    key: Any = attrs.field(repr=False, eq=False)
    kid: str | None = None


def secret_key(secret: str) -> Key:
    """The key of tokens signed with HS256.

    Raises:
        ValueError: it is too short to withstand guessing, or no secret at all.
    """
    content = secret.encode("utf-8", "surrogatepass")
    if len(content) < SECRET_LEAST:
        raise ValueError(
            f"has {len(content)} bytes; HS256 needs {SECRET_LEAST} at least, as `openssl rand -hex 32` writes them"
        )
    try:
        return Key("HS256", HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(content))
    except jwt.InvalidKeyError:
        raise ValueError("is a key in PEM or SSH form; a public one belongs into public_keys") from None


def public_key(pem: str) -> Key:
    """A public key, of tokens signed with RS256 or EdDSA.

    Raises:
        ValueError: it is none of these; the text does not show it.
    """
    try:
        loaded = load_pem_public_key(pem.strip().encode("utf-8", "surrogatepass"))
    except (ValueError, UnsupportedAlgorithm):
        hint = "`openssl pkey -in private.pem -pubout` writes one"
        raise ValueError(f"is no public key in PEM form (-----BEGIN PUBLIC KEY-----); {hint}") from None
    return _public(loaded, None)


def is_url(place: str) -> bool:
    """Whether a key set is to be fetched, and not read from a file."""
    return "://" in place and not place.startswith(FILE)


def check_url(url: str) -> None:
    """See that nobody between can give us keys of theirs.

    Raises:
        ValueError: it is not https, and not http on this machine, or nothing that can be asked for.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", 0
    if not host or port == 0 or not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("is no URL such as 'https://example.org/keys.json', nor a file's path")
    if parts.username is not None:
        raise ValueError("must not hold a user; a key set is public")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("must be an https URL: whoever could change the keys on their way could sign tokens")


@attrs.define
class Keys:
    """The keys that count now.

    Args:
        fixed: those of the configuration.
        ask: asks for a newer key set; None where no set could bring a key we do not know.
    """

    fixed: tuple[Key, ...] = ()
    ask: Callable[[], None] | None = None
    _set: tuple[Key, ...] = ()
    _awaited: set[str] = attrs.field(factory=set)  # unknown ids that tokens named since the last look for keys
    _absent: set[str | None] = attrs.field(factory=set)  # those named before it

    def replace(self, keys: tuple[Key, ...]) -> None:
        """A newer key set came."""
        self._set = keys
        self._absent.clear()
        self.settle()

    def settle(self) -> None:
        """There are no newer keys: what was awaited does not come."""
        if len(self._absent) >= AWAITED_LIMIT:
            self._absent.clear()
        self._absent |= self._awaited
        self._awaited.clear()

    def find(self, kid: str | None) -> tuple[Key, ...]:
        """The keys that a token may have been signed with: the one it names, else all that have no name.

        Where it names none also those that have one, after the others: to name it is a token's choice.
        https://www.rfc-editor.org/rfc/rfc7515#section-4.1.4
        """
        named = tuple(key for key in self._set if (key.kid is not None if kid is None else key.kid == kid))
        if kid is not None and named:
            return named
        unnamed = tuple(key for key in (*self.fixed, *self._set) if key.kid is None)
        return unnamed + named

    def awaited(self, kid: str | None) -> bool:
        """Whether the key of a token may come with the next key set, which is asked for.

        Args:
            kid: what the token names, and nobody has.
        """
        if self.ask is None or kid in self._absent or (self._set and (kid is None or self._has(kid))):
            return False
        if kid is not None and len(self._awaited) < AWAITED_LIMIT:
            self._awaited.add(kid)
        self.ask()
        return True

    def _has(self, kid: str) -> bool:
        return any(key.kid == kid for key in self._set)


@attrs.frozen
class KeySet:
    """The keys of a set that can be used, and a sentence about each that cannot."""

    keys: tuple[Key, ...]
    skipped: tuple[str, ...] = ()


class _Set(msgspec.Struct, frozen=True):
    keys: Sequence[Any]


def key_set(content: bytes) -> KeySet:
    """Read a JSON Web Key Set.

    Keys of other kinds and for other uses are left out, as https://www.rfc-editor.org/rfc/rfc7517#section-5 wants it.

    Raises:
        ValueError: it is none, or no key in it can be used; keep the keys there were.
    """
    if len(content) > SET_LIMIT:
        raise ValueError(f"the key set is longer than {SET_LIMIT} bytes")
    try:
        rows = msgspec.json.decode(content, type=_Set).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'this is no JSON Web Key Set such as {{"keys": […]}}: {error}') from None
    if len(rows) > KEYS_LIMIT:
        raise ValueError(f"the key set has {len(rows)} keys; {KEYS_LIMIT} are allowed")
    keys: list[Key] = []
    skipped: list[str] = []
    for number, row in enumerate(rows, 1):
        try:
            key = _jwk(row)
            if key.kid is not None and key.kid in {other.kid for other in keys}:
                raise ValueError("has the `kid` of another one")
            keys.append(key)
        except ValueError as error:
            skipped.append(f"key {number} of {len(rows)} {error}")
    if not keys:
        why = "; ".join(skipped[:3]) or "it is empty"
        raise ValueError(f"the key set has no key that we can use: {why}")
    return KeySet(tuple(keys), tuple(skipped))


def _jwk(row: Any) -> Key:
    """One member of a set.

    Raises:
        ValueError: it cannot be used; the text goes behind the key's number.
    """
    if not isinstance(row, dict):
        raise ValueError("is no object")
    kid = row.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= KID_LIMIT):
        raise ValueError(f"has a `kid` that is no text of at most {KID_LIMIT} characters")
    kind = row.get("kty")
    if kind == "oct":
        raise ValueError("is a shared secret, which belongs into [relay.auth] secret and into no key set")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError("is neither RSA nor Ed25519")
    algorithm, read = _READERS[kind]
    if row.get("alg", algorithm) != algorithm:
        raise ValueError(f"is for another algorithm than {algorithm}")
    if row.get("use", "sig") != "sig" or "verify" not in _operations(row):
        raise ValueError("is not for verifying signatures")
    if "d" in row:
        raise ValueError("is a private key; take it out of the set and replace it, for it is no secret any more")
    try:
        loaded = read(row)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm):
        raise ValueError(f"is no whole {kind} key") from None
    return _public(loaded, kid)


_READERS: dict[str, tuple[Algorithm, Callable[[Any], Any]]] = {
    "RSA": ("RS256", RSAAlgorithm.from_jwk),
    "OKP": ("EdDSA", OKPAlgorithm.from_jwk),
}


def _operations(row: dict[str, Any]) -> Sequence[Any]:
    operations = row.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else ()


def _public(loaded: Any, kid: str | None) -> Key:
    if isinstance(loaded, RSAPublicKey):
        if not RSA_LEAST <= loaded.key_size <= RSA_MOST:
            raise ValueError(f"is an RSA key of {loaded.key_size} bits; from {RSA_LEAST} to {RSA_MOST} are allowed")
        if loaded.public_numbers().e > _EXPONENT_LIMIT:
            raise ValueError("is an RSA key with an exponent beyond all use")
        return Key("RS256", loaded, kid)
    if isinstance(loaded, Ed25519PublicKey):
        return Key("EdDSA", loaded, kid)
    raise ValueError("is neither RSA nor Ed25519")
