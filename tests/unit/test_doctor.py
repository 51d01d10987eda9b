"""`genset doctor`: what is said of an installation, and what to do."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from genset.api.crd import definitions
from genset.doctor import findings as doctor
from genset.doctor.findings import Diagnosis, Installation

Object = dict[str, Any]
RELEASE = "0.2.0.dev0"
OURS = {one["metadata"]["name"]: one for one in definitions().values()}
NOW = 1_796_000_000.0


def operator(*flags: str, name: str = "genset-operator", ready: int = 2, tag: str = RELEASE) -> Object:
    container = {"image": f"registry.example:5000/genset:{tag}", "args": ["operator", *flags]}
    return {
        "metadata": {"namespace": "genset-system", "name": name},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": ready},
    }


def lease(renewed: str = "2026-11-30T00:53:12.000000Z", holder: str = "pod-a") -> Object:
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
    return {"metadata": {"namespace": "genset-system", "name": "genset-operator"}, "spec": spec}


def namespace(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}}


def node(ready: str = "True", **allocatable: str) -> Object:
    return {
        "metadata": {"name": "n"},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": ready}]},
    }


def storage(name: str, default: str = "true") -> Object:
    return {"metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}}}


MODEL: Object = {
    "kind": "ModelDeployment",
    "metadata": {"namespace": "law", "name": "small"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]},
}
MANAGED = namespace("law", **{"genset.dev/managed": "true"})
WELL = Installation(
    version="v1.34.1",
    definitions=list(OURS.values()),
    operators=[operator()],
    leases=[lease()],
    ledgers=[],
    namespaces=[MANAGED],
    resources=[MODEL],
    storage_classes=[storage("local")],
    nodes=[node(cpu="3500m", memory="32Gi", **{"nvidia.com/gpu": "2"})],
)


def seen(found: Installation) -> list[doctor.Finding]:
    return list(doctor.findings(found, OURS, RELEASE, NOW))


def other_release() -> list[Object]:
    first, *rest = copy.deepcopy(list(OURS.values()))
    del first["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["engine"]
    return [first, *rest]


def test_all_is_well() -> None:
    found = seen(WELL)
    assert {one.verdict for one in found} == {Diagnosis.WELL}, doctor.table(found)
    shown = doctor.table(found)
    assert "1 of 1 are ready: 3.5 cores, 32 GiB, accelerators: 2 of nvidia" in shown
    assert "pod-a leads" in shown and "->" not in shown


@pytest.mark.parametrize(
    ("changed", "about", "verdict", "said", "remedy"),
    [
        ({"version": "v1.29.3+k3s1"}, "cluster", "ill", "v1.29.3", "needs 1.31"),
        ({"version": ""}, "cluster", "unknown", "no version", "kubectl version"),
        ({"definitions": []}, "definitions", "ill", "missing", "genset crds"),
        ({"definitions": other_release()}, "definitions", "look", "another release", "docs/upgrade.md"),
        ({"operators": []}, "operator", "ill", "none is installed", "helm install"),
        ({"operators": [operator(ready=0)]}, "operator", "ill", "0 of 2", "kubectl describe pods -n genset-system"),
        ({"operators": [operator(ready=1)]}, "operator", "look", "1 of 2", "kubectl describe pods"),
        ({"operators": [operator(tag="0.1.0")]}, "operator", "look", "release 0.1.0", "that release"),
        (
            {"operators": [operator(), operator(name="other")]},
            "operator",
            "ill",
            "overrule each other",
            "watchNamespaces",
        ),
        ({"leases": []}, "leader", "ill", "nobody holds", "kubectl logs -n genset-system deploy/genset-operator"),
        ({"leases": [lease("2026-11-30T00:50:00.000000Z")]}, "leader", "ill", "has not renewed", "kubectl logs"),
        ({"leases": [lease(holder="")]}, "leader", "ill", "nobody holds", "kubectl logs"),
        (
            {"namespaces": [namespace("law")]},
            "namespaces",
            "ill",
            "no operator may write",
            "kubectl label namespace law",
        ),
        ({"operators": [operator("--namespace=other")]}, "namespaces", "ill", "no operator watches", "add law"),
        (
            {"operators": [operator("--namespace=law")], "namespaces": [namespace("law")]},
            "namespaces",
            "ok",
            "1 hold",
            "",
        ),
        ({"storage_classes": [storage("slow", "false")]}, "storage", "look", "there are slow", "cache.storageClass"),
        ({"storage_classes": []}, "storage", "look", "no StorageClass", "provisioner"),
        ({"nodes": [node("False")]}, "nodes", "ill", "none of 1", "kubectl describe nodes"),
        (
            {"nodes": [node(cpu="1", memory="1Gi"), node("Unknown")]},
            "nodes",
            "look",
            "1 of 2",
            "kubectl describe nodes",
        ),
        ({"ledgers": [operator(name="genset-ledger", ready=0)]}, "ledger", "ill", "not ready", "component=ledger"),
        ({"ledgers": [operator(name="genset-ledger")]}, "ledger", "ok", "genset-ledger is ready", ""),
        ({"resources": [{**MODEL, "status": {}}]}, "resources", "look", "1 things need", "genset status"),
        ({"nodes": "nodes is forbidden"}, "nodes", "unknown", "forbidden", "ask"),
        ({"namespaces": "forbidden"}, "namespaces", "unknown", "not known", "see above"),
    ],
)
def test_what_is_not_well_says_what_to_do(
    changed: dict[str, Any], about: str, verdict: str, said: str, remedy: str
) -> None:
    found = seen(replace(WELL, **changed))
    told = [(one.verdict, one.seen, one.remedy) for one in found if one.about == about and said in one.seen]
    assert [one[0] for one in told] == [verdict], doctor.table(found)
    assert remedy in told[0][2] and bool(told[0][2]) == bool(remedy)
    assert [
        one.about for one in found if one.verdict == Diagnosis.ILL and one.about not in (about, "leader", "namespaces")
    ] == []


def test_programs_get_every_finding() -> None:
    told = json.loads(doctor.as_json(seen(WELL)))
    assert told["schema"] == "genset.dev/doctor/v1"
    assert {tuple(one) for one in told["findings"]} == {("about", "verdict", "seen", "remedy")}
