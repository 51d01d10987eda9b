"""What a podTemplate may say, field by field, and what only those may who create pods anyway."""

from __future__ import annotations

from typing import Any

import pytest

from genset import desired
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import router, workload
from genset.desired.context import RoutePolicyContext, Settings
from genset.engines import MANAGED

ALLOW_LIST = Settings(image="genset:test", engine_images={"llama.cpp": {"cpu": "registry.corp/llama:1"}})
FULL = Settings(image="genset:test", pod_template="Full")


def model(template: Any = None, **spec: Any) -> ModelDeployment:
    shape = {"podTemplate": template} if template is not None else {}
    spec = {"source": {"huggingFace": {"repo": "a/b"}}, **shape, **spec}
    return ModelDeployment.model_validate({"metadata": {"name": "house", "namespace": "models"}, "spec": spec})


def policy(**router_: Any) -> RoutePolicy:
    spec = {
        "backends": [{"name": "house", "deployment": {"name": "house"}}],
        "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}],
        "router": router_,
    }
    return RoutePolicy.model_validate({"metadata": {"name": "assistant", "namespace": "models"}, "spec": spec})


def engine(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "engine", **fields}]}}


def secret_variable(kind: str) -> dict[str, Any]:
    return engine(env=[{"name": "A", "valueFrom": {kind: {"name": "openai", "key": "apiKey"}}}])


