"""Ollama's environment, and what its pods run: the scripts themselves, against a fake of the server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.desired import workload
from genset.desired.context import Settings
from genset.engines.base import ModelPaths
from genset.engines.ollama import DRAIN, READY, OllamaEngine, shown_name
from tests.support.fake_ollama import FakeChild, FakeOllama

ENGINE = OllamaEngine()


def resource(**spec: Any) -> ModelDeployment:
    spec = {"engine": "ollama", "source": {"pvc": {"claimName": "weights", "path": "small.gguf"}}, **spec}
    return ModelDeployment.model_validate({"metadata": {"name": "house", "namespace": "models"}, "spec": spec})


def variables(**spec: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in ENGINE.env(resource(**spec))}


def create(**spec: Any) -> dict[str, Any]:
    """What makes the model."""
    command = ENGINE.command(resource(**spec), ModelPaths("/models/small.gguf"))
    found: dict[str, Any] = json.loads(command[9])
    return found


@pytest.mark.parametrize(
    ("spec", "name", "value"),
    [
        ({}, "OLLAMA_NO_CLOUD", "1"),
        ({}, "OLLAMA_KEEP_ALIVE", "-1"),
        ({}, "OLLAMA_NOPRUNE", "1"),  # the model's file is a link that no manifest names at first
        ({}, "HOME", "/tmp"),
        ({}, "NVIDIA_VISIBLE_DEVICES", "void"),
        ({"context": {"tokens": 8192}}, "OLLAMA_CONTEXT_LENGTH", "8192"),
        ({"context": {"parallel": 3}}, "OLLAMA_NUM_PARALLEL", "3"),
        ({"rollout": {"startupSeconds": 77}}, "OLLAMA_LOAD_TIMEOUT", "77s"),
        ({}, "LLAMA_ARG_CACHE_RAM", "0"),
        ({"ollama": {"cacheRAM": "1025Ki"}}, "LLAMA_ARG_CACHE_RAM", "2"),
        ({"ollama": {"maxQueue": 8}}, "OLLAMA_MAX_QUEUE", "8"),
        ({"ollama": {"kvCacheType": "q8_0"}}, "OLLAMA_KV_CACHE_TYPE", "q8_0"),
        ({"ollama": {"kvCacheType": "q8_0"}}, "OLLAMA_FLASH_ATTENTION", "1"),
        ({"ollama": {"flashAttention": False}}, "OLLAMA_FLASH_ATTENTION", "0"),
    ],
)
def test_environment(spec: dict[str, Any], name: str, value: str) -> None:
    assert variables(**spec)[name] == value


def test_the_server_decides_about_flash_attention_if_nobody_says() -> None:
    assert "OLLAMA_FLASH_ATTENTION" not in variables()


def test_pods_with_an_nvidia_gpu_see_it() -> None:
    assert "NVIDIA_VISIBLE_DEVICES" not in variables(resources={"accelerator": {}})


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        ({"resources": {"cpu": "2500m"}}, {"num_thread": 3}),
        (
            {"ollama": {"parameters": {"temperature": "0.7", "top_k": "40"}}},
            {"temperature": 0.7, "top_k": 40, "num_thread": 2},
        ),
        ({"task": "Embeddings", "context": {"tokens": 2048}}, {"num_batch": 2048, "num_thread": 2}),
        ({"task": "Embeddings", "ollama": {"parameters": {"num_batch": "64"}}}, {"num_batch": 64, "num_thread": 2}),
    ],
)
def test_parameters(spec: dict[str, Any], parameters: dict[str, Any]) -> None:
    assert create(**spec)["parameters"] == parameters


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("house", "house:latest"),
        ("qwen3:8b", "qwen3:8b"),
        ("house/qwen3", "house/qwen3:latest"),
        ("library/qwen3:8b", "qwen3:8b"),
        ("Library/qwen3", "qwen3:latest"),
    ],
)
def test_names_as_ollama_shows_them(given: str, shown: str) -> None:
    assert shown_name(given) == shown


def test_no_image_for_intel() -> None:
    found = list(ENGINE.problems(resource(resources={"accelerator": {"vendor": "intel"}}), {}))
    assert [problem.field for problem in found] == ["spec.ollama.image"]


def test_kept_prompts_are_not_all_of_the_memory() -> None:
    (problem,) = ENGINE.problems(resource(ollama={"cacheRAM": "4Gi"}), {})
    assert problem.field == "spec.ollama.cacheRAM"


def test_a_pod_template_undoes_nothing_by_variables() -> None:
    patch = {"spec": {"containers": [{"name": "engine", "env": [{"name": "OLLAMA_NO_CLOUD", "value": "0"}]}]}}
    found = list(workload.faults(resource(podTemplate=patch), Settings(image="genset:test")))
    assert [fault.field for fault in found] == ["spec.podTemplate.spec.containers[engine].env[OLLAMA_NO_CLOUD]"]


def test_probes_ask_for_the_model_and_for_the_server() -> None:
    probes = ENGINE.probes(resource(model="qwen3:8b"))
    for probe in (probes.startup, probes.readiness):
        assert "httpGet" not in probe and probe["exec"]["command"][-2:] == ["8080", "qwen3:8b"]
    assert probes.liveness["httpGet"]["path"] == "/api/version"


def is_ready(port: int, name: str) -> bool:
    return subprocess.run(["bash", "-c", READY, "ready", str(port), name], timeout=20).returncode == 0


def test_it_is_ready_with_the_model_and_not_with_another(tmp_path: Path) -> None:
    with FakeOllama(tmp_path) as server:
        assert not is_ready(server.port, "house:latest")
        server.loaded.append("house-of-cards:latest")
        assert not is_ready(server.port, "house:latest")
        server.loaded.append("house:latest")
        assert is_ready(server.port, "house:latest")
    assert not is_ready(server.port, "house:latest")


@contextlib.contextmanager
def pod(folder: Path, server: FakeOllama, model: bytes = b"GGUF and more") -> Iterator[subprocess.Popen[bytes]]:
    """What the container runs, with a program in Ollama's place that only lives."""
    program = folder / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    file = folder / "small.gguf"
    file.write_bytes(model)
    file.chmod(0o444)
    of = resource(model="house:1", task="Chat")
    command = ENGINE.command(of, ModelPaths(str(file)))
    command[4:6] = ["127.0.0.1", str(server.port)]
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "OLLAMA_MODELS": str(folder / "store")}
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, env=env, stderr=log, start_new_session=True)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited 20 s for {what}"
        time.sleep(0.05)


