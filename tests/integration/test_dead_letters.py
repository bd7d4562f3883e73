"""Dead letters on a real node: how poison gets there and stops nothing, and what an operator does with it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pika
import pytest

from streamer.bus import topology
from streamer.message import Item, Message
from streamer.testing.rabbitmq import RabbitNode, free_port
from tests.bus_broker import pika_properties
from tests.integration.dead_worker import PREFETCH
from tests.processes import BIN, DEADLINE, Program

GOOD = 2_000  # items that flow on past the poison
BAD, RAISES, KILLS = 20, 20, 1  # items
CONFIRM_TIMEOUT = 1_000  # ms; of the broker's hand-over to streamer.dead, three minutes by default
FILE = """
[bus]
url = "$BROKER"

[sources.birds]
type = "x-filtered"
token = "t"
"""


@attrs.define
class House:
    """A topology on a virtual host, and an operator at it."""

    url: str
    folder: Path
    channel: Any

    def item(self, id_: str, body: bytes | None = None) -> Message:
        """An item, good unless it has another body."""
        post = {"id": id_.rpartition("-")[2], "text": "kakapo", "author_id": "7", "created_at": "2026-01-01T00:00:00Z"}
        return Item(
            source="birds",
            kind="post",
            id=id_,
            received=1_795_000_000_123,
            body=json.dumps({"data": post}).encode() if body is None else body,
        ).message()

    def publish(self, message: Message, **changes: Any) -> None:
        """Publish a message, without waiting for its confirm."""
        place = {"exchange": message.exchange, "routing_key": message.topic, **changes}
        self.channel.basic_publish(body=message.body, properties=pika_properties(message), **place)

    def declare(self) -> None:
        """What services declare at a fresh broker."""
        for call in topology.declares(topology.layout()):
            getattr(self.channel, call.method)(**call.keywords)

    def depth(self, queue: str) -> int:
        """Messages that wait."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + DEADLINE
        while not true():
            assert time.monotonic() < end, f"not in {DEADLINE} s: {what}"
            time.sleep(0.05)

    def reject(self, count: int) -> None:
        """Work so many items of streamer.enrich, in vain."""
        for _ in range(count):
            method, _, _ = self.channel.basic_get(topology.ENRICH)
            self.channel.basic_reject(method.delivery_tag, requeue=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `streamer dead`."""
        return subprocess.Popen(
            [str(BIN / "streamer"), "dead", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "BROKER": self.url},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def dead(self, *arguments: str, code: int = 0) -> tuple[list[str], str]:
        """Run `streamer dead`; lines of its stdout, and its stderr."""
        process = self.start(*arguments, *(() if "-c" in arguments else ("--bus", "$BROKER")))
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == code, err
        assert self.url not in out + err
        return out.splitlines(), err

    def letters(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """What `list --json` says, by id."""
        lines, _ = self.dead("list", "--json", "--limit", "10000", *arguments)
        return {row["id"]: row for row in map(json.loads, lines)}


@pytest.fixture
def house(rabbit_url: str, tmp_path: Path) -> Iterator[House]:
    """One with everything declared."""
    (tmp_path / "x.toml").write_text(FILE)
    connection = pika.BlockingConnection(pika.URLParameters(rabbit_url))
    found = House(rabbit_url, tmp_path, connection.channel())
    found.declare()
    yield found
    connection.close()


def enricher(house: House, name: str, **more: str) -> Program:
    """Enrichers, one after the other: see `dead_worker`."""
    environ = {**os.environ, "BROKER": house.url, "PYTHONPATH": str(Path(__file__).parents[2]), **more}
    command = (sys.executable, "-m", "tests.integration.dead_worker", house.url, "x.toml")
    return Program(house.folder, name, *command, env=environ)


def test_poison(house: House) -> None:
    """What cannot be decoded, what makes a handler raise and what kills the process each time end among the dead, with
    reason and count, while thousands flow on past; then an operator lists, shows, replays and drops them.
    """
    watched = house.channel.queue_declare("", exclusive=True).method.queue
    house.channel.queue_bind(watched, "streamer.events", "post.#")
    poison = {GOOD // 4: ("bad", BAD, b"\xff{"), GOOD // 3: ("raise", RAISES, None), GOOD // 2: ("kill", KILLS, None)}
    for number in range(GOOD):
        house.publish(house.item(f"good-{number + 1}"))
        for at in range(poison.get(number, ("", 0, None))[1]):
            kind, _, body = poison[number]
            house.publish(house.item(f"{kind}-{100_000 + number * 10 + at}", body))
    with enricher(house, "dying") as program:
        count = BAD + RAISES + KILLS
        program.until(lambda: house.depth(topology.DEAD) == count and not house.depth(topology.ENRICH), "the dead")
        assert program.stop() == 0
        assert program.said().count("ended 9\n") == KILLS * (topology.DELIVERY_LIMIT + 1)
    letters = house.letters()
    reasons = {"bad": "rejected", "raise": "delivery_limit", "kill": "delivery_limit"}
    assert len(letters) == count  # and not one good item that was in hand when the process was killed
    for id_, row in letters.items():
        kind = id_.removeprefix("birds/").partition("-")[0]
        assert (row["reason"], row["died_in"], row["deaths"]) == (reasons[kind], topology.ENRICH, 1)
        assert (row["source"], row["topic"], row["exchange"]) == ("birds", "raw.birds.post", "streamer.raw")
    assert events(house, watched) == {f"/sources/birds#post:{number + 1}" for number in range(GOOD)}

    bad = sorted(id_ for id_ in letters if "bad" in id_)
    lines, _ = house.dead("show", bad[0], "-c", "x.toml")
    assert any(line.startswith("now ") and "rejected again: " in line for line in lines), lines
    assert lines[-1] == "00000000  ff 7b" + " " * 44 + ".{"
    lines, said = house.dead("replay", "--all", "--reason", "delivery_limit")
    assert (len(lines), "21 would be replayed" in said) == (1 + RAISES + KILLS, True)
    assert house.letters().keys() == letters.keys()

    with enricher(house, "mended", MENDED="1") as program:
        _, said = house.dead("replay", "--all", "--reason", "delivery_limit", "--yes", "-c", "x.toml")
        assert "21 of 21 replayed" in said
        # These die again, at once: none is looked at twice.
        _, said = house.dead("replay", "--all", "--yes")
        assert f"{BAD} of {BAD} replayed" in said
        program.until(lambda: house.depth(topology.DEAD) == BAD, "all that is bad again")
        assert program.stop() == 0
    mended = {f"/sources/birds#post:{id_.rpartition('-')[2]}" for id_ in letters if "bad" not in id_}
    assert events(house, watched) == mended

    lines, said = house.dead("drop", "--all", "--source", "birds", "--yes", "--save", "dropped.jsonl")
    assert (len(lines), f"{BAD} of {BAD} dropped" in said) == (1 + BAD, True)
    saved = [json.loads(line) for line in (house.folder / "dropped.jsonl").read_text().splitlines()]
    assert sorted(row["id"] for row in saved) == bad
    assert {base64.b64decode(row["body_base64"]) for row in saved} == {b"\xff{"}
    assert (house.letters(), house.depth(topology.ENRICH)) == ({}, 0)


def test_bystanders(house: House) -> None:
    """A process that dies at once takes along what it has in hand, and the broker counts that against all of it. So
    good items may end among the dead; they are not lost, and live when they are replayed.
    """
    for number in range(300):
        house.publish(house.item(f"good-{number + 1}"))
        if number == 150:
            house.publish(house.item("kill-99999"))
    with enricher(house, "dying", SUDDENLY="1") as program:
        program.until(lambda: not house.depth(topology.ENRICH) and house.depth(topology.DEAD) >= 1, "the dead")
        program.until(lambda: house.depth(topology.DEAD) == len(house.letters()), "all of them")
        letters = house.letters()
        assert "birds/kill-99999" in letters
        assert len(letters) <= PREFETCH
        good = sorted(letters.keys() - {"birds/kill-99999"})
        if good:
            _, said = house.dead("replay", *good, "--yes")
            assert f"{len(good)} of {len(good)} replayed" in said
        program.until(lambda: not house.depth(topology.ENRICH), "they are done")
        assert program.stop() == 0
    assert house.letters().keys() == {"birds/kill-99999"}


def events(house: House, queue: str) -> set[str]:
    """Ids of the events that came to a queue."""
    found = set()
    house.until(lambda: house.depth(queue), "events")
    while (got := house.channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.add(got[1].message_id)
    return found


def test_full(house: House) -> None:
    """At its limit streamer.dead forgets the oldest: what dies still comes in, and holds up nothing; a look at all of
    it, and a replay of a few, hand the rest back in its order.
    """
    for number in range(topology.DEAD_LIMIT):
        house.publish(house.item(f"old-{number}"), exchange=topology.DEAD)
    house.until(lambda: house.depth(topology.DEAD) == topology.DEAD_LIMIT, "all are there")
    for number in range(30):
        house.publish(house.item(f"new-{number}"))
    house.until(lambda: house.depth(topology.ENRICH) == 30, "items")
    house.reject(30)
    house.until(lambda: newest(house) == "birds/new-29", "the newest is dead")
    assert house.depth(topology.ENRICH) == 0
    letters = house.letters()
    assert len(letters) == topology.DEAD_LIMIT
    assert sum(id_.startswith("birds/new") for id_ in letters) == 30
    assert "birds/old-29" not in letters
    assert "birds/old-30" in letters
    new = [id_ for id_, row in letters.items() if row["reason"] == "rejected"]
    assert len(new) == 30
    _, said = house.dead("replay", *new[::2], "--yes")
    assert "15 of 15 replayed" in said
    assert house.depth(topology.ENRICH) == 15
    got = [house.channel.basic_get(topology.DEAD)[1].message_id for _ in range(50)]
    assert got == [f"birds/old-{number}" for number in range(30, 80)]
    house.channel.basic_nack(0, multiple=True)
    # What was published to the dead by hand came from nowhere, and stays.
    _, said = house.dead("replay", "birds/old-100", "--yes", code=1)
    assert "birds/old-100 cannot be replayed: it was published to 'streamer.dead' itself" in said


def newest(house: House) -> str:
    """Id of the last letter."""
    return list(house.letters("--reason", "rejected") or [""])[-1]


def test_gone(house: House, rabbit_node: RabbitNode) -> None:
    """While streamer.dead is gone, what dies is kept by its queue, and good items flow on; it comes when there is a
    streamer.dead again. Each look meanwhile says in words what is missing.
    """
    set_timeout(rabbit_node, CONFIRM_TIMEOUT)
    try:
        house.channel.queue_delete(topology.ENRICH)  # so that who hands over begins anew, with that time
        house.declare()
        house.channel.queue_delete(topology.DEAD)
        _, said = house.dead("list", code=1)
        assert "there is no queue streamer.dead" in said
        for number in range(20):
            house.publish(house.item(f"poison-{number}"))
        house.until(lambda: house.depth(topology.ENRICH) == 20, "poison")
        house.reject(20)
        for number in range(200):
            house.publish(house.item(f"good-{number}"))
        house.until(lambda: house.depth(topology.ENRICH) == 200, "good ones")
        for _ in range(200):
            method, properties, _ = house.channel.basic_get(topology.ENRICH)
            assert properties.message_id.startswith("birds/good")
            house.channel.basic_ack(method.delivery_tag)
        house.declare()
        house.until(lambda: house.depth(topology.DEAD) >= 20, "all come")
    finally:
        set_timeout(rabbit_node, 180_000)
    letters = house.letters()
    assert letters.keys() == {f"birds/poison-{number}" for number in range(20)}
    assert {row["reason"] for row in letters.values()} == {"rejected"}


def set_timeout(node: RabbitNode, milliseconds: int) -> None:
    """How long the broker waits until it hands a dead letter over again."""
    node.rabbitmqctl(
        "eval", f"application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {milliseconds})."
    )


def test_unrouted(house: House) -> None:
    """What no binding wanted is in the other queue; replayed, it comes back there as long as nobody wants it."""
    message = house.item("lost-1")
    house.publish(message, routing_key="nobody.wants.it")
    house.until(lambda: house.depth(topology.UNROUTED), "unrouted")
    assert house.letters() == {}
    (row,) = house.letters("--queue", "unrouted").values()
    assert (row["id"], row["exchange"], row["reason"]) == ("birds/lost-1", "streamer.raw", None)
    for bound in (False, True):
        if bound:
            house.channel.queue_bind(topology.ENRICH, "streamer.raw", "nobody.#")
        _, said = house.dead("replay", "--all", "--yes", "--queue", "unrouted")
        assert "1 of 1 replayed" in said
    house.until(lambda: house.depth(topology.ENRICH), "it is wanted")
    got = house.channel.basic_get(topology.ENRICH, auto_ack=True)[1]
    expected = pika_properties(message)
    for name in ("message_id", "type", "timestamp", "content_type", "delivery_mode"):
        assert getattr(got, name) == getattr(expected, name), name
    assert {**expected.headers, "x-delivery-count": 0} == got.headers


def test_interrupted(house: House) -> None:
    """Ctrl-C in the midst of a slow replay: what was not replayed is in its place."""
    for number in range(10):
        house.publish(house.item(f"slow-{number}"))
    house.until(lambda: house.depth(topology.ENRICH) == 10, "items")
    house.reject(10)
    house.until(lambda: house.depth(topology.DEAD) == 10, "the dead")
    process = house.start("replay", "--all", "--yes", "--rate", "4", "--bus", "$BROKER")
    house.until(lambda: house.depth(topology.ENRICH) >= 2, "the first are replayed")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    replayed = int(err.split(" of 10 replayed")[0].split()[-1])
    assert (replayed >= 2, house.depth(topology.ENRICH)) == (True, replayed)
    assert list(house.letters()) == [f"birds/slow-{number}" for number in range(replayed, 10)]


def test_refused(rabbit_node: RabbitNode, house: House) -> None:
    """No broker, a wrong password, no right to read: a sentence with the broker's reason, exit 1, soon."""
    vhost = house.url.rpartition("/")[2]
    house.publish(house.item("seen-by-few"), exchange=topology.DEAD)
    house.until(lambda: house.depth(topology.DEAD), "a letter")
    rabbit_node.rabbitmqctl("add_user", f"blind-{vhost}", "secret")
    rabbit_node.rabbitmqctl("set_permissions", "-p", vhost, f"blind-{vhost}", "", "", "")
    port = rabbit_node.port
    for url, words in (
        (f"amqp://a:b@127.0.0.1:{free_port()}/", "refused"),
        (f"amqp://streamer:wrong@127.0.0.1:{port}/{vhost}", "ACCESS_REFUSED - Login was refused"),
        (f"amqp://blind-{vhost}:secret@127.0.0.1:{port}/{vhost}", "refused for user"),
    ):
        began = time.monotonic()
        process = house.start("list", "--bus", url)
        out, err = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out) == (1, ""), err
        assert words in err
        assert time.monotonic() - began < 10
