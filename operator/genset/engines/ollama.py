"""The engine ollama is `ollama serve` with one GGUF file, on CPU cores or GPUs.

Decides what runs in its pods. Tried with 0.33.0; names are from ollama/ollama envconfig/config.go and server/routes.go. What
shapes the choices:

- it serves models of a store of its own, and `create` copies a file into it, twice the disk and minutes at each start; a
  model that is made of another one of the store is not copied: the pod makes such a one of the file's header alone, and puts
  a link to the file in its place;
- it is up before any model is loaded, and unloads what is idle: the pod loads the model, again if it ever goes, and is ready
  while it is there;
- it has no drain and no /metrics, and its image no curl: Bash asks the llama-server that is its child;
- it writes a key into its home when it starts, and knows a cloud of its makers unless told not to;
- threads default to the node's cores: they follow the CPU limit;
- its llama-server keeps up to 8 GiB of finished prompts, which gets pods killed: always told otherwise;
- a text that is to become a vector goes through the model as a whole, and batches have 512 tokens: as many as the context.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from genset import names
from genset.api.engines.base import Task
from genset.api.engines.ollama import Ollama
from genset.api.fault import FieldFault
from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.quantity import parse_quantity, whole
from genset.engines.base import ENDPOINT_REMOVAL_SECONDS, ManagedEngine, ModelPaths, Object, Probes

MIB = 2**20
STORE = "/tmp/ollama"
BASE = "genset-base"  # the model that the served one is made of, for a moment
_DEFAULT_TAG = "latest"
_LIBRARY = "library/"  # the owner of names without one; Ollama does not show it

#: Bash's own /dev/tcp asks servers, because no image of Ollama has curl. HTTP/1.0 keeps the answer in one piece.
_ASK = """\
ask() {
  local line
  exec 3<>/dev/tcp/127.0.0.1/$1 || return 1
  printf '%s %s HTTP/1.0\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: %s\\r\\n\\r\\n%s' \\
    "$2" "$3" "${#4}" "$4" >&3
  IFS= read -r line <&3 || return 1
  cat <&3
  [[ $line == *' 200 '* ]]
} 2>/dev/null
"""

#: Port and name of the model are its arguments.
READY = _ASK + '[[ $(ask "$1" GET /api/ps) == *"\\"name\\":\\"$2\\""* ]]\n'

#: Arguments: address and port, name of the model, the file, the name of its blob in the store, what makes the model, where and
#: by what it is loaded. The header of a GGUF file has less than 64 MiB; the rest of the stand-in is a hole.
START = (
    _ASK
    + """\
export OLLAMA_HOST=[$1]:$2
port=$2 name=$3 file=$4 blob=$5 create=$6 path=$7 load=$8
manifests=$OLLAMA_MODELS/manifests/registry.ollama.ai/library/BASE
config=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
mkdir -p "$OLLAMA_MODELS/blobs" "$manifests" && size=$(stat -L -c %s "$file") || exit 1
head -c 67108864 "$file" >"$OLLAMA_MODELS/blobs/sha256-$blob" && truncate -s "$size" "$OLLAMA_MODELS/blobs/sha256-$blob" || exit 1
printf '{}' >"$OLLAMA_MODELS/blobs/sha256-$config"
printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"%s",'\\
'"digest":"sha256:%s","size":2},"layers":[{"mediaType":"%s","digest":"sha256:%s","size":%s}]}' \\
  application/vnd.docker.container.image.v1+json $config application/vnd.ollama.image.model "$blob" "$size" >"$manifests/latest"
ollama serve &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server; exit 0' TERM INT
told() { echo "the model could not be $1: ${answer##*$'\\n'}" >&2; }
tell() { ask "$port" POST "$1" "$2" >"$OLLAMA_MODELS/answer" & wait $!; }
until ask "$port" GET /api/version >/dev/null; do
  kill -0 $server 2>/dev/null || exit 1
  sleep 0.2
done
if ! tell /api/create "$create"; then
  answer=$(<"$OLLAMA_MODELS/answer") && told made
  exit 1
fi
ln -sfn "$file" "$OLLAMA_MODELS/blobs/sha256-$blob" && rm -r "$manifests" || exit 1
first=1
while kill -0 $server 2>/dev/null; do
  if [[ $(ask "$port" GET /api/ps) != *"\\"name\\":\\"$name\\""* ]] && ! tell "$path" "$load"; then
    answer=$(<"$OLLAMA_MODELS/answer") && told loaded
    ((first)) && exit 1
  fi
  first=0
  sleep 5 &
  wait $!
done
wait $server
""".replace("BASE", BASE)
)

#: Arguments: seconds that the endpoint's removal takes, those that running answers get, and where processes are told of.
#: Ollama tells nobody what it works on; its llama-server does, at the port on its command line. Idle is what is so twice:
#: between two answers there is a moment of neither.
DRAIN = (
    _ASK
    + """\
