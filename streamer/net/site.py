# -*- test-case-name: tests.unit.test_net_site -*-
"""The relay's one web site.

/                 the built page, and its files
/client/v1/…      the client library, for everybody's pages
/config.json      what the page must know of this deployment
/status.json      for people
/ws               the websocket, see `upgrade`
/publish          where clients publish events, see `publish`
/events           server-sent events, see `sse`
/poll             long poll, see `poll`
/feed.json        the latest events as a JSON Feed, see `feed_json`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.python.filepath import FilePath
from twisted.web.resource import IResource
from twisted.web.server import Request

from streamer.net.admission import Admission
from streamer.net.assets import Directory, Folder, Leaf, Page, whole
from streamer.net.bodies import Bodies
from streamer.net.headers import GuardedSite, security_headers
from streamer.net.publish import BODY_LIMIT, PATH

REQUEST_TIMEOUT = 30.0  # seconds without a byte; `channel` has a stricter limit while a request is waited for
PUBLIC: Mapping[bytes, bytes] = {
    b"access-control-allow-origin": b"*",
    b"cross-origin-resource-policy": b"cross-origin",
}


class Json(Leaf):
    """A JSON document made for each request."""

    def __init__(self, document: Callable[[], Any]) -> None:
        Leaf.__init__(self)
        self._document = document

    def render_GET(self, request: Request) -> bytes:
        """The document as it is now."""
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return whole(request, msgspec.json.encode(self._document()))


def relay_site(
    pages: FilePath[str],
    config: Mapping[str, Any],
    status: Callable[[], Mapping[str, Any]],
    websocket: IResource,
    origins: Sequence[str],
    reactor: IReactorTime,
    admission: Admission,
    publish: IResource | None = None,
    faces: Mapping[bytes, IResource] | None = None,
) -> GuardedSite:
    """The site.

    Args:
        pages: what the build wrote; it need not exist yet.
        config: what `/config.json` says.
        status: what `/status.json` says.
        websocket: what answers at `/ws`.
        origins: of the page, for the content security policy.
        admission: counts connections; the websocket's own.
        publish: what answers at `/publish`, the one page that reads a body.
        faces: what answers at other paths of one word, to pages of other origins too.
    """
    root = Page(pages, reactor)
    root.putChild(b"ws", websocket)
    root.putChild(b"config.json", Json(lambda: config))
    root.putChild(b"status.json", Json(status))
    client = Folder()
    client.putChild(b"v1", Directory(pages.child("client").child("v1"), reactor, PUBLIC))
    root.putChild(b"client", client)
    for name, face in (faces or {}).items():
        root.putChild(name, face)
    bodies = Bodies()
    if publish is not None:
        root.putChild(PATH[1:], publish)
        bodies = Bodies({PATH: BODY_LIMIT})
    site = GuardedSite(root, security_headers(origins), REQUEST_TIMEOUT, reactor, admission, bodies)
    site.shared = frozenset(b"/" + name for name in faces or {})
    return site
