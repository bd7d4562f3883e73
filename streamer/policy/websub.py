# -*- test-case-name: tests.unit.test_policy_websub -*-
"""One subscription at a WebSub hub, from its discovery to its renewals: https://www.w3.org/TR/websub/

    discovered → due: a request for the hub → answered: 202 → called: the hub verifies → the lease → due again, …

It only says what to ask and what to answer; asking, polling and listening are the matter of `net`. Whatever goes
wrong, the feed is still there to be polled. A subscription is known by its path, which nobody can guess, and its
secret signs what the hub sends; both are in `Kept`, so that it outlives our process.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from html import escape
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urljoin, urlsplit

import attrs
import msgspec

from streamer.asks import Posted, Reply
from streamer.policy.backoff import doubling, retry_after
from streamer.policy.private import is_private
from streamer.policy.transport import is_loopback
from streamer.upstream import Request, Response, brief

LEASE = 864_000  # seconds that we ask for: ten days, as the recommendation suggests; the hub decides
LEASE_LEAST = 60  # seconds; a shorter one is taken for this, or we would do nothing but renew
LEASE_MOST = 31_536_000  # seconds; a longer one is renewed once a year all the same
RENEW_AT = 0.8  # of a lease
PATIENCE = doubling(300, 21_600)  # seconds from one request to the next, where no verification follows
HURRY_LEAST = 5.0  # seconds from one renewal to the next, while a lease is running out
AFTER_REFUSAL = 21_600.0  # seconds from a hub's no to the next request
HOPS = 5  # hubs in a row that send us to another one
UNHEARD = 2  # requests without a verification after which it is said
UNVERIFIED = "the hub takes the subscription and never calls back; can it reach {} and what is below?"
SAID_LIMIT = 20_000  # bytes of a hub's answer that are looked at
STRUCK_LEAST = 6  # characters of a value in a query that are not shown; a shorter one is no secret
URL_LIMIT = 2_000  # characters of a hub's or a topic's address
SIGNATURES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_PATH = re.compile(r"[A-Za-z0-9_-]{20,100}")
_NOT_FOUND = Reply(status=404)


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subscription as it is kept; times in seconds since the epoch.

    Args:
        path: of the callback; 43 characters that nobody can guess.
        secret: of the signatures of this hub.
        hub: that the feed names.
        sent_to: the hub that this one sent us to.
        until: when the lease ends; 0 without one.
        next: when to ask the hub, or to ask it again.
        tries: requests since the hub last verified one.
        refused: the hub said no, and was not asked again since.
    """

    path: str
    secret: str = ""
    hub: str = ""
    sent_to: str = ""
    topic: str = ""
    until: float = 0.0
    next: float = 0.0
    tries: int = 0
    refused: bool = False

    def __repr__(self) -> str:
        """Without path and secret."""
        return f"Kept({self.hub} {self.topic})"


class Content(msgspec.Struct, frozen=True):
    """What a hub distributes, its signature checked: all of the topic or what is new; `reply` is owed to the hub."""

    body: bytes
    content_type: str
    reply: Reply = Reply(status=202)


