"""Resolves pyproject.toml to exact versions, each with the hashes of its files: `make lock` writes all lock files.

requirements.lock is for development, with the dev group; requirements-runtime.lock is what the image holds;
requirements-build.lock is what builds it and is not in it. The first two have the extra `otel`: a RoutePolicy may ask for
traces, and the tests do. pip installs with --require-hashes, so that no package index can hand out something else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"  # resolves; what it has written is read as a diff
OPTIONS = (
    "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-emit-index-url",
    "--no-emit-find-links",
)  # fmt: skip


def main() -> None:
    venv = Path(sys.argv[1])
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", UV], check=True)
    uv = venv / "bin" / "uv"
    resolve(uv, "requirements.lock", "pyproject.toml", "--extra", "otel", "--group", "dev")
    resolve(uv, "requirements-runtime.lock", "pyproject.toml", "--extra", "otel")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "build.in"
        wanted.write_text("\n".join(build_requirements()) + "\n")
        resolve(uv, "requirements-build.lock", wanted, "--no-annotate")


def resolve(uv: Path, name: str, *what: str | Path) -> None:
    """Writes one lock file. Versions that it has stay, if they still fit."""
    subprocess.run([uv, "pip", "compile", *OPTIONS, *what, "-o", name], cwd=ROOT, check=True)
    print(f"Wrote {name}")


def build_requirements() -> Sequence[str]:
    """Returns what makes the wheel and compiles the router."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [*project["build-system"]["requires"], *project["dependency-groups"]["compile"]]


if __name__ == "__main__":
    main()
