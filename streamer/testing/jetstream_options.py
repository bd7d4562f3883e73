# -*- test-case-name: tests.unit.test_testing_jetstream -*-
"""What a client asks a simulated Jetstream for, by its URL or by an `options_update`, and what is wrong with it.

https://github.com/bluesky-social/jetstream#query-parameters; the rules that README leaves open are those of the
server: a prefix before `.*` is not looked at, sizes that are no numbers mean no limit, repeats do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import attrs
import msgspec

COLLECTIONS_LIMIT = 100
DIDS_LIMIT = 10_000
SEQUENCES = 10**15  # cursors below it number the events of this host
BAD_ENVELOPE = "bad SubscriberSourcedMessage envelope"
BAD_PAYLOAD = "bad options_update payload"
ONE_SCHEME = (
    "choose one compression scheme: custom zstd (compress=true / Socket-Encoding: zstd) or RFC 7692 "
    "permessage-deflate, not both"
)

_NSID = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62})+\.[A-Za-z][A-Za-z0-9]{0,62}")
_DID = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]*[A-Za-z0-9._-]")
_SIZE_LIMIT = 2**32


class About(NamedTuple):
    """What a filter chooses an event by.

    Args:
        collection: empty for identities and accounts, which come whatever the collections are.
    """

    did: str
    collection: str
    time_us: int


@attrs.frozen
class Filter:
    """One client's wishes; None means all."""

    dids: frozenset[str] | None = None
    names: frozenset[str] | None = None
    prefixes: tuple[str, ...] = ()
    size: int = 0  # bytes; 0 for no limit

    def wants(self, about: About, size: int) -> bool:
        """Whether it gets an event of so many bytes."""
        if self.dids is not None and about.did not in self.dids:
            return False
        if self.size and size > self.size:
            return False
        if self.names is None or not about.collection or about.collection in self.names:
            return True
        return about.collection.startswith(self.prefixes)


class _Message(msgspec.Struct):
    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")


class _Update(msgspec.Struct, rename="camel"):
    wanted_collections: list[str] | None = None
    wanted_dids: list[str] | None = None
    max_message_size_bytes: int = 0


class Refused(ValueError):
    """A client's message is wrong; `code` is what it is closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def filter_of(query: Mapping[bytes, Sequence[bytes]]) -> Filter:
    """That of a URL.

    Raises:
        ValueError: what the server says about it.
    """
    values = {name: [value.decode("utf-8", "replace") for value in query.get(name, ())] for name in _NAMES}
    size = (values[b"maxMessageSizeBytes"] or ["0"])[0]
    number = int(size) if re.fullmatch(r"[+-]?[0-9]{1,18}", size) else 0
    return _filter(values[b"wantedCollections"], values[b"wantedDids"], number)


def update_of(message: bytes) -> Filter | None:
    """That of a message; None for one of another type, which the server ignores.

    Raises:
        Refused: it is wrong.
    """
    try:
        found = msgspec.json.decode(message, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(1007, BAD_ENVELOPE) from error
    if found.type != "options_update":
        return None
    try:
        update = msgspec.json.decode(found.payload, type=_Update | None) or _Update()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(1007, BAD_PAYLOAD) from error
    try:
        return _filter(update.wanted_collections or [], update.wanted_dids or [], update.max_message_size_bytes)
    except ValueError as error:
        raise Refused(1008, str(error)[:120]) from error


def cursor_of(query: Mapping[bytes, Sequence[bytes]]) -> int | None:
    """Where to begin; None for what comes next.

    Raises:
        ValueError: what the server says about it.
    """
    written = (query.get(b"cursor") or [b""])[0].decode("utf-8", "replace")
    if not written:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", written):
        raise ValueError(f'subscribe: invalid cursor: "{written}"')
    if int(written) < 0:
        raise ValueError(f"subscribe: invalid cursor: negative value {int(written)}")
    return int(written)


_NAMES = (b"wantedCollections", b"wantedDids", b"maxMessageSizeBytes")


def _filter(collections: Sequence[str], dids: Sequence[str], size: int) -> Filter:
    names = {name for name in collections if not name.endswith(".*")}
    prefixes = {name.removesuffix("*") for name in collections if name.endswith(".*")}
    for name in sorted(names):
        if not _NSID.fullmatch(name):
            raise ValueError(f"invalid options: invalid collection: {name}")
    if len(names) + len(prefixes) > COLLECTIONS_LIMIT:
        raise ValueError(f"invalid options: too many wanted collections: > {COLLECTIONS_LIMIT}")
    for did in dids:
        if not _DID.fullmatch(did):
            raise ValueError(f"invalid options: invalid DID: {did}")
    wanted = frozenset(dids)
    if len(wanted) > DIDS_LIMIT:
        raise ValueError(f"invalid options: too many wanted DIDs: {len(wanted)} > {DIDS_LIMIT}")
    return Filter(
        wanted or None,
        frozenset(names) if collections else None,
        tuple(sorted(prefixes)),
        size if 0 < size < _SIZE_LIMIT else 0,
    )
