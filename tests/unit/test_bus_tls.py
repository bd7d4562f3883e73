"""The files of TLS: what is read, what is refused, and in which words; and what OpenSSL's reasons mean."""

from __future__ import annotations

import pathlib
import tempfile
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.tls import REASONS, Files, SecureEndpoint, about, problem
from streamer.errors import BusError
from tests.integration.certificates import Authority, Signed


class FilesTests(SynchronousTestCase):
    """ca_file, cert_file, key_file."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name)
        cls.authority = Authority(cls.folder)
        cls.ours = cls.authority.sign("client")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.place.cleanup()

    place: Any
    folder: pathlib.Path
    authority: Authority
    ours: Signed

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def test_good(self) -> None:
        """Certificate and key may be in a file each, or in one; there may be a chain, and several authorities."""
        certificate, key = self.ours.certificate.read_bytes(), self.ours.key.read_bytes()
        other = Authority(self.folder, "other")
        both = self.file("both.pem", self.authority.path.read_bytes() + other.path.read_bytes())
        for files in (
            Files(),
            Files(ca_file=str(self.authority.path)),
            Files(ca_file=both, cert_file=str(self.ours.certificate), key_file=str(self.ours.key)),
            Files(cert_file=self.file("one.pem", certificate + key)),
            Files(cert_file=self.file("two.pem", key + certificate)),
            Files(
                cert_file=self.file("chain.pem", certificate + other.path.read_bytes()), key_file=str(self.ours.key)
            ),
        ):
            with self.subTest(files=files):
                self.assertTrue(IOpenSSLClientConnectionCreator.providedBy(files.options("localhost")))

    def test_bad(self) -> None:
        """Each fault names the option and the file, says what is wrong, and shows nothing of what is in it."""
        certificate, key = str(self.ours.certificate), str(self.ours.key)
        loaded = serialization.load_pem_private_key(self.ours.key.read_bytes(), None)
        encrypted = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
        locked = self.file("locked.key", encrypted)
        nonsense = self.file("nonsense", b"c2VjcmV0 nonsense")
        torn = self.file("torn.key", self.ours.key.read_bytes()[:100])
        another = str(self.authority.sign("another").key)
        for files, words in (
            (Files(ca_file="/nowhere.pem"), "ca_file '/nowhere.pem' cannot be read: No such file"),
            (Files(ca_file=nonsense), f"ca_file {nonsense!r} holds no certificate in PEM form"),
            (Files(ca_file=str(self.folder)), "cannot be read: Is a directory"),
            (Files(cert_file="/nowhere.pem"), "cert_file '/nowhere.pem' cannot be read"),
            (Files(cert_file=certificate), f"cert_file {certificate!r} holds no private key in PEM form"),
            (Files(cert_file=certificate, key_file="/nowhere.key"), "key_file '/nowhere.key' cannot be read"),
            (Files(cert_file=certificate, key_file=nonsense), f"key_file {nonsense!r} holds no private key"),
            (Files(cert_file=certificate, key_file=torn), f"key_file {torn!r} holds no private key"),
            (Files(cert_file=certificate, key_file=locked), f"key_file {locked!r} is encrypted"),
            (Files(cert_file=certificate, key_file=another), f"another key than the one of cert_file {certificate!r}"),
            (Files(cert_file=key, key_file=key), f"cert_file {key!r} holds no certificate"),
        ):
            with self.subTest(words=words):
                error = self.assertRaises(ValueError, files.options, "localhost")
                self.assertIn(words, str(error))
                self.assertNotIn("c2VjcmV0", repr(error))

    def test_read_anew(self) -> None:
        """Each connection reads the files: what is bad by now fails the attempt, what is good again is used."""
        path = pathlib.Path(self.file("renewed.pem", self.authority.path.read_bytes()))
        used: list[Any] = []

        def wrap(options: Any, endpoint: Any) -> Any:
            used.append(options)
            return self

        endpoint = SecureEndpoint(MemoryReactorClock(), "localhost", 5671, Files(ca_file=str(path)), wrap)
        endpoint.connect(Factory())
        path.write_bytes(b"being written")
        self.assertIn("holds no certificate", str(self.failureResultOf(endpoint.connect(Factory()), BusError).value))
        path.write_bytes(Authority(self.folder, "newer").path.read_bytes())
        endpoint.connect(Factory())
        self.assertEqual(len(used), 2)
        self.assertIsNot(used[0], used[1])

    def connect(self, factory: Any) -> Deferred[Any]:
        return Deferred()

    def test_about(self) -> None:
        """Of a certificate is told whose it is, by whom and until when; by its name where it is for no host."""
        for path, words in (
            (self.ours.certificate, "it is for localhost, signed by CN=authority, valid from 20"),
            (self.authority.path, "it is for CN=authority, signed by CN=authority, valid from 20"),
        ):
            self.assertIn(words, about(x509.load_pem_x509_certificate(path.read_bytes())))

    def test_expired_of_ours(self) -> None:
        """A certificate of ours that has expired is for the broker to judge, whose clock counts."""
        old = self.authority.sign("old", ends=-timedelta(hours=1))
        Files(cert_file=str(old.certificate), key_file=str(old.key)).options("localhost")


class ProblemTests(SynchronousTestCase):
    """What went wrong with TLS."""

    def test_reasons(self) -> None:
        """Each reason of OpenSSL that we know has its sentence with the reason in it; others are shown."""
        for known, sentence in REASONS:
            said = f"tlsv1 {known}"
            self.assertEqual(problem(SSL.Error([("SSL routines", "", said)])), f"{sentence} (TLS: {said})")
        self.assertEqual(problem(SSL.Error([("SSL routines", "", "odd")])), "TLS failed: odd")
        self.assertEqual(problem(SSL.SysCallError(-1, "Unexpected EOF")), "TLS failed: no reason given")
        self.assertIn("for another host", problem(VerificationError(errors=["h"])) or "")
        self.assertEqual(SecureEndpoint(MemoryReactorClock(), "h", 1, Files()).shown, "")
        self.assertIsNone(problem(OSError()))
        self.assertIsNone(problem(None))
