# -*- test-case-name: tests.unit.test_testing_toxics -*-
"""What a network can do to a TCP connection, each toxic a value; `decode_toxic` reads the same from JSON.

Toxics are put on a `proxy.ToxicProxy`, on one direction or both; there is at most one of each kind on a direction, a
second takes the place of the first. `toxic_lane` is what they do. Those with `after` let so many bytes of a connection
pass first, counted from when they were put on (or from the start of a connection that came later), and strike each
connection once. Those with `times` are taken off after so many connections were struck.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

NO_END: None = None

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Bytes = Annotated[int, msgspec.Meta(ge=0)]
_Some = Annotated[int, msgspec.Meta(ge=1)]


class Direction(enum.Flag):
    """Which way bytes go."""

    UP = enum.auto()  # client to server
    DOWN = enum.auto()  # server to client
    BOTH = UP | DOWN


class Latency(msgspec.Struct, frozen=True, tag="latency", tag_field="kind"):
    """Every byte comes so many seconds later, more or less by up to `jitter`; the order stays."""

    seconds: _Seconds
    jitter: _Seconds = 0.0


class Bandwidth(msgspec.Struct, frozen=True, tag="bandwidth", tag_field="kind"):
    """No more than so many bytes a second."""

    rate: Annotated[float, msgspec.Meta(gt=0)]


class Slices(msgspec.Struct, frozen=True, tag="slices", tag_field="kind"):
    """Bytes come in pieces of `size`, each written in a turn of the reactor of its own, and `delay` seconds apart."""

    size: _Some = 1
    delay: _Seconds = 0.0


class Stall(msgspec.Struct, frozen=True, tag="stall", tag_field="kind"):
    """Nothing is read and nothing passed on, and both sockets stay open: a peer that hangs, a network that is parted.

    Taken off, everything goes on where it stood. A FIN or a reset waits like bytes do.
    """


class HalfOpen(msgspec.Struct, frozen=True, tag="half-open", tag_field="kind"):
    """Everything is read and nothing passed on, FIN and reset included: a peer that is gone and cannot say so.

    Taken off, connections that lost something by it are reset, for TCP has no stream with a hole.
    """


class Corrupt(msgspec.Struct, frozen=True, tag="corrupt", tag_field="kind"):
    """One byte is changed, after `after` have passed: the bits of `mask` in it are flipped."""

    after: _Bytes = 0
    mask: Annotated[int, msgspec.Meta(ge=1, le=255)] = 0xFF
    times: _Some | None = NO_END


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="kind"):
    """After `after` bytes the connection is closed on both sides; what passed before arrives."""

    after: _Bytes = 0
    times: _Some | None = NO_END


class Reset(msgspec.Struct, frozen=True, tag="reset", tag_field="kind"):
    """After `after` bytes the connection is reset on both sides, which may cost bytes that passed before."""

    after: _Bytes = 0
    times: _Some | None = NO_END


class HalfClose(msgspec.Struct, frozen=True, tag="half-close", tag_field="kind"):
    """After `after` bytes this direction ends by a FIN, what else comes is dropped; the other direction goes on."""

    after: _Bytes = 0
    times: _Some | None = NO_END


class Refuse(msgspec.Struct, frozen=True, tag="refuse", tag_field="kind"):
    """New connections are reset as soon as they were accepted; it has no direction, and leaves open ones alone."""

    times: _Some | None = NO_END


Striking = Corrupt | Cut | Reset | HalfClose
Ending = Cut | Reset | HalfClose
Toxic = Latency | Bandwidth | Slices | Stall | HalfOpen | Striking | Refuse
Kind = type[Toxic]

decode_toxic = msgspec.json.Decoder(Toxic).decode
