"""The parameters of the simulated Twitter, and its refusals of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.oauth1 import read_form
from streamer.testing.twitter_predicates import Box
from streamer.testing.twitter_query import Asked, read_asked
from streamer.testing.twitter_refusals import ON_DEMAND, TextRefusal


def read(query: str, **options: bool) -> Asked | TextRefusal:
    """Read parameters as they are in a URL."""
    return read_asked(read_form(query.encode()), **options)


class AskedTests(SynchronousTestCase):
    """What is understood."""

    def test_all(self) -> None:
        """Every parameter, once."""
        asked = read(
            "track=Kea+Weka,%23T%C5%AB%C4%AB&follow=7,9&locations=-122.75,36.8,-121.75,37.8,-74,40,-73,41"
            "&language=en,MI&filter_level=medium&delimited=length&stall_warnings=true&count=-50&whatever=x"
        )
        assert isinstance(asked, Asked)
        predicates = asked.predicates
        self.assertEqual((("kea", "weka"), ("#tūī",)), predicates.track)
        self.assertEqual(frozenset({7, 9}), predicates.follow)
        self.assertEqual((Box(-122.75, 36.8, -121.75, 37.8), Box(-74, 40, -73, 41)), predicates.locations)
        self.assertEqual((frozenset({"en", "mi"}), 2), (predicates.languages, predicates.level))
        self.assertEqual((-50, True, True), (asked.count, asked.delimited, asked.stall_warnings))

    def test_defaults(self) -> None:
        """Without more, any language and level, no count, lines."""
        asked = read("track=kea")
        assert isinstance(asked, Asked)
        self.assertEqual((0, False, False), (asked.count, asked.delimited, asked.stall_warnings))
        self.assertEqual((frozenset(), 0, False), (asked.predicates.languages, asked.predicates.level, False))

    def test_sample(self) -> None:
        """The sample needs no predicates and does not look at any."""
        asked = read("track=" + 61 * "x" + "&language=de", sample=True)
        assert isinstance(asked, Asked)
        self.assertTrue(asked.predicates.everything)
        self.assertEqual(((), frozenset({"de"})), (asked.predicates.track, asked.predicates.languages))

    def test_limits_are_allowed(self) -> None:
        """As much as is documented is let in."""
        for query in (
            "track=" + ",".join(["x"] * 400),
            "track=" + 60 * "x",
            "track=" + 30 * "ū",
            "follow=" + ",".join(map(str, range(1, 5001))),
            "locations=" + ",".join(["0,0,0.1,0.1"] * 25),
            "locations=-180,-90,180,90",
            "track=x&count=150000",
            "track=x&count=-150000",
        ):
            self.assertIsInstance(read(query), Asked, query[:40])

    def test_refusals(self) -> None:
        """Each documented refusal, by its status."""
        for status, query in (
            (406, ""),
            (406, "language=en"),
            (406, "track="),
            (406, "track=a,,b"),
            (406, "track=a,%20"),
            (406, "track=" + 61 * "x"),
            (406, "track=" + 31 * "ū"),
            (406, "follow=jack"),
            (406, "follow=1,,2"),
            (406, "follow=-1"),
            (406, "locations=1,2,3"),
            (406, "locations=1,2,3,x"),
            (406, "locations=nan,0,1,1"),
            (406, "locations=1,1,0,0"),
            (406, "locations=0,0,0.05,1"),
            (406, "locations=-181,0,1,1"),
            (406, "locations=0,0,1,91"),
            (406, "track=x&filter_level=high"),
            (406, "track=x&delimited=lines"),
            (413, "track=" + ",".join(["x"] * 401)),
            (413, "follow=" + ",".join(["1"] * 5001)),
            (413, "locations=" + ",".join(["0,0,1,1"] * 26)),
            (416, "track=x&count=0"),
            (416, "track=x&count=150001"),
            (416, "track=x&count=-150001"),
            (416, "track=x&count=some"),
        ):
            refusal = read(query)
            assert isinstance(refusal, TextRefusal), query[:60]
            self.assertEqual(status, refusal.status, query[:60])
            self.assertTrue(refusal.text)

    def test_count_needs_a_role(self) -> None:
        """An account that is not elevated may not ask for a count."""
        refusal = read("track=x&count=5", elevated=False)
        assert isinstance(refusal, TextRefusal)
        self.assertEqual(416, refusal.status)
        self.assertIsInstance(read("track=x", elevated=False), Asked)

    def test_on_demand(self) -> None:
        """Each refusal that a fault can ask for has the status it is listed under."""
        self.assertEqual(list(ON_DEMAND), [refusal.status for refusal in ON_DEMAND.values()])
        self.assertEqual("Exceeded connection limit for user", ON_DEMAND[420].text)

    @given(st.dictionaries(st.sampled_from(("track", "follow", "locations", "count", "language")), st.text()))
    def test_any_values(self, given_: dict[str, str]) -> None:
        """Any text is either understood or refused; nothing is raised."""
        pairs = [(name.encode(), value.encode("utf-8", "replace")) for name, value in given_.items()]
        self.assertIsInstance(read_asked(pairs), Asked | TextRefusal)
