"""The Python that a router written in Python runs on: that of the project's own image, for genset and its peers alike.

Interpreters differ by a quarter of the CPU per request: one that somebody compiled for himself is seldom optimised as
those of distributions and images are. Users run the image; so its file system is unpacked into the cache, and programs
are started with it as their root. Where the image cannot be built (no root, no Linux), everybody gets the Python that
runs this.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import click

from bench.install import ROOT, distribution_version, python_environment, python_packages
from testbed.cluster.store import build_once, digest
from testbed.images import IMAGES
from testbed.images.oci import LAYER

PLACE, PACKAGES, PROGRAMS = "/mnt", "/media", "/srv"  # folders that every Debian has, empty
#: A mount namespace of its own: nothing of it is seen outside, nothing is left behind.
_ENTER = (
    'mount --rbind /proc "$ROOTFS/proc" && mount --rbind /dev "$ROOTFS/dev" && mount --bind "$HERE" "$ROOTFS/mnt" && '
    'mount --bind "$SITE" "$ROOTFS/media" && mount --bind "$SOURCE" "$ROOTFS/srv" && exec chroot "$ROOTFS" "$@"'
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WITHOUT_IMAGE = "GENSET_BENCH_WITHOUT_IMAGE"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interpreter:
    """`rootfs` None: the Python that runs this, on the sources of the checkout `source`."""

    rootfs: Path | None
    version: str
    source: Path = ROOT

    @property
    def about(self) -> str:
        """For the reader of the table."""
        return f"Python {self.version}" + (" of the project's image" if self.rootfs else "")

    def genset(self, folder: Path, arguments: Sequence[str]) -> list[str]:
        """`genset …`, from the image or from the tree. `folder` is PLACE for it."""
        if self.rootfs is None:
            return [sys.executable, "-m", "genset", *arguments]
        return self._inside(folder, folder, ["/opt/genset/bin/python3", "-m", "genset", *arguments])

    def program(self, name: str, distributions: Sequence[str], folder: Path, arguments: Sequence[str]) -> list[str]:
        """A program with these distributions (and what they need); PROGRAMS holds bench/peers/programs."""
        if self.rootfs is None:
            return [str(python_environment(name, distributions)), *arguments]
        site = python_packages(name, distributions, _minor(self.version))
        return self._inside(folder, site, ["/usr/bin/python3", *arguments])

    def place(self, folder: Path) -> str:
        """What the folder is called by whom it was given to."""
        return str(folder) if self.rootfs is None else PLACE

    def programs(self) -> str:
        return str(_PROGRAMS) if self.rootfs is None else PROGRAMS

    def environment(self) -> Mapping[str, str]:
        """Of programs started by this."""
        if self.rootfs is None:
            return {"PYTHONPATH": str(self.source / "operator")}
        return {"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1", "PATH": _PATH}

    def _inside(self, folder: Path, site: Path, command: Sequence[str]) -> list[str]:
        places = {"ROOTFS": self.rootfs, "HERE": folder, "SITE": site, "SOURCE": _PROGRAMS}
        settings = [f"{name}={path}" for name, path in places.items()]
        # Absolute, because PATH is the program's; each step replaces the one before it, so that the pid stays.
        isolate = ["/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _ENTER, "sh"]
        return ["/usr/bin/env", *settings, *isolate, *command]


_PROGRAMS = Path(__file__).parent / "peers" / "programs"


@cache
def interpreter() -> Interpreter:
    """The image's, if it can be had."""
    if os.geteuid() == 0 and not os.environ.get(WITHOUT_IMAGE):
        try:
            rootfs = unpacked(IMAGES["genset"].archive())
            found = Interpreter(rootfs, _version(["chroot", str(rootfs), "/opt/genset/bin/python3"]))
        except (
            click.ClickException,
            OSError,
            RuntimeError,
            subprocess.CalledProcessError,
            tarfile.TarError,
        ) as problem:
            log.warning("The project's image cannot be had (%s): Python programs run on %s", problem, sys.executable)
        else:
            return found
    return Interpreter(None, _version([sys.executable]))


def found_version(distribution: str, name: str, distributions: Sequence[str]) -> str:
    """Of a distribution among those that `program` was given."""
    python = interpreter()
    if python.rootfs is None:
        return distribution_version(python_environment(name, distributions), distribution)
    site = python_packages(name, distributions, _minor(python.version))
    return next(site.glob(f"{distribution}-*.dist-info")).name.removesuffix(".dist-info").rpartition("-")[2]


def unpacked(archive: Path) -> Path:
    """The file system of an OCI archive (image-spec 1.1: layers in order, files .wh.NAME take NAME away)."""

    def build(draft: Path) -> None:
        root = draft / "rootfs"
        root.mkdir()
        with tarfile.open(archive) as outer:

            def blob(name: str) -> bytes:
                member = outer.extractfile(f"blobs/sha256/{name.removeprefix('sha256:')}")
                assert member is not None, name
                return member.read()

            index = outer.extractfile("index.json")
            assert index is not None
            manifest = json.loads(blob(json.loads(index.read())["manifests"][0]["digest"]))
            for layer in manifest["layers"]:
                if not layer["mediaType"].startswith(LAYER):
                    raise RuntimeError(f"{archive}: a layer of type {layer['mediaType']}")
                content = outer.extractfile(f"blobs/sha256/{layer['digest'].removeprefix('sha256:')}")
                with tarfile.open(fileobj=content) as inner:
                    _extract(inner, root)

    return build_once("bench", "image", digest({"archive": archive.parent.name}), build) / "rootfs"


def _extract(layer: tarfile.TarFile, root: Path) -> None:
    for member in layer:
        path = PurePosixPath(member.name)
        if path.name.startswith(".wh."):
            (root / path.parent / path.name.removeprefix(".wh.")).unlink(missing_ok=True)
        else:
            layer.extract(member, root, filter="fully_trusted")


def _version(command: Sequence[str]) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.run([*command, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
