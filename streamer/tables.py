# -*- test-case-name: tests.unit.test_settings -*-
"""The tables of the configuration file as frozen values; `settings` reads them.

Defaults stand here and, as comments, in `conf/streamer.toml`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs
import msgspec
from msgspec import Meta

from streamer.interfaces import ISource, ISourceType
from streamer.secrets import Secret
from streamer.toml_marks import Path, Place

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=2**40)]
Origin = Annotated[str, Meta(pattern=r"^https?://[^/\s;,'\"]+$")]  # as browsers write it: no path, no slash at the end
HeaderText = Annotated[str, Meta(pattern=r"^[\x20-\x7e]+$")]


class BusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[bus]`; the URL may hold a password, so it is a secret as a whole."""

    url: Secret = Secret("memory:")


class StateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[state]`; where cursors and spools are kept. Empty keeps nothing: each start begins anew."""

    directory: str = "var"


class StreamerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[streamer]`; what all sources share.

    Args:
        hooks: where to listen for the calls of webhooks and hubs; only while a source needs it.
        token: asked of whoever would stop, start or change a source; without one only this machine may.
        spool_bytes: of items on disk, a source, while the bus is away or behind; 0 keeps none there.
        spool_sync: "full" outlives a power cut, "normal" only the end of our process.
        shed: kinds of items to drop while the spool is full, oldest spared; where none is named, reading pauses.
    """

    admin: str = "tcp:8181:interface=127.0.0.1"
    hooks: str = "tcp:8184:interface=127.0.0.1"
    user_agent: HeaderText = "streamer"
    token: Secret | None = None
    spool_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 1_000_000_000
    spool_sync: Literal["full", "normal"] = "full"
    shed: tuple[str, ...] = ()


class EnrichSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[enrich]`; plugins by name, in the order they run. Times in seconds.

    Args:
        prefetch: items in hand at once, in each process.
        shards: queues that authors are spread over, so that the order of each is kept; 0 for one queue and no order.
    """

    hydrators: tuple[str, ...] = ("entities", "author", "geo")
    events: tuple[str, ...] = ("post", "geo", "notice", "delete", "scrub", "change", "gap")
    prefetch: Annotated[int, Meta(ge=1, le=65535)] = 256
    time_limit: Seconds = 2.0
    shards: Annotated[int, Meta(ge=0, le=64)] = 0
    admin: str = "tcp:8182:interface=127.0.0.1"


class RelayAuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[relay.auth]`; who may read and publish what. Without a key, only what `anonymous_*` grant.

    Args:
        secret: of tokens signed with HS256.
        public_keys: PEM, of tokens signed with RS256 or EdDSA.
        jwks: a file's path or an https URL of a JSON Web Key Set.
        issuer, audience: what a token must say, where not empty.
        anonymous_read, anonymous_publish: topic patterns granted to everybody.
        leeway: seconds that clocks may differ.
    """

    secret: Secret | None = None
    public_keys: tuple[Secret, ...] = ()
    jwks: str = ""
    issuer: str = ""
    audience: str = ""
    anonymous_read: tuple[str, ...] = ("#",)
    anonymous_publish: tuple[str, ...] = ()
    leeway: Annotated[float, Meta(ge=0, le=300)] = 10.0


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[relay]`; times in seconds, sizes in bytes.

    Args:
        processes: that listen on one port, each with a journal of its own.
        history: how far back the log is read into the journal at the start.
        journal_age: how old an event in the journal may become.
        cold_bytes: of older events that are read from the log for clients that come back late; 0 reads none.
        compression: offer permessage-deflate; what is compressed is the same for all clients.
        handshakes: new connections a second that are let in, all addresses together.
        trusted_proxies: addresses or networks whose X-Forwarded-For is believed; "unix" is whoever uses such a socket.
        drain: over which the clients of a relay that stops are sent away.
    """

    listen: str = "tcp:8080:interface=127.0.0.1"
    origins: tuple[Origin, ...] = ("http://127.0.0.1:8080", "http://localhost:8080")
    title: str = "Streamer"
    heartbeat: Seconds = 25.0
    history: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    journal_entries: Count = 50_000
    journal_bytes: Count = 64_000_000
    journal_age: Seconds = 3_600.0
    cold_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 32_000_000
    compression: bool = True
    clients: Count = 10_000
    clients_per_address: Count = 1_000
    handshakes: Annotated[float, Meta(gt=0, le=1e6)] = 2_000.0
    trusted_proxies: tuple[str, ...] = ()
    processes: Annotated[int, Meta(ge=1, le=256)] = 1
    drain: Annotated[float, Meta(ge=0, le=3_600)] = 5.0
    auth: RelayAuthSettings = RelayAuthSettings()
    admin: str = "tcp:8183:interface=127.0.0.1"


class CommonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[sources.<name>]` that every type has, besides `type`.

    Args:
        predicates_file: JSON, watched: what stands in it goes before `[sources.<name>.predicates]`.
        stale_after: seconds without an item, the stream being open, after which to raise an alarm; 0 never does.
        overlap: when a connection is renewed, let the old one go only once the new one delivers.
    """

    predicates_file: str | None = None
    stale_after: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    overlap: bool = True


@attrs.frozen
class SourceSettings:
    """`[sources.<name>]`: the common keys, the plugin's own, and the source it made of them (which does no I/O)."""

    common: CommonSettings
    kind: ISourceType
    own: Any  # an instance of the plugin's `settings`
    source: ISource


@attrs.frozen
class Settings:
    """The whole file; `origin` is its path and `places` where each key stands, for messages."""

    origin: str
    bus: BusSettings = attrs.field(factory=BusSettings)
    state: StateSettings = attrs.field(factory=StateSettings)
    streamer: StreamerSettings = attrs.field(factory=StreamerSettings)
    enrich: EnrichSettings = attrs.field(factory=EnrichSettings)
    relay: RelaySettings = attrs.field(factory=RelaySettings)
    sources: Mapping[str, SourceSettings] = attrs.field(factory=dict)
    places: Mapping[Path, Place] = attrs.field(factory=dict, repr=False)

    def problem(self, path: Path, sentence: str) -> str:
        """A sentence about a key, with the key's place in the file before it."""
        line, column = place(self.places, path)
        return f"{self.origin}:{line}:{column}: {sentence}"


def place(places: Mapping[Path, Place], path: Path) -> Place:
    """The nearest place known: a missing key is reported at the table that should hold it."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, (1, 1))
