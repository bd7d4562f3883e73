# -*- test-case-name: tests.unit.test_net_websocket -*-
"""How many connections there may be, in all and from one address."""

from __future__ import annotations

import attrs


@attrs.define
class Admission:
    """Counts open connections.

    Args:
        limit: connections in all.
        limit_per_address: connections from one address; many people share one behind a proxy or a NAT.
    """

    limit: int
    limit_per_address: int
    total: int = 0
    _addresses: dict[str, int] = attrs.field(factory=dict)

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
