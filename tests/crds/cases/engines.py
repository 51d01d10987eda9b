"""What engines take of a ModelDeployment: their own settings, tasks, forms of weights, and how a model is split."""

from __future__ import annotations

from typing import Any

from tests.crds.cases.case import HTTP, MDEP, Case, Spec, external, house

FOLDER = {"pvc": {"claimName": "weights", "path": "qwen3.5-9b"}}
FILE = {"pvc": {"claimName": "weights", "path": "small.gguf"}}
GPU = {"accelerator": {"vendor": "nvidia"}}

_NO_GGUF = "engine vllm reads a repository's folder with config.json and safetensors, and no GGUF"
_OLLAMA_NAME = "model is no name that Ollama takes"
_OLLAMA_TAG = "engine ollama takes the tags local, cloud and those that end in -cloud for the place of a model"
_ONE_FILE = "engine ollama takes a model in one file"
_CHAT_ONLY = "vllm.toolCallParser, vllm.reasoningParser and vllm.chatTemplate are for task Chat"
_SPLIT = "parallelism.tensor times parallelism.pipeline must be resources.accelerator.count"
_OTHERS = "accelerator.resource is another vendor's"
_PARTS = "accelerator.count must be 1 with a part of a GPU"
_CLAIM = "accelerator.claimTemplate says itself which devices are wanted"
_SHARED = "engine vllm takes most of a GPU's memory: for a time slice (nvidia.com/gpu.shared) give its share"
_BY_LABEL = "accelerator.memory follows a label that only whole NVIDIA GPUs have"


def _gpu(**accelerator: Any) -> Spec:
    return {"accelerator": accelerator}


def vllm(**spec: Any) -> Spec:
    return {"engine": "vllm", "source": FOLDER, **spec}


def ollama(**spec: Any) -> Spec:
    return {"engine": "ollama", "source": FILE, **spec}


def llamafile(**spec: Any) -> Spec:
    return {"engine": "llamafile", "source": FILE, **spec}


def parameters(**given: Any) -> Spec:
    return ollama(ollama={"parameters": given})


TUNE = {"name": "invoices", "source": {"pvc": {"claimName": "w", "path": "invoices.gguf"}}}

