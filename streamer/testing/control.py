# -*- test-case-name: tests.unit.test_testing_control -*-
"""`/_sim/…`: how tests in other processes look into the simulation and make things go wrong.

`GET /_sim/ledger`, `GET /_sim/connections` and `GET /_sim/status` tell; `POST /_sim/fault` takes a fault of `faults`
as JSON, named by `kind`; `POST /_sim/inject` takes `{"text": …, any field of the post}` and answers `{"id": …}`, see
`inject` of the simulation.
No token is asked for: a simulation listens on the loopback interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.web.server import Request

from streamer.testing.faults import Fault, decode_fault
from streamer.testing.feed import NothingMatches
from streamer.testing.ledger import Ledger
from streamer.testing.pages import Folder, answer_json
from streamer.testing.problems import bad_request


class ControlFolder(Folder):
    """All of `/_sim`."""

    def __init__(
        self,
        ledger: Ledger,
        status: Callable[[], Mapping[str, Any]],
        fault: Callable[[Fault], None],
        inject: Callable[..., str],
    ) -> None:
        super().__init__()
        self.putChild(b"ledger", TellingPage(lambda: msgspec.Raw(ledger.as_json())))
        self.putChild(b"connections", TellingPage(ledger.by_connection))
        self.putChild(b"status", TellingPage(status))
        self.putChild(b"fault", FaultPage(fault))
        self.putChild(b"inject", InjectPage(inject))


class TellingPage(Folder):
    """Answers with what a function says."""

    def __init__(self, tell: Callable[[], Any]) -> None:
        super().__init__()
        self._tell = tell

    def render_GET(self, request: Request) -> bytes:
        return answer_json(request, self._tell())


class FaultPage(Folder):
    """Takes a fault."""

    def __init__(self, fault: Callable[[Fault], None]) -> None:
        super().__init__()
        self._fault = fault

    def render_POST(self, request: Request) -> bytes:
        try:
            self._fault(decode_fault(_body(request)))
        except (
            msgspec.DecodeError,
            ValueError,
        ) as error:  # of msgspec, of UTF-8, or of a simulation that does not do this
            return bad_request(f"not a fault: {error}").answer(request)
        return answer_json(request, {})


class InjectPage(Folder):
    """Takes a post."""

    def __init__(self, inject: Callable[..., str]) -> None:
        super().__init__()
        self._inject = inject

    def render_POST(self, request: Request) -> bytes:
        try:
            fields = msgspec.json.decode(_body(request), type=dict[str, Any])
            text = msgspec.convert(fields.pop("text", None), str)
            return answer_json(request, {"id": self._inject(text, **fields)})
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return bad_request(f"not a post: {error}").answer(request)
        except NothingMatches as error:
            return answer_json(request, {"title": "Conflict", "status": 409, "detail": str(error)}, 409)


def _body(request: Request) -> bytes:
    return b"" if request.content is None else request.content.read()
