# -*- test-case-name: tests.unit.test_sources_github -*-
"""GitHub's events: what is asked for, and what one of them means."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.activity import Activity
from streamer.asks import Poll
from streamer.errors import DecodeError
from streamer.events import change, delete, gap, post
from streamer.hydrators.author import AuthorHydrator
from streamer.hydrators.entities import EntitiesHydrator
from streamer.hydrators.geo import GeoHydrator
from streamer.interfaces import IFramer, ISource, ISourceType
from streamer.message import Item
from streamer.policy import backoff
from streamer.secrets import Secret
from streamer.sources import github_asking
from streamer.sources.github import GitHub, Predicates, Settings, github
from streamer.sources.github_polling import Known
from streamer.sources.github_types import KINDS
from streamer.upstream import Ending, Mark, Missed, Prepared, Response, Resume

NOW = 1_700_000_000_000
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "github" / "simdjson-github_events.json"
SHA = "a" * 40
BASE = "b" * 40
PUSH: dict[str, Any] = {
    "id": "40000063023",
    "type": "PushEvent",
    "actor": {"id": 7, "login": "jack", "display_login": "jack"},
    "repo": {"id": 9, "name": "birds/kakapo"},
    "payload": {
        "ref": "refs/heads/main",
        "head": SHA,
        "before": BASE,
        "commits": [{"message": "Feed it\n\nMore."}, {"message": "Fix"}],
    },
    "created_at": "2023-11-14T22:13:19Z",
}


def source(**settings: Any) -> GitHub:
    """A source of the real service."""
    return github.build("hub", Settings(**settings))


def of(which: str) -> GitHub:
    """A source of these events."""
    return source(predicates=Predicates(of=which))


def made(body: bytes) -> Item:
    """The item of an event."""
    (item,) = source().outcomes(body, NOW)
    assert isinstance(item, Item)
    return item


def decoded(**fields: Any) -> Activity:
    """The activity of a push with other fields; those that are None are left out."""
    event = {key: value for key, value in {**PUSH, **fields}.items() if value is not None}
    return source().decode(made(json.dumps(event).encode()))


def told(kind: str, payload: Any) -> Activity:
    """The activity of another type."""
    return decoded(type=f"{kind}Event", payload=payload)


class SettingsTests(SynchronousTestCase):
    """What can be asked for."""

    def test_interfaces(self) -> None:
        """It is a source, made by a source type."""
        verifyObject(ISourceType, github)
        verifyObject(ISource, source())
        verifyObject(IFramer, source().framer())
        with self.assertRaises(StopIteration) as done:
            next(source().prepare(False))
        self.assertEqual(Prepared(), done.exception.value)
        self.assertIsNone(source().recovery(1, 2, None))
        self.assertEqual(math.inf, source().stall_after)

    def test_lists(self) -> None:
        """Each list has its path; of a user only what is public."""
        for which, path in (
            ("public", "/events"),
            ("orgs/twisted", "/orgs/twisted/events"),
            ("repos/twisted/twisted.web", "/repos/twisted/twisted.web/events"),
            ("networks/twisted/twisted", "/networks/twisted/twisted/events"),
            ("users/jack_corp", "/users/jack_corp/events/public"),
            ("users/jack/received", "/users/jack/received_events/public"),
        ):
            self.assertEqual(f"https://api.github.com{path}?per_page=100", of(which).asking.url)

    def test_no_lists(self) -> None:
        """What names none is refused, with what could be meant."""
        for wrong in ("", "all", "orgs/", "orgs/a/b", "repos/a", "repos/a/..", "repos/../x", "repos/a/b/c",
                      "users/a b", "users/a?x=1", "networks/a", "orgs/-a", "public/", "repos/a/b\n"):  # fmt: skip
            with self.assertRaisesRegex(ValueError, "repos/OWNER/REPOSITORY"):
                of(wrong)
            with self.assertRaisesRegex(ValueError, "names no events"):
                source().with_predicates(Predicates(of=wrong))

    def test_predicates(self) -> None:
        """Another list is another source of the same name."""
        other = source().with_predicates(Predicates(of="orgs/twisted"))
        self.assertEqual((1, 0), (source().changes(other), other.changes(other)))
        self.assertEqual("/orgs/twisted/events", other.asking.path)

    def test_token(self) -> None:
        """It goes into a header and nowhere else."""
        made = source(token=Secret("ghp_x"))
        asked = made.asking.request(made.asking.url, 'W/"a"')
        self.assertEqual(("Bearer ghp_x", 'W/"a"'), (asked.headers["Authorization"], asked.headers["If-None-Match"]))
        self.assertEqual("application/vnd.github+json", asked.headers["Accept"])
        self.assertNotIn("ghp_x", repr(made) + repr(asked) + made.credential)
        self.assertNotIn("Authorization", source().asking.request("x").headers)
        with self.assertRaisesRegex(ValueError, "token"):
            source(token=Secret("a b"))

    def test_together(self) -> None:
        """GitHub counts by token; sources do not cut each other off."""
        first, second = source(token=Secret("a")), github.build("more", Settings(token=Secret("a")))
        self.assertEqual(first.credential, second.credential)
        self.assertNotEqual(first.lane, second.lane)
        self.assertNotEqual(first.credential, source().credential)

    def test_web(self) -> None:
        """Where people look at it: beside the API, wherever that is."""
        for base, web in (
            ("https://api.github.com", "https://github.com"),
            ("http://127.0.0.1:8080", "https://github.com"),
            ("https://api.birds.ghe.com", "https://birds.ghe.com"),
            ("https://hub.example/api/v3", "https://hub.example"),
        ):
            self.assertEqual(web, github_asking.web_of(base))


class ResumeTests(SynchronousTestCase):
    """Where a new process goes on."""

    def test_replays(self) -> None:
        """With a mark it sees by itself what it missed, up to a month; without, all until now is missed."""
        mark = Known("/events", ("1", "2")).mark().cursor
        for resume, expected in (
            (None, None),
            (Resume(received=NOW - 5_000, cursor=mark), NOW - 15_000),
            (Resume(received=NOW - 40 * 86_400_000, cursor=mark), NOW - 30 * 86_400_000),
            (Resume(received=NOW - 5_000), None),
            (Resume(received=NOW - 5_000, cursor="nonsense"), None),
            (Resume(received=NOW - 5_000, cursor=Known("/orgs/x/events").mark().cursor), None),
        ):
            asked = source().request(resume, NOW)
            assert isinstance(asked, Poll)
            self.assertEqual(expected, asked.replays_from, resume)

    def test_words_pass(self) -> None:
        """What the polls say themselves passes `outcomes`."""
        for word in (Mark("x"), Missed(start=1, end=2)):
            self.assertEqual([word], source().outcomes(word, NOW))


class RefusalTests(SynchronousTestCase):
    """What answers other than 200 and 304 mean."""

    def refusal(self, status: int, body: bytes = b"", **headers: str) -> Ending:
        """What this one means."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return source().refusal(Response(status=status, received=NOW / 1000, body=body, headers=named))

    def test_causes(self) -> None:
        """By status."""
        for status, cause in (
            (401, backoff.AUTHORISATION), (403, backoff.AUTHORISATION), (404, backoff.REFUSED), (422, backoff.REFUSED),
            (429, backoff.RATE_LIMIT), (500, backoff.HTTP), (502, backoff.HTTP), (503, backoff.HTTP),
        ):  # fmt: skip
            self.assertEqual(cause, self.refusal(status).cause, status)
        self.assertIn("token may not see", self.refusal(404).detail)

    def test_limits(self) -> None:
        """The limit of an hour ends when it says; the secondary one after `Retry-After`; else the back-off decides."""
        reset = str(NOW // 1000 + 600)
        for status in (403, 429):
            spent = self.refusal(status, x_ratelimit_remaining="0", x_ratelimit_reset=reset)
            self.assertEqual((backoff.RATE_LIMIT, 601), (spent.cause, spent.retry_after))
            secondary = self.refusal(status, retry_after="30", x_ratelimit_remaining="55", x_ratelimit_reset=reset)
            self.assertEqual((backoff.RATE_LIMIT, 30), (secondary.cause, secondary.retry_after))
            worded = self.refusal(status, b'{"message":"You have exceeded a secondary rate limit."}')
            self.assertEqual((backoff.RATE_LIMIT, None), (worded.cause, worded.retry_after))

    def test_odd_headers(self) -> None:
        """Nonsense in a header is as if it were not there."""
        for headers in (
            {"x_ratelimit_remaining": "none"},
            {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "soon"},
        ):
            self.assertEqual(backoff.AUTHORISATION, self.refusal(403, **headers).cause)
        far = self.refusal(403, x_ratelimit_remaining="0", x_ratelimit_reset="99999999999")
        self.assertEqual(3600, far.retry_after)


class LinkTests(SynchronousTestCase):
    """The next page."""

    def next(self, link: str) -> str | None:
        """What the header says."""
        response = Response(status=200, received=0.0, headers={"link": link})
        return github_asking.next_page(response, "https://api.github.com/events?per_page=100")

    def test_found(self) -> None:
        """Whatever stands before or after it."""
        page = "https://api.github.com/events?page=2"
        for link in (
            f'<{page}>; rel="next"',
            f'<https://x.example/?a=1,2>; rel="last", <{page}>; rel="next"',
            f"<{page}>;rel=next",
            f'<{page}>; title="b"; rel="next"',
            '</events?page=2>; rel="next"',
        ):
            self.assertEqual(page, self.next(link), link)

    def test_none(self) -> None:
        """Where there is none."""
        for link in ("", '<https://x.example/>; rel="last"', "<>", '; rel="next"', '<x>; rel="nextly"'):
            self.assertIsNone(self.next(link), link)

    def test_own(self) -> None:
        """Only the API's own host, by the same scheme and port, may be asked with our token."""
        asking = source().asking
        self.assertTrue(asking.own("https://api.github.com/repositories/1/events"))
        self.assertTrue(asking.own("https://api.github.com:443/x"))
        for other in ("http://api.github.com/", "https://api.github.com.evil.example/", "https://api.github.com:8443/",
                      "https://evil.example/?https://api.github.com", "//api.github.com/", "", "https://[",
                      "https://api.github.com/ü",
                      "https://api.github.com@evil.example/", "javascript:1",
                      "https://api.github.com/ x"):  # fmt: skip
            self.assertFalse(asking.own(other), other)


class ItemTests(SynchronousTestCase):
    """An event as an item."""

    def test_item(self) -> None:
        """Named by its id, a string of digits; in order with its author's."""
        body = json.dumps(PUSH).encode()
        item = made(body)
        self.assertEqual(("push", "40000063023", "7", body), (item.kind, item.id, item.partition, item.body))
        self.assertEqual(1_699_999_999_000, source().posted(item))
        item.message()

    def test_ids(self) -> None:
        """A number will do; without one the bytes give it, the same each time."""
        self.assertEqual("12", made(json.dumps({**PUSH, "id": 12}).encode()).id)
        for id_ in (None, "", [], True, 1.5, "a b", "x" * 99):
            body = json.dumps({**PUSH, "id": id_}).encode()
            self.assertRegex(made(body).id, "^sha256-[0-9a-f]{32}$")
            self.assertEqual(made(body).id, made(body).id)

    def test_kinds(self) -> None:
        """By type; none that means something to posts, and one word for types that nobody knows."""
        for kind, expected in (("PullRequestReviewComment", "pull-request-review-comment"), ("Delete", "delete-ref"),
                               ("Gap", "event"), ("", "event"), ("Post", "event")):  # fmt: skip
            self.assertEqual(expected, made(json.dumps({**PUSH, "type": f"{kind}Event"}).encode()).kind)
        self.assertEqual(set(), github.kinds & {"post", "edit", "delete", "gap", "limit", "scrub", "withheld"})

    def test_unreadable(self) -> None:
        """What is no object, or has no type, is no event."""
        for body in (b"", b"[]", b"{}", b'{"x":""}', b"7", b'{"type":7}', b"\xff", b"[" * 9_999, b'{"type":'):
            with self.assertRaises(DecodeError):
                source().outcomes(body, NOW)

    @given(st.dictionaries(st.sampled_from([*PUSH, "repository", "org"]),
                           st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                                            st.sampled_from(["login", "id", "name", "title", "commits", "ref",
                                                             "action",
                                                             "issue", "pages", "html_url", "owner", "pull_request"]),
                                            inner, max_size=4), max_leaves=6)),
           st.sampled_from(sorted(KINDS)))  # fmt: skip
    def test_any_fields(self, fields: dict[str, Any], kind: str) -> None:
        """No field but the type costs the item, whatever is in it."""
        item = made(json.dumps({**PUSH, **fields, "type": f"{kind}Event"}).encode())
        item.message()
        source().posted(item)
        event = change.change.derive(source().decode(item), NOW)
        assert event is not None
        event.message()

    @given(st.binary(max_size=60))
    def test_any_bytes(self, body: bytes) -> None:
        """Only the documented exception."""
        try:
            made(body)
        except DecodeError:
            pass


