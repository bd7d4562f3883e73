# -*- test-case-name: tests.unit.test_sources_replay -*-
"""A recording in the place of its upstream: `type = "replay"`.

What `streamer record` wrote comes again, at its own pace or another, as if the upstream sent it now; the ids, times,
cursors and bytes of the items are those of the recording. `[sources.<name>.of]` is the table of the source that was
recorded, so that its items can be decoded; credentials in it may be any text.

Where it got to is a place in the file: a restart goes on behind it. A recording that has been replaced meanwhile is
played from its beginning. In each further round of a `loop` the ids have a suffix, or whoever drops repeats would
drop them; ids of events are made from the bodies and stay the same, so a relay drops those until it has forgotten
them, which takes 100,000 others (`fanout.sights`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import attrs
import msgspec
from msgspec import Meta
from twisted.plugin import IPlugin
from zope.interface import implementer

from streamer.activity import Activity
from streamer.asks import Play
from streamer.errors import DecodeError, UnknownPlugin
from streamer.gap import KIND as GAP
from streamer.interfaces import Frame, IFramer, ISource, ISourceType, Outcome, Preparation
from streamer.message import Item
from streamer.policy import backoff
from streamer.registry import find, plugins, suggestion
from streamer.secrets import Secret
from streamer.tables import CommonSettings
from streamer.upstream import Ending, Mark, Prepared, Response, Resume, Warned
from streamer.wire.recording import CutOff, Damaged, Joined, Place, Recorded
from streamer.wire.whole import Whole

ALL_MS = 1  # since when it repeats everything, ms since the epoch: behind a place in a file nothing is missing
OWN = "1x"  # the speed where nothing is said
STAND_IN = "in-the-place-of-a-credential-of-a-recorded-source"  # as long as any source wants
SPEED_LIMIT = 1_000_000.0  # times its own
_SPEED = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)x")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sources.<name>]` with `type = "replay"`.

    Args:
        path: of the recording, as seen from where the process runs.
        of: the table of the source that was recorded, with its `type`.
        speed: "1x" by default, "10x", "0.5x" or "full", which is as fast as the bus takes it.
        rate: items a second, instead of `speed`.
        loop: begin again at the end, for ever.
        name: of the recorded source; that of this one by default, or that of the only one there is.
    """

    path: Annotated[str, Meta(min_length=1, pattern="^[^\x00]*$")]
    of: dict[str, Any]
    speed: str | None = None
    rate: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    loop: bool = False
    name: str | None = None


@implementer(ISource)
@attrs.frozen
class Replay:
    """One recording; see `ISource` for each of its parts.

    Args:
        inner: the source that was recorded, under our name.
    """

    name: str
    settings: Settings
    inner: ISource = attrs.field(repr=False)
    speed: float | None
    credential: str
    lane: str
    profile: str = "stream"
    stall_after: float = math.inf
    predicates: None = None
    live_predicates: bool = False

    def with_predicates(self, predicates: Any) -> Replay:
        """Refuse: there are none."""
        raise ValueError("takes no predicates: a recording holds what it holds")

    def changes(self, other: ISource) -> int:
        """None ever."""
        return 0

    def prepare(self, dry_run: bool) -> Preparation:
        """Nothing is to be done before."""
        yield from ()
        return Prepared()

    def request(self, resume: Resume | None, now_ms: int) -> Play:
        """The recording, from behind the place that was reached."""
        place = Place.parse(None if resume is None else resume.cursor)
        return Play(
            path=self.settings.path,
            speed=self.speed,
            rate=self.settings.rate,
            loop=self.settings.loop,
            skip=place.number,
            round=place.round,
            check=place.check,
            choose=partial(chosen, self.settings.name, self.name),
            replays_from=None if resume is None else ALL_MS,
        )

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> None:
        """None ever: nothing is missed."""

    def refusal(self, response: Response) -> Ending:
        """Nobody refuses with an answer here."""
        return Ending(cause=backoff.UNEXPECTED, detail=f"a recording answered {response.status}")

    def framer(self) -> IFramer:
        """Entries come whole."""
        return Whole()

    def outcomes(self, frame: Frame, received_ms: int) -> Sequence[Outcome]:
        """The item as it was recorded, under our name; and where we are."""
        match frame:
            case Recorded():
                item = frame.item
                return (item if item.source == self.name else msgspec.structs.replace(item, source=self.name),)
            case Place():
                return (Mark(frame.text),)
            case Damaged():
                raise DecodeError(f"{self.settings.path}: {frame}")
            case CutOff():
                return (Warned(detail=f"{self.settings.path}: {frame}"),)
            case Warned():
                return (frame,)
            case Joined():
                return ()
        raise DecodeError("this is no entry of a recording")

    def posted(self, item: Item) -> int | None:
        """As the recorded source has it."""
        return self.inner.posted(item)

    def decode(self, item: Item) -> Activity:
        """As the recorded source has it."""
        return self.inner.decode(item)


