"""The languages of the clients: how a program of each is installed and started, and where the versions of its packages stand.

They are found by the ending of a program's name, which is its path below `programs/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from e2e.clients import install


class Language(NamedTuple):
    """`install` takes a program, and returns what `command` gets beside the program and an empty folder of its own."""

    install: Callable[[str], Path]
    command: Callable[[Path, str, Path], list[str]]
    version: Callable[[str], str]


def of(program: str) -> Language:
    return _LANGUAGES[Path(program).suffix]


def _python(interpreter: Path, program: str, folder: Path) -> list[str]:
    return [str(interpreter), str(install.PROGRAMS / program)]


def _node(installed: Path, program: str, folder: Path) -> list[str]:
    """Node.js looks for packages beside a program, wherever it is started."""
    for one in install.PROGRAMS.glob("*.mjs"):
        shutil.copy2(one, folder)
    (folder / "node_modules").symlink_to(installed / "node_modules")
    return [str(installed / "node_modules" / ".bin" / "node"), str(folder / program)]


def _java(installed: Path, program: str, folder: Path) -> list[str]:
    classes = f"{installed / 'classes'}{os.pathsep}{installed / 'lib'}/*"
    return ["java", "-Xmx512m", "-cp", classes, Path(program).stem]


_LANGUAGES: Final = {
    ".py": Language(lambda _: install.python(), _python, install.python_version),
    ".mjs": Language(lambda _: install.node(), _node, install.node_version),
    ".go": Language(install.go, lambda binary, *_: [str(binary)], install.go_version),
    ".java": Language(lambda _: install.java(), _java, install.java_version),
}
