"""The engine vllm is `vllm serve` with a repository's folder, on GPUs or CPU cores.

Decides its command line and environment. Flags are those of vLLM 0.33 and were tried with 0.32 on CPU. What shapes the
choices:

- a container has 64 MiB of /dev/shm, and one process wants 160: it gets a volume of memory there, always;
- its compilers and caches write to a home that a read-only root does not have: everything is sent to /tmp;
- a user without a name in the image has no home and no name (getpwuid): both are given;
- the port opens when the model is ready; until then connections are refused;
- SIGTERM ends running answers at once, unless --shutdown-timeout gives them time: there is no other drain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from genset import names
from genset.api.adapters import MOST_ADAPTERS
from genset.api.engines.base import Task
from genset.api.engines.vllm import Vllm
from genset.api.fault import FieldFault
from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.quantity import parse_quantity, whole
from genset.engines.arguments import Arguments, allowed
from genset.engines.base import (
    LEADER_RANK,
    EmptyFolder,
    ManagedEngine,
    ModelPaths,
    Object,
    Probes,
    RunAs,
    SleepCalls,
    WorkMetrics,
)

GPU_MEMORY_PERCENT = 92  # vLLM's own default, said so that a change of it changes nothing here
KV_CACHE_SHARE = 4  # without a GPU a context gets this part of the memory
LISTENER = RunAs(2000, 0)  # user `vllm` of the CUDA image, whose home group 0 may write (vllm docker/Dockerfile)

_GENSET_SETS = "genset sets it from the resource's own fields"
_BREAKS_GENSET = "routers and probes talk plain HTTP to the engine's own paths"
_RUNS_CODE = "it runs code of the model's repository, or code that it names"
_READS_FILES = "it lets a request or the server read further files of the pod"
_WEIGHTS = "weights come from spec.source"
_ONE_POD = "one pod is one server"
_ADAPTERS = "adapters come from the resource"


def _spelt(argument: str) -> str:
    """Returns the flag as vLLM's parser reads it: `--a_b` is `--a-b`, `--a.b` is a part of `--a`, `--no-a` its opposite."""
    flag = re.split(r"[=.]", argument, maxsplit=1)[0].replace("_", "-")
    return f"--{flag.removeprefix('--no-')}" if flag.startswith("--no-") else flag


