# -*- test-case-name: tests.unit.test_net_websocket -*-
"""How many connections there may be, in all and from one address.

They are counted twice. As connections, from the moment they are accepted: whoever sends nothing, or a byte now and
then, uses a descriptor too. And as websockets, once they are upgraded. The limits are the websockets'; a few more
connections are let in, so that pages are served, and refusals said, when all websockets are taken.
"""

from __future__ import annotations

import attrs

ALLOWANCE = 100  # connections beside as many as there may be websockets
ALLOWANCE_PER_ADDRESS = 20  # of one address; a browser opens six


@attrs.define
class Admission:
    """Counts open connections and websockets.

    Args:
        limit: websockets in all.
        limit_per_address: websockets from one address; many people share one behind a proxy or a NAT.

    Attributes:
        total: open websockets.
        connections: open connections, websockets among them.
        turned_away: connections that were closed unheard.
    """

    limit: int
    limit_per_address: int
    total: int = 0
    connections: int = 0
    turned_away: int = 0
    _addresses: dict[str, int] = attrs.field(factory=dict)
    _connected: dict[str, int] = attrs.field(factory=dict)

    def arrive(self, address: str) -> bool:
        """Count an accepted connection in, to be given back with `leave`; False where it must be closed at once.

        Args:
            address: as for `admit`.
        """
        held = self._connected.get(address, 0)
        if self.connections >= self.limit + ALLOWANCE or (
            address and held >= self.limit_per_address + ALLOWANCE_PER_ADDRESS
        ):
            self.turned_away += 1
            return False
        self.connections += 1
        self._connected[address] = held + 1
        return True

    def leave(self, address: str) -> None:
        """Undo one `arrive`."""
        self.connections -= 1
        self._connected[address] -= 1
        if not self._connected[address]:
            del self._connected[address]

    def admit(self, address: str) -> str | None:
        """Count one more connection in.

        Args:
            address: "" where connections have none (a UNIX socket); then only the limit in all holds.

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
