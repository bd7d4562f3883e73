"""Tokens: who gets which grants, and whom no trick helps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ClientError
from streamer.fanout.grants import TOKEN_LIMIT, Grants
from streamer.fanout.protocol import Close
from streamer.metrics import TOKENS, Metrics
from streamer.net.jwks import Keys, key_set
from streamer.net.tokens import GRANTS_LIMIT, Tokens, fixed_keys, needed, problems
from streamer.secrets import Secret
from streamer.tables import RelayAuthSettings
from tests.unit.issuing import NOW, SECRET, claims, ed_key, issue, jwk, pem, rsa_key, written
from tests.unit.spooling import folder

SIGNED = RelayAuthSettings(secret=Secret(SECRET), anonymous_read=("post.#",), leeway=10.0)


def segment(content: Any) -> str:
    """A part of a token."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], secret: bytes, **more: Any) -> str:
    """A token by hand, with an HMAC for a signature: libraries refuse to make some of these."""
    signed = f"{segment({'typ': 'JWT', **header})}.{segment(claims(**more))}"
    return f"{signed}.{segment(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


@attrs.define
class Checker:
    """`Tokens` with counts."""

    settings: RelayAuthSettings = SIGNED
    keys: Keys = attrs.field()
    metrics: Metrics = attrs.field(factory=Metrics)
    tokens: Tokens = attrs.field(init=False)

    @keys.default
    def _fixed(self) -> Keys:
        return Keys(fixed_keys(self.settings))

    def __attrs_post_init__(self) -> None:
        self.tokens = Tokens(self.settings, self.keys, self.metrics)

    def check(self, token: str, now: float = NOW) -> Grants:
        """What a token is worth."""
        return self.tokens.check(token, now)

    def counts(self) -> tuple[float, float]:
        """Tokens accepted, and refused."""
        return self.metrics.value(TOKENS, "accepted"), self.metrics.value(TOKENS, "refused")


class Cases(SynchronousTestCase):
    """What tests of tokens share."""

    def refused(self, checker: Checker, token: str, now: float = NOW) -> str:
        """The sentence by which a token is refused for good, and which does not show it."""
        error = self.assertRaises(ClientError, checker.check, token, now)
        self.assertEqual((error.code, error.close, error.retry), ("token", Close.TOKEN, False))
        for part in (token, *token.split(".")):
            if len(part) > 8:
                self.assertNotIn(part, error.message)
        return error.message