_ARGUMENTS = Arguments(
    server="vLLM 0.33",
    spelt=_spelt,
    denied={
        _WEIGHTS: (
            "--model", "--tokenizer", "--hf-config-path", "--revision", "--code-revision", "--tokenizer-revision",
            "--download-dir", "--hf-token", "--model-loader-extra-config", "--load-format", "--config-format",
        ),
        _GENSET_SETS: (
            "--served-model-name", "--host", "--port", "--max-model-len", "--max-num-seqs", "--tensor-parallel-size", "-tp",
            "--pipeline-parallel-size", "-pp", "--gpu-memory-utilization", "--kv-cache-memory-bytes", "--kv-cache-memory",
            "--dtype", "--runner", "--convert", "--task", "--shutdown-timeout", "--tool-call-parser",
            "--enable-auto-tool-choice", "--reasoning-parser", "--chat-template",
            "--disable-access-log-for-endpoints", "--disable-uvicorn-access-log",
        ),
        _BREAKS_GENSET: (
            "--api-key", "--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--ssl-cert-reqs", "--enable-ssl-refresh",
            "--root-path", "--uds", "--disable-log-stats", "--response-role",
            "--allowed-origins", "--allow-credentials", "--enable-sleep-mode", "--grpc",
        ),
        _RUNS_CODE: (
            "--trust-remote-code", "--middleware", "--tool-parser-plugin", "--reasoning-parser-plugin", "--logits-processors",
            "--worker-cls", "--worker-extension-cls", "--scheduler-cls", "--io-processor-plugin", "--compilation-config", "-O",
            "-cc", "--kv-transfer-config", "--ec-transfer-config", "--additional-config", "--tool-server",
            "--trust-request-chat-template", "--trust-request-mm-kwargs", "--model-class-overrides", "--enable-prompt-embeds",
            "--enable-mm-embeds",
        ),
        _READS_FILES: (
            "--config", "--allowed-local-media-path", "--log-config-file", "--profiler-config", "--otlp-traces-endpoint",
        ),
        _ADAPTERS: ("--enable-lora", "--lora-modules", "--default-mm-loras", "--max-loras", "--max-lora-rank"),
        _ONE_POD: (
            "--data-parallel-size", "-dp", "--data-parallel-rank", "-dpn", "--data-parallel-start-rank", "-dpr",
            "--data-parallel-size-local", "-dpl", "--data-parallel-address", "-dpa", "--data-parallel-rpc-port", "-dpp",
            "--data-parallel-backend", "-dpb", "--data-parallel-hybrid-lb", "-dph", "--data-parallel-external-lb", "-dpe",
            "--data-parallel-multi-port-external-lb", "--data-parallel-supervisor-port", "-dpm", "--grpc-port",
            "--prefill-context-parallel-size", "-pcp", "--decode-context-parallel-size", "-dcp", "--device-ids",
            "--headless", "--api-server-count", "-asc", "--nnodes", "-n", "--node-rank", "-r", "--master-addr",
            "--master-port", "--distributed-executor-backend",
        ),
    },
    allowed=allowed(
        # model
        "--quantization -q --seed --tokenizer-mode --hf-overrides --generation-config --override-generation-config "
        "--max-logprobs --logprobs-mode --disable-sliding-window --skip-tokenizer-init --language-model-only --model-impl "
        "--pooler-config --disable-cascade-attn",
        # memory and the cache of contexts
        "--kv-cache-dtype --kv-cache-dtype-skip-layers --block-size --num-gpu-blocks-override --cpu-offload-gb "
        "--cpu-offload-params --kv-offloading-size --kv-offloading-backend --enable-prefix-caching --prefix-caching-hash-algo "
        "--disable-hybrid-kv-cache-manager --mamba-cache-dtype --mamba-ssm-cache-dtype --mamba-block-size --mamba-cache-mode "
        "--safetensors-load-strategy --safetensors-prefetch-block-size --safetensors-prefetch-num-threads",
        # work
        "--enforce-eager --max-num-batched-tokens --enable-chunked-prefill --long-prefill-token-threshold --scheduling-policy "
        "--async-scheduling --max-num-queued-reqs --max-num-queued-tokens --speculative-config -sc --spec-method --spec-model "
        "--spec-tokens --attention-backend --moe-backend --linear-backend --all2all-backend --enable-expert-parallel -ep "
        "--enable-eplb --eplb-config --expert-placement-strategy --max-parallel-loading-workers --disable-custom-all-reduce "
        "--cudagraph-capture-sizes --max-cudagraph-capture-size --performance-mode --optimization-level --stream-interval "
        "--enable-dbo --numa-bind --numa-bind-nodes --numa-bind-cpus",
        # requests
        "--limit-mm-per-prompt --mm-processor-kwargs --mm-processor-cache-gb --mm-processor-cache-type --mm-encoder-tp-mode "
        "--mm-encoder-attn-backend --disable-chunked-mm-input --skip-mm-profiling --video-pruning-rate --interleave-mm-strings "
        "--media-io-kwargs --allowed-media-domains --chat-template-content-format --default-chat-template-kwargs "
        "--structured-outputs-config --reasoning-config --enable-force-include-usage --enable-prompt-tokens-details "
        "--enable-server-load-tracking --exclude-tools-when-tool-choice-none --return-tokens-as-token-ids "
        "--enable-request-id-headers --sse-keep-alive-interval",
        # log
        "--uvicorn-log-level --log-level --max-log-len --enable-log-requests --enable-log-outputs --enable-log-deltas "
        "--show-hidden-metrics-for-version --kv-cache-metrics --kv-cache-metrics-sample --cudagraph-metrics "
        "--enable-mfu-metrics --enable-per-request-metrics --per-request-spec-decode-metrics --custom-histogram-buckets",
    ),
)  # fmt: skip
_TASK: Mapping[Task, tuple[str, ...]] = {
    Task.CHAT: (),
    Task.EMBEDDINGS: ("--runner", "pooling", "--convert", "embed"),
    Task.RERANK: ("--runner", "pooling", "--convert", "classify"),
}
#: Where it writes on a read-only root (vllm PR 38552, opea-project/GenAIInfra 882).
_WRITABLE: Mapping[str, str] = {
    "XDG_CACHE_HOME": "/tmp/cache",
    "XDG_CONFIG_HOME": "/tmp/config",
    "HF_HOME": "/tmp/cache/huggingface",
    "VLLM_CACHE_ROOT": "/tmp/cache/vllm",
    "VLLM_CONFIG_ROOT": "/tmp/config/vllm",
    "VLLM_RPC_BASE_PATH": "/tmp",
    "TRITON_CACHE_DIR": "/tmp/cache/triton",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/cache/inductor",
    "NUMBA_CACHE_DIR": "/tmp/cache/numba",
}
_OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


