"""llama.cpp: llama-server, one model a pod, on CPU cores or GPUs.

Decides its command line. Every flag below was tried against build 11669 (Debian's llama.cpp-tools); names and
behaviour are from llama.cpp's tools/server/README.md and common/arg.cpp. What shapes the choices:

- threads default to the *node's* cores, which a cgroup limit then throttles: they follow the CPU limit instead;
- an explicit `-np` gives each slot `-c / -np` tokens, so the context is multiplied;
- `--fit` would quietly shrink what was asked for: off;
- `--cache-ram` defaults to 8 GiB of host memory, which gets pods killed: always given;
- there is no drain on SIGTERM: the preStop hook waits until no request runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from genset import names
from genset.api.modeldeployment import EngineName, LlamaCpp, ModelDeployment
from genset.api.quantity import whole
from genset.engines.base import (
    ENDPOINT_REMOVAL_SECONDS,
    STOP_SECONDS,
    CompletionRequest,
    DeniedArgument,
    Drain,
    Object,
    Probes,
    answer_failure,
    chat_request,
    json_body,
)

MIB = 2**20
QUEUE_ALLOWANCE = 64  # connections beyond the slots that may wait without keeping /health from a thread
SPARE_HTTP_THREADS = 16  # probes, metrics, the operator
PROBE_PERIOD_SECONDS = 5
WAKING_PERIOD_SECONDS = 1  # of the startup probe where somebody may be waiting for the model to wake

#: Used where neither the resource nor the operator names an image. Tags: llama.cpp docs/docker.md.
DEFAULT_IMAGES: Mapping[str, str] = {
    "cpu": "ghcr.io/ggml-org/llama.cpp:server-b10488",
    "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda-b10488",
    "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm-b10488",
    "intel": "ghcr.io/ggml-org/llama.cpp:server-intel-b10488",
}

_GENSET_SETS = "genset sets it from the resource's own fields"
_BREAKS_GENSET = "routers and probes talk plain HTTP to the engine's own paths"
_RUNS_CODE = "it lets a request run code or reach other hosts"
_READS_FILES = "it lets a request read or write files of the pod"
_WEIGHTS = "weights come from spec.source"
_LOADS_MORE = "one pod serves one model"

#: Every spelling of build 11669, under the reason for refusing it.
_DENIED: Mapping[str, tuple[str, ...]] = {
    _WEIGHTS: (
        "-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo", "-hf", "-hfr", "--hf-repo", "-hff", "--hf-file",
        "-hft", "--hf-token", "--embd-gemma-default", "--gpt-oss-20b-default", "--gpt-oss-120b-default",
        "--fim-qwen-1.5b-default", "--fim-qwen-3b-default", "--fim-qwen-7b-default", "--fim-qwen-7b-spec",
        "--fim-qwen-14b-spec", "--fim-qwen-30b-default", "--vision-gemma-4b-default", "--vision-gemma-12b-default",
        "-mmu", "--mmproj-url", "--spec-draft-hf", "-hfd", "-hfrd", "--hf-repo-draft",
    ),
    _GENSET_SETS: (
        "-a", "--alias", "--host", "--port", "-c", "--ctx-size", "-np", "--parallel", "-t", "--threads", "-tb",
        "--threads-batch", "--threads-http", "-fit", "--fit", "-cram", "--cache-ram", "--metrics", "--offline", "--ui",
        "--webui", "--no-ui", "--no-webui", "--slots", "--no-slots", "--cors-origins",
    ),
    _BREAKS_GENSET: (
        "--api-key", "--api-key-file", "--ssl-key-file", "--ssl-cert-file", "--api-prefix", "--reuse-port",
    ),
    _RUNS_CODE: (
        "--tools", "--tools-runtime", "--agent", "-ag", "--no-agent", "-no-ag", "--mcp-servers-config",
        "--mcp-servers-json", "--ui-mcp-proxy", "--webui-mcp-proxy", "--no-ui-mcp-proxy", "--no-webui-mcp-proxy",
        "--cors-credentials", "--props",
    ),
    _READS_FILES: (
        "--media-path", "--slot-save-path", "--path", "--log-file", "--log-prompts-dir", "--ui-config-file",
        "--webui-config-file",
    ),
    _LOADS_MORE: ("--models-dir", "--models-preset", "--models-max", "--models-autoload", "--no-models-autoload"),
}  # fmt: skip
_WHY_DENIED = {flag: why for why, flags in _DENIED.items() for flag in flags}

_GPU_LAYER_FLAGS = frozenset({"-ngl", "--gpu-layers", "--n-gpu-layers"})  # a model larger than its GPU needs its own
_EMBEDDING_FLAGS = frozenset({"--embedding", "--embeddings"})
_RERANK_FLAGS = frozenset({"--rerank", "--reranking"})


class LlamaCppEngine:
    """llama-server with a local GGUF file."""

    name = EngineName.LLAMA_CPP
    # tools/server/server-common.cpp. A bare last message of role assistant would do, but a server started with
    # --no-prefill-assistant starts over without a word (seen with b11669); older builds ignore the switch.
    continuation = "ContinueFinalMessage"
    port = names.ENGINE_PORT

    def base_url(self, resource: ModelDeployment) -> str:
        return f"http://{resource.metadata.name}.{resource.metadata.namespace}.svc/v1"

    def health_path(self, resource: ModelDeployment) -> str:
        return "/health"

    def image(self, resource: ModelDeployment, images: Mapping[str, str]) -> str:
        accelerator = resource.spec.resources.accelerator
        vendor = accelerator.vendor if accelerator else "cpu"
        return _settings(resource).image or images.get(vendor) or DEFAULT_IMAGES[vendor]

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        spec = resource.spec
        parallel = spec.context.parallel
        threads = str(max(1, whole(spec.resources.cpu)))
        return [
            "-m", model_path,
            "-a", resource.served_model,
            "--host", "0.0.0.0",
            "--port", str(self.port),
            "-c", str(spec.context.tokens * parallel),
            "-np", str(parallel),
            *_gpu_layers(resource),
            "--fit", "off",
            "-t", threads,
            "-tb", threads,
            "--threads-http", str(parallel + QUEUE_ALLOWANCE + SPARE_HTTP_THREADS),
            "--cache-ram", str(-(-whole(_settings(resource).cache_ram) // MIB)),
            "--metrics",
            "--offline",
            "--no-ui",
            "--no-slots",
            "--cors-origins", "localhost",  # the default reflects any origin
            *_settings(resource).extra_args,
        ]  # fmt: skip

    def env(self, resource: ModelDeployment) -> list[Object]:
        env: list[Object] = [{"name": "HOME", "value": "/tmp"}]  # CUDA's and Mesa's caches want a writable home
        accelerator = resource.spec.resources.accelerator
        if accelerator is None or accelerator.vendor != "nvidia":
            # Where nvidia is the default runtime, an image that says "all" would see every GPU of the node.
            env.append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"})
        return env

    def probes(self, resource: ModelDeployment) -> Probes:
        # /health: 503 while loading, 200 when ready; it answers from HTTP threads, apart from the model's.
        get: Object = {"path": "/health", "port": names.ENGINE_PORT_NAME}
        period = PROBE_PERIOD_SECONDS if resource.spec.autoscaling is None else WAKING_PERIOD_SECONDS
        startup_failures = -(-resource.spec.rollout.startup_seconds // period)
        return Probes(
            startup={
                "httpGet": get,
                "periodSeconds": period,
                "failureThreshold": startup_failures,
                "timeoutSeconds": 3,
            },
            readiness={
                "httpGet": get,
                "periodSeconds": PROBE_PERIOD_SECONDS,
                "failureThreshold": 2,
                "timeoutSeconds": 3,
            },
            liveness={"httpGet": get, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        )

    def drain(self, resource: ModelDeployment) -> Drain:
        seconds = resource.spec.rollout.drain_seconds
        if seconds == 0:  # running answers may be cut: only stop choosing the replica
            pre_stop: Object = {"sleep": {"seconds": ENDPOINT_REMOVAL_SECONDS}}
        else:
            pre_stop = {"exec": {"command": ["bash", "-c", drain_script(self.port, seconds)]}}
        return Drain(pre_stop, ENDPOINT_REMOVAL_SECONDS + seconds + STOP_SECONDS)

    def completion(self, resource: ModelDeployment) -> CompletionRequest:
        """A chat answer of one token; what the server is restricted to, where extra arguments restrict it."""
        base, model = self.base_url(resource), resource.served_model
        flags = _extra_flags(resource)
        if flags & _RERANK_FLAGS:
            return CompletionRequest(f"{base}/rerank", json_body(model=model, query="ping", documents=["ping"]))
        if flags & _EMBEDDING_FLAGS:
            return CompletionRequest(f"{base}/embeddings", json_body(model=model, input="ping"))
        return chat_request(base, model)

    def completion_failure(self, status: int, body: bytes) -> str | None:
        return answer_failure(status, body)

    def denied_arguments(self, resource: ModelDeployment) -> list[DeniedArgument]:
        return [
            DeniedArgument(argument, _WHY_DENIED[flag])
            for argument in _settings(resource).extra_args
            if (flag := _flag(argument)) in _WHY_DENIED
        ]


def _settings(resource: ModelDeployment) -> LlamaCpp:
    return resource.spec.llama_cpp or LlamaCpp()


def _extra_flags(resource: ModelDeployment) -> set[str]:
    return {_flag(argument) for argument in _settings(resource).extra_args}


def _gpu_layers(resource: ModelDeployment) -> list[str]:
    """All layers, said explicitly. None on CPU nodes: a build without GPUs would warn of the flag."""
    own = _extra_flags(resource) & _GPU_LAYER_FLAGS
    return ["-ngl", "all"] if resource.spec.resources.accelerator and not own else []


def _flag(argument: str) -> str:
    """The flag as llama.cpp reads it: `--no_ui` is `--no-ui` (common/arg.cpp). `--a=b` is cut."""
    flag = argument.strip().partition("=")[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag


def drain_script(port: int, seconds: int) -> str:
    """Bash that waits until llama-server is idle, at most `seconds` after the pod has left its Services.

    Bash's own /dev/tcp, because images of llama-server need not hold curl (Debian's does not; both it and
    llama.cpp's have bash). Idle: /metrics shows neither running nor waiting requests. A server that is gone or still
    loading has nothing to wait for. /metrics waits for the current batch, so silence means busy.
    """
    return f"""\
busy() {{
  exec 3<>/dev/tcp/127.0.0.1/{port} || return 1
  printf 'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3
  IFS= read -r -t 10 line <&3 || return 0
  [[ $line == *' 200 '* ]] || return 1
  while IFS= read -r -t 10 line <&3; do
    [[ $line =~ ^llamacpp:requests_(processing|deferred)\\ +[1-9] ]] && return 0
  done
  return 1
}} 2>/dev/null
sleep {ENDPOINT_REMOVAL_SECONDS}
end=$((SECONDS + {seconds}))
while ((SECONDS < end)) && busy; do sleep 1; done
"""
