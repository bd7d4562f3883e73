"""The documents say what the code does: the tests and limits that they name exist, and the reference file is whole."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from streamer import metrics
from streamer.gap import Gap
from streamer.interfaces import ISourceType
from streamer.policy import backoff
from streamer.registry import plugins
from streamer.settings import TABLES, loads
from streamer.tables import CommonSettings, RelayAuthSettings, Settings

ROOT = Path(__file__).resolve().parents[2]
DELIVERY = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "conf" / "streamer.toml").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGES.md", *sorted((ROOT / "docs").glob("*.md"))]

TEST_ID = re.compile(r"\btests/[\w/]+\.py(?:::\w+)+")
SECRETS = re.compile(r'"\$([A-Z_]+)"')


@functools.cache
def known_tests(path: str) -> frozenset[str]:
    """What may stand after the path of a test module: `Class::test`, `test`, and `Name::runTest` of state machines."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = set(functions(module))
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{name}" for name in functions(node)}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "TestCase":
            found |= {f"{target.id}::runTest" for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def functions(node: ast.ClassDef | ast.Module) -> Iterator[str]:
    """The names of the tests right in a class or module."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test"):
            yield child.name


def section(title: str) -> str:
    """The text of one section of docs/delivery.md, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", DELIVERY, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    lines = [line for line in section(title).split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class PromiseTests(SynchronousTestCase):
    """docs/delivery.md: its promises and their tests."""

    def test_tests_exist(self) -> None:
        """Each test that is named is there, under that name."""
        named = TEST_ID.findall(DELIVERY)
        self.assertGreater(len(named), 50)
        missing = []
        for written in named:
            path, _, test = written.partition("::")
            if not (ROOT / path).is_file() or test not in known_tests(path):
                missing.append(written)
        self.assertEqual([], missing)

    def test_every_test_is_named_in_full(self) -> None:
        """The list below "How each promise is tested" holds nothing but ids, so that none escapes the test above."""
        items = re.findall(r"^ +\* (.*)$", section("How each promise is tested"), re.MULTILINE)
        self.assertEqual([], [item for item in items if not TEST_ID.fullmatch(item)])

    def test_every_promise_is_tested(self) -> None:
        """Each row of the table has its tests, in the same order, and names modules that exist."""
        promises = rows("The promises")
        parts = re.split(r"^(\d+)\. .*$", section("How each promise is tested"), flags=re.MULTILINE)[1:]
        tested = dict(zip(parts[::2], parts[1::2], strict=True))
        self.assertEqual([row[0] for row in promises], list(tested))
        self.assertEqual([], [number for number, tests in tested.items() if not TEST_ID.search(tests)])
        modules = [module for row in promises for module in re.findall(r"`([\w/]+)`", row[3])]
        self.assertGreaterEqual(len(modules), len(promises))
        self.assertEqual([], [name for name in modules if not (ROOT / "streamer" / f"{name}.py").is_file()])

    def test_limits(self) -> None:
        """Each limit is that of the constant beside it."""
        wrong = []
        limits = rows("Limits")
        for written, constant, _ in limits:
            module, _, name = constant.strip("`").rpartition(".")
            value = getattr(importlib.import_module(f"streamer.{module}"), name)
            number = f"{value:,g}" if isinstance(value, float) else f"{value:,}"
            if not written.startswith(f"{number} "):
                wrong.append(f"{constant} is {number}, not {written}")
        self.assertEqual([], wrong)
        self.assertGreater(len(limits), 20)

    def test_causes(self) -> None:
        """Each cause that a gap may have is explained, and no other."""
        explained = {row[0].strip("`") for row in rows("Gaps")}
        others = set(re.findall(r"`([\w-]+)`", (Gap.__doc__ or "").partition("CAUSES`")[2].partition("filled:")[0]))
        self.assertEqual(set(backoff.CAUSES) | others, explained)
        self.assertIn("restart", others)

    def test_metrics(self) -> None:
        """Each number to watch is one of ours."""
        known = {metric.name for metric in metrics.ALL}
        named = set(re.findall(r"`(streamer_\w+)`", DELIVERY))
        self.assertEqual(set(), named - known)
        self.assertIn("streamer_gaps_total", named)


class LinkTests(SynchronousTestCase):
    """All documents."""

    def test_links(self) -> None:
        """Links to other files of this repository lead somewhere."""
        broken = [
            f"{document.name}: {target}"
            for document in DOCUMENTS
            for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
            if "://" not in target and not (document.parent / target).exists()
        ]
        self.assertEqual([], broken)


class ReferenceTests(SynchronousTestCase):
    """conf/streamer.toml: what test_settings does not look at."""

    # Keys without a default, and those whose example says more than their default would.
    GIVEN: Mapping[str, set[str]] = {
        "birds": {"predicates"},
        "sample": set(),
        "japan-1": {"lang"},
        "old": {"consumer_key", "consumer_secret", "token", "token_secret", "predicates"},
        "bluesky": {"base_url"},
        "fedi": {"streaming_url", "transport", "predicates", "stall_after"},
        "wikipedia": {"contact", "predicates"},
        "github": {"token", "predicates"},
        "blog": {"base_url"},
        "deploys": {"secret"},
        "yesterday": {"speed"},
    }

    def examples(self) -> Settings:
        """The file with all its examples in force."""
        text = re.sub(r"^#(?=[\w\[])", "", REFERENCE, flags=re.MULTILINE)
        return loads(text, environ=dict.fromkeys(SECRETS.findall(text), "a-long-secret"))

    def test_examples(self) -> None:
        """They are valid, one for each type of source, and show the defaults of all other keys."""
        sources = self.examples().sources
        self.assertEqual(set(plugins(ISourceType)), {table.kind.name for table in sources.values()})
        for name, table in sources.items():
            fields = msgspec.structs.fields(table.own)
            changed = {field.name for field in fields if not field.required and differs(field, table.own)}
            self.assertEqual(self.GIVEN[name], changed, name)

    def test_every_key(self) -> None:
        """Each key of each table and type of source is there."""
        structs: list[Any] = [*TABLES.values(), CommonSettings, RelayAuthSettings]
        structs += [table.kind.settings for table in self.examples().sources.values()]
        known = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
        said = set(re.findall(r"(?:^|[# ,])(\w+) = ", REFERENCE, re.MULTILINE))
        self.assertEqual(set(), known - said - {"predicates", "auth"})  # which are tables

    def test_as_shipped(self) -> None:
        """Without the examples there is one source."""
        self.assertEqual(["birds"], list(tomllib.loads(REFERENCE)["sources"]))


def differs(field: Any, own: Any) -> bool:
    """Whether a key has another value than its default."""
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return bool(getattr(own, field.name) != default)
