"""The import law of the house: arrows run one way, the core imports no Twisted, the global reactor stays outside."""

from __future__ import annotations

import ast
import functools
import gc
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2] / "streamer"

# room → the rooms it may import from, besides the hall and itself
MAY_IMPORT = {
    "hall": set(),
    "wire": set(),
    "policy": set(),
    "fanout": {"wire", "policy"},
    "sources": {"wire", "policy"},
    "hydrators": {"wire", "policy"},
    "events": {"wire", "policy"},
    "bus": {"fanout", "sources", "hydrators", "events", "wire", "policy"},
    "net": {"fanout", "sources", "hydrators", "events", "wire", "policy"},
    "services": {"net", "bus", "fanout", "sources", "hydrators", "events", "wire", "policy"},
    "testing": {"net", "bus", "fanout", "sources", "hydrators", "events", "wire", "policy"},
    "cli": {"services", "testing", "net", "bus", "fanout", "sources", "hydrators", "events", "wire", "policy"},
}
NO_TWISTED = {"wire", "policy", "fanout"}
SEES_THE_REACTOR = {"services", "cli"}
WALL_CLOCKS = {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "datetime.datetime.now"}
# A node process of the tests' own, and its command line, stand outside the reactor altogether.
BLOCKING = {"testing/rabbitmq.py"}


@functools.cache
def modules() -> list[tuple[str, Path, ast.Module]]:
    """Room, path and syntax tree of every module."""
    return list(_modules())


def _modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] == "_web":
            continue
        room = inside.parts[0] if len(inside.parts) > 1 else "hall"
        if inside.name in ("cli.py", "control_cli.py", "simulate_cli.py", "__main__.py", "demo.py"):
            room = "cli"
        text = path.read_text(encoding="utf-8")
        gc.disable()  # a finaliser that parses as well trips CPython over its own count (gh-106905, until 3.11.8)
        try:
            tree = ast.parse(text)
        finally:
            gc.enable()
        yield room, inside, tree


def imports(tree: ast.Module) -> Iterator[str]:
    """Every imported name, dotted, wherever in the module it is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(imported: str) -> str:
    """The room that a dotted `streamer.…` name lives in."""
    parts = imported.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else "hall"


def is_own_method(node: ast.AST) -> bool:
    """A method that is not there because a framework or the language calls it."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not node.name.startswith("__") and not re.search(r"[a-z][A-Z]", node.name)


class LayersTests(SynchronousTestCase):
    """Reads the whole package; nothing of it is run."""

    def test_arrows_run_one_way(self) -> None:
        """No room imports from a room above it or beside it."""
        wrong = [
            f"{path} imports {imported}"
            for room, path, tree in modules()
            for imported in imports(tree)
            if imported.split(".")[0] == "streamer" and room_of(imported) not in MAY_IMPORT[room] | {"hall", room}
        ]
        self.assertEqual([], wrong)

    def test_every_room_is_known(self) -> None:
        """A new room must be given its place in the table above."""
        self.assertEqual(set(), {room for room, _, _ in modules()} - set(MAY_IMPORT))

    def test_the_core_imports_no_twisted(self) -> None:
        """wire, policy and fanout can be driven from a plain interpreter."""
        wrong = [
            f"{path} imports {imported}"
            for room, path, tree in modules()
            if room in NO_TWISTED
            for imported in imports(tree)
            if imported.split(".")[0] in ("twisted", "autobahn", "treq", "pika", "txaio")
        ]
        self.assertEqual([], wrong)

    def test_only_services_see_the_global_reactor(self) -> None:
        """Everybody else takes a clock or a reactor as an argument."""
        wrong = [
            f"{path} imports {imported}"
            for room, path, tree in modules()
            if room not in SEES_THE_REACTOR
            for imported in imports(tree)
            if imported in ("twisted.internet.reactor", "twisted.internet.task.react")
        ]
        self.assertEqual([], wrong)

    def test_nobody_reads_the_wall_clock(self) -> None:
        """Time is an argument, and comes from the reactor's clock."""
        wrong = [
            f"{path}:{node.lineno} calls {ast.unparse(node.func)}"
            for _, path, tree in modules()
            if str(path) not in BLOCKING
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in WALL_CLOCKS
        ]
        self.assertEqual([], wrong)

    def test_files_stay_small(self) -> None:
        """A file over 300 lines holds a second noun."""
        sizes = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for _, path, _ in modules()}
        self.assertEqual({}, {path: size for path, size in sizes.items() if size > 300})

    def test_classes_stay_small(self) -> None:
        """A class has fewer than twelve methods; what a framework calls (camelCase, dunders) is not counted."""
        large = [
            f"{path} {node.name}"
            for _, path, tree in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and sum(is_own_method(part) for part in node.body) >= 12
        ]
        self.assertEqual([], large)

    def test_every_module_names_its_tests(self) -> None:
        """The first line names a test module that exists, so that a reader (and an editor) finds it."""
        wrong = []
        for _, path, _ in modules():
            first = (ROOT / path).read_text(encoding="utf-8").partition("\n")[0]
            named = re.fullmatch(r"# -\*- test-case-name: ([a-z0-9_.]+) -\*-", first)
            tests = ROOT.parent / (named[1].replace(".", "/") if named else "-")
            if not (tests.is_dir() or tests.with_suffix(".py").is_file()):
                wrong.append(f"{path}: {first}")
        self.assertEqual([], wrong)

    def test_every_module_says_why_it_exists(self) -> None:
        """A docstring heads every module."""
        self.assertEqual([], [str(path) for _, path, tree in modules() if not ast.get_docstring(tree)])
