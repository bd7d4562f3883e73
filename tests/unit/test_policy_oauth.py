"""OAuth 1.0a signatures: the documented examples, and what must hold for any request."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.oauth import Keys, authorization, encoded, form, signature

KEYS = Keys(
    "xvz1evFS4wEEPTGEFPHBog",
    "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)
NONCE = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
TIMESTAMP = 1318622958
PARAMETERS = [("status", "Hello Ladies + Gentlemen, a signed OAuth request!"), ("include_entities", "true")]
VECTORS = {
    "https://api.x.com/1.1/statuses/update.json": "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
    "https://api.twitter.com/1.1/statuses/update.json": "hCtSmYh+iHYCEqBWrE7C7hYmtUk=",
    "https://api.twitter.com/1/statuses/update.json": "tnnArxj06cWHq44gCs1OSKk/jLY=",
}


def header(url: str, method: str = "POST") -> dict[str, str]:
    """The fields of the header for the documented request."""
    written = authorization(method, url, PARAMETERS, KEYS, nonce=NONCE, timestamp=TIMESTAMP)
    assert written.startswith("OAuth ")
    fields = (field.partition("=") for field in written.removeprefix("OAuth ").split(", "))
    return {name: unquote(value.strip('"')) for name, _, value in fields}


class VectorTests(SynchronousTestCase):
    """https://docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature"""

    def test_documented(self) -> None:
        """The three signatures that the documentation has had over the years."""
        for url, wanted in VECTORS.items():
            self.assertEqual(wanted, header(url)["oauth_signature"])

    def test_header(self) -> None:
        """All seven fields, and none of the request's own parameters."""
        fields = header(next(iter(VECTORS)))
        names = "consumer_key nonce signature signature_method timestamp token version"
        self.assertEqual([f"oauth_{name}" for name in names.split()], list(fields))
        self.assertEqual(
            (KEYS.consumer_key, NONCE, "HMAC-SHA1", "1318622958", KEYS.token, "1.0"),
            tuple(
                fields[f"oauth_{name}"]
                for name in ("consumer_key", "nonce", "signature_method", "timestamp", "token", "version")
            ),
        )

    def test_url_is_brought_into_one_form(self) -> None:
        """Case of the host, a default port and the method's case make no difference; another port does."""
        url = "https://api.x.com/1.1/statuses/update.json"
        for same in ("HTTPS://API.X.com/1.1/statuses/update.json", "https://api.x.com:443/1.1/statuses/update.json"):
            self.assertEqual(header(url), header(same, "post"))
        other = header("https://api.x.com:8443/1.1/statuses/update.json")
        self.assertNotEqual(header(url)["oauth_signature"], other["oauth_signature"])

    def test_keys_do_not_show(self) -> None:
        """Nothing of a credential is in its `repr`."""
        for part in (KEYS.consumer_key, KEYS.consumer_secret, KEYS.token, KEYS.token_secret):
            self.assertNotIn(part, repr(KEYS))


class EncodingTests(SynchronousTestCase):
    """RFC 3986, and what the signature covers."""

    def test_unreserved(self) -> None:
        """Letters, digits and `-._~` stay; a blank is %20, a plus %2B, and all else its UTF-8 bytes."""
        self.assertEqual("aZ0-._~%20%2B%2A%2F%21%C3%BC", encoded("aZ0-._~ +*/!ü"))

    @given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6))
    def test_form_reads_back(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever is put into a form comes out of it again."""
        wanted = [pair for pair in pairs if pair != ("", "")]
        try:
            written = form(wanted)
        except UnicodeEncodeError:  # half a surrogate pair is no text
            return
        self.assertEqual(wanted, parse_qsl(written, keep_blank_values=True) if written else [])

    @given(st.permutations([("a", "1"), ("a", "0"), ("b", " "), ("B", "%"), ("ü", "&")]))
    def test_order_makes_no_difference(self, pairs: list[tuple[str, str]]) -> None:
        """The signature is over the parameters as a set."""
        url = "https://h/x"
        self.assertEqual(signature("POST", url, sorted(pairs), KEYS), signature("POST", url, pairs, KEYS))

    @given(st.integers(0, 3), st.text("ab&=%", min_size=1, max_size=4))
    def test_every_parameter_is_signed(self, index: int, extra: str) -> None:
        """Another value anywhere is another signature, also where it holds what separates parameters."""
        pairs = [("track", "a"), ("follow", "1"), ("b", ""), ("c", "a&b=c")]
        changed = [(name, value + extra if at == index else value) for at, (name, value) in enumerate(pairs)]
        self.assertNotEqual(
            signature("POST", "https://h/", pairs, KEYS), signature("POST", "https://h/", changed, KEYS)
        )