class DecodeTests(SynchronousTestCase):
    """What each type says."""

    def test_push(self) -> None:
        """Branch, comparison, the commits' subjects."""
        found = decoded()
        self.assertEqual(("push", "birds/kakapo", "main"), (found.action, found.scope, found.title))
        self.assertEqual(f"https://github.com/birds/kakapo/compare/{BASE}...{SHA}", found.url)
        self.assertEqual(("Feed it\nFix", 1_699_999_999_000), (found.text, found.created))
        assert found.author is not None
        self.assertEqual(
            ("7", "jack", "https://github.com/jack"), (found.author.id, found.author.handle, found.author.url)
        )

    def test_trimmed_push(self) -> None:
        """Without commits, or of a new branch, what is left is told."""
        found = decoded(payload={"ref": "refs/tags/v1", "head": SHA, "before": "0" * 40})
        self.assertEqual(
            ("v1", f"https://github.com/birds/kakapo/commit/{SHA}", None), (found.title, found.url, found.text)
        )
        found = decoded(payload=None)
        self.assertEqual(("birds/kakapo", "https://github.com/birds/kakapo"), (found.title, found.url))

    def test_refs(self) -> None:
        """Branches and tags come and go; so do repositories."""
        found = told("Create", {"ref": "a/b", "ref_type": "branch", "description": "all birds"})
        self.assertEqual(("create-ref", "a/b", "https://github.com/birds/kakapo/tree/a/b", ("branch",), "all birds"),
                         (found.action, found.title, found.url, found.tags, found.text))  # fmt: skip
        found = told("Create", {"ref": None, "ref_type": "repository"})
        self.assertEqual(("birds/kakapo", ("repository",)), (found.title, found.tags))
        found = told("Delete", {"ref": "a/b", "ref_type": "branch"})
        self.assertEqual(("delete-ref", "delete-ref", "a/b"), (found.kind, found.action, found.title))

    def test_numbered(self) -> None:
        """Issues, pull requests and discussions, with what was said of them."""
        issue = {
            "number": 5,
            "title": "It sings",
            "body": "at night",
            "html_url": "https://github.com/birds/kakapo/issues/5",
        }
        found = told("Issues", {"action": "opened", "issue": issue})
        self.assertEqual(("issues", "It sings", issue["html_url"], "at night", ("opened",)),
                         (found.action, found.title, found.url, found.text, found.tags))  # fmt: skip
        self.assertIsNone(told("Issues", {"action": "closed", "issue": issue}).text)
        comment = {"html_url": f"{issue['html_url']}#c1", "body": "so it does"}
        found = told("IssueComment", {"action": "created", "issue": issue, "comment": comment})
        self.assertEqual(("It sings", comment["html_url"], "so it does"), (found.title, found.url, found.text))
        found = told("PullRequest", {"action": "closed", "pull_request": {"number": 6, "merged": True}})
        self.assertEqual(
            ("#6", "https://github.com/birds/kakapo/pull/6", ("merged",)), (found.title, found.url, found.tags)
        )
        review = {"state": "approved", "body": "fine", "html_url": "https://github.com/r"}
        found = told("PullRequestReview", {"action": "created", "review": review, "pull_request": {"number": 6}})
        self.assertEqual(("#6", "https://github.com/r", "fine", ("created", "approved")),
                         (found.title, found.url, found.text, found.tags))  # fmt: skip
        found = told(
            "PullRequestReviewComment", {"action": "created", "comment": comment, "pull_request": {"title": "T"}}
        )
        self.assertEqual(("T", "so it does"), (found.title, found.text))
        found = told("Discussion", {"action": "created", "discussion": {"number": 8, "title": "Why", "body": "?"}})
        self.assertEqual(
            ("Why", "https://github.com/birds/kakapo/discussions/8", "?"), (found.title, found.url, found.text)
        )

    def test_others(self) -> None:
        """Each says what it is about."""
        for kind, payload, title, url, text in (
            ("Release", {"action": "published", "release": {"name": "One", "tag_name": "v 1", "body": "new"}},
             "One", "https://github.com/birds/kakapo/releases/tag/v%201", "new"),
            ("Watch", {"action": "started"}, "birds/kakapo", "https://github.com/birds/kakapo", None),
            ("Public", {}, "birds/kakapo", "https://github.com/birds/kakapo", None),
            ("Fork", {"forkee": {"full_name": "a/b", "html_url": "https://github.com/a/b", "description": "d"}},
             "a/b", "https://github.com/a/b", "d"),
            ("Gollum", {"pages": [{"title": "Home", "action": "edited", "html_url": "https://github.com/w"}]},
             "Home", "https://github.com/w", "edited Home"),
            ("CommitComment", {"comment": {"commit_id": SHA, "body": "hm", "html_url": "https://github.com/c"}},
             SHA[:10], "https://github.com/c", "hm"),
            ("Member", {"action": "added", "member": {"login": "ann"}},
             "ann", "https://github.com/birds/kakapo", None),
            ("Gist", {"gist": {"description": "d", "html_url": "https://gist.github.com/1"}},
             "birds/kakapo", "https://gist.github.com/1", "d"),
            ("Follow", {"target": {"login": "ann"}}, "ann", "https://github.com/birds/kakapo", None),
            ("Sparkle", {"x": 1}, "birds/kakapo", "https://github.com/birds/kakapo", None),
        ):  # fmt: skip
            found = told(kind, payload)
            self.assertEqual((title, url, text), (found.title, found.url, found.text), kind)
            self.assertTrue(found.action)
        self.assertEqual("SparkleEvent", told("Sparkle", {}).action)

    def test_old_archives(self) -> None:
        """Those of 2012: the actor a name, the repository elsewhere, commits as rows, times with slashes."""
        found = decoded(actor="jack", repo=None, repository={"owner": "birds", "name": "kakapo"}, id=None,
                        payload={"ref": "refs/heads/x", "head": SHA, "shas": [[SHA, "a@b.c", "Old\nnews", "Jack"]]},
                        created_at="2012/04/01 10:00:00 -0700")  # fmt: skip
        assert found.author is not None
        self.assertEqual(("birds/kakapo", "jack", "Old"), (found.scope, found.author.id, found.text))
        self.assertEqual(1_333_299_600_000, found.created)

    def test_bots(self) -> None:
        """A bot's page is that of its app."""
        found = decoded(actor={"id": 1, "login": "dependabot[bot]"})
        assert found.author is not None
        self.assertEqual("https://github.com/apps/dependabot", found.author.url)

    def test_hostile(self) -> None:
        """Texts are bounded, names one line, addresses of the web only."""
        issue = {"title": "a\n\x00b" * 999, "body": "x" * 99_999, "html_url": "javascript:alert(1)", "number": 3}
        found = told("Issues", {"action": "opened", "issue": issue})
        assert found.title is not None
        assert found.text is not None
        self.assertEqual((300, 5_000), (len(found.title), len(found.text)))
        self.assertNotIn("\n", found.title)
        self.assertEqual("https://github.com/birds/kakapo/issues/3", found.url)
        body = json.dumps(PUSH).replace("jack", r"\ud800").encode()
        event = change.change.derive(source().decode(made(body)), NOW)
        assert event is not None
        json.loads(event.message().body)


