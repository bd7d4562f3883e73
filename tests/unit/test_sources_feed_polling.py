"""The polls of a feed, step by step: what is asked, and what follows from each answer."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.asks import Page, Polling, Posted, Reply, Wait
from streamer.policy import backoff
from streamer.sources import feed_address, feed_memory
from streamer.sources.feed_polling import Polls, Terms
from streamer.upstream import Ending, Mark, Missed, Request, Response, Warned

URL = "https://feeds.example/atom.xml"
TERMS = Terms(interval=60.0, interval_max=600.0, backlog=5, size_limit=10_000)
LONG = Terms(interval=60.0, interval_max=600.0, backlog=5, size_limit=1_000_000)


def rss(*guids: str, head: str = "") -> bytes:
    """A feed of these entries, the newest first."""
    items = "".join(f"<item><guid>{guid}</guid></item>" for guid in guids)
    return f"<rss><channel>{head}{items}</channel></rss>".encode()


class Cases(SynchronousTestCase):
    """Polls whose answers are given by hand."""

    def setUp(self) -> None:
        """Nothing was asked."""
        self.begin()

    def begin(self, cursor: str | None = None, since: int | None = None, terms: Terms = TERMS) -> None:
        """Begin, perhaps where others stopped."""
        memory, known = feed_memory.begun(URL, cursor)
        self.polls = Polls(terms, URL, memory, known, since)
        self.steps: Polling = self.polls.steps()
        self.now = 1000.0
        self.step: Any = next(self.steps)

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> Any:
        """Answer the request; returns what comes next."""
        assert isinstance(self.step, Request), self.step
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = Response(status=status, received=self.now, headers=named, body=body)
        try:
            self.step = self.steps.send(response)
        except StopIteration as done:
            self.step = done.value
        return self.step

    def page(self, status: int = 200, body: bytes = b"", **headers: str) -> tuple[Any, ...]:
        """Answer, take the page, wait; returns the page's frames but for the mark."""
        page = self.answer(status, body, **headers)
        assert isinstance(page, Page), page
        *frames, self.mark = page.frames
        assert isinstance(self.mark, Mark)
        self.wait = next(self.steps)
        assert isinstance(self.wait, Wait)
        self.step = next(self.steps)
        self.now += self.wait.seconds
        return tuple(frames)

    def ending(self, status: int = 200, body: bytes = b"", **headers: str) -> Ending:
        """Answer; it is over."""
        ending = self.answer(status, body, **headers)
        assert isinstance(ending, Ending), ending
        return ending


class ValidatorTests(Cases):
    """Conditional requests."""

    def asked(self) -> tuple[str | None, str | None]:
        """The validators of the request."""
        return self.step.headers.get("If-None-Match"), self.step.headers.get("If-Modified-Since")

    def test_to_the_letter(self) -> None:
        """Both go back as they came, whatever they look like."""
        self.assertEqual((None, None), self.asked())
        self.page(200, rss("a"), etag='W/"x y"', last_modified="Yesterday, about noon")
        self.assertEqual(('W/"x y"', "Yesterday, about noon"), self.asked())
        self.page(304)
        self.assertEqual(('W/"x y"', "Yesterday, about noon"), self.asked())
        self.page(304, etag="new")
        self.assertEqual(("new", "Yesterday, about noon"), self.asked())
        self.page(200, rss("b", "a"), etag="newer")
        self.assertEqual(("newer", None), self.asked())
        self.page(200, rss("b", "a"))
        self.assertEqual((None, None), self.asked())

    def test_this_second(self) -> None:
        """A date of the very second in which it was given may hide what came later in it."""
        self.page(200, rss("a"), last_modified="Mon, 01 Jan 2024 00:00:00 GMT", date="Mon, 01 Jan 2024 00:00:00 GMT")
        self.assertEqual((None, None), self.asked())

    def test_restart(self) -> None:
        """They outlive the process, with what was seen."""
        self.page(200, rss("a"), etag="e")
        self.begin(self.mark.cursor, 900_000)
        self.assertEqual(("e", None), self.asked())
        self.assertEqual((), self.page(304))
        self.assertEqual(1, len(self.page(200, rss("b", "a"))))

    def test_missed(self) -> None:
        """A page of strangers is announced, from the last poll on; also across a restart."""
        self.page(200, rss("a"))
        frames = self.page(200, rss("c", "b"))
        self.assertEqual(Missed(start=1_000_000, end=1_060_000), frames[-1])
        self.begin(self.mark.cursor, 900_000)
        self.assertEqual(Missed(start=900_000, end=1_000_000), self.page(200, rss("e", "d"))[-1])


