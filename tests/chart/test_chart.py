"""The chart: what its values do, what its schema refuses, and that a real API server takes what it renders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset import __version__, names
from genset.cli.operator import command as operator
from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import CHART, NAMESPACE, ROOT, HelmRefused, Object, container, helm, one, options, render
from tests.support.integration import rbac

DIGEST = "sha256:" + "a" * 64

COMBINATIONS: dict[str, Object] = {
    "defaults": {},
    "one replica": {"replicas": 1},
    "a digest": {"image": {"digest": DIGEST}},
    "another image": {"image": {"repository": "registry.corp:5000/genset", "tag": "v1", "pullPolicy": "Always"}},
    "mirrored engines": {
        "engines": {"llama.cpp": {"images": {"cpu": "registry.corp/llama:1", "nvidia": "registry.corp/llama:2"}}},
    },
    "registry credentials": {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]},
    "host paths": {"allowHostPath": True},
    "pods as users like": {"podTemplate": "Full"},
    "images of the house": {"allowedImages": ["registry.corp/models/*", "ghcr.io/ggml-org/llama.cpp:*"]},
    "annotations of the house": {"allowedAnnotations": ["corp.example/*", "owner"]},
    "networks for nobody": {"forbiddenNetworks": ["192.0.2.0/28"]},
    "a mirror": {"huggingFaceEndpoint": "https://hub.corp/hf"},
    "two namespaces": {"watchNamespaces": ["models", "team-a"]},
    "no policies": {"networkPolicies": {"enabled": False}},
    "scrapers named": {"networkPolicies": {"monitoringNamespaceLabels": {"b": "2", "a": "1"}, "dnsPorts": [53, 1053]}},
    "networks of its own": {"networkPolicies": {"clusterCIDRs": ["10.244.0.0/16", "fd00::/8"]}},
    "no admission policy": {"admissionPolicy": {"enabled": False}},
    "no CRDs": {"crds": {"enabled": False}},
    "CRDs that go": {"crds": {"keep": False}},
    "no roles": {"rbac": {"create": False}},
    "no aggregation": {"rbac": {"aggregate": False}},
    "a service account of someone else": {"serviceAccount": {"create": False, "name": "mine"}},
    "an annotated service account": {"serviceAccount": {"name": "mine", "annotations": {"a": "b"}}},
    "no metrics service": {"metrics": {"service": {"enabled": False}}},
    "no budget": {"podDisruptionBudget": {"enabled": False}},
    "a proxy": {"env": [{"name": "HTTPS_PROXY", "value": "http://proxy.corp:3128"}]},
    "a ledger": {"ledger": {"enabled": True}},
    "a ledger that tells others": {
        "ledger": {"enabled": True, "otlpEndpoint": "http://c:4318", "otari": {"url": "http://o", "keySecret": {"name": "o"}}}
    },
    "a ledger on PostgreSQL, in two namespaces": {
        "ledger": {"enabled": True, "databaseSecret": {"name": "pg"}, "keySecret": "mine", "fsGroup": None},
        "watchNamespaces": ["models", "team-a"],
    },
    "placement": {
        "nodeSelector": {"a": "b"}, "tolerations": [{"key": "x", "operator": "Exists"}], "podLabels": {"l": "m"},
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "podAnnotations": {"c": "d"}, "priorityClassName": "", "resources": {"limits": {"memory": "1Gi"}},
    },
    "the preset": {"continuity": {"enabled": True, "provider": "openai", "secret": "openai"}},
    "other names": {"nameOverride": "gs", "fullnameOverride": "plant"},
    "everything quiet": {
        "logLevel": "error", "resyncSeconds": 60, "replicas": 3, "global": {"from": "a parent"},
    },
}  # fmt: skip
MONITOR = {"metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}}
RULE = {"metrics": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}}
PODS = {"metrics": {"podMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}}}


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_a_real_api_server_takes_it(plane: ControlPlane, values: Object) -> None:
    """Server-side dry run with strict validation: unknown fields, wrong types and Pod Security violations show."""
    text = yaml.safe_dump_all(render(values))
    answer = plane.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert "serverside-applied (server dry run)" in answer


@pytest.mark.parametrize(
    "values", [{}, MONITOR, PODS, RULE, *COMBINATIONS.values()], ids=["", "monitor", "pods", "rule", *COMBINATIONS]
)
def test_helm_lint(tmp_path: Path, values: Object) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--values", str(tmp_path / "values.yaml"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 1}, "additional properties 'replica' not allowed"),
        ({"image": {"registry": "x"}}, "additional properties 'registry' not allowed"),
        ({"engines": {"llamaCpp": {}}}, "invalid propertyName 'llamaCpp'\n  - at '': value must be one of 'llama.cpp'"),
        ({"engines": {"external": {}}}, "invalid propertyName 'external'"),
        ({"engines": {"llama.cpp": {"cpu": "i"}}}, "at '/engines/llama.cpp': additional properties 'cpu' not allowed"),
        (
            {"engines": {"llama.cpp": {"images": {"apple": "i"}}}},
            "invalid propertyName 'apple'\n  - at '': value must be one of 'cpu', 'nvidia', 'amd', 'intel'",
        ),
        ({"engines": {"llama.cpp": {"images": {"cpu": "a b"}}}}, "at '/engines/llama.cpp/images/cpu'"),
        ({"replicas": "two"}, "at '/replicas': got string, want integer"),
        ({"replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
        ({"allowHostPath": "yes"}, "at '/allowHostPath': got string, want boolean"),
        ({"image": {"digest": "sha256:abc"}}, "at '/image/digest'"),
        ({"image": {"repository": "registry.corp/genset:v1"}}, "at '/image/repository'"),
        ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy'"),
        ({"networkPolicies": {"clusterCIDRs": ["10.0.0.7"]}}, "at '/networkPolicies/clusterCIDRs/0'"),
        ({"networkPolicies": {"dnsCIDRs": ["10.0.0.7"]}}, "at '/networkPolicies/dnsCIDRs/0'"),
        ({"admissionPolicy": {"enable": True}}, "additional properties 'enable' not allowed"),
        ({"watchNamespaces": "models"}, "at '/watchNamespaces': got string, want array"),
        ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
        ({"huggingFaceEndpoint": "hub.corp"}, "at '/huggingFaceEndpoint'"),
        ({"logLevel": "verbose"}, "at '/logLevel'"),
        ({"imagePullSecrets": ["registry"]}, "at '/imagePullSecrets/0': got string, want object"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed when serviceAccount.create is false"),
        (
            {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
            "metrics.serviceMonitor.enabled needs metrics.service.enabled",
        ),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_wrong_values_are_refused_with_their_place(values: Object, said: str) -> None:
    with pytest.raises(HelmRefused, match=re.escape(said)):
        render(values)


def test_every_value_is_in_the_schema_and_commented() -> None:
    """values.yaml is the reference: a comment stands above, or at the head of, every value."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    previous = ""
    for line in lines:
        if re.match(r"^[a-zA-Z]+:", line) and not line.rstrip().endswith(":"):
            assert previous.lstrip().startswith("#") or previous[:1].isalpha(), f"no comment says what {line!r} does"
        previous = line


