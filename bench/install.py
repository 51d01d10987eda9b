"""What a benchmark needs on the machine, built or installed once into the user's cache: the load generator, and one
Python environment per peer, so that no peer's dependencies meet another's.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from testbed.cluster.store import build_once, digest, read_tree

ROOT = Path(__file__).resolve().parent.parent
LOAD_SOURCE = ROOT / "bench" / "load"

log = logging.getLogger(__name__)


def load_generator() -> Path:
    """The binary of bench/load."""

    def build(draft: Path) -> None:
        if shutil.which("go") is None:
            raise click.ClickException("the load generator needs Go 1.25 or newer; put `go` on PATH")
        log.info("Building the load generator")
        _run(["go", "build", "-trimpath", "-o", str(draft / "load"), "."], LOAD_SOURCE, dict(os.environ))

    key = digest(read_tree(LOAD_SOURCE, ["."], (".go", ".mod")))
    return build_once("bench", "load", key, build) / "load"


def requirement(distribution: str) -> str:
    """The pinned requirement of a distribution, from pyproject.toml (group `bench`, then the project's own)."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [*content["dependency-groups"]["bench"], *content["project"]["dependencies"]]
    for line in lines:
        if re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0] == distribution:
            return str(line)
    raise KeyError(f"{distribution} is not pinned in pyproject.toml, dependency group bench")


def python_environment(name: str, distributions: Sequence[str]) -> Path:
    """The interpreter of an environment that holds these distributions and nothing else."""
    requirements = [requirement(distribution) for distribution in distributions]

    def build(draft: Path) -> None:
        log.info("Installing %s for the peer %s", ", ".join(requirements), name)
        # Without scripts' absolute paths an environment survives its rename into place: peers start by `python -m`.
        _run([sys.executable, "-m", "venv", "--without-pip", str(draft / "venv")], ROOT, dict(os.environ))
        python = str(draft / "venv" / "bin" / "python")
        _run([sys.executable, "-m", "pip", "-q", "--python", python, "install", *requirements], ROOT, dict(os.environ))

    key = digest({"requirements": "\n".join(requirements), "python": sys.version})
    return build_once("bench", name, key, build) / "venv" / "bin" / "python"


def python_packages(name: str, distributions: Sequence[str], minor: str) -> Path:
    """A folder with these distributions and what they need, for another Python than this one (3.13, say): wheels only."""
    requirements = [requirement(distribution) for distribution in distributions]

    def build(draft: Path) -> None:
        log.info("Installing %s for the peer %s", ", ".join(requirements), name)
        options = ["--target", str(draft / "site"), "--python-version", minor, "--only-binary=:all:"]
        _run([sys.executable, "-m", "pip", "-q", "install", *options, *requirements], ROOT, dict(os.environ))

    key = digest({"requirements": "\n".join(requirements), "python": minor})
    return build_once("bench", name, key, build) / "site"


def node_package(name: str, package: str, version: str, overrides: Mapping[str, str]) -> Path:
    """The folder of a package, installed by npm with what it needs; `overrides`: versions of those to hold to."""
    manifest = {"private": True, "dependencies": {package: version}, "overrides": dict(overrides)}

    def build(draft: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise click.ClickException(f"{package} needs Node.js with npm; put `npm` on PATH")
        log.info("Installing %s@%s for the peer %s", package, version, name)
        (draft / "package.json").write_text(json.dumps(manifest))
        _run([npm, "install", "--no-audit", "--no-fund"], draft, {**os.environ, "NODE_ENV": "production"})

    key = digest({"manifest": json.dumps(manifest, sort_keys=True)})
    return build_once("bench", name, key, build) / "node_modules" / package


def distribution_version(python: Path, distribution: str) -> str:
    """Version of a distribution in an environment."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _run(command: Sequence[str], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command[:6])} … failed with {done.returncode}:\n{done.stdout[-3000:]}")
