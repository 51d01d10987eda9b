"""The chart's ledger: one pod that only routers reach, with a key that no value holds."""

from __future__ import annotations

import json

import pytest

from genset import names
from genset.api.routepolicy import RoutePolicy
from genset.cli.ledger import serve
from genset.desired import metadata
from testbed.resources import route_policy
from tests.chart.conftest import NAMESPACE, HelmRefused, Object, one, options, render

ON: Object = {"ledger": {"enabled": True}}
NAME = "genset-ledger"
POLICY = RoutePolicy.model_validate(
    route_policy("models", "assistant", [{"name": "house", "deployment": {"name": "house"}}], "house")
)


def test_there_is_none_if_nobody_wants_it() -> None:
    objects = render()
    assert "ledger" not in json.dumps(objects)


def test_names_ports_and_paths_are_those_of_the_code() -> None:
    objects = render(ON)
    pod = one(objects, "Deployment", NAME)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    service = one(objects, "Service", NAME)
    assert pod["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_LEDGER
    assert service["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_LEDGER
    assert service["metadata"]["annotations"][names.ANNOTATION_LEDGER_SECRET] == f"{NAME}-key"
    ports = [names.LEDGER_PORT, names.LEDGER_METRICS_PORT]
    assert [port["containerPort"] for port in container["ports"]] == ports
    assert [port["port"] for port in service["spec"]["ports"]] == ports
    assert f"--metrics=[::]:{names.LEDGER_METRICS_PORT}" in container["args"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["data"] == names.LEDGER_DIR
    (key,) = (volume["secret"] for volume in pod["spec"]["volumes"] if volume["name"] == "key")
    assert f"{mounts['key']}/{key['items'][0]['path']}" == names.LEDGER_KEY_FILE
    assert key == {"secretName": f"{NAME}-key", "items": [{"key": names.LEDGER_SECRET_KEY, "path": "key"}]}


def test_the_operator_is_told_of_it_and_may_make_its_key() -> None:
    objects = render(ON)
    operator = one(objects, "Deployment", "genset-operator")
    told = operator["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--ledger-url=http://{NAME}.{NAMESPACE}.svc:{names.LEDGER_PORT}" in told
    assert f"--ledger-secret={NAME}-key" in told
    rules = one(objects, "Role", "genset-operator-leader")["rules"]
    assert {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [f"{NAME}-key"], "verbs": ["get"]} in rules
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]} in rules
    conditions = one(objects, "ValidatingAdmissionPolicy")["spec"]["matchConditions"]
    (made,) = (one["expression"] for one in conditions if one["name"] == "no-ledger-key")
    assert f"object.metadata.name == '{NAME}-key'" in made


def test_a_key_of_the_house_is_not_made() -> None:
    objects = render({"ledger": {"enabled": True, "keySecret": "mine"}})
    rules = one(objects, "Role", "genset-operator-leader")["rules"]
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]} not in rules
    assert "no-ledger-key" not in json.dumps(one(objects, "ValidatingAdmissionPolicy"))
    assert "mine" in json.dumps(one(objects, "Deployment", NAME))


def test_only_routers_come_in_and_nobody_is_reached() -> None:
    policy = one(render(ON), "NetworkPolicy", NAME)["spec"]
    rule, scrapers = policy["ingress"]
    (peer,) = rule["from"]
    made = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_COMPONENT: names.COMPONENT_ROUTER}
    assert peer == {"namespaceSelector": {}, "podSelector": {"matchLabels": made}}
    assert made.items() <= metadata.router_labels(POLICY).items()
    assert rule["ports"] == [{"port": "ledger"}] and policy["egress"] == []
    assert scrapers["ports"] == [{"port": "metrics"}]
    bound = one(render({**ON, "watchNamespaces": ["models"]}), "NetworkPolicy", NAME)["spec"]["ingress"][0]["from"][0]
    assert bound["namespaceSelector"]["matchExpressions"][0]["values"] == ["models"]


def test_a_postgresql_needs_no_volume() -> None:
    objects = render({"ledger": {"enabled": True, "databaseSecret": {"name": "pg"}, "databasePort": 6432}})
    assert not [found for found in objects if found["kind"] == "PersistentVolumeClaim"]
    (container,) = one(objects, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    (variable,) = (found for found in container["env"] if found["name"] == "GENSET_LEDGER_DATABASE")
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "pg", "key": "url"}
    egress = one(objects, "NetworkPolicy", NAME)["spec"]["egress"]
    assert {"ports": [{"port": 6432, "protocol": "TCP"}]} in egress


def test_it_is_restricted_and_one_and_its_books_stay() -> None:
    objects = render(ON)
    deployment = one(objects, "Deployment", NAME)["spec"]
    pod = deployment["template"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    security = pod["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] is True and security["capabilities"] == {"drop": ["ALL"]}
    claim = one(objects, "PersistentVolumeClaim", NAME)
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert options(render())  # the operator's own are as before


def test_scrapers_find_its_metrics_and_reach_nothing_else() -> None:
    named: Object = {"networkPolicies": {"monitoringNamespaceLabels": {"team": "sre"}}}
    objects = render(
        {**ON, **named, "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}}
    )
    monitor, service = one(objects, "ServiceMonitor", NAME), one(objects, "Service", NAME)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == ["metrics"]
    routers, scrapers = one(objects, "NetworkPolicy", NAME)["spec"]["ingress"]
    assert [port["port"] for port in routers["ports"]] == ["ledger"]
    assert scrapers == {
        "ports": [{"port": "metrics"}], "from": [{"namespaceSelector": {"matchLabels": {"team": "sre"}}}],
    }  # fmt: skip


def test_a_collector_and_otari_are_reached_and_nobody_else() -> None:
    told: Object = {
        "otlpEndpoint": "http://collector.monitoring:4318",
        "otari": {"url": "https://otari.corp", "user": "house"},
    }
    told["otari"]["keySecret"] = {"name": "otari"}
    objects = render({"ledger": {"enabled": True, **told}})
    (container,) = one(objects, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    assert {
        "--otlp-endpoint=http://collector.monitoring:4318", "--otari=https://otari.corp",
        "--otari-key-file=/etc/genset/otari/apiKey", "--otari-user=house",
    } <= set(container["args"])  # fmt: skip
    egress = one(objects, "NetworkPolicy", NAME)["spec"]["egress"]
    assert [port["port"] for port in egress[-1]["ports"]] == [4318, 443]
    assert one(render(ON), "NetworkPolicy", NAME)["spec"]["egress"] == []
    with pytest.raises(HelmRefused, match=r"ledger.otari.url needs ledger.otari.keySecret.name"):
        render({"ledger": {"enabled": True, "otari": {"url": "https://otari.corp"}}})


def test_the_ledger_takes_these_arguments() -> None:
    told: Object = {"otlpEndpoint": "http://c:4318", "otari": {"url": "http://o", "keySecret": {"name": "s"}}}
    objects = render({"ledger": {"enabled": True, **told}})
    (container,) = one(objects, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    taken = {option for param in serve.params for option in param.opts}
    assert {argument.partition("=")[0] for argument in container["args"][2:]} <= taken
