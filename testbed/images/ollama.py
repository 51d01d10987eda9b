"""The image of Ollama is the image of llama.cpp with Ollama's own program, which is built from its Go module.

Since 0.30 the program is a server in Go that runs upstream's llama-server as its child, so that Debian's serves it. It lies
where the project's own image has it. Version 0.17 cannot be built so: the module lacks what its `vendor` folder held.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from testbed.cluster.steps import run_step
from testbed.cluster.store import build_once, cache_root, digest
from testbed.cluster.tools import check_go
from testbed.images.oci import ImageConfig, write_archive

VERSION = "0.33.0"
MODULE = "github.com/ollama/ollama"
REFERENCE = f"genset.local/ollama:{VERSION}"
ARCHIVE = "image.tar"
CHILDREN = ("llama-server", "llama-quantize")  # looked for in lib/ollama beside bin


def binary() -> Path:
    """Returns the program; builds it on the first call (five minutes, with the C compiler that mlx's package asks for)."""
    parts = {"version": VERSION, "arch": platform.machine()}
    return build_once("tools", "ollama", digest(parts), _build) / "bin" / "ollama"


def archive(llama_cpp_root: Path) -> Path:
    """Returns the image's archive. `llama_cpp_root`: the file system of the llama.cpp image, an entry of the cache."""
    program = binary()
    parts = {
        "base": llama_cpp_root.parent.name,
        "program": program.parents[1].name,
        "reference": REFERENCE,
        "recipe": "1",
    }

    def build(draft: Path) -> None:
        root = draft / "rootfs"
        shutil.copytree(llama_cpp_root, root, symlinks=True, copy_function=_link)
        add(root, program)
        config = ImageConfig(["/bin/ollama"], env=(*ImageConfig([]).env, "OLLAMA_HOST=0.0.0.0:11434"))
        write_archive(draft / ARCHIVE, REFERENCE, root, config, platform.machine())
        shutil.rmtree(root)

    return build_once("images", "ollama", digest(parts), build) / ARCHIVE


def add(root: Path, program: Path) -> None:
    """Adds the program to a file system that holds llama.cpp's."""
    shutil.copy2(program, root / "usr/bin/ollama")
    library = root / "usr/lib/ollama"
    library.mkdir()
    for child in CHILDREN:
        (library / child).symlink_to(f"../../bin/{child}")


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _build(draft: Path) -> None:
    check_go()
    log_file = cache_root() / "log" / "build-ollama.log"
    log_file.unlink(missing_ok=True)
    nice = ["nice", "-n", "5"] if shutil.which("nice") else []
    flags = f"-s -w -X {MODULE}/version.Version={VERSION}"
    run_step(
        f"Building Ollama {VERSION}",
        [*nice, "go", "install", "-trimpath", "-ldflags", flags, f"{MODULE}@v{VERSION}"],
        log_file,
        env={"CGO_ENABLED": "1", "GOWORK": "off", "GOBIN": str(draft / "bin")},
    )
