"""ModelDeployments that are accepted and refused."""

from __future__ import annotations

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.bounds import BOUNDS_OF_MODELS
from tests.crds.cases.case import HTTP, MDEP, SECRET, Case, base_urls, cached, external, house
from tests.crds.cases.engines import ENGINES

_ONE_SOURCE = "source needs exactly one of huggingFace, http, s3, oci, pvc, hostPath"
_NO_SOURCE = "an engine that genset runs needs source"
_EXTERNAL = "engine external needs external.url, and neither source nor cache: its weights are not ours"
_CACHE_IS_FOR_DOWNLOADS = (
    "cache is for downloads; a pvc or hostPath source, and an image that is mounted, is read where it lies: remove "
    "cache"
)
_CACHE_FIXED = "cache.storageClassName and cache.accessMode cannot change once set"
_MODEL_NAME = (
    "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as their "
    "name (spec.model may hold any name)"
)
_OUR_NAMES = "metadata.name must not end with -router or -endpoints: genset's own Services are named so"

_ONE_PRICE = "price needs either perHour, or watts with perKWh and hardwarePerMonth"
_POWER_PRICE = "price.watts and price.perKWh go together: neither is a price alone"

MODEL_DEPLOYMENTS = [
    Case("a price by the hour", MDEP, house(price={"currency": "EUR", "perHour": "0.40"})),
    Case("a price by power and hardware", MDEP, house(price={
        "currency": "EUR", "watts": 350, "perKWh": "0.28", "hardwarePerMonth": "199.90",
    })),
    Case("a price of hardware alone", MDEP, house(price={"currency": "EUR", "hardwarePerMonth": "199.90"})),
    Case("a price by the hour and by power", MDEP, house(price={
        "currency": "EUR", "perHour": "1", "watts": 350, "perKWh": "0.28",
    }), _ONE_PRICE),
    Case("a price that says nothing", MDEP, house(price={"currency": "EUR"}), _ONE_PRICE),
    Case("power without its price", MDEP, house(price={"currency": "EUR", "watts": 350}), _POWER_PRICE),
    Case("a price of power without any", MDEP, house(price={"currency": "EUR", "perKWh": "0.28"}), _POWER_PRICE),
    Case("the least that serves", MDEP, house()),
    Case("everything from the hub", MDEP, {
        "model": "qwen3.5-9b", "engine": "llama.cpp",
        "source": {"huggingFace": {
            "repo": "org/Name-9B_GGUF", "revision": "main", "file": "*Q4_K_M*.gguf", "tokenSecretRef": SECRET,
            "endpoint": "https://hub.corp/hf",
        }},
        "cache": {"size": "20Gi", "storageClassName": "local-path", "accessMode": "ReadWriteMany"},
        "context": {"tokens": 8192, "parallel": 4},
        "resources": {"cpu": "8", "memory": "12Gi", "accelerator": {"vendor": "amd", "count": 2}},
        "replicas": 2,
        "llamaCpp": {"image": "registry.corp/llama:1", "cacheRAM": "512Mi", "extraArgs": ["--no-warmup"]},
        "rollout": {"drainSeconds": 120, "startupSeconds": 600},
        "podTemplate": {
            "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
            "spec": {"nodeSelector": {"pool": "models"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        },
    }),
    Case("a file on a volume", MDEP, {"source": {"pvc": {"claimName": "weights", "path": "a/b.gguf"}}}),
    Case("a file on the node", MDEP, {"source": {"hostPath": {"path": "/var/lib/genset/models/a.gguf"}}}),
    Case("quantities as numbers", MDEP, house(resources={"cpu": 2, "memory": 4294967296})),
    Case("a null is absent", MDEP, house(cache=None, model=None)),
    Case("at rest", MDEP, house(replicas=0)),
    Case("by demand", MDEP, house(autoscaling={"min": 0, "max": 2, "idleSeconds": 60})),
    Case("by demand, as it comes", MDEP, house(autoscaling={})),
    Case("an external server", MDEP, external(model="lm-studio/gemma")),
    Case("an external server with key and CA", MDEP, external(external={
        "url": "https://site-b.corp/genset", "apiKeySecretRef": SECRET, "caSecretRef": SECRET,
    })),
    # Names
    Case("the longest name", MDEP, house(), name="m" * 52),
    Case("a name that is too long", MDEP, house(), _MODEL_NAME, name="m" * 53),
    Case("a name with a dot", MDEP, house(), _MODEL_NAME, name="qwen3.5-9b"),
    Case("a name that begins with a digit", MDEP, house(), _MODEL_NAME, name="9b"),
    Case("the name of a router's Service", MDEP, house(), _OUR_NAMES, name="assistant-router"),
    Case("the name of a headless Service", MDEP, house(), _OUR_NAMES, name="house-endpoints"),
    # Unknown fields and wrong values
    Case("a misspelt field", MDEP, house(replica=2), 'unknown field "spec.replica"', "Extra inputs are not permitted"),
    Case("a field of a later version", MDEP, house(pool="gpu-0"),
         'unknown field "spec.pool"', "Extra inputs are not permitted"),
    Case("a misspelt field, deep", MDEP, house(resources={"accelerator": {"vendors": "amd"}}),
         'unknown field "spec.resources.accelerator.vendors"', "Extra inputs are not permitted"),
    Case("an unknown engine", MDEP, house(engine="llamacpp"),
         'spec.engine: Unsupported value: "llamacpp": supported values: "llama.cpp", "vllm", "ollama"',
         "Input should be 'llama.cpp', 'vllm', 'ollama'"),
    Case("an unknown vendor", MDEP, house(resources={"accelerator": {"vendor": "apple"}}),
         'supported values: "nvidia", "amd", "intel"', "Input should be 'nvidia', 'amd' or 'intel'"),
    Case("replicas as text", MDEP, house(replicas="2"),
         "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer",
         "Input should be a valid integer"),
    Case("one after the other", MDEP, house(rollout={"strategy": "Replace"})),
    Case("new before old, on GPUs that are spare", MDEP, house(
        rollout={"strategy": "Surge"}, resources={"accelerator": {"vendor": "nvidia"}})),
    Case("new before old, both on a volume for one", MDEP, house(
        rollout={"strategy": "Surge"}, cache={"size": "20Gi", "accessMode": "ReadWriteOncePod"}),
        "rollout.strategy Surge needs a cache that two pods can mount"),
    Case("a roll-out of another kind", MDEP, house(rollout={"strategy": "Recreate"}),
         'Unsupported value: "Recreate"', "Input should be"),
    Case("by demand, with a fixed number", MDEP, house(replicas=1, autoscaling={"max": 2}),
         "replicas and autoscaling exclude each other"),
    Case("by demand, with one number", MDEP, house(autoscaling={"min": 1}), "autoscaling.min must be below"),
    Case("by demand, and never silent for long enough", MDEP, house(autoscaling={"idleSeconds": 1}),
         "spec.autoscaling.idleSeconds in body should be greater than or equal to 5", "greater than or equal to 5"),
    Case("by the load", MDEP, house(autoscaling={"max": 8, "targetInFlight": 8, "stabilizationSeconds": 0})),
    Case("by a load of nothing", MDEP, house(autoscaling={"targetInFlight": 0}),
         "spec.autoscaling.targetInFlight in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("steady, with nothing that changes", MDEP, house(autoscaling={"stabilizationSeconds": 60}),
         "autoscaling.stabilizationSeconds is about copies that follow the load"),
    Case("by the clock", MDEP, house(autoscaling={"max": 4, "schedules": [
        {"cron": "0 7 * * MON-FRI", "timeZone": "Europe/Berlin", "min": 2},
        {"cron": "*/30 19-23 1,15 */2 5#2", "timeZone": "America/Argentina/Buenos_Aires", "max": 0},
    ]})),
    Case("by the clock, the most that there may be", MDEP, house(autoscaling={"max": 4, "schedules": [
        {"cron": f"{minute} 7 * * *", "timeZone": "Europe/Berlin", "min": 1, "max": 3} for minute in range(32)
    ]})),
    Case("by the clock, to no end", MDEP, house(autoscaling={"schedules": [{"cron": "0 7 * * *"}]}),
         "autoscaling.schedules: a schedule changes min, max or both"),
    Case("by the clock, above its own most", MDEP, house(autoscaling={"schedules": [{"cron": "0 7 * * *", "min": 2}]}),
         "autoscaling.schedules: the min of a schedule must not be above its max"),
    Case("by the clock, below the fewest of all", MDEP,
         house(autoscaling={"min": 1, "max": 2, "schedules": [{"cron": "0 7 * * *", "max": 0}]}),
         "autoscaling.schedules: the min of a schedule must not be above its max"),
    Case("by the clock, as a word", MDEP, house(autoscaling={"schedules": [{"cron": "@daily", "min": 1}]}),
         "spec.autoscaling.schedules[0].cron in body should be at least 9 chars long", "at least 9 characters"),
    Case("by the clock, with seconds", MDEP, house(autoscaling={"schedules": [{"cron": "0 0 7 * * *", "min": 1}]}),
         "spec.autoscaling.schedules[0].cron in body should match", "should match pattern"),
    Case("in turns at a device", MDEP, house(autoscaling={"pool": {"name": "gpu-0", "minAwakeSeconds": 300}})),
    Case("in turns, and never at rest", MDEP, house(autoscaling={"min": 1, "max": 2, "pool": {"name": "gpu-0"}}),
         "autoscaling.pool: deployments of a pool take turns"),
    Case("in turns, and at some times never at rest", MDEP, house(autoscaling={
        "max": 2, "pool": {"name": "gpu-0"}, "schedules": [{"cron": "0 7 * * *", "min": 1}]}),
         "autoscaling.pool: deployments of a pool take turns"),
    Case("by a clock that is a path", MDEP,
         house(autoscaling={"schedules": [{"cron": "0 7 * * *", "timeZone": "../etc/passwd", "min": 1}]}),
         "spec.autoscaling.schedules[0].timeZone in body should match", "should match pattern"),
    Case("by demand, elsewhere", MDEP, external(autoscaling={}), "autoscaling needs an engine that genset runs"),
    Case("from replicas to demand", MDEP, house(autoscaling={}), old=house(replicas=3)),
    Case("replicas below zero", MDEP, house(replicas=-1),
         "spec.replicas in body should be greater than or equal to 0", "greater than or equal to 0"),
    Case("a quantity that is none", MDEP, house(resources={"memory": "4 GB"}),
         'spec.resources.memory: Invalid value: "4 GB"', "'4 GB' is no quantity"),
    Case("a quantity with a fraction as a number", MDEP, house(resources={"cpu": 1.5}),
         "spec.resources.cpu: Invalid value", "1.5 is a fraction: write it in quotes"),
    Case("a quantity below zero", MDEP, house(resources={"memory": -1}),
         "spec.resources.memory in body should be greater than or equal to 0", "'-1' is no quantity"),
    Case("a checksum in capitals", MDEP, {"source": {"http": {**HTTP, "sha256": "A" * 64}}},
         "spec.source.http.sha256 in body should match", "String should match pattern"),
    Case("no checksum", MDEP, {"source": {"http": {"url": "http://mirror.corp/m.gguf"}}},
         "spec.source.http.sha256: Required value", "Field required"),
    Case("a password in a URL", MDEP, {"source": {"http": {**HTTP, "url": "https://me:secret@mirror.corp/m.gguf"}}},
         "spec.source.http.url in body should match", "String should match pattern"),
    Case("a file at no port", MDEP, {"source": {"http": {**HTTP, "url": "http://mirror.corp:70000/m.gguf"}}},
         "http.url names no server: write https://HOST:PORT/FILE, where HOST is a name"),
    Case("a signed link", MDEP, {"source": {"http": {**HTTP, "url": "https://[fd00::7]:9000/w/m.gguf?X-Amz-Expires=9&b=%2F"}}}),
    Case("a mirror that is no host", MDEP, {"source": {"huggingFace": {"repo": "o/n", "endpoint": "https://hub..corp"}}},
         f"huggingFace.endpoint {NO_SERVER}"),
    Case("a repository without owner", MDEP, {"source": {"huggingFace": {"repo": "qwen"}}},
         "spec.source.huggingFace.repo in body should match", "String should match pattern"),
    Case("a revision that climbs", MDEP, {"source": {"huggingFace": {"repo": "o/n", "revision": "main/../x"}}},
         "huggingFace.revision must not contain '..'"),
    Case("a revision of a pull request", MDEP, {"source": {"huggingFace": {"repo": "o/n", "revision": "refs/pr/1"}}}),
    Case("a mirror with a query", MDEP, {"source": {"huggingFace": {"repo": "o/n", "endpoint": "https://hub.corp?a=b"}}},
         "spec.source.huggingFace.endpoint in body should match", "String should match pattern"),
    Case("a download with a fragment", MDEP, {"source": {"http": {**HTTP, "url": "https://mirror.corp/m.gguf#x"}}},
         "spec.source.http.url in body should match", "String should match pattern"),
    Case("an argument with a byte of zero", MDEP, house(llamaCpp={"extraArgs": ["--grammar", "a\0b"]}),
         "spec.llamaCpp.extraArgs[1] in body should match", "String should match pattern"),
    Case("a long template of chats", MDEP, house(llamaCpp={"extraArgs": ["--chat-template", "{{ x }}\n" * 4000]})),
    Case("a relative path on the node", MDEP, {"source": {"hostPath": {"path": "models/a.gguf"}}},
         "spec.source.hostPath.path in body should match", "String should match pattern"),
    Case("an absolute path in a volume", MDEP, {"source": {"pvc": {"claimName": "w", "path": "/a.gguf"}}},
         "spec.source.pvc.path in body should match", "String should match pattern"),
    Case("an external server by its IPv6 address", MDEP, external(external={"url": "http://[fd00::7]:1234/v1/"})),
    Case("an external server at no port", MDEP, external(external={"url": "http://10.0.0.7:65536"}),
         f"external.url {NO_SERVER}"),
    Case("an external server at no IPv6 address", MDEP, external(external={"url": "http://[fd00::7::1]:1234"}),
         f"external.url {NO_SERVER}"),
    Case("a CA without TLS", MDEP, external(external={"url": "http://10.0.0.7:1234", "caSecretRef": SECRET}),
         "external.caSecretRef needs a url with https://"),
    *base_urls("external.url", MDEP, lambda url: external(external={"url": url})),
    # Rules over several fields
    Case("two sources", MDEP, {"source": {"http": HTTP, "hostPath": {"path": "/a.gguf"}}}, _ONE_SOURCE),
    Case("an empty source", MDEP, {"source": {}}, _ONE_SOURCE),
    Case("no source", MDEP, {}, _NO_SOURCE),
    Case("a source and an external server", MDEP, house(external={"url": "http://10.0.0.7:1234"}),
         "external settings need engine external"),
    Case("engine external without a server", MDEP, {"engine": "external"}, _EXTERNAL),
    Case("engine external with a source", MDEP, external(source={"http": HTTP}), _EXTERNAL),
    Case("engine external with a cache", MDEP, external(cache={"size": "1Gi"}), _EXTERNAL),
    Case("llama.cpp settings for another engine", MDEP, external(llamaCpp={"extraArgs": []}),
         "llamaCpp settings need engine llama.cpp"),
    Case("a cache for a volume", MDEP, {"source": {"pvc": {"claimName": "w", "path": "a"}}, "cache": {"size": "1Gi"}},
         _CACHE_IS_FOR_DOWNLOADS),
    # Changes
    Case("a cache that grows", MDEP, cached(size="21Gi"), old=cached(size="20Gi")),
    Case("a cache of the same size in another unit", MDEP, cached(size="20480Mi"), old=cached(size="20Gi")),
    Case("a cache that grows, as a number", MDEP, cached(size=30 * 2**30), old=cached(size="20Gi")),
    Case("a cache that goes", MDEP, house(), old=cached()),
    Case("a cache that comes", MDEP, cached(), old=house()),
    Case("a cache that shrinks again, as after growing in vain", MDEP, cached(size="19Gi"), old=cached(size="20Gi")),
    Case("a cache of another storage class", MDEP, cached(storageClassName="b"), _CACHE_FIXED,
         old=cached(storageClassName="a")),
    Case("a cache that gets a storage class", MDEP, cached(storageClassName="b"), _CACHE_FIXED, old=cached()),
    Case("a cache of another access mode", MDEP, cached(accessMode="ReadWriteMany"), _CACHE_FIXED, old=cached()),
    *BOUNDS_OF_MODELS,
    *ENGINES,
    Case("labels for all children, and no budget", MDEP, house(
        metadataTemplate={"labels": {"team": "a"}}, disruptionBudget="None")),
    Case("fields to leave out", MDEP, house(podTemplate={"remove": [
        "spec.securityContext.runAsUser", "spec.containers[engine].resources.limits[nvidia.com/gpu]",
        "spec.containers[engine].volumeMounts[/models]",
    ]})),
    Case("a field to leave out, twice", MDEP, house(podTemplate={"remove": ["spec.a", "spec.a"]}),
         'spec.podTemplate.remove[1]: Duplicate value: "spec.a"', "remove holds 'spec.a' twice"),
    Case("a field to leave out that is no path", MDEP, house(podTemplate={"remove": ["/spec/securityContext"]}),
         "spec.podTemplate.remove[0] in body should match", "String should match pattern"),
    Case("a field to leave out by its number", MDEP, house(podTemplate={"remove": ["spec.containers[0][1]"]}),
         "spec.podTemplate.remove[0] in body should match", "String should match pattern"),
]  # fmt: skip
