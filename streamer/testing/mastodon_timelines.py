# -*- test-case-name: tests.unit.test_testing_mastodon -*-
"""The timelines of a Mastodon server, and what it says of itself.

https://docs.joinmastodon.org/methods/timelines/ and https://docs.joinmastodon.org/api/guidelines/#pagination
"""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.web.resource import Resource
from twisted.web.server import Request

from streamer.testing.faults import Timelines as Fault
from streamer.testing.mastodon_channels import NoChannel, channel
from streamer.testing.mastodon_feed import Timelines
from streamer.testing.mastodon_gate import Gate
from streamer.testing.mastodon_pages import MastodonFolder, parameters
from streamer.testing.mastodon_refusals import NOT_FOUND, ON_DEMAND
from streamer.testing.mastodon_statuses import HOST
from streamer.testing.pages import answer_json

LIMIT, MOST = 20, 40  # statuses of a page


class TimelinesPage(MastodonFolder):
    """All of `/api/v1/timelines`.

    Attributes:
        fault: how they are switched off, if they are.
    """

    def __init__(self, gate: Gate, timelines: Timelines) -> None:
        super().__init__()
        self.fault = Fault("open")
        self._gate = gate
        self._timelines = timelines

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self

    def render_GET(self, request: Request) -> bytes:
        refused = self._gate.count(request) or self._gate.refusal(request)
        if refused is None and isinstance(self.fault.answer, int):
            refused = ON_DEMAND[self.fault.answer]
        if refused is not None:
            return refused.answer(request)
        asked = parameters(request)
        try:
            wanted = _channel([part.decode("utf-8", "replace") for part in (request.prepath or [])[3:]], asked)
            limit = min(MOST, max(1, int(asked.get("limit", LIMIT))))
            newer, since, older = (
                int(asked[name]) if name in asked else None for name in ("min_id", "since_id", "max_id")
            )
        except (NoChannel, ValueError):
            return NOT_FOUND.answer(request)
        if self.fault.answer == "empty":
            return answer_json(request, [])
        found = self._timelines.page(wanted, limit, newer=newer, since=since or 0, older=older)
        if found:
            here = f"https://{HOST}{request.path.decode()}"
            links = (("next", "max_id", found[-1]["id"]), ("prev", "min_id", found[0]["id"]))
            written = [f'<{here}?{urlencode({name: id_})}>; rel="{rel}"' for rel, name, id_ in links]
            request.setHeader("link", ", ".join(written))
        return answer_json(request, found)


def _channel(path: list[str], asked: dict[str, str]) -> str:
    """The channel of a timeline's path.

    Raises:
        NoChannel: there is none such.
    """
    part = next((f":{name}" for name in ("local", "remote") if asked.get(name) == "true"), "")
    match path:
        case ["home"]:
            return "user"
        case ["public"]:
            return channel(f"public{part}", asked, "")
        case ["tag", tag]:
            return channel(f"hashtag{part}", {"tag": tag}, "")
        case ["list", number]:
            return channel("list", {"list": number}, "")
    raise NoChannel(404, "")


class InstancePage(MastodonFolder):
    """`/api/v2/instance`: where it streams, above all."""

    def render_GET(self, request: Request) -> bytes:
        host = (request.getHeader(b"host") or b"127.0.0.1").decode("latin-1")
        return answer_json(
            request,
            {
                "domain": HOST,
                "title": "A simulated server",
                "version": "4.6.0",
                "source_url": "https://github.com/mastodon/mastodon",
                "configuration": {"urls": {"streaming": f"ws://{host}"}},
            },
        )
