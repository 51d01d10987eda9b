"""References and other claims that no schema can check are checked here: do the Secrets and deployments exist, is the
source allowed.

Pure: the shell has read what the resource names into the context. Each problem says which object, which field and
what to do. An unresolved reference never takes away what runs; it keeps the resource from being Accepted or
ResolvedRefs until it is put right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from genset.api import modeldeployment, routepolicy
from genset.api.base import SecretKeyRef
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import credentials, metadata
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext
from genset.desired.credentials import credential_fault
from genset.desired.router import faults as router_faults
from genset.desired.router_config import backend_url
from genset.desired.sources import problems as source_problems
from genset.desired.workload import faults as engine_faults
from genset.engines import engine_of, managed_engine_of
from genset.status import ways_out
from genset.status.observed import Problem
from genset.status.warnings import used_backends

Secrets = Mapping[str, Mapping[str, bytes]]


class _Reasons(NamedTuple):
    """These are one kind's words for what can be wrong with a referenced Secret."""

    no_secret: str
    no_key: str
    bad_key: str

    @classmethod
    def of(cls, reason: type[modeldeployment.Reason] | type[routepolicy.Reason]) -> _Reasons:
        return cls(reason.SECRET_NOT_FOUND, reason.SECRET_KEY_NOT_FOUND, reason.SECRET_KEY_INVALID)


def secret_refs(resource: ModelDeployment) -> list[tuple[str, SecretKeyRef]]:
    """Returns (field, reference) of every Secret that a ModelDeployment names: what the shell has to read."""
    source, own = resource.spec.source, resource.spec.engine_settings
    named: list[tuple[str, SecretKeyRef]] = []
    if source is not None:
        named += [(f"spec.source.{source.block_name}.{field}", ref) for field, ref in source.block.secret_refs()]
    if own is not None:
        named += [(engine_of(resource).field(field), ref) for field, ref in own.secret_refs()]
    return named


def policy_secret_refs(
    resource: RoutePolicy, deployments: Mapping[str, ModelDeployment]
) -> list[tuple[str, SecretKeyRef]]:
    """Returns (field, reference) of every Secret that a RoutePolicy needs, those of its servers elsewhere among them."""
    named: list[tuple[str, SecretKeyRef | None]] = []
    for backend in resource.spec.backends:
        at = f"spec.backends[{backend.name}]"
        if (cloud := backend.cloud) is not None:
            named.append((f"{at}.cloud.credentialsSecretRef", cloud.credentials_secret_ref))
            named.append((f"{at}.cloud.caSecretRef", cloud.ca_secret_ref))
            if cloud.proxy is not None:
                named.append((f"{at}.cloud.proxy.credentialsSecretRef", cloud.proxy.credentials_secret_ref))
        found = deployments.get(backend.deployment.name) if backend.deployment else None
        if found is not None and managed_engine_of(found) is None:
            at = f"{at}.deployment ({found.metadata.name}"
            named += [(f"{at}: {field})", ref) for field, ref in secret_refs(found)]
    return [(field, ref) for field, ref in named if ref is not None]


def check_model_deployment(resource: ModelDeployment, context: ModelDeploymentContext) -> list[Problem]:
    """Returns everything that keeps a ModelDeployment from being Accepted."""
    return [
        *_source_problems(resource, context),
        *_engine_problems(resource, context),
        *_cache_problems(resource),
        *_pod_problems(resource, context),
        *_missing_secrets(
            secret_refs(resource),
            context.secrets,
            _Reasons.of(modeldeployment.Reason),
            resource.metadata.namespace,
        ),
    ]


