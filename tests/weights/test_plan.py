"""`genset plan` against a real hub server, real files and nodes: what it says, and how it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from genset.api.modeldeployment import ModelDeployment
from genset.cli import main
from testbed.models import adapters, seeing
from tests.support.sizing import families, kinds
from tests.support.weights.fakes import FakeHub, FakeOrigin, Fault, serving

NODES = """\
- {name: tiny, cpu: 2, memory: 20Mi}
- {name: office, cpu: 8, memory: 32Gi}
- {name: gpu, cpu: 32, memory: 256Gi, accelerator: {vendor: nvidia, count: 2, memory: 80Gi, product: H100}}
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeOrigin()) as network, serving(FakeHub(network=network)) as hub:
        yield hub


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    path = tmp_path / "nodes.yaml"
    path.write_text(NODES)
    return path


def plan(*arguments: str | Path, token: str = "", **options: Any) -> Result:
    env = {"HF_TOKEN": token or None, "HF_ENDPOINT": None, "NO_PROXY": "127.0.0.1"}
    return CliRunner().invoke(main, ["plan", *map(str, arguments)], env=env, **options)


def gguf(tmp_path: Path) -> bytes:
    return kinds.gemma3().write(tmp_path).read_bytes()


def test_a_repository_is_planned_from_its_header_alone(hub: FakeHub, nodes: Path, tmp_path: Path) -> None:
    data = gguf(tmp_path)
    hub.commit({"m-Q8_0.gguf": data * 2, "m-Q4_K_M.gguf": data, "mmproj-F16.gguf": b"GGUF", "README.md": b"x"})
    result = plan("--model", "org/name", "--endpoint", hub.url, "--nodes", nodes)
    assert result.exit_code == 0, result.output
    assert "Q4_K_M" in result.output and "Q8_0" in result.output and "mmproj-F16.gguf" in result.output
    assert "office" in result.output and "on cores" in result.output
    assert hub.network is not None and hub.network.sent < 2 * 2**20 < len(data)


def test_what_it_prints_can_be_applied(hub: FakeHub, nodes: Path, tmp_path: Path) -> None:
    hub.commit({"m-Q4_K_M.gguf": gguf(tmp_path)})
    result = plan("--model", "org/name", "--endpoint", hub.url, "--nodes", nodes, "--tokens", "8192", "-o", "yaml")
    resource = ModelDeployment.model_validate(yaml.safe_load(result.stdout))
    assert resource.spec.source is not None and resource.spec.source.hugging_face is not None
    assert resource.spec.source.hugging_face.file == "m-Q4_K_M.gguf"
    assert (resource.spec.context.tokens, resource.spec.context.parallel) == (8192, 4)


def test_a_resource_is_planned_as_it_stands(hub: FakeHub, nodes: Path, tmp_path: Path) -> None:
    hub.commit({"m-Q4_K_M.gguf": gguf(tmp_path)})
    file = tmp_path / "model.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "genset.dev/v1alpha1",
                "kind": "ModelDeployment",
                "metadata": {"name": "m"},
                "spec": {
                    "source": {"huggingFace": {"repo": "org/name", "endpoint": hub.url}},
                    "context": {"tokens": 2048, "parallel": 2},
                    "llamaCpp": {"extraArgs": ["-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"]},
                },
            }
        )
    )
    result = plan("-f", file, "--nodes", nodes, "-o", "json")
    (found,) = json.loads(result.stdout)
    assert found["asked"] == {
        "engine": "llama.cpp", "tokens": 2048, "parallel": 2, "cacheTypes": ["q8_0", "q8_0"],
    }  # fmt: skip
    assert {one["node"]: one["gpus"] for one in found["nodes"] if one["fits"]} == {"office": 0, "gpu": 0}


