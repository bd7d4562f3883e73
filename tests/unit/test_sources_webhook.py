"""Webhooks: who may send, what becomes of it, and what it says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface.verify import verifyObject

from streamer.activity import Activity, Author
from streamer.asks import Listen, Posted, Reply, Taken
from streamer.bus.limits import check
from streamer.bus.state_lock import StateLock
from streamer.errors import ConfigurationError, DecodeError, MessageRefused
from streamer.events.change import ChangeData, change
from streamer.interfaces import ISource, ISourceType
from streamer.message import Event, Item
from streamer.secrets import Secret
from streamer.services.keeping import Keeping
from streamer.settings import loads
from streamer.sources.webhook import Webhook, webhook
from streamer.sources.webhook_calls import BATCH_LIMIT, Call
from streamer.sources.webhook_settings import Settings
from streamer.tables import CommonSettings, SourceSettings
from tests.unit.following import Following
from tests.unit.hooking import Caller, Said, call

NOW = 1_700_000_000.5
SECRET = "a secret of the sender"
JSON = "application/json"
PUSH = b'{"ref": "refs/heads/main", "repository": {"full_name": "birds/nest"}, "sender": {"login": "robin"}}'


def source(**own: Any) -> Webhook:
    """A hook named deploys; open where nothing else is said."""
    if not own.keys() & {"secret", "token", "open"}:
        own["open"] = True
    return webhook.build("deploys", Settings(**own))


def posted(body: bytes, received: float = NOW, **headers: str) -> Posted:
    """A call; header names with `_` for `-`."""
    named = {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return Posted(
        method="POST", query="", headers={"content-type": JSON, **named}, body=body, received=received, address="peer"
    )


def items(made: Webhook, body: bytes, **headers: str) -> list[Item]:
    """What a call that is taken becomes."""
    said = made.calls.answer(posted(body, **headers))
    assert isinstance(said, Taken), said
    (frame,) = said.frames
    (framed,) = made.framer().feed([frame])
    found = list(made.outcomes(framed, 0))
    assert all(isinstance(item, Item) for item in found)
    return found  # type: ignore[return-value]


def item(made: Webhook, body: bytes, **headers: str) -> Item:
    """The only one."""
    (found,) = items(made, body, **headers)
    return found


def refused(made: Webhook, body: bytes, **headers: str) -> tuple[int, str]:
    """Status and sentence of a refusal."""
    said = made.calls.answer(posted(body, **headers))
    assert isinstance(said, Reply), said
    return said.status, said.body.decode().rstrip("\n")


def signature(body: bytes, algorithm: str = "sha256", secret: str = SECRET) -> str:
    """As GitHub signs."""
    return f"{algorithm}={hmac.new(secret.encode(), body, algorithm).hexdigest()}"


def said(document: Any, content_type: str = JSON, id_: str = "-/1", **own: Any) -> Activity:
    """What a body is understood to say."""
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    made = Item(source="deploys", kind="hook", id=id_, received=1, body=body, content_type=content_type)
    return source(**own).decode(made)


class SettingsTests(SynchronousTestCase):
    """What the configuration may say."""

    def problem(self, text: str) -> str:
        """The one problem of a table."""
        error = self.assertRaises(ConfigurationError, loads, f'[sources.deploys]\ntype = "webhook"\n{text}\n')
        (problem,) = error.problems  # type: ignore[attr-defined]
        return str(problem)

    def test_interfaces(self) -> None:
        """It is a source, made by a source type without predicates."""
        verifyObject(ISourceType, webhook)
        verifyObject(ISource, source())
        self.assertRaises(ValueError, source().with_predicates, None)

    def test_good(self) -> None:
        """The path is the source's name, or another."""
        settings = loads('[sources.deploys]\ntype = "webhook"\ntoken = "t0ken"\n[bus]\nurl = "memory:"\n')
        ask = settings.sources["deploys"].source.request(None, 0)
        assert isinstance(ask, Listen)
        self.assertEqual(("deploys", ("POST",), None), (ask.hook.path, ask.hook.methods, ask.replays_from))
        self.assertEqual("a/b", source(path="a/b").calls.hook().path)

    def test_unguarded(self) -> None:
        """Without a secret it has to be said that this is meant."""
        self.assertIn("or say open = true", self.problem(""))
        self.assertIn("leave it out", self.problem('open = true\ntoken = "x"'))

    def test_wrong(self) -> None:
        """Each mistake has its sentence."""
        for text, sentence in (
            ('secret = "short"', "less than 8 characters"),
            ('token = "two words"', "printable ASCII"),
            ('open = true\npath = "/a"', "path '/a'"),
            ('open = true\npath = "a/../b c"', "path"),
            ('open = true\npath = ".."', "path '..'"),
            ('open = true\npath = "a/./b"', "path 'a/./b'"),
            ('secret = "long enough"\ntoken = "t"\nsignature = "authorization"', "no call can satisfy both"),
            ('open = true\nkind = "post"', "kind 'post'"),
            ('open = true\nkind = "Deploy"', "kind 'Deploy'"),
            ('open = true\ntitle = "title"', "title: 'title' is no JSON pointer"),
            ('open = true\nid = "x"', "id: 'x' is no JSON pointer"),
            ('secret = "long enough"\nsignature = "X Y"', "signature 'X Y' is no name of a header"),
            ('open = true\nbase_url = "https://example.org"', "unknown key 'base_url'"),
        ):
            self.assertIn(sentence, self.problem(text))

    def test_two_on_one_path(self) -> None:
        """They would take each other's calls."""
        text = '[sources.{}]\ntype = "webhook"\nopen = true\npath = "x"\n'
        error = self.assertRaises(ConfigurationError, loads, text.format("a") + text.format("b"))
        self.assertIn("[sources.b] has the path 'x', as [sources.a]; give it another", str(error))

    def test_secrets_do_not_show(self) -> None:
        """A log that shows the source shows neither secret nor token."""
        shown = repr(source(secret=Secret(SECRET), token=Secret("t0ken")))
        self.assertNotIn(SECRET, shown)
        self.assertNotIn("t0ken", shown)


