# -*- test-case-name: tests.unit.test_bus_tls -*-
"""TLS to the broker: whom we trust, who we are, and what went wrong, in sentences.

The broker's certificate is always verified, and must be for the host's name. The files are read anew for each
connection, so that renewed certificates are taken without a restart.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from streamer.errors import BusError

TLS = "tls"  # cause of a Loss

# What OpenSSL's reasons mean here; the first that is contained counts. Alerts are the broker's:
# https://www.rfc-editor.org/rfc/rfc8446#section-6.2
REASONS = (
    (
        "certificate verify failed",
        "its certificate was not accepted: signed by none that we trust (ca_file in the broker's URL, or else the "
        "system's authorities), expired, or not valid yet",
    ),
    ("alert certificate required", "the broker wants a certificate of ours: give cert_file and key_file in its URL"),
    (
        "alert handshake failure",
        "the broker wants a certificate of ours (cert_file and key_file in its URL), or no common way of encryption",
    ),
    (
        "alert unknown ca",
        "the broker does not know the authority that signed our certificate (cert_file in its URL); that one belongs "
        "into the broker's ssl_options.cacertfile, and those in between into cert_file",
    ),
    ("alert certificate expired", "the broker says that our certificate (cert_file in its URL) has expired; renew it"),
    ("alert certificate revoked", "the broker says that our certificate (cert_file in its URL) was revoked; renew it"),
    ("alert bad certificate", "the broker refuses our certificate (cert_file in its URL); its log says why"),
    ("alert unsupported certificate", "the broker cannot use our certificate (cert_file in its URL) to know a client"),
    ("alert protocol version", "it speaks no version of TLS that is still safe: 1.2 or 1.3"),
    ("unsupported protocol", "it speaks no version of TLS that is still safe: 1.2 or 1.3"),
    ("wrong version number", "it does not speak TLS at that port; the URL must begin with amqp:// for it"),
    ("packet length too long", "it does not speak TLS at that port; the URL must begin with amqp:// for it"),
    ("record layer failure", "it does not speak TLS at that port; the URL must begin with amqp:// for it"),
    ("unexpected eof", "it hung up in the midst of TLS; its log may say why"),
)


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of what is trusted and shown, as the broker's URL names them."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def options(self, host: str) -> IOpenSSLClientConnectionCreator:
        """How to connect to a host, from what is in the files now.

        Raises:
            ValueError: a file cannot be read or used; the text names it, and holds nothing that is in it.
        """
        trust = None if self.ca_file is None else trustRootFromCertificates(_read("ca_file", self.ca_file))
        ours, chain = self._ours()
        more = {"extraCertChain": chain} if chain else None
        creator = optionsForClientTLS(host, trustRoot=trust, clientCertificate=ours, extraCertificateOptions=more)
        return IOpenSSLClientConnectionCreator(creator)

    def _ours(self) -> tuple[PrivateCertificate | None, list[crypto.X509]]:
        """Our certificate with its key, and those between it and the authority."""
        if self.cert_file is None:
            return None, []
        ours, *between = _read("cert_file", self.cert_file)
        option, path = ("cert_file", self.cert_file) if self.key_file is None else ("key_file", self.key_file)
        try:
            key = serialization.load_pem_private_key(_bytes(option, path), None)
            pair = KeyPair(crypto.PKey.from_cryptography_key(key))  # type: ignore[arg-type]  # any that a PEM holds
        except TypeError:
            raise ValueError(
                _about(option, path, "is encrypted; a service cannot be asked for its password")
            ) from None
        except ValueError as error:
            if str(error).startswith(option):
                raise
            # The library's text is left out: it is about the key.
            raise ValueError(_about(option, path, "holds no private key in PEM form that can be used")) from None
        der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        if key.public_key().public_bytes(*der) != ours.original.to_cryptography().public_key().public_bytes(*der):
            raise ValueError(_about(option, path, f"holds another key than the one of cert_file {self.cert_file!r}"))
        return PrivateCertificate.fromCertificateAndKeyPair(ours, pair), [each.original for each in between]


@implementer(IStreamClientEndpoint)
@attrs.define(eq=False)
class SecureEndpoint:
    """One host of the broker, over TLS."""

    _reactor: Any
    _host: str
    _port: int
    _files: Files
    _wrap: Callable[[Any, Any], Any] = wrapClientTLS
    _met: Any = None  # what knows the last peer's certificate

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See IStreamClientEndpoint. Fails with BusError where a file cannot be used."""
        try:
            self._met = options = _Meeting(self._files.options(self._host))
        except ValueError as error:
            return fail(BusError(str(error)))
        endpoint = HostnameEndpoint(self._reactor, self._host, self._port)
        connecting: Deferred[Any] = self._wrap(options, endpoint).connect(protocolFactory)
        return connecting

    @property
    def shown(self) -> str:
        """About the certificate that the host has shown last, whether it was accepted or not; empty where none was."""
        chain = self._met.chain() if self._met is not None else ()
        return about(chain[0]) if chain else ""


@implementer(IOpenSSLClientConnectionCreator)
@attrs.define(eq=False)
class _Meeting:
    """Makes the connection as Twisted does, which verifies; and keeps it, for what the peer showed us."""

    _options: Any
    _connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        made: SSL.Connection = self._options.clientConnectionForTLS(tlsProtocol)
        self._connection = made
        return made

    def chain(self) -> list[x509.Certificate]:
        """The peer's certificate, and those between it and its authority."""
        found = self._connection.get_peer_cert_chain() if self._connection is not None else None
        return [each.to_cryptography() for each in found or ()]


def about(certificate: x509.Certificate) -> str:
    """Whose certificate it is, by whom, and until when."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except (x509.ExtensionNotFound, ValueError):
        hosts = []
    whose = ", ".join(hosts) or certificate.subject.rfc4514_string()
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        f"it is for {whose}, signed by {certificate.issuer.rfc4514_string()}, valid from {begins:%Y-%m-%d %H:%M} to "
        f"{ends:%Y-%m-%d %H:%M} UTC"
    )


def problem(error: BaseException | None) -> str | None:
    """What went wrong with TLS, as a sentence; None where it was something else."""
    if isinstance(error, VerificationError):
        return "its certificate is for another host than the one in the URL"
    if not isinstance(error, SSL.Error):
        return None
    reasons = [str(part[-1]) for part in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    said = "; ".join(reasons) or "no reason given"
    for known, sentence in REASONS:
        if any(known in reason for reason in reasons):
            return f"{sentence} (TLS: {said})"
    return f"TLS failed: {said}"


def _read(option: str, path: str) -> list[Certificate]:
    data = _bytes(option, path)
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ValueError(_about(option, path, "holds no certificate in PEM form")) from None
    return [Certificate(crypto.X509.from_cryptography(certificate)) for certificate in found]


def _bytes(option: str, path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(_about(option, path, f"cannot be read: {error.strerror}")) from error


def _about(option: str, path: str, what: str) -> str:
    return f"{option} {path!r} {what}"
