"""Certificates for tests over TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certified(folder: Path) -> Path:
    """A self-signed certificate for localhost and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password) + made.public_bytes(pem))
    return path


@attrs.frozen
class Signed:
    """A certificate and its key, in a file each."""

    certificate: Path
    key: Path


@attrs.define
class Authority:
    """Signs certificates for servers and clients; its own is in `path`."""

    folder: Path
    name: str = "authority"
    _key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __attrs_post_init__(self) -> None:
        self._write(self.path, self._key.public_key(), self.name, timedelta(hours=1), authority=True)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def sign(self, name: str, host: str = "localhost", ends: timedelta = timedelta(hours=1)) -> Signed:
        """A certificate for a host, with that common name, that ends so long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = Signed(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        self._write(signed.certificate, key.public_key(), name, ends, host=host)
        encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
        signed.key.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password))
        return signed

    def _write(
        self,
        path: Path,
        key: ec.EllipticCurvePublicKey,
        name: str,
        ends: timedelta,
        host: str | None = None,
        authority: bool = False,
    ) -> None:
        now = datetime.now(UTC)
        building = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host is not None:
            building = building.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        path.write_bytes(building.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