class SenderTests(SynchronousTestCase):
    """Who may send."""

    def test_signed(self) -> None:
        """As GitHub signs; also bare, in capitals, and in base64."""
        made = source(secret=Secret(SECRET))
        good = signature(PUSH)
        digest = base64.b64encode(hmac.new(SECRET.encode(), PUSH, hashlib.sha256).digest()).decode()
        for value in (good, good.removeprefix("sha256="), good.removeprefix("sha256=").upper(), digest):
            item(made, PUSH, X_Hub_Signature_256=value)

    def test_signed_wrongly(self) -> None:
        """403 for another body, secret or algorithm, and for none."""
        made = source(secret=Secret(SECRET))
        good = signature(PUSH)
        for value in (
            "",
            "sha256=",
            good[:-1],
            signature(PUSH, secret="other"),
            signature(PUSH, "sha1"),
            "ä",
            "\ud800",
        ):
            status, text = refused(made, PUSH, X_Hub_Signature_256=value)
            self.assertEqual((403, "X-Hub-Signature-256 is not the signature of this body"), (status, text))
        self.assertEqual(403, refused(made, PUSH + b" ", X_Hub_Signature_256=good)[0])
        self.assertEqual(403, refused(made, PUSH)[0])

    def test_another_header_and_algorithm(self) -> None:
        """Both can be chosen."""
        made = source(secret=Secret(SECRET), signature="X-Signature", algorithm="sha512")
        item(made, PUSH, X_Signature=signature(PUSH, "sha512"))
        self.assertEqual(403, refused(made, PUSH, X_Signature=signature(PUSH))[0])

    def test_token(self) -> None:
        """A bearer token; or the token alone in a header of another name."""
        made = source(token=Secret("t0ken"))
        item(made, PUSH, Authorization="Bearer t0ken")
        item(made, PUSH, Authorization="bearer  t0ken")
        for value in ("", "t0ken", "Basic t0ken", "Bearer t0ke", "Bearer t0ken2", "Bearer ä"):
            answer = made.calls.answer(posted(PUSH, Authorization=value))
            assert isinstance(answer, Reply)
            self.assertEqual((401, "Bearer"), (answer.status, answer.headers["WWW-Authenticate"]))
        made = source(token=Secret("t0ken"), token_header="X-Gitlab-Token")
        item(made, PUSH, X_Gitlab_Token="t0ken")
        self.assertEqual(401, refused(made, PUSH, Authorization="Bearer t0ken")[0])

    def test_both(self) -> None:
        """Where both are given, both have to be right."""
        made = source(token=Secret("t0ken"), secret=Secret(SECRET))
        item(made, PUSH, Authorization="Bearer t0ken", X_Hub_Signature_256=signature(PUSH))
        self.assertEqual(403, refused(made, PUSH, Authorization="Bearer t0ken")[0])
        self.assertEqual(401, refused(made, PUSH, X_Hub_Signature_256=signature(PUSH))[0])

    def test_the_sender_comes_first(self) -> None:
        """Strangers do not learn what is wrong with their body."""
        self.assertEqual(403, refused(source(secret=Secret(SECRET)), b"{", Content_Type="text/plain")[0])


