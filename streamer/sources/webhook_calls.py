# -*- test-case-name: tests.unit.test_sources_webhook -*-
"""One call of a webhook: may this sender send, is it JSON, which items is it?

Signatures are those that GitHub makes, https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
and shared tokens those of GitLab and many others. CloudEvents come in all three forms of their HTTP binding:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md

An item's id is `<event>/<key>`. The event is what a header says that happened, "-" where none does; it stands in the
id because the body is kept as it came. The key is the sender's own word for this call, else the hash of the body: then
the same body again is the same item.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import unquote

import attrs
import msgspec

from streamer.asks import Hook, Posted, Reply, Taken
from streamer.message import Item
from streamer.policy.pointer import NOWHERE, Pointer
from streamer.sources.webhook_settings import Settings
from streamer.sources.x_text import UNREADABLE, without_lone_surrogates
from streamer.upstream import brief

JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
NO_EVENT = "-"
KEY_LIMIT = 200  # bytes; of a longer one the hash is taken
# Bytes of a source's name, the slash and an item's id. AMQP allows 255 for a message's; that of an event is a bit
# longer than its item's, and so is the item's in the later rounds of a replay.
ID_LIMIT = 228
BATCH_LIMIT = 1_000  # items of one call
# Who sends which: GitHub, GitLab, Standard Webhooks, and the draft that several payment services keep to.
ID_HEADERS = ("x-github-delivery", "x-gitlab-event-uuid", "webhook-id", "idempotency-key")
EVENT_HEADERS = ("x-github-event", "x-gitea-event", "x-gitlab-event", "x-event-type")
_CE_LEAST = ("ce-specversion", "ce-id", "ce-source", "ce-type")
_CE_NAME = re.compile(r"ce-([a-z0-9]{1,40})")
_TYPE = re.compile(r"([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
# A parameter's value may be quoted and hold semicolons: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6
_PARAMETER = re.compile(r";\s*([^\s;=\"]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]*))", re.DOTALL)
_NOT_WORD = re.compile(r"[^a-z0-9_.:-]+")
TAKEN = Reply(status=202, headers={"Content-Type": "text/plain"}, body=b"taken\n")


class Call(msgspec.Struct, frozen=True):
    """What a call brought, as a frame."""

    items: tuple[Item, ...]
    size: int  # bytes

    def __len__(self) -> int:
        return self.size


class NotTaken(Exception):
    """The call is refused with this reply."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = Reply(
            status=status,
            headers={"Content-Type": "text/plain; charset=utf-8", **named},
            body=f"{text}\n".encode("utf-8", "replace"),
        )


@attrs.frozen
class Calls:
    """The calls of one source."""

    name: str
    settings: Settings = attrs.field(repr=False)
    id: Pointer | None = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: None if self.settings.id is None else Pointer.parse(self.settings.id), takes_self=True
        ),
    )

    def hook(self) -> Hook:
        """Where they are made to."""
        return Hook(self.settings.path, self.answer, self.settings.body_limit)

    def answer(self, posted: Posted) -> Reply | Taken:
        """See `asks.Hook`."""
        try:
            self._check_sender(posted)
            return Taken(frames=(self._read(posted),), reply=TAKEN)
        except NotTaken as refused:
            return refused.reply

    def _check_sender(self, posted: Posted) -> None:
        settings = self.settings
        if settings.token is not None:
            said = posted.headers.get(settings.token_header.lower(), "").strip()
            if settings.token_header.lower() == "authorization":
                scheme, _, said = said.partition(" ")
                said = said.strip() if scheme.lower() == "bearer" else ""
            if not _same(settings.token.reveal(), said):
                raise NotTaken(401, f"{settings.token_header} does not hold the token", WWW_Authenticate="Bearer")
        if settings.secret is not None:
            said = posted.headers.get(settings.signature.lower(), "")
            if not signed(settings.secret.reveal(), settings.algorithm, said, posted.body):
                raise NotTaken(403, f"{settings.signature} is not the signature of this body")

    def _read(self, posted: Posted) -> Call:
        kind = _content_type(posted)
        document = _parsed(posted.body)
        if not isinstance(document, dict | list):
            raise NotTaken(400, "the body is neither an object nor an array")
        if kind == CLOUDEVENTS or (self.settings.batch and isinstance(document, list)):
            rows = _rows(document, posted.body)
            kind = CLOUDEVENT if kind == CLOUDEVENTS else kind
            items = [self._item(posted, row, body, kind, f"#{n}") for n, (row, body) in enumerate(rows)]
            return Call(tuple(items), len(posted.body))
        body = posted.body
        if all(posted.headers.get(name) for name in _CE_LEAST):
            document, body, kind = _structured(posted, document)
        return Call((self._item(posted, document, body, kind, ""),), len(posted.body))

    def _item(self, posted: Posted, document: Any, body: bytes, content_type: str, which: str) -> Item:
        event = self._header(posted, self.settings.event_header, EVENT_HEADERS)
        return Item(
            source=self.name,
            kind=self.settings.kind,
            id=self._id(word(event), self._key(posted, document, body, content_type, which)),
            received=int(posted.received * 1000),
            body=body,
            content_type=content_type,
            partition=self.settings.path,
        )

    def _id(self, event: str, key: str) -> str:
        """With the hash of a key that is no good one, or that the bus has no room for."""
        room = min(KEY_LIMIT, ID_LIMIT - len(f"{self.name}/{event}/".encode()))
        written = key.encode("utf-8", "surrogatepass")
        return f"{event}/{key}" if len(written) <= room and key.isprintable() else f"{event}/{_hash(written)}"

    def _key(self, posted: Posted, document: Any, body: bytes, content_type: str, which: str) -> str:
        said = NOWHERE if self.id is None else self.id.find(document)
        if isinstance(said, str | int) and not isinstance(said, bool) and said != "":
            return said if isinstance(said, str) else msgspec.json.encode(said).decode()
        header = self._header(posted, self.settings.id_header, ID_HEADERS)
        if header:
            return header + which
        if content_type == CLOUDEVENT and isinstance(document, dict):
            source, id_ = document.get("source"), document.get("id")
            if isinstance(source, str) and isinstance(id_, str) and id_:
                return f"{source} {id_}"
        return _hash(body)

    def _header(self, posted: Posted, own: str | None, usual: tuple[str, ...]) -> str:
        names = usual if own is None else (own.lower(), *usual)
        return next((posted.headers[name].strip() for name in names if posted.headers.get(name, "").strip()), "")


