"""The posts that every contestant of `make bench-ingest` gets: recorded ones, each with an id of its own.

Recorded v2 posts where the data folder is there, else generated ones of the same mean size. Only the id is changed,
in place, so that nobody's dedupe drops anything and the bytes stay an upstream's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

RECORDED = Path(__file__).parents[3] / "shared/data/tweets-v2/stream-form.jsonl"
GENERATED = 500  # posts
GENERATED_SIZE = 3640  # bytes, the recorded ones' mean
ID_LENGTH = 19  # digits, as X's are


class Template(NamedTuple):
    """A line without its line end, cut open where its id goes."""

    before: bytes
    after: bytes

    def with_id(self, id_: bytes) -> bytes:
        """The line."""
        return self.before + id_ + self.after


def templates(recorded: Path = RECORDED) -> list[Template]:
    """The posts to choose from, in their order."""
    if recorded.exists():
        lines = [line.rstrip(b"\r\n") for line in recorded.read_bytes().split(b"\n")]
        return [cut_open(line) for line in lines if line]
    return [cut_open(generated(number)) for number in range(GENERATED)]


def post_id(block: int, place: int) -> bytes:
    """An id that no other block or place has."""
    return b"1%014d%04d" % (block, place)


def cut_open(line: bytes) -> Template:
    """Find the one place where the post's own id stands.

    Raises:
        ValueError: the line has none; the data is not what it was.
    """
    own = json.loads(line)["data"]["id"].encode()
    for found in re.finditer(rb'"id": ?"' + own + rb'"', line):
        end = found.end() - 1
        template = Template(line[: end - len(own)], line[end:])
        if json.loads(template.with_id(b"7"))["data"]["id"] == "7":
            return template
    raise ValueError(f"no id in {line[:80]!r}")


def generated(number: int) -> bytes:
    """A post in X's form, padded with what most of a real one is: annotations."""
    post = {
        "id": str(number).rjust(ID_LENGTH, "9"),
        "text": f"Post {number} of many #bench https://t.co/{number}",
        "author_id": str(10_000 + number),
        "created_at": "2026-11-21T04:00:00.000Z",
        "lang": "en",
        "context_annotations": [],
    }
    line = {
        "data": post,
        "includes": {"users": [{"id": post["author_id"], "name": "Bench", "username": f"bench{number}"}]},
        "matching_rules": [{"id": "1", "tag": "pets"}],
    }
    while len(json.dumps(line)) < GENERATED_SIZE:
        domain = {"id": "10", "name": "Person", "description": "Named people in the world"}
        entity = {"id": str(len(post["context_annotations"])), "name": f"Somebody of post {number}"}
        post["context_annotations"].append({"domain": domain, "entity": entity})
    return json.dumps(line).encode()
