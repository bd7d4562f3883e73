"""Clients that nobody here has written, against the whole product: one scenario for all, and server-sent events.

The scenario is scenario.json. It is played here by PyPI's websockets and by npm's ws (play.mjs), each with and without
compression, and by Chromium in tests/browser/relay.test.mjs; server-sent events by curl here and by EventSource there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.processes import BIN, DEADLINE, Program, free_ports, get_json, post_json

HERE = Path(__file__).resolve().parent
STEPS: list[dict[str, Any]] = json.loads((HERE / "scenario.json").read_text())
PLAYED = sum("do" in step for step in STEPS)
RATE = 100  # posts/s of the simulated upstream; one in a hundred of them is deleted later
PATTERN = "post.*.*.*.#.{}.#"


class Product:
    """The demonstration, running."""

    def __init__(self, page: int, upstream: int) -> None:
        self.address = f"127.0.0.1:{page}"
        self.simulation = f"http://127.0.0.1:{upstream}"

    def publish(self, text: str) -> None:
        """Have the upstream send a post."""
        assert post_json(f"{self.simulation}/_sim/inject", {"text": text}) == 200


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`streamer run --demo`."""
    folder = tmp_path_factory.mktemp("demo")
    page, admin, upstream = free_ports(3)
    command = ["streamer", "run", "--demo", "--rate", str(RATE), "--port", str(page), "--admin", str(admin)]
    with Program(folder, "demo", *command, "--upstream-port", str(upstream)) as demo:
        demo.until_ready(admin)
        yield Product(page, upstream)
        assert "Traceback" not in demo.said(), demo.said()


