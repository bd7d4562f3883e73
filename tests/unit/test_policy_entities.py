# -*- test-case-name: tests.unit.test_policy_entities -*-
"""Tests for `streamer.policy.entities`, with twitter-text's conformance cases where they are at hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.activity import Facet
from streamer.policy.entities import find_facets

CASES = Path(__file__).parents[3] / "shared" / "data" / "twitter-text" / "conformance" / "extract.yml"

# Sections of the suite that are claimed, whole except for links without a scheme, which are text here on purpose.
SECTIONS = {
    "mentions": ("mention", None),
    "mentions_with_indices": ("mention", "screen_name"),
    "hashtags": ("tag", None),
    "hashtags_from_astral": ("tag", None),
    "hashtags_with_indices": ("tag", "hashtag"),
    "cashtags": ("cashtag", None),
    "cashtags_with_indices": ("cashtag", "cashtag"),
    "urls": ("link", None),
    "urls_with_indices": ("link", "url"),
    "urls_with_directional_markers": ("link", "url"),
    "tco_urls_with_params": ("link", None),
}


def expected(case: dict[str, Any], kind: str, key: str | None) -> list[Any]:
    """What a case of the suite asks for: values, or values with their places."""
    rows = [(row[key], *row["indices"]) if key else row for row in case["expected"]]
    if kind == "link":
        rows = [row for row in rows if (row[0] if key else row).lower().startswith(("http://", "https://"))]
    return rows


class ConformanceTests(SynchronousTestCase):
    """https://github.com/twitter/twitter-text/tree/master/conformance"""

    def test_claimed_sections(self) -> None:
        """Every case of every claimed section gives what the suite expects."""
        yaml = pytest.importorskip("yaml", reason="PyYAML reads the conformance cases")
        if not CASES.exists():
            pytest.skip(f"the conformance cases are not at {CASES}")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        suite = yaml.load(CASES.read_text(encoding="utf-8"), loader)["tests"]
        passed = 0
        for section, (kind, key) in SECTIONS.items():
            for case in suite[section]:
                with self.subTest(section=section, case=case["description"]):
                    facets = [facet for facet in find_facets(case["text"]) if facet.kind == kind]
                    found = [(one.value, one.start, one.end) if key else one.value for one in facets]
                    self.assertEqual(found, expected(case, kind, key))
                    passed += 1
        self.assertGreaterEqual(passed, 200)


class FindTests(SynchronousTestCase):
    """What the suite does not ask."""

    def values(self, text: str) -> list[tuple[str, str]]:
        """Kind and value of each facet, having seen that each lies where it says."""
        facets = find_facets(text)
        for facet in facets:
            written = text[facet.start : facet.end]
            self.assertEqual(written if facet.kind == "link" else written[1:], facet.value)
        return [(facet.kind, facet.value) for facet in facets]

    def test_all_kinds(self) -> None:
        """Facets come in the order of the text."""
        self.assertEqual(
            self.values("@a #b $C http://d.example/e?f=1#g."),
            [("mention", "a"), ("tag", "b"), ("cashtag", "C"), ("link", "http://d.example/e?f=1#g")],
        )

    def test_nothing(self) -> None:
        """Signs alone are text."""
        for text in ("", "plain", "# @ $ ://", "#️⃣ 5#a", "a@b.example", "http://", "https://localhost", "http://.com"):
            self.assertEqual(find_facets(text), (), text)

    def test_code_points(self) -> None:
        """Offsets are code points."""
        self.assertEqual(find_facets("🦜🦜 #bird"), (Facet(3, 8, "tag", "bird"),))

    def test_cut_off(self) -> None:
        """A word that the upstream cut off at the end is not the word; an ellipsis elsewhere is punctuation."""
        self.assertEqual(self.values("#one… #two …"), [("tag", "one"), ("tag", "two")])
        for text in ("#on…", "@on…", "http://a.example/b…"):
            self.assertEqual(find_facets(text), (), text)

    def test_brackets(self) -> None:
        """A closing bracket belongs to the link only where the link opened it."""
        for text, url in {
            "(see http://a.example/b)": "http://a.example/b",
            "http://a.example/b_(c)": "http://a.example/b_(c)",
            "(http://a.example/b_(c)).": "http://a.example/b_(c)",
            "http://a.example/(": "http://a.example/",
            "http://a.example/?q=(b)": "http://a.example/?q=(b)",
            "(http://a.example/?q=b)": "http://a.example/?q=b",
        }.items():
            self.assertEqual(self.values(text)[0], ("link", url), text)

    def test_sentence_goes_on(self) -> None:
        """Scripts without spaces and emoji may follow a host at once; accents belong to it."""
        self.assertEqual(self.values("http://a.example🎉です"), [("link", "http://a.example")])
        self.assertEqual(self.values("http://a.exampleです/x"), [("link", "http://a.example")])
        self.assertEqual(self.values("http://www.exämple.com/x"), [("link", "http://www.exämple.com/x")])

    def test_inside_a_link(self) -> None:
        """What a link contains is not a tag or a mention of its own."""
        self.assertEqual(self.values("http://a.example/@b/#c"), [("link", "http://a.example/@b/#c")])

    def test_hostile_lengths(self) -> None:
        """Long hostile texts are walked once (milliseconds); backing off over them would take minutes."""
        began = time.perf_counter()
        for piece in ("http://a.example/)", "http://a.example/((", "http://a.", "#a#", "@a@", "$A$", "http://a.co!"):
            find_facets(piece * 5000)
        for start, piece in (("http://a.co/", "."), ("http://a.co/", ")"), ("http://", "a."), ("#", "#")):
            find_facets(start + piece * 100_000)
        self.assertLess(time.perf_counter() - began, 5.0)

    @given(st.text(st.sampled_from("ab1 .:/#@$＃_-()é字🦜\u200d\ufe0f://httpx.co"), max_size=60) | st.text())
    def test_any_text(self, text: str) -> None:
        """Facets lie in the text, in order, apart, and say what is written there."""
        self.values(text)
        reached = 0
        for facet in find_facets(text):
            self.assertLessEqual(reached, facet.start)
            self.assertLess(facet.start, facet.end)
            self.assertLessEqual(facet.end, len(text))
            reached = facet.end