def test_definitions_are_those_of_the_crds_folder() -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        committed = yaml.safe_load(path.read_text())
        rendered = one(render(), "CustomResourceDefinition", committed["metadata"]["name"])
        assert rendered["spec"] == committed["spec"]
        assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert (
        "annotations"
        not in one(render({"crds": {"keep": False}}), "CustomResourceDefinition", "routepolicies.genset.dev")[
            "metadata"
        ]
    )
    assert not [o for o in render({"crds": {"enabled": False}}) if o["kind"] == "CustomResourceDefinition"]


def test_the_pod_is_restricted_and_spread() -> None:
    objects = render()
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    # No user: the image's own, which is not root, or the one that a namespace of OpenShift assigns.
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["enableServiceLinks"] is False
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert one(objects, "Deployment")["spec"]["replicas"] == 2
    assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not [o for o in render({"replicas": 1}) if o["kind"] == "PodDisruptionBudget"]


def test_ports_and_labels_are_those_of_the_code() -> None:
    objects = render()
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert ports == {"health": names.OPERATOR_HEALTH_PORT, "metrics": names.OPERATOR_METRICS_PORT}
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels[names.LABEL_COMPONENT] == names.COMPONENT_OPERATOR, "engines' NetworkPolicies let this label in"