class BodyTests(SynchronousTestCase):
    """What may be sent, and which item it is."""

    def test_untouched(self) -> None:
        """The item holds the bytes as they came."""
        found = item(source(), b' {"a" : 1.0,\n"b":"\\u00e9"} ', Content_Type="application/json; charset=UTF-8")
        self.assertEqual(b' {"a" : 1.0,\n"b":"\\u00e9"} ', found.body)
        self.assertEqual(("deploys", "hook", 1_700_000_000_500), (found.source, found.kind, found.received))
        self.assertEqual(("application/json", "deploys", None), (found.content_type, found.partition, found.cursor))
        self.assertEqual("deploy", item(source(kind="deploy"), b"{}").kind)

    def test_types(self) -> None:
        """JSON of any kind, in UTF-8, uncompressed."""
        for good in (
            JSON,
            "application/vnd.api+json",
            "APPLICATION/JSON;charset=utf-8",
            'application/json; charset="utf-8"',
            "application/json;",
            "application/json; odata.metadata=minimal",
            'application/json; charset=utf-8; profile="x;charset=latin1"',
            "application/ld+json; profile=https://www.w3.org/ns/activitystreams",
        ):
            item(source(), b"{}", Content_Type=good)
        for wrong in (
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            'application/json; version=1; charset="latin1"',
            "json",
        ):
            status, text = refused(source(), b"{}", Content_Type=wrong)
            self.assertEqual((415, "send JSON in UTF-8, as 'Content-Type: application/json'"), (status, text))
        self.assertEqual(415, refused(source(), b"{}", Content_Encoding="gzip")[0])
        item(source(), b"{}", Content_Encoding="identity")

    def test_no_json(self) -> None:
        """400, with the place."""
        self.assertEqual(
            (400, "the body is no JSON: JSON is malformed: invalid character (byte 6)"), refused(source(), b'{"a": x}')
        )
        for body in (b"", b"{", b'{"a": "\xff"}', b"\xef\xbb\xbf{}", b"{}{}"):
            self.assertEqual(400, refused(source(), body)[0], body)
        self.assertEqual((400, "the body is nested too deeply"), refused(source(), b"[" * 100_000))
        for body in (b"1", b'"text"', b"null", b"true"):
            self.assertEqual((400, "the body is neither an object nor an array"), refused(source(), body))

    def test_half_a_surrogate_pair(self) -> None:
        """It does not cost the item; it is read as a replacement character."""
        found = item(source(), b'{"title": "a\\ud800b"}')
        self.assertEqual("a\ufffdb", source().decode(found).title)

    def test_ids_from_headers(self) -> None:
        """The sender's own word for a call; what happened stands before it."""
        found = item(source(), PUSH, X_GitHub_Delivery="72d3162e-cc78", X_GitHub_Event="push")
        self.assertEqual("push/72d3162e-cc78", found.id)
        found = item(source(), PUSH, Idempotency_Key="k", X_Gitlab_Event="Merge Request Hook")
        self.assertEqual("merge-request-hook/k", found.id)
        made = source(id_header="X-Id", event_header="X-What")
        self.assertEqual("deploy/1", item(made, PUSH, X_Id="1", X_GitHub_Delivery="2", X_What="Deploy").id)
        self.assertEqual("-/2", item(made, PUSH, X_GitHub_Delivery="2").id)

    def test_ids_from_the_body(self) -> None:
        """A place that the configuration names goes before the headers; what is no id there is passed over."""
        made = source(id="/call/id")
        for value, key in (("x", "x"), (7, "7"), (10**30, str(10**30))):
            body = (
                msgspec.json.encode({"call": {"id": value}}) if value != 10**30 else b'{"call": {"id": %d}}' % 10**30
            )
            self.assertEqual(f"-/{key}", item(made, body, X_GitHub_Delivery="h").id)
        for value in ("", None, True, [], {}):
            body = msgspec.json.encode({"call": {"id": value}})
            self.assertEqual("-/h", item(made, body, X_GitHub_Delivery="h").id, value)

    def test_ids_from_the_bytes(self) -> None:
        """Without any, the same body again is the same item."""
        self.assertEqual(item(source(), b"{}").id, item(source(), b"{}").id)
        self.assertNotEqual(item(source(), b"{}").id, item(source(), b"{ }").id)

    def test_odd_ids(self) -> None:
        """Long and unprintable ones are replaced by their hash, odd events by what is left of them."""
        for key in ("k" * 201, "a\x00b", "a\ud800", "\u6ce8\u6587" * 50):
            self.assertRegex(item(source(), b"{}", X_GitHub_Delivery=key).id, "^-/[0-9a-f]{32}$")
        for event, word in (("\x1b[31m", "31m"), ("../..", "..-.."), ("ä", "-"), ("x" * 500, "x" * 60), ("/", "-")):
            self.assertEqual(f"{word}/1", item(source(), b"{}", X_GitHub_Delivery="1", X_GitHub_Event=event).id)

    def test_ids_fit_the_bus(self) -> None:
        """However long the name, the event and the key are, and in whatever script: item and event can be carried."""
        made = webhook.build("n" * 63, Settings(open=True, title="/title"))
        for key in ("k" * 200, "k" * 100, "\u00e4" * 90, "\u6ce8\u6587" * 33, "\U0001f600" * 50):
            found = item(made, b'{"title":"t"}', X_GitHub_Delivery=key, X_GitHub_Event="e" * 60)
            self.assertLessEqual(len(found.message().message_id.encode()), 255)
            check(found.message())
            event = change.derive(msgspec.structs.replace(made.decode(found), action="x"), 0)
            assert event is not None
            check(event.message())

    def test_an_array(self) -> None:
        """One item, unless it is said that its members are items."""
        body = b'[{"a":1} , {"a" : 2}]'
        self.assertEqual(body, item(source(), body).body)
        first, second = items(source(batch=True), body, X_GitHub_Delivery="d")
        self.assertEqual((b'{"a":1}', b'{"a" : 2}'), (first.body, second.body))
        self.assertEqual(("-/d#0", "-/d#1"), (first.id, second.id))
        first, second = items(source(batch=True, id="/a"), body)
        self.assertEqual(("-/1", "-/2"), (first.id, second.id))
        first, second = items(source(batch=True), body)
        self.assertNotEqual(first.id, second.id)
        self.assertEqual([], items(source(batch=True), b"[]"))
        self.assertEqual(1, len(items(source(batch=True), b"{}")))

    def test_arrays_that_are_none(self) -> None:
        """All of an array is taken, or nothing."""
        made = source(batch=True)
        self.assertEqual((400, "member 1 of the array is no object"), refused(made, b"[{}, 1]"))
        self.assertEqual(413, refused(made, b"[" + b",".join([b"{}"] * (BATCH_LIMIT + 1)) + b"]")[0])

    def test_frames_know_their_size(self) -> None:
        """For the number of bytes that came."""
        answer = source().calls.answer(posted(PUSH))
        assert isinstance(answer, Taken)
        self.assertEqual(len(PUSH), len(answer.frames[0]))

    @given(st.binary(max_size=40) | st.text(alphabet='{}[]":,0123456789aeu\\d8 ', max_size=40).map(str.encode))
    def test_any_bytes(self, body: bytes) -> None:
        """They are refused with 400, or taken and decoded; never anything else."""
        for made in (source(), source(batch=True, id="/0")):
            answer = made.calls.answer(posted(body))
            if isinstance(answer, Reply):
                self.assertEqual(400, answer.status)
                continue
            for found in answer.frames[0].items:
                made.decode(found)


