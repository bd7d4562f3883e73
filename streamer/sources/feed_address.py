# -*- test-case-name: tests.unit.test_sources_feed_polling -*-
"""Where a feed is, and where it may lead us."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, quote_plus, urljoin, urlsplit

from streamer.policy.private import is_private
from streamer.policy.transport import PATH_SAFE, checked_base_url

QUERY_SAFE = PATH_SAFE + "?"
LENGTH = 2_000  # characters
SECRET_LEAST = 4  # characters of a value in a query that may be a token

_QUERY = re.compile(r"""(?<=\S)\?[^\s"'<>?=]{1,100}=[^\s"'<>]*""")


def checked(url: str, *, plain: bool = False) -> str:
    """A feed's address in the spelling that is sent, without a fragment.

    Args:
        plain: http is allowed beyond this machine.

    Raises:
        ValueError: it is no such address, or http, or holds a password; the text says which.
    """
    try:
        parts = urlsplit(url.strip())
        origin = f"{parts.scheme}://{parts.netloc}"
        if plain and parts.scheme == "http":
            origin = checked_base_url(f"https://{parts.netloc}").replace("https://", "http://", 1)
        else:
            origin = checked_base_url(origin)
    except ValueError as error:
        said = str(error).replace("base_url", "url").replace("'https://api.x.com'", "'https://example.org/feed.xml'")
        if "in the clear" in said:
            said = "url is plain http, so that anybody on the way could change it; use https, or set allow_http = true"
        raise ValueError(said) from None
    path = quote(parts.path or "/", safe=PATH_SAFE + "%")
    query = f"?{quote(parts.query, safe=QUERY_SAFE + '%')}" if parts.query else ""
    if len(origin) + len(path) + len(query) > LENGTH:
        raise ValueError(f"url is longer than {LENGTH} characters")
    return f"{origin}{path}{query}"


def rebased(url: str, base_url: str) -> str:
    """The same path at another origin."""
    parts = urlsplit(url)
    return base_url + parts.path + (f"?{parts.query}" if parts.query else "")


def led_to(here: str, location: str, *, plain: bool = False) -> str:
    """Where a redirect leads.

    Raises:
        ValueError: nowhere, or where it must not: from https to http, or from a public host into our own network.
    """
    there = checked(urljoin(here, location.strip()), plain=plain or here.startswith("http://"))
    if here.startswith("https://") and there.startswith("http://"):
        raise ValueError(f"http://{host(there)} is plain http, and {host(here)} was not")
    if is_private(host(there)) and not is_private(host(here)):
        raise ValueError(f"{host(there)} is on this machine or in its network")
    return there


def bare(url: str) -> str:
    """Without query and fragment, where tokens stand."""
    return url.partition("#")[0].partition("?")[0]


def shown(text: str, *urls: str) -> str:
    """A text for the operator: addresses up to the "?", and no value of these urls' queries, whoever quotes them."""
    queries = [url.partition("?")[2] for url in urls]
    values = {value for query in queries for _, value in parse_qsl(query) if len(value) >= SECRET_LEAST}
    values |= {quote(value, safe="") for value in values} | {quote_plus(value) for value in values}
    for value in sorted(values, key=len, reverse=True):
        text = re.sub(re.escape(value), "…", text, flags=re.IGNORECASE)
    return _QUERY.sub("?…", text)


def host(url: str) -> str:
    """Its host, in lower case."""
    return urlsplit(url).hostname or ""
