"""Attacks on a real relay, while somebody else is served: what the attacker gets, and that nobody else notices."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.net.channel import PIPELINED_LIMIT, REQUEST_WITHIN
from tests.integration.attackers import (
    ATTACKER,
    BINARY,
    CLOSE,
    CONTINUATION,
    CUT,
    DEFLATE,
    PING,
    PONG,
    RSV1,
    RSV2,
    TEXT,
    Attacker,
    Watcher,
    command,
    deflated,
    frame,
    handshake,
    noise,
    p99,
    request,
)
from tests.integration.relays import numbers
from tests.processes import Program, free_ports, get, get_json, simulate_x

PER_ADDRESS = 400  # clients
LATE = 1.0  # seconds; the 99th percentile of what others wait must stay below, on a machine that has other work too
GROWTH = 24_000_000  # bytes that an attack may cost, with what the allocator keeps of it
SAID_LIMIT = 2_000  # characters that an attack may add to the log
ORIGIN = "http://127.0.0.1:8080"
CLOSES = "Connection: close"
CONFIGURATION = """
[sources.birds]
type = "x-filtered"
token = "simulated-token"
base_url = "{upstream}"
[sources.birds.predicates]
rules = [{{ value = "cat has:geo", tag = "pets" }}]
[state]
directory = ""
[streamer]
admin = "tcp:{admin}:interface=127.0.0.1"
[relay]
listen = "tcp:{page}:interface=127.0.0.1"
origins = ["{origin}"]
heartbeat = 1.0
journal_entries = 1000
clients_per_address = {per_address}
trusted_proxies = ["127.0.0.9"]
[relay.auth]
anonymous_publish = ["chat.#"]
"""


class Field:
    """A relay with its feed, and one client that must not notice anything."""

    def __init__(self, program: Program, page: int, admin: int, watcher: Watcher) -> None:
        self.program = program
        self.page = page
        self.admin = admin
        self.watcher = watcher

    def connect(self, source: str = ATTACKER, receive: int | None = None) -> Attacker:
        """A connection of an attacker's."""
        return Attacker(self.page, source, receive)

    def websocket(self, *more: str) -> Attacker:
        """One that is a websocket."""
        return self.connect().upgrade(*more)

    def connections(self) -> int:
        """How many the relay has, the watcher's among them."""
        return int(get_json(f"http://127.0.0.1:{self.admin}/status")["relay"]["connections"])

    def closes(self, code: int) -> float:
        """How many connections the relay has closed with that code."""
        return numbers(self.admin, "streamer_client_closes_total").get(f'code="{code}"', 0)

    @contextlib.contextmanager
    def unharmed(self, within: float = 5.0, late: float = LATE) -> Iterator[None]:
        """The body is an attack; look at everything that others could notice of it, and that nothing is left of it.

        Args:
            within: seconds in which its connections must be gone.
            late: seconds; the 99th percentile of what the watcher waits must stay below.
        """
        before, seen, said = self.program.resident(), len(self.watcher.latencies), len(self.program.said())
        yield
        peak = self.program.resident()
        self.program.until(lambda: len(self.watcher.latencies) >= seen + 20, "events for the watcher")
        self.program.until(lambda: self.connections() == 1, "end of the attacker's connections", within)
        assert not self.watcher.troubles
        assert p99(self.watcher.latencies[seen:]) < late
        assert len(self.program.said()) - said < SAID_LIMIT
        assert peak - before < GROWTH
        assert self.program.resident() - before < GROWTH
        assert "Traceback" not in self.program.said(), self.program.said()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """A pipeline that follows a simulated upstream."""
    folder: Path = tmp_path_factory.mktemp("attacks")
    page, admin = free_ports(2)
    with contextlib.ExitStack() as stack:
        x, upstream = simulate_x(folder, "--rate", "60", "--wait-for-client")
        stack.enter_context(x)
        path = folder / "attacked.toml"
        ports = {"page": page, "admin": admin}
        path.write_text(
            CONFIGURATION.format(upstream=upstream, origin=ORIGIN, per_address=PER_ADDRESS, **ports), encoding="utf-8"
        )
        pipeline = Program(folder, "pipeline", "twistd", "-n", "--pidfile", "", "pipeline", "-c", str(path))
        stack.enter_context(pipeline)
        pipeline.until_ready(admin)
        watcher = Watcher(page)
        watcher.start()
        pipeline.until(lambda: len(watcher.latencies) > 1000, "full journal")  # its memory is not the attack's
        yield Field(pipeline, page, admin, watcher)
        watcher.close()
        assert pipeline.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in pipeline.said(), pipeline.said()


