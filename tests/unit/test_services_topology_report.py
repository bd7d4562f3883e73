"""The topology as text, and the tables of `docs/bus.md`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.permissions import USERS
from streamer.bus.topology import layout
from streamer.bus.verdict import Row
from streamer.bus.versions import DIFFERENCES
from streamer.services.topology_report import columns, judged, markdown, plain, tables, verdict, versions

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/bus.md"


def between(name: str) -> str:
    """What stands between two marker comments."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    return text[text.index(begin) + len(begin) : text.index(end)]


class DocumentTests(SynchronousTestCase):
    """`docs/bus.md` cannot fall behind; after a change, paste what the test says is missing."""

    def test_topology(self) -> None:
        """The tables are those of `streamer topology show --format markdown`."""
        self.assertEqual(between("topology"), markdown(tables(layout())) + "\n")

    def test_no_password_in_a_command(self) -> None:
        """What is to be typed has no password in it, for others see commands while they run."""
        fences = DOCUMENT.read_text(encoding="utf-8").split("```")[1::2]
        typed = [line for fence in fences for line in fence.split("\n")]
        self.assertTrue([line for line in typed if line.startswith("streamer topology declare --management '$")])
        for line in typed:
            self.assertNotRegex(line, r"://[^/ ]*@|change_password \S+ +[^#\s]|add_user \S+ +[^#\s]")

    def test_versions(self) -> None:
        """The table of versions is that of `bus.versions`."""
        self.assertEqual(between("versions"), markdown([versions()]) + "\n")


class TextTests(SynchronousTestCase):
    """For terminals and programs."""

    def test_tables(self) -> None:
        """Everything that is wanted is in them, and nothing optional that is not."""
        for write in (plain, markdown):
            text = write(tables(layout(2)))
            for name in (*layout(2).exchanges, *layout(2).streams, topology.shard_queue(1), *(u.name for u in USERS)):
                self.assertIn(name, text)
            self.assertNotIn("post.#", text)
            self.assertIn("post.#", write(tables(layout(2), [topology.TRENDS])))
            self.assertIn("x-single-active-consumer=true", text)

    def test_markdown_is_safe(self) -> None:
        """A pattern's bars do not end a cell, and each row has as many cells as its heads."""
        for line in (*markdown(tables(layout())).split("\n"), *markdown([versions()]).split("\n")):
            if line.startswith("|"):
                cells = line.replace("\\|", "").count("|")
                self.assertIn(cells, (3, 4, 5, 8), line)

    def test_columns(self) -> None:
        """Aligned, without blanks at the ends."""
        self.assertEqual(columns([["a", "bb"], ["ccc", ""]]), "a    bb\nccc")

    def test_verdict(self) -> None:
        """Below each row what is to be said of it; then what the version does differently."""
        rows = [
            Row(kind="queue", name="q", state="there", ready=0, problem="P", alarm="A", note="N"),
            Row(kind="queue", name="r", state="there"),
        ]
        lines = verdict(rows, "RabbitMQ 4.3.1").split("\n")
        self.assertEqual(lines[1].split(), ["queue", "q", "there", "0", "-", "-"])
        self.assertEqual(lines[2:5], ["    DIFFERS: P", "    ALARM: A", "    note: N"])
        self.assertEqual(lines[6:8], ["", "What RabbitMQ 4.3.1 does that other versions do not, and what we do:"])
        self.assertLess(len(lines) - 8, len(DIFFERENCES))
        self.assertEqual(len(verdict(rows, "Other").split("\n")), 6)
        document = judged(rows, "Other", good=False)
        self.assertEqual((document["differences"], document["good"], len(document["rows"])), ([], False, 2))
