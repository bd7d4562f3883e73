# -*- test-case-name: tests.unit.test_testing_x_volume -*-
"""The streams of X: the filtered one, the samples and the firehose, and which posts each of their partitions gets.

https://docs.x.com/x-api/posts/volume-streams/introduction; paths and partitions by https://api.x.com/2/openapi.json.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import attrs

GRAINS = 10_000  # steps in which a sample's share is measured


class About(NamedTuple):
    """What the streams choose a line by.

    Args:
        id: of the post that it is, or is about.
        lang: of that post, BCP 47.
        bare: bytes of the line before its matching_rules; None where it has none.
        filtered: whether the filtered stream has it.
    """

    id: str
    lang: str
    bare: int | None
    filtered: bool


@attrs.frozen
class Endpoint:
    """One stream.

    Args:
        name: as the connections API calls it, or nearly so.
        path: below the host, without a leading slash.
        filtered: whether rules decide what is in it, and not `share` and `lang`.
        partitions: how many it is dealt out to, each with a connection of its own.
        share: of all posts.
        lang: the only language in it, BCP 47.
        recovery: whether a span of time can be asked for.
    """

    name: str
    path: str
    filtered: bool = False
    partitions: int | None = None
    share: float = 1.0
    lang: str | None = None
    recovery: bool = True

    def has(self, about: About, partition: int | None) -> bool:
        """Whether a line belongs to this stream and partition. A post and its deletion always go the same way."""
        if self.filtered:
            return about.filtered
        if self.lang is not None and about.lang.partition("-")[0] != self.lang:
            return False
        turn, grain = divmod(zlib.crc32(about.id.encode()), GRAINS)
        if grain >= round(self.share * GRAINS):
            return False
        return not self.partitions or turn % self.partitions + 1 == partition


FILTERED = Endpoint("filtered_stream", "2/tweets/search/stream", filtered=True)
FIREHOSE = Endpoint("firehose_stream", "2/tweets/firehose/stream", partitions=20)
# The pages on volume streams name no partitions of these; the numbers are those of the OpenAPI document.
LANGUAGES = tuple(
    Endpoint(f"firehose_stream_{lang}", f"2/tweets/firehose/stream/lang/{lang}", partitions=partitions, lang=lang)
    for lang, partitions in (("en", 8), ("ja", 2), ("ko", 2), ("pt", 2))
)


def samples(one_percent: float = 0.01, ten_percent: float = 0.1) -> tuple[Endpoint, ...]:
    """The sampled streams, with the shares that they have in this simulation."""
    return (
        Endpoint("sample_stream", "2/tweets/sample/stream", share=one_percent, recovery=False),
        Endpoint("sample10_stream", "2/tweets/sample10/stream", partitions=2, share=ten_percent),
    )