def chosen(wanted: str | None, own: str, recorded: Mapping[str, str]) -> tuple[str]:
    """Which of the recorded sources is to be played; one that is named may be further down.

    Raises:
        ValueError: it cannot be told which; the text is a clause about the recording.
    """
    names = ", ".join(recorded) or "none"
    if wanted is not None:
        return (wanted,)
    if own in recorded:
        return (own,)
    if len(recorded) != 1:
        raise ValueError(f"holds {names}; choose one of them by `name`" if recorded else "names no source")
    return (next(iter(recorded)),)


def speed_of(written: str) -> float | None:
    """`10x` → 10, `full` → None.

    Raises:
        ValueError: it is neither.
    """
    if written == "full":
        return None
    match = _SPEED.fullmatch(written)
    speed = float(match[1]) if match is not None else 0.0
    if not 0 < speed <= SPEED_LIMIT:
        raise ValueError(f"speed {written!r} is not as 1x, 10x, 0.5x or full")
    return speed


def inner_of(name: str, table: Mapping[str, Any]) -> ISource:
    """The source that a table describes; the keys that every source has may stand in it and are of no effect.

    Raises:
        ValueError: it describes none; the text is a clause about the source.
    """
    own = {key: value for key, value in table.items() if key not in CommonSettings.__struct_fields__}
    type_ = own.pop("type", None)
    if not isinstance(type_, str) or type_ == "replay":
        raise ValueError(f"needs [sources.{name}.of] with the `type` and keys of the source that was recorded")
    try:
        kind = find(ISourceType, type_)
    except UnknownPlugin as error:
        raise ValueError(f"of.type: {error}") from error
    known = [field.encode_name for field in msgspec.structs.fields(kind.settings)]
    for key in own:
        if key not in known:
            raise ValueError(f"of: unknown key {key!r} ({suggestion(key, known)})")
    try:
        return ISource(kind.build(name, msgspec.convert(own, kind.settings, strict=True, dec_hook=_any_secret)))
    except msgspec.ValidationError as error:
        raise ValueError(f"of: {error} (credentials may be any text)") from error
    except ValueError as error:
        raise ValueError(f"of: {error}") from error


def _any_secret(kind: type, value: Any) -> Any:
    if kind is not Secret or not isinstance(value, str):
        raise ValueError(f"expected a string, got {type(value).__name__}")
    return Secret(STAND_IN)  # nobody is ever shown it, so whatever stands there will do


@implementer(IPlugin, ISourceType)
@attrs.frozen
class _ReplayType:
    name: str = "replay"
    settings: type = Settings
    predicates: None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Those of all others."""
        others = (kind.kinds for kind in plugins(ISourceType).values() if kind is not self)
        return frozenset({GAP}).union(*others)

    def build(self, name: str, settings: Settings) -> Replay:
        if settings.speed is not None and settings.rate is not None:
            raise ValueError("give speed or rate, not both")
        speed = speed_of(settings.speed or OWN)
        inner = inner_of(name, settings.of)
        # Two sources may play one file.
        return Replay(name, settings, inner, speed, credential=f"replay {name}", lane=f"replay {name}")


replay = _ReplayType()