class RecordedTests(SynchronousTestCase):
    """What the code makes of what GitHub really sent."""

    def setUp(self) -> None:
        if not RECORDED.is_file():
            pytest.skip(f"the recorded events are not at {RECORDED}")
        self.rows = json.loads(RECORDED.read_bytes())
        self.items = [made(json.dumps(row).encode()) for row in self.rows]

    def test_through_the_chain(self) -> None:
        """Each becomes a change, with actor, place, time, title and address, and nothing else."""
        kinds = (post.post, delete.delete, gap.gap, change.change)
        for item, row in zip(self.items, self.rows, strict=True):
            activity = source().decode(item)
            activity = GeoHydrator().hydrate(AuthorHydrator().hydrate(EntitiesHydrator().hydrate(activity)))
            (event,) = [event for kind in kinds if (event := kind.derive(activity, NOW)) is not None]
            written = json.loads(event.message().body)
            data = written["data"]
            self.assertEqual("streamer.change", written["type"])
            self.assertEqual(f"change:{row['id']}", written["id"])
            self.assertEqual((row["repo"]["name"], row["actor"]["login"]), (data["scope"], data["actor"]["handle"]))
            self.assertEqual(row["created_at"].replace("Z", ".000Z"), data["created"])
            self.assertTrue(data["title"])
            self.assertTrue(data["url"].startswith("https://github.com/"), data["url"])

    def test_summaries(self) -> None:
        """Pushes tell their commits, comments what was said."""
        for item, row in zip(self.items, self.rows, strict=True):
            text = source().decode(item).text
            if row["type"] == "PushEvent":
                self.assertEqual(len(row["payload"]["commits"]), len((text or "").splitlines()))
            if row["type"] == "IssueCommentEvent":
                self.assertEqual(row["payload"]["comment"]["body"].strip()[:5_000], text)
