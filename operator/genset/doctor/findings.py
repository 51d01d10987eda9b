"""A doctor looks at an installation and says what to do: definitions, operator, namespaces, storage, nodes, ledger. Pure.

It reads objects as the API server has them. What nobody could read, because a right is missing, is neither well nor ill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from genset import names, overview
from genset.api.accelerator import RESOURCES
from genset.api.quantity import parse_quantity
from genset.columns import aligned

Object = Mapping[str, Any]
Read = Sequence[Object] | str  # objects; or why they could not be read
SCHEMA: Final = "genset.dev/doctor/v1"  # of the JSON: fields are added, never changed
LEAST_KUBERNETES: Final = (1, 31)  # as the chart's kubeVersion
_GIBI: Final = 1 << 30
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


class Diagnosis(StrEnum):
    """A diagnosis is what a look at one thing has shown."""

    WELL = "ok"
    LOOK = "look"  # it serves, and somebody should look
    ILL = "ill"
    UNKNOWN = "unknown"  # it could not be read


@dataclass(frozen=True)
class Finding:
    """A finding is what was seen of one thing. `remedy`: what to do, unless it is well."""

    about: str
    verdict: Diagnosis
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Installation:
    """An installation is what was read of a cluster. `version`: git version of its API server, e.g. v1.34.1."""

    version: str
    definitions: Read
    operators: Read  # Deployments
    leases: Read
    ledgers: Read  # Deployments
    namespaces: Read
    resources: Read  # ModelDeployments and RoutePolicies
    storage_classes: Read
    nodes: Read


def findings(found: Installation, definitions: Mapping[str, Object], release: str, now: float) -> Iterator[Finding]:
    """Yields what is seen of each thing. `definitions`: those of this release, by name; `now`: seconds since 1970."""
    yield _cluster(found.version)
    yield from _looked("definitions", found.definitions, lambda live: _definitions(live, definitions, release))
    yield from _looked("operator", found.operators, lambda live: _operators(live, release))
    yield from _looked("leader", found.leases, lambda live: _leaders(live, found.operators, now))
    yield from _looked("namespaces", found.resources, lambda live: _namespaces(live, found))
    yield from _looked("storage", found.storage_classes, _storage)
    yield from _looked("nodes", found.nodes, _nodes)
    yield from _looked("ledger", found.ledgers, lambda live: _ledger(live, found.operators))
    yield from _looked("resources", found.resources, _resources)


def _looked(about: str, read: Read, look: Any) -> Iterator[Finding]:
    if isinstance(read, str):
        yield Finding(about, Diagnosis.UNKNOWN, read, "ask somebody who may read it, or ask for the right")
        return
    for verdict, seen, remedy in look(read):
        yield Finding(about, verdict, seen, remedy)


Seen = Iterator[tuple[Diagnosis, str, str]]


def _cluster(version: str) -> Finding:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        return Finding(
            "cluster", Diagnosis.UNKNOWN, f"tells no version ({version!r})", "look at it with kubectl version"
        )
    if (int(found[1]), int(found[2])) < LEAST_KUBERNETES:
        least = ".".join(map(str, LEAST_KUBERNETES))
        return Finding("cluster", Diagnosis.ILL, f"Kubernetes {version}", f"genset needs {least}: upgrade the cluster")
    return Finding("cluster", Diagnosis.WELL, f"Kubernetes {version}")


def _definitions(live: Sequence[Object], ours: Mapping[str, Object], release: str) -> Seen:
    there = {one["metadata"]["name"]: one for one in live}
    if missing := sorted(ours.keys() - there.keys()):
        yield Diagnosis.ILL, f"{' and '.join(missing)} missing", "genset crds | kubectl apply --server-side -f -"
        return
    other = [name for name, one in ours.items() if not _same(there[name], one)]
    if other:
        yield (
            Diagnosis.LOOK,
            f"{' and '.join(sorted(other))} of another release than this command ({release})",
            "take the command of the installed release; or upgrade: definitions first, then the chart (docs/upgrade.md)",
        )
    else:
        yield Diagnosis.WELL, f"as this command has them ({release})", ""


def _same(live: Object, ours: Object) -> bool:
    def fields(one: Object) -> Any:
        return [_fields(version["schema"]["openAPIV3Schema"]) for version in one["spec"]["versions"]]

    return bool(fields(live) == fields(ours))


def _fields(schema: Object) -> Any:
    """Names and types of all fields: what API servers make of the rest differs from one to the next."""
    inner = {name: _fields(one) for name, one in (schema.get("properties") or {}).items()}
    return schema.get("type"), inner, _fields(schema["items"]) if isinstance(schema.get("items"), dict) else None


def _operators(live: Sequence[Object], release: str) -> Seen:
    if not live:
        yield (
            Diagnosis.ILL,
            "none is installed",
            "helm install genset charts/genset -n genset-system --create-namespace",
        )
        return
    for one in live:
        name = _named(one)
        wanted, ready = one["spec"].get("replicas", 1), (one.get("status") or {}).get("readyReplicas") or 0
        if ready < max(1, wanted):
            verdict = Diagnosis.LOOK if ready else Diagnosis.ILL
            at = one["metadata"]["namespace"]
            remedy = f"kubectl describe pods -n {at} -l app.kubernetes.io/component=operator"
            yield verdict, f"{name}: {ready} of {wanted} replicas are ready", remedy
        else:
            yield Diagnosis.WELL, f"{name}: {ready} of {wanted} replicas are ready", ""
        tag = _tag(one)
        if tag and tag.replace("-", "").replace("+", "") != release.replace("-", "").replace("+", ""):
            remedy = "take the command of that release where the two differ"
            yield Diagnosis.LOOK, f"{name} is release {tag}, this command {release}", remedy
    everywhere = [one for one in live if not _flags(one, "namespace")]
    if len(everywhere) > 1:
        both = " and ".join(map(_named, everywhere))
        yield (
            Diagnosis.ILL,
            f"{both} serve all namespaces, and overrule each other",
            "remove one, or give both watchNamespaces",
        )


def _leaders(leases: Sequence[Object], operators: Read, now: float) -> Seen:
    by_name = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in leases}
    for one in operators if not isinstance(operators, str) else ():
        namespace = one["metadata"]["namespace"]
        name = next(iter(_flags(one, "lease-name")), names.LEASE_NAME)
        lease = by_name.get((namespace, name))
        remedy = f"kubectl logs -n {namespace} deploy/{one['metadata']['name']}"
        spec = (lease or {}).get("spec") or {}
        if not spec.get("holderIdentity"):
            yield Diagnosis.ILL, f"nobody holds Lease {namespace}/{name}", remedy
            continue
        age = now - datetime.fromisoformat(spec["renewTime"]).timestamp()
        if age > 2 * spec.get("leaseDurationSeconds", 15):
            yield (
                Diagnosis.ILL,
                f"{spec['holderIdentity']} has not renewed Lease {namespace}/{name} for {age:.0f} s",
                remedy,
            )
        else:
            yield Diagnosis.WELL, f"{spec['holderIdentity']} leads", ""


def _namespaces(resources: Sequence[Object], found: Installation) -> Seen:
    used = sorted({one["metadata"]["namespace"] for one in resources})
    if isinstance(found.operators, str) or isinstance(found.namespaces, str):
        yield Diagnosis.UNKNOWN, f"{len(used)} hold resources; who serves them is not known", "see above"
        return
    labels = {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in found.namespaces}
    watched = {
        name for one in found.operators for name in (*_flags(one, "namespace"), *_flags(one, "continuity-namespace"))
    }
    everywhere = any(not _flags(one, "namespace") for one in found.operators)
    ill = False
    for name in used:
        labelled = labels.get(name, {}).get(names.LABEL_MANAGED_NAMESPACE) == "true"
        if name in watched or (everywhere and labelled):
            continue
        ill = True
        if everywhere:
            remedy = f"kubectl label namespace {name} {names.LABEL_MANAGED_NAMESPACE}=true"
            yield Diagnosis.ILL, f"{name} holds resources, and no operator may write there", remedy
        else:
            yield (
                Diagnosis.ILL,
                f"{name} holds resources that no operator watches",
                f"add {name} to the chart's watchNamespaces",
            )
    if not ill:
        yield Diagnosis.WELL, f"{len(used)} hold resources, and are served" if used else "none holds a resource yet", ""


def _storage(classes: Sequence[Object]) -> Seen:
    default = [one for one in classes if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"]
    if default:
        yield (
            Diagnosis.WELL,
            f"weights go to {default[0]['metadata']['name']}, unless cache.storageClass says otherwise",
            "",
        )
    elif classes:
        those = ", ".join(sorted(one["metadata"]["name"] for one in classes))
        yield (
            Diagnosis.LOOK,
            f"no StorageClass is the default; there are {those}",
            "name one in cache.storageClass of each model",
        )
    else:
        remedy = "install a provisioner, or give models folders of nodes (source.hostPath) or a shared claim (docs/weights.md)"
        yield Diagnosis.LOOK, "there is no StorageClass", remedy


def _nodes(nodes: Sequence[Object]) -> Seen:
    ready = [one for one in nodes if _is_ready(one)]
    if not ready:
        yield Diagnosis.ILL, f"none of {len(nodes)} is ready", "kubectl describe nodes"
        return
    room = [one["status"].get("allocatable") or {} for one in ready]
    memory = sum(int(parse_quantity(str(one.get("memory", "0")))) for one in room) // _GIBI
    cores = sum(parse_quantity(str(one.get("cpu", "0"))) for one in room)
    devices = {
        vendor: sum(int(parse_quantity(str(one.get(resource, "0")))) for one in room)
        for vendor, resource in RESOURCES.items()
    }
    there = ", ".join(f"{count} of {vendor}" for vendor, count in devices.items() if count) or "none"
    seen = f"{len(ready)} of {len(nodes)} are ready: {float(cores):g} cores, {memory} GiB, accelerators: {there}"
    yield (Diagnosis.WELL, seen, "") if len(ready) == len(nodes) else (Diagnosis.LOOK, seen, "kubectl describe nodes")


def _ledger(live: Sequence[Object], operators: Read) -> Seen:
    wanted = not isinstance(operators, str) and any(_flags(one, "ledger-url") for one in operators)
    if not live:
        if wanted:
            yield Diagnosis.LOOK, "the operator sends routers' records to a ledger that is not the chart's", ""
        else:
            yield Diagnosis.WELL, "not enabled: nothing keeps what requests cost (ledger.enabled)", ""
        return
    for one in live:
        if (one.get("status") or {}).get("readyReplicas"):
            yield Diagnosis.WELL, f"{_named(one)} is ready", ""
        else:
            at = one["metadata"]["namespace"]
            remedy = f"kubectl describe pods -n {at} -l app.kubernetes.io/component=ledger"
            yield Diagnosis.ILL, f"{_named(one)} is not ready: routers keep their records, for a while", remedy


def _resources(live: Sequence[Object]) -> Seen:
    seen = overview.of(live)
    needs = [one for one in seen.matters if not one.passes]
    if needs:
        yield Diagnosis.LOOK, f"{len(needs)} things need somebody", "genset status"
    else:
        yield Diagnosis.WELL, f"{len(seen.models)} models and {len(seen.policies)} policies", ""


def _named(one: Object) -> str:
    return f"{one['metadata']['namespace']}/{one['metadata']['name']}"


def _flags(operator: Object, flag: str) -> list[str]:
    arguments = [word for one in operator["spec"]["template"]["spec"]["containers"] for word in one.get("args") or ()]
    return [word.partition("=")[2] for word in arguments if word.startswith(f"--{flag}=")]


def _tag(operator: Object) -> str:
    image = next((one["image"] for one in operator["spec"]["template"]["spec"]["containers"]), "")
    name = str(image).partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


# Words


def table(found: Iterable[Finding]) -> str:
    """Returns a line for each finding, with what to do below it."""
    told = list(found)
    heads = aligned([(one.verdict, one.about) for one in told])
    lines = []
    for head, one in zip(heads, told, strict=True):
        width = max(map(len, heads)) + 2
        lines.append(f"{head.ljust(width)}{one.seen}")
        if one.remedy:
            lines.append(f"{' ' * width}-> {one.remedy}")
    return "\n".join(lines)


def as_json(found: Iterable[Finding]) -> str:
    """Returns the findings for programs."""
    return json.dumps({"schema": SCHEMA, "findings": [asdict(one) for one in found]}, indent=2, ensure_ascii=False)
