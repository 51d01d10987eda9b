"""Names of variables and annotations by which a podTemplate would say more than where pods run and how large they are.

The content of a volume of weights is its author's choice: a variable that names a library, a folder of code or a program can
name one of these files. An annotation is an order to whoever reads it: runtimes, networks, injectors, agents and backups do
with their own rights what it says. Neither list can be whole; both hold what a public project documents.
"""

from __future__ import annotations

#: Variables, by how they begin.
VARIABLES = (
    # Code that the loader, the interpreter or the shell takes in before the program's own.
    "LD_", "PYTHON", "GCONV_PATH", "OPENSSL_", "BASH", "SHELLOPTS", "NODE_OPTIONS", "PERL5", "RUBYOPT", "OMP_TOOL_LIBRARIES",
    # Libraries of accelerators: drivers, layers, profilers and plug-ins by their paths.
    "CUDA_INJECTION", "GGML_BACKEND_PATH", "VK_", "MESA_", "LIBGL_", "OCL_ICD_", "OPENCL_", "UR_ADAPTERS_", "SYCL_OVERRIDE_",
    "ZE_ENABLE_ALT_DRIVERS", "HSA_TOOLS_", "ROCP_", "ROCPROFILER_", "ROCTRACER_", "NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN",
    "NCCL_PROFILER_PLUGIN", "NCCL_ENV_PLUGIN", "NCCL_CONF_FILE", "UCX_MODULE_DIR", "OMPI_", "PMIX_", "FLASHINFER_", "XDG_",
    # Devices that the pod has not asked for, as runtimes read them.
    "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_MIG_", "NVIDIA_IMEX_", "NVIDIA_REQUIRE_", "NVIDIA_GDS",
    "NVIDIA_DISABLE_REQUIRE", "NVIDIA_MOFED", "NVIDIA_GDRCOPY", "NVIDIA_NVSWITCH", "AMD_VISIBLE_DEVICES",
    "HABANA_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES",
    # What the operator has decided.
    "KUBERNETES_", "LISTEN_ADDRESS", "GENSET_CONFIG", "GENSET_CREDENTIALS", "GENSET_LISTEN", "GENSET_ADMIN", "LLAMA_ARG_",
    "LLAMA_API_KEY", "LLAMA_LOG", "AZURE_",
    # Whom a program takes for the host that it asks; the puller has a token for the hub. Certificates can be hidden in what
    # looks like a model.
    "SSL_CERT_", "SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GENSET_SITE", "HOSTALIASES", "LOCALDOMAIN",
    "RES_OPTIONS",
)  # fmt: skip
#: Variables, by their whole names: folders and programs that code is taken from.
WHOLE_VARIABLES = frozenset({"PATH", "ENV", "PS4", "CC", "CXX", "CUDA_HOME", "CUDA_PATH"})
#: Variables that may be left out, and not set: without it the image's own counts.
SET_BY_NOBODY = frozenset({"HOME"})

#: Annotations of pods, by how they begin.
ANNOTATIONS = (
    # Sandboxes and devices, by the container runtime.
    "container.apparmor.security.beta.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/", "io.kubernetes.cri-o.", "io.kubernetes.cri.", "io.containerd.",
    "io.katacontainers.",
    # What a mesh's injector takes from a pod: images, volumes, the address of its control plane, whole containers.
    "sidecar.istio.io/userVolume", "sidecar.istio.io/proxyImage", "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/discoveryAddress", "inject.istio.io/", "proxy.istio.io/", "config.linkerd.io/proxy-image",
    "config.linkerd.io/init-image", "config.linkerd.io/debug-image", "config.linkerd.io/enable-debug-sidecar",
)  # fmt: skip
#: Annotations of pods, by their domains and all below these.
DOMAINS = (
    # Devices, mounts and hooks, by the container runtime and its plug-ins.
    "cdi.k8s.io", "nri.io", "nri.containerd.io", "crio.io", "cri-o.io",
    # Further networks, addresses of one's own choice, the way of others' packets.
    "k8s.v1.cni.cncf.io", "multus-cni.io", "projectcalico.org", "k8s.ovn.org", "ovn.kubernetes.io", "networking.gke.io",
    "vpc.amazonaws.com",
    # Injectors that take images, volumes or commands from a pod.
    "vault.hashicorp.com", "consul.hashicorp.com", "dapr.io", "kuma.io", "appmesh.k8s.aws",
    # Roles in a cloud, by the node's own, or by a token of the pod's service account.
    "iam.amazonaws.com", "azure.workload.identity",
    # Agents and backups that run what a pod says, with rights of theirs or inside its containers.
    "datadoghq.com", "hook.backup.velero.io", "hook.restore.velero.io", "k8up.io", "k8up.syn.tools",
)  # fmt: skip
#: Labels of pods by which a webhook gives them a token of their service account, or an agent the node's identity (Azure).
LABELS = ("azure.workload.identity/", "aadpodidbinding")
#: Priority classes of Kubernetes itself: whoever has one is evicted last, and has others evicted.
SYSTEM_PRIORITY = "system-"


def is_refused_annotation(key: str) -> bool:
    """Returns whether an annotation of pods is an order to somebody."""
    domain = key.partition("/")[0]
    return key.startswith(ANNOTATIONS) or any(domain == one or domain.endswith(f".{one}") for one in DOMAINS)


def is_refused_label(key: str) -> bool:
    """Returns whether a label of pods is an order to somebody; all others are their author's choice."""
    return key.startswith(LABELS)


def is_refused_variable(name: str, beginnings: tuple[str, ...]) -> bool:
    """Returns whether a variable may neither be changed nor left out. `beginnings`: `VARIABLES`, and those of an engine."""
    return name in WHOLE_VARIABLES or name.startswith(beginnings)
