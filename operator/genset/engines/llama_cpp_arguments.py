"""These are the arguments of llama-server that a ModelDeployment may add: a list of what is known to be harmless.

Whoever may create a ModelDeployment need not be allowed to create pods. An argument is taken if it is here; what is not is
refused, known or not, because a new build may bring what reads files, runs code or reaches hosts. The lists hold every spelling
of build 11669 (`llama-server --help`), and of builds before it what has gone since; a test holds them and that page together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

BUILD = 11669

WITH_VALUE = frozenset({
    "-C", "--cpu-mask", "-Cr", "--cpu-range", "--cpu-strict", "--prio", "--poll", "-Cb", "--cpu-mask-batch",
    "-Crb", "--cpu-range-batch", "--cpu-strict-batch", "--prio-batch", "--poll-batch", "-n", "--predict", "--n-predict",
    "-b", "--batch-size", "-ub", "--ubatch-size", "--keep", "-fa", "--flash-attn", "--rope-scaling", "--rope-scale",
    "--rope-freq-base", "--rope-freq-scale", "--yarn-orig-ctx", "--yarn-ext-factor", "--yarn-attn-factor",
    "--yarn-beta-slow", "--yarn-beta-fast", "-ctk", "--cache-type-k", "-ctv", "--cache-type-v", "-dt", "--defrag-thold",
    "-lm", "--load-mode", "-lzm", "--lazy-mode", "--numa", "-dev", "--device", "-ot", "--override-tensor",
    "-ncmoe", "--n-cpu-moe", "--moe-cache-mib", "-ncffn", "--n-cpu-ffn", "-ngl", "--gpu-layers", "--n-gpu-layers",
    "-sm", "--split-mode", "-ts", "--tensor-split", "-mg", "--main-gpu", "--override-kv", "--log-colors",
    "-lv", "--verbosity", "--log-verbosity", "--spec-draft-type-k", "-ctkd", "--cache-type-k-draft",
    "--spec-draft-type-v", "-ctvd", "--cache-type-v-draft", "--samplers", "-s", "--seed", "--sampler-seq", "--sampling-seq",
    "--temp", "--temperature", "--top-k", "--top-p", "--min-p", "--top-nsigma", "--top-n-sigma", "--xtc-probability",
    "--xtc-threshold", "--typical", "--typical-p", "--repeat-last-n", "--repeat-penalty", "--presence-penalty",
    "--frequency-penalty", "--dry-multiplier", "--dry-base", "--dry-allowed-length", "--dry-penalty-last-n",
    "--dry-sequence-breaker", "--adaptive-target", "--adaptive-decay", "--dynatemp-range", "--dynatemp-exp", "--mirostat",
    "--mirostat-lr", "--mirostat-ent", "-l", "--logit-bias", "--grammar", "-j", "--json-schema",
    "--spec-draft-threads", "-td", "--threads-draft", "--spec-draft-threads-batch", "-tbd", "--threads-batch-draft",
    "--spec-draft-cpu-mask", "-Cd", "--cpu-mask-draft", "--spec-draft-cpu-range", "-Crd", "--cpu-range-draft",
    "--spec-draft-cpu-strict", "--cpu-strict-draft", "--spec-draft-prio", "--prio-draft",
    "--spec-draft-poll", "--poll-draft", "--spec-draft-cpu-mask-batch", "-Cbd", "--cpu-mask-batch-draft",
    "--spec-draft-cpu-strict-batch", "--cpu-strict-batch-draft", "--spec-draft-prio-batch", "--prio-batch-draft",
    "--spec-draft-poll-batch", "--poll-batch-draft", "--spec-draft-override-tensor", "-otd", "--override-tensor-draft",
    "--spec-draft-n-cpu-moe", "--spec-draft-ncmoe", "-ncmoed", "--n-cpu-moe-draft", "--spec-draft-n-max",
    "--spec-draft-n-min", "--spec-draft-n-ubatch", "--spec-synth-len", "--spec-synth-rates",
    "--spec-draft-p-split", "--draft-p-split", "--spec-draft-p-min", "--draft-p-min", "--spec-draft-sampling",
    "--spec-draft-device", "-devd", "--device-draft",
    "--spec-draft-ngl", "-ngld", "--gpu-layers-draft", "--n-gpu-layers-draft", "--spec-type", "--spec-ngram-mod-n-min",
    "--spec-ngram-mod-n-max", "--spec-ngram-mod-n-match", "--spec-ngram-simple-size-n", "--spec-ngram-simple-size-m",
    "--spec-ngram-simple-min-hits", "--spec-ngram-map-k-size-n", "--spec-ngram-map-k-size-m", "--spec-ngram-map-k-min-hits",
    "--spec-ngram-map-k4v-size-n", "--spec-ngram-map-k4v-size-m", "--spec-ngram-map-k4v-min-hits", "--kv-unified-per-slot",
    "-ctxcp", "--ctx-checkpoints", "--swa-checkpoints", "-cms", "--checkpoint-min-step", "-r", "--reverse-prompt",
    "--pooling", "-mmdev", "--mmproj-device", "--image-min-tokens", "--image-max-tokens", "--mtmd-batch-max-tokens",
    "--video-fps", "--video-timestamp-interval", "--tags", "--embd-normalize", "--chat-template-kwargs", "-to", "--timeout",
    "--sse-ping-interval", "--cache-reuse", "--reasoning-format", "-rea", "--reasoning", "--reasoning-effort",
    "--reasoning-budget", "--reasoning-budget-message", "--chat-template", "-sps", "--slot-prompt-similarity",
    "--sleep-idle-seconds",
})  # fmt: skip
WITHOUT_VALUE = frozenset({
    "--swa-full", "--perf", "--no-perf", "-e", "--escape", "--no-escape",
    "-kvo", "--kv-offload", "-nkvo", "--no-kv-offload", "--repack", "-nr", "--no-repack", "--no-host", "-cmoe", "--cpu-moe",
    "--check-tensors", "--op-offload", "--no-op-offload", "--log-disable", "--log-jsonl", "--no-log-jsonl",
    "-v", "--verbose", "--log-verbose", "--log-prefix", "--no-log-prefix", "--log-timestamps", "--no-log-timestamps",
    "--ignore-eos", "-bs", "--backend-sampling", "--spec-draft-cpu-moe", "-cmoed", "--cpu-moe-draft",
    "--spec-draft-backend-sampling", "--no-spec-draft-backend-sampling",
    "-kvu", "--kv-unified", "-no-kvu", "--no-kv-unified", "--cache-idle-slots", "--no-cache-idle-slots",
    "--context-shift", "--no-context-shift", "-sp", "--special", "--warmup", "--no-warmup", "--spm-infill",
    "-cb", "--cont-batching", "-nocb", "--no-cont-batching", "--mmproj-auto", "--no-mmproj", "--no-mmproj-auto",
    "--mmproj-offload", "--no-mmproj-offload", "--no-cors-credentials", "--embedding", "--embeddings",
    "--rerank", "--reranking", "--cache-prompt", "--no-cache-prompt", "--jinja", "--no-jinja",
    "--reasoning-preserve", "--no-reasoning-preserve", "--skip-chat-parsing", "--no-skip-chat-parsing",
    "--prefill-assistant", "--no-prefill-assistant", "--spec-default",
    "--mlock", "--mmap", "--no-mmap", "-dio", "--direct-io", "-ndio", "--no-direct-io",  # until `--load-mode` came
})  # fmt: skip

_ADMINISTRATOR = "or have an administrator run the operator with podTemplate: Full, and set args there"
_GENSET_SETS = "genset sets it from the resource's own fields"
_BREAKS_GENSET = "routers and probes talk plain HTTP to the engine's own paths"
_RUNS_CODE = "it lets a request run code or reach other hosts"
_READS_FILES = "it reads or writes files of the pod"
_WEIGHTS = "weights come from spec.source"
_LOADS_MORE = "one pod serves one model"
_ENDS = "the server would print something and end"
_GONE = f"build {BUILD} has it no longer"

#: Every other spelling of that build, under the reason for refusing it.
REFUSED: Mapping[str, tuple[str, ...]] = {
    _WEIGHTS: (
        "-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo", "-hf", "-hfr", "--hf-repo", "-hff", "--hf-file",
        "-hft", "--hf-token", "--embd-gemma-default", "--gpt-oss-20b-default", "--gpt-oss-120b-default",
        "--fim-qwen-1.5b-default", "--fim-qwen-3b-default", "--fim-qwen-7b-default", "--fim-qwen-7b-spec",
        "--fim-qwen-14b-spec", "--fim-qwen-30b-default", "--vision-gemma-4b-default", "--vision-gemma-12b-default",
        "-mmu", "--mmproj-url", "--spec-draft-hf", "-hfd", "-hfrd", "--hf-repo-draft",
    ),
    _GENSET_SETS: (
        "-a", "--alias", "--host", "--port", "-c", "--ctx-size", "-np", "--parallel", "-t", "--threads", "-tb",
        "--threads-batch", "--threads-http", "-fit", "--fit", "-fitt", "--fit-target", "-fitc", "--fit-ctx", "-cram",
        "--cache-ram", "--metrics", "--offline", "--ui", "--webui", "--no-ui", "--no-webui", "--ui-config", "--webui-config",
        "--slots", "--no-slots", "--cors-origins", "--cors-methods", "--cors-headers",
    ),
    _BREAKS_GENSET: (
        "--api-key", "--api-key-file", "--ssl-key-file", "--ssl-cert-file", "--api-prefix", "--reuse-port",
    ),
    _RUNS_CODE: (
        "--tools", "--tools-runtime", "--agent", "-ag", "--no-agent", "-no-ag", "--mcp-servers-config",
        "--mcp-servers-json", "--ui-mcp-proxy", "--webui-mcp-proxy", "--no-ui-mcp-proxy", "--no-webui-mcp-proxy",
        "--cors-credentials", "--props", "--rpc", "--video-ffmpeg-dir",
    ),
    _READS_FILES: (
        "--media-path", "--slot-save-path", "--path", "--log-file", "--log-prompts-dir", "--ui-config-file",
        "--webui-config-file", "--lora", "--lora-scaled", "--lora-init-without-apply", "--control-vector",
        "--control-vector-scaled", "--control-vector-layer-range", "--grammar-file", "-jf", "--json-schema-file",
        "--chat-template-file", "--spec-draft-model", "-md", "--model-draft", "-lcs", "--lookup-cache-static", "-lcd",
        "--lookup-cache-dynamic", "-mm", "--mmproj",
    ),
    _LOADS_MORE: ("--models-dir", "--models-preset", "--models-max", "--models-autoload", "--no-models-autoload"),
    _ENDS: (
        "-h", "--help", "--usage", "--version", "-cl", "--cache-list", "--completion-bash", "--list-devices",
    ),
    _GONE: (
        "--draft", "--draft-n", "--draft-max", "--draft-min", "--draft-n-min", "--spec-ngram-size-n", "--spec-ngram-size-m",
        "--spec-ngram-min-hits",
    ),
}  # fmt: skip
_WHY = {flag: why for why, flags in REFUSED.items() for flag in flags}
_FLAG = re.compile(r"--?[A-Za-z]")  # a number below zero is a value


def faults(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields each argument that is not taken, with the reason and the remedy.

    They are read as llama.cpp reads them: a flag that takes a value takes the next argument, whatever that is.
    """
    wanting = ""  # the flag whose value comes next
    refused = False  # what comes next may be the value of a flag that is told already
    for argument in arguments:
        name, may_be_value = flag(argument), refused
        refused = False
        if may_be_value and not _FLAG.match(argument):
            continue
        if wanting and not _FLAG.match(argument):
            wanting = ""
        elif wanting:
            yield wanting, f"its value is missing before {argument}: add it"
            wanting = ""
        elif name in WITH_VALUE and name == _spelled(argument):
            wanting = argument
        elif name not in WITHOUT_VALUE or name != _spelled(argument):
            yield argument, _why(argument, name)
            refused = _FLAG.match(argument) is not None and "=" not in argument
    if wanting:
        yield wanting, "its value is missing: add it"


def flag(argument: str) -> str:
    """Returns the flag of an argument, without what stands behind `=`."""
    return _spelled(argument.strip().partition("=")[0])


def _spelled(argument: str) -> str:
    """Returns an argument as llama.cpp reads it: `--no_ui` is `--no-ui` (common/arg.cpp)."""
    return argument.replace("_", "-") if argument.startswith("--") else argument


def _why(argument: str, name: str) -> str:
    if name in _WHY:
        return f"{_WHY[name]}; remove it"
    if name in WITH_VALUE or name in WITHOUT_VALUE:
        return f"write flag and value as two items, without blanks around them: [{name}, VALUE]"
    if not _FLAG.match(argument.strip()):
        return "it is the value of no flag before it; remove it, or name the flag"
    return f"genset knows of no such argument of llama-server (build {BUILD}) that is harmless; remove it, {_ADMINISTRATOR}"
