# -*- test-case-name: tests.unit.test_policy_entities -*-
"""Which spans of a plain text are links, #tags, @mentions and $cashtags.

For upstreams that send text only. The rules are those X published with its conformance cases
(https://github.com/twitter/twitter-text), with two differences on purpose: only links with a scheme are links, for
"end.of" and "readme.md" are not; and no list of top-level domains is kept, for it changes every month.

Each finder walks the text once, whatever is in it: what a match consumed is never looked at again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from streamer.activity import Facet

SLUG_LIMIT = 40  # characters of a t.co slug; longer ones are not links
HOST_LIMIT = 253  # bytes, RFC 1035
LABEL_LIMIT = 63  # bytes, RFC 1035

_CJK = "\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef"  # written without spaces
# Letters, digits, hyphen, underscore, and of what is not ASCII all but spaces and the usual punctuation.
_HOST_CHAR = (
    r"[^\x00-,./:-@\[-^`{-\xbf\s\u2000-\u200b\u200e-\u206f\u3000-\u3004\u3008-\u3020\uff00-\uff0f\uff1a-\uff20\ufeff]"
)

_LINK = re.compile(
    r"(?<![A-Za-z0-9@＠$#＃\ufeff\ufffe\uffff])https?://"
    rf"(?P<host>{_HOST_CHAR}++(?:\.{_HOST_CHAR}++)++)",
    re.IGNORECASE,
)
_PORT = re.compile(r":[0-9]{1,5}")
# Latin with accents and Cyrillic may stand in a path; scripts without spaces end it.
_PATH = re.compile(
    r"/[A-Za-z0-9\u00c0-\u024f\u0253-\u0259\u0263\u0268\u026f\u0272\u0289\u028b\u02bb\u0300-\u036f\u0400-\u04ff\u1e00-\u1eff"
    r"!*'();:=+,.$/%#\[\]\-\u2013_~@|&]*+"
)
_QUERY = re.compile(r"\?[A-Za-z0-9!?*'@();:&=+$/%#\[\]\-_.,~|]*+")
_SLUG = re.compile(r"/([A-Za-z0-9]++)")
_ASCII_TOP = re.compile(r"[A-Za-z]{2,63}|xn--[A-Za-z0-9-]{1,59}", re.IGNORECASE)
_TOP_BEFORE_OTHER = re.compile(rf"([A-Za-z]{{2,63}})(?=[{_CJK}]|[^\w-])")
_TRAILING_PATH = ".,;:!'*$%[]|~@–&("
_TRAILING_QUERY = "!?*'@(;:+$%[].,~|"

_HASH = re.compile(r"[#＃](?![\ufe0f\u20e3])")  # not the keycap emoji
_TAG_MARKS = frozenset(
    "_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7"
)
_BEFORE_TAG = frozenset("\ufe0e\ufe0f")  # how to draw the emoji before; marks, but no part of a word

_MENTION = re.compile(
    r"(?:(?<![A-Za-z0-9_!#$%&*@＠])|(?<=rt))[@＠](?P<name>[a-z0-9_]{1,20}+)"
    r"(?![a-z0-9_@＠\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0300-\u036f\u1e00-\u1eff]|://)",
    re.IGNORECASE,
)
_CASHTAG = re.compile(
    r"(?<![^\s\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069])\$(?P<name>[a-z]{1,6}(?:[._][a-z]{1,2})?)"
    r"(?=$|\s|[!-/:-@\[-`{-~])",
    re.IGNORECASE,
)


def find_facets(text: str) -> tuple[Facet, ...]:
    """Every facet of a text, in order, without overlaps; a tag or a mention inside a link is part of the link."""
    found: list[Facet] = []
    if "://" in text:
        found.extend(_links(text))
    if "#" in text or "＃" in text:
        found.extend(_tags(text))
    if "@" in text or "＠" in text:
        found.extend(Facet(at.start(), at.end(), "mention", at["name"]) for at in _MENTION.finditer(text))
    if "$" in text:
        found.extend(Facet(at.start(), at.end(), "cashtag", at["name"]) for at in _CASHTAG.finditer(text))
    if text.endswith("…"):  # the upstream cut the text: what stands there is the beginning of a word
        found = [facet for facet in found if facet.end < len(text) - 1]
    if len(found) < 2:
        return tuple(found)
    found.sort(key=lambda facet: facet.start)
    apart: list[Facet] = []
    for facet in found:
        if not apart or facet.start >= apart[-1].end:
            apart.append(facet)
    return tuple(apart)


def _links(text: str) -> Iterator[Facet]:
    position = 0
    while candidate := _LINK.search(text, position):
        position = candidate.end()
        host = _host(candidate["host"])
        if host is None:
            continue
        host_end = candidate.start("host") + len(host)
        # Where a part of the run was no host ("example.comです"), no path can follow.
        end = _tail(text, host_end, host) if host_end == position else host_end
        if end is not None:
            position = max(position, end)
            yield Facet(candidate.start(), end, "link", text[candidate.start() : end])


def _host(run: str) -> str | None:
    """The host name that a run of letters, digits, hyphens, underscores and dots begins with; None if none."""
    labels = run.split(".")
    for index, label in enumerate(labels[1:], start=1):
        cut = _TOP_BEFORE_OTHER.match(label)
        if cut:  # "example.comです", "example.com🎉": the sentence goes on without a space
            labels[index:] = [cut[1]]
            break
    top = labels[-1]
    top_is_valid = _ASCII_TOP.fullmatch(top) if top.isascii() else _is_word(top)
    if not top_is_valid or "_" in labels[-2] or not all(map(_is_label, labels)):
        return None
    host = ".".join(labels)
    return host if len(host.encode()) <= HOST_LIMIT else None


def _is_word(label: str) -> bool:
    return all(unicodedata.category(char)[0] in "LMN" or char == "\u200c" for char in label)


def _is_label(label: str) -> bool:
    if label[0] in "-_" or label[-1] in "-_":
        return False
    if label.isascii():
        return len(label) <= LABEL_LIMIT
    return not label.startswith("xn--") and len(label) <= LABEL_LIMIT and len(b"xn--" + label.encode("punycode")) <= 63


def _tail(text: str, end: int, host: str) -> int | None:
    """Where a link ends whose host ends at `end`; None where it turns out to be none."""
    short = _SLUG.match(text, end) if host.lower() == "t.co" else None
    if short:
        if len(short[1]) > SLUG_LIMIT:
            return None
        end = short.end()
    else:
        port = _PORT.match(text, end)
        end = port.end() if port else end
        path = _PATH.match(text, end)
        end = _trimmed(text, end + 1, path.end(), _TRAILING_PATH) if path else end
    query = _QUERY.match(text, end)
    if query:
        trimmed = _trimmed(text, end + 1, query.end(), _TRAILING_QUERY)
        end = trimmed if trimmed > end + 1 else end
    return end


def _trimmed(text: str, start: int, end: int, marks: str) -> int:
    """Leave the punctuation of the sentence outside, but a closing bracket inside that was opened inside."""
    surplus = text.count(")", start, end) - text.count("(", start, end)
    while end > start:
        last = text[end - 1]
        if last == ")" and surplus > 0:
            surplus -= 1
        elif last not in marks:
            break
        elif last == "(":
            surplus += 1
        end -= 1
    return end


def _tags(text: str) -> Iterator[Facet]:
    for sign in _HASH.finditer(text):
        start = sign.start()
        if start and not _may_precede_tag(text[start - 1]):
            continue
        end = start + 1
        has_letter = False
        while end < len(text):
            char = text[end]
            category = unicodedata.category(char)
            if category[0] in "LM":
                has_letter = True
            elif category != "Nd" and char not in _TAG_MARKS:
                break
            end += 1
        if has_letter and not text.startswith(("#", "＃", "://"), end):
            yield Facet(start, end, "tag", text[start + 1 : end])


def _may_precede_tag(char: str) -> bool:
    if char in _BEFORE_TAG:
        return True
    category = unicodedata.category(char)
    return category[0] not in "LM" and category != "Nd" and char not in "&/" and char not in _TAG_MARKS