ALLOWED: list[dict[str, Any]] = [
    {"metadata": {"labels": {"team": "a"}, "annotations": {"sidecar.istio.io/inject": "false"}}},
    {"metadata": {"labels": {"sidecar.istio.io/inject": "true", "kueue.x-k8s.io/queue-name": "models"}}},
    {"metadata": {"annotations": {
        "linkerd.io/inject": "enabled", "config.linkerd.io/skip-outbound-ports": "443", "sidecar.istio.io/proxyCPU": "1",
        "prometheus.io/scrape": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "backup.velero.io/backup-volumes-excludes": "weights", "corp.example/owner": "a", "owner": "a",
    }}},
    engine(env=[{"name": name, "value": "x"} for name in (
        "ENVIRONMENT", "PATHS", "CUDA_VISIBLE_DEVICES", "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "OMP_NUM_THREADS", "TZ",
    )]),
    {"spec": {"nodeSelector": {"pool": "gpu"}, "runtimeClassName": "nvidia", "priorityClassName": "models"}},
    {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}], "imagePullSecrets": [{"name": "registry"}]}},
    {"spec": {"affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [{"topologyKey": "zone"}]}},
    {"spec": {"affinity": None}},
    {"spec": {"initContainers": [{"name": "weights", "env": [{"name": "HTTPS_PROXY", "value": "http://p:1"}]}]}},
    engine(env=[{"name": "A", "value": ""}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]),
    engine(env=[{"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]),
    engine(resources={"limits": {"example.org/fpga": 1}, "requests": {"example.org/fpga": 1}}),
    engine(resources={"$patch": "replace", "limits": {"cpu": 1}}),
    engine(resources={"requests": {"cpu": 0, "memory": "0"}, "limits": {"cpu": "499", "memory": "16Mi"}}),
    {"remove": ["spec.securityContext.runAsUser", "spec.securityContext.fsGroup", "spec.topologySpreadConstraints"]},
    {"remove": ["spec.containers[engine].resources.limits.memory", "spec.containers[engine].env[HOME]"]},
]  # fmt: skip


@pytest.mark.parametrize("template", ALLOWED, ids=str)
def test_everybody_may(template: dict[str, Any]) -> None:
    assert list(workload.faults(model(template), ALLOW_LIST)) == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"spec": {field: value}}, f"spec.{field}")
    for field, value in {
        "hostNetwork": True, "hostPID": True, "hostIPC": True, "hostUsers": True, "hostAliases": [], "hostname": "a",
        "serviceAccountName": "admin", "serviceAccount": "admin", "automountServiceAccountToken": True,
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}], "securityContext": {"runAsUser": 0},
        "ephemeralContainers": [], "nodeName": "node-1", "schedulerName": "mine", "shareProcessNamespace": False,
        "dnsPolicy": "None", "dnsConfig": {}, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "activeDeadlineSeconds": 1, "resourceClaims": [], "readinessGates": [], "os": {}, "overhead": {}, "priority": 1,
        "enableServiceLinks": True, "setHostnameAsFQDN": True, "containers": None, "initContainers": "x", "$patch": "replace",
        "noSuchField": 1, "nodeSelectors": {},
    }.items()
] + [
    ({"spec": {"containers": [{"name": "exporter", "image": "x"}]}}, "spec.containers[exporter]"),
    ({"spec": {"containers": [{"image": "x"}]}}, "spec.containers[0]"),
    ({"spec": {"containers": ["engine"]}}, "spec.containers[0]"),
    ({"spec": {"initContainers": [{"name": "engine", "env": []}]}}, "spec.initContainers[engine]"),
    ({"spec": {"containers": [{"name": "engine", "$patch": "delete"}]}}, "spec.containers[engine].$patch"),
    *((engine(**{field: value}), f"spec.containers[engine].{field}") for field, value in {
        "image": "registry.corp/llama:1", "command": ["sh"], "args": ["--tools"], "envFrom": [{"secretRef": {"name": "a"}}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/x"}], "volumeDevices": [], "securityContext": {"privileged": True},
        "lifecycle": {"postStart": {}}, "livenessProbe": None, "ports": [{"containerPort": 1}], "workingDir": "/",
        "stdin": True, "tty": True, "imagePullPolicy": "Never", "terminationMessagePath": "/etc/x", "env": None,
        "resizePolicy": [], "restartPolicy": "Always",
    }.items()),
    *((secret_variable(kind), f"spec.containers[engine].env[A].valueFrom.{kind}")
      for kind in ("secretKeyRef", "configMapKeyRef", "fileKeyRef")),
    *((engine(env=[{"name": name, "value": "x"}]), f"spec.containers[engine].env[{name}]")
      for name in (
          "LD_X", "KUBERNETES_PORT", "LLAMA_ARG_TOOLS", "GGML_BACKEND_PATH", "NVIDIA_VISIBLE_DEVICES", "PYTHONPATH",
          "OPENSSL_CONF", "BASH_ENV", "BASH_FUNC_ollama%%", "SHELLOPTS", "PS4", "PATH", "HOME", "VK_DRIVER_FILES",
          "CUDA_INJECTION64_PATH", "HSA_TOOLS_LIB", "NCCL_NET_PLUGIN", "OMP_TOOL_LIBRARIES", "XDG_DATA_DIRS", "CC",
          "NVIDIA_MIG_CONFIG_DEVICES", "AMD_VISIBLE_DEVICES", "HOSTALIASES", "LOCALDOMAIN", "SSLKEYLOGFILE",
          "AZURE_FEDERATED_TOKEN_FILE",
          "LISTEN_ADDRESS",
      )),
    ({"spec": {"priorityClassName": "system-node-critical"}}, "spec.priorityClassName"),
    *(({"metadata": {"labels": {key: "true"}}}, f"metadata.labels[{key}]")
      for key in ("azure.workload.identity/use", "aadpodidbinding")),
    *(({"metadata": {"annotations": {key: "x"}}}, f"metadata.annotations[{key}]") for key in (
        "io.kubernetes.cri-o.Devices", "io.katacontainers.config.hypervisor.path", "cdi.k8s.io/gpus",
        "devices.nri.io/container.engine", "cpu-load-balancing.crio.io", "cni.projectcalico.org/ipAddrsNoIpam",
        "k8s.ovn.org/routing-namespaces", "sidecar.istio.io/userVolumeMount", "sidecar.istio.io/proxyImage",
        "proxy.istio.io/overrides", "proxy.istio.io/config", "inject.istio.io/templates", "config.linkerd.io/proxy-image",
        "vault.hashicorp.com/agent-inject-command-a", "dapr.io/volume-mounts", "iam.amazonaws.com/role",
        "azure.workload.identity/inject-proxy-sidecar",
        "ad.datadoghq.com/engine.checks", "pre.hook.backup.velero.io/command", "k8up.io/backupcommand",
    )),
    (engine(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "$patch": "delete"}]),
     "spec.containers[engine].env[NVIDIA_VISIBLE_DEVICES]"),
    (engine(env=[{"value": "x"}]), "spec.containers[engine].env"),
    (engine(env={"A": "b"}), "spec.containers[engine].env"),
    (engine(resources={"claims": [{"name": "a"}]}), "spec.containers[engine].resources.claims"),
    ({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/engine": "unconfined"}}},
     "metadata.annotations[container.apparmor.security.beta.kubernetes.io/engine]"),
    ({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "storage"}}},
     "metadata.annotations[k8s.v1.cni.cncf.io/networks]"),
    *(({"remove": [path]}, "remove[0]") for path in (
        "spec.securityContext", "spec.securityContext.runAsNonRoot", "spec.securityContext.seccompProfile.type",
        "spec.automountServiceAccountToken", "spec.containers[engine]", "spec.initContainers[weights]",
        "spec.containers[engine].securityContext", "spec.containers[engine].env",
        "spec.containers[engine].env[NVIDIA_VISIBLE_DEVICES]", "spec.containers[engine].args",
        "spec.containers[engine].lifecycle.preStop", "spec.volumes[tmp]", "spec.terminationGracePeriodSeconds",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("template", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_only_creators_of_pods_may(template: dict[str, Any], field: str) -> None:
    found = list(workload.faults(model(template), ALLOW_LIST))
    assert [fault.field for fault in found] == [f"spec.podTemplate.{field}"]
    assert found[0].message.startswith(f"spec.podTemplate.{field}")
    assert "take it out" in found[0].message and "podTemplate: Full" in found[0].message
    assert list(workload.faults(model(template), FULL)) == []


@pytest.mark.parametrize(
    ("amounts", "told"),
    [
        ({"limits": {"memory": "512m"}}, "limits[memory] 512m is less than a byte: did you mean 512Mi?"),
        ({"requests": {"memory": 4}}, "requests[memory] 4 is less than 16Mi: did you mean 4Gi?"),
        ({"limits": {"cpu": 500}}, "limits[cpu] 500 is a number of whole cores: did you mean 500m?"),
        ({"limits": {"cpu": "1u"}}, "limits[cpu] 1u is less than 1m"),
    ],
)
def test_a_forgotten_unit_is_told_with_what_was_meant(amounts: dict[str, Any], told: str) -> None:
    (fault,) = workload.faults(model(engine(resources=amounts)), ALLOW_LIST)
    assert told in fault.message and fault.field in fault.message
    template = {"spec": {"containers": [{"name": "router", "resources": amounts}]}}
    (fault,) = router.faults(policy(podTemplate=template), ALLOW_LIST)
    assert f"spec.router.podTemplate.spec.containers[router].resources.{told}" in fault.message


#: Variables of genset's own that may have another value: none says what is run, or where it listens.
HARMLESS = {"HOME", "USER", "LOGNAME", "OMP_NUM_THREADS", "VLLM_ENGINE_READY_TIMEOUT_S", "VLLM_CPU_OMP_THREADS_BIND"}


@pytest.mark.parametrize("name", MANAGED)
def test_what_genset_sets_for_an_engine_stays(name: str) -> None:
    more = {"engine": name, **({"llamafile": {"image": "genset:test"}} if name == "llamafile" else {})}
    own = MANAGED[name].env(model(**more))
    for variable in {"LISTEN_ADDRESS", *(one["name"] for one in own)} - HARMLESS:
        set_, removed = engine(env=[{"name": variable, "value": "x"}]), f"spec.containers[engine].env[{variable}]"
        for template in (set_, {"remove": [removed]}):
            (fault,) = workload.faults(model(template, **more), ALLOW_LIST)
            assert removed in fault.message


def test_every_field_is_told_at_once() -> None:
    template = {
        "spec": {"hostPID": True, "volumes": [], "containers": [{"name": "engine", "tty": True, "stdin": True}]}
    }
    assert len(list(workload.faults(model(template), ALLOW_LIST))) == 4


def test_a_path_that_names_nothing_is_refused_whatever_the_setting() -> None:
    (fault,) = workload.faults(model({"remove": ["spec.hostNetwork"]}), FULL)
    assert "names nothing" in fault.message


@pytest.mark.parametrize("settings", [ALLOW_LIST, FULL], ids=["allow-list", "full"])
def test_nobody_may_take_gensets_own_keys(settings: Settings) -> None:
    keys = {"labels": {"genset.dev/routepolicy": "other"}, "annotations": {"genset.dev/config-hash": "0"}}
    found = list(workload.faults(model({"metadata": keys}), settings))
    assert [fault.field for fault in found] == [
        "spec.podTemplate.metadata.labels[genset.dev/routepolicy]",
        "spec.podTemplate.metadata.annotations[genset.dev/config-hash]",
    ]


def test_a_servers_pods_that_are_not_ours_have_no_template_to_judge() -> None:
    elsewhere = ModelDeployment.model_validate(
        {
            "metadata": {"name": "desk"},
            "spec": {
                "engine": "external",
                "external": {"url": "http://a"},
                "podTemplate": {"spec": {"hostNetwork": True}},
            },
        }
    )
    assert list(workload.faults(elsewhere, ALLOW_LIST)) == []


IMAGES = [
    ("registry.corp/llama:1", (), True),  # the chart's
    ("genset:test", (), True),
    ("registry.corp/llama:2", (), False),
    ("registry.corp/llama:2", ("registry.corp/*",), True),
    ("registry.corp.evil.example/llama:2", ("registry.corp/*",), False),
    ("evil.example/registry.corp/llama:2", ("registry.corp/*",), False),
    ("registry.corp/llama:2", ("registry.corp/*@sha256:*",), False),
    ("registry.corp/llama@sha256:" + "a" * 64, ("registry.corp/*@sha256:*",), True),
    ("registryxcorp/llama:2", ("registry.corp/llama:2",), False),
    ("anything", ("*",), True),
    ("registry.corp/llama:2\n", ("registry.corp/llama:2",), False),
]


@pytest.mark.parametrize(("image", "patterns", "taken"), IMAGES)
def test_an_image_is_the_operators_or_of_a_pattern(image: str, patterns: tuple[str, ...], taken: bool) -> None:
    settings = Settings(image="genset:test", engine_images=ALLOW_LIST.engine_images, allowed_images=patterns)
    of_engine = list(workload.faults(model(llamaCpp={"image": image}), settings))
    of_router = list(router.faults(policy(image=image), settings))
    assert [fault.field for fault in of_engine] == ([] if taken else ["spec.llamaCpp.image"])
    assert [fault.field for fault in of_router] == ([] if taken else ["spec.router.image"])
    for fault in (*of_engine, *of_router):
        assert image in fault.message and "allowedImages" in fault.message
    assert list(router.faults(policy(image=image), FULL)) == []


def test_routers_are_judged_alike() -> None:
    template = {"spec": {"serviceAccountName": "admin", "containers": [{"name": "router", "env": [{"name": "A"}]}]}}
    (fault,) = router.faults(policy(podTemplate=template), ALLOW_LIST)
    assert fault.field == "spec.router.podTemplate.spec.serviceAccountName"


def test_a_policy_that_says_too_much_of_its_pods_changes_none() -> None:
    wide = policy(podTemplate={"spec": {"hostNetwork": True}})
    kinds = [item["kind"] for item in desired.route_policy(wide, RoutePolicyContext(ALLOW_LIST))]
    assert "Deployment" not in kinds and "ConfigMap" in kinds