def test_the_pod_makes_the_model_of_a_link_and_loads_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with FakeOllama(store) as server, pod(tmp_path, server) as running:
        until(lambda: server.loaded, "the model to be loaded")
        assert [path for path, _ in server.requests] == ["/api/create", "/api/generate"]
        (_, made), (_, load) = server.requests
        assert made["model"] == load["model"] == "house:1" and load["keep_alive"] == -1
        blob = hashlib.sha256(str(tmp_path / "small.gguf").encode()).hexdigest()
        assert [(layer["digest"], layer["size"]) for layer in server.base["layers"]] == [(f"sha256:{blob}", 13)]
        assert (store / "blobs" / f"sha256-{blob}").readlink() == tmp_path / "small.gguf"
        assert not (store / "manifests/registry.ollama.ai/library/genset-base").exists()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0


def test_the_pod_loads_the_model_again_that_went(tmp_path: Path) -> None:
    with FakeOllama(tmp_path / "store") as server, pod(tmp_path, server):
        until(lambda: server.loaded, "the model to be loaded")
        server.loaded.clear()
        until(lambda: server.loaded, "the model to be loaded again")


@pytest.mark.parametrize(
    ("path", "told"),
    [("/api/create", "the model could not be made: "), ("/api/generate", "the model could not be loaded: ")],
)
def test_a_pod_that_cannot_serve_says_why_and_ends(tmp_path: Path, path: str, told: str) -> None:
    with (
        FakeOllama(tmp_path / "store", refuses=path, error="invalid file magic") as server,
        pod(tmp_path, server) as running,
    ):
        assert running.wait(20) == 1
        assert f'{told}{{"error":"invalid file magic"}}' in (tmp_path / "log").read_text()


def drain(processes: Path, seconds: int) -> float:
    began = time.monotonic()
    command = ["bash", "-c", DRAIN, "drain", "0", str(seconds), str(processes)]
    assert subprocess.run(command, timeout=60).returncode == 0
    return time.monotonic() - began


def test_the_drain_ends_when_nothing_runs_twice(tmp_path: Path) -> None:
    with FakeChild(tmp_path, busy_answers=0) as child:
        drain(tmp_path, 30)
        assert child.asked == 2


def test_the_drain_waits_for_running_requests(tmp_path: Path) -> None:
    with FakeChild(tmp_path, busy_answers=3) as child:
        drain(tmp_path, 30)
        assert child.asked == 5


def test_the_drain_is_bounded(tmp_path: Path) -> None:
    with FakeChild(tmp_path, busy_answers=10**6):
        assert 1.0 <= drain(tmp_path, 2) < 20


def test_the_drain_does_not_wait_for_a_server_without_a_model(tmp_path: Path) -> None:
    assert drain(tmp_path, 30) < 20
