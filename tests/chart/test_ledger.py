"""The chart's ledger: one pod that only routers reach, with a key that no value holds."""

from __future__ import annotations

import json

from genset import names
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from testbed.resources import route_policy
from tests.chart.conftest import NAMESPACE, Object, one, options, render

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
    assert [port["containerPort"] for port in container["ports"]] == [names.LEDGER_PORT]
    assert [port["port"] for port in service["spec"]["ports"]] == [names.LEDGER_PORT]
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
    ((rule,), (peer,)) = policy["ingress"], policy["ingress"][0]["from"]
    made = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_COMPONENT: names.COMPONENT_ROUTER}
    assert peer == {"namespaceSelector": {}, "podSelector": {"matchLabels": made}}
    assert made.items() <= metadata.router_labels(POLICY).items()
    assert rule["ports"] == [{"port": "ledger"}] and policy["egress"] == []
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
