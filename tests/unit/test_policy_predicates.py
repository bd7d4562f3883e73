"""The v1.1 limits: what is refused before connecting, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy.predicates import check_follow, check_language, check_locations, check_track


class LimitTests(SynchronousTestCase):
    """Each limit from both sides."""

    def refused(self, check: Callable[[Sequence[Any]], None], values: Sequence[Any], said: str) -> None:
        """The check refuses, and its sentence holds what would mend it."""
        with self.assertRaises(ValueError) as caught:
            check(values)
        self.assertIn(said, str(caught.exception))

    def test_track_number(self) -> None:
        """400 terms, not 401."""
        terms = [f"term {n}" for n in range(401)]
        check_track(terms[:400])
        self.refused(check_track, terms, "401 entries in track; at most 400")

    def test_track_bytes(self) -> None:
        """60 bytes of UTF-8, not 60 letters."""
        check_track(["x" * 60, "ü" * 30, "kakapo bird"])
        self.refused(check_track, ["x" * 61], "61 bytes")
        self.refused(check_track, ["ü" * 31], "62 bytes")

    def test_track_form(self) -> None:
        """An empty term, a comma (which means OR), a line break and a repeated term are named."""
        for term, said in (("", "empty"), ("  ", "empty"), ("a,b", "'a,b'"), ("a\nb", "line break")):
            self.refused(check_track, ["good", term], said)
        self.refused(check_track, ["Bird", "bird"], "'bird' twice")
        check_track(["👩‍🚀", "鳥\u3000鳥"])  # joiners and wide blanks are text

    def test_follow(self) -> None:
        """5,000 ids in digits; a handle is no id."""
        ids = [str(n) for n in range(1, 5002)]
        check_follow(ids[:5000])
        self.refused(check_follow, ids, "5001 entries in follow; at most 5000")
        for wrong in ("jack", "@jack", "", "-1", "1.5", "0", "1" * 21, "１２", " 1"):
            self.refused(check_follow, ["12", wrong], repr(wrong))
        self.refused(check_follow, ["12", "12"], "twice")

    def test_boxes(self) -> None:
        """25 boxes; the whole world is one."""
        boxes = [(float(n), 0.0, n + 1.0, 1.0) for n in range(26)]
        check_locations(boxes[:25])
        check_locations([(-180.0, -90.0, 180.0, 90.0)])
        self.refused(check_locations, boxes, "26 entries in locations; at most 25")

    def test_box_form(self) -> None:
        """Corners in order, on the map, finite, and neither a point nor a line."""
        for box, said in (
            ((2.0, 0.0, 1.0, 1.0), "south-west"),
            ((0.0, 2.0, 1.0, 1.0), "south-west"),
            ((0.0, 0.0, 0.0, 1.0), "south-west"),
            ((179.0, 0.0, -179.0, 1.0), "180th meridian"),
            ((-181.0, 0.0, 1.0, 1.0), "off the map"),
            ((0.0, -91.0, 1.0, 1.0), "off the map"),
            ((36.8, -122.75, 37.8, -121.75), "off the map"),  # latitude first, the usual mistake
            ((math.nan, 0.0, 1.0, 1.0), "a number that is none"),
            ((0.0, 0.0, math.inf, 1.0), "a number that is none"),
            ((0.0, 0.0, 0.05, 1.0), "between 0.1 and 360"),
            ((0.0, 0.0, 1.0, 0.09), "between 0.1 and 360"),
        ):
            self.refused(check_locations, [box], said)
        check_locations([(0.3, 0.0, 0.4, 0.1)])  # 0.4 - 0.3 is a little less than 0.1 in binary

    def test_language(self) -> None:
        """BCP 47 tags."""
        check_language(["en", "zh-CN", "fil"])
        for wrong in ("english", "", "e", "en,de", "en_US"):
            self.refused(check_language, [wrong], repr(wrong))

    @given(st.lists(st.text(max_size=70), max_size=5))
    def test_any_terms(self, terms: list[str]) -> None:
        """What passes can be joined by commas and taken apart again, each part of 1 to 60 bytes."""
        try:
            check_track(terms)
        except ValueError:
            return
        self.assertEqual(terms, ",".join(terms).split(",") if terms else [])
        self.assertTrue(all(1 <= len(term.encode()) <= 60 for term in terms))

    @given(st.tuples(*[st.floats(allow_nan=True)] * 4))
    def test_any_box(self, box: tuple[float, float, float, float]) -> None:
        """What passes is a box on the map."""
        try:
            check_locations([box])
        except ValueError:
            return
        west, south, east, north = box
        self.assertTrue(-180 <= west < east <= 180 and -90 <= south < north <= 90)
