"""The cluster's programs are built from Go modules: which, of what version, with which flags, and where they lie.

Versions are in `go/*/go.mod`, so that the Go command's own checks (go.sum, the checksum database) hold for every byte.
Where the modules come from is the Go command's configuration (GOPROXY), not ours.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testbed.cluster.steps import StepFailed, run_step
from testbed.cluster.store import build_once, cache_root, digest, entry

log = logging.getLogger(__name__)

GO_FOLDER = Path(__file__).parent / "go"
GO_VERSION = (1, 25)
STRIP = "-s -w"


@dataclass(frozen=True)
class Program:
    """A program is `package` of the module in `go/<module>`, reachable under its name and under `links`."""

    name: str
    module: str
    package: str
    sources: tuple[str, ...]
    links: tuple[str, ...] = ()
    version_of: str = ""  # the module whose version is linked into the variables
    version_variables: tuple[str, ...] = ()
    minor_variables: tuple[tuple[str, int], ...] = ()  # variables, and which part of the version each one holds


_KUBERNETES_VERSION = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")

PROGRAMS = {
    program.name: program
    for program in (
        Program(
            name="kubernetes",
            module="cluster",
            package="./kubernetes",
            sources=("kubernetes",),
            links=("kubectl",),
            version_of="k8s.io/kubernetes",
            version_variables=tuple(f"{p}.gitVersion" for p in _KUBERNETES_VERSION),
            minor_variables=tuple(
                (f"{p}.git{name}", part) for p in _KUBERNETES_VERSION for part, name in enumerate(("Major", "Minor"))
            ),
        ),
        Program(name="coredns", module="cluster", package="./coredns", sources=("coredns",)),
        Program(
            name="helm",
            module="cluster",
            package="helm.sh/helm/v4/cmd/helm",
            sources=(),
            version_of="helm.sh/helm/v4",
            version_variables=("helm.sh/helm/v4/internal/version.version",),
        ),
        Program(name="policies", module="cluster", package="./policies", sources=("policies",)),
        Program(name="pause", module="cluster", package="./pause", sources=("pause",)),
        Program(name="fakevllm", module="cluster", package="./fakevllm", sources=("fakevllm",)),
        Program(
            name="lws",
            module="lws",
            package="sigs.k8s.io/lws/cmd",
            sources=(),
            version_of="sigs.k8s.io/lws",
            version_variables=("sigs.k8s.io/lws/pkg/version.GitVersion",),
        ),
        Program(
            name="argocd",
            module="argocd",
            package=".",
            sources=("main.go",),
            version_of="github.com/argoproj/argo-cd/v3",
            version_variables=("github.com/argoproj/argo-cd/v3/common.version",),
        ),
        Program(
            name="crane",
            module="stores",
            package="github.com/google/go-containerregistry/cmd/crane",
            sources=(),
            version_of="github.com/google/go-containerregistry",
        ),
        Program(
            name="versitygw",
            module="stores",
            package="github.com/versity/versitygw/cmd/versitygw",
            sources=(),
            version_of="github.com/versity/versitygw",
        ),
        Program(
            name="kwok",
            module="kwok",
            package="sigs.k8s.io/kwok/cmd/kwok",
            sources=(),
            version_of="sigs.k8s.io/kwok",
        ),
    )
}
STORE_PROGRAMS = ("crane", "versitygw")  # what the puller's tests download from: a registry, a store of S3
CLUSTER_PROGRAMS = ("kubernetes", "coredns", "policies", "pause", "helm")


class ToolMissing(RuntimeError):
    """A program was asked for that has not been built."""


def module_version(go_mod: str, module: str) -> str:
    """Returns the version that a go.mod requires of a module, such as `v1.35.4`."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod requires no {module}")
    return found.group(1)


def link_flags(program: Program, go_mod: str) -> str:
    """Returns what `go build -ldflags` gets: stripped, with the version that the program's own project would give it."""
    if not program.version_of:
        return STRIP
    version = module_version(go_mod, program.version_of)
    parts = version.removeprefix("v").split(".")
    settings = [f"-X {variable}={version}" for variable in program.version_variables]
    settings += [f"-X {variable}={parts[part]}" for variable, part in program.minor_variables]
    return " ".join([STRIP, *settings])


