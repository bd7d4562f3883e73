# -*- test-case-name: tests.unit.test_net_sse -*-
"""What each address has had the journal searched for: one account for all its connections, whatever their faces.

A connection has an account of its own, but a new one begins with credit; here the credit is the address's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from streamer.errors import ClientError
from streamer.fanout.bucket import Bucket
from streamer.fanout.journal import Journal
from streamer.fanout.protocol import COMMAND_BURST, COMMAND_RATE, WORK_UNIT

ADDRESSES_KEPT = 10_000  # addresses whose work is remembered; the longest unheard are forgotten


@attrs.define
class Works:
    """Accounts by address. Only work costs: whoever makes none may come as often as it likes."""

    _accounts: dict[str, Bucket] = attrs.field(factory=dict)

    def of(self, address: str, now: float) -> Bucket:
        """The account of an address; where there is none, as behind a UNIX socket, one for this use alone.

        Args:
            now: seconds since the epoch.
        """
        account = self._accounts.pop(address, None) or Bucket(COMMAND_RATE, COMMAND_BURST, now)
        if address:
            self._accounts[address] = account
            if len(self._accounts) > ADDRESSES_KEPT:
                del self._accounts[next(iter(self._accounts))]
        return account

    def insist(self, address: str, now: float) -> None:
        """See that an address does not owe.

        Raises:
            ClientError: `rate`.
        """
        if self.of(address, now).owes(now):
            sentence = "your requests made the relay search too much; ask again in a few seconds, for less"
            raise ClientError("rate", sentence, retry=True)

    @contextmanager
    def charging(self, journal: Journal, address: str, now: float, cost: float = 0.0) -> Iterator[None]:
        """Charge an address for what the journal is searched meanwhile, and for `cost` units of other work."""
        before = journal.looked
        try:
            yield
        finally:
            cost += (journal.looked - before) / WORK_UNIT
            if cost:
                self.of(address, now).charge(cost)