class AnswerTests(Cases):
    """What else may come."""

    def test_too_long(self) -> None:
        """More than allowed."""
        self.assertIn("size_limit", self.ending(200, b"x" * 10_001).detail)

    def test_no_feed(self) -> None:
        """A page that is none, whatever the status says."""
        for body in (b"", b"<html/>", b"{}"):
            self.begin()
            ending = self.ending(200, body)
            self.assertEqual(backoff.HTTP, ending.cause)
            self.assertTrue(ending.detail.startswith("200, but "))

    def test_other_successes(self) -> None:
        """204 and the like bring no feed."""
        for status in (201, 204, 206):
            self.begin()
            self.assertEqual(backoff.HTTP, self.ending(status).cause)

    def test_retry_after(self) -> None:
        """Seconds or a date."""
        self.assertEqual(120.0, self.ending(503, retry_after="120").retry_after)
        self.begin()
        self.now = 1_700_000_000.0
        self.assertEqual(3600.0, self.ending(429, retry_after="Tue, 14 Nov 2023 23:13:20 GMT").retry_after)

    def test_moved_and_good(self) -> None:
        """A new place is remembered once it answered well."""
        self.answer(301, location="/new.xml")
        self.assertEqual("https://feeds.example/new.xml", self.step.url)
        self.page(200, rss("a"))
        self.assertIn("https://feeds.example/new.xml", self.mark.cursor)
        self.assertEqual("https://feeds.example/new.xml", self.step.url)

    def test_moved_by_a_detour(self) -> None:
        """What comes after a detour is no new place, for the detour may change."""
        self.answer(301, location="/one.xml")
        self.answer(302, location="/two.xml")
        self.answer(301, location="/three.xml")
        self.page(200, rss("a"))
        self.assertEqual("https://feeds.example/one.xml", self.step.url)

    def test_moved_and_bad(self) -> None:
        """A new place that is no good is not remembered."""
        self.answer(301, location="/new.xml")
        self.ending(500)
        self.assertEqual(URL, self.polls.memory.url)

    def moved(self) -> None:
        """Begin with a place that is remembered."""
        self.begin()
        self.answer(301, location="https://cdn.example/new.xml")
        self.page(200, rss("a"), etag="e")
        self.begin(self.mark.cursor, 900_000)
        self.assertEqual("https://cdn.example/new.xml", self.step.url)

    def test_back(self) -> None:
        """Where a remembered place fails in any way, the configured one is asked, for the whole page."""
        for status, body in ((404, b""), (410, b""), (500, b""), (403, b""), (200, b"<html/>"), (302, b"")):
            self.moved()
            self.answer(status, body, location="http://u:p@cdn.example/")
            self.assertEqual((URL, None), (self.step.url, self.step.headers.get("If-None-Match")), status)
            self.assertEqual(1, len(self.page(200, rss("b", "a"))))
            self.assertEqual(URL, self.step.url)
            self.assertIn(f'"url":"{URL}"', self.mark.cursor)

    def test_back_after_a_failure(self) -> None:
        """The same where nobody answers there; and where it still leads there, that is what it failed with."""
        self.moved()
        self.step = self.steps.throw(OSError("no such host"))
        self.assertEqual(URL, self.step.url)
        self.assertEqual(1, len(self.page(200, rss("b", "a"))))
        self.moved()
        self.step = self.steps.throw(OSError("no such host"))
        with self.assertRaisesRegex(OSError, "no such host"):
            self.answer(301, location="https://cdn.example/new.xml")
        self.begin()
        with self.assertRaises(OSError):
            self.steps.throw(OSError())

    def test_back_in_vain(self) -> None:
        """What both say ends it: gone only where both are; the ending names a host that is not the configured one."""
        self.moved()
        self.answer(410)
        self.assertEqual(backoff.GONE, self.ending(410).cause)
        self.moved()
        self.answer(410)
        self.assertEqual(backoff.HTTP, self.ending(500).cause)
        self.moved()
        self.answer(410)
        ending = self.ending(301, location="https://cdn.example/new.xml")
        self.assertEqual(backoff.GONE, ending.cause)
        self.assertTrue(ending.detail.startswith("cdn.example, to where it moved: HTTP 410"), ending.detail)
        self.moved()
        self.assertEqual(backoff.RATE_LIMIT, self.ending(429).cause)

    def test_no_token(self) -> None:
        """An ending shows no query, whoever quotes it, and however."""
        url = f"{URL}?token=SECRET%2F9&n=5"
        polls = Polls(TERMS, url, feed_memory.begun(url, None)[0], False, None)
        for said in ("GET /atom.xml?token=SECRET%2F9&n=5", "bad SECRET/9 or SECRET%2f9?", f"see {url}", "/x?a=SECRET"):
            steps = polls.steps()
            next(steps)
            with self.assertRaises(StopIteration) as done:
                steps.send(Response(status=403, received=1.0, headers={}, body=said.encode()))
            self.assertNotIn("SECRET", done.exception.value.detail)

    def test_too_many_entries(self) -> None:
        """The operator is told once of a page with more entries than are looked at."""
        self.begin(terms=LONG)
        rows = [f"{number}" for number in range(feed_memory.PAGE_LIMIT + 1)]
        (warned,) = [one for one in self.page(200, rss(*rows)) if isinstance(one, Warned)]
        self.assertIn("1 entries too many", warned.detail)
        self.assertEqual([], [one for one in self.page(200, rss(*rows, "x")) if isinstance(one, Warned)])

    def test_no_hub(self) -> None:
        """A call without a subscription is nobody's."""
        said = self.polls.called(Posted(method="GET", query="", headers={}, body=b"", received=0.0))
        assert isinstance(said, Reply)
        self.assertEqual(404, said.status)


