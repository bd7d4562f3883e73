# -*- test-case-name: tests.unit.test_sources_webhook -*-
"""`[sources.<name>]` with `type = "webhook"`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import attrs
import msgspec
from msgspec import Meta

from streamer.policy.pointer import Pointer
from streamer.policy.transport import checked_token
from streamer.secrets import Secret

SECRET_LEAST = 8  # characters; a shorter one is guessed from one call that somebody overheard
BODY_LIMIT = 1_000_000  # bytes; GitHub sends up to 25 MB, and says so in `body_limit`
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# Kinds with a meaning of their own, which a stranger's call may not claim.
TAKEN_KINDS = frozenset(
    {"post", "edit", "delete", "scrub", "limit", "warning", "disconnect", "withheld", "gap", "entry"}
)
HeaderName = Annotated[str, Meta(min_length=1, max_length=100)]

# Where each part of an activity is looked for, in this order, unless the configuration names one place.
PLACES: Mapping[str, tuple[str, ...]] = {
    "title": (
        "/title", "/name", "/release/name", "/release/tag_name", "/pull_request/title", "/issue/title",
        "/object_attributes/title", "/head_commit/message", "/subject", "/ref",
    ),
    "url": (
        "/html_url", "/url", "/web_url", "/link", "/release/html_url", "/comment/html_url", "/review/html_url",
        "/pull_request/html_url", "/issue/html_url", "/object_attributes/url", "/compare", "/repository/html_url",
        "/project/web_url",
    ),
    "text": (
        "/text", "/message", "/summary", "/description", "/body", "/content", "/comment/body", "/release/body",
        "/pull_request/body", "/issue/body", "/object_attributes/description", "/head_commit/message",
    ),
    "author": (
        "/sender/login", "/user_username", "/user/login", "/user/username", "/author/login", "/author/username",
        "/actor/login", "/pusher/name", "/author/name", "/user/name", "/actor/name", "/author", "/user", "/actor",
        "/username",
    ),
    "action": ("/action", "/event", "/event_type", "/event_name", "/object_kind", "/type"),
    "scope": (
        "/repository/full_name", "/project/path_with_namespace", "/repository/name", "/project/name", "/project",
        "/repository", "/scope", "/channel", "/source",
    ),
    "created": (
        "/created_at", "/timestamp", "/time", "/date", "/created", "/release/published_at", "/comment/created_at",
        "/head_commit/timestamp", "/pull_request/updated_at", "/issue/updated_at", "/updated_at",
    ),
}  # fmt: skip


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an operator may say. All places are JSON pointers into the body.

    Args:
        path: below `/hooks/` of the hooks' endpoint; the source's name by default.
        secret: of the signature that the sender makes of the body.
        signature: the header with it, as "sha256=" and hex; hex or base64 alone are understood as well.
        token: what the sender puts into `token_header`, after "Bearer " where that is Authorization.
        open: take what anybody sends, without secret or token.
        batch: an array is many items, one a member.
        body_limit: bytes.
        kind: of the items.
        id: where the body says which call this is; else a header does, else it is the hash of the body.
        id_header: with the same, before those that are commonly used.
        event_header: that says what happened, before those that are commonly used.
        title, url, text, author, action, scope, created: where they stand, instead of `PLACES`.
    """

    path: str = ""
    secret: Secret | None = None
    signature: HeaderName = "X-Hub-Signature-256"
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    token: Secret | None = None
    token_header: HeaderName = "Authorization"  # noqa: S105 - a header's name
    open: bool = False
    batch: bool = False
    body_limit: Annotated[int, Meta(ge=1, le=4_000_000)] = BODY_LIMIT
    kind: str = "hook"
    id: str | None = None
    id_header: HeaderName | None = None
    event_header: HeaderName | None = None
    title: str | None = None
    url: str | None = None
    text: str | None = None
    author: str | None = None
    action: str | None = None
    scope: str | None = None
    created: str | None = None
    profile: Literal["stream"] = "stream"


@attrs.frozen
class Places:
    """Where the parts of an activity stand in a body; of each part the first place that holds it counts."""

    title: tuple[Pointer, ...]
    url: tuple[Pointer, ...]
    text: tuple[Pointer, ...]
    author: tuple[Pointer, ...]
    action: tuple[Pointer, ...]
    scope: tuple[Pointer, ...]
    created: tuple[Pointer, ...]

    @classmethod
    def of(cls, settings: Settings) -> Places:
        """Those of a source.

        Raises:
            ValueError: one is no pointer.
        """
        return cls(**{part: _places(part, getattr(settings, part), usual) for part, usual in PLACES.items()})


def checked(name: str, settings: Settings) -> Settings:
    """The settings, with a path.

    Raises:
        ValueError: they contradict each other, or would take what anybody sends without saying so.
    """
    path = settings.path or name
    if not _PATH.fullmatch(path) or len(path) > 200:
        raise ValueError(f"path {path!r} must be words of letters, digits and -._~ with '/' between, 200 at most")
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError(f"path {path!r}: no client asks for '.' or '..', they go elsewhere; use words")
    if settings.open and (settings.secret or settings.token):
        raise ValueError("open = true takes what anybody sends; leave it out, or the secret and the token")
    if not (settings.open or settings.secret or settings.token):
        raise ValueError("needs a secret or a token, or anybody could send; or say open = true, if that is meant")
    if settings.secret is not None and len(settings.secret.reveal()) < SECRET_LEAST:
        raise ValueError(f"secret has less than {SECRET_LEAST} characters; make one with 'openssl rand -hex 32'")
    if settings.token is not None:
        checked_token(settings.token.reveal())
    if not _KIND.fullmatch(settings.kind) or settings.kind in TAKEN_KINDS:
        raise ValueError(
            f"kind {settings.kind!r} must be a word such as 'deploy', and none that has a meaning already"
        )
    for key in ("signature", "token_header", "id_header", "event_header"):
        header = getattr(settings, key)
        if header is not None and not _HEADER.fullmatch(header):
            raise ValueError(f"{key} {header!r} is no name of a header")
    if settings.secret and settings.token and settings.signature.lower() == settings.token_header.lower():
        raise ValueError(f"signature and token_header are both {settings.signature!r}; no call can satisfy both")
    if settings.id is not None:
        _pointer("id", settings.id)
    return msgspec.structs.replace(settings, path=path)


def _places(part: str, written: str | None, usual: tuple[str, ...]) -> tuple[Pointer, ...]:
    return (_pointer(part, written),) if written is not None else tuple(map(Pointer.parse, usual))


def _pointer(key: str, written: str) -> Pointer:
    try:
        return Pointer.parse(written)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
