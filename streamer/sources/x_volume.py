# -*- test-case-name: tests.unit.test_sources_x_volume -*-
"""X's 10 % sample and its firehose: `type = "x-volume"`.

https://docs.x.com/x-api/posts/volume-streams/introduction — these streams are cut into partitions, each of which
carries its share of the posts on a connection of its own. One partition is one source here, with a table, a checkpoint
and numbers of its own: for all of `sample10` write two tables, for all of the firehose twenty, and spread them over as
many machines as it takes.
"""

from __future__ import annotations

from typing import Literal

import attrs
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.interfaces import ISourceType
from streamer.secrets import Secret
from streamer.sources import x_lines
from streamer.sources.x_stream import BASE_URL, STALL_AFTER, Backfill, Profile, StallAfter, XStream
from streamer.sources.x_unfiltered import XUnfiltered

# https://api.x.com/2/openapi.json, the largest value of each stream's `partition`
PARTITIONS = {"sample10": 2, "firehose": 20}
LANG_PARTITIONS = {"en": 8, "ja": 2, "ko": 2, "pt": 2}  # of the firehose of one language


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "x-volume"`.

    Args:
        partition: from 1 to 2 of `sample10`, to 20 of `firehose`, to 8 of it in English, to 2 in another language.
        lang: the firehose of one language only.
        recovery: whether the contract has the recovery of up to 24 hours.
    """

    token: Secret
    stream: Literal["sample10", "firehose"]
    partition: int
    lang: Literal["en", "ja", "ko", "pt"] | None = None
    base_url: str = BASE_URL
    backfill_minutes: Backfill = 0
    recovery: bool = False
    stall_after: StallAfter = STALL_AFTER
    profile: Profile = "x"


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _XVolumeType:
    name: str = "x-volume"
    settings: type = Settings
    predicates: None = None
    kinds: frozenset[str] = x_lines.KINDS

    def build(self, name: str, settings: Settings) -> XUnfiltered:
        if settings.lang is not None and settings.stream != "firehose":
            raise ValueError(
                f"has lang {settings.lang!r}, which only the firehose takes: leave it out, or change stream"
            )
        most = LANG_PARTITIONS[settings.lang] if settings.lang else PARTITIONS[settings.stream]
        if not 1 <= settings.partition <= most:
            which = f"{settings.stream} in {settings.lang}" if settings.lang else settings.stream
            raise ValueError(f"has partition {settings.partition}; {which} has those from 1 to {most}")
        path = f"/2/tweets/{settings.stream}/stream" + (f"/lang/{settings.lang}" if settings.lang else "")
        stream = XStream.checked(
            settings.base_url,
            settings.token,
            path,
            settings.backfill_minutes,
            {"partition": str(settings.partition)},
            settings.recovery,
        )
        return XUnfiltered(name, stream, settings.profile, settings.stall_after)


x_volume = _XVolumeType()