@pytest.mark.parametrize("kind", ["huggingFace", "http", "hostPath"])
@pytest.mark.parametrize("fits", [True, False])
def test_companions_of_another_model_are_refused(
    hub: FakeHub, nodes: Path, tmp_path: Path, kind: str, fits: bool
) -> None:
    if fits:
        seeing.write_model(tmp_path / "m-Q4_K_M.gguf")
    else:
        kinds.gemma3().write(tmp_path).rename(tmp_path / "m-Q4_K_M.gguf")
    seeing.write_projector(tmp_path / "mmproj.gguf")
    adapters.write_gguf(tmp_path / "lora.gguf", 500)
    hub.commit({name: (tmp_path / name).read_bytes() for name in ("m-Q4_K_M.gguf", "mmproj.gguf", "lora.gguf")})

    def source(file: str) -> dict[str, Any]:
        if kind == "http":
            digest = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
            return {"http": {"url": f"{hub.url}/org/name/resolve/main/{file}", "sha256": digest}}
        if kind == "hostPath":
            return {"hostPath": {"path": str(tmp_path / file)}}
        return {"huggingFace": {"repo": "org/name", "endpoint": hub.url, "file": file}}

    spec = {
        "source": source("m-Q4_K_M.gguf"),
        "projector": source("mmproj.gguf"),
        "adapters": [{"name": "one", "source": source("lora.gguf")}],
    }
    file = tmp_path / "model.yaml"
    meta = {"apiVersion": "genset.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "m"}}
    file.write_text(yaml.safe_dump({**meta, "spec": spec}))
    result = plan("-f", file, "--nodes", nodes)
    words = "spec.projector: the projector makes vectors of 1280, and the model takes 256"
    other = "spec.adapters[one].source: it was made for architecture llama, and the model is gemma3"
    flat = " ".join(result.output.split())
    assert (words in flat and other in flat) is not fits, result.output
    assert result.exit_code == (0 if fits else 1), result.output


def test_a_folder_of_safetensors_is_planned(tmp_path: Path, nodes: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(families.LLAMA31_8B))
    (tmp_path / "model/model.safetensors").write_bytes(b"")
    result = plan("--model", tmp_path / "model", "--nodes", nodes, "-o", "json")
    (found,) = json.loads(result.stdout)
    assert found["model"]["parameters"]["total"] == 8_029_995_008
    assert [one["node"] for one in found["nodes"] if one["fits"]] == ["gpu"]


def test_what_does_not_fit_says_what_would(nodes: Path, tmp_path: Path) -> None:
    path = kinds.multi_head().write(tmp_path)
    nodes.write_text("- {name: small, cpu: 2, memory: 100Mi}\n")
    result = plan("--model", path, "--nodes", nodes)
    assert result.exit_code == 2
    assert "would fit with context.tokens 1024 or context.parallel 1" in result.output, result.output


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ({"token": "secret"}, "is not public"),
        ({"token": "secret", "gated": True}, "is gated: set HF_TOKEN"),
        ({"api_faults": [Fault(503)]}, "answered 503"),
    ],
)
def test_a_hub_that_refuses_is_told_with_the_remedy(
    hub: FakeHub, tmp_path: Path, prepare: dict[str, Any], words: str
) -> None:
    hub.commit({"m.gguf": gguf(tmp_path)})
    for name, value in prepare.items():
        setattr(hub, name, value)
    result = plan("--model", "org/name", "--endpoint", hub.url)
    assert result.exit_code == 1 and words in result.output, result.output


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("org/missing", "does not exist"),
        ("org/name:Q2_K", "has no Q2_K: it has Q4_K_M"),
        ("org/name@v9", "has no revision v9"),
        ("nonsense", "neither a file here nor a repository"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(hub: FakeHub, tmp_path: Path, model: str, words: str) -> None:
    hub.commit({"m-Q4_K_M.gguf": gguf(tmp_path)})
    result = plan("--model", model, "--endpoint", hub.url)
    assert result.exit_code == 1 and words in result.output, result.output


def test_the_token_stays_with_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "secret"
    hub.commit({"m.gguf": gguf(tmp_path)})
    assert plan("--model", "org/name", "--endpoint", hub.url, token="secret").exit_code == 0
    assert hub.network is not None and hub.network.asked
    assert all("authorization" not in {name.lower() for name in asked.headers} for asked in hub.network.asked)


def test_without_a_network_it_says_what_else_there_is() -> None:
    result = plan("--model", "org/name", "--endpoint", "http://127.0.0.1:9")
    assert result.exit_code == 1 and "can't be reached" in result.output and "PATH.gguf" in result.output


@pytest.mark.parametrize(("config", "task"), [(families.LLAMA31_8B, "Chat"), (families.BGE_M3, "Embeddings")])
def test_a_resource_for_a_repository_is_valid(hub: FakeHub, nodes: Path, config: dict[str, Any], task: str) -> None:
    hub.commit({"config.json": json.dumps(config).encode(), "model.safetensors": b"x" * 1000, "README.md": b"x"})
    result = plan("--model", "org/name", "--endpoint", hub.url, "--nodes", nodes, "-o", "yaml")
    assert result.exit_code == 0, result.output
    spec = ModelDeployment.model_validate(yaml.safe_load(result.stdout)).spec
    assert (spec.engine, str(spec.task)) == ("vllm", task)
    assert spec.resources.accelerator is not None
