# -*- test-case-name: tests.unit.test_net_admission -*-
"""How many connections there may be, in all and from one address, and how fast new ones may come.

They are counted twice. As connections, from the moment they are accepted: whoever sends nothing, or a byte now and
then, uses a descriptor too. And as clients, once they are websockets, event streams or waiting polls. The limits are
the clients'; a few more connections are let in, so that pages are served, and refusals said, when all places are
taken.

A handshake costs as much as many events. When a relay restarts all its clients come to the others, and whoever
cannot be served at once is asked to come back after a time of its own, so that the herd spreads. One address may
bring all clients it may have at once (many people can share one), but cannot use up what is there for all others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from ipaddress import IPv6Address

import attrs

from streamer.errors import ClientError
from streamer.fanout.bucket import Bucket
from streamer.net.forwarded import Trusted

ALLOWANCE = 100  # connections beside as many as there may be clients
ALLOWANCE_PER_ADDRESS = 20  # of one address; a browser opens six
HANDSHAKE_RATE = 2_000.0  # a second, where no rate is given
BURST_LEAST = 50.0  # handshakes at once, however low the rate is
RETURN_WITHIN = 10.0  # seconds in which as many may come from one address as it may have, again and again
ADDRESSES_KEPT = 10_000  # addresses whose handshakes are remembered; the longest unheard are forgotten
HOST_BITS = 64  # of an IPv6 address; one host has as many addresses as it likes
AFTER_LIMIT = 10  # seconds; who comes too early is asked to wait for 1 to so many


def account(address: str) -> str:
    """Whom an address counts for: itself; of an IPv6 address, the network of 2^64 that one host may have for itself.

    Source: https://www.rfc-editor.org/rfc/rfc7934#section-3
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> HOST_BITS << HOST_BITS)}/{128 - HOST_BITS}"


class TooFast(ClientError):
    """There are too many handshakes at the moment.

    Args:
        after: seconds to wait, for `Retry-After`.
    """

    def __init__(self, message: str, after: int) -> None:
        super().__init__("rate", message, retry=True)
        self.after = after


@attrs.define
class Admission:
    """Counts open connections, clients and their handshakes.

    Args:
        limit: clients in all.
        limit_per_address: clients from one address; many people share one behind a proxy or a NAT.
        handshakes: a second, all addresses together.
        trusted: proxies; the connections that they make are those of many addresses.
        jitter: random, from 0 to 1.

    Attributes:
        total: open clients.
        connections: open connections, clients' among them.
        turned_away: connections that were closed unheard.
    """

    limit: int
    limit_per_address: int
    handshakes: float = HANDSHAKE_RATE
    trusted: Trusted = attrs.field(factory=lambda: Trusted(()))
    _jitter: Callable[[], float] = random.random
    total: int = 0
    connections: int = 0
    turned_away: int = 0
    _addresses: dict[str, int] = attrs.field(factory=dict)
    _connected: dict[str, int] = attrs.field(factory=dict)
    _pace: Bucket = attrs.field(init=False)
    _paces: dict[str, Bucket] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._pace = Bucket(self.handshakes, max(BURST_LEAST, self.handshakes), 0.0)

    def arrive(self, address: str) -> bool:
        """Count an accepted connection in, to be given back with `leave`; False where it must be closed at once.

        Args:
            address: of the peer; "" where it has none (a UNIX socket): then only the limit in all holds.
        """
        counted = account(address)
        held = self._connected.get(counted, 0)
        if self.connections >= self.limit + ALLOWANCE or (
            address and held >= self.limit_per_address + ALLOWANCE_PER_ADDRESS and address not in self.trusted
        ):
            self.turned_away += 1
            return False
        self.connections += 1
        self._connected[counted] = held + 1
        return True

    def leave(self, address: str) -> None:
        """Undo one `arrive`."""
        self.connections -= 1
        counted = account(address)
        self._connected[counted] -= 1
        if not self._connected[counted]:
            del self._connected[counted]

    def admit(self, address: str) -> str | None:
        """Count one more client in.

        Args:
            address: as `headers.client_address` has it; "" is as for `arrive`.

        Returns:
            None where it may come in, to be given back with `release`; else a sentence saying why not.
        """
        if self.total >= self.limit:
            return f"all {self.limit} places are taken; try again later"
        held = self._addresses.get(address, 0)
        if address and held >= self.limit_per_address:
            return f"{held} connections are open from your address; {self.limit_per_address} are allowed"
        self.total += 1
        self._addresses[address] = held + 1
        return None

    def release(self, address: str) -> None:
        """Undo one `admit`."""
        self.total -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def greet(self, address: str, now: float) -> None:
        """Count one handshake: a websocket, or the beginning of an event stream.

        Args:
            address: as for `admit`.
            now: seconds since the epoch.

        Raises:
            TooFast: answer with 503 and its `after`.
        """
        if address and not self._bucket(address, now).take(now):
            raise self._too_fast("too many new connections from your address; come again in some seconds")
        if not self._pace.take(now):
            raise self._too_fast("too many new connections at the moment; come again in some seconds")

    def _bucket(self, address: str, now: float) -> Bucket:
        most = self.limit_per_address
        bucket = self._paces.pop(address, None)
        if bucket is None:
            bucket = Bucket(most / RETURN_WITHIN, max(BURST_LEAST, most), now)
        self._paces[address] = bucket  # the last heard is the last of the dict
        if len(self._paces) > ADDRESSES_KEPT:
            del self._paces[next(iter(self._paces))]
        return bucket

    def _too_fast(self, message: str) -> TooFast:
        return TooFast(message, min(AFTER_LIMIT, 1 + math.floor(self._jitter() * AFTER_LIMIT)))
