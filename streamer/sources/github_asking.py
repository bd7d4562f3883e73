# -*- test-case-name: tests.unit.test_sources_github -*-
"""What GitHub is asked for, and what its answers say besides events: limits, pages, redirects, refusals.

https://docs.github.com/en/rest/activity/events,
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api and
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import attrs
from msgspec import structs

from streamer.policy import backoff
from streamer.policy.transport import is_loopback
from streamer.secrets import Secret
from streamer.sources import answers
from streamer.upstream import Ending, Request, Response

VERSION = "2022-11-28"  # of the API
PATIENCE = 3600.0  # seconds: no poll waits longer, whatever a header says

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_REPOSITORY = r"[A-Za-z0-9_.-]{1,100}"
PATHS: Mapping[str, str] = {
    "public": "/events",
    f"orgs/({_NAME})": "/orgs/{0}/events",
    f"repos/({_NAME})/({_REPOSITORY})": "/repos/{0}/{1}/events",
    f"networks/({_NAME})/({_REPOSITORY})": "/networks/{0}/{1}/events",
    f"users/({_NAME})": "/users/{0}/events/public",
    f"users/({_NAME})/received": "/users/{0}/received_events/public",
}

_LINK = re.compile(r"<([^<>]{1,2000})>((?:\s*;[^,;]*)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*\"?next\"?\s*(?:;|$)", re.IGNORECASE)


def path_of(asked: str) -> str:
    """The path of the events that `of` names.

    Raises:
        ValueError: it names none.
    """
    for pattern, path in PATHS.items():
        found = re.fullmatch(pattern, asked)
        if found and not any(part in (".", "..") for part in found.groups()):
            return path.format(*found.groups())
    raise ValueError(
        f"of = {asked!r} names no events; write 'public', 'orgs/ORG', 'repos/OWNER/REPOSITORY',"
        " 'networks/OWNER/REPOSITORY', 'users/USER' or 'users/USER/received'"
    )


def web_of(base_url: str) -> str:
    """Where people look at what an API tells of."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host) or host == "api.github.com":
        return "https://github.com"
    if host.startswith("api.") and host.endswith(".ghe.com"):
        return f"https://{host.removeprefix('api.')}"
    return f"{parts.scheme}://{parts.netloc}"


@attrs.frozen
class Asking:
    """One list of events.

    Args:
        path: below the base URL.
        per_page: events of one answer.
        interval: seconds between polls, at least.
    """

    base_url: str
    path: str
    token: Secret | None
    per_page: int
    interval: float

    @property
    def url(self) -> str:
        """Of the first page."""
        return f"{self.base_url}{self.path}?per_page={self.per_page}"

    def request(self, url: str, etag: str | None = None) -> Request:
        """A page, or, with the tag of what we have, only news."""
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        if etag:
            headers["If-None-Match"] = etag
        return Request(url=url, headers=headers)

    def own(self, url: str) -> bool:
        """Whether a URL is the API's own: another host must not see the token, nor tell us anything."""
        return url.isascii() and url.isprintable() and " " not in url and _origin(url) == _origin(self.base_url)


def next_page(response: Response, url: str) -> str | None:
    """The address of the page after this one; None where it is the last."""
    for link in _LINK.finditer(response.headers.get("link", "")):
        if _NEXT.search(link[2]):
            return _joined(url, link[1])
    return None


def moved(response: Response, url: str) -> str | None:
    """Where an answer that is a redirect leads; None where it says nothing of use."""
    location = response.headers.get("location", "").strip()
    return _joined(url, location) if location else None


def poll_interval(response: Response) -> float:
    """How long GitHub wants us to wait, in seconds."""
    return min(_number(response, "x-poll-interval") or 0.0, PATIENCE)


def exhausted(response: Response) -> float:
    """Seconds until something may be asked again; 0 where it may be now."""
    if _number(response, "x-ratelimit-remaining") != 0:
        return 0.0
    reset = _number(response, "x-ratelimit-reset")
    return 0.0 if reset is None else max(0.0, min(reset - response.received + 1, PATIENCE))


def refusal(response: Response) -> Ending:
    """What an answer other than 200 and 304 means.

    Who asks too often is told so with 403 or 429: until the reset where nothing remains, else for as long as
    `Retry-After` says, else for a minute and longer each time, which is the back-off's own rule.
    """
    ending = answers.refusal(response)
    asked = backoff.retry_after(response.headers.get("retry-after"), response.received)
    wait = exhausted(response) or asked
    if response.status in (403, 429) and (wait or "rate limit" in ending.detail.lower() or response.status == 429):
        return structs.replace(ending, cause=backoff.RATE_LIMIT, retry_after=wait)
    if response.status == 404:
        hint = "; either there is none of that name, or the token may not see it"
        return structs.replace(ending, detail=ending.detail + hint)
    return ending


def _number(response: Response, header: str) -> float | None:
    written = response.headers.get(header, "").strip()
    return float(written) if written.isascii() and written.isdecimal() and len(written) < 16 else None


def _joined(url: str, other: str) -> str | None:
    try:
        return urljoin(url, other)
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname or "", parts.port or default
    except ValueError:
        return "", "", None