@pytest.mark.parametrize(
    ("given", "lease"),
    [
        ({}, names.LEASE_NAME),
        ({"release": "plant"}, "plant-genset-operator"),
        ({"values": {"fullnameOverride": "x"}}, "x-operator"),
    ],
)
def test_the_operator_may_hold_the_lease_that_it_is_told_of(given: dict[str, Any], lease: str) -> None:
    objects = render(**given)
    assert f"--lease-name={lease}" in container(objects)["args"]
    (leader,) = (o for o in objects if o["kind"] == "Role" and o["metadata"]["name"].endswith("-leader"))
    assert leader["rules"][1]["resourceNames"] == [lease]


def test_versions_move_together() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert container(render())["image"].endswith(f":{__version__}")


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, f"ghcr.io/genset-dev/genset:{__version__}"),
        ({"image": {"tag": "v2"}}, "ghcr.io/genset-dev/genset:v2"),
        ({"image": {"digest": DIGEST}}, f"ghcr.io/genset-dev/genset:{__version__}@{DIGEST}"),
        ({"image": {"repository": "registry.corp:5000/a/b", "tag": "1"}}, "registry.corp:5000/a/b:1"),
    ],
    ids=["default", "tag", "digest", "port"],
)
def test_routers_and_pullers_run_the_operator_s_image(values: Object, image: str) -> None:
    objects = render(values)
    assert container(objects)["image"] == image
    assert options(objects)["image"] == image


def test_settings_reach_the_operator() -> None:
    """The operator's own command line reads the pod's arguments."""
    found = options(
        render(
            {
                "allowHostPath": True,
                "forbiddenNetworks": ["192.0.2.0/28", "2001:db8::/64"],
                "allowedLicences": ["apache-2.0", "mit"],
                "metrics": {"modelClassLabels": True},
                "engines": {"llama.cpp": {"images": {"cpu": "c:1", "amd": "a:1", "intel": ""}}},
                "huggingFaceEndpoint": "https://hub.corp",
                "imagePullSecrets": [{"name": "x"}, {"name": "y"}],
                "networkPolicies": {
                    "enabled": False,
                    "monitoringNamespaceLabels": {"b": "2", "a": "1"},
                    "dnsPorts": [5],
                    "dnsCIDRs": ["169.254.20.10/32"],
                },
                "watchNamespaces": ["models", "team-a"],
                "resyncSeconds": 77,
                "upgradeIdleSeconds": 88,
                "logLevel": "debug",
                "logFormat": "json",
                "image": {"pullPolicy": "Never"},
            }
        )
    )
    assert found["allow_host_path"] is True
    assert found["allowed_licences"] == ("apache-2.0", "mit")
    assert found["model_class_labels"] is True
    assert found["forbidden_networks"] == ("192.0.2.0/28", "2001:db8::/64")
    assert found["engine_images"] == {"llama.cpp": {"cpu": "c:1", "amd": "a:1"}}
    assert found["hugging_face_endpoint"] == "https://hub.corp"
    assert found["image_pull_secrets"] == ("x", "y")
    assert found["image_pull_policy"] == "Never"
    assert found["network_policies"] is False
    assert found["monitoring_namespace_labels"] == {"a": "1", "b": "2"}
    assert found["dns_ports"] == (5,) and found["dns_networks"] == ("169.254.20.10/32",)
    assert found["namespaces"] == ("models", "team-a")
    assert found["operator_namespace"] == NAMESPACE
    assert found["resync_seconds"] == 77
    assert found["upgrade_idle_seconds"] == 88
    assert (found["log_level"], found["log_format"]) == ("debug", "json")


