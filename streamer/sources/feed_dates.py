# -*- test-case-name: tests.unit.test_sources_feed_entries -*-
"""Dates as feeds write them → ms since the epoch, or None.

RSS has RFC 822's (https://www.rssboard.org/rss-specification), with years of two or four digits, wrong days of the
week and names of zones; Atom has RFC 3339's, https://www.rfc-editor.org/rfc/rfc4287#section-3.3, and both have each
other's, and others.
"""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime, timedelta

LENGTH = 64  # code points; what is longer is no date

_ISO = re.compile(r"(\d{4})-?(\d\d)?-?(\d\d)?")
_SPACED_ZONE = re.compile(r"\s+(?=[+-]\d\d:?\d\d$|Z$)")
_FRACTION = re.compile(r"(?<=:\d\d)[.,]\d+")


def milliseconds(written: str) -> int | None:
    """Without a zone it is taken for UTC; without a time of day, for midnight."""
    text = written.strip()
    if not text or len(text) > LENGTH:
        return None
    found = _iso(text) if text[:4].isdecimal() else _rfc822(text)
    if found is None or not 1 < found.year < 9999:
        return None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _iso(text: str) -> datetime | None:
    text = _SPACED_ZONE.sub("", text.replace(" UTC", "Z").replace(" GMT", "Z"))
    text = text.upper() if text[-1:] == "z" else text
    for form in (text, _FRACTION.sub("", text)):
        try:
            return datetime.fromisoformat(form)
        except ValueError:
            continue
    day = _ISO.match(text)
    if day is None:
        return None
    try:
        return datetime(int(day[1]), int(day[2] or 1), int(day[3] or 1), tzinfo=UTC)
    except ValueError:
        return None


def _rfc822(text: str) -> datetime | None:
    try:
        parts = email.utils.parsedate_tz(text)
        if parts is None:
            return None
        year, month, day, hour, minute, second = parts[:6]
        there = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        return there - timedelta(seconds=parts[9] or 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
