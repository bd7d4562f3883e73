"""The operator's verbs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyChannel
from zope.interface import implementer
from zope.interface.verify import verifyObject

from streamer.errors import ControlRefused
from streamer.metrics import Metrics
from streamer.net.admin import DISCARD_LIMIT, IDLE_TIMEOUT, admin_site
from streamer.net.control import BODY_LIMIT
from streamer.operating import IControl
from streamer.secrets import Secret

HERE = IPv4Address("TCP", "127.0.0.1", 40000)
ELSEWHERE = IPv4Address("TCP", "192.0.2.7", 40000)


@implementer(IControl)
class Sources:
    """A control without upstreams: it keeps what was wanted of each source, and stops at once unless `slow`."""

    def __init__(self, *names: str) -> None:
        self.state = dict.fromkeys(names, "following")
        self.wanted: dict[str, Any] = {name: {"rules": []} for name in names}
        self.slow = False
        self.stopping: list[tuple[Deferred[None], list[str]]] = []

    def update(self, names: Sequence[str]) -> None:
        """All follow."""
        self.state.update(dict.fromkeys(self._known(names), "following"))

    def start(self, names: Sequence[str]) -> None:
        """All follow."""
        self.update(names)

    def stop(self, names: Sequence[str]) -> Deferred[None]:
        """All are stopped, at once or by `quiet`."""
        chosen = self._known(names)
        self.state.update(dict.fromkeys(chosen, "stopping"))
        waiting: Deferred[None] = Deferred()
        self.stopping.append((waiting, chosen))
        if not self.slow:
            self.quiet()
        return waiting

    def quiet(self) -> None:
        """What was told to stop has stopped."""
        stopping, self.stopping = self.stopping, []
        for waiting, names in stopping:
            self.state.update(dict.fromkeys(names, "stopped"))
            waiting.callback(None)

    def standing(self, names: Sequence[str]) -> Mapping[str, Any]:
        """States."""
        return {name: {"state": self.state[name], "items": 0} for name in self._known(names)}

    def predicates(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Wanted ones."""
        return {name: {"wanted": self.wanted[name]} for name in self._known(names)}

    def put_predicates(self, name: str, body: bytes, dry_run: bool) -> Deferred[Mapping[str, Any]]:
        """Takes objects with the key `rules`."""
        try:
            self._known([name])
            wanted = json.loads(body)
            if not isinstance(wanted, dict) or set(wanted) != {"rules"}:
                raise ControlRefused("predicates have the key 'rules' and no other", 422)
        except ControlRefused:
            return fail()
        if not dry_run:
            self.wanted[name] = wanted
        return succeed({"wanted": wanted, "dry_run": dry_run})

    def _known(self, names: Sequence[str]) -> list[str]:
        for name in names:
            if name not in self.state:
                raise ControlRefused(f"no source {name!r} is followed here; known are {', '.join(self.state)}", 404)
        return list(names or self.state)