ENGINES = [
    # Tasks
    Case("a server of vectors", MDEP, house(task="Embeddings", llamaCpp={"pooling": "mean"})),
    Case("a server that orders documents", MDEP, house(task="Rerank")),
    Case("a server of vectors elsewhere", MDEP, external(task="Embeddings")),
    Case("an unknown task", MDEP, house(task="Classify"),
         'spec.task: Unsupported value: "Classify"', "Input should be 'Chat', 'Embeddings' or 'Rerank'"),
    Case("vectors of a chat", MDEP, house(llamaCpp={"pooling": "mean"}), "llamaCpp.pooling says how vectors are made of texts"),
    Case("vectors of an order", MDEP, house(task="Rerank", llamaCpp={"pooling": "cls"}), "llamaCpp.pooling says"),
    Case("vectors in an unknown way", MDEP, house(task="Embeddings", llamaCpp={"pooling": "max"}),
         'Unsupported value: "max"', "Input should be 'mean', 'cls' or 'last'"),
    Case("adapters of a chat", MDEP, house(adapters=[TUNE])),
    Case("adapters of vectors", MDEP, house(task="Embeddings", adapters=[TUNE]), "adapters on engine llama.cpp are for"),
    Case("adapters of an order", MDEP, house(task="Rerank", adapters=[TUNE]), "adapters on engine llama.cpp are for"),
    Case("no adapters of vectors", MDEP, house(task="Embeddings", adapters=[])),
    # vLLM
    Case("vLLM with a folder", MDEP, vllm()),
    Case("vLLM with a repository", MDEP, vllm(source={"huggingFace": {"repo": "Qwen/Qwen3.5-9B"}})),
    Case("everything of vLLM", MDEP, vllm(
        resources={"cpu": "16", "memory": "64Gi", "accelerator": {"vendor": "nvidia", "count": 4}},
        parallelism={"tensor": 2, "pipeline": 2},
        vllm={
            "image": "registry.corp/vllm:1", "dtype": "bfloat16", "gpuMemoryPercent": 90, "sharedMemory": "8Gi",
            "toolCallParser": "qwen3_coder", "reasoningParser": "qwen3",
            "chatTemplate": "/vllm-workspace/examples/tool_chat_template_phi4_mini.jinja", "extraArgs": ["--enforce-eager"],
        })),
    Case("vLLM with a file on a volume", MDEP, vllm(source=FILE), _NO_GGUF),
    Case("vLLM with a file on the node", MDEP, vllm(source={"hostPath": {"path": "/srv/m.GGUF"}}), _NO_GGUF),
    Case("vLLM with a file of a repository", MDEP, vllm(source={"huggingFace": {"repo": "a/b", "file": "*Q4_K_M.gguf"}}),
         "file names a GGUF file, and engine vllm reads a whole folder"),
    Case("vLLM with a file from a web server", MDEP, vllm(source={"http": HTTP}),
         "http gives one file, and engine vllm reads a whole folder"),
    Case("vLLM's settings for another engine", MDEP, house(vllm={}), "vllm settings need engine vllm"),
    Case("a share of no GPU", MDEP, vllm(vllm={"gpuMemoryPercent": 90}), "vllm.gpuMemoryPercent is a share of a GPU's memory"),
    Case("a share of a GPU", MDEP, vllm(vllm={"gpuMemoryPercent": 50}, resources=GPU)),
    Case("more than a GPU", MDEP, vllm(vllm={"gpuMemoryPercent": 100}, resources=GPU),
         "gpuMemoryPercent in body should be less than or equal to 99", "less than or equal to 99"),
    Case("memory for contexts in two ways", MDEP, vllm(
        vllm={"gpuMemoryPercent": 90, "kvCacheMemory": "4Gi"}, resources=GPU),
        "vllm.gpuMemoryPercent and vllm.kvCacheMemory exclude each other"),
    Case("memory for contexts, without its unit", MDEP, vllm(vllm={"kvCacheMemory": "4"}),
         "vllm.kvCacheMemory 4 is less than 16Mi: did you mean 4Gi?"),
    Case("hardly any shared memory", MDEP, vllm(vllm={"sharedMemory": "64Mi"}),
         "vllm.sharedMemory 64Mi is less than 160Mi: write 160Mi or more"),
    Case("shared memory without its unit", MDEP, vllm(vllm={"sharedMemory": 2}),
         "vllm.sharedMemory 2 is less than 160Mi: did you mean 2Gi?"),
    Case("no shared memory", MDEP, vllm(vllm={"sharedMemory": "0"}), "vllm.sharedMemory"),
    Case("hardly any memory for contexts", MDEP, vllm(vllm={"kvCacheMemory": "1Mi"}), "vllm.kvCacheMemory"),
    Case("a parser of vectors", MDEP, vllm(task="Embeddings", vllm={"toolCallParser": "hermes"}), _CHAT_ONLY),
    Case("thoughts of an order", MDEP, vllm(task="Rerank", vllm={"reasoningParser": "qwen3"}), _CHAT_ONLY),
    Case("vectors by vLLM", MDEP, vllm(task="Embeddings", vllm={"dtype": "float32"})),
    Case("a parser that is two arguments", MDEP, vllm(vllm={"toolCallParser": "hermes --api-key x"}),
         "spec.vllm.toolCallParser in body should match", "String should match pattern"),
    Case("a template that is no path", MDEP, vllm(vllm={"chatTemplate": "{{ messages }}"}),
         "spec.vllm.chatTemplate in body should match", "String should match pattern"),
    Case("a template that climbs", MDEP, vllm(vllm={"chatTemplate": "/models/../etc/x.jinja"}),
         "vllm.chatTemplate must not contain '..'"),
    # Asleep
    Case("asleep at rest", MDEP, vllm(autoscaling={"rest": "Sleep"}, resources=GPU)),
    Case("asleep without a GPU", MDEP, vllm(autoscaling={"rest": "Sleep"}), "autoscaling.rest Sleep needs an engine"),
    Case("asleep by an engine that cannot", MDEP, house(autoscaling={"rest": "Sleep"}, resources=GPU),
         "autoscaling.rest Sleep needs an engine"),
    Case("asleep, and never at rest", MDEP, vllm(autoscaling={"rest": "Sleep", "min": 1, "max": 2}, resources=GPU),
         "autoscaling.rest Sleep is instead of min copies"),
    Case("asleep on a device that others wait for", MDEP, vllm(
        autoscaling={"rest": "Sleep", "pool": {"name": "gpu-0"}}, resources=GPU),
        "autoscaling.rest Sleep is instead of min copies"),
    Case("at rest in an unknown way", MDEP, vllm(autoscaling={"rest": "Nap"}, resources=GPU),
         'Unsupported value: "Nap"', "Input should be 'Scale' or 'Sleep'"),
    # Splitting
    Case("a model in as many parts as there are GPUs", MDEP, vllm(
        parallelism={"tensor": 2}, resources={"accelerator": {"count": 2}})),
    Case("a model in more parts than GPUs", MDEP, vllm(
        parallelism={"tensor": 4}, resources={"accelerator": {"count": 2}}), _SPLIT),
    Case("a model in fewer parts than GPUs", MDEP, vllm(
        parallelism={"tensor": 2, "pipeline": 1}, resources={"accelerator": {"count": 4}}), _SPLIT),
    Case("parts of no GPU", MDEP, vllm(parallelism={"tensor": 1}), _SPLIT),
    Case("a model on two nodes", MDEP, vllm(
        parallelism={"tensor": 8, "pipeline": 2, "nodes": 2}, resources={"accelerator": {"count": 8}},
        source={"huggingFace": {"repo": "a/b"}}, cache={"size": "1Ti", "accessMode": "ReadWriteMany"})),
    Case("a model on more nodes than its parts", MDEP, vllm(
        parallelism={"tensor": 8, "nodes": 2}, resources={"accelerator": {"count": 8}}), _SPLIT),
    Case("a model on two nodes, and its weights on one", MDEP, vllm(
        parallelism={"tensor": 8, "pipeline": 2, "nodes": 2}, resources={"accelerator": {"count": 8}},
        source={"huggingFace": {"repo": "a/b"}}, cache={"size": "1Ti"}),
        "parallelism.nodes above 1 needs a cache that pods on several nodes can mount"),
    Case("adapters on two nodes", MDEP, vllm(
        parallelism={"tensor": 2, "nodes": 2}, resources={"accelerator": {"count": 1}},
        adapters=[{"name": "t", "source": {"huggingFace": {"repo": "a/t"}}}]),
        "adapters are for a replica of one pod"),
    Case("a model on two nodes under a long name", MDEP, vllm(
        parallelism={"tensor": 2, "nodes": 2}, resources={"accelerator": {"count": 1}}),
        "metadata.name must be at most 40 characters for parallelism.nodes above 1", name="a" * 41),
    Case("parts for an engine that splits by itself", MDEP, house(
        parallelism={"tensor": 2}, resources={"accelerator": {"count": 2}}), "parallelism needs an engine that is told"),
    # Accelerators
    Case("a MIG device with a runtime", MDEP, house(resources=_gpu(resource="nvidia.com/mig-3g.40gb", runtimeClass="nvidia"))),
    Case("a MIG device with media engines", MDEP, house(resources=_gpu(resource="nvidia.com/mig-1g.10gb.me"))),
    Case("a partition of AMD", MDEP, house(resources=_gpu(vendor="amd", resource="amd.com/cpx_nps4", count=4))),
    Case("a card with the xe driver", MDEP, house(resources=_gpu(vendor="intel", resource="gpu.intel.com/xe"))),
    Case("GPUs by product and memory", MDEP, house(resources=_gpu(products=["NVIDIA-H200", "A100"], memory="79Gi"))),
    Case("devices by a claim", MDEP, house(resources=_gpu(claimTemplate="two.h100", count=2))),
    Case("cores with features", MDEP, house(resources={"architecture": "arm64", "cpuFeatures": ["SVE", "AMXINT8"]})),
    Case("another vendor's resource", MDEP, house(resources=_gpu(vendor="amd", resource="nvidia.com/gpu")), _OTHERS),
    Case("another vendor's resource by default", MDEP, house(resources=_gpu(resource="amd.com/gpu")), _OTHERS),
    Case("a resource that is no accelerator's", MDEP, house(resources=_gpu(resource="nvidia.com/other")),
         "spec.resources.accelerator.resource in body should match", "String should match pattern"),
    Case("two MIG devices", MDEP, house(resources=_gpu(resource="nvidia.com/mig-1g.10gb", count=2)), _PARTS),
    Case("two time slices", MDEP, house(resources=_gpu(resource="nvidia.com/gpu.shared", count=2)), _PARTS),
    Case("memory of AMD's GPUs", MDEP, house(resources=_gpu(vendor="amd", memory="64Gi")), _BY_LABEL),
    Case("memory of a part of a GPU", MDEP, house(resources=_gpu(resource="nvidia.com/gpu.shared", memory="64Gi")), _BY_LABEL),
    Case("memory without a unit", MDEP, house(resources=_gpu(memory="80")), "did you mean 80Gi"),
    Case("a GPU without memory", MDEP, house(resources=_gpu(memory="0")), "accelerator.memory"),
    Case("a claim and a product", MDEP, house(resources=_gpu(claimTemplate="x", products=["A100"])), _CLAIM),
    Case("a claim and a resource", MDEP, house(resources=_gpu(claimTemplate="x", resource="nvidia.com/gpu")),
         _CLAIM),
    Case("a product that is no label", MDEP, house(resources=_gpu(products=["H100 80GB"])),
         "spec.resources.accelerator.products[0] in body should match", "String should match pattern"),
    Case("an architecture without images", MDEP, house(resources={"architecture": "riscv64"}),
         "Unsupported value", "Input should be"),
    Case("a feature in small letters", MDEP, house(resources={"cpuFeatures": ["avx2"]}),
         "spec.resources.cpuFeatures[0] in body should match", "String should match pattern"),
    Case("vLLM on a time slice", MDEP, vllm(resources=_gpu(resource="nvidia.com/gpu.shared")), _SHARED),
    Case("vLLM on its share of a time slice", MDEP, vllm(
        resources=_gpu(resource="nvidia.com/gpu.shared"), vllm={"gpuMemoryPercent": 20})),
    # Ollama
    Case("Ollama with a file", MDEP, ollama()),
    Case("everything of Ollama", MDEP, ollama(model="house/qwen3.5:9b-q4_K_M", task="Embeddings", ollama={
        "image": "registry.corp/ollama:1", "cacheRAM": "512Mi", "kvCacheType": "q8_0", "flashAttention": True, "maxQueue": 8,
        "parameters": {"temperature": "0.7", "top_k": "40", "num_gpu": "-1"},
    })),
    Case("Ollama's settings for another engine", MDEP, house(ollama={}), "ollama settings need engine ollama"),
    Case("an order of documents by Ollama", MDEP, ollama(task="Rerank"),
         "engine ollama has no task but Chat and Embeddings: for Rerank use"),
    Case("a name with two tags", MDEP, ollama(model="qwen:9b:q4"), _OLLAMA_NAME),
    Case("a name with two owners", MDEP, ollama(model="hub/qwen/qwen3"), _OLLAMA_NAME),
    Case("a name with a dot in its owner", MDEP, ollama(model="hf.co/qwen3"), _OLLAMA_NAME),
    Case("a name that any other engine takes", MDEP, house(model="hf.co/qwen/qwen3")),
    Case("a name with a long part", MDEP, ollama(model="q" * 81), _OLLAMA_NAME),
    Case("a name of the makers' cloud", MDEP, ollama(model="gpt-oss:120b-Cloud"), _OLLAMA_TAG),
    Case("a tag that means a place", MDEP, ollama(model="gpt-oss:local"), _OLLAMA_TAG),
    Case("a name that has a cloud in it", MDEP, ollama(model="cloud:cloudy")),
    Case("a model in parts for Ollama", MDEP, ollama(
        source={"pvc": {"claimName": "w", "path": "m-00001-of-00003.gguf"}}), _ONE_FILE),
    Case("a repository's parts for Ollama", MDEP, ollama(
        source={"huggingFace": {"repo": "a/b", "file": "*Q8_0-00001-of-00002.gguf"}}), _ONE_FILE),
    *(Case(f"parts from elsewhere for Ollama: {place}", MDEP, ollama(source=source), _ONE_FILE) for place, source in {
        "an object": {"s3": {"uri": "s3://models/m-00001-of-00002.gguf"}},
        "a prefix": {"s3": {"uri": "s3://models/m/", "file": "*-of-00002.gguf"}},
        "a registry": {"oci": {"reference": "registry.corp/m:q4", "path": "m-00001-of-00002.gguf"}},
    }.items()),
    Case("a part of a registry for Ollama", MDEP, ollama(
        source={"oci": {"reference": "registry.corp/m:q4", "path": "*Q4_K_M*.gguf"}})),
    Case("a parameter that genset sets", MDEP, parameters(num_ctx="8192"),
         "ollama.parameters: num_ctx follows from context.tokens"),
    Case("an unknown parameter", MDEP, parameters(temprature="0.7"), "ollama.parameters: num_ctx follows"),
    Case("a parameter that is no number", MDEP, parameters(temperature="hot"),
         "spec.ollama.parameters.temperature in body should match", "String should match pattern"),
    Case("a parameter that is no text", MDEP, parameters(temperature=1),
         "spec.ollama.parameters.temperature in body must be of type string", "Input should be a valid string"),
    Case("a small context that needs what is off", MDEP, ollama(ollama={"kvCacheType": "q4_0", "flashAttention": False}),
         "ollama.kvCacheType other than f16 needs flash attention"),
    Case("Ollama's kept prompts without their unit", MDEP, ollama(ollama={"cacheRAM": 8}),
         "ollama.cacheRAM 8 is less than 1Mi: did you mean 8Gi?"),
    Case("few of Ollama's kept prompts", MDEP, ollama(ollama={"cacheRAM": "1k"}), "ollama.cacheRAM"),
    # Elsewhere
    Case("a health path of a server elsewhere", MDEP, external(external={"url": "http://10.0.0.7:1", "healthPath": "/healthz"})),
    Case("a health path on another server", MDEP, external(
        external={"url": "http://10.0.0.7:1", "healthPath": "http://10.0.0.8/"}),
        "spec.external.healthPath in body should match", "String should match pattern"),
    # llamafile
    Case("everything of llamafile", MDEP, llamafile(task="Embeddings", llamafile={
        "image": "registry.corp/llamafile:1", "program": "/opt/model.llamafile", "release": "0.10", "extraArgs": ["-fa"],
    })),
    Case("llamafile's settings for another engine", MDEP, house(llamafile={}), "llamafile settings need engine llamafile"),
    Case("llamafile on Intel's GPUs", MDEP, llamafile(resources={"accelerator": {"vendor": "intel"}}),
         "engine llamafile runs on CPUs and on GPUs of nvidia and amd"),
    Case("an order of documents by llamafile", MDEP, llamafile(task="Rerank"),
         "engine llamafile has no task but Chat and Embeddings: for Rerank use"),
    Case("a program with arguments", MDEP, llamafile(llamafile={"program": "/bin/sh -c id"}),
         "spec.llamafile.program in body should match", "String should match pattern"),
    Case("a release that nobody knows", MDEP, llamafile(llamafile={"release": "0.8"}),
         'Unsupported value: "0.8"', "Input should be '0.9' or '0.10'"),
]  # fmt: skip
