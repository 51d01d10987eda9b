"""The image of vLLM for CPU holds the environment of `e2e.vllm.install`, made small, on Debian's own Python.

PyTorch from PyPI links 3 GB of CUDA's libraries that a server without a GPU never calls. Each that `import torch` maps is
replaced by a stub that exports the same symbols under the same versions, and that ends the process if one is called; the others
go, and Triton with them, which has no back end for CPUs. libcudart, libcupti and libcufile stay: loading PyTorch calls them.
"""

from __future__ import annotations

import collections
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from testbed.cluster.steps import StepFailed
from testbed.cluster.store import build_once, digest
from testbed.images import rootfs
from testbed.images.oci import ImageConfig, write_archive

ARCHIVE = "image.tar"
SUITE = "bookworm"
PYTHON = "python3.11"  # the suite's
PACKAGES = ("python3", "libgomp1", "libstdc++6", "libnuma1", "ca-certificates")
SITE = "opt/vllm"
KEPT = ("libcudart", "libcupti", "libcufile")
LEFT_OUT = ("triton", "cuda")  # packages that only GPUs need
RECIPE = "1"  # raised when the steps below change what is in the image
_LIBRARIES = (".a", ".h", ".hpp", ".cuh", ".bc", "")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAPPED = (
    "import torch, re; print('\\n'.join(sorted(set(re.findall(r'\\S*/nvidia/\\S+', open('/proc/self/maps').read())))))"
)
_COMMAND = '#!/bin/sh\nexec python3 -m vllm.entrypoints.cli.main "$@"\n'


def archive(interpreter: Path, reference: str) -> Path:
    """Returns the archive of an image with the environment of an interpreter, in which vLLM is installed."""
    parts = {
        "environment": interpreter.parents[2].name,
        "reference": reference,
        "recipe": RECIPE,
        "arch": platform.machine(),
    }
    return build_once("images", "vllm", digest(parts), lambda draft: _build(draft, interpreter, reference)) / ARCHIVE


def root(draft: Path, interpreter: Path) -> Path:
    """Fills a folder with the image's file system."""
    site = next(interpreter.parents[1].glob("lib/python3.*/site-packages"))
    if site.parent.name != PYTHON:
        raise StepFailed(
            f"vLLM is installed for {site.parent.name}, and Debian {SUITE} has {PYTHON}: run this with {PYTHON}"
        )
    made = draft / "rootfs"
    rootfs.debootstrap(made, SUITE, PACKAGES)
    shutil.copytree(site, made / SITE, symlinks=True, copy_function=_link)
    shrink(site, made / SITE, set(_mapped(interpreter)))
    command = made / "usr/bin/vllm"
    command.write_text(_COMMAND)
    command.chmod(0o755)
    return made


def shrink(original: Path, site: Path, mapped: set[str]) -> None:
    """Takes out what a CPU does not need. `mapped`: names of the libraries that loading PyTorch wants."""
    for file in sorted((site / "nvidia").rglob("*")):
        if not file.is_file() or file.is_symlink() or file.name.startswith(KEPT):
            continue
        if ".so" not in file.name and file.suffix not in _LIBRARIES:
            continue
        file.unlink()
        if file.name in mapped:
            stub(original / file.relative_to(site), file)
    for name in LEFT_OUT:
        shutil.rmtree(site / name, ignore_errors=True)


def stub(library: Path, out: Path) -> None:
    """Writes a library with the symbols of another one, each of which is an invalid instruction."""
    by_version: dict[str, set[str]] = collections.defaultdict(set)
    for name, version in _symbols(library):
        by_version[version].add(name)
    assembler = [".text"]
    for names in by_version.values():
        for name in sorted(names):
            assembler += [f".globl {name}", f".type {name},@function", f"{name}: ud2"]
    source, script = out.with_suffix(".s"), out.with_suffix(".map")
    source.write_text("\n".join(assembler) + "\n")
    script.write_text(
        "\n".join(
            f"{version} {{ global: {'; '.join(sorted(names))}; }};" for version, names in by_version.items() if version
        )
    )
    command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{out.name}", "-o", str(out), str(source)]
    versions = [f"-Wl,--version-script={script}"] if any(by_version) else []
    if subprocess.run([*command, *versions], capture_output=True).returncode:
        subprocess.run(command, check=True, capture_output=True)  # a version's name that the linker does not take
    source.unlink()
    script.unlink()


def _build(draft: Path, interpreter: Path, reference: str) -> None:
    made = root(draft, interpreter)
    env = (*ImageConfig([]).env, f"PYTHONPATH=/{SITE}", "PYTHONDONTWRITEBYTECODE=1")
    config = ImageConfig(["vllm", "serve"], env=env)
    write_archive(draft / ARCHIVE, reference, made, config, platform.machine())
    shutil.rmtree(made)


def _symbols(library: Path) -> Iterator[tuple[str, str]]:
    """Yields name and version of what a library exports."""
    told = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        parts = line.split()
        if len(parts) >= 3 and parts[1] in "TWBDRVi":
            name, _, version = parts[2].partition("@")
            if _SYMBOL.fullmatch(name):
                yield name, version.removeprefix("@")


def _mapped(interpreter: Path) -> Iterable[str]:
    """Returns the names of CUDA's libraries that loading PyTorch maps."""
    done = subprocess.run([interpreter, "-c", _MAPPED], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    if done.returncode:
        raise StepFailed(f"PyTorch does not load: {done.stderr.strip().splitlines()[-1:]}")
    return [Path(line).name for line in done.stdout.split()]


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