class CloudEventsTests(SynchronousTestCase):
    """The three forms of https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md"""

    EVENT: dict[str, Any] = {
        "specversion": "1.0",
        "type": "com.example.deployed",
        "source": "/ci/birds",
        "id": "A-1",
        "time": "2026-01-02T03:04:05.678Z",
        "subject": "nest",
        "data": {"title": "not this", "url": "https://example.org/1", "user": {"login": "robin"}},
    }

    def check(self, found: Item) -> None:
        """The event is understood."""
        self.assertEqual(("-//ci/birds A-1", "application/cloudevents+json"), (found.id, found.content_type))
        activity = source().decode(found)
        self.assertEqual(("com.example.deployed", "/ci/birds"), (activity.action, activity.scope))
        self.assertEqual(("nest", "https://example.org/1"), (activity.title, activity.url))
        self.assertEqual(1_767_323_045_678, activity.created)
        self.assertEqual(Author("robin", name="robin"), activity.author)

    def test_structured(self) -> None:
        """All in the body."""
        self.check(item(source(), msgspec.json.encode(self.EVENT), Content_Type="application/cloudevents+json"))

    def test_batched(self) -> None:
        """Several of them, whatever `batch` says."""
        body = msgspec.json.encode([self.EVENT, {**self.EVENT, "id": "A-2"}])
        first, second = items(source(), body, Content_Type="application/cloudevents-batch+json")
        self.check(first)
        self.assertEqual("-//ci/birds A-2", second.id)
        status, _ = refused(source(), b"{}", Content_Type="application/cloudevents-batch+json")
        self.assertEqual(400, status)

    def test_binary(self) -> None:
        """What headers say comes into the body; the data keeps its bytes."""
        headers = {f"ce_{name}": str(value) for name, value in self.EVENT.items() if name != "data"}
        data = b'{ "url" : "https://example.org/1", "user":{"login":"robin"}}'
        found = item(source(), data, **{**headers, "ce_subject": "n%65st"})
        self.assertIn(data, found.body)
        self.check(found)

    def test_half_a_binary_one(self) -> None:
        """Without all that must be there it is a body as any other."""
        found = item(source(), b"{}", ce_id="A-1", ce_source="/ci")
        self.assertEqual(("application/json", b"{}"), (found.content_type, found.body))


