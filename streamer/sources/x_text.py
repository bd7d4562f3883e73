# -*- test-case-name: tests.unit.test_sources_x_payload -*-
"""What the texts and objects of X have in common, whichever of its APIs they came by.

Two things about the text are not in X's documentation but in every recorded object: the places of entities count
Unicode code points (not UTF-16 units), and they count them in the text as delivered, where `&`, `<` and `>` are
written `&amp;`, `&lt;` and `&gt;`. `unescaped` undoes the escapes and moves the facets along.
"""

from __future__ import annotations

import functools
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from streamer.activity import Author, Facet

SITE = "https://x.com"
MEDIA_KINDS = {"photo": "photo", "video": "video", "animated_gif": "animation"}
SIGILS = {"tag": "#＃", "mention": "@＠", "cashtag": "$＄"}
TIMES = range(253_402_300_800_000)  # ms since the epoch, up to the year 9999: what RFC 3339 can write
ID = re.compile(r"[0-9]{1,20}")  # 64 bits in decimal
LANGUAGE_LIMIT = 35  # characters of a code that are looked at: https://www.rfc-editor.org/rfc/rfc5646#section-4.4.1

SNOWFLAKE_EPOCH = 1_288_834_974_657  # ms since the epoch; when X's ids began to hold a time
FIRST_SNOWFLAKE = 29_700_859_247  # of 4 November 2010; ids before it only count

# What msgspec raises for bytes that are not as declared; deep nesting is a RecursionError.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# BCP 47 replaced these ISO 639 codes, X still sends them; https://www.iana.org/assignments/language-subtag-registry
_RENAMED_LANGUAGES = {"in": "id", "iw": "he", "ji": "yi"}
# Codes for "no language"; so are X's own qam, qct, qht, qme, qst, from ISO 639-2's private range qaa to qtz.
_NO_LANGUAGES = frozenset({"und", "zxx", "mul", "mis", "art"})
_LANGUAGE = re.compile(r"(?!q[a-t][a-z]$)[a-z]{2,3}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_HANDLE = re.compile(r"[A-Za-z0-9_]{1,20}")
_ESCAPE = re.compile("&(amp|lt|gt);")
_ESCAPED = {"amp": "&", "lt": "<", "gt": ">"}
# Every escape of a JSON string, so that the `\\` of `\\ud800` is not taken for the start of `\ud800`.
_SURROGATES = re.compile(rb"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)

_decode_numbers = msgspec.json.Decoder(list[float]).decode


def without_lone_surrogates(body: bytes) -> bytes:
    r"""JSON with every escape of half a surrogate pair replaced by `\ufffd`; everything else untouched."""
    return _SURROGATES.sub(_keep_pairs, body)


def _keep_pairs(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[2] else escape[0]


def person(id_: str, handle: str | None, name: str | None) -> Author:
    """An account; its address is by id where the handle cannot be part of one."""
    url = f"{SITE}/{handle}" if handle and _HANDLE.fullmatch(handle) else f"{SITE}/i/user/{id_}"
    return Author(id_, handle, name, url)


def post_url(author: Author | None, id_: str) -> str:
    """Where a post can be seen."""
    handle = author.handle if author and author.handle and _HANDLE.fullmatch(author.handle) else "i"
    return f"{SITE}/{handle}/status/{id_}"


def link(text: str, start: int, end: int, value: str | None, written: str | None) -> Iterator[Facet]:
    """A link to `value` where the text says `written`; nothing where it does not."""
    if value and value.lower().startswith(("http://", "https://")) and _fits(text, start, end, written):
        yield Facet(start, end, "link", value)


def named(text: str, start: int, end: int, kind: str, value: str | None) -> Iterator[Facet]:
    """A tag, mention or cashtag where the text says so; nothing where it does not."""
    if value and _fits(text, start, end, None) and text[start] in SIGILS[kind]:
        written = text[start + 1 : end]
        if written == value or written.lower() == value.lower():
            yield Facet(start, end, kind, value)


def _fits(text: str, start: int, end: int, written: str | None) -> bool:
    inside = 0 <= start < end <= len(text)
    return inside and (written is None or text[start:end] == written)


def separate(facets: Iterable[Facet]) -> Iterator[Facet]:
    """In order of the text, without overlaps: X repeats a link once for each picture of a post."""
    reached = 0
    for facet in sorted(facets, key=_start):
        if facet.start >= reached:
            reached = facet.end
            yield facet


def _start(facet: Facet) -> int:
    return facet.start


def unescaped(escaped: str, facets: tuple[Facet, ...] | None) -> tuple[str, tuple[Facet, ...] | None]:
    """A text without X's escapes, and the facets where they are then."""
    if "&" not in escaped:
        return escaped, facets
    ends: list[int] = []
    shorter = [0]  # code points by which the text has shrunk after each escape
    for escape in _ESCAPE.finditer(escaped):
        ends.append(escape.end())
        shorter.append(shorter[-1] + escape.end() - escape.start() - 1)
    text = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], escaped)
    if facets:

        def moved(offset: int) -> int:
            return offset - shorter[bisect_right(ends, offset)]

        facets = tuple([Facet(moved(one.start), moved(one.end), one.kind, one.value) for one in facets])
    return text, facets


def language(code: str | None) -> str | None:
    """The primary BCP 47 subtag of what X calls the language; None where that is none."""
    return _language(code[:LANGUAGE_LIMIT]) if code else None  # cut here: what strangers write is not to be kept


@functools.lru_cache(maxsize=512)
def _language(code: str) -> str | None:
    primary = code.lower().partition("-")[0]
    primary = _RENAMED_LANGUAGES.get(primary, primary)
    return primary if _LANGUAGE.fullmatch(primary) and primary not in _NO_LANGUAGES else None


def milliseconds(moment: datetime) -> int | None:
    """A time in ms since the epoch, UTC where it says nothing else; None where RFC 3339 could not write it."""
    past = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    found = past // _MILLISECOND
    return found if found in TIMES else None


def iso_milliseconds(written: str | None) -> int | None:
    """A time as ISO 8601 writes it, in ms since the epoch; None where it is none, or none that an event can have."""
    try:
        return None if written is None else milliseconds(datetime.fromisoformat(written))
    except (ValueError, OverflowError):
        return None


def written_milliseconds(value: object) -> int | None:
    """A time that is already in ms since the epoch, as a number or in digits; None where it is none."""
    digits = str(value)
    return int(digits) if ID.fullmatch(digits) and int(digits) in TIMES else None


def snowflake_milliseconds(id_: str) -> int | None:
    """When a post was made, ms since the epoch: the upper part of its id. None for ids older than that scheme.

    https://developer.twitter.com/en/docs/twitter-ids
    """
    number = int(id_) if ID.fullmatch(id_) else 0
    made = (number >> 22) + SNOWFLAKE_EPOCH
    return made if number >= FIRST_SNOWFLAKE and made in TIMES else None


def numbers(raw: msgspec.Raw, count: int) -> list[float]:
    """As many numbers as asked for; NaN for each where they are not there, so that the geo hydrator counts it."""
    try:
        found = _decode_numbers(raw)
    except UNREADABLE:
        return [math.nan] * count
    return found if len(found) == count else [math.nan] * count