def statuses(answer: bytes) -> list[int]:
    """The status codes of all answers in a row."""
    return [int(part.split(b" ", 2)[1]) for part in answer.split(b"HTTP/1.1 ")[1:] for part in (b"- " + part,)]


def test_silent_and_slow(field: Field) -> None:
    """300 connections that say nothing and 50 that say a byte a second are gone when a request was due."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(field.connect()) for _ in range(300)]
        slow = [stack.enter_context(field.connect()) for _ in range(50)]
        began = time.monotonic()
        assert get(f"http://127.0.0.1:{field.page}/status.json")[0] == 200
        for byte in request("/", "Cookie: " + "x" * 100)[: int(REQUEST_WITHIN)]:
            for one in slow:
                one.send(bytes((byte,)))
            time.sleep(1)
        assert all(one.ended(3.0) for one in silent + slow)
        assert REQUEST_WITHIN - 1 < time.monotonic() - began < REQUEST_WITHIN + 4


def test_too_many_of_one_address(field: Field) -> None:
    """Whoever opens more connections than one address may have is cut off; another address is served."""
    with field.unharmed(REQUEST_WITHIN + 5), contextlib.ExitStack() as stack:
        many = [stack.enter_context(field.connect()) for _ in range(PER_ADDRESS + 40)]
        assert sum(one.ended(0.05) for one in many[-20:]) == 20
        with field.connect("127.0.0.3") as other:
            other.send(request("/status.json"))
            assert " 200 " in other.head()


def test_websockets_without_a_word(field: Field) -> None:
    """Websockets that say nothing cost little: they are welcomed, and sent a heartbeat."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(field.websocket()) for _ in range(200)]
        for one in sockets:
            words = []
            for _, payload in one.frames():
                words.append(json.loads(payload)[0])
                if words[-1] == "pos":
                    break
            assert words == ["welcome", "pos"]