class DecodeTests(SynchronousTestCase):
    """What a body says."""

    def test_github(self) -> None:
        """A push, as GitHub tells it."""
        found = said(
            {
                "ref": "refs/heads/main",
                "compare": "https://github.com/birds/nest/compare/a...b",
                "repository": {"full_name": "birds/nest", "html_url": "https://github.com/birds/nest"},
                "sender": {"login": "robin"},
                "head_commit": {"message": "Add twigs\n\nMore of them.", "timestamp": "2026-01-02T03:04:05+01:00"},
            },
            id_="push/1",
        )
        self.assertEqual(("push", "birds/nest", "Add twigs"), (found.action, found.scope, found.title))
        self.assertEqual("Add twigs\n\nMore of them.", found.text)
        self.assertEqual("https://github.com/birds/nest/compare/a...b", found.url)
        self.assertEqual(1_767_319_445_000, found.created)
        self.assertEqual("robin", found.author and found.author.id)

    def test_named_places(self) -> None:
        """The configuration says where; then the usual places do not count, and the header's word neither."""
        body = {"what": "built", "where": ["x", {"y": "z"}], "title": "no", "n": 12, "at": 1_700_000_000}
        found = said(body, id_="push/1", action="/what", scope="/where/1/y", title="/n", text="/none", created="/at")
        self.assertEqual(("built", "z", "12", None), (found.action, found.scope, found.title, found.text))
        self.assertEqual(1_700_000_000_000, found.created)

    def test_nothing_known(self) -> None:
        """There is an action all the same, so that there is an event."""
        found = said({})
        self.assertEqual(("hook", None, None), (found.action, found.title, found.author))
        event = change.derive(found, 5)
        assert isinstance(event, Event)
        self.assertEqual(ChangeData(id="-/1", action="hook"), event.data)
        self.assertEqual("change.deploys.hook.-.-", event.topic)
        self.assertEqual("hook", said([1]).action)

    def test_odd_values(self) -> None:
        """What does not fit is left out, and nothing else with it."""
        for value in (None, True, [], {}, "", "  ", {"a": 1}):
            found = said({"title": value, "name": "second", "url": value, "timestamp": value, "author": value})
            self.assertEqual(("second", None, None), (found.title, found.url, found.created))
        for url in ("javascript:alert(1)", "ftp://x", "https://a b", "https://a\nb", "https://" + "x" * 2_000, 5):
            self.assertIsNone(said({"url": url}).url, url)
        self.assertEqual("a\ufffdb", said({"title": "a\0b"}).title)
        self.assertEqual(300, len(said({"title": "x" * 9_999}).title or ""))
        self.assertEqual(5_000, len(said({"text": "x" * 99_999}).text or ""))

    def test_times(self) -> None:
        """ISO 8601, seconds or milliseconds; absurd ones are left out."""
        for value, ms in (
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01 00:00:01", 1000),
            ("1970-01-01", 0),
            (1_700_000_000.5, 1_700_000_000_500),
            (1_700_000_000_500, 1_700_000_000_500),
            ("0001-01-01T00:00:00+14:00", None),
            ("9999-12-31T23:59:59-14:00", None),
            ("soon", None),
            (-5, None),
            (2**70, None),
            (9e18, None),
        ):
            self.assertEqual(
                ms,
                said(b'{"time": %s}' % msgspec.json.encode(value)).created
                if value != 2**70
                else said(b'{"time": %d}' % 2**70).created,
                value,
            )

    def test_no_json(self) -> None:
        """What cannot be read is said so."""
        for body in (b"", b"{", b"\xff", b"[" * 100_000):
            self.assertRaises(DecodeError, said, body)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(
                        ["title", "url", "time", "user", "login", "data", "repository", "sender", "message", "a"]
                    ),
                    inner,
                    max_size=3,
                )
            ),
        )
    )
    def test_any_document(self, document: Any) -> None:
        """Whatever is in it: an activity with an action that makes an event."""
        found = said(document, "application/cloudevents+json")
        event = change.derive(found, 5)
        assert event is not None
        msgspec.json.encode(event)