@attrs.define(eq=False)
class Subscription:
    """The subscription of one feed.

    Args:
        feed: the URL that is polled; only one on this machine may have its hub here.
        callbacks: the public URL that hooks are below, as "https://example.org/hooks".
        fresh: a new word that nobody can guess, as `secrets.token_urlsafe(32)`.
        kept: see `restored`.

    Attributes:
        unsigned: contents that were ignored because their signature was wrong or missing.
        said: what became of the last request, a sentence for the operator; empty where all is well.
    """

    feed: str
    callbacks: str
    fresh: Callable[[], str]
    kept: Kept
    unsigned: int = 0
    said: str = ""
    _offered: bool = True  # the feed names a hub; believed until it was read
    _hops: int = 0

    def discovered(self, hubs: Sequence[str], topic: str | None, now: float) -> None:
        """The feed was read: what it names as its hubs, and as itself (`rel="self"`), relative URLs made absolute.

        Where it names none, the lease it has is used up, and no other asked for.
        """
        usable = [hub for hub in hubs if _usable(hub, self.feed)]
        if not (topic and topic.isascii() and topic.isprintable() and len(topic) <= URL_LIMIT):
            topic = self.feed
        self._offered = bool(usable)
        if not self._offered:
            if hubs:
                shown = ", ".join(hub.partition("?")[0] for hub in hubs)
                self.said = f"none of the feed's hubs can be used: {brief(shown)}"
            return
        if self.kept.topic == topic and self.kept.hub in usable:
            return
        self.kept = Kept(self.kept.path, self.fresh(), usable[0], topic=topic, next=now)
        self._hops = 0

    def due(self, now: float) -> Request | None:
        """The request that is to be made now; None while there is none. It counts as made."""
        kept = self.kept
        if not (self._offered and kept.hub) or now < kept.next:
            return None
        pause = PATIENCE(kept.tries + 1)
        if self.active(now):
            pause = max(HURRY_LEAST, min(pause, (kept.until - now) / 3))
        self.kept = msgspec.structs.replace(kept, next=now + pause, tries=kept.tries + 1, refused=False)
        form = {
            "hub.callback": f"{self.callbacks.rstrip('/')}/{kept.path}",
            "hub.mode": "subscribe",
            "hub.topic": kept.topic,
            "hub.lease_seconds": str(LEASE),
            "hub.secret": kept.secret,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(
            method="POST", url=kept.sent_to or kept.hub, headers=headers, body=urlencode(form).encode("ascii")
        )

    def failed(self, detail: str) -> None:
        """The request of `due` got no answer; it may have arrived all the same."""
        self.kept = msgspec.structs.replace(self.kept, sent_to="")
        self.said = f"the hub did not answer: {_struck(detail, self.kept, self.feed)}"

    def answered(self, response: Response, now: float) -> None:
        """What the hub said to the request of `due`; when it takes it, `called` hears the rest."""
        status = response.status
        if 200 <= status < 300:
            unheard = self.kept.tries >= UNHEARD and not self.active(now)
            self.said, self._hops = UNVERIFIED.format(self.callbacks) if unheard else "", 0
            return
        text = brief(_struck(response.body[:SAID_LIMIT].decode("utf-8", "replace"), self.kept, self.feed))
        self.said = f"the hub answered {status}: {text}"
        if status in (307, 308):
            self._move(response.headers.get("location", ""), now)
            return
        asked = retry_after(response.headers.get("retry-after"), now) or 0.0
        if status >= 500 or status == 429:
            self.kept = msgspec.structs.replace(
                self.kept, next=max(self.kept.next, now + min(asked, AFTER_REFUSAL)), sent_to=""
            )
        else:
            self._refused(now, asked)

    def called(self, posted: Posted) -> Reply | Content:
        """Somebody called the callback, by GET or POST."""
        return self._delivered(posted) if posted.method == "POST" else self._verified(posted)

    def active(self, now: float) -> bool:
        """Whether new content comes by itself."""
        return now < self.kept.until

    def pause(self, now: float) -> float:
        """Seconds until something is due; `inf` where nothing will be."""
        if not (self._offered and self.kept.hub):
            return float("inf")
        ends = [self.kept.next, self.kept.until] if self.active(now) else [self.kept.next]
        return max(0.0, min(ends) - now)

    def _verified(self, posted: Posted) -> Reply:
        """The hub asks whether we want this, or says that it does not."""
        try:
            # What is no UTF-8 comes back byte for byte.
            rows = parse_qsl(posted.query, keep_blank_values=True, errors="surrogateescape", max_num_fields=100)
        except ValueError:
            return _NOT_FOUND
        query, kept = dict(reversed(rows)), self.kept
        mode, challenge = query.get("hub.mode"), query.get("hub.challenge", "")
        if not kept.hub or query.get("hub.topic") != kept.topic:
            return _NOT_FOUND
        if mode == "denied":
            why = _safe(_struck(query.get("hub.reason", ""), kept, self.feed))
            self.said = f"the hub denied the subscription: {why}"
            self._refused(posted.received, 0.0)
            return Reply(status=200, wake=True)
        if mode != "subscribe" or kept.refused or not challenge:
            return _NOT_FOUND
        lease = _lease(query.get("hub.lease_seconds", ""))
        until, renew = posted.received + lease, posted.received + RENEW_AT * lease
        self.kept = msgspec.structs.replace(kept, until=until, next=renew, tries=0)
        self.said = ""
        headers = {"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"}
        return Reply(status=200, headers=headers, body=challenge.encode("utf-8", "surrogateescape"), wake=True)

    def _delivered(self, posted: Posted) -> Reply | Content:
        """The hub brings content. With a good signature it is ours, whatever became of the lease."""
        if self.kept.secret and signed(self.kept.secret, posted.headers.get("x-hub-signature", ""), posted.body):
            return Content(posted.body, posted.headers.get("content-type", ""))
        self.unsigned += 1
        gone = not self.kept.hub or (self.kept.refused and not self.active(posted.received))
        return Reply(status=410 if gone else 202)

    def _move(self, location: str, now: float) -> None:
        hub = urljoin(self.kept.sent_to or self.kept.hub, location) if location else ""
        self._hops += 1
        if not _usable(hub, self.feed) or self._hops > HOPS:
            self._hops = 0
            self.said += " It leads to no hub that can be used."
            self._refused(now, 0.0)
        else:
            self.kept = msgspec.structs.replace(self.kept, sent_to=hub, next=now)

    def _refused(self, now: float, asked: float) -> None:
        self.kept = msgspec.structs.replace(
            self.kept, until=0.0, next=now + max(AFTER_REFUSAL, asked), refused=True, sent_to=""
        )


def restored(written: object, fresh: Callable[[], str]) -> Kept:
    """What `msgspec.to_builtins` made of a `Kept`, back again; a new one where it is none."""
    try:
        kept = msgspec.convert(written, Kept)
    except msgspec.ValidationError:
        return Kept(fresh())
    return kept if _PATH.fullmatch(kept.path) else Kept(fresh())


def signed(secret: str, signature: str, body: bytes) -> bool:
    """Whether a signature such as `sha256=9f86…` is that of a body; compared in constant time."""
    method, _, digest = signature.strip().partition("=")
    algorithm = SIGNATURES.get(method.lower())
    if algorithm is None:
        return False
    expected = hmac.new(secret.encode(), body, algorithm).hexdigest()
    return hmac.compare_digest(expected.encode(), digest.strip().lower().encode("utf-8", "surrogatepass"))


def _lease(written: str) -> float:
    """The hub's lease; of nonsense, what we asked for."""
    number = int(written) if written.isascii() and written.isdecimal() and len(written) < 16 else LEASE
    return float(min(max(number, LEASE_LEAST), LEASE_MOST))


def _struck(text: str, kept: Kept, feed: str) -> str:
    """What a stranger said, without what is ours alone: hubs repeat the request that they refuse."""
    queries = [url.partition("?")[2].partition("#")[0] for url in (feed, kept.topic)]
    secrets = {kept.path, kept.secret, *queries}
    for query in queries:
        secrets.update(value for _, value in parse_qsl(query, errors="replace") if len(value) >= STRUCK_LEAST)
    forms = {form for word in secrets if word for form in (word, quote(word), quote_plus(word), escape(word))}
    return re.sub("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), "…", text, flags=re.IGNORECASE)


def _safe(text: str) -> str:
    return brief(text.encode("utf-8", "replace").decode("utf-8"))


def _usable(hub: str, feed: str) -> bool:
    """A hub is told the secret, so not in the clear; and no stranger's feed may send us into our own network."""
    try:
        parts = urlsplit(hub)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or port == 0 or len(hub) > URL_LIMIT or not hub.isascii() or not hub.isprintable() or " " in hub:
        return False
    if parts.username is not None or (is_private(host) and not is_private(urlsplit(feed).hostname or "")):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