def test_defaults_are_the_operator_s_own() -> None:
    found = options(render())
    ours = operator.make_context("operator", [f"--image={found['image']}"]).params
    assert found["operator_namespace"] == NAMESPACE
    assert {**found, "identity": ""} == {**ours, "operator_namespace": NAMESPACE, "identity": ""}


def test_more_environment() -> None:
    found = container(render({"env": [{"name": "NO_PROXY", "value": "corp"}]}))["env"]
    assert [item["name"] for item in found] == ["HOME", "POD_NAME", "POD_UID", "NO_PROXY"]


def roles(objects: list[Object]) -> list[Object]:
    return [
        o for o in objects if o["kind"] in ("Role", "ClusterRole") and "aggregate" not in str(o["metadata"]["labels"])
    ]


def test_no_wildcards_and_no_writes_to_the_users_resources() -> None:
    for role in roles(render()) + roles(render({"watchNamespaces": ["models"]})):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert (
                "escalate" not in rule["verbs"] and "bind" not in rule["verbs"] and "impersonate" not in rule["verbs"]
            )
            if {"modeldeployments", "routepolicies"} & set(rule["resources"]):
                assert set(rule["verbs"]) <= {"get", "list", "watch"}


def granted(rules: list[Object]) -> set[tuple[str, str, str]]:
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def test_rights_are_those_that_the_operator_is_tested_with() -> None:
    """The integration tests run the operator with support/integration/rbac.py: a right too few fails there with 403."""
    objects = render()
    assert granted(one(objects, "ClusterRole", "genset-operator")["rules"]) == granted(rbac.CLUSTER_RULES)
    assert granted(one(objects, "Role", "genset-operator-leader")["rules"]) == granted(rbac.LEASE_RULES)
    namespaced = render({"watchNamespaces": ["models"]})
    assert granted(one(namespaced, "Role", "genset-operator")["rules"]) == granted(rbac.RULES)