def table(**own: Any) -> SourceSettings:
    """The settings of a hook."""
    own = own or {"open": True}
    settings = Settings(**own)
    return SourceSettings(CommonSettings(), webhook, settings, ISource(webhook.build("birds", settings)))


class Idle:
    """No upstream: hooks are called."""

    resource = Resource()

    def stop(self) -> None:
        """Nothing runs."""


def following(**options: Any) -> Following:
    """A hook that is followed."""
    made = Following(table=table(), simulation=Idle(), **options)
    made.start()
    return made


class FollowedTests(SynchronousTestCase):
    """From a call to the bus."""

    def post(self, made: Following, body: bytes) -> Said | None:
        """A call."""
        found = call(made.hooks, "/hooks/birds", body, Content_Type=JSON)
        made.pump()
        return found

    def test_taken(self) -> None:
        """The sender is told once the bus has the item; the same again is no second one."""
        made = following()
        caller = Caller(made.hooks)
        answer = caller.call("/hooks/birds", b'{"a":1}', Content_Type=JSON)
        made.pump()
        self.assertEqual((202, b"taken\n"), (answer and answer.status, answer and answer.body))
        self.assertEqual([b'{"a":1}'], [item.body for item in made.items])
        answer = caller.call("/hooks/birds", b'{"a":1}', Content_Type=JSON)
        self.assertEqual((202, 1), (answer and answer.status, len(made.items)))
        caller.hang_up()
        self.assertEqual([], made.stop())

    def test_a_bus_that_is_away(self) -> None:
        """The sender is asked to come again, and his second attempt is the first that counts."""
        made = following()
        made.bus.away = True
        answer = self.post(made, b"{}")
        self.assertEqual((503, "5"), (answer and answer.status, answer and answer.headers["retry-after"]))
        made.bus.away = False
        self.post(made, b"{}")
        self.assertEqual(1, len(made.items))
        self.assertEqual([], made.stop())

    def test_a_bus_that_confirms_nothing(self) -> None:
        """After ten seconds the sender is asked to come again; the item is not lost, and not there twice."""
        made = following()
        made.bus.held = []
        caller = Caller(made.hooks)
        caller.call("/hooks/birds", b"{}", Content_Type=JSON)
        made.advance(10.5)
        answer = caller.said()
        self.assertEqual(503, answer and answer.status)
        made.bus.release()
        made.pump()
        answer = caller.call("/hooks/birds", b"{}", Content_Type=JSON)
        self.assertEqual((202, 1), (answer and answer.status, len(made.items)))
        caller.hang_up()
        self.assertEqual([], made.stop())

    def test_a_bus_that_refuses(self) -> None:
        """Who sends what the bus never takes is told so, also the second time, and never that it was taken."""
        made = following()
        for _ in range(2):
            made.bus.held = []
            caller = Caller(made.hooks)
            caller.call("/hooks/birds", b"{}", Content_Type=JSON)
            made.bus.held.pop()[1].errback(MessageRefused("the bus cannot carry it"))
            made.pump()
            answer = caller.said()
            assert answer is not None
            self.assertEqual(422, answer.status)
            self.assertEqual(b"this can never be taken: the bus cannot carry it\n", answer.body)
            caller.hang_up()
        made.bus.held = None
        answer = self.post(made, b"{}")
        self.assertEqual(202, answer and answer.status)
        self.assertEqual([], made.stop())

    def test_it_may_be_silent(self) -> None:
        """Days without a call are no stall and no gap."""
        made = following()
        made.advance(200_000, step=5)
        self.post(made, b"{}")
        self.assertEqual((1, []), (len(made.items), made.gaps()))
        self.assertEqual([], made.stop())

    def test_refused_calls_harm_nobody(self) -> None:
        """The next one is taken."""
        made = following()
        for body in (b"{", b"1"):
            answer = self.post(made, body)
            self.assertEqual(400, answer and answer.status)
        answer = call(made.hooks, "/hooks/birds", b"{}", method="GET")
        self.assertEqual(405, answer and answer.status)
        self.post(made, b"{}")
        self.assertEqual(1, len(made.items))
        self.assertEqual([], made.stop())

    def test_a_restart_announces_what_it_missed(self) -> None:
        """Nobody listened in between, so there is a gap from the last sign of life to the next."""
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)

        def keeping() -> Keeping:
            return Keeping(folder / "birds.cursor", StateLock(folder, "birds"), None, maybeDeferred)

        first = following(keeping=keeping())
        self.post(first, b"{}")
        first.advance(60)
        self.assertEqual([], first.stop())
        self.assertEqual(0, first.ports.open)
        first.clock.advance(600)
        second = following(keeping=keeping(), clock=first.clock)
        self.post(second, b"[]")
        (gap,) = second.gaps()
        self.assertAlmostEqual(605_000, gap.end - gap.start, delta=12_000)
        self.assertEqual([b"[]"], [item.body for item in second.items if item.kind == "hook"])
        self.assertEqual([], second.stop())

    def test_a_taken_port(self) -> None:
        """The source says why it is not there, and is there when the port is free."""
        made = Following(table=table(), simulation=Idle())
        made.ports.refuses = OSError(98, "Address already in use")
        made.start()
        self.assertIsNone(call_or_none(made))
        made.ports.refuses = None
        made.advance(30)
        answer = self.post(made, b"{}")
        self.assertEqual(202, answer and answer.status)
        self.assertEqual([], made.stop())


def call_or_none(made: Following) -> Any:
    """Nothing listens."""
    return made.ports.open or None


def test_call_is_a_frame() -> None:
    """A call without items has a size all the same."""
    assert len(Call((), 5)) == 5