class GrantsTests(Cases):
    """What a good token is worth."""

    def test_grants(self) -> None:
        """A token gives what its claim `streamer` says, and what everybody has, until it ends."""
        checker = Checker()
        grants = checker.check(issue(streamer={"read": ["chat.#"], "publish": ["chat.lobby"]}))
        expected = Grants("room", frozenset({"chat.#", "post.#"}), frozenset({"chat.lobby"}), NOW + 610)
        self.assertEqual((grants, checker.counts()), (expected, (1, 0)))

    def test_anonymous(self) -> None:
        """Everybody has what the configuration grants to everybody, without an end."""
        checker = Checker(RelayAuthSettings(anonymous_read=("a",), anonymous_publish=("b",)))
        self.assertEqual(checker.tokens.anonymous, Grants("", frozenset({"a"}), frozenset({"b"})))

    def test_ignored(self) -> None:
        """Without any key nobody could sign a token, and what is shown as one is ignored."""
        checker = Checker(RelayAuthSettings())
        self.assertFalse(needed(checker.settings))
        self.assertEqual((checker.check("whatever"), checker.counts()), (checker.tokens.anonymous, (0, 0)))

    def test_every_key(self) -> None:
        """HS256, RS256 and EdDSA are taken, each with its own key, whichever else there are."""
        public = (Secret(pem(ed_key())), Secret(pem(rsa_key())))
        checker = Checker(RelayAuthSettings(secret=Secret(SECRET), public_keys=public))
        for key, algorithm in ((SECRET, "HS256"), (rsa_key(), "RS256"), (ed_key(), "EdDSA")):
            with self.subTest(algorithm=algorithm):
                self.assertEqual(checker.check(issue(key, algorithm)).subject, "room")
                self.assertEqual(checker.check(issue(key, algorithm, headers={"kid": "any"})).subject, "room")

    def test_two_keys_of_a_kind(self) -> None:
        """While keys are exchanged two of a kind are good."""
        checker = Checker(RelayAuthSettings(public_keys=(Secret(pem(ed_key())), Secret(pem(ed_key(1))))))
        for which in (0, 1):
            self.assertEqual(checker.check(issue(ed_key(which), "EdDSA")).subject, "room")

    def test_key_set(self) -> None:
        """A token names its key of a set, or is tried with those of its algorithm."""
        rows = (jwk(ed_key(), kid="a"), jwk(ed_key(1), kid="b"))
        checker = Checker(RelayAuthSettings(jwks="keys.json"), Keys())
        checker.keys.replace(key_set(written(*rows)).keys)
        for kid, which, good in (
            ("a", 0, True),
            ("b", 1, True),
            ("a", 1, False),
            ("c", 0, False),
            (None, 1, True),
            (None, 2, False),
        ):
            with self.subTest(kid=kid, which=which):
                token = issue(ed_key(which), "EdDSA", headers=None if kid is None else {"kid": kid})
                if good:
                    self.assertEqual(checker.check(token).subject, "room")
                else:
                    self.assertIn("no key that this relay knows", self.refused(checker, token))

    def test_many_keys(self) -> None:
        """A token that names no key is tried with few, and told to name it where there are more."""
        checker = Checker(RelayAuthSettings(jwks="keys.json"), Keys())
        others = [jwk(rsa_key(), kid="rsa"), *(jwk(ed_key(which), kid=f"k{which}") for which in range(1, 10))]
        checker.keys.replace(key_set(written(*others, jwk(ed_key(0), kid="k0"))).keys)
        self.assertEqual(checker.check(issue(ed_key(0), "EdDSA")).subject, "room")
        self.assertIn("no key that this relay knows", self.refused(checker, issue(ed_key(20), "EdDSA")))
        checker.keys.replace(key_set(written(*others, jwk(ed_key(10), kid="k10"), jwk(ed_key(0), kid="k0"))).keys)
        self.assertIn("must name its key (`kid`)", self.refused(checker, issue(ed_key(0), "EdDSA")))
        self.assertEqual(checker.check(issue(ed_key(0), "EdDSA", headers={"kid": "k0"})).subject, "room")
        self.assertEqual(checker.check(issue(rsa_key(), "RS256")).subject, "room")
        nameless = key_set(written(*others, *(jwk(ed_key(which)) for which in range(10, 22)))).keys
        checker.keys.replace(nameless)
        self.assertEqual(checker.check(issue(ed_key(21), "EdDSA")).subject, "room")

    def test_unknown_key(self) -> None:
        """A token whose key may still come is refused for now: reconnect, the relay asks for newer keys."""
        asked: list[None] = []
        checker = Checker(RelayAuthSettings(jwks="keys.json"), Keys((), lambda: asked.append(None)))
        token = issue(ed_key(), "EdDSA", headers={"kid": "new"})
        error = self.assertRaises(ClientError, checker.check, token)
        self.assertEqual((error.code, error.close, error.retry), ("token", Close.STATE_LOST, True))
        self.assertEqual(len(asked), 1)
        checker.keys.replace(key_set(written(jwk(ed_key(), kid="new"))).keys)
        self.assertEqual(checker.check(token).subject, "room")

    def test_times(self) -> None:
        """A token is good from `nbf` to `exp`, and the leeway to both sides."""
        checker = Checker()
        token = issue(exp=NOW + 60, nbf=NOW)
        for now, part in ((NOW - 10, ""), (NOW - 11, "not valid yet"), (NOW + 69, ""), (NOW + 70, "has expired")):
            with self.subTest(now=now):
                if part:
                    self.assertIn(part, self.refused(checker, token, now))
                else:
                    self.assertFalse(checker.check(token, now).expired(now))

    def test_issuer_and_audience(self) -> None:
        """What the configuration names, a token must name; an audience that it does not know is somebody else."""
        both = RelayAuthSettings(secret=Secret(SECRET), issuer="us", audience="relay")
        for table, more, part in (
            (both, {"iss": "us", "aud": "relay"}, ""),
            (both, {"iss": "us", "aud": ["shop", "relay"]}, ""),
            (both, {"aud": "relay"}, "issuer"),
            (both, {"iss": "them", "aud": "relay"}, "issuer"),
            (both, {"iss": "us"}, "audience"),
            (both, {"iss": "us", "aud": []}, "audience"),
            (both, {"iss": "us", "aud": "relays"}, "audience"),
            (SIGNED, {"aud": "shop"}, "audience"),
            (SIGNED, {"iss": "anybody"}, ""),
        ):
            with self.subTest(more=more):
                checker = Checker(table)
                if part:
                    self.assertIn(part, self.refused(checker, issue(**more)))
                else:
                    self.assertEqual(checker.check(issue(**more)).subject, "room")