def check_route_policy(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    """Returns everything that keeps a RoutePolicy from being accepted, or its references from being resolved.

    What only backends refer to that no route names may be missing.
    """
    used = used_backends(resource)
    return [
        *_own_routers(resource, context),
        *ways_out.problems(resource, context),
        *_router_pod_problems(resource, context),
        *_unresolved(_with_backends(resource, lambda name: name in used), context),
    ]


def check_unused_backends(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    """Returns what the backends that no route names refer to and that is not there."""
    used = used_backends(resource)
    return _unresolved(_with_backends(resource, lambda name: name not in used), context)


def _unresolved(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    return [
        *_missing_deployments(resource, context),
        *_missing_secrets(
            policy_secret_refs(resource, context.deployments),
            context.secrets,
            _Reasons.of(routepolicy.Reason),
            resource.metadata.namespace,
        ),
    ]


def _with_backends(resource: RoutePolicy, wanted: Callable[[str], bool]) -> RoutePolicy:
    """Returns the policy with some of its backends."""
    backends = [backend for backend in resource.spec.backends if wanted(backend.name)]
    return resource.model_copy(update={"spec": resource.spec.model_copy(update={"backends": backends})})


def _source_problems(resource: ModelDeployment, context: ModelDeploymentContext) -> Iterator[Problem]:
    source = resource.spec.source
    if source is not None:
        for found in source_problems(source, context.settings):
            yield Problem(found.reason, found.message, found.field)


def _engine_problems(resource: ModelDeployment, context: ModelDeploymentContext) -> Iterator[Problem]:
    images = context.settings.engine_images.get(resource.spec.engine, {})
    for field, message in engine_of(resource).problems(resource, images):
        yield Problem(modeldeployment.Reason.INVALID_SPEC, message, field)


def _cache_problems(resource: ModelDeployment) -> Iterator[Problem]:
    cache = resource.spec.cache
    most = resource.spec.most_replicas
    if cache is not None and cache.access_mode == "ReadWriteOncePod" and most > 1:
        field = "spec.replicas" if resource.spec.autoscaling is None else "spec.autoscaling.max"
        yield Problem(
            modeldeployment.Reason.INVALID_SPEC,
            f"spec.cache.accessMode ReadWriteOncePod lets one pod use the volume, but {field} is {most}: use "
            "ReadWriteMany, or one replica",
            "spec.cache.accessMode",
        )


def _router_pod_problems(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    for field, message in router_faults(resource, context.settings):
        yield Problem(routepolicy.Reason.INVALID_SPEC, message, field)


def _pod_problems(resource: ModelDeployment, context: ModelDeploymentContext) -> Iterator[Problem]:
    for field, message in engine_faults(resource, context.settings):
        yield Problem(modeldeployment.Reason.INVALID_SPEC, message, field)


def _own_routers(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields a problem for backends that are the policy's own routers: whatever they are asked comes back."""
    for backend in resource.spec.backends:
        url = backend_url(backend, context)
        if url is None or not metadata.is_router(url, resource.metadata.name, resource.metadata.namespace):
            continue
        at, field = f"spec.backends[{backend.name}]", "cloud.baseURL"
        remedy = "name the server that is meant, or remove the backend"
        if backend.deployment is not None:
            field = "deployment.name"
            where = engine_of(context.deployments[backend.deployment.name]).field("url")
            remedy = f"correct {where} of ModelDeployment {backend.deployment.name}, or remove the backend"
        yield Problem(
            routepolicy.Reason.INVALID_SPEC,
            f"{at}: {url} is the Service of this policy's own routers, so every request would come back: {remedy}",
            f"{at}.{field}",
        )


def _missing_deployments(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    for backend in resource.spec.backends:
        if backend.deployment is not None and backend.deployment.name not in context.deployments:
            yield Problem(
                routepolicy.Reason.DEPLOYMENT_NOT_FOUND,
                f"backend {backend.name} names ModelDeployment {backend.deployment.name}, which is not in namespace "
                f"{resource.metadata.namespace}: correct the name, or create it",
                f"spec.backends[{backend.name}].deployment.name",
            )


def _missing_secrets(
    refs: list[tuple[str, SecretKeyRef]], secrets: Secrets, reasons: _Reasons, namespace: str
) -> Iterator[Problem]:
    for field, ref in refs:
        data = secrets.get(ref.name)
        if data is None:
            yield Problem(
                reasons.no_secret,
                f"{field} names Secret {ref.name}, which is not in namespace {namespace}: create it with key {ref.key}",
                field,
            )
        elif not data.get(ref.key, b"").strip():
            has = ", ".join(sorted(data)) or "none"
            what = "has an empty" if ref.key in data else "has no"
            yield Problem(
                reasons.no_key,
                f"{field}: Secret {ref.name} {what} key {ref.key} (it has: {has}): add it, or correct the key",
                field,
            )
        elif fault := credential_fault(_use(field), data[ref.key]):
            yield Problem(reasons.bad_key, f"{field}: key {ref.key} of Secret {ref.name} {fault}", field)


def _use(field: str) -> str:
    """Returns what the content of a referenced key is for, by the field's name."""
    if "caSecretRef" in field:
        return credentials.CA
    if "proxy.credentialsSecretRef" in field:
        return credentials.PROXY
    return credentials.HEADERS if "headersSecretRef" in field else credentials.KEY
