# -*- test-case-name: tests.unit.test_policy_pointer -*-
"""JSON pointers: where in a document something stands. https://www.rfc-editor.org/rfc/rfc6901"""

from __future__ import annotations

import re
from typing import Any

import attrs

TOKENS_LIMIT = 32  # steps of one pointer
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BARE_TILDE = re.compile(r"~(?![01])")


class Nowhere:
    """Nothing stands there; which is not the same as `null`."""


NOWHERE = Nowhere()


@attrs.frozen
class Pointer:
    """One pointer; `tokens` as the document has them."""

    tokens: tuple[str, ...] = ()

    @classmethod
    def parse(cls, written: str) -> Pointer:
        """Read a pointer such as `/repository/full_name`; the empty one is the whole document.

        Raises:
            ValueError: it is none.
        """
        if written and not written.startswith("/"):
            raise ValueError(f"{written!r} is no JSON pointer: it begins with '/', as '/repository/name'")
        if _BARE_TILDE.search(written):
            raise ValueError(f"{written!r} is no JSON pointer: write '~0' for '~' and '~1' for '/' in a name")
        tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in written.split("/")[1:])
        if len(tokens) > TOKENS_LIMIT:
            raise ValueError(f"{written[:80]!r}… is too long for a JSON pointer: {TOKENS_LIMIT} steps are allowed")
        return cls(tokens)

    def find(self, document: Any) -> Any:
        """What stands there; `NOWHERE` where nothing does."""
        at = document
        for token in self.tokens:
            if isinstance(at, dict):
                at = at.get(token, NOWHERE)
            elif isinstance(at, list) and _INDEX.fullmatch(token) and int(token) < len(at):
                at = at[int(token)]
            else:
                return NOWHERE
        return at
