"""The subscription at a WebSub hub, as a machine that is told the time and what others say."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from urllib.parse import parse_qs, urlencode

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Posted, Reply
from streamer.policy.websub import AFTER_REFUSAL, LEASE, RENEW_AT, Content, Kept, Subscription, restored, signed
from streamer.upstream import Request, Response

FEED = "https://example.org/feed.xml"
HUB = "https://hub.example.org/"
NOW = 1_700_000_000.0
PATH = "p" * 43


def subscription(feed: str = FEED, kept: Kept | None = None) -> Subscription:
    """A subscription whose random words can be told."""
    numbers = itertools.count()
    return Subscription(feed, "https://us.example.org/hooks", lambda: f"secret{next(numbers)}", kept or Kept(PATH))


def get(now: float = NOW, **query: str) -> Posted:
    """A call by the hub; `topic` stands for `hub.topic`."""
    return Posted(
        method="GET",
        query=urlencode({f"hub.{name}": value for name, value in query.items()}),
        headers={},
        body=b"",
        received=now,
    )


def post(body: bytes, signature: str, now: float = NOW) -> Posted:
    """Content from the hub."""
    headers = {"x-hub-signature": signature, "content-type": "application/atom+xml"}
    return Posted(method="POST", query="", headers=headers, body=body, received=now)


def answer(status: int, **headers: str) -> Response:
    """What the hub says to a request."""
    return Response(status=status, received=NOW, headers={k.replace("_", "-"): v for k, v in headers.items()})


def asked(made: Subscription, now: float = NOW) -> Request:
    """The request that is due."""
    request = made.due(now)
    assert request is not None
    return request


def subscribed(lease: str = "1000", feed: str = FEED) -> Subscription:
    """One that the hub has verified."""
    made = subscription(feed)
    made.discovered([HUB], None, NOW)
    asked(made)
    made.answered(answer(202), NOW)
    reply = made.called(get(mode="subscribe", topic=feed, challenge="c", lease_seconds=lease))
    assert isinstance(reply, Reply)
    assert reply.status == 200
    return made


def signature(made: Subscription, body: bytes, method: str = "sha256") -> str:
    """What the hub of a subscription signs with."""
    return f"{method}={hmac.new(made.kept.secret.encode(), body, method).hexdigest()}"


class AskingTests(SynchronousTestCase):
    """What is asked of the hub, and when."""

    def test_the_form(self) -> None:
        """The request names callback, topic, lease and a secret of less than 200 bytes."""
        made = subscription()
        made.discovered([HUB], "https://example.org/self.xml", NOW)
        request = asked(made)
        self.assertEqual(("POST", HUB), (request.method, request.url))
        self.assertEqual({"Content-Type": "application/x-www-form-urlencoded"}, request.headers)
        self.assertEqual(
            {
                "hub.callback": [f"https://us.example.org/hooks/{PATH}"],
                "hub.mode": ["subscribe"],
                "hub.topic": ["https://example.org/self.xml"],
                "hub.lease_seconds": [str(LEASE)],
                "hub.secret": ["secret0"],
            },
            parse_qs((request.body or b"").decode()),
        )

    def test_without_a_hub_nothing_is_asked(self) -> None:
        """A feed without a hub is only polled."""
        made = subscription()
        made.discovered([], None, NOW)
        self.assertIsNone(made.due(NOW))
        self.assertEqual(float("inf"), made.pause(NOW))
        self.assertFalse(made.active(NOW))

    def test_it_is_asked_once(self) -> None:
        """Reading the feed again asks nothing again; only after the hub's patience is over, later each time."""
        made = subscription()
        made.discovered([HUB], None, NOW)
        asked(made)
        made.discovered([HUB], None, NOW + 1)
        self.assertIsNone(made.due(NOW + 299))
        self.assertEqual(300, made.pause(NOW))
        asked(made, NOW + 300)
        self.assertIsNone(made.due(NOW + 899))
        asked(made, NOW + 900)

    def test_a_renewal_keeps_callback_and_secret(self) -> None:
        """Before the lease ends the same is asked again, which renews it."""
        made = subscribed("1000")
        secret = made.kept.secret
        self.assertIsNone(made.due(NOW + 1000 * RENEW_AT - 1))
        request = asked(made, NOW + 1000 * RENEW_AT)
        self.assertIn(secret, (request.body or b"").decode())
        self.assertTrue(made.active(NOW + 999))
        made.called(get(NOW + 810, mode="subscribe", topic=FEED, challenge="c", lease_seconds="1000"))
        self.assertTrue(made.active(NOW + 1809))

    def test_a_renewal_that_is_not_heard(self) -> None:
        """It is tried several times while the lease runs out; then polling is all there is, and it goes on trying."""
        made, now, tries = subscribed("1000"), NOW + 800, 0
        while made.active(now):
            tries += made.due(now) is not None
            now += 1
        self.assertGreaterEqual(tries, 5)
        self.assertFalse(made.active(NOW + 1000))
        self.assertLess(made.pause(now), 21_601)

    def test_another_hub_gets_another_secret(self) -> None:
        """The old hub's content means nothing any more."""
        made = subscribed()
        old = made.kept.secret
        made.discovered(["https://other.example.org/"], None, NOW + 5)
        self.assertFalse(made.active(NOW + 5))
        self.assertEqual("https://other.example.org/", asked(made, NOW + 5).url)
        self.assertNotEqual(old, made.kept.secret)

    def test_a_feed_that_lost_its_hub(self) -> None:
        """Its lease is used up, and not renewed."""
        made = subscribed("1000")
        made.discovered([], None, NOW + 5)
        self.assertTrue(made.active(NOW + 900))
        self.assertIsNone(made.due(NOW + 2000))

    def test_hubs_that_cannot_be_used(self) -> None:
        """No secret in the clear, no request into our own network, no nonsense."""
        for hub in (
            "http://hub.example.org/",
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://user@hub.example.org/",
            "https://hub.example.org:0/",
            "https://hub.example.org:x/",
            "https://[/",
            "ftp://hub.example.org/",
            "https://h.example.org/ä",
            "https://h.example.org/ a",
            "",
        ):
            made = subscription()
            made.discovered([hub], None, NOW)
            self.assertIsNone(made.due(NOW), hub)
        made.discovered(["http://a.example.org/", HUB], None, NOW)
        self.assertEqual(HUB, asked(made).url)

    def test_a_hub_beside_a_feed_of_this_machine(self) -> None:
        """Where the feed itself is here, so may be its hub."""
        made = subscription("http://127.0.0.1:8000/feed")
        made.discovered(["http://127.0.0.1:8001/"], None, NOW)
        self.assertEqual("http://127.0.0.1:8001/", asked(made).url)


