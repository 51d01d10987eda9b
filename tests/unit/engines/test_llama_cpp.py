"""llama-server's command line: what the resource's fields become, and what users may not add."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.engines import engine_of, managed_engine_of
from genset.engines import llama_cpp_arguments as arguments
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


def test_adapters_are_for_chats() -> None:
    adapters = [{"name": "a", "source": {"pvc": {"claimName": "w", "path": "a.gguf"}}}]
    of = resource(adapters=adapters, llamaCpp={"extraArgs": ["--embedding"]})
    (problem,) = engine(of).problems(of, {})
    assert problem.message == (
        "spec.llamaCpp.extraArgs restrict the server to Embeddings, which it answers by the model alone, without "
        "spec.adapters: remove one of them"
    )


def test_cpu_pods_say_nothing_of_gpus() -> None:
    assert "-ngl" not in flags()


HARMLESS: list[list[str]] = [
    ["-ngl", "20"], ["--embedding"], ["-fa", "on"], ["--temp", "0.7", "--jinja"], ["--seed", "-1"], ["-n", "-1", "--no-mmap"],
    ["--chat-template-kwargs", '{"a": "--tools"}'], ["-ctk", "q8_0"], ["--spec-type", "ngram-simple"], ["--no_warmup"],
    ["--reasoning-budget", "0"], ["--reverse-prompt", ""], ["--grammar", "root ::= [a-z]+"], ["--dry-sequence-breaker", "-"],
    ["--temp", "$(ANYTHING)"],
]  # fmt: skip


@pytest.mark.parametrize("given", HARMLESS, ids=" ".join)
def test_arguments_that_do_no_harm(given: list[str]) -> None:
    of = resource(llamaCpp={"extraArgs": given})
    assert list(engine(of).problems(of, {})) == []


@pytest.mark.parametrize(
    ("given", "refused", "why"),
    [
        (["--model", "/etc/passwd"], "--model", "weights come from spec.source; remove it"),
        (["-m"], "-m", "weights come from"), (["--model=/etc/passwd"], "--model=/etc/passwd", "weights come from"),
        (["--hf_repo"], "--hf_repo", "weights come from"), (["--ctx_size"], "--ctx_size", "genset sets it"),
        ([" --port"], " --port", "genset sets it"), (["-cram"], "-cram", "genset sets it"),
        (["--tools", "all"], "--tools", "lets a request run code"), (["--tools=all"], "--tools=all", "run code"),
        (["--ui_mcp_proxy"], "--ui_mcp_proxy", "run code"), (["-ag"], "-ag", "run code"), (["--props"], "--props", "run code"),
        (["--rpc", "10.0.0.1:1"], "--rpc", "reach other hosts"), (["--mcp-servers-json"], "--mcp-servers-json", "run code"),
        (["--media-path"], "--media-path", "files of the pod"), (["--lora", "/x"], "--lora", "files of the pod"),
        (["--chat-template-file", "/proc/1/environ"], "--chat-template-file", "files of the pod"),
        (["--log-prompts-dir"], "--log-prompts-dir", "files of the pod"), (["--api-key", "x"], "--api-key", "plain HTTP"),
        (["--gpt-oss-20b-default"], "--gpt-oss-20b-default", "weights come from"),
        (["--models-dir"], "--models-dir", "one model"), (["--version"], "--version", "print something and end"),
        (["--draft", "3"], "--draft", "has it no longer"),
        (["--of-a-later-build"], "--of-a-later-build", "knows of no such argument of llama-server (build 11669)"),
        (["-X"], "-X", "podTemplate: Full"), (["$(FLAGS)"], "$(FLAGS)", "the value of no flag"),
        (["0.7"], "0.7", "the value of no flag before it"), (["--jinja", "true"], "true", "the value of no flag before it"),
        (["--temp=0.7"], "--temp=0.7", "as two items, without blanks around them: [--temp, VALUE]"),
        (["-ngl 20"], "-ngl 20", "podTemplate: Full"), (["--jinja "], "--jinja ", "as two items"),
        (["--temp"], "--temp", "its value is missing: add it"),
        (["--temp", "--tools"], "--temp", "its value is missing before --tools: add it"),
        (["--seed", "-1", "--path", "/"], "--path", "files of the pod"),
        (["", "--jinja"], "", "the value of no flag"),
    ],
)  # fmt: skip
def test_refused_arguments(given: list[str], refused: str, why: str) -> None:
    of = resource(llamaCpp={"extraArgs": given})
    found = list(engine(of).problems(of, {}))
    assert {item.field for item in found} == {"spec.llamaCpp.extraArgs"}
    assert found[0].message.startswith(f"spec.llamaCpp.extraArgs: {refused} is refused: ") and why in found[0].message


def test_every_spelling_of_the_build_is_judged() -> None:
    """The page is what `llama-server --help` prints, the lines that begin with a flag."""
    lines = (Path(__file__).parents[2] / "data" / f"llama-server-{arguments.BUILD}.help").read_text().splitlines()
    there: set[str] = set()
    for line in lines:
        names, value = [], ""
        for word in line.split():
            if not (word.startswith("-") and word[1:2] not in ("", "1") and (not names or names[-1].endswith(","))):
                value = word
                break
            names.append(word)
        flags_of = {name.rstrip(",") for name in names}
        there |= flags_of
        taken = flags_of & (arguments.WITH_VALUE | arguments.WITHOUT_VALUE)
        joined = f"{names[-1]} {value}" in line and value != ""
        assert taken <= (arguments.WITH_VALUE if joined else arguments.WITHOUT_VALUE), line
    refused = {flag for of_reason in arguments.REFUSED.values() for flag in of_reason}
    allowed = arguments.WITH_VALUE | arguments.WITHOUT_VALUE
    assert not allowed & refused and there <= allowed | refused, there - allowed - refused


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


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("ghcr.io/ggml-org/llama.cpp:server-b6500", "is build 6500 of llama.cpp"),
        ("registry.corp/llama.cpp:b9468@sha256:" + "0" * 64, "is build 9468 of llama.cpp"),
        ("ghcr.io/ggml-org/llama.cpp:server-b10488", ""),
        ("registry.corp/llama.cpp:server-cuda-b11669@sha256:" + "0" * 64, ""),
        ("registry.corp/llama.cpp:server", ""),
        ("registry.corp/b6500/llama.cpp:v1-b12", ""),  # a number of one's own
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_an_image_that_is_known_to_be_too_old_is_told(image: str, told: str, own: bool) -> None:
    of = resource(llamaCpp={"image": image}) if own else resource()
    found = [fault.message for fault in engine(of).problems(of, {} if own else {"cpu": image})]
    assert (told in found[0] and LlamaCppEngine.images["cpu"] in found[0]) if told else not found, found


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