def key(program: Program, folder: Path = GO_FOLDER) -> str:
    """Returns a key that changes with the modules' versions, the program's own sources and the architecture.

    It does not change with the version of Go.
    """
    module = folder / program.module
    parts: dict[str, str | bytes] = {"arch": platform.machine(), "program": repr(program)}
    files = [module / "go.mod", module / "go.sum"]
    for source in program.sources:
        path = module / source
        files += sorted(path.glob("*.go")) if path.is_dir() else [path]
    for file in files:
        parts[file.relative_to(module).as_posix()] = file.read_bytes()
    return digest(parts)


def path(name: str) -> Path:
    """Returns the path of the program, which must have been built; a link's name works too (`kubectl`)."""
    program = _program(name)
    found = entry("tools", program.name, key(program)) / "bin" / name
    if not found.exists():
        raise ToolMissing(f"{name} is not built yet: python -m testbed.cluster tools --only {program.name}")
    return found


def ensure(*names: str) -> dict[str, Path]:
    """Builds those that are missing (minutes, from an empty cache). Returns where each is."""
    found: dict[str, Path] = {}
    for name in names:
        program = _program(name)
        place = build_once("tools", program.name, key(program), lambda draft, p=program: _build(p, draft))  # type: ignore[misc]
        found[name] = place / "bin" / name
    return found


def search_path(names: Iterable[str] = ("kubernetes", "helm")) -> list[Path]:
    """Returns folders to put before PATH, so that kubectl and helm of the right version are found."""
    return [path(name).parent for name in names]


def source(name: str) -> Path:
    """Returns the folder of the module that a program is built from, as its makers have published it."""
    program = _program(name)
    folder = GO_FOLDER / program.module
    version = module_version((folder / "go.mod").read_text(), program.version_of)
    answer = subprocess.run(
        ["go", "mod", "download", "-json", f"{program.version_of}@{version}"],
        cwd=folder, capture_output=True, text=True, check=True, env={**os.environ, "GOWORK": "off"},
    )  # fmt: skip
    return Path(json.loads(answer.stdout)["Dir"])


def _program(name: str) -> Program:
    for program in PROGRAMS.values():
        if name == program.name or name in program.links:
            return program
    raise ToolMissing(f"no program {name}; there are {', '.join(sorted(PROGRAMS))}")


def _build(program: Program, draft: Path) -> None:
    check_go()
    module = GO_FOLDER / program.module
    binary = draft / "bin" / program.name
    binary.parent.mkdir()
    flags = link_flags(program, (module / "go.mod").read_text())
    nice = ["nice", "-n", "5"] if shutil.which("nice") else []
    log_file = cache_root() / "log" / f"build-{program.name}.log"
    log_file.unlink(missing_ok=True)
    run_step(
        f"Building {program.name}"
        + (f" {module_version((module / 'go.mod').read_text(), program.version_of)}" if program.version_of else ""),
        [*nice, "go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", binary, program.package],
        log_file,
        cwd=module,
        env={"CGO_ENABLED": "0", "GOWORK": "off"},
    )
    for link in program.links:
        (binary.parent / link).symlink_to(program.name)


@cache
def check_go() -> None:
    """Raises StepFailed early, with the remedy, if there is no Go that can build the modules."""
    wanted = ".".join(str(part) for part in GO_VERSION)
    try:
        answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepFailed(
            f"There is no Go command on PATH; the embedded cluster is built with Go {wanted} or later"
        ) from error
    found = re.match(r"go(\d+)\.(\d+)", answer)
    if found is None or tuple(int(part) for part in found.groups()) < GO_VERSION:
        raise StepFailed(
            f"The Go command on PATH is {answer or 'of unknown version'}; "
            f"the embedded cluster needs Go {wanted} or later"
        )