#: Ends with 0 if the server says that it is awake. No proxy is asked: the container may know one.
_AWAKE = (
    "import json, sys, urllib.request as u; "
    f"a = u.build_opener(u.ProxyHandler({{}})).open('http://localhost:{names.ENGINE_PORT}/is_sleeping', timeout=4); "
    "sys.exit(json.load(a)['is_sleeping'])"
)


class VllmEngine(ManagedEngine[Vllm]):
    """This engine is vLLM's OpenAI server with a local folder."""

    settings = Vllm
    adapter_list = "Models"
    takes_joining = True
    scratch = "10Gi"  # what it compiles is kept in /tmp
    continuation = "ContinueFinalMessage"
    images: Mapping[str, str] = {
        # Tags: vLLM docs/deployment/docker.md.
        "nvidia": "docker.io/vllm/vllm-openai:v0.33.0",
        "amd": "docker.io/vllm/vllm-openai-rocm:v0.33.0",
        "intel": "docker.io/vllm/vllm-openai-xpu:v0.33.0",
        "cpu": "docker.io/vllm/vllm-openai-cpu:v0.33.0",
    }
    work = WorkMetrics(  # vllm/v1/metrics/loggers.py
        "/metrics",
        running=("vllm:num_requests_running", "vllm:num_requests_waiting"),
        done=("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    )
    # Of its development mode (vllm/entrypoints/serve/dev/sleep/api_router.py). Level 1 keeps the weights in memory; `wait` lets
    # what is in work end.
    sleep = SleepCalls("/is_sleeping", "/sleep?level=1&mode=wait", "/wake_up")
    refused_variables = (
        "VLLM_PLUGINS", "VLLM_SERVER_DEV_MODE", "VLLM_API_KEY", "VLLM_ALLOW_", "VLLM_USE_MODELSCOPE", "VLLM_HOST_IP",
        "VLLM_PORT", "VLLM_RPC_", "VLLM_NO_USAGE_STATS", "VLLM_DO_NOT_TRACK", "VLLM_USAGE_", "VLLM_CONFIGURE_LOGGING",
        "VLLM_LOGGING_CONFIG_PATH", "VLLM_MODEL_REDIRECT_PATH", "VLLM_PP_LAYER_PARTITION", "VLLM_MEDIA_", "VLLM_CACHE_ROOT",
        "VLLM_CONFIG_ROOT", "DO_NOT_TRACK", "HF_", "HUGGING", "TRANSFORMERS_", "TORCH", "TRITON_", "RAY_", "S3_", "AWS_",
        # Folders of compiled code that is loaded as it lies there.
        "NUMBA_", "DG_JIT_", "AITER_", "TILELANG_", "CUPY_",
    )  # fmt: skip

    def health_path(self, resource: ModelDeployment) -> str:
        return "/health"  # refused until the model is ready; 503 once the engine behind the server has died

    def run_as(self, resource: ModelDeployment) -> RunAs:
        """Runs as the user that the CUDA image has for it; the others have none."""
        return LISTENER if resource.spec.resources.vendor == "nvidia" else RunAs()

    def empty_folders(self, resource: ModelDeployment) -> list[EmptyFolder]:
        return [EmptyFolder("shm", "/dev/shm", memory=self.own(resource).shared_memory)]

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        spec, own = resource.spec, self.own(resource)
        return [
            model_path,
            "--served-model-name", resource.served_model,
            "--host", f"$({names.LISTEN_VARIABLE})",
            "--port", str(names.ENGINE_PORT),
            "--max-model-len", str(spec.context.tokens),
            "--max-num-seqs", str(spec.context.parallel),
            "--dtype", own.dtype,
            *_memory(resource, own),
            *_split(resource),
            *_TASK[spec.task],
            *_chat(own),
            *(["--enable-sleep-mode"] if spec.sleeps else []),
            "--shutdown-timeout", str(spec.rollout.drain_seconds),
            "--disable-access-log-for-endpoints", "/health,/metrics",
            *own.extra_args,
        ]  # fmt: skip

    def companion_args(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        """Loads the adapters that cannot join later, and makes room for those that can: as many as a resource may have."""
        if not resource.spec.adapters:
            return []
        own, joining = self.own(resource), self.joining(resource)
        kept = MOST_ADAPTERS if joining else len(paths.adapters)
        modules = [f"{name}={path}" for name, path in paths.adapters.items()]
        return [
            "--enable-lora",
            "--max-loras", str(own.adapters_at_once),
            "--max-cpu-loras", str(max(own.adapters_at_once, kept)),
            "--max-lora-rank", str(own.adapter_rank),
            *(["--lora-modules", *modules] if modules else []),
        ]  # fmt: skip

    def probes(self, resource: ModelDeployment) -> Probes:
        """A server that sleeps is well, and not ready: it leaves DNS, so that a request wakes it and waits at a router."""
        usual = super().probes(resource)
        if not resource.spec.sleeps:
            return usual
        awake = {
            "exec": {"command": ["python3", "-c", _AWAKE]},
            "periodSeconds": 2,
            "failureThreshold": 1,
            "timeoutSeconds": 5,
        }
        return replace(usual, readiness=awake)

    def env(self, resource: ModelDeployment) -> list[Object]:
        spec = resource.spec
        values = {
            "USER": "genset",
            "LOGNAME": "genset",
            **_OFFLINE,
            **_WRITABLE,
            "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.rollout.startup_seconds),
        }
        if self.joining(resource):
            values["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        if spec.sleeps:
            values["VLLM_SERVER_DEV_MODE"] = "1"
        if spec.resources.accelerator is None:
            # It would bind a thread to each core of the node, which the container's limit then throttles.
            values["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            values["OMP_NUM_THREADS"] = str(max(1, whole(spec.resources.cpu)))
        own_address = [
            {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}
        ]
        group = own_address if spec.nodes > 1 else []
        return [*super().env(resource), *group, *({"name": name, "value": value} for name, value in values.items())]

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        yield from super().problems(resource, images)
        own, memory = self.own(resource), resource.spec.resources.memory or DEFAULT_MEMORY
        yield from _ARGUMENTS.problems(self.field("extraArgs"), own.extra_args)
        if resource.spec.resources.accelerator is None and own.kv_cache_memory is not None:
            field = self.field("kvCacheMemory")
            if parse_quantity(own.kv_cache_memory) >= parse_quantity(memory):
                yield FieldFault(
                    field,
                    f"{field} ({own.kv_cache_memory}) counts against spec.resources.memory ({memory}) and would fill it: "
                    "lower it, or give more memory",
                )


def _memory(resource: ModelDeployment, own: Vllm) -> list[str]:
    """Says how much memory contexts get. By itself a server without a GPU would take a share of the whole node's."""
    if own.kv_cache_memory is not None:
        return ["--kv-cache-memory-bytes", str(whole(own.kv_cache_memory))]
    if resource.spec.resources.accelerator is None:
        return [
            "--kv-cache-memory-bytes",
            str(whole(resource.spec.resources.memory or DEFAULT_MEMORY) // KV_CACHE_SHARE),
        ]
    percent = own.gpu_memory_percent or GPU_MEMORY_PERCENT
    return ["--gpu-memory-utilization", f"{percent / 100:.2f}"]


def _split(resource: ModelDeployment) -> list[str]:
    accelerator, chosen = resource.spec.resources.accelerator, resource.spec.parallelism
    if accelerator is None:
        return []
    tensor, pipeline = (chosen.tensor, chosen.pipeline) if chosen is not None else (accelerator.count, 1)
    split = ["--tensor-parallel-size", str(tensor), "--pipeline-parallel-size", str(pipeline)]
    return [*split, *_group(resource.spec.nodes)] if resource.spec.nodes > 1 else split


def _group(nodes: int) -> list[str]:
    """Says that the processes of several pods are one server, joined without Ray (vllm docs/serving/parallelism_scaling.md)."""
    return [
        "--distributed-executor-backend", "mp",
        "--nnodes", str(nodes),
        *LEADER_RANK,
        "--master-addr", "$(LWS_LEADER_ADDRESS)",
    ]  # fmt: skip


def _chat(own: Vllm) -> list[str]:
    flags: list[str] = []
    if own.tool_call_parser is not None:
        flags += ["--enable-auto-tool-choice", "--tool-call-parser", own.tool_call_parser]
    if own.reasoning_parser is not None:
        flags += ["--reasoning-parser", own.reasoning_parser]
    return [*flags, "--chat-template", own.chat_template] if own.chat_template is not None else flags
