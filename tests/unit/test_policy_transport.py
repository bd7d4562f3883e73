"""Which URLs may carry credentials, in which spelling; what a token may look like."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI

from streamer.policy.transport import account, checked_base_url, checked_token, is_loopback

PIECES = st.sampled_from(
    ["http", "https", "://", ":", "/", "@", "[", "]", "::1", "127.0.0.1", "localhost", "api.x.com", "ü", "ß", "%",
     "%7e", "?", "#", "\\", "\n", "\x00", "80", "0", "99999", "..", "%zz", "\uff41", "xn--a", "_"]
)  # fmt: skip


class BaseUrlTests(SynchronousTestCase):
    """`base_url`."""

    def refused(self, url: str) -> str:
        """Why it is refused."""
        with self.assertRaises(ValueError) as caught:
            checked_base_url(url)
        return str(caught.exception)

    def test_allowed(self) -> None:
        """https anywhere, http on this machine."""
        for url in ("https://api.x.com", "http://127.0.0.1:9", "http://localhost:1/x", "http://[::1]:2"):
            self.assertEqual(url, checked_base_url(url + "/"))

    def test_one_spelling(self) -> None:
        """Whatever is asked of the same server is spelled alike, so that it is signed and counted alike."""
        for written, one in (
            ("HTTPS://API.x.com:443", "https://api.x.com"),
            ("https://api.x.com.:0443//", "https://api.x.com"),
            ("https://api.x.com?", "https://api.x.com"),
            ("http://LOCALHOST:80/", "http://localhost"),
            ("http://[0:0::1]:8090", "http://[::1]:8090"),
            ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
            ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
            ("https://fa\u00df.example", "https://xn--fa-hia.example"),
            ("https://\uff41pi.x.com", "https://api.x.com"),
            ("https://h/\u00fc", "https://h/%C3%BC"),
            ("https://h/a%20b", "https://h/a%20b"),
            ("https://h/50%", "https://h/50%25"),
            ("https://h/a;b/~x/(y)!*'", "https://h/a;b/~x/(y)!*'"),
        ):
            self.assertEqual(one, checked_base_url(written))
        spelled = {account(checked_base_url(url), "t") for url in ("https://api.x.com", "https://API.x.com:443/")}
        self.assertEqual(1, len(spelled))

    def test_refused(self) -> None:
        """Plain text to elsewhere, other schemes and odd parts are refused, with what is wrong in the text."""
        for url, why in (
            ("http://api.x.com", "'http://api.x.com' would send credentials in the clear"),
            ("http://127.0.0.1.evil.org", "in the clear"),
            ("http://[2001:db8::1]", "in the clear"),
            ("ftp://x", "no http(s) URL"),
            ("x", "no http(s) URL"),
            ("", "no http(s) URL"),
            ("https://", "no http(s) URL"),
            ("https://[::1", "no http(s) URL"),
            ("https://[fe80::1%eth0]", "no http(s) URL"),
            ("https://a..b", "no http(s) URL"),
            ("https://a_b.com", "no http(s) URL"),
            ("https://x:0", "'https://x' has a port that is no number"),
            ("https://api.x.com:99999", "'https://api.x.com' has a port that is no number"),
            ("https://x?a=1", "'https://x' must hold no query"),
            ("https://x#a", "'https://x' must hold no query"),
            ("https://api.x.com\\@evil.com", "no query, fragment or user"),
        ):
            self.assertIn(why, self.refused(url), url)

    def test_blanks(self) -> None:
        """Blanks and line ends are not dropped in silence, as Python's own reader of URLs does."""
        for url in (" https://api.x.com", "https://api.x.com\n", "https://api.x.com/a b", "https://a\tpi.x.com",
                    "https://api.x.com\x00", "https://api.x.com/\u2028"):  # fmt: skip
            self.assertIn("blanks, line ends or control characters", self.refused(url))

    def test_secrets_do_not_show(self) -> None:
        """What people put into a URL that does not belong there is not printed."""
        for url in (
            "https://user:hunter2@api.x.com",
            "https://api.x.com/?key=hunter2",
            "https://api.x.com/#hunter2",
            "https://user:hunter2",
            "https://user:hunter2@[::1",
            "https://user:hunter2@\u2100.x.com",
            "user:hunter2@api.x.com",
            "http://user:hunter2@api.x.com",
            "https://user:hunter2@api.x.com:0",
            "https://user:hunter2@api.x.com\n",
        ):
            self.assertNotIn("hunter2", self.refused(url))

    @given(st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=30).map("https://h/".__add__))
    def test_anything(self, url: str) -> None:
        """Whatever passes is ASCII, spelled in the one way, and means the same to Twisted's web client as to us."""
        try:
            found = checked_base_url(url)
        except ValueError:
            return
        self.assertTrue(found.isascii() and found.isprintable() and " " not in found and not found.endswith("/"))
        self.assertEqual(found, checked_base_url(found))
        uri, parts = URI.fromBytes(found.encode() + b"/2/stream?a=b"), urlsplit(found)
        self.assertEqual((uri.host.decode(), uri.scheme.decode()), (parts.hostname, parts.scheme))
        self.assertEqual(parts.port or {"http": 80, "https": 443}[parts.scheme], uri.port)
        self.assertEqual(f"{parts.path}/2/stream?a=b", uri.originForm.decode())
        self.assertTrue(parts.scheme == "https" or is_loopback(parts.hostname or ""))


class TokenTests(SynchronousTestCase):
    """What a header can carry."""

    def test_refused(self) -> None:
        """The key is named and the token is not shown."""
        for token in ("", "hush\n", "hu sh", "h\u00fcsh"):
            with self.assertRaises(ValueError) as caught:
                checked_token(token, "consumer_key")
            self.assertIn("consumer_key must be printable ASCII", str(caught.exception))
            self.assertNotIn("hush", str(caught.exception))