STATUSES = st.sampled_from([200, 200, 204, 301, 302, 304, 308, 404, 410, 418, 429, 503])
NAMES = st.sampled_from(
    ["location", "etag", "last-modified", "cache-control", "retry-after", "content-type", "link", "date"]
)
HEADERS = st.dictionaries(
    NAMES,
    st.text(max_size=30) | st.sampled_from(["/x", "https://[", "max-age=9", "<x>; rel=hub", "Mon, 1 Jan 1 0:0:0 GMT"]),
)
BODIES = st.binary(max_size=60) | st.sampled_from([rss("a"), rss("b", "a"), b"<html/>"])


class AnyTests(SynchronousTestCase):
    """Whatever comes."""

    @given(st.lists(st.tuples(STATUSES, HEADERS, BODIES), max_size=12))
    def test_any_answers(self, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
        """The polls go on or end with a reason, and what is remembered can be read again."""
        polls = Polls(TERMS, URL, feed_memory.begun(URL, None)[0], False, None)
        steps = polls.steps()
        step: Any = next(steps)
        for number, (status, headers, body) in enumerate(answers):
            try:
                step = steps.send(Response(status=status, received=1000.0 + number, headers=headers, body=body))
                while not isinstance(step, Request):
                    if isinstance(step, Page):
                        mark = step.frames[-1]
                        self.assertEqual((polls.memory, True), feed_memory.begun(URL, mark.cursor))
                    step = next(steps)
            except StopIteration as done:
                self.assertIsInstance(done.value, Ending)
                return


class PaceTests(Cases):
    """How long to wait."""

    def waits(self, *answers: tuple[int, bytes]) -> list[float]:
        """The waits after these answers."""
        found = []
        for status, body in answers:
            self.page(status, body)
            found.append(self.wait.seconds)
        return found

    def test_news(self) -> None:
        """Longer without news, shorter with them, within bounds."""
        self.assertEqual([60, 90, 135, 202.5], self.waits((200, rss("a")), (304, b""), (304, b""), (200, rss("a"))))
        self.assertEqual([101.25, 60, 60], self.waits(*((200, rss(c, "a")) for c in "bcd")))
        self.assertEqual(600, self.waits(*[(304, b"")] * 9)[-1])

    def test_wishes(self) -> None:
        """The feed's and the server's, whichever is longer; also without news."""
        self.assertEqual([300.0, 300.0], self.waits((200, rss("a", head="<ttl>5</ttl>")), (304, b"")))
        for written, seconds in (
            ("max-age=400", 400.0),
            ("public, s-maxage=5, MAX-AGE = 500", 500.0),
            ("no-cache, max-age=0", 60.0),
            ("max-age=" + "9" * 50, 600.0),
            ("x-max-age=400", 60.0),
        ):
            self.begin()
            self.page(200, rss("a"), cache_control=written)
            self.assertEqual(seconds, self.wait.seconds, written)


class AddressTests(SynchronousTestCase):
    """Where a redirect may lead."""

    def led(self, here: str, location: str, **options: bool) -> str:
        """Where it leads, or why not."""
        try:
            return feed_address.led_to(here, location, **options)
        except ValueError as error:
            return f"no: {error}"

    def test_places(self) -> None:
        """Within https anywhere; from http to either; never back to http, never to this machine."""
        for here, location, expected in (
            (URL, "/x", "https://feeds.example/x"),
            (URL, "https://other.example/y?z#f", "https://other.example/y?z"),
            (URL, "//other.example", "https://other.example/"),
            ("http://feeds.example/", "https://feeds.example/", "https://feeds.example/"),
            ("http://feeds.example/", "/x", "http://feeds.example/x"),
            ("http://127.0.0.1:80/", "http://localhost:81/x", "http://localhost:81/x"),
        ):
            self.assertEqual(expected, self.led(here, location))
        for here, location, said in (
            (URL, "http://feeds.example/", "plain http"),
            (URL, "https://127.0.0.1/", "on this machine"),
            (URL, "http://localhost:15672/api", "plain http"),
            ("http://feeds.example/", "http://[::1]/", "on this machine"),
            (URL, "https://169.254.169.254/latest", "in its network"),
            (URL, "//0.0.0.0/", "in its network"),
            (URL, "https://127.1/", "in its network"),
            (URL, "https://2130706433/", "in its network"),
            (URL, "https://[::ffff:127.0.0.1]/", "in its network"),
            (URL, "https://x.localhost/", "in its network"),
            (URL, "https://10.1.2.3/", "in its network"),
            (URL, "javascript:alert(1)", "no http(s) URL"),
            (URL, "https://a:b@feeds.example/", "user"),
        ):
            self.assertIn(said, self.led(here, location), location)
        self.assertIn("plain http", self.led(URL, "http://feeds.example/", plain=True))
