# -*- test-case-name: tests.unit.test_policy_small -*-
"""Ids → seen lately? Bounded by count, oldest forgotten first.

Delivery is at least once on every leg, so each receiver drops what it has just had. The memory need only cover the
overlap of a reconnect or a redelivery, never all time.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs

IDS_KEPT = 100_000  # about 10 MB; 100 s of repeats at 1,000 items/s


@attrs.define
class Recent:
    """The last `limit` ids, in order of first sight."""

    limit: int = IDS_KEPT
    _ids: OrderedDict[str, None] = attrs.field(factory=OrderedDict)  # a dict would scan its gaps to find the oldest

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def seen(self, id_: str) -> bool:
        """Whether the id was among the last `limit`; it is remembered from now on."""
        if id_ in self._ids:
            return True
        self._ids[id_] = None
        if len(self._ids) > self.limit:
            self._ids.popitem(last=False)
        return False

    def forget(self, id_: str) -> None:
        """What came with this id is not there after all: the next with it is no repeat."""
        self._ids.pop(id_, None)
