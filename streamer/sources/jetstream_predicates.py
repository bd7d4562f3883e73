# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""What a Jetstream is asked for, and the limits it has: https://github.com/bluesky-social/jetstream#query-parameters"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from streamer.sources.jetstream_facets import DID

POST = "app.bsky.feed.post"
COLLECTIONS_LIMIT = 100
DIDS_LIMIT = 10_000
URL_LIMIT = 4_000  # characters of a query; servers and proxies take 8 kB lines and more, and a filter may have 600 kB

# https://atproto.com/specs/nsid; a prefix may be shorter than a whole name.
_SEGMENT = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NSID = re.compile(rf"[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?(?:\.{_SEGMENT})+\.[A-Za-z][A-Za-z0-9]{{0,62}}")
_PREFIX = re.compile(rf"[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?(?:\.{_SEGMENT})*\.\*")
_NSID_LIMIT = 317  # characters


class Predicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sources.<name>.predicates]`: records that are in one of the collections and by one of the authors.

    Identities and accounts come whatever the collections are.

    Args:
        collections: names such as `app.bsky.feed.post`, or prefixes such as `app.bsky.graph.*`; none means all.
        dids: of authors; none means everybody.
    """

    collections: tuple[str, ...] = (POST,)
    dids: tuple[str, ...] = ()


def check(predicates: Predicates) -> None:
    """Refuse what the server would refuse.

    Raises:
        ValueError: names the collection or author, and the limit.
    """
    _check_number("collections", predicates.collections, COLLECTIONS_LIMIT)
    _check_number("dids", predicates.dids, DIDS_LIMIT)
    for name in predicates.collections:
        form = _PREFIX if name.endswith("*") else _NSID
        if len(name) > _NSID_LIMIT or not form.fullmatch(name):
            raise ValueError(
                f"has the collection {name[:80]!r}; write a whole name such as 'app.bsky.feed.post', "
                "or whole parts of one before '.*' such as 'app.bsky.graph.*'"
            )
    for did in predicates.dids:
        if not DID.fullmatch(did):
            raise ValueError(
                f"has {did[:80]!r} in dids, which takes names such as 'did:plc:z72i7hdynmk6r22z27h6tvur', no handles: "
                "com.atproto.identity.resolveHandle tells which name a handle stands for"
            )


def parameters(predicates: Predicates) -> Iterator[tuple[str, str]]:
    """As parameters of the request."""
    for name in predicates.collections:
        yield "wantedCollections", name
    for did in predicates.dids:
        yield "wantedDids", did


def update(predicates: Predicates, max_message_bytes: int) -> str:
    """The message that replaces the whole filter of an open connection."""
    payload = {
        "wantedCollections": predicates.collections,
        "wantedDids": predicates.dids,
        "maxMessageSizeBytes": max_message_bytes,
    }
    return msgspec.json.encode({"type": "options_update", "payload": payload}).decode()


def changes(one: Predicates, other: Predicates) -> int:
    """How many collections and authors only one of the two has."""
    return len(set(one.collections) ^ set(other.collections)) + len(set(one.dids) ^ set(other.dids))


def _check_number(key: str, values: Sequence[str], limit: int) -> None:
    if len(values) > limit:
        raise ValueError(f"has {len(values)} {key}; the upstream takes at most {limit}")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise ValueError(f"has {twice[:80]!r} twice in {key}")