class AnsweredTests(SynchronousTestCase):
    """What the hub says to the request."""

    def made(self) -> Subscription:
        """One that has asked."""
        made = subscription()
        made.discovered([HUB], None, NOW)
        asked(made)
        return made

    def test_refused(self) -> None:
        """After 4xx the hub is left in peace, and a verification that was not asked for is not wanted."""
        made = self.made()
        made.answered(Response(status=404, received=NOW, body=b"no such\x1b topic"), NOW)
        self.assertEqual("the hub answered 404: no such\ufffd topic", made.said)
        self.assertIsNone(made.due(NOW + AFTER_REFUSAL - 1))
        reply = made.called(get(mode="subscribe", topic=FEED, challenge="c"))
        self.assertEqual(Reply(status=404), reply)
        asked(made, NOW + AFTER_REFUSAL)

    def test_what_is_ours_alone_is_not_repeated(self) -> None:
        """Hubs quote what they refuse: callback, secret and the queries of feed and topic are struck out."""
        feed, topic = f"{FEED}?key=feed%20token&n=1", "https://example.org/self.xml?a=TopicToken&b=2"
        made = subscription(feed)
        made.discovered([HUB], topic, NOW)
        request = asked(made)
        said = (request.body or b"").decode()
        for text in (
            said,
            said.lower(),
            "x" * 900 + " " * 300 + said,
            f"<p>no {made.kept.path}, {made.kept.secret} {feed} {topic.replace('&', '&amp;')} feed token",
        ):
            made.answered(Response(status=400, received=NOW, body=f"no: {text}".encode()), NOW)
            self.assertIn("no: ", made.said)
            for word in (made.kept.path, made.kept.secret, "token"):
                self.assertNotIn(word.lower(), made.said.lower())
            made.failed(text)
            self.assertNotIn(made.kept.path, made.said)
        made.called(get(mode="denied", topic=topic, reason=f"{made.kept.path} is no good"))
        self.assertEqual("the hub denied the subscription: … is no good", made.said)
        odd = subscription()
        odd.discovered([HUB], "http://[self?a=TopicToken", NOW)
        asked(odd)
        odd.answered(Response(status=400, received=NOW, body=b"no TopicToken"), NOW)
        self.assertEqual("the hub answered 400: no …", odd.said)
        made.discovered(["http://hub.example/?token=x"], None, NOW)
        self.assertEqual("none of the feed's hubs can be used: http://hub.example/", made.said)

    def test_a_hub_that_never_verifies(self) -> None:
        """When it is asked again and has not called back, the operator is told, until it does."""
        made = self.made()
        made.answered(answer(202), NOW)
        self.assertEqual("", made.said)
        asked(made, NOW + 300)
        made.answered(answer(202), NOW + 301)
        self.assertIn("never calls back; can it reach https://us.example.org/hooks", made.said)
        self.assertNotIn(PATH, made.said)
        made.called(get(NOW + 302, mode="subscribe", topic=FEED, challenge="c", lease_seconds="1000"))
        self.assertEqual("", made.said)

    def test_overloaded(self) -> None:
        """`Retry-After` is kept to, where it is later."""
        made = self.made()
        made.answered(answer(503, retry_after="1000"), NOW)
        self.assertIsNone(made.due(NOW + 999))
        asked(made, NOW + 1000)

    def test_no_answer(self) -> None:
        """The request is made again, not at once."""
        made = self.made()
        made.failed("it is down")
        self.assertIsNone(made.due(NOW + 299))
        asked(made, NOW + 300)
        self.assertEqual("the hub did not answer: it is down", made.said)

    def test_sent_to_another_hub(self) -> None:
        """307 and 308 are followed, also relative ones, and stay so when the feed is read again."""
        made = self.made()
        made.answered(answer(308, location="/other"), NOW)
        self.assertEqual(f"{HUB}other", asked(made).url)
        made.answered(answer(202), NOW)
        made.discovered([HUB], None, NOW)
        self.assertIsNone(made.due(NOW))
        made.called(get(mode="subscribe", topic=FEED, challenge="c", lease_seconds="1000"))
        self.assertEqual(f"{HUB}other", asked(made, NOW + 800).url)

    def test_sent_round_in_circles(self) -> None:
        """Hubs that send us on and on, or to where no secret may go, refuse."""
        made = self.made()
        for _ in range(5):
            made.answered(answer(307, location="/round"), NOW)
            asked(made)
        made.answered(answer(307, location="/round"), NOW)
        self.assertIsNone(made.due(NOW + 1))
        made = self.made()
        made.answered(answer(307, location="http://127.0.0.1/"), NOW)
        self.assertIsNone(made.due(NOW + 1))
        made = self.made()
        made.answered(answer(307), NOW)
        self.assertIsNone(made.due(NOW + 1))


