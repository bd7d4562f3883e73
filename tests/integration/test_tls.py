"""Upstreams are asked over verified TLS: a certificate that nobody we trust has signed ends the attempt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from streamer.net import failures
from streamer.net.client import UpstreamClient, agents
from streamer.policy import backoff
from streamer.upstream import Request
from tests.integration.certificates import certified


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for localhost and its key, in one file."""
    return certified(tmp_path)


class _Secret(Resource):
    """Notes whether anybody got as far as asking."""

    isLeaf = True
    asked = False

    def render_GET(self, request: Any) -> bytes:
        self.asked = True
        return b"hello"


@pytest_twisted.ensureDeferred
async def test_untrusted_certificate(certificate: Path) -> None:
    """The request is never sent, and the failure is one that the back-off treats as a network error."""
    resource = _Secret()
    endpoint = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={certificate}")
    port = await endpoint.listen(Site(resource))
    client = UpstreamClient(agents(reactor), reactor, "tests")
    try:
        await client.fetch(Request(url=f"https://localhost:{port.getHost().port}/"))
    except Exception:
        ending = failures.ending(Failure(), "while connecting")
    else:
        raise AssertionError("an untrusted certificate was accepted")
    finally:
        await port.stopListening()
    assert not resource.asked
    assert ending.cause == backoff.NETWORK
    assert "certificate" in ending.detail.lower()


@pytest_twisted.ensureDeferred
async def test_plain_http_on_loopback() -> None:
    """On this machine plain HTTP is allowed, and works."""
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Site(_Secret()))
    try:
        client = UpstreamClient(agents(reactor), reactor, "tests")
        answer = await client.fetch(Request(url=f"http://127.0.0.1:{port.getHost().port}/"))
        assert (answer.status, answer.body) == (200, b"hello")
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_nobody_listens() -> None:
    """A refused connection is a network error too."""
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Site(_Secret()))
    number = port.getHost().port
    await port.stopListening()
    client = UpstreamClient(agents(reactor), reactor, "tests")
    with pytest.raises(Exception, match="refused") as caught:
        await client.fetch(Request(url=f"http://127.0.0.1:{number}/"))
    assert failures.ending(Failure(caught.value), "while connecting").cause == backoff.NETWORK
