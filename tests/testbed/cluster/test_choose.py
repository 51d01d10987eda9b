"""Which cluster a user gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from testbed.cluster.choose import PUBLIC_LLAMA_CPP, contexts, resolve
from testbed.cluster.console import Refused
from testbed.images import GENSET, LLAMA_CPP


def kubeconfig(path: Path, *names: str) -> Path:
    path.write_text(yaml.safe_dump({"contexts": [{"name": name, "context": {}} for name in names]}))
    return path


def test_without_a_context_it_is_the_embedded_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    production = kubeconfig(tmp_path / "config", "production")
    choice = resolve({"KUBECONFIG": str(production)})
    assert choice.embedded
    assert choice.kubeconfig == tmp_path / "cache" / "genset" / "cluster" / "default" / "kubeconfig"
    assert (choice.genset_image, choice.llama_cpp_image) == (GENSET, LLAMA_CPP)


@pytest.mark.parametrize("variable", ["CONTEXT", "GENSET_CONTEXT"])
def test_a_named_context_is_used_with_its_own_kubeconfig(tmp_path: Path, variable: str) -> None:
    first, second = kubeconfig(tmp_path / "a", "dev"), kubeconfig(tmp_path / "b", "kind-test", "dev")
    env = {"KUBECONFIG": f"{first}:{second}", variable: "kind-test", "GENSET_IMAGE": "registry.test/genset:1"}
    choice = resolve(env)
    assert not choice.embedded
    assert (choice.kubeconfig, choice.context) == (second, "kind-test")
    assert (choice.genset_image, choice.llama_cpp_image) == ("registry.test/genset:1", PUBLIC_LLAMA_CPP)


def test_our_own_variable_goes_before_the_common_one(tmp_path: Path) -> None:
    env = {
        "KUBECONFIG": str(kubeconfig(tmp_path / "a", "one", "two")),
        "CONTEXT": "one",
        "GENSET_CONTEXT": "two",
        "GENSET_IMAGE": "registry.test/genset:1",
        "LLAMACPP_IMAGE": "registry.test/llama:2",
    }
    choice = resolve(env)
    assert (choice.context, choice.llama_cpp_image) == ("two", "registry.test/llama:2")


def test_an_unknown_context_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    env = {"KUBECONFIG": str(kubeconfig(tmp_path / "a", "dev", "prod")), "CONTEXT": "prd"}
    with pytest.raises(Refused, match=r"There is no context 'prd' in .*/a; known are: dev, prod\."):
        resolve(env)


def test_a_missing_kubeconfig_knows_no_context(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"known are: none at all"):
        resolve({"HOME": str(tmp_path), "CONTEXT": "dev"})


def test_a_broken_kubeconfig_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken"
    file.write_text("{")
    with pytest.raises(Refused, match=r"broken cannot be read as a kubeconfig"):
        contexts([file])


def test_a_foreign_cluster_needs_an_image_that_it_can_pull(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="GENSET_IMAGE"):
        resolve({"KUBECONFIG": str(kubeconfig(tmp_path / "a", "dev")), "CONTEXT": "dev"})


def test_an_embedded_cluster_that_runs_already_has_the_local_images(tmp_path: Path) -> None:
    choice = resolve({"KUBECONFIG": str(kubeconfig(tmp_path / "a", "genset-e2e")), "CONTEXT": "genset-e2e"})
    assert (choice.embedded, choice.genset_image, choice.llama_cpp_image) == (False, GENSET, LLAMA_CPP)