class CalledTests(SynchronousTestCase):
    """What the hub, or a stranger, wants from the callback."""

    def test_the_challenge_is_echoed(self) -> None:
        """Byte for byte, as what no browser would run."""
        made = subscription()
        made.discovered([HUB], None, NOW)
        asked(made)
        asked_about = urlencode({"hub.mode": "subscribe", "hub.topic": FEED})
        query = f"x=1&{asked_about}&hub.challenge=%ff%3Cscript%3E&hub.lease_seconds=500"
        reply = made.called(Posted(method="GET", query=query, headers={}, body=b"", received=NOW))
        self.assertEqual(
            Reply(
                status=200,
                headers={"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"},
                body=b"\xff<script>",
                wake=True,
            ),
            reply,
        )
        self.assertTrue(made.active(NOW + 499))
        self.assertFalse(made.active(NOW + 500))

    def test_what_was_not_asked_for(self) -> None:
        """Another topic, another mode, no challenge: 404, and nothing changes."""
        made = subscription()
        made.discovered([HUB], None, NOW)
        asked(made)
        for query in (
            {"mode": "subscribe", "topic": "https://example.org/", "challenge": "c"},
            {"mode": "unsubscribe", "topic": FEED, "challenge": "c"},
            {"mode": "subscribe", "topic": FEED},
            {"mode": "denied", "topic": "https://example.org/"},
            {},
        ):
            self.assertEqual(Reply(status=404), made.called(get(**query)))
        many = Posted(method="GET", query="a=1&" * 200, headers={}, body=b"", received=NOW)
        self.assertEqual(Reply(status=404), made.called(many))
        self.assertFalse(made.active(NOW))

    def test_odd_leases(self) -> None:
        """A lease of nonsense is the one asked for; too short or too long ones are bounded."""
        for written, seconds in (("", LEASE), ("soon", LEASE), ("-5", LEASE), ("1", 60), ("9" * 15, 31_536_000)):
            made = subscribed(written)
            self.assertEqual(NOW + seconds, made.kept.until, written)

    def test_denied(self) -> None:
        """The hub may end it at any time; later it is asked again."""
        made = subscribed()
        reply = made.called(get(mode="denied", topic=FEED, reason="too many\nof you"))
        self.assertEqual(Reply(status=200, wake=True), reply)
        self.assertEqual("the hub denied the subscription: too many of you", made.said)
        self.assertFalse(made.active(NOW))
        self.assertEqual(Reply(status=410), made.called(post(b"x", "sha1=00")))
        asked(made, NOW + AFTER_REFUSAL)

    def test_signed_content(self) -> None:
        """Every method of the recommendation is understood."""
        made = subscribed()
        for method in ("sha1", "sha256", "sha384", "sha512"):
            said = made.called(post(b"<feed/>", signature(made, b"<feed/>", method)))
            self.assertEqual(Content(b"<feed/>", "application/atom+xml"), said)
        said = made.called(post(b"<feed/>", signature(made, b"<feed/>").upper().replace("SHA256", "sha256")))
        self.assertIsInstance(said, Content)

    def test_content_with_a_wrong_signature(self) -> None:
        """It is ignored and counted; the hub, or whoever it is, is told nothing."""
        made = subscribed()
        good = signature(made, b"<feed/>")
        for wrong in (
            "",
            "sha256=",
            "md5=00",
            good[:-1],
            good.replace("sha256", "sha1"),
            "sha256=ä",
            "=",
            "\udc00=\udc00",
        ):
            self.assertEqual(Reply(status=202), made.called(post(b"<feed/>", wrong)))
        self.assertEqual(8, made.unsigned)
        self.assertEqual(Reply(status=202), made.called(post(b"<feed>", good)))

    def test_content_that_nobody_asked_for(self) -> None:
        """Who never subscribed says that it is gone, so that the hub stops."""
        self.assertEqual(Reply(status=410), subscription().called(post(b"x", "")))

    def test_content_while_the_lease_is_over(self) -> None:
        """A good signature is enough: hubs and we need not agree on the second."""
        made = subscribed("60")
        said = made.called(post(b"x", signature(made, b"x"), NOW + 100))
        self.assertIsInstance(said, Content)

    @given(st.text(), st.sampled_from(["GET", "POST"]), st.text(), st.binary())
    def test_whatever_is_sent(self, query: str, method: str, written: str, body: bytes) -> None:
        """A stranger gets a reply and changes nothing."""
        made = subscribed()
        before = made.kept
        said = made.called(
            Posted(method=method, query=query, headers={"x-hub-signature": written}, body=body, received=NOW)
        )
        self.assertIsInstance(said, Reply)
        self.assertEqual(before, made.kept)


