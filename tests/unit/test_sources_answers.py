"""What a status means where an upstream gives it no meaning of its own."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.policy import backoff
from streamer.sources.answers import refusal, said
from streamer.upstream import DETAIL_LIMIT, Response


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    """A refusal at the beginning of time."""
    return Response(
        status=status, received=0.0, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


class RefusalTests(SynchronousTestCase):
    """Statuses and what follows."""

    def test_causes(self) -> None:
        """Wrong requests stay wrong, wrong credentials may be mended, what is gone is gone, all else may pass."""
        for status, cause in (
            (400, backoff.REFUSED),
            (401, backoff.AUTHORISATION),
            (403, backoff.AUTHORISATION),
            (404, backoff.REFUSED),
            (410, backoff.GONE),
            (429, backoff.RATE_LIMIT),
            (500, backoff.HTTP),
            (503, backoff.HTTP),
            (302, backoff.HTTP),
            (204, backoff.HTTP),
            (1006, backoff.HTTP),
        ):
            self.assertEqual(cause, refusal(answer(status)).cause, status)

    def test_own_statuses(self) -> None:
        """An upstream with other meanings brings its own table."""
        own: Any = {404: backoff.GONE}
        self.assertEqual(backoff.GONE, refusal(answer(404), own).cause)

    def test_retry_after(self) -> None:
        """How long to wait is believed where waiting helps, and only there."""
        self.assertEqual(30.0, refusal(answer(503, retry_after="30")).retry_after)
        self.assertEqual(30.0, refusal(answer(429, retry_after="30")).retry_after)
        self.assertIsNone(refusal(answer(401, retry_after="30")).retry_after)

    def test_redirects(self) -> None:
        """A stream that has moved is not followed on a stranger's word; where it points to is said."""
        self.assertIn("https://other.example/", refusal(answer(301, location="https://other.example/")).detail)
        self.assertIn("nowhere", refusal(answer(302)).detail)

    def test_reason(self) -> None:
        """The reason is found wherever APIs put it, a page is shown by its beginning, and silence is called so."""
        for body, expected in (
            (b'{"error":"Missing access token"}', "Missing access token"),
            (b'{"error":"invalid","error_description":"It has expired"}', "It has expired"),
            (b'{"message":"Not Found","documentation_url":"x"}', "Not Found"),
            (b'{"title":"t","detail":"Too many"}', "Too many"),
            (b"<html>\n<b>Sorry</b>", "<html> <b>Sorry</b>"),
            (b'{"error":5}', '{"error":5}'),
            (b"{}", "no reason given"),
            (b"", "no reason given"),
        ):
            self.assertEqual(expected, said(body), body)

    @given(st.binary(max_size=2000))
    def test_any_body(self, body: bytes) -> None:
        """Whatever comes makes one short line that can be printed."""
        line = said(body)
        self.assertTrue(line.isprintable())
        self.assertLessEqual(len(line), DETAIL_LIMIT + 1)