class ClaimsTests(Cases):
    """Tokens that are signed well, and say something wrong."""

    def test_sentences(self) -> None:
        """Each way to be wrong has its own sentence, and is counted."""
        many = ["chat.#"] * (GRANTS_LIMIT + 1)
        for more, part in (
            ({"exp": None}, "missing required field `exp`"),
            ({"streamer": None}, "missing required field `streamer`"),
            ({"streamer": {"reed": ["a"]}}, "unknown field `reed`"),
            ({"streamer": {"read": "a"}}, "$.streamer.read"),
            ({"streamer": {"read": many}}, "length <= 50"),
            ({"streamer": {"read": ["ok", "chatter..room"]}}, "streamer.read[1]"),
            ({"streamer": {"publish": ["#.chatter.#.#"]}}, "streamer.publish[0]"),
            ({"sub": 7}, "$.sub"),
            ({"sub": "s" * 129}, "$.sub"),
            ({"sub": None, "streamer": {"publish": ["a"]}}, "claim `sub`"),
            ({"sub": "anonymous", "streamer": {"publish": ["a"]}}, "claim `sub`"),
        ):
            with self.subTest(part=part):
                checker = Checker()
                message = self.refused(checker, forged({"alg": "HS256"}, SECRET.encode(), **more))
                self.assertIn(part, message)
                self.assertNotIn("chatter", message)
                self.assertEqual(checker.counts(), (0, 1))

    def test_odd_numbers(self) -> None:
        """Times that are no times are refused, and end no process."""
        for written_exp in ("1e999", "-1", '"soon"', "null", "true", "9" * 400, "NaN", "9" * 5000):
            with self.subTest(exp=written_exp[:10]):
                content = b'{"streamer":{},"exp":%b}' % written_exp.encode()
                signed = f"{segment({'alg': 'HS256'})}.{segment(content)}"
                seal = segment(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())
                self.assertIn("are not understood", self.refused(Checker(), f"{signed}.{seal}"))