class KeptTests(SynchronousTestCase):
    """What outlives the process."""

    def test_a_restart_keeps_the_subscription(self) -> None:
        """Callback, secret and lease are those of before; content goes on to be taken."""
        before = subscribed("1000")
        written = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(before.kept)))
        made = subscription(kept=restored(written, lambda: "x"))
        self.assertEqual(before.kept, made.kept)
        self.assertTrue(made.active(NOW + 10))
        self.assertIsInstance(made.called(post(b"x", signature(before, b"x"))), Content)
        self.assertIsNone(made.due(NOW + 10))
        asked(made, NOW + 800)

    def test_nonsense_makes_a_new_one(self) -> None:
        """What cannot be read is forgotten."""
        for written in (None, 5, {}, {"path": 5}, {"path": "short"}, {"path": "a/b" * 10}, {"path": "p" * 101}):
            self.assertEqual(Kept("new"), restored(written, lambda: "new"))

    def test_secrets_do_not_show(self) -> None:
        """Neither path nor secret is in what a log would write."""
        made = subscribed()
        self.assertNotIn(PATH, repr(made.kept))
        self.assertNotIn(made.kept.secret, repr(made.kept))


class SignedTests(SynchronousTestCase):
    """The signature alone."""

    def test_a_known_one(self) -> None:
        """HMAC over the raw body."""
        digest = hmac.new(b"s", b"body", hashlib.sha1).hexdigest()
        self.assertTrue(signed("s", f" sha1={digest} ", b"body"))
        self.assertFalse(signed("t", f"sha1={digest}", b"body"))