def word(event: str) -> str:
    """What a header says that happened, as one word: "Merge Request Hook" → merge-request-hook; "-" for nothing."""
    return _NOT_WORD.sub("-", event[:100].lower()).strip("-")[:60] or NO_EVENT


def signed(secret: str, algorithm: str, said: str, body: bytes) -> bool:
    """Whether a header holds the HMAC of a body, in hex or base64, with the algorithm's name before it or without."""
    digest = hmac.new(secret.encode(), body, algorithm).digest()
    said = said.strip().removeprefix(f"{algorithm}=")
    as_hex, as_base64 = _same(digest.hex(), said.lower()), _same(base64.b64encode(digest).decode(), said)
    return as_hex or as_base64


def parsed(body: bytes) -> Any:
    """What JSON says, halves of surrogate pairs replaced.

    Raises:
        DecodeError, UnicodeDecodeError, RecursionError: those of `UNREADABLE`; it is none.
    """
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        mended = without_lone_surrogates(body)
        if mended == body:
            raise
        return msgspec.json.decode(mended)


def _parsed(body: bytes) -> Any:
    try:
        return parsed(body)
    except RecursionError:
        raise NotTaken(400, "the body is nested too deeply") from None
    except UNREADABLE as error:
        raise NotTaken(400, f"the body is no JSON: {brief(str(error))}") from None


def _content_type(posted: Posted) -> str:
    """The type without parameters; JSON of any kind."""
    written = posted.headers.get("content-type", "").strip()
    found = _TYPE.fullmatch(written)
    kind = found[1].lower() if found else ""
    said = {name.lower(): (quoted or plain).lower() for name, quoted, plain in _PARAMETER.findall(written)}
    if not (kind == JSON or kind.endswith("+json")) or said.get("charset", "utf-8") not in CHARSETS:
        raise NotTaken(415, "send JSON in UTF-8, as 'Content-Type: application/json'")
    if posted.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise NotTaken(415, "send the body uncompressed", Accept_Encoding="identity")
    return kind if len(kind) <= 100 else JSON


def _rows(document: Any, body: bytes) -> list[tuple[Any, bytes]]:
    """The members of an array, each with its own bytes."""
    if not isinstance(document, list):
        raise NotTaken(400, "the body is no array")
    if len(document) > BATCH_LIMIT:
        raise NotTaken(413, f"the array has more than {BATCH_LIMIT} members")
    for index, row in enumerate(document):
        if not isinstance(row, dict):
            raise NotTaken(400, f"member {index} of the array is no object")
    raw = msgspec.json.decode(body, type=list[msgspec.Raw])
    return [(row, bytes(piece)) for row, piece in zip(document, raw, strict=True)]


def _structured(posted: Posted, data: Any) -> tuple[Any, bytes, str]:
    """A CloudEvent whose attributes came as headers, in the form that has all in its body; the data's bytes as is."""
    said: dict[str, Any] = {}
    for name, value in posted.headers.items():
        attribute = _CE_NAME.fullmatch(name)
        if attribute is not None:
            said[attribute[1]] = unquote(value)
    said["datacontenttype"] = posted.headers["content-type"]
    return {**said, "data": data}, msgspec.json.encode({**said, "data": msgspec.Raw(posted.body)}), CLOUDEVENT


def _same(expected: str, said: str) -> bool:
    return hmac.compare_digest(expected.encode(), said.encode("utf-8", "surrogatepass"))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
