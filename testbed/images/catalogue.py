"""The catalogue lists the images: what each is called, what it is made of, and how it is built."""

from __future__ import annotations

import logging
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.cluster import tools
from testbed.cluster.store import build_once, digest
from testbed.images import genset, ollama, rootfs
from testbed.images.oci import ImageConfig, write_archive

log = logging.getLogger(__name__)

ARCHIVE = "image.tar"
PAUSE = "genset.local/pause:1"
LWS = "genset.local/lws:1"  # the controller of LeaderWorkerSets
FAKE_VLLM = (
    "genset.local/fake-vllm:1"  # vLLM on several nodes needs GPUs: a stand-in, testbed/cluster/go/cluster/fakevllm
)
LLAMA_CPP_BUILD = "11669"
LLAMA_CPP = f"genset.local/llama.cpp:b{LLAMA_CPP_BUILD}"
LLAMA_CPP_SUITE = "sid"  # the one suite that has llama.cpp
LLAMA_CPP_PACKAGES = ("llama.cpp-tools", "ca-certificates")
HOST_LOADER = "llama-server"


@dataclass(frozen=True)
class Image:
    """An image has a reference and an archive.

    `archive()` gives an OCI archive that holds the image under its reference, and builds it if it is not in the cache.
    """

    name: str
    reference: str
    archive: Callable[[], Path]


def _of_program(name: str, reference: str, path: str) -> Path:
    """Returns the archive of an image that holds nothing but a program of `testbed.cluster.tools`, at a path."""
    binary = tools.ensure(name)[name]

    def build(draft: Path) -> None:
        root = draft / "rootfs"
        root.mkdir()
        shutil.copy2(binary, root / path.removeprefix("/"))
        write_archive(draft / ARCHIVE, reference, root, ImageConfig([path]), platform.machine())
        shutil.rmtree(root)

    return build_once("images", name, digest({"binary": binary.read_bytes(), "reference": reference}), build) / ARCHIVE


def llama_cpp_archive() -> Path:
    return _llama_cpp() / ARCHIVE


def _llama_cpp() -> Path:
    parts: dict[str, str | bytes] = {
        "suite": LLAMA_CPP_SUITE,
        "packages": " ".join(LLAMA_CPP_PACKAGES),
        "reference": LLAMA_CPP,
        "recipe": _recipe(),
        "arch": platform.machine(),
    }
    return build_once("images", "llama.cpp", digest(parts), _build_llama_cpp)


def _build_llama_cpp(draft: Path) -> None:
    root = draft / "rootfs"
    rootfs.debootstrap(root, LLAMA_CPP_SUITE, LLAMA_CPP_PACKAGES)
    # Where the project's own images have it, so that a command written for these works here, too.
    (root / "app").mkdir()
    (root / "app" / "llama-server").symlink_to("/usr/bin/llama-server")
    config = ImageConfig(["/usr/bin/llama-server"], env=(*ImageConfig([]).env, "LLAMA_ARG_HOST=0.0.0.0"))
    write_archive(draft / ARCHIVE, LLAMA_CPP, root, config, platform.machine())
    # For the host, see host_llama_server: the loader beside the CPU backends, which are looked for beside the running
    # program.
    shutil.copy2(_loader(root), _backends(root) / HOST_LOADER)
    answer = subprocess.run([*_host_command(root), "--version"], capture_output=True, text=True, check=True)
    version = answer.stdout + answer.stderr
    if LLAMA_CPP_BUILD not in version:
        log.warning(
            "Debian %s now has another llama.cpp than b%s: %s",
            LLAMA_CPP_SUITE,
            LLAMA_CPP_BUILD,
            version.splitlines()[0],
        )


def host_llama_server() -> list[str]:
    """Returns the command that runs the image's llama-server on this machine, outside any container.

    Arguments are to be appended. The machine's own C library may be older than the image's, so the image's loader runs
    it with the image's libraries. Paths in the arguments are the machine's own.
    """
    return _host_command(_llama_cpp() / "rootfs")


def _host_command(root: Path) -> list[str]:
    backends = _backends(root)
    libraries = backends.parents[1]
    return [
        str(backends / HOST_LOADER),
        "--library-path",
        f"{libraries}:{libraries / 'llama'}",
        str(root / "usr/bin/llama-server"),
    ]


def _backends(root: Path) -> Path:
    found = sorted(root.glob("usr/lib/*/ggml/backends*"))
    if not found:
        raise RuntimeError(f"{root} holds no ggml backends: Debian {LLAMA_CPP_SUITE} has moved them")
    return found[-1]


def _loader(root: Path) -> Path:
    found = [*root.glob("usr/lib/*/ld-linux-*.so.*")]
    if not found:
        raise RuntimeError(f"{root} holds no dynamic loader")
    return found[0].resolve()


def _recipe() -> bytes:
    """Returns the sources that decide what is in an image beyond its packages."""
    return b"".join((Path(__file__).parent / name).read_bytes() for name in ("rootfs.py", "oci.py"))


IMAGES = {
    image.name: image
    for image in (
        Image("pause", PAUSE, lambda: _of_program("pause", PAUSE, "/pause")),
        Image("lws", LWS, lambda: _of_program("lws", LWS, "/manager")),
        Image("fakevllm", FAKE_VLLM, lambda: _of_program("fakevllm", FAKE_VLLM, "/fakevllm")),
        Image("llamacpp", LLAMA_CPP, llama_cpp_archive),
        Image("ollama", ollama.REFERENCE, lambda: ollama.archive(_llama_cpp() / "rootfs")),
        Image("genset", genset.REFERENCE, genset.archive),
        Image("genset-last-release", genset.LAST_REFERENCE, genset.last_release),
    )
}