def test_namespaced_mode_has_no_right_outside_its_namespaces() -> None:
    objects = render({"watchNamespaces": ["models", "team-a"], "crds": {"enabled": False}})
    assert not [o for o in objects if o["kind"].startswith("Cluster")], "a tenant must be able to install it"
    made = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if o["kind"] == "Role"}
    assert made == {
        ("models", "genset-operator"), ("team-a", "genset-operator"), (NAMESPACE, "genset-operator-leader"),
    }  # fmt: skip
    for binding in (o for o in objects if o["kind"] == "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "genset-operator", "namespace": NAMESPACE}]


def test_a_cluster_wide_operator_is_bound_and_a_namespaced_one_need_not_be() -> None:
    bound = [o for o in render() if o["kind"].startswith("ValidatingAdmissionPolicy")]
    assert len(bound) == 2
    policy, binding = bound
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    (by, *_) = policy["spec"]["matchConditions"]
    assert by["expression"] == f"request.userInfo.username == 'system:serviceaccount:{NAMESPACE}:genset-operator'"
    other: Object = {"serviceAccount": {"create": False, "name": "mine"}}
    (by, *_) = one(render(other), "ValidatingAdmissionPolicy")["spec"]["matchConditions"]
    assert by["expression"].endswith(":mine'")
    for values in COMBINATIONS["two namespaces"], COMBINATIONS["no admission policy"], COMBINATIONS["no roles"]:
        assert not [o for o in render(values) if o["kind"].startswith("ValidatingAdmissionPolicy")]


def test_policies_let_the_operator_in_by_a_label_of_its_own() -> None:
    deployment = one(render(), "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"][names.LABEL_OPERATOR] == names.OPERATOR
    assert names.LABEL_OPERATOR not in deployment["spec"]["selector"]["matchLabels"], "selectors are immutable"


def test_networks_of_the_cluster() -> None:
    assert options(render(COMBINATIONS["networks of its own"]))["cluster_cidrs"] == ("10.244.0.0/16", "fd00::/8")


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [(PODS, {"any": True}), ({**PODS, "watchNamespaces": ["a", "b"]}, {"matchNames": ["a", "b"]})],
    ids=["everywhere", "named"],
)
def test_pod_monitors_find_what_the_operator_makes(values: Object, namespaces: Object) -> None:
    """Labels, ports and paths are those of the pods that the builders make."""
    monitors = {item["metadata"]["name"]: item for item in render(values) if item["kind"] == "PodMonitor"}
    for part, case in (("routers", "policy-minimal"), ("engines", "minimal")):
        monitor = monitors[f"genset-{part}"]
        objects = yaml.safe_load_all((ROOT / "tests" / "golden" / "desired" / f"{case}.out.yaml").read_text())
        template = next(item for item in objects if item["kind"] == "Deployment")["spec"]["template"]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert monitor["spec"]["namespaceSelector"] == namespaces
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert set(monitor["spec"]["podTargetLabels"]) <= set(template["metadata"]["labels"])
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for c in template["spec"]["containers"] for port in c["ports"]}
        assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "15s")
    assert not [item for item in render() if item["kind"] == "PodMonitor"]


def test_scrapers() -> None:
    monitor = one(render(MONITOR), "ServiceMonitor")
    service = one(render(), "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    policy = one(render(), "NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "metrics"}], "from": [{"namespaceSelector": {}}]}]
    named: Any = one(render(COMBINATIONS["scrapers named"]), "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert named == [{"namespaceSelector": {"matchLabels": {"a": "1", "b": "2"}}}]


def test_a_release_of_another_name() -> None:
    assert one(render(release="plant"), "Deployment")["metadata"]["name"] == "plant-genset-operator"
    assert one(render({"fullnameOverride": "x"}), "Deployment")["metadata"]["name"] == "x-operator"


def test_notes_tell_the_next_command(plane: ControlPlane) -> None:
    text = helm(
        "install", "genset", str(CHART), "-n", NAMESPACE, "--dry-run=client", "--kubeconfig", str(plane.kubeconfig)
    )
    notes = text.partition("NOTES:")[2]
    assert "kubectl -n genset-system rollout status deployment/genset-operator" in notes
    manifest = notes.partition("<<'YAML'\n")[2].partition("  YAML")[0]
    document = yaml.safe_load("\n".join(line[2:] for line in manifest.splitlines()))
    text = yaml.safe_dump({**document, "metadata": {**document["metadata"], "namespace": "models"}})
    assert "created" in plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


def test_dashboards_are_config_maps_that_a_sidecar_finds() -> None:
    def made(values: Object) -> list[Object]:
        return [item for item in render(values) if item["metadata"]["name"].startswith("genset-dashboard-")]

    assert made({}) == []
    wanted = {"enabled": True, "labels": {"find": "me"}, "annotations": {"grafana_folder": "genset"}}
    found = made({"metrics": {"dashboards": wanted}})
    assert [item["metadata"]["name"].rpartition("-")[2] for item in found] == ["continuity", "cost", "fleet", "routes"]
    for item in found:
        assert item["metadata"]["labels"]["find"] == "me"
        assert item["metadata"]["annotations"] == {"grafana_folder": "genset"}
        ((name, text),) = item["data"].items()
        assert f"{json.loads(text)['uid']}.json" == name, "Grafana keeps links to a dashboard whose uid stays"