def test_handshakes(field: Field) -> None:
    """Who connects over and over is told to wait, for a time of its own; others are let in."""
    codes: dict[str, int] = {}
    waits: set[int] = set()
    with field.unharmed():
        for _ in range(PER_ADDRESS + 150):
            with field.connect("127.0.0.4") as one:
                one.send(handshake())
                head = one.head()
                codes[head.split(" ")[1]] = codes.get(head.split(" ")[1], 0) + 1
                waits |= {int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("Retry-After")}
        field.websocket().__exit__()
    assert codes.keys() == {"101", "503"}
    assert codes["101"] >= PER_ADDRESS
    assert len(waits) > 1
    assert waits <= set(range(1, 11))
    assert numbers(field.admin, "streamer_handshakes_total")['face="websocket",outcome="rate"'] == codes["503"]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("oversized frame", frame(TEXT, b"x" * 100_000), 1009),
        ("oversized message", frame(TEXT, b"x" * 10_000, fin=False) + frame(CONTINUATION, b"x" * 10_000), 1009),
        ("frame of 2^62 bytes", b"\x81\xff\x40" + b"\0" * 11 + b"x" * 1000, 1009),
        ("long control frame", frame(PING, b"x" * 126), 1002),
        ("unmasked frame", frame(TEXT, b'["ping",1]', masked=False), 1002),
        ("reserved bit", frame(TEXT, b'["ping",1]', rsv=RSV2), 1002),
        ("compressed without being asked", frame(TEXT, b'["ping",1]', rsv=RSV1), 1002),
        ("reserved opcode", frame(5), 1002),
        ("reserved control opcode", frame(11), 1002),
        ("fragmented control frame", frame(PING, b"x", fin=False), 1002),
        ("continuation of nothing", frame(CONTINUATION, b"x"), 1002),
        ("message within a message", frame(TEXT, b"[", fin=False) + frame(TEXT, b"]"), 1002),
        ("length not minimal", b"\x81\xfe\x00\x05\0\0\0\0hello", 1002),
        ("binary frame", frame(BINARY, b'["ping",1]'), 4000),
        ("no UTF-8", frame(TEXT, b'["ping",1]\xff'), 1007),
        ("half a character", frame(TEXT, b'["ping",1]\xe2\x82'), 1007),
        ("no JSON", frame(TEXT, b"hello"), 4000),
        ("deep JSON", frame(TEXT, b"[" * 16_000), 4000),
        ("ping flood", frame(PING, b"x" * 8) * 10_000, 4129),
        ("pong flood", frame(PONG, b"x" * 8) * 10_000, 4129),
        ("command flood", command("ping", 1) * 1000, 4129),
        ("fragment flood", frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 10_000, 4129),
        ("sub flood", b"".join(command("sub", n, {"id": f"{n}", "topics": ["#"]}) for n in range(200)), 4129),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_frames(field: Field, name: str, data: bytes, code: int) -> None:
    """What is no frame of the protocol, or too many of them, ends the connection with the code that says so."""
    before = field.closes(code)
    with field.unharmed(), field.websocket() as one:
        assert one.send(data)
        assert one.closed()[0] == code
        one.send(frame(CLOSE, code.to_bytes(2, "big") if code != 1002 else b""))
    assert field.closes(code) == before + 1


def test_close_frames(field: Field) -> None:
    """A close frame that is none ends the connection as well as a good one, and so does one with more behind it."""
    for payload in (b"", b"\x03\xe8", b"\x03", b"\x03\xee", b"\x03\xe8\xff", b"\x03\xe8" + b"x" * 123):
        with field.unharmed(), field.websocket() as one:
            assert one.send(frame(CLOSE, payload) + frame(PING) * 100)
            assert one.ended(1.0) or payload == b"\x03"  # that one waits for our answer to the relay's close frame


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("bomb", frame(TEXT, deflated(b"x" * 10_000_000), rsv=RSV1), 1009),
        ("bomb of JSON", frame(TEXT, deflated(b'["ping",1]' + b" " * 10_000_000), rsv=RSV1), 1009),
        (
            "bomb in fragments",
            b"".join(
                frame(TEXT if not n else CONTINUATION, piece, fin=False, rsv=0 if n else RSV1)
                for n, piece in enumerate(deflated(b"x" * 10_000_000)[at : at + 300] for at in range(0, 9000, 300))
            ),
            1009,
        ),
        ("no deflate stream", frame(TEXT, b"\xff" * 100, rsv=RSV1), 1007),
        ("compressed control frame", frame(PING, b"x", rsv=RSV1), 1002),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_compressed(field: Field, name: str, data: bytes, code: int) -> None:
    """A small message that would become a large one is not inflated."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        bombers = [stack.enter_context(field.websocket(*DEFLATE)) for _ in range(20)]
        for one in bombers:
            one.send(data)
        assert {one.closed()[0] for one in bombers} == {code}


@pytest.mark.parametrize(
    "first",
    [
        b"\x89\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0",  # Autobahn skips a control frame that is too long
        b"\x8b\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0",
        b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0",
        frame(TEXT, deflated(b"x" * 10_000_000), rsv=RSV1),
        frame(BINARY, b"x"),
        frame(PING) * 60,
    ],
    ids=["control frame", "reserved frame", "long frame", "bomb", "binary frame", "pings"],
)
def test_no_end_of_it(field: Field, first: bytes) -> None:
    """Whoever goes on sending after the relay's close frame is hung up on, and little of it is kept."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        many = [stack.enter_context(field.websocket(*DEFLATE)) for _ in range(10)]
        for one in many:
            one.send(first)
            one.socket.settimeout(2.0)
            assert not one.send(noise(20_000_000)), "the relay has taken 20 MB of nothing"
        assert all(one.ended(1.0) for one in many)