class Broken(Sources):
    """A control with a fault of our own in each verb."""

    def standing(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Fails."""
        raise RuntimeError("a secret detail")

    predicates = standing


class Answer:
    """An HTTP answer taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def json(self) -> Any:
        """The body read."""
        return json.loads(self.body)


class Endpoint:
    """The admin endpoint in memory, asked as over a socket."""

    def __init__(self, control: IControl | None, token: str | None = None) -> None:
        self.clock = Clock()
        secret = None if token is None else Secret(token)
        self.site: Any = admin_site(Metrics(), lambda: {"bus": "memory"}, list, control, secret)

    def connect(self, peer: Any = HERE) -> tuple[Any, StringTransport]:
        """A new connection."""
        transport = StringTransport(peerAddress=peer)
        channel = self.site.buildProtocol(peer)
        channel.callLater = self.clock.callLater
        channel.makeConnection(transport)
        return channel, transport

    def raw(self, data: bytes, peer: Any = HERE) -> Answer:
        """What these bytes are answered with."""
        channel, transport = self.connect(peer)
        channel.dataReceived(data)
        channel.connectionLost(Failure(ConnectionDone()))
        assert self.clock.getDelayedCalls() == []
        return Answer(transport.value())

    def ask(self, asked: str, body: bytes = b"", peer: Any = HERE, **headers: str) -> Answer:
        """What `"POST /stop?source=a"` is answered with; `Host=""` sends none."""
        return self.raw(request(asked, body, **headers), peer)


def request(asked: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; `Sec_Fetch_Site="none"` is a header."""
    headers = {"Host": "127.0.0.1:8181", "Content_Length": str(len(body)), **headers}
    lines = [f"{asked} HTTP/1.1", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items() if v), "", ""]
    return "\r\n".join(lines).encode() + body


class VerbTests(SynchronousTestCase):
    """/update /stop /start /predicates, asked from this machine without a token."""

    def setUp(self) -> None:
        self.control = Sources("birds", "cats")
        self.endpoint = Endpoint(self.control)
        self.ask: Callable[..., Answer] = self.endpoint.ask

    def refused(self, answer: Answer, code: int, *words: str) -> None:
        """The answer is a sentence with these words."""
        self.assertEqual(code, answer.code)
        self.assertEqual(["error"], list(answer.json))
        for word in words:
            self.assertIn(word, answer.json["error"])

    def test_fake(self) -> None:
        """The control of these tests is one."""
        self.assertTrue(verifyObject(IControl, self.control))

    def test_all(self) -> None:
        """Without names a verb is for all sources, and answers how they stand."""
        answer = self.ask("POST /stop")
        self.assertEqual(200, answer.code)
        stopped = {"state": "stopped", "items": 0}
        self.assertEqual({"birds": stopped, "cats": stopped}, answer.json)
        self.assertEqual("application/json", answer.headers["content-type"])
        self.assertEqual("no-store", answer.headers["cache-control"])
        self.assertEqual("nosniff", answer.headers["x-content-type-options"])

    def test_named(self) -> None:
        """Names choose, each once; the answer has those rows and no others."""
        answer = self.ask("POST /stop?source=cats&source=cats")
        self.assertEqual({"cats": "stopped"}, {name: row["state"] for name, row in answer.json.items()})
        self.assertEqual({"birds": "following", "cats": "stopped"}, self.control.state)
        self.assertEqual(["birds", "cats"], list(self.ask("POST /stop?source=birds&source=cats").json))

    def test_again(self) -> None:
        """Each verb may be said twice, and after any other."""
        verbs = ("stop", "stop", "update", "update", "start", "stop", "start", "start", "update", "stop")
        for verb in verbs:
            with self.subTest(verb=verb):
                answer = self.ask(f"POST /{verb}")
                state = "stopped" if verb == "stop" else "following"
                self.assertEqual((200, {state}), (answer.code, {row["state"] for row in answer.json.values()}))

    def test_stop_answers_when_quiet(self) -> None:
        """The answer to a stop waits until nothing runs any more."""
        self.control.slow = True
        channel, transport = self.endpoint.connect()
        channel.dataReceived(request("POST /stop"))
        self.endpoint.clock.advance(100)
        self.assertEqual((b"", False), (transport.value(), transport.disconnecting))
        self.control.quiet()
        self.assertEqual("stopped", Answer(transport.value()).json["birds"]["state"])
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.endpoint.clock.getDelayedCalls())

    def test_client_gone(self) -> None:
        """A client that hangs up while it waits stops nothing, and is no error."""
        self.control.slow = True
        channel, transport = self.endpoint.connect()
        channel.dataReceived(request("POST /stop"))
        channel.connectionLost(Failure(ConnectionDone()))
        self.control.quiet()
        self.assertEqual({"birds": "stopped", "cats": "stopped"}, self.control.state)
        self.assertEqual((b"", []), (transport.value(), self.flushLoggedErrors()))

    def test_wrong_method(self) -> None:
        """Looking changes nothing: the verbs want POST, and the answer says so."""
        for asked, allowed in (
            ("GET /stop", "POST"),
            ("HEAD /stop", "POST"),
            ("PUT /update", "POST"),
            ("DELETE /start", "POST"),
            ("POST /predicates", "GET, HEAD, PUT"),
            ("FROB /predicates", "GET, HEAD, PUT"),
        ):
            with self.subTest(asked=asked):
                answer = self.ask(asked)
                self.assertEqual((405, allowed), (answer.code, answer.headers["allow"]))
        self.assertEqual({"birds": "following", "cats": "following"}, self.control.state)

    def test_unknown_source(self) -> None:
        """A name that is not followed is refused with the known ones, and nothing happens to the others."""
        for asked in (
            "POST /stop?source=birds&source=dogs",
            "POST /update?source=dogs",
            "POST /start?source=dogs",
            "GET /predicates?source=dogs",
            "PUT /predicates?source=dogs",
        ):
            with self.subTest(asked=asked):
                self.refused(self.ask(asked, b"{}" if asked.startswith("PUT") else b""), 404, "'dogs'", "birds, cats")
        self.assertEqual({"birds": "following", "cats": "following"}, self.control.state)

    def test_misspelt(self) -> None:
        """What might be meant for one source never becomes a word to all of them."""
        for asked, body, word in (
            ("POST /stop?sources=cats", b"", "'sources'"),
            ("POST /stop?cats", b"", "'cats'"),
            ("POST /stop?source", b"", "empty"),
            ("POST /stop?source=", b"", "empty"),
            ("POST /stop?source=&source=cats", b"", "empty"),
            ("POST /stop?dry_run=true", b"", "'dry_run'"),
            ("POST /stop", b"source=cats", "query"),
            ("POST /stop?source=%ff", b"", "query"),
            ("GET /predicates?x=1&y=2", b"", "'x', 'y'"),
            ("GET /predicates?dry_run=true", b"", "'dry_run'"),
            ("GET /predicates?" + "&source=a" * 1001, b"", "query"),
        ):
            with self.subTest(asked=asked[:40]):
                self.refused(self.ask(asked, body), 400, word)
        self.assertEqual(400, self.ask("POST /stop?source=é").code)  # by twisted.web itself
        form = self.ask("POST /stop", b"source=cats", Content_Type="application/x-www-form-urlencoded")
        self.refused(form, 400, "query")
        self.refused(self.ask("POST /stop", b"x", Content_Type="multipart/form-data; boundary=x"), 400, "query")
        self.refused(self.ask("POST /stop/cats"), 404, "?source=NAME")
        self.assertEqual({"birds": "following", "cats": "following"}, self.control.state)
        self.assertEqual(200, self.ask("POST /stop/?").code)

    def test_get_predicates(self) -> None:
        """All of them, or the named ones; HEAD says how long that is."""
        self.assertEqual(["birds", "cats"], list(self.ask("GET /predicates").json))
        answer = self.ask("GET /predicates?source=cats")
        self.assertEqual({"cats": {"wanted": {"rules": []}}}, answer.json)
        head = self.ask("HEAD /predicates?source=cats")
        self.assertEqual(
            (200, b"", answer.headers["content-length"]), (head.code, head.body, head.headers["content-length"])
        )

    def test_put_predicates(self) -> None:
        """They reach the control as they came, and its row is the answer."""
        answer = self.ask("PUT /predicates?source=cats", b'{"rules": ["cat"]}')
        self.assertEqual((200, {"wanted": {"rules": ["cat"]}, "dry_run": False}), (answer.code, answer.json))
        self.assertEqual({"birds": {"rules": []}, "cats": {"rules": ["cat"]}}, self.control.wanted)

    def test_dry_run(self) -> None:
        """A dry run changes nothing; what is neither true nor false is no guess."""
        for said, dry in (("true", True), ("false", False)):
            answer = self.ask(f"PUT /predicates?source=cats&dry_run={said}", b'{"rules": [1]}')
            self.assertEqual(dry, answer.json["dry_run"])
            self.assertEqual([] if dry else [1], self.control.wanted["cats"]["rules"])
        for said in ("=yes", "=", "", "=True", "=true&dry_run=false"):
            with self.subTest(said=said):
                answer = self.ask(f"PUT /predicates?source=cats&dry_run{said}", b'{"rules": [2]}')
                self.refused(answer, 400, "dry_run is true or false")
        self.assertEqual([1], self.control.wanted["cats"]["rules"])

    def test_only_source(self) -> None:
        """The name may be left out where there is one source, and only there."""
        self.refused(self.ask("PUT /predicates", b"{}"), 400, "?source=NAME", "birds, cats")
        self.refused(self.ask("PUT /predicates?source=birds&source=cats", b"{}"), 400, "of one source")
        self.refused(Endpoint(Sources()).ask("PUT /predicates", b"{}"), 400, "none")
        self.assertEqual(200, self.ask("PUT /predicates?source=cats&source=cats", b'{"rules": []}').code)
        one = Sources("birds")
        self.assertEqual(200, Endpoint(one).ask("PUT /predicates", b'{"rules": [3]}').code)
        self.assertEqual({"birds": {"rules": [3]}}, one.wanted)

    def test_bad_body(self) -> None:
        """What is no JSON goes no further."""
        for body, word in (
            (b"", "empty"),
            (b" \n", "empty"),
            (b"rules = []", "no JSON"),
            (b'{"rules": []} x', "no JSON"),
            (b'{"rules": ["\xff"]}', "no JSON"),
            (b"[" * 500_000, "no JSON"),
            (b"1e999", "no JSON"),
        ):
            with self.subTest(body=body[:20]):
                self.refused(self.ask("PUT /predicates?source=cats", body), 400, word)
        self.assertEqual({"rules": []}, self.control.wanted["cats"])

    def test_refused(self) -> None:
        """What the control refuses is said in its words, with its status."""
        answer = self.ask("PUT /predicates?source=cats", b'{"track": []}')
        self.refused(answer, 422, "predicates have the key 'rules' and no other")

    def test_long_body(self) -> None:
        """A body up to the limit is read, a longer one is refused; one without end is hung up on, and not kept."""
        start = b'{"rules": ["'
        body = start + b"x" * (BODY_LIMIT - len(start) - 3) + b'"]}'
        self.assertEqual(200, self.ask("PUT /predicates?source=cats", body).code)
        self.refused(self.ask("PUT /predicates?source=cats", body + b" "), 413, "1000000 bytes")
        self.refused(self.ask("PUT /predicates?source=cats", body * 2), 413, "1000000 bytes")

    def test_endless_body(self) -> None:
        """A body that does not end is hung up on."""
        channel, transport = self.endpoint.connect()
        channel.dataReceived(request("PUT /predicates?source=cats", Content_Length="999999999"))
        for _ in range(DISCARD_LIMIT // BODY_LIMIT):
            channel.dataReceived(b"x" * BODY_LIMIT)
        self.assertFalse(transport.disconnecting)
        channel.dataReceived(b"x")
        self.assertTrue(transport.disconnecting)
        channel.connectionLost(Failure(ConnectionDone()))

    def test_long_body_is_not_kept(self) -> None:
        """Of a long body no more is held than shows that it is long, however it is cut."""
        whole = self.endpoint.site.requestFactory(DummyChannel())
        whole.gotLength(None)
        for size in (10, BODY_LIMIT - 10, 3, BODY_LIMIT, 1):
            whole.handleContentChunk(b"x" * size)
        self.assertEqual(BODY_LIMIT + 1, len(whole.content.getvalue()))

    def test_idle(self) -> None:
        """A connection on which nothing comes is closed."""
        channel, transport = self.endpoint.connect()
        self.endpoint.clock.advance(IDLE_TIMEOUT + 1)
        self.assertTrue(transport.disconnecting)
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], self.endpoint.clock.getDelayedCalls())

    def test_our_fault(self) -> None:
        """A fault of our own is logged, and tells the client nothing of our insides."""
        endpoint = Endpoint(Broken("birds"))
        for asked in ("POST /update", "GET /predicates"):
            answer = endpoint.ask(asked)
            self.refused(answer, 500, "the log says why")
            self.assertNotIn(b"detail", answer.body)
        self.assertEqual(2, len(self.flushLoggedErrors(RuntimeError)))

    def test_our_fault_and_gone(self) -> None:
        """A fault is logged also when nobody waits for the answer any more."""
        control = Broken("birds")
        control.slow = True
        endpoint = Endpoint(control)
        channel, transport = endpoint.connect()
        channel.dataReceived(request("POST /stop"))
        channel.connectionLost(Failure(ConnectionDone()))
        control.quiet()
        self.assertEqual((b"", 1), (transport.value(), len(self.flushLoggedErrors(RuntimeError))))

    def test_keep_alive(self) -> None:
        """One connection carries one request after another, also two at once."""
        channel, transport = self.endpoint.connect()
        channel.dataReceived(request("POST /stop") + request("GET /predicates"))
        self.assertEqual(2, transport.value().count(b"HTTP/1.1 200 OK"))
        channel.connectionLost(Failure(ConnectionDone()))

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_any_sequence(self, data: st.DataObject) -> None:
        """Whatever is asked, in whatever order, is answered, and never with a fault of ours."""
        control = Sources(*data.draw(st.lists(st.sampled_from(["a", "b"]), unique=True)))
        endpoint = Endpoint(control, data.draw(st.sampled_from([None, "t"])))
        word = st.sampled_from(["a", "b", "c", "", "true", "false", "%ff", "é", "a%20b", "source", "=", "+"])
        pair = st.tuples(st.sampled_from(["source", "source", "dry_run", "x", ""]), st.sampled_from(["", "="]), word)
        query = st.lists(pair.map("".join), max_size=3).map(lambda pairs: "?" * bool(pairs) + "&".join(pairs))
        body = st.one_of(st.just(b""), st.sampled_from([b"{}", b'{"rules": []}', b"[]"]), st.binary(max_size=9))
        extra = st.fixed_dictionaries(
            {},
            optional={
                "Authorization": st.sampled_from(["Bearer t", "Bearer u", "Basic dA==", "Bearer"]),
                "Origin": st.sampled_from(["null", "https://example.org"]),
                "Host": st.sampled_from(["", "localhost", "[::1]", "[", "é"]),
            },
        )
        method = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "get"])
        path = st.sampled_from(["update", "stop", "start", "predicates", "stop/a", "predicates/", "status", ""])
        for _ in range(data.draw(st.integers(1, 6))):
            asked = f"{data.draw(method)} /{data.draw(path)}{data.draw(query)}"
            answer = endpoint.ask(
                asked, data.draw(body), data.draw(st.sampled_from([HERE, ELSEWHERE])), **data.draw(extra)
            )
            self.assertIn(answer.code, (200, 400, 401, 403, 404, 405, 422, 501), asked)
        self.assertEqual([], self.flushLoggedErrors())
