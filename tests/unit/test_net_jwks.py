"""Keys: what is taken for one, and what for none."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.jwks import (
    AWAITED_LIMIT,
    KEYS_LIMIT,
    SET_LIMIT,
    Key,
    Keys,
    check_url,
    is_url,
    key_set,
    public_key,
    secret_key,
)
from streamer.net.jwks_file import check_file, file_path, read_file
from tests.unit.issuing import SECRET, ec_key, ed_key, jwk, pem, rsa_key, written
from tests.unit.spooling import folder


class FixedTests(SynchronousTestCase):
    """`secret_key` and `public_key`."""

    def test_algorithms(self) -> None:
        """What a key is says which algorithm it is for."""
        found = [secret_key(SECRET), public_key(pem(rsa_key())), public_key(f"\n{pem(ed_key())}\n")]
        self.assertEqual([key.algorithm for key in found], ["HS256", "RS256", "EdDSA"])
        self.assertNotIn(SECRET, repr(found[0]))

    def test_refused(self) -> None:
        """A secret that can be guessed and keys of other kinds are refused, in a sentence that shows neither."""
        for make, text, part in (
            (secret_key, "s" * 31, "31 bytes"),
            (secret_key, pem(rsa_key()), "public_keys"),
            (public_key, SECRET, "openssl pkey"),
            (public_key, pem(ec_key()), "neither RSA nor Ed25519"),
            (public_key, pem(rsa_key(1024)), "1024 bits"),
        ):
            with self.subTest(part=part):
                error = self.assertRaises(ValueError, make, text)
                self.assertIn(part, str(error))
                self.assertNotIn(text.strip(), str(error))


class KeySetTests(SynchronousTestCase):
    """`key_set`."""

    def test_keys(self) -> None:
        """RSA and Ed25519 keys are taken, with or without a name and an algorithm."""
        found = key_set(written(jwk(rsa_key(), kid="r", alg="RS256", use="sig"), jwk(ed_key(), key_ops=["verify"])))
        self.assertEqual([(key.algorithm, key.kid) for key in found.keys], [("RS256", "r"), ("EdDSA", None)])
        self.assertEqual(found.skipped, ())

    def test_left_out(self) -> None:
        """A key that is not for us is left out with a sentence, and the others of the set count."""
        good = jwk(ed_key(), kid="good")
        for row, part in (
            ({"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "a"}, "shared secret"),
            ({"kty": "EC", "crv": "P-256", "kid": "a"}, "neither RSA nor Ed25519"),
            ({"kty": ["RSA"]}, "neither RSA nor Ed25519"),
            ({"kty": "OKP", "crv": "X25519", "x": good["x"]}, "no whole OKP key"),
            ({"kty": "RSA", "n": "AQAB"}, "no whole RSA key"),
            (jwk(rsa_key(), alg="RS512"), "another algorithm"),
            (jwk(rsa_key(), alg="HS256"), "another algorithm"),
            (jwk(rsa_key(), use="enc"), "not for verifying"),
            (jwk(rsa_key(), key_ops=["sign"]), "not for verifying"),
            (jwk(rsa_key(), key_ops="verify"), "not for verifying"),
            (jwk(rsa_key(1024)), "1024 bits"),
            (jwk(rsa_key()) | {"e": "_" * 8}, "exponent"),
            (jwk(ed_key(), private=True), "private key"),
            (jwk(rsa_key(), kid=7), "`kid`"),
            (jwk(rsa_key(), kid="good"), "`kid` of another"),
            ("a key", "no object"),
        ):
            with self.subTest(part=part):
                found = key_set(written(good, row))
                self.assertEqual([key.kid for key in found.keys], ["good"])
                self.assertIn(part, found.skipped[0])
                self.assertIn("key 2 of 2", found.skipped[0])

    def test_no_set(self) -> None:
        """What is no key set, or has no key for us, is an error."""
        for content, part in (
            (b"", "no JSON Web Key Set"),
            (b"[]", "no JSON Web Key Set"),
            (b'{"keys":{}}', "no JSON Web Key Set"),
            (b"<html>", "no JSON Web Key Set"),
            (b"\xff", "no JSON Web Key Set"),
            (b"[" * 10_000, "no JSON Web Key Set"),
            (b'{"keys":[]}', "it is empty"),
            (written({"kty": "EC"}), "key 1 of 1 is neither"),
            (written(*[{"kty": "EC"}] * (KEYS_LIMIT + 1)), "65 keys"),
            (b" " * (SET_LIMIT + 1), "longer than"),
        ):
            with self.subTest(part=part):
                self.assertIn(part, str(self.assertRaises(ValueError, key_set, content)))

    @settings(max_examples=50, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["kty", "n", "e", "x", "crv", "kid", "alg", "use", "key_ops", "d"]),
            st.sampled_from(["RSA", "OKP", "Ed25519", "AQAB", "", "sig", None, 3, 1.5, ["verify"], {}, "é", "!"]),
        )
    )
    def test_any_row(self, row: dict[str, object]) -> None:
        """Whatever a key set holds, the answer is keys or a sentence."""
        content = json.dumps({"keys": [row]}).encode()
        try:
            self.assertEqual(len(key_set(content).keys), 1)
        except ValueError as error:
            self.assertIn("key 1 of 1", str(error))


class KeysTests(SynchronousTestCase):
    """`Keys`: which of them a token is tried with, and when newer ones are asked for."""

    def setUp(self) -> None:
        self.asked = 0
        self.secret = Key("HS256", b"s")
        self.one, self.other, self.nameless = (Key("EdDSA", None, kid) for kid in ("one", "other", None))
        self.keys = Keys((self.secret,), self.ask)

    def ask(self) -> None:
        self.asked += 1

    def test_find(self) -> None:
        """A key that is named is the only one tried; else those that have no name, and for a token without all."""
        self.keys.replace((self.one, self.other, self.nameless))
        for kid, expected in (
            ("one", (self.one,)),
            ("new", (self.secret, self.nameless)),
            (None, (self.secret, self.nameless, self.one, self.other)),
        ):
            with self.subTest(kid=kid):
                self.assertEqual([id(key) for key in self.keys.find(kid)], [id(key) for key in expected])

    def test_awaited(self) -> None:
        """An unknown key is awaited until the next look for keys, which is asked for; then it does not exist."""
        self.keys.replace((self.one,))
        self.assertEqual((self.keys.awaited("new"), self.keys.awaited("new"), self.asked), (True, True, 2))
        self.keys.settle()
        self.assertEqual((self.keys.awaited("new"), self.asked), (False, 2))

    def test_awaited_again(self) -> None:
        """What an earlier key set did not bring, a later one may."""
        self.keys.awaited("new")
        self.keys.replace((self.one,))
        self.assertFalse(self.keys.awaited("new"))
        self.keys.replace((self.one,))
        self.assertTrue(self.keys.awaited("new"))

    def test_known(self) -> None:
        """A bad signature by a key that we have, or by none that is named, asks for nothing."""
        self.keys.replace((self.one,))
        self.assertEqual((self.keys.awaited("one"), self.keys.awaited(None), self.asked), (False, False, 0))

    def test_none_yet(self) -> None:
        """While there is no key set at all, every token may turn out well."""
        self.assertEqual((self.keys.awaited("one"), self.keys.awaited(None)), (True, True))

    def test_no_set(self) -> None:
        """Without a key set nothing can bring a key."""
        self.assertFalse(Keys((self.secret,)).awaited("one"))

    def test_bounded(self) -> None:
        """However many keys strangers name, few are remembered."""
        for number in range(5 * AWAITED_LIMIT):
            self.assertTrue(self.keys.awaited(f"k{number}"))
            if number % AWAITED_LIMIT == 0:
                self.keys.settle()
        self.assertLessEqual(len(self.keys._awaited), AWAITED_LIMIT)
        self.assertLess(len(self.keys._absent), 2 * AWAITED_LIMIT)


class FileTests(SynchronousTestCase):
    """`jwks_file`, and how a file is told from an address."""

    def setUp(self) -> None:
        self.path = Path(folder(self)) / "keys.json"

    def test_places(self) -> None:
        """A file is written as a path, or with `file:` before it as everywhere else."""
        for place in ("keys.json", "/etc/keys.json", "file:/etc/keys.json", "file:///etc/keys.json", "file:a://b"):
            self.assertFalse(is_url(place), place)
        self.assertTrue(is_url("https://id.example/file:keys"))
        self.assertEqual(["/k", "/k", "a"], [file_path(place) for place in ("/k", "file:/k", "file:a")])

    def test_check(self) -> None:
        """A file with keys is good; one that is missing, no key set or empty is a sentence that names it."""
        for content, part in (
            (None, "cannot be read: No such file"),
            (b"{", "no JSON Web Key Set"),
            (b"", "no JSON Web Key Set"),
            (written(), "it is empty"),
            (written({"kty": "EC"}), "no key that we can use"),
            (b" " * (SET_LIMIT + 1), "longer than"),
            (written(jwk(ed_key())), ""),
        ):
            if content is not None:
                self.path.write_bytes(content)
            for place in (str(self.path), f"file:{self.path}"):
                with self.subTest(part=part, place=place):
                    if part:
                        error = self.assertRaises(ValueError, check_file, place)
                        self.assertIn(part, str(error))
                        self.assertIn(f"names the file {str(self.path)!r}: ", str(error))
                    else:
                        check_file(place)

    def test_known(self) -> None:
        """What was read is not read again until it changes."""
        self.path.write_bytes(b"one")
        stamp, content = read_file(str(self.path))
        self.assertEqual((b"one", (stamp, None)), (content, read_file(str(self.path), stamp)))
        self.path.write_bytes(b"other")
        self.assertEqual(b"other", read_file(str(self.path), stamp)[1])


class UrlTests(SynchronousTestCase):
    """`check_url`."""

    def test_good(self) -> None:
        """https anywhere, http on this machine."""
        for url in ("https://id.example/keys?x=1", "http://127.0.0.1:1/k", "http://localhost/", "https://[::1]/"):
            with self.subTest(url=url):
                check_url(url)

    def test_bad(self) -> None:
        """Anything else is refused."""
        for url, part in (
            ("http://id.example/keys", "must be an https"),
            ("file:///keys", "no URL such as"),
            ("ftp://id.example/keys", "must be an https"),
            ("https:///keys", "no URL such as"),
            ("https://id.example:0/", "no URL such as"),
            ("https://id.example:99999/", "no URL such as"),
            ("https://id.example/a b", "no URL such as"),
            ("https://bücher.example/", "no URL such as"),
            ("https://[::1/", "no URL such as"),
            ("https://me:pw@id.example/", "must not hold a user"),
        ):
            with self.subTest(url=url):
                self.assertIn(part, str(self.assertRaises(ValueError, check_url, url)))
