"""What is built from Go modules, and when it is built anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.cluster import tools
from testbed.cluster.tools import GO_FOLDER, PROGRAMS, ToolMissing, key, link_flags, module_version

GO_MOD = """module genset.dev/e2e

go 1.25.0

require github.com/spf13/cobra v1.10.2

require (
	k8s.io/kubernetes v1.35.4
	k8s.io/kubernetes-other v9.9.9 // indirect
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GO_FOLDER, tmp_path / "go"))


@pytest.mark.parametrize(
    ("module", "version"), [("k8s.io/kubernetes", "v1.35.4"), ("github.com/spf13/cobra", "v1.10.2")]
)
def test_versions_come_from_go_mod(module: str, version: str) -> None:
    assert module_version(GO_MOD, module) == version


def test_a_module_that_is_not_required_is_named() -> None:
    with pytest.raises(ValueError, match=r"go\.mod requires no example\.test/x"):
        module_version(GO_MOD, "example.test/x")


def test_kubernetes_says_its_release_version() -> None:
    flags = link_flags(PROGRAMS["kubernetes"], GO_MOD).split()
    assert "k8s.io/component-base/version.gitVersion=v1.35.4" in flags
    assert "k8s.io/client-go/pkg/version.gitMinor=35" in flags


def test_programs_without_a_version_are_only_stripped() -> None:
    assert link_flags(PROGRAMS["coredns"], GO_MOD) == "-s -w"


@pytest.mark.parametrize(
    ("changed", "rebuilt"),
    [
        ("cluster/go.sum", {"kubernetes", "coredns", "policies", "helm", "pause", "fakevllm"}),
        ("cluster/kubernetes/volumes.go", {"kubernetes"}),
        ("cluster/coredns/main.go", {"coredns"}),
        ("cluster/policies/rules.go", {"policies"}),
        ("argocd/go.mod", {"argocd"}),
    ],
)
def test_a_change_rebuilds_what_depends_on_it_and_nothing_else(folder: Path, changed: str, rebuilt: set[str]) -> None:
    before = {name: key(program, folder) for name, program in PROGRAMS.items()}
    with (folder / changed).open("a") as file:
        file.write("\n// changed\n")
    after = {name: key(program, folder) for name, program in PROGRAMS.items()}
    assert {name for name in PROGRAMS if before[name] != after[name]} == rebuilt


def test_every_staging_module_has_the_release_of_kubernetes() -> None:
    """A module of another release would be compiled into the API server without anybody noticing."""
    go_mod = (GO_FOLDER / "cluster" / "go.mod").read_text()
    release = module_version(go_mod, "k8s.io/kubernetes").replace("v1.", "v0.")
    replaced = [line.split("=>")[1].split() for line in go_mod.splitlines() if "=> k8s.io/" in line]
    assert len(replaced) > 25
    assert {version for _, version in replaced} == {release}


def test_a_program_that_is_not_built_is_reported_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"kubectl is not built yet: .* tools --only kubernetes"):
        tools.path("kubectl")


def test_an_unknown_program_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ToolMissing, match=r"no program etcd; there are argocd, .*kubernetes, ") as told:
        tools.path("etcd")
    assert str(told.value).endswith(f"there are {', '.join(sorted(PROGRAMS))}")
