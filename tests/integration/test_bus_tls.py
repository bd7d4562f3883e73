"""The bus over TLS, on a real node that asks for client certificates: who is let in, and what else is said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import attrs
import pytest
import pytest_twisted
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater

from streamer.bus.address import Address
from streamer.bus.rabbitmq import RabbitBus
from streamer.metrics import BUS_CONNECTED, Metrics
from streamer.testing.broker import Broker
from streamer.testing.broker_port import BrokerPort
from streamer.testing.rabbitmq import RabbitNode
from streamer.testing.rabbitmq_processes import free_port
from tests.bus_contract import event
from tests.integration.certificates import Authority, Signed

LIMIT = 15.0  # seconds
SETTINGS = """\
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {server.certificate}
ssl_options.keyfile = {server.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
"""


@attrs.define
class Secure:
    """A node with TLS, and the authority that signed for it and for its clients."""

    node: RabbitNode
    port: int
    authority: Authority

    def url(self, ours: Signed | None, host: str = "localhost", **options: str) -> str:
        """Where it is, with a certificate of ours."""
        files = {} if ours is None else {"cert_file": str(ours.certificate), "key_file": str(ours.key)}
        query = urlencode({"ca_file": str(self.authority.path), **files, **options})
        return f"amqps://streamer:{self.node.password}@{host}:{self.port}/?{query}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A node that wants a certificate of every client, and takes its common name for a login where asked to."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    authority, port = Authority(tmp_path_factory.mktemp("tls")), free_port()
    settings = SETTINGS.format(port=port, authority=authority.path, server=authority.sign("server"))
    with RabbitNode(settings=settings, plugins=("rabbitmq_auth_mechanism_ssl",)) as node:
        yield Secure(node, port, authority)


def small() -> float:
    """Jitter that reconnects soon, for the sake of the tests' time."""
    return 0.3


@attrs.define
class Attempt:
    """A bus that tries to connect."""

    bus: RabbitBus
    metrics: Metrics

    async def until(self, words: str) -> None:
        """Wait for words in its status."""
        for _ in range(int(LIMIT / 0.05)):
            if words in self.bus.status:
                return
            await deferLater(reactor, 0.05)
        raise AssertionError(f"{words!r} is not in {self.bus.status!r}")

    async def works(self) -> None:
        """Wait until it publishes."""
        await self.until("connected to")
        assert self.bus.ready
        await self.bus.publish(event(1))
        await self.bus.stopService()

    async def fails(self, *words: str) -> None:
        """Wait until it says why it does not get in; it must not have done so, nor show the password."""
        for word in words:
            await self.until(word)
        assert not self.bus.ready
        assert self.metrics.value(BUS_CONNECTED, "publish") == 0
        assert "amqps" not in self.bus.status or "amqps://" in words[0]
        await self.bus.stopService()


def attempt(url: str) -> Attempt:
    metrics = Metrics()
    bus = RabbitBus(Address.parse(url), reactor, metrics, "tls", jitter=small)
    bus.startService()
    return Attempt(bus, metrics)


@pytest_twisted.ensureDeferred
async def test_verified(secure: Secure) -> None:
    """With certificates that fit, both sides let each other in, by password."""
    await attempt(secure.url(secure.authority.sign("anybody"))).works()


@pytest_twisted.ensureDeferred
async def test_external(secure: Secure) -> None:
    """With `auth=external` the certificate is the login; no user, no rights and no such user are told apart."""
    url = secure.url(secure.authority.sign("streamer"), auth="external").replace(
        f"streamer:{secure.node.password}@", ""
    )
    await attempt(url).works()
    stranger = attempt(secure.url(secure.authority.sign("stranger"), auth="external"))
    await stranger.fails("no user with the name that it reads from our certificate", "EXTERNAL")


@pytest_twisted.ensureDeferred
async def test_our_certificate(secure: Secure) -> None:
    """A client without a certificate, or with one that is foreign or expired, is told what to do about it."""
    foreign = Authority(secure.authority.folder, "foreign").sign("foreigner")
    expired = secure.authority.sign("expired", ends=-timedelta(hours=1))
    for ours, words in (
        (None, "the broker wants a certificate of ours: give cert_file and key_file"),
        (foreign, "the broker does not know the authority that signed our certificate"),
        (expired, "our certificate (cert_file in its URL) has expired"),
    ):
        await attempt(secure.url(ours)).fails(words)


@pytest_twisted.ensureDeferred
async def test_their_certificate(secure: Secure) -> None:
    """A broker that nobody we trust has signed for, or that is another host than asked for, gets no login."""
    ours = secure.authority.sign("careful")
    other = Authority(secure.authority.folder, "other")
    await attempt(secure.url(ours, ca_file=str(other.path))).fails(
        "its certificate was not accepted", "signed by CN=authority"
    )
    await attempt(secure.url(ours, host="127.0.0.1")).fails(
        "its certificate is for another host", "it is for localhost, signed"
    )


@pytest_twisted.ensureDeferred
async def test_expired(tmp_path: Path) -> None:
    """A broker whose certificate has expired gets no login."""
    authority = Authority(tmp_path)
    old = authority.sign("old", ends=-timedelta(seconds=1))
    ends = x509.load_pem_x509_certificate(old.certificate.read_bytes()).not_valid_after_utc
    port = BrokerPort(lambda: Broker(reactor))
    described = f"ssl:0:interface=127.0.0.1:certKey={old.certificate}:privateKey={old.key}"
    listening = await serverFromString(reactor, described).listen(port)
    try:
        url = f"amqps://u:secret@localhost:{listening.getHost().port}?ca_file={authority.path}"
        await attempt(url).fails("its certificate was not accepted", f"to {ends:%Y-%m-%d %H:%M} UTC")
    finally:
        port.cut()
        await listening.stopListening()
    assert [broker.methods for broker in port.brokers if broker.methods] == []


@pytest_twisted.ensureDeferred
async def test_renewed(secure: Secure, tmp_path: Path) -> None:
    """Files are read for each connection: one that is being written fails an attempt, a renewed one is taken."""
    good, used = secure.authority.sign("renewed"), Signed(tmp_path / "our.pem", tmp_path / "our.key")
    old = secure.authority.sign("yesterday", ends=-timedelta(hours=1))
    shutil.copy(old.certificate, used.certificate)
    shutil.copy(old.key, used.key)
    waiting = attempt(secure.url(used))
    await waiting.until("has expired")
    used.key.write_bytes(b"half a k")
    await waiting.until(f"key_file {str(used.key)!r} holds no private key")
    shutil.copy(good.key, used.key)
    await waiting.until(f"holds another key than the one of cert_file {str(used.certificate)!r}")
    shutil.copy(good.certificate, used.certificate)
    await waiting.works()


@pytest_twisted.ensureDeferred
async def test_wrong_scheme(secure: Secure) -> None:
    """Speaking TLS to a port that does not, and the reverse, is told in so many words."""
    ours = secure.authority.sign("mistaken")
    url = secure.url(ours)
    await attempt(url.replace(f":{secure.port}/", f":{secure.node.port}/")).fails("it does not speak TLS at that port")
    plain = url.split("?")[0].replace("amqps://", "amqp://")
    await attempt(plain).fails("amqps://")
