"""Installs the clients into the user's cache, once: a Python environment, a folder of npm's with a Node.js of its own, programs
of Go, and Java's with their libraries."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from testbed.cluster.steps import run_step
from testbed.cluster.store import build_once, cache_root, digest, read_tree

PROGRAMS = Path(__file__).parent / "programs"
_MANIFEST = PROGRAMS / "package.json"
_REQUIREMENTS = PROGRAMS / "requirements.txt"
_GO = PROGRAMS / "go"
_JAVA = PROGRAMS / "java"
#: Optimised, the SDKs' generated packages of 100,000 lines took up to a quarter of an hour; so they take two minutes.
_QUICK_COMPILE = "-gcflags=all=-N -l -dwarf=false"
_SUITE_NEEDS = (
    "pytest==9.2.0", "pytest-asyncio==1.5.0", "pytest-xdist==3.8.0", "rich>=13.7.1", "inline-snapshot>=0.28.0", "trio>=0.22.2",
    "aiohttp==3.14.5", "httpx-aiohttp==0.2.0", "numpy", "httpx2==2.16.2",
)  # fmt: skip


def together(steps: Iterable[Callable[[], object]]) -> None:
    """Runs steps beside each other: most of them wait for a registry, and Go's compiler has the cores meanwhile."""
    with ThreadPoolExecutor() as threads:
        for step in [threads.submit(step) for step in steps]:
            step.result()


def python() -> Path:
    """Returns the interpreter that has the Python clients."""

    def build(draft: Path) -> None:
        log = _log("python")
        venv = draft / "venv"
        make: list[str | Path] = [sys.executable, "-m", "venv", "--without-pip", venv]
        run_step("Creating the environment of the clients", make, log, quiet=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "-q"]
        run_step("Installing the Python clients", [*pip, "-r", _REQUIREMENTS], log)

    key = digest({"requirements": _REQUIREMENTS.read_bytes(), "python": sys.version})
    return build_once("clients", "python", key, build) / "venv" / "bin" / "python"


def node() -> Path:
    """Returns the folder that has the Node.js clients, the programs for them, and `node_modules/.bin/node`."""

    def build(draft: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise click.ClickException("the clients need Node.js with npm; put `npm` on PATH")
        log = _log("node")
        install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(draft)]
        # Its own Node.js comes first: npm passes over releases that the running one is too old for.
        newest = manifest()["dependencies"]["node"]
        (draft / "package.json").write_text('{"private": true}')
        run_step("Installing Node.js", [*install, f"node@{newest}"], log)
        shutil.copy2(_MANIFEST, draft)
        run_step("Installing the Node.js clients (1.4 GB)", install, log, env={"PATH": search_path(draft)})

    key = digest({"manifest": _MANIFEST.read_bytes()})
    return build_once("clients", "node", key, build)


def go(program: str) -> Path:
    """Returns a compiled program of Go's."""
    package = (PROGRAMS / program).parent.name

    def build(draft: Path) -> None:
        if shutil.which("go") is None:
            raise click.ClickException("the clients need Go; put `go` on PATH")
        make = ["go", "build", "-trimpath", "-buildvcs=false", _QUICK_COMPILE, "-o", draft / "client", f"./{package}"]
        run_step(f"Compiling {program} (minutes)", make, _log("go"), cwd=_GO)

    key = digest({**read_tree(_GO, ("go.mod", "go.sum", "tasks", package)), "flags": _QUICK_COMPILE})
    return build_once("clients", f"go-{package}", key, build) / "client"


def java() -> Path:
    """Returns the folder that has the libraries of Java's clients (`lib`), and the compiled programs for them (`classes`)."""

    def build(draft: Path) -> None:
        if shutil.which("mvn") is None or shutil.which("javac") is None:
            raise click.ClickException("the clients need a JDK from 17 on and Maven; put `javac` and `mvn` on PATH")
        log, lib = _log("java"), draft / "lib"
        fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
        run_step("Fetching the Java clients (130 MB)", fetch, log, cwd=_JAVA)
        make = ["javac", "-d", draft / "classes", "-cp", f"{lib}/*", *sorted(_JAVA.glob("*.java"))]
        run_step("Compiling their programs", make, log)

    return build_once("clients", "java", digest(read_tree(_JAVA, (".",))), build)


def suite() -> Path:
    """Returns the folder that has openai-python's source with its own tests (`source`), and an environment for them (`venv`)."""
    pin = f"openai=={python_version('openai')}"

    def build(draft: Path) -> None:
        log = _log("suite")
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "openai", "-d", str(draft)]
        run_step("Fetching openai-python's own tests", [*fetch, pin], log)
        archive = next(draft.glob("openai-*.tar.gz"))
        with tarfile.open(archive) as held:
            held.extractall(draft, filter="data")
        archive.with_suffix("").with_suffix("").rename(draft / "source")
        archive.unlink()
        venv = draft / "venv"
        run_step("Creating their environment", [sys.executable, "-m", "venv", "--without-pip", venv], log, quiet=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "-q"]
        run_step("Installing what they need", [*pip, pin, *_SUITE_NEEDS], log)

    key = digest({"pin": pin, "needs": " ".join(_SUITE_NEEDS), "python": sys.version})
    return build_once("clients", "suite", key, build)


def search_path(folder: Path) -> str:
    """Returns a PATH that finds the clients of a folder, and its Node.js, first."""
    return f"{folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_MANIFEST.read_text())
    return found


def node_version(package: str) -> str:
    """Returns the pinned version of a package of npm's."""
    return str(manifest()["dependencies"][package])


def python_version(package: str) -> str:
    """Returns the pinned version of a package of PyPI's."""
    lines = _REQUIREMENTS.read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return next(pin for name, pin in pins.items() if name.split("[")[0] == package)


def go_version(module: str) -> str:
    """Returns the pinned version of a module of Go's."""
    lines = (line.removeprefix("require").split() for line in (_GO / "go.mod").read_text().splitlines())
    return next(line[1].removeprefix("v") for line in lines if line[:1] == [module])


def java_version(artifact: str) -> str:
    """Returns the pinned version of an artifact of Maven's."""
    found = re.search(rf"<artifactId>{artifact}</artifactId><version>([^<]+)", (_JAVA / "pom.xml").read_text())
    assert found is not None
    return found[1]


def _log(language: str) -> Path:
    return cache_root() / "log" / f"install-clients-{language}.log"