class ForgedTests(Cases):
    """Tokens by people who have no private key."""

    def test_none(self) -> None:
        """A token that says it needs no signature has none, and is refused."""
        for algorithm in ("none", "None", "NONE", "", None, ["HS256"], {}):
            with self.subTest(algorithm=algorithm):
                signed = f"{segment({'alg': algorithm})}.{segment(claims())}"
                for token in (f"{signed}.", forged({"alg": algorithm}, b"")):
                    self.assertIn("the token is", self.refused(Checker(), token))

    def test_public_key_as_secret(self) -> None:
        """A public key is known to everybody: as the secret of an HMAC it is worth nothing."""
        for key in (rsa_key(), ed_key()):
            row = jwk(key, kid="k")
            checker = Checker(RelayAuthSettings(public_keys=(Secret(pem(key)),), jwks="keys.json"))
            checker.keys.replace(key_set(written(row)).keys)
            number = row.get("n", row.get("x"))
            for secret in (pem(key), pem(key).strip(), json.dumps(row), number, ""):
                for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "k"}):
                    self.assertIn("no key", self.refused(checker, forged(header, secret.encode())))

    def test_other_algorithm(self) -> None:
        """A signature made with the right secret, said to be by another algorithm, is refused; the key decides."""
        checker = Checker()
        for algorithm in ("RS256", "EdDSA", "HS512", "hs256", "HS256 "):
            with self.subTest(algorithm=algorithm):
                self.assertIn("no key", self.refused(checker, forged({"alg": algorithm}, SECRET.encode())))
        self.assertIn("no key", self.refused(checker, issue(SECRET + "x" * 32, "HS384")))

    def test_own_key(self) -> None:
        """A key that the token itself brings along, or points to, is not used."""
        headers = {"jwk": jwk(ed_key(3)), "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}
        checker = Checker(RelayAuthSettings(public_keys=(Secret(pem(ed_key())),)))
        self.assertIn("no key", self.refused(checker, issue(ed_key(3), "EdDSA", headers=headers)))

    def test_odd_headers(self) -> None:
        """Headers that a verifier must understand and cannot, and key names that are none, are refused."""
        for header in (
            {"crit": ["exp2"], "exp2": 1},
            {"b64": False, "crit": ["b64"]},
            {"kid": 7},
            {"kid": ["k"]},
            {"kid": "k" * 300},
        ):
            with self.subTest(header=header):
                self.refused(Checker(), forged({"alg": "HS256", **header}, SECRET.encode()))

    def test_changed(self) -> None:
        """A token of which a single character was changed is refused, wherever that is."""
        token = issue()
        for at in range(0, len(token) - 1, 7):
            other = "A" if token[at] != "A" else "B"
            self.refused(Checker(), token[:at] + other + token[at + 1 :])

    def test_too_long(self) -> None:
        """A token longer than the limit is not looked at."""
        self.assertIn(str(TOKEN_LIMIT), self.refused(Checker(), "a" * (TOKEN_LIMIT + 1)))

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(max_size=40) | st.lists(st.binary(max_size=30), max_size=4).map(lambda x: ".".join(map(segment, x)))
    )
    def test_anything(self, token: str) -> None:
        """Whatever is shown as a token is refused by a sentence, and nothing worse happens."""
        self.assertIn("the token", self.refused(Checker(), token))

    @settings(max_examples=60, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
        st.sampled_from(["exp", "nbf", "iss", "aud", "sub", "streamer"]),
    )
    def test_any_claim(self, value: Any, name: str) -> None:
        """Whatever a signed token claims, the answer is grants or a sentence."""
        try:
            grants = Checker().check(forged({"alg": "HS256"}, SECRET.encode(), **{name: value}))
            self.assertGreaterEqual(grants.read, {"post.#"})
        except ClientError as error:
            self.assertEqual(error.code, "token")


class ProblemsTests(SynchronousTestCase):
    """`problems`: what an operator is told before anything starts."""

    def test_none(self) -> None:
        """The default, and a whole table, have no problem."""
        path = Path(folder(self)) / "keys.json"
        path.write_bytes(written(jwk(ed_key())))
        whole = RelayAuthSettings(
            secret=Secret(SECRET),
            public_keys=(Secret(pem(ed_key())),),
            jwks=f"file:{path}",
            anonymous_publish=("a.#",),
        )
        self.assertEqual((problems(RelayAuthSettings()), problems(whole)), ([], []))

    def test_each(self) -> None:
        """Every problem is found, with the key's path."""
        wrong = RelayAuthSettings(
            secret=Secret("short"),
            public_keys=(Secret(pem(ed_key())), Secret("no key")),
            jwks="http://id.example/keys",
            anonymous_read=("#", "a..b"),
            anonymous_publish=("##",),
        )
        found = problems(wrong)
        paths = [("secret",), ("public_keys", 1), ("jwks",), ("anonymous_read", 1), ("anonymous_publish", 0)]
        self.assertEqual([path for path, _ in found], paths)
        self.assertTrue(found[0][1].startswith("relay.auth.secret has 5 bytes"), found[0][1])
        self.assertNotIn("short", found[0][1])

    def test_file(self) -> None:
        """A key set's file is looked at, but not for who waits for it."""
        wrong = RelayAuthSettings(jwks="file:/nonexistent/keys.json")
        (problem,) = problems(wrong)
        sentence = (
            "relay.auth.jwks names the file '/nonexistent/keys.json': it cannot be read: No such file or directory"
        )
        self.assertEqual((("jwks",), sentence), problem)
        self.assertEqual([], problems(wrong, files=False))
