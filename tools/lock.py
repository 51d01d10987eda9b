"""Resolves pyproject.toml to exact versions: `make lock` writes both lock files.

requirements.lock is for development, with the dev group; requirements-runtime.lock is what the image holds. Both have the
extra `otel`: a RoutePolicy may ask for traces, and the tests do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    venv = Path(sys.argv[1])
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    for name, groups in {"requirements.lock": ("dev",), "requirements-runtime.lock": ()}.items():
        command = [str(venv / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += [
            "--no-header",
            "--no-emit-index-url",
            "--no-emit-find-links",
            "pyproject.toml",
            "--extra",
            "otel",
            "-o",
            name,
        ]
        command += [part for group in groups for part in ("--group", group)]
        subprocess.run(command, cwd=ROOT, check=True)
        print(f"Wrote {name}")


if __name__ == "__main__":
    main()