def within(part: Any, whole: Any) -> bool:
    """Whether a frame has what a step says, and perhaps more in its objects."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(within(value, whole.get(key)) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(within, part, whole)) and len(part) <= len(whole)
    return bool(part == whole)


class Player:
    """Plays the scenario on PyPI's websockets."""

    def __init__(self, product: Product, tag: str, deflate: bool) -> None:
        self.product, self.tag = product, tag
        self.compression = "deflate" if deflate else None
        self.extensions: list[str] = []
        self.position = ""
        self.socket: ClientConnection
        self._opened = ExitStack()

    def play(self) -> None:
        """All of it."""
        for step in STEPS:
            if "do" in step:
                text = json.dumps(step).replace("$POSITION", self.position).replace("$T", self.tag)
                filled = json.loads(text)
                getattr(self, f"do_{filled.pop('do')}")(**filled)
        assert not self.frames
        assert not self.texts
        self._opened.close()

    def do_open(self) -> None:
        self.frames: list[Any] = []
        self.texts: list[str] = []
        self.deletions = 0
        url, offer = f"ws://{self.product.address}/ws", [Subprotocol("relay.v1.json")]
        self.socket = self._opened.enter_context(connect(url, subprotocols=offer, compression=self.compression))
        self.extensions = [extension.name for extension in self.socket.protocol.extensions]

    def do_say(self, frame: Any = None, raw: str = "") -> None:
        self.socket.send(raw or json.dumps(frame))

    def do_expect(self, frame: Any) -> None:
        self._until(lambda: self.frames, f"frame {frame}")
        assert within(frame, self.frames[0]), f"{self.frames[0]} came instead of {frame}"
        del self.frames[0]

    def do_publish(self, texts: list[str]) -> None:
        for text in texts:
            self.product.publish(text)

    def do_events(self, texts: list[str]) -> None:
        self._until(lambda: len(self.texts) >= len(texts), f"events {texts}")
        assert self.texts == texts
        self.texts = []

    def do_deletion(self) -> None:
        self._until(lambda: self.deletions, "deletion")

    def do_cut(self) -> None:
        self._opened.close()

    def do_closed(self, code: int) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            self._until(lambda: False, f"close {code}")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code

    def _until(self, true: Any, what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not true():
            assert time.monotonic() < end, f"no {what}; {self.texts}, {self.frames}"
            try:
                self._take(json.loads(self.socket.recv(timeout=1.0)))
            except TimeoutError:
                continue

    def _take(self, frame: list[Any]) -> None:
        name = frame[0]
        if name == "ev":
            kinds = [event["type"] == "streamer.delete" for event in frame[2]]
            self.deletions += sum(kinds)
            self.texts += [event["data"]["text"] for event, gone in zip(frame[2], kinds, strict=True) if not gone]
        elif name != "pos":
            self.frames.append(frame)
        if name in ("ev", "pos"):
            self.position = frame[1]
        for facts in frame[1:]:
            if isinstance(facts, dict) and "position" in facts:
                self.position = facts["position"]


class Curl:
    """`curl -N` on the stream of a tag's posts.

    Attributes:
        texts: of the posts so far.
        last_id: of the last event that was whole.
    """

    def __init__(self, product: Product, tag: str, last_id: str = "") -> None:
        url = f"http://{product.address}/events?topics={quote(PATTERN.format(tag))}"
        headers = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
        self.texts: list[str] = []
        self.facts: dict[str, Any] = {}
        self.last_id = last_id
        self._block: dict[str, str] = {}
        self._curl = subprocess.Popen(
            [shutil.which("curl") or "curl", "-sN", "-m", str(DEADLINE), *headers, url],
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, true: Any, what: str) -> None:
        """Read lines until something holds."""
        assert self._curl.stdout is not None
        while not true():
            line = self._curl.stdout.readline()
            assert line, f"curl ended ({self._curl.wait()}) before {what}; {self.texts}"
            self._line(line.rstrip("\n"))

    def kill(self) -> None:
        """The connection breaks."""
        self._curl.kill()
        self._curl.communicate()

    def _line(self, line: str) -> None:
        if line:
            name, _, value = line.partition(": ")
            self._block[name] = value
            return
        block, self._block = self._block, {}
        self.last_id = block.get("id", self.last_id)
        if block.get("event") == "streamer.subscribed":
            self.facts = json.loads(block["data"])
        elif block.get("event") == "streamer.post":
            self.texts.append(json.loads(block["data"])["data"]["text"])


class TestScenario:
    """Independent websocket clients."""

    @pytest.mark.parametrize("deflate", [False, True])
    def test_websockets(self, product: Product, deflate: bool) -> None:
        """PyPI's websockets."""
        player = Player(product, f"pypi{deflate:d}", deflate)
        player.play()
        assert player.extensions == (["permessage-deflate"] if deflate else [])

    @pytest.mark.parametrize("deflate", [False, True])
    def test_ws(self, product: Product, deflate: bool) -> None:
        """npm's ws."""
        if not (HERE.parents[1] / "web" / "node_modules" / "ws").is_dir():
            pytest.skip("npm's ws is not installed: run `make web`")
        arguments = [f"ws://{product.address}/ws", product.simulation, f"npm{deflate:d}", "yes" if deflate else "no"]
        node = shutil.which("node") or str(BIN / "node")
        done = subprocess.run([node, "play.mjs", *arguments], cwd=HERE, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        answer = json.loads(done.stdout)
        assert answer["played"] == PLAYED
        assert ("permessage-deflate" in answer["extension"]) == deflate


class TestCurl:
    """Server-sent events."""

    def test_resume(self, product: Product) -> None:
        """Cut off again and again, it has every post once: those from before, between and after."""
        last_id, texts, expected = "", [], []
        for number in range(3):
            expected.append(f"{number} from before #curled")
            if number:  # the first one must have a position first
                product.publish(expected[-1])
            curl = Curl(product, "curled", last_id)
            curl.until(lambda curl=curl: curl.facts, "the subscription")
            assert curl.facts["recovered"] is True
            if not number:
                product.publish(expected[-1])
            expected.append(f"{number} live #curled")
            product.publish(expected[-1])
            curl.until(lambda curl=curl: len(curl.texts) >= 2, "posts")
            texts += curl.texts
            last_id = curl.last_id
            curl.kill()
        assert texts == expected

    def test_refused(self, product: Product) -> None:
        """A request that is none is answered as one, with a sentence."""
        done = subprocess.run(
            [shutil.which("curl") or "curl", "-s", "-w", "%{http_code}", f"http://{product.address}/events"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.stdout.endswith("400")
        assert json.loads(done.stdout[:-3])["error"]["code"] == "bad-request"

    def test_ready(self, product: Product) -> None:
        """What curl is told of the relay."""
        assert get_json(f"http://{product.address}/status.json")["ready"] is True
