"""Whoever issues tokens, for tests: keys made once, and tokens signed with them in every right and wrong way."""

from __future__ import annotations

import functools
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of the tests, long enough for all"
NOW = 1_000_000.0  # seconds since the epoch


@functools.cache
def rsa_key(bits: int = 2048) -> Any:
    """A private RSA key."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def ed_key(which: int = 0) -> Any:
    """A private Ed25519 key; `which` tells several apart."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([which + 1]) * 32)


@functools.cache
def ec_key() -> Any:
    """A private key on P-256, which we do not take."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    """The public half."""
    written: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written.decode()


def jwk(key: Any, *, private: bool = False, **more: Any) -> dict[str, Any]:
    """A member of a key set, of either half."""
    half = key if private else key.public_key()
    algorithm: Any = RSAAlgorithm if hasattr(key, "key_size") else OKPAlgorithm
    row: dict[str, Any] = {**algorithm.to_jwk(half, as_dict=True), **more}
    row.pop("key_ops", None)
    return row | ({"key_ops": more["key_ops"]} if "key_ops" in more else {})


def written(*rows: Any) -> bytes:
    """A key set."""
    return json.dumps({"keys": rows}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """Claims of a good token; those given as None are left out."""
    all_of_them = {"exp": NOW + 600, "sub": "room", "streamer": {"read": ["chat.#"]}} | more
    return {name: value for name, value in all_of_them.items() if value is not None}


def issue(key: Any = SECRET, algorithm: str = "HS256", *, headers: dict[str, Any] | None = None, **more: Any) -> str:
    """A token."""
    return jwt.encode(claims(**more), key, algorithm, headers=headers)
