"""The check that whoever writes a source runs: it passes what keeps the promises, and names what does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from streamer.interfaces import Outcome
from streamer.sources.x_unfiltered import XUnfiltered
from streamer.testing.trial import check_source
from tests.unit.following import table_of

STREAM = b"".join(
    (
        b'{"data":{"id":"1800000000000000000","text":"a"}}\r\n\r\n',
        b'{"data":{"id":"18\r\n',
        b'{"data":{"id":"1800000000000000001","text":"b"}}\r\n',
    )
)


def sample() -> XUnfiltered:
    """A source that keeps them."""
    found: Any = table_of("x-sample").source
    return XUnfiltered(found.name, found.stream, found.profile, found.stall_after)


class Tampering(XUnfiltered):
    """A source with something wrong in its items."""

    change: Any = {}

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """With a field changed."""
        return [
            msgspec.structs.replace(item, **self.change)  # type: ignore[type-var]
            for item in XUnfiltered.outcomes(self, frame, received_ms)
        ]


class Forgetful(XUnfiltered):
    """A source whose reading depends on how the bytes were cut."""

    def framer(self) -> Any:
        """A framer without memory."""

        class NoMemory:
            def feed(self, data: bytes) -> list[bytes]:
                return data.split()

        return NoMemory()


def tampered(**change: Any) -> XUnfiltered:
    """A source with this wrong."""
    made = Tampering(**attrs.asdict(sample(), recurse=False, filter=lambda field, _: field.init))
    type(made).change = change
    return made


class TrialTests(SynchronousTestCase):
    """Promises kept and broken."""

    def test_kept(self) -> None:
        """What the source made is handed back, with what it could not read."""
        made = check_source(sample(), STREAM)
        self.assertEqual(["1800000000000000000", "1800000000000000001"], [item.id for item in made.items])
        self.assertEqual(["a", "b"], [activity.text for activity in made.activities])
        self.assertIn("streamer.post", {event.type for event in made.events})
        self.assertEqual((1, []), (len(made.bad), list(made.words)))

    def test_broken(self) -> None:
        """Each broken promise is named."""
        for change, sentence in (({"id": "1"}, "one id"), ({"source": "others"}, "another source")):
            with self.assertRaises(AssertionError) as caught:
                check_source(tampered(**change), STREAM)
            self.assertIn(sentence, str(caught.exception))

    def test_split(self) -> None:
        """A source that reads pieces otherwise than the whole is found out."""
        made = Forgetful(**attrs.asdict(sample(), recurse=False, filter=lambda field, _: field.init))
        with self.assertRaises(AssertionError) as caught:
            check_source(made, STREAM)
        self.assertIn("pieces of 1 bytes", str(caught.exception))
