# -*- test-case-name: tests.unit.test_sources_feed_memory -*-
"""What is remembered of a feed from one poll to the next, and which of its entries are news.

It outlives the process as the source's cursor. It stays under 35 kB whatever the feed does; that of a usual feed of 20
entries has 700 bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from streamer.sources.feed_entries import PAGE_LIMIT, Read
from streamer.sources.feed_fields import digest
from streamer.sources.feed_objects import FeedEntry

FEW = 10  # entries on a page that was empty before, from which on others may have been pushed out meanwhile
PINS = 3  # entries that may stay at the top of a page for ever
SEEN_LIMIT = PAGE_LIMIT + 50  # entries remembered: a page, and some that left it and may come back
VALIDATOR_LIMIT = 1_000  # characters of an ETag or a date that are worth remembering
ID_LIMIT = 150  # characters of an item's id; with the source's name it must fit an AMQP short string
KNOWN, SAID = 12, 8  # hexadecimal digits of what tells an entry, and of what tells its text

_UPDATE = re.compile(r"#[0-9a-f]{8}(\.\d+)?\Z")  # how the id of an update ends


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feed as it was at the last poll.

    Args:
        of: tells the configured address; memories of another one are of no use.
        url: where it is by now; others than the configured one came by a permanent redirect.
        etag, modified: validators, exactly as received.
        seen: of the entries, the newest first: what tells each, what tells its text, and how often that changed (where
            it did), in one word.
        hub: the state of a subscription, see `feed_push`: it holds a secret; None without one.
    """

    of: str
    url: str
    etag: str | None = None
    modified: str | None = None
    seen: tuple[str, ...] = ()
    hub: dict[str, Any] | None = None

    def with_validators(self, etag: str | None, modified: str | None) -> Memory:
        """The same with these, where they can be sent back."""
        return msgspec.structs.replace(self, etag=_kept(etag), modified=_kept(modified))


class News(msgspec.Struct, frozen=True):
    """What one page brought.

    Args:
        entries: the oldest first.
        memory: after it.
        broken: nothing below what is new was known, so that there may have been others meanwhile.
        more: entries of the page that were not looked at.
    """

    entries: tuple[FeedEntry, ...]
    memory: Memory
    broken: bool = False
    more: int = 0


def begun(asked: str, cursor: str | None) -> tuple[Memory, bool]:
    """The memory at the beginning, and whether it is that of an earlier poll."""
    of = digest(asked)[:KNOWN]
    if cursor is not None:
        try:
            found = msgspec.json.decode(cursor, type=Memory)
        except (msgspec.DecodeError, UnicodeError):
            found = None
        if found is not None and found.of == of:
            return found, True
    return Memory(of, asked), False


def written(memory: Memory) -> str:
    """As a cursor."""
    return msgspec.json.encode(memory).decode()


def news(read: Read, memory: Memory, backlog: int | None, *, part: bool = False) -> News:
    """Compare a page with what is remembered.

    Args:
        backlog: how many entries to take of a page that is the first ever; None where it is not.
        part: it holds new entries only, as hubs may send them: that nothing of it is known means nothing.
    """
    known = {word[:KNOWN]: word[KNOWN:] for word in memory.seen}
    fresh: list[FeedEntry] = []
    words: dict[str, str] = {}
    for entry in _told_apart(read.entries, known):
        who, what = _who(entry.identity), said(entry)
        if who in words:
            continue
        before = known.get(who)
        if before is None:
            words[who] = what
            fresh.append(_named(entry, item_id(entry.identity), "entry"))
        elif before[:SAID] == what:
            words[who] = before
        else:
            often = before[SAID:]
            times = (int(often) if often.isdecimal() and len(often) < 10 else 0) + 1
            words[who] = f"{what}{times}"
            fresh.append(_named(entry, update_id(entry.identity, what, times), "update"))
    seen = [who + what for who, what in words.items()]
    seen.extend(word for word in memory.seen if word[:KNOWN] not in words)
    if backlog is not None:
        fresh = fresh[:backlog]
    broken = backlog is None and not part and _broken(list(words), [word[:KNOWN] for word in memory.seen])
    remembered = msgspec.structs.replace(memory, seen=tuple(seen[:SEEN_LIMIT]))
    return News(tuple(reversed(fresh)), remembered, broken, read.more)


def said(entry: FeedEntry) -> str:
    """Tells an entry's text from what it was: its title, summary and content, not what changes by itself."""
    texts = [text.value if text is not None else "" for text in (entry.title, entry.summary, entry.content)]
    return digest(*texts)[:SAID]


def item_id(identity: str) -> str:
    """The identity itself where an id may look like that, else a hash of it."""
    usable = len(identity) <= ID_LIMIT and identity.isascii() and identity.isprintable()
    return identity if usable and not _UPDATE.search(identity) else f"sha256:{digest(identity)}"


def update_id(identity: str, what: str, times: int) -> str:
    """That of an entry whose text changed so often: a text that comes back is another update."""
    return f"{item_id(identity)}#{what}" + (f".{times}" if times > 1 else "")


def _who(identity: str) -> str:
    return digest(identity)[:KNOWN]


def _broken(page: Sequence[str], seen: Sequence[str]) -> bool:
    """Whether entries may be missing between a page and what was seen before, both the newest first.

    A few that stand at the top of both may be pinned there and say nothing; others above what is new are a feed whose
    newest entries come last.
    """
    if not seen:
        return len(page) >= FEW
    known = set(seen)
    new = [at for at, who in enumerate(page) if who not in known]
    if not new or len(new) == len(page):
        return bool(new)
    pins = new[0]
    if len(page) - len(new) > pins or pins > PINS:
        return False
    return pins < len(seen) and list(page[:pins]) == list(seen[:pins])


def _told_apart(entries: Sequence[FeedEntry], known: Collection[str]) -> list[FeedEntry]:
    """Entries that share an identity on one page get others, by what they say, since that is all there is; those that
    say the same, too, are one. One that got such an identity once keeps it, though it be alone now."""
    apart = {(entry.identity, entry.link, said(entry)): entry for entry in reversed(entries)}
    times = Counter([identity for identity, _, _ in apart])
    found = []
    for (identity, link, what), entry in reversed(apart.items()):
        other = f"{identity[:ID_LIMIT]}|{link or ''}|{what}"
        if times[identity] > 1 or (_who(identity) not in known and _who(other) in known):
            entry = msgspec.structs.replace(entry, identity=other)
        found.append(entry)
    return found


def _named(entry: FeedEntry, item: str, action: str) -> FeedEntry:
    return msgspec.structs.replace(entry, item=item, action=action)


def _kept(validator: str | None) -> str | None:
    usable = validator and len(validator) <= VALIDATOR_LIMIT and validator.isascii() and validator.isprintable()
    return validator if usable else None
