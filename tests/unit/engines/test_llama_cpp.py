"""llama-server's command line: what the resource's fields become, and what users may not add."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.engines import engine_of, managed_engine_of
from genset.engines.base import ManagedEngine, ModelPaths
from genset.engines.llama_cpp import LlamaCppEngine, drain_script
from tests.support.idle_server import IdleServer


def resource(**spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "metadata": {"name": "house", "namespace": "models"},
            "spec": {"source": {"huggingFace": {"repo": "a/b"}}, **spec},
        }
    )


def engine(of: ModelDeployment) -> ManagedEngine[Any]:
    found = managed_engine_of(of)
    assert found is not None
    return found


def flags(**spec: Any) -> dict[str, str]:
    """Flag -> value; a flag without one has "". A flag that is given twice is an error."""
    of = resource(**spec)
    args = engine(of).args(of, "/models/m.gguf")
    out: dict[str, str] = {}
    for index, arg in enumerate(args):
        if arg.startswith("-"):
            assert arg not in out, f"{arg} is given twice"
            following = args[index + 1] if index + 1 < len(args) else "-"
            out[arg] = "" if following.startswith("-") else following
    return out


@pytest.mark.parametrize(
    ("spec", "flag", "value"),
    [
        ({}, "-m", "/models/m.gguf"),
        ({}, "-a", "house"),
        ({"model": "qwen:9b"}, "-a", "qwen:9b"),
        ({"context": {"tokens": 2048, "parallel": 3}}, "-c", "6144"),
        ({"context": {"tokens": 2048, "parallel": 3}}, "-np", "3"),
        ({"resources": {"cpu": "2500m"}}, "-t", "3"),
        ({"resources": {"cpu": "100m"}}, "-t", "1"),
        ({"resources": {"cpu": "8"}}, "-tb", "8"),
        ({"context": {"parallel": 4}}, "--threads-http", "84"),
        ({}, "--cache-ram", "0"),
        ({"llamaCpp": {"cacheRAM": "1Gi"}}, "--cache-ram", "1024"),
        ({"llamaCpp": {"cacheRAM": "1025Ki"}}, "--cache-ram", "2"),
        ({"resources": {"accelerator": {"count": 2}}}, "-ngl", "all"),
        ({"resources": {"accelerator": {}}, "llamaCpp": {"extraArgs": ["-ngl", "20"]}}, "-ngl", "20"),
        ({}, "--fit", "off"),
        ({}, "--host", "$(LISTEN_ADDRESS)"),
        ({}, "--port", "8080"),
        ({}, "--metrics", ""),
        ({}, "--offline", ""),
        ({}, "--no-ui", ""),
        ({"llamaCpp": {"extraArgs": ["-fa", "on"]}}, "-fa", "on"),
        ({"task": "Embeddings"}, "--embedding", ""),
        ({"task": "Embeddings", "context": {"tokens": 2048, "parallel": 3}}, "-ub", "2048"),
        ({"task": "Embeddings", "context": {"tokens": 2048}, "llamaCpp": {"extraArgs": ["-ub", "512"]}}, "-ub", "512"),
        ({"task": "Embeddings", "llamaCpp": {"pooling": "cls"}}, "--pooling", "cls"),
        ({"task": "Rerank"}, "--rerank", ""),
    ],
)
def test_args(spec: dict[str, Any], flag: str, value: str) -> None:
    assert flags(**spec)[flag] == value


@pytest.mark.parametrize("flag", ["--embedding", "--rerank", "--pooling", "-b", "-ub"])
def test_a_chat_server_is_told_nothing_of_other_tasks(flag: str) -> None:
    assert flag not in flags()


@pytest.mark.parametrize("argument", ["--embedding", "--embeddings", "--rerank", "--reranking"])
def test_the_task_is_said_once(argument: str) -> None:
    of = resource(task="Embeddings", llamaCpp={"extraArgs": [argument]})
    (problem,) = engine(of).problems(of, {})
    assert problem.message == f"spec.llamaCpp.extraArgs: {argument} is refused: spec.task says it; remove it"


def test_adapters_are_loaded_and_not_applied() -> None:
    of = resource()
    paths = ModelPaths("/models/m.gguf", "/models/mmproj.gguf", {"a": "/models/a.gguf", "b": "/models/b.gguf"})
    assert engine(of).companion_args(of, paths) == [
        "--mmproj", "/models/mmproj.gguf", "--lora-scaled", "/models/a.gguf:0.0,/models/b.gguf:0.0",
    ]  # fmt: skip
    assert engine(of).companion_args(of, ModelPaths("/models/m.gguf")) == []


def test_cpu_pods_say_nothing_of_gpus() -> None:
    assert "-ngl" not in flags()


@pytest.mark.parametrize(
    ("argument", "refused"),
    [
        ("--model", True), ("-m", True), ("--model=/etc/passwd", True), ("--hf_repo", True), ("--ctx_size", True),
        (" --port", True), ("--tools", True), ("--tools=all", True), ("--ui_mcp_proxy", True), ("-ag", True),
        ("--mcp-servers-json", True), ("--media-path", True), ("--path", True), ("--slot-save-path", True),
        ("--api-key", True), ("--ssl-cert-file", True), ("--gpt-oss-20b-default", True), ("--models-dir", True),
        ("-cram", True), ("--cache-ram", True), ("--cors_credentials", True), ("--props", True),
        ("-ngl", False), ("--embedding", False), ("-fa", False), ("--temp", False), ("0.7", False), ("--jinja", False),
        ("--chat-template-kwargs", False), ('{"a": "--tools"}', False), ("-ctk", False), ("--spec-type", False),
    ],
)  # fmt: skip
def test_refused_arguments(argument: str, refused: bool) -> None:
    of = resource(llamaCpp={"extraArgs": [argument]})
    found = list(engine(of).problems(of, {}))
    assert [item.field for item in found] == (["spec.llamaCpp.extraArgs"] if refused else [])
    assert all(f"{argument} is refused: " in item.message for item in found)


@pytest.mark.parametrize(
    ("spec", "images", "image"),
    [
        ({}, {}, LlamaCppEngine.images["cpu"]),
        ({"resources": {"accelerator": {"vendor": "amd"}}}, {}, LlamaCppEngine.images["amd"]),
        ({"resources": {"accelerator": {"vendor": "amd"}}}, {"amd": "own:1", "cpu": "c"}, "own:1"),
        ({}, {"cpu": "own:2"}, "own:2"),
        ({"llamaCpp": {"image": "mine:3"}}, {"cpu": "own:2"}, "mine:3"),
    ],
)
def test_image(spec: dict[str, Any], images: dict[str, str], image: str) -> None:
    of = resource(**spec)
    assert engine(of).image(of, images) == image


@pytest.mark.parametrize(("accelerator", "hidden"), [(None, True), ({"vendor": "amd"}, True), ({}, False)])
def test_pods_without_an_nvidia_gpu_see_none(accelerator: dict[str, str] | None, hidden: bool) -> None:
    of = resource(resources={"accelerator": accelerator} if accelerator is not None else {})
    env = {item["name"]: item.get("value") for item in engine(of).env(of)}
    assert (env.get("NVIDIA_VISIBLE_DEVICES") == "void") is hidden


def test_the_startup_probe_waits_as_long_as_asked() -> None:
    of = resource(rollout={"startupSeconds": 1801})
    startup = engine(of).probes(of).startup
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1801


def test_without_a_drain_running_answers_may_be_cut_at_once() -> None:
    of = resource(rollout={"drainSeconds": 0})
    drain = engine(of).drain(of)
    assert drain.pre_stop == {"sleep": {"seconds": 5}}
    assert drain.grace_seconds == 20


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "/chat/completions"),
        ({"llamaCpp": {"extraArgs": ["--embedding"]}}, "/embeddings"),
        ({"llamaCpp": {"extraArgs": ["--reranking"]}}, "/rerank"),
        ({"task": "Embeddings"}, "/embeddings"),
        ({"task": "Rerank"}, "/rerank"),
    ],
)
def test_the_completion_asks_for_what_the_server_can_do(spec: dict[str, Any], path: str) -> None:
    of = resource(model="m", **spec)
    request = engine_of(of).completion(of)
    assert request.url == f"http://house.models.svc/v1{path}"
    assert json.loads(request.body)["model"] == "m"


def test_a_model_without_a_pooling_is_told_with_the_remedy() -> None:
    body = json.dumps(
        {"error": {"message": "Pooling type 'none' is not OAI compatible. Please use a different pooling type"}}
    )
    told = LlamaCppEngine().completion_failure(400, body.encode())
    assert told is not None and told.endswith("say how in spec.llamaCpp.pooling: mean, cls or last")
    assert LlamaCppEngine().completion_failure(200, b'{"data": [{}]}') is None


def drain(server: IdleServer, seconds: int = 30) -> subprocess.CompletedProcess[str]:
    # The wait for the endpoint's removal is the kubelet's business, not this test's.
    script = drain_script(server.port, seconds).replace("sleep 5\n", "sleep 0\n")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_the_drain_ends_at_once_when_nothing_runs() -> None:
    with IdleServer(busy_answers=0) as server:
        assert drain(server).returncode == 0
        assert server.asked == 1


def test_the_drain_waits_for_running_requests() -> None:
    with IdleServer(busy_answers=2) as server:
        assert drain(server).returncode == 0
        assert server.asked == 3, "it must ask until a scrape shows no running and no waiting request"


def test_the_drain_is_bounded() -> None:
    with IdleServer(busy_answers=10**6) as server:
        assert drain(server, seconds=2).returncode == 0
        assert 1 <= server.asked <= 4


@pytest.mark.parametrize("status", [501, 503])
def test_the_drain_does_not_wait_for_a_server_that_is_loading(status: int) -> None:
    with IdleServer(busy_answers=10**6, status=status) as server:
        drain(server)
        assert server.asked == 1


def test_the_drain_does_not_wait_for_a_dead_server() -> None:
    with IdleServer(busy_answers=0) as server:
        pass
    assert drain(server).returncode == 0
