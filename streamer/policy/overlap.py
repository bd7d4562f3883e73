# -*- test-case-name: tests.unit.test_policy_small -*-
"""Two connections to the same stream → may the older one go yet?

The new one begins somewhere in the present, the old one may be a little behind it; to let the old one go at once
would lose what it had still under way. Once an item has come on both, the old one has nothing that the new one does
not bring.
"""

from __future__ import annotations

import attrs

from streamer.policy.dedupe import Recent

IDS_KEPT = 20_000  # of each connection; a minute at 300 items/s
OVERLAP_LIMIT = 10.0  # seconds after the new connection began to deliver; two rules' streams may never meet


@attrs.define
class Overlap:
    """The ids of both connections since the new one was asked for."""

    met: bool = False
    _old: Recent = attrs.field(factory=lambda: Recent(IDS_KEPT))
    _new: Recent = attrs.field(factory=lambda: Recent(IDS_KEPT))

    def note(self, id_: str, *, new: bool) -> bool:
        """An item came; says whether it has now come on both."""
        mine, other = (self._new, self._old) if new else (self._old, self._new)
        mine.seen(id_)
        self.met = self.met or id_ in other
        return id_ in other

    @property
    def delivered(self) -> bool:
        """The older one brought something since."""
        return len(self._old) > 0
