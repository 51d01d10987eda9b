"""vLLM's command line and environment: what the resource's fields become, and what users may not add."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.desired import workload
from genset.desired.context import Settings
from genset.engines.base import ModelPaths
from genset.engines.vllm import VllmEngine

ENGINE = VllmEngine()
GPUS = {"accelerator": {"vendor": "nvidia", "count": 4}}


def resource(**spec: Any) -> ModelDeployment:
    spec = {"engine": "vllm", "source": {"pvc": {"claimName": "weights", "path": "qwen"}}, **spec}
    return ModelDeployment.model_validate({"metadata": {"name": "house", "namespace": "models"}, "spec": spec})


def flags(**spec: Any) -> dict[str, str]:
    """Flag -> value; a flag without one has "". A flag that is given twice is an error."""
    first, *args = ENGINE.args(resource(**spec), "/models/qwen")
    assert first == "/models/qwen", "the entrypoint is `vllm serve`, which takes the folder first"
    out: dict[str, str] = {}
    for index, arg in enumerate(args):
        if arg.startswith("--"):
            assert arg not in out, f"{arg} is given twice"
            following = args[index + 1] if index + 1 < len(args) else "--"
            out[arg] = "" if following.startswith("--") else following
    return out


def variables(**spec: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in ENGINE.env(resource(**spec))}


def problems(**spec: Any) -> list[str]:
    return [problem.message for problem in ENGINE.problems(resource(**spec), {})]


@pytest.mark.parametrize(
    ("spec", "flag", "value"),
    [
        ({}, "--served-model-name", "house"),
        ({"model": "qwen/qwen3.5"}, "--served-model-name", "qwen/qwen3.5"),
        ({}, "--host", "$(LISTEN_ADDRESS)"),
        ({}, "--port", "8080"),
        ({"context": {"tokens": 32768}}, "--max-model-len", "32768"),
        (
            {"context": {"tokens": 4096, "parallel": 9}},
            "--max-model-len",
            "4096",
        ),  # of each request, unlike llama.cpp's
        ({"context": {"parallel": 9}}, "--max-num-seqs", "9"),
        ({"resources": {"memory": "8Gi"}}, "--kv-cache-memory-bytes", str(2 * 2**30)),
        ({"vllm": {"kvCacheMemory": "1Gi"}}, "--kv-cache-memory-bytes", str(2**30)),
        ({"resources": GPUS}, "--gpu-memory-utilization", "0.92"),
        ({"resources": GPUS, "vllm": {"gpuMemoryPercent": 7}}, "--gpu-memory-utilization", "0.07"),
        ({"resources": GPUS}, "--tensor-parallel-size", "4"),
        ({"resources": GPUS, "parallelism": {"pipeline": 4}}, "--tensor-parallel-size", "1"),
        ({"resources": GPUS, "parallelism": {"pipeline": 4}}, "--pipeline-parallel-size", "4"),
        ({"rollout": {"drainSeconds": 90}}, "--shutdown-timeout", "90"),
        ({"task": "Embeddings"}, "--convert", "embed"),
        ({"task": "Rerank"}, "--convert", "classify"),
        ({"task": "Rerank"}, "--runner", "pooling"),
        ({"vllm": {"toolCallParser": "hermes"}}, "--tool-call-parser", "hermes"),
        ({"vllm": {"toolCallParser": "hermes"}}, "--enable-auto-tool-choice", ""),
        ({"vllm": {"reasoningParser": "qwen3"}}, "--reasoning-parser", "qwen3"),
        ({"vllm": {"chatTemplate": "/a/b.jinja"}}, "--chat-template", "/a/b.jinja"),
        ({"vllm": {"dtype": "float16"}}, "--dtype", "float16"),
        ({"vllm": {"extraArgs": ["--seed", "7"]}}, "--seed", "7"),
    ],
)
def test_args(spec: dict[str, Any], flag: str, value: str) -> None:
    assert flags(**spec)[flag] == value


@pytest.mark.parametrize(
    "flag", ["--tensor-parallel-size", "--gpu-memory-utilization", "--runner", "--enable-auto-tool-choice"]
)
def test_what_is_not_asked_for_is_not_said(flag: str) -> None:
    assert flag not in flags()


def test_memory_for_contexts_replaces_the_share_of_a_gpu() -> None:
    given = flags(resources=GPUS, vllm={"kvCacheMemory": "4Gi"})
    assert given["--kv-cache-memory-bytes"] == str(4 * 2**30) and "--gpu-memory-utilization" not in given


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--model", "weights come from spec.source"), ("--tokenizer=/etc", "weights come from spec.source"),
        ("--max_model_len", "genset sets it"), ("--max-model-len=1", "genset sets it"), ("-tp", "genset sets it"),
        (" --port", "genset sets it"), ("--api-key", "plain HTTP"), ("--trust-remote-code", "runs code"),
        ("--trust_remote_code", "runs code"), ("--no-trust-remote-code", "runs code"), ("--middleware", "runs code"),
        ("--compilation-config.backend", "runs code"), ("-cc.backend", "runs code"), ("--enable-prompt-embeds", "runs code"),
        ("--allowed-local-media-path", "read further files"), ("--config", "read further files"),
        ("--data-parallel-size", "one pod is one server"), ("--headless", "one pod is one server"),
        ("--enable-lora", "adapters come from the resource"), ("--flag-of-tomorrow", "known to do no harm"), ("-O3", "no harm"),
        ("--max-model", "no harm"), ("$(ANYTHING)", "names a variable"), ("a$(B)", "names a variable"),
        ("--enforce-eager", ""), ("--no-enable-prefix-caching", ""), ("--speculative-config.method", ""),
        ("--hf_overrides", ""), ("0.7", ""), ("-1", ""), ("-.5", ""), ('{"a": "--model"}', ""), ("--quantization=fp8", ""),
    ],
)  # fmt: skip
def test_refused_arguments(argument: str, told: str) -> None:
    found = problems(vllm={"extraArgs": ["--enforce-eager", argument]})
    assert bool(found) is bool(told)
    assert all(f"spec.vllm.extraArgs: {argument} is refused: " in message and told in message for message in found)


def test_a_value_of_no_flag_is_refused() -> None:
    """vLLM would take it for another model, or end."""
    (told,) = problems(vllm={"extraArgs": ["evil/model", "--enforce-eager"]})
    assert "evil/model is refused: it is the value of no flag before it" in told


def test_pods_are_offline_and_tell_nobody() -> None:
    env = variables()
    assert (
        env["HF_HUB_OFFLINE"] == env["TRANSFORMERS_OFFLINE"] == env["VLLM_NO_USAGE_STATS"] == env["DO_NOT_TRACK"] == "1"
    )


def test_everything_that_is_written_goes_to_tmp() -> None:
    env = variables()
    places = {name: value for name, value in env.items() if name.endswith(("_HOME", "_ROOT", "_DIR", "HOME", "_PATH"))}
    assert len(places) > 8 and all(value.startswith("/tmp") for value in places.values())


def test_threads_follow_the_limit_without_a_gpu() -> None:
    env = variables(resources={"cpu": "2500m"})
    assert env["OMP_NUM_THREADS"] == "3" and env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert "OMP_NUM_THREADS" not in variables(resources=GPUS)


def test_the_engine_waits_for_itself_as_long_as_the_probe() -> None:
    of = resource(rollout={"startupSeconds": 1801})
    startup = ENGINE.probes(of).startup
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1801
    assert variables(rollout={"startupSeconds": 1801})["VLLM_ENGINE_READY_TIMEOUT_S"] == "1801"


def test_it_drains_itself_within_the_grace() -> None:
    drain = ENGINE.drain(resource(rollout={"drainSeconds": 90}))
    assert drain.pre_stop == {"sleep": {"seconds": 5}}
    assert drain.grace_seconds == 5 + 90 + 15


@pytest.mark.parametrize(
    ("resources", "user", "group"),
    [(GPUS, 2000, 0), ({}, 65532, 65532), ({"accelerator": {"vendor": "amd"}}, 65532, 65532)],
)
def test_pods_run_as_whom_their_image_was_made_for(resources: dict[str, Any], user: int, group: int) -> None:
    pod = workload.pod_template(resource(resources=resources), ENGINE, Settings(image="genset:test"))["spec"]
    ids = pod["securityContext"]
    assert (ids["runAsUser"], ids["runAsGroup"], ids["fsGroup"]) == (user, group, 65532)
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}} in pod["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def adapters(**sources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "source": source} for name, source in sources.items()]


def disk(claim: str, path: str) -> dict[str, Any]:
    return {"pvc": {"claimName": claim, "path": path}}


REGISTRY = {"oci": {"reference": "registry.example/a:1"}}


def test_adapters_that_cannot_join_are_loaded_at_the_start() -> None:
    paths = ModelPaths("/models/qwen", adapters={"invoices": "/a/1", "letters": "/a/2"})
    found = adapters(invoices=disk("tunes", "1"), letters=disk("tunes", "2"))
    args = ENGINE.companion_args(resource(adapters=found, vllm={"adaptersAtOnce": 1, "adapterRank": 64}), paths)
    assert args == [
        "--enable-lora", "--max-loras", "1", "--max-cpu-loras", "2", "--max-lora-rank", "64",
        "--lora-modules", "invoices=/a/1", "letters=/a/2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cache", "joins"),
    [
        (None, ["same"]),
        ({"size": "1Gi"}, ["same", "letters"]),
        ({"claimName": "c", "accessMode": "ReadWriteMany"}, ["same", "letters"]),
        ({"size": "1Gi", "accessMode": "ReadWriteOncePod"}, ["same"]),
    ],
)
def test_what_pods_have_mounted_anyway_joins(cache: dict[str, Any] | None, joins: list[str]) -> None:
    found = adapters(same=disk("weights", "tunes/same"), letters=REGISTRY, other=disk("elsewhere", "x"))
    made = resource(source=disk("weights", "qwen"), adapters=found, **({"cache": cache} if cache else {}))
    assert ENGINE.joining(made) == joins
    assert {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"} in ENGINE.env(made)


def test_another_list_of_joining_adapters_changes_no_pod() -> None:
    settings = Settings(image="genset:test")
    fixed = adapters(fixed=disk("elsewhere", "x"))
    lists = [
        adapters(a=disk("weights", "tunes/a")) + fixed,
        adapters(b=REGISTRY, a=disk("weights", "tunes/a")) + fixed,
        adapters(c=REGISTRY, b={"oci": {"reference": "registry.example/other:2"}}) + fixed,
    ]
    templates = [
        workload.pod_template(
            resource(source=disk("weights", "qwen"), cache={"size": "1Gi"}, adapters=found), ENGINE, settings
        )
        for found in lists
    ]
    assert templates[0] == templates[1] == templates[2]


def test_memory_for_contexts_is_not_all_of_it() -> None:
    (message,) = problems(resources={"memory": "4Gi"}, vllm={"kvCacheMemory": "4Gi"})
    assert message.startswith("spec.vllm.kvCacheMemory (4Gi) counts against spec.resources.memory (4Gi)")
    assert problems(resources={**GPUS, "memory": "4Gi"}, vllm={"kvCacheMemory": "40Gi"}) == []


@pytest.mark.parametrize(
    "name", ["VLLM_SERVER_DEV_MODE", "VLLM_PLUGINS", "VLLM_API_KEY", "HF_HUB_OFFLINE", "HF_ENDPOINT"]
)
def test_a_pod_template_undoes_nothing_by_variables(name: str) -> None:
    patch = {"spec": {"containers": [{"name": "engine", "env": [{"name": name, "value": "0"}]}]}}
    found = list(workload.faults(resource(podTemplate=patch), Settings(image="genset:test")))
    assert [fault.field for fault in found] == [f"spec.podTemplate.spec.containers[engine].env[{name}]"]


def test_a_pod_template_may_choose_how_it_computes() -> None:
    patch = {
        "spec": {"containers": [{"name": "engine", "env": [{"name": "VLLM_ATTENTION_BACKEND", "value": "FLASHINFER"}]}]}
    }
    assert list(workload.faults(resource(podTemplate=patch), Settings(image="genset:test"))) == []
