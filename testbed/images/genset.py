"""The project's own image is its Dockerfile, built by buildah without Docker.

Its base is a Debian that has the same Python as python:3.13-slim.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from testbed import release
from testbed.cluster import overlay, packages
from testbed.cluster.steps import run_step
from testbed.cluster.store import build_once, cache_root, digest, locked, read_tree
from testbed.images import rootfs
from testbed.images.oci import ImageConfig, write_archive

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "genset.local/genset:dev"
LAST_REFERENCE = f"genset.local/genset:{release.VERSION}"
BASE_REFERENCE = "genset.local/python:3.13"
BUILDER_REFERENCE = "genset.local/python-builder:3.13"
BASE_SUITE = "trixie"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
BUILDER_PACKAGES = (*BASE_PACKAGES, "gcc", "libc6-dev", "python3-dev")
ARCHIVE = "image.tar"
INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "requirements-build.lock",
    "requirements-runtime.lock",
    "README.md",
    "LICENSE",
    "operator",
    "tools/compiled.py",
    "tools/sbom.py",
)
CERTIFICATES = Path("/etc/ssl/certs")
PIP_CONFIGURATIONS = (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf")
PASSED_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")  # the machine's own package index
MOST_STORED_LAYERS = 120  # of old builds; beyond these the storage begins anew


def key(root: Path = ROOT, reference: str = REFERENCE) -> str:
    """Returns a key that changes with anything that gets into the image, and with nothing else."""
    parts: dict[str, str | bytes] = dict(read_tree(root, [name for name in INPUTS if (root / name).exists()]))
    keys = {"base": _base_key(BASE_PACKAGES), "builder": _base_key(BUILDER_PACKAGES)}
    return digest({**parts, **keys, "reference": reference})


def archive() -> Path:
    """Returns the OCI archive of the current tree's image."""
    return build_once("images", "genset", key(), lambda draft: _build(draft / ARCHIVE, ROOT, REFERENCE)) / ARCHIVE


def last_release() -> Path:
    """Returns the OCI archive of the last release's image, from the source that is kept of it (`testbed.release`)."""

    def build(draft: Path) -> None:
        _build(draft / ARCHIVE, release.unpack(draft), LAST_REFERENCE)

    name = f"genset-{release.VERSION}"
    parts: dict[str, str | bytes] = {"source": release.ARCHIVE.read_bytes(), "base": _base_key(BASE_PACKAGES)}
    return build_once("images", name, digest(parts), build) / ARCHIVE


def _build(out: Path, root: Path, reference: str) -> None:
    packages.install(packages.IMAGES)
    with locked(cache_root() / "buildah.lock", "building the project's image"):
        _drop_old_layers()
        base = _import_base(BASE_REFERENCE, BASE_PACKAGES)
        builder = _import_base(BUILDER_REFERENCE, BUILDER_PACKAGES)
        log_file = cache_root() / "log" / "build-image.log"
        log_file.unlink(missing_ok=True)
        command = buildah(
            "build", "--layers", "--network", "host", "--pull-never", "--build-arg", f"BASE={base}",
            "--build-arg", f"BUILDER={builder}",
            *_volumes(), *_build_arguments(os.environ),
            "--tag", reference, "--file", str(root / "Dockerfile"), str(root),
        )  # fmt: skip
        what = f"Building {reference} from the Dockerfile (its router is compiled: a minute)"
        run_step(what, command, log_file, env=_environment())
        push = buildah("push", "--disable-compression", reference, f"oci-archive:{out}:{reference}")
        run_step("Writing the image's archive", push, log_file, env=_environment(), quiet=True)


def buildah(*arguments: str) -> list[str]:
    """Returns a buildah command with its storage in the user's cache."""
    storage = cache_root() / "buildah" / _driver()
    return ["buildah", "--root", str(storage / "root"), "--runroot", str(storage / "run"), *arguments]


@cache
def _driver() -> str:
    """Returns overlay if it works: vfs copies the whole file system for every line of the Dockerfile."""
    return "overlay" if overlay.supported(cache_root()) else "vfs"


def _environment() -> dict[str, str]:
    return {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": _driver()}


def _volumes() -> list[str]:
    """Returns mounts of the machine's CAs and pip settings, for machines whose way to the package index needs them."""
    volumes = [f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.is_dir() else []
    volumes += [f"{path}:/etc/pip.conf:ro" for path in PIP_CONFIGURATIONS if path.is_file()][-1:]
    return [word for volume in volumes for word in ("--volume", volume)]


def _build_arguments(env: Mapping[str, str]) -> list[str]:
    return [word for name in PASSED_VARIABLES if env.get(name) for word in ("--build-arg", f"{name}={env[name]}")]


def _base_key(wanted: Sequence[str]) -> str:
    recipe = b"".join((Path(__file__).parent / name).read_bytes() for name in ("rootfs.py", "oci.py"))
    return digest({"suite": BASE_SUITE, "packages": " ".join(wanted), "recipe": recipe, "arch": platform.machine()})


def _import_base(name: str, wanted: Sequence[str]) -> str:
    """Returns the reference of a base image with these packages in buildah's storage."""
    key = _base_key(wanted)
    reference = f"{name}-{key}"
    if (
        subprocess.run(
            buildah("inspect", "--type", "image", reference), capture_output=True, env={**os.environ, **_environment()}
        ).returncode
        == 0
    ):
        return reference

    def build(draft: Path) -> None:
        root = draft / "rootfs"
        rootfs.debootstrap(root, BASE_SUITE, wanted)
        write_archive(
            draft / ARCHIVE, reference, root, ImageConfig(["/usr/bin/python3"], user="0:0"), platform.machine()
        )
        shutil.rmtree(root)

    base = build_once("images", name.rpartition("/")[2].partition(":")[0], key, build) / ARCHIVE
    pull = buildah("pull", f"oci-archive:{base}:{reference}")
    log_file = cache_root() / "log" / "build-image-base.log"
    run_step("Importing the base image", pull, log_file, env=_environment(), quiet=True)
    return reference


def _drop_old_layers() -> None:
    storage = cache_root() / "buildah" / _driver() / "root"
    layers = storage / ("overlay" if _driver() == "overlay" else "vfs/dir")
    if layers.is_dir() and len(list(layers.iterdir())) > MOST_STORED_LAYERS:
        # Moved away in one step: half a storage, whose records name layers that are gone, can build nothing any more.
        old = storage.parent.rename(storage.parent.with_name(f"{storage.parent.name}.old-{os.getpid()}"))
        shutil.rmtree(old, ignore_errors=True)
