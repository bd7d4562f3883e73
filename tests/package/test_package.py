"""What a user installs: wheel, sdist, `pip install .` and `pip install -e .` all bring the plugins and the page."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ("streamer", "enrich", "relay", "pipeline")
# The dependencies of this environment, without its own editable install, whose .pth only a site folder honours.
DEPENDENCIES = sysconfig.get_paths()["purelib"]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program and return what it said; fail with it where it failed."""
    environ = {**os.environ, "PYTHONPATH": DEPENDENCIES, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    code = f"import sys; sys.path.insert(0, 'web'); import build_backend; build_backend.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", code)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A new virtual environment's bin folder."""
    venv.create(tmp_path / "venv", with_pip=True)
    return tmp_path / "venv" / "bin"


def assert_works(bin_: Path, elsewhere: Path) -> None:
    """`twistd` lists the four plugins and the program runs, from a folder that is not the checkout."""
    listed = run(bin_ / "python", "-m", "twisted", "--help", cwd=elsewhere)
    lines = [line.split() for line in listed.splitlines()]
    assert {name for name in PLUGINS if any(line[:1] == [name] for line in lines)} == set(PLUGINS)
    assert "streamer 0." in run(bin_ / "streamer", "--version", cwd=elsewhere)


def test_wheel(built: Path, environment: Path, tmp_path: Path) -> None:
    """The wheel holds the page and the plugins and no tests; installed, it works."""
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "streamer/_web/index.html",
        "streamer/_web/client/v1/client.js",
        "streamer/bus/amqp0-9-1.xml",
        "twisted/plugins/streamer_plugins.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "web/"))]
    assert "twisted/__init__.py" not in names
    run(environment / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    assert_works(environment, tmp_path)


def test_sdist(built: Path) -> None:
    """The sdist holds the page, its sources and the build backend, so that it can be built from without Node."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "streamer/_web/index.html",
        "web/build_backend.py",
        "web/package.json",
        "web/src",
        "conf/streamer.toml",
    } <= names
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.parametrize("how", [[], ["-e"]], ids=["plain", "editable"])
def test_from_the_checkout(how: list[str], environment: Path, tmp_path: Path) -> None:
    """`pip install .` and `pip install -e .` show the plugins too (the latter needs `package_dir`)."""
    run(environment / "python", "-m", "pip", "install", "--quiet", "--no-deps", *how, ".")
    assert_works(environment, tmp_path)
