# -*- test-case-name: tests.unit.test_sources_x_volume -*-
"""X's 1 % sample: `type = "x-sample"`.

https://docs.x.com/x-api/posts/volume-streams/introduction — a hundredth of all posts, whatever they say. It can be
back-filled, and not recovered: https://docs.x.com/x-api/fundamentals/recovery-and-redundancy
"""

from __future__ import annotations

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.interfaces import ISourceType
from streamer.secrets import Secret
from streamer.sources import x_lines
from streamer.sources.x_stream import BASE_URL, STALL_AFTER, Backfill, Profile, StallAfter, XStream
from streamer.sources.x_unfiltered import XUnfiltered

PATH = "/2/tweets/sample/stream"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "x-sample"`."""

    token: Secret
    base_url: str = BASE_URL
    backfill_minutes: Backfill = 0
    stall_after: StallAfter = STALL_AFTER
    profile: Profile = "x"


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _XSampleType:
    name: str = "x-sample"
    settings: type = Settings
    predicates: None = None
    kinds: frozenset[str] = x_lines.KINDS

    def build(self, name: str, settings: Settings) -> XUnfiltered:
        stream = XStream.checked(settings.base_url, settings.token, PATH, settings.backfill_minutes)
        return XUnfiltered(name, stream, settings.profile, settings.stall_after)


x_sample = _XSampleType()