def test_subscribing_for_nothing(field: Field) -> None:
    """20,000 times sub and unsub, as fast as that is allowed or faster, wears nobody out but the one who does it."""
    with field.unharmed(), field.websocket() as one:
        pair = command("sub", 1, {"id": "a", "topics": ["#"], "last": 500}) + command("unsub", 2, "a")
        for _ in range(20_000 // 100):
            if not one.send(pair * 100):
                break
        assert one.closed()[0] == 4129
    with field.unharmed(), field.websocket() as one:
        for number in range(60):
            one.send(command("sub", number, {"id": f"{number}", "topics": ["*.x.#", "#.y.#"], "last": 500}))
            one.send(command("unsub", number, f"{number}"))
            time.sleep(0.05)
        assert one.closed()[0] in (4129, CUT)


def test_history_never_read(field: Field) -> None:
    """Clients that ask for much history again and again and never read cost what their sockets hold."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        many = [stack.enter_context(field.connect(receive=4096).upgrade()) for _ in range(100)]
        for number in range(20):
            for one in many:
                one.send(command("sub", number, {"id": f"{number}", "topics": ["#"], "last": 500}))
        time.sleep(2)


def test_streams_never_read(field: Field) -> None:
    """The same with event streams."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        for _ in range(100):
            one = stack.enter_context(field.connect(receive=4096))
            one.send(request("/events?topics=%23&last=500"))
        time.sleep(2)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("long header", request("/", "Cookie: " + "x" * 100_000), 431),
        ("long target", request("/" + "x" * 100_000), 431),
        ("1,000 headers", request("/", *(f"X-{n}: 1" for n in range(1000))), 400),
        ("both lengths", request("/", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET", 400),
        ("both lengths, turned", request("/", "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n", 400),
        ("two lengths", request("/", "Content-Length: 4", "Content-Length: 5") + b"12345", 400),
        ("list of lengths", request("/", "Content-Length: 4, 4") + b"1234", 400),
        ("signed length", request("/", "Content-Length: +4") + b"1234", 400),
        ("two codings", request("/", "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n", 400),
        ("coding with a sign", request("/", "Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400),
        ("space before colon", request("/", "Content-Length : 4") + b"1234", 400),
        ("line feed in a header", request("/", "X: a\nContent-Length: 4") + b"1234", 400),
        ("zero byte in a header", request("/", "X: a\0b"), 400),
        ("bad chunk", request("/", "Transfer-Encoding: chunked") + b"zz\r\n\r\n", 400),
        ("many headers of some length", request("/", *(f"X-{n}: {'x' * 8000}" for n in range(9))), 400),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, 400),
        ("no HTTP", noise(200).replace(b"\n", b"") + b"\r\n\r\n", 400),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 10, 400),
        ("other version", request("/", version="HTTP/9.9"), 400),
        ("TRACE", request("/", CLOSES, method="TRACE"), 405),
        ("CONNECT", request("example.org:443", CLOSES, method="CONNECT"), 405),
        ("DELETE", request("/", CLOSES, method="DELETE"), 405),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_requests(field: Field, name: str, data: bytes, code: int) -> None:
    """A malformed request is answered once, by its status, and the connection ends: nothing in it becomes another."""
    with field.unharmed(REQUEST_WITHIN + 5), field.connect() as one:
        assert statuses(one.tell(data)) == [code]


def test_bodies(field: Field) -> None:
    """A body that is too long, or has no end, is not kept; the one page that reads bodies says 413."""
    large = b"x" * 10_000_000
    form = ("Content-Type: application/json", CLOSES)
    with field.unharmed(), contextlib.ExitStack() as stack:

        def tell(head: bytes, body: bytes) -> list[int]:
            return statuses(stack.enter_context(field.connect()).tell(head, body))

        assert tell(request("/publish", f"Content-Length: {len(large)}", *form, method="POST"), large) == [413]
        short = b"x" * 300_000
        assert tell(request("/publish", f"Content-Length: {len(short)}", *form, method="POST"), short) == [413]
        assert tell(request("/", f"Content-Length: {len(large)}"), large) == [413]
        chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        assert tell(request("/publish", "Transfer-Encoding: chunked", *form, method="POST"), chunks * 100) == [413]
    with field.unharmed(), contextlib.ExitStack() as stack:
        endless = [stack.enter_context(field.connect()) for _ in range(100)]
        huge = b"f" * 20 + b"\r\n"
        for number, one in enumerate(endless):
            head = request("/publish", "Transfer-Encoding: chunked", *form, method="POST")
            one.send(head + (chunks if number % 2 else huge))
        for _ in range(int(REQUEST_WITHIN) - 1):
            time.sleep(1)
            for one in endless:
                one.send(b"1\r\nx\r\n")
        assert all(one.ended(4.0) for one in endless)


def test_pipelined(field: Field) -> None:
    """Thousands of requests at once, by many who read no answer, are not all answered into memory."""
    targets = ("/status.json", "/nothing", "/feed.json?last=500", "/client/v1/client.js")
    with field.unharmed(REQUEST_WITHIN + 5), contextlib.ExitStack() as stack:
        for number in range(100):
            one = stack.enter_context(field.connect(receive=4096))
            one.socket.settimeout(0.1)
            one.send(request(targets[number % 4]) * 3000)
        time.sleep(1)
    with field.unharmed(), field.connect() as one:
        answers = statuses(one.tell(request("/status.json") * 3000))
    assert answers == [200] * PIPELINED_LIMIT


def test_origins(field: Field) -> None:
    """A page of somebody else's gets nothing from any face: two origins, none, one that is not on the list."""
    strange: tuple[tuple[str, ...], ...] = (
        ("Origin: https://evil.example",),
        ("Origin: null",),
        (f"Origin: {ORIGIN}", "Origin: https://evil.example"),
        (f"Origin: {ORIGIN}", f"Origin: {ORIGIN}"),
        (f"Origin: {ORIGIN} https://evil.example",),
        (f"Origin: {ORIGIN}.evil.example",),
        ("Origin: ",),
    )
    faces: tuple[Callable[..., bytes], ...] = (
        handshake,
        lambda *more: request("/events?topics=%23", *more),
        lambda *more: request("/poll?topics=%23&wait=0", *more),
        lambda *more: (
            request("/publish", "Content-Length: 2", "Content-Type: application/json", *more, method="POST") + b"{}"
        ),
    )
    with field.unharmed():
        for origins in strange:
            for face in faces:
                with field.connect() as one:
                    one.send(face(*origins, CLOSES))
                    head = one.head()
                    assert head.startswith("HTTP/1.1 403 "), (origins, head)
                    assert "access-control-allow-origin" not in head.lower()


def test_paths(field: Field) -> None:
    """No path leads out of the folders of files."""
    paths = (
        "/../../setup.cfg",
        "/..%2f..%2fsetup.cfg",
        "/%2e%2e/%2e%2e/setup.cfg",
        "/client/v1/../../../site.py",
        "/client/v1/%2e%2e%2f%2e%2e%2f%2e%2e%2fsite.py",
        "/client/v1/..%5c..%5csite.py",
        "/%00",
        "/client/v1/client.js%00.css",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/file:///etc/passwd",
        "/client/v1/",
        "/client/v1/client.js/x",
        "/client/",
        "/.git/config",
        "/" + "a/" * 3000,
        "/" + "%2e%2e%2f" * 1000 + "etc/passwd",
        "/assets/" + "x" * 300 + ".js",
    )
    with field.unharmed():
        for path in paths:
            with field.connect() as one:
                one.send(request(path, CLOSES))
                assert statuses(one.rest()) == [404], path


def test_bad_handshakes(field: Field) -> None:
    """A handshake that RFC 6455 does not have makes no websocket, and takes no place."""
    accepted = 'face="websocket",outcome="accepted"'
    before = numbers(field.admin, "streamer_handshakes_total")[accepted]
    bad = (
        handshake(version="12"),
        handshake(version="x"),
        handshake(key="short"),
        handshake(key="*" * 24),
        handshake().replace(b"Connection: Upgrade\r\n", b"Connection: close\r\n"),
        handshake().replace(b"Sec-WebSocket-Key", b"X-Key"),
        handshake("Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="),
        handshake("Sec-WebSocket-Version: 13"),
        handshake().replace(b"GET ", b"HEAD "),
        handshake().replace(b"GET ", b"POST "),
        handshake().replace(b"relay.v1.json", b"relay.v2.json"),
        handshake().replace(b"Host: localhost\r\n", b""),
        handshake("Content-Length: 5") + b"hello",
    )
    with field.unharmed():
        for data in bad[:-1]:
            with field.connect() as one:
                one.send(data)
                assert one.head().split(" ")[1] in ("400", "405", "426"), data
        with field.connect() as one:  # its body is no frame
            one.send(bad[-1])
            one.rest(0.5)
    assert numbers(field.admin, "streamer_handshakes_total")[accepted] <= before + 1


def test_proxied(field: Field) -> None:
    """Behind a trusted proxy addresses are those that it tells; nobody else's word for them counts."""
    with field.unharmed(), contextlib.ExitStack() as stack:
        for number in range(PER_ADDRESS + 30):
            one = stack.enter_context(field.connect("127.0.0.9"))
            assert one.send(handshake(f"X-Forwarded-For: 203.0.113.1, 198.51.100.{number % 7}"))
            assert one.head().startswith("HTTP/1.1 101 ")
    with field.unharmed(), contextlib.ExitStack() as stack:
        codes = []
        for number in range(PER_ADDRESS + 10):
            one = stack.enter_context(field.connect("127.0.0.5"))
            assert one.send(handshake(f"X-Forwarded-For: 198.51.100.{number % 250}"))
            codes.append(one.head().split(" ")[1])
        assert codes == ["101"] * PER_ADDRESS + ["503"] * 10


def test_all_at_once(field: Field) -> None:
    """Several of them together, for some seconds."""
    over = threading.Event()
    failed: list[BaseException] = []

    def again(data: Any, upgraded: bool) -> None:
        try:
            while not over.wait(0.02):
                with field.connect(f"127.0.0.{hash(str(data)) % 100 + 10}") as one:
                    if upgraded:
                        one.upgrade()
                    one.send(data)
        except OSError:
            pass  # the relay has had enough of it
        except BaseException as error:
            failed.append(error)

    attacks = [(frame(PING) * 10_000, True), (request("/feed.json?last=500") * 8, False), (noise(100_000), False)]
    attacks += [(frame(CONTINUATION, fin=False) * 1000, True), (command("ping", 1) * 1000, True)]
    threads = [threading.Thread(target=again, args=attack, daemon=True) for attack in attacks]
    with field.unharmed(REQUEST_WITHIN + 5, late=3.0):
        for thread in threads:
            thread.start()
        time.sleep(5)
        over.set()
        for thread in threads:
            thread.join(10)
    assert not failed