busy() {
  local line words i
  for line in "$proc"/[0-9]*/cmdline; do
    mapfile -d '' -t words <"$line" || continue
    [[ ${words[0]##*/} == llama-server ]] || continue
    for i in "${!words[@]}"; do
      [[ ${words[i]} == --port ]] || continue
      [[ $(ask "${words[i + 1]}" GET /slots) == *'"is_processing":true'* ]] && return 0
    done
  done
  return 1
} 2>/dev/null
proc=$3
sleep "$1"
end=$((SECONDS + $2)) idle=0
while ((SECONDS < end && idle < 2)); do
  if busy; then idle=0; else idle=$((idle + 1)); fi
  sleep 0.5
done
"""
)


class OllamaEngine(ManagedEngine[Ollama]):
    """This engine is Ollama with a local GGUF file."""

    settings = Ollama
    # Its renderers and its llama-server take a last message of role assistant for the beginning of the answer; there is no
    # switch for it.
    continuation = "Prefill"
    images: Mapping[str, str] = {
        # One image for CPUs and NVIDIA's GPUs, one for AMD's (ollama/ollama docs/docker.mdx).
        "cpu": "docker.io/ollama/ollama:0.33.0",
        "nvidia": "docker.io/ollama/ollama:0.33.0",
        "amd": "docker.io/ollama/ollama:0.33.0-rocm",
    }
    refused_variables = ("OLLAMA_", "GIN_MODE")

    def health_path(self, resource: ModelDeployment) -> str:
        return "/api/version"  # 200 as long as the server runs; the pod's own probe says whether the model is loaded

    def command(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        path, load = _load(resource)
        return [
            "bash", "-c", START, "ollama",
            f"$({names.LISTEN_VARIABLE})",
            str(names.ENGINE_PORT),
            shown_name(resource.served_model),
            paths.model,
            hashlib.sha256(paths.model.encode()).hexdigest(),  # names the blob; Ollama does not count again
            self._create(resource),
            path,
            load,
        ]  # fmt: skip

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        return []

    def memory_args(self, resource: ModelDeployment) -> list[str]:
        """Returns what its llama-server is told in the end (llm/llama_server.go)."""
        kind, parameters = self.own(resource).kv_cache_type, self._parameters(resource)
        batch, layers = parameters.get("num_batch"), parameters.get("num_gpu")
        return [
            "-ctk", kind,
            "-ctv", kind,
            *(["-b", f"{batch:.0f}", "-ub", f"{batch:.0f}"] if batch is not None else []),
            *(["-ngl", f"{layers:.0f}"] if layers is not None else []),
        ]  # fmt: skip

    def env(self, resource: ModelDeployment) -> list[Object]:
        spec, own = resource.spec, self.own(resource)
        values = {
            "OLLAMA_MODELS": STORE,
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_CONTEXT_LENGTH": str(spec.context.tokens),
            "OLLAMA_NUM_PARALLEL": str(spec.context.parallel),
            "OLLAMA_MAX_QUEUE": str(own.max_queue),
            "OLLAMA_LOAD_TIMEOUT": f"{spec.rollout.startup_seconds}s",
            "OLLAMA_KV_CACHE_TYPE": own.kv_cache_type,
            "LLAMA_ARG_CACHE_RAM": str(-(-whole(own.cache_ram) // MIB)),  # its llama-server reads it
            "GIN_MODE": "release",
        }
        if own.flash_attention is not None or own.kv_cache_type != "f16":  # which needs it
            values["OLLAMA_FLASH_ATTENTION"] = "0" if own.flash_attention is False else "1"
        return [*super().env(resource), *({"name": name, "value": value} for name, value in values.items())]

    def probes(self, resource: ModelDeployment) -> Probes:
        """Asks for the loaded model; only whether the server lives is asked by HTTP."""
        usual = super().probes(resource)
        ready = {
            "exec": {
                "command": ["bash", "-c", READY, "ready", str(names.ENGINE_PORT), shown_name(resource.served_model)]
            }
        }
        startup, readiness = ({**probe, **ready} for probe in (usual.startup, usual.readiness))
        for probe in (startup, readiness):
            del probe["httpGet"]
        return Probes(startup=startup, readiness=readiness, liveness=usual.liveness)

    def wait_until_idle(self, seconds: int) -> Object:
        return {
            "exec": {"command": ["bash", "-c", DRAIN, "drain", str(ENDPOINT_REMOVAL_SECONDS), str(seconds), "/proc"]}
        }

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        yield from super().problems(resource, images)
        own, memory, field = (
            self.own(resource),
            resource.spec.resources.memory or DEFAULT_MEMORY,
            self.field("cacheRAM"),
        )
        if parse_quantity(own.cache_ram) >= parse_quantity(memory):
            yield FieldFault(
                field,
                f"{field} ({own.cache_ram}) counts against spec.resources.memory ({memory}) and would fill it: lower it, or "
                "give more memory",
            )

    def _parameters(self, resource: ModelDeployment) -> dict[str, float]:
        parameters: dict[str, float] = {}
        if resource.spec.task is Task.EMBEDDINGS:
            parameters["num_batch"] = resource.spec.context.tokens
        parameters |= {name: json.loads(value) for name, value in sorted(self.own(resource).parameters.items())}
        parameters["num_thread"] = max(1, whole(resource.spec.resources.cpu))
        return parameters

    def _create(self, resource: ModelDeployment) -> str:
        parameters = self._parameters(resource)
        return _json(model=resource.served_model, **{"from": BASE}, parameters=parameters, stream=False)


def _load(resource: ModelDeployment) -> tuple[str, str]:
    """Returns where and by what a server is asked to load the model for good."""
    model = resource.served_model
    if resource.spec.task is Task.EMBEDDINGS:
        return "/api/embed", _json(model=model, input="ping", keep_alive=-1)
    return "/api/generate", _json(model=model, keep_alive=-1)


def shown_name(model: str) -> str:
    """Returns a model's name as Ollama shows it: with its tag, without the owner that names have by default."""
    name = model if ":" in model else f"{model}:{_DEFAULT_TAG}"
    return name[len(_LIBRARY) :] if name.lower().startswith(_LIBRARY) else name


def _json(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))
