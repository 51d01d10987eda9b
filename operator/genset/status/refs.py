"""References and other claims that no schema can check are checked here: do the Secrets and deployments exist, is the
source allowed.

Pure: the shell has read what the resource names into the context. Each problem says which object, which field and
what to do. An unresolved reference never takes away what runs; it keeps the resource from being Accepted or
ResolvedRefs until it is put right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from genset.api import modeldeployment, routepolicy
from genset.api.base import SecretKeyRef, secret_refs
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import credentials, listener_tls, proxies
from genset.desired.access import jwt_faults, key_faults, key_set_fault, keys_fault
from genset.desired.budgets import faults as budget_faults
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.credentials import credential_fault
from genset.desired.data_zones import faults as zone_faults
from genset.desired.data_zones import unread
from genset.desired.drills import faults as drill_faults
from genset.desired.route_config import country_faults
from genset.desired.router import faults as router_faults
from genset.desired.router import size_faults
from genset.desired.schedule import faults as schedule_faults
from genset.desired.secrets import SecretUse, UserSecret
from genset.desired.servers import backend_faults, cloud_url, elsewhere, external_faults, telemetry_faults
from genset.desired.shape import faults as shape_faults
from genset.desired.sources import problems as source_problems
from genset.desired.sources import wanted
from genset.desired.weights import placed
from genset.desired.workload import faults as engine_faults
from genset.engines import engine_of, managed_engine_of
from genset.status import ways_out
from genset.status.problem import Problem
from genset.status.warnings import used_backends

Secrets = Mapping[str, UserSecret]


class _Reasons(NamedTuple):
    """These are one kind's words for what can be wrong with a referenced Secret."""

    no_secret: str
    no_key: str
    bad_key: str
    not_allowed: str

    @classmethod
    def of(cls, reason: type[modeldeployment.Reason] | type[routepolicy.Reason]) -> _Reasons:
        return cls(
            reason.SECRET_NOT_FOUND, reason.SECRET_KEY_NOT_FOUND, reason.SECRET_KEY_INVALID, reason.SECRET_NOT_ALLOWED
        )


def secret_uses(resource: ModelDeployment, settings: Settings) -> list[SecretUse]:
    """Returns every use of a Secret that a ModelDeployment names: what the shell has to read."""
    own = resource.spec.engine_settings
    uses: list[SecretUse] = []
    for part, place in placed(resource):
        block = part.source.block
        if named := block.secret_refs():
            url = wanted(part.source, settings, place).url
            uses += [_used(f"{part.field}.{part.source.block_name}.{field}", ref, url) for field, ref in named]
    if own is not None:
        engine = engine_of(resource)
        uses += [_used(engine.field(field), ref, engine.base_url(resource)) for field, ref in own.secret_refs()]
    return uses


def policy_secret_uses(
    resource: RoutePolicy, deployments: Mapping[str, ModelDeployment], settings: Settings
) -> list[SecretUse]:
    """Returns every use of a Secret that a RoutePolicy needs, those of its servers elsewhere among them."""
    uses: list[SecretUse] = []
    for backend in resource.spec.backends:
        at = f"spec.backends[{backend.name}]"
        if (cloud := backend.cloud) is not None:
            url, proxy = cloud_url(cloud), cloud.proxy
            named = [
                (f"{at}.cloud.credentialsSecretRef", cloud.credentials_secret_ref, url),
                (f"{at}.cloud.caSecretRef", cloud.ca_secret_ref, url),
            ]
            for header in cloud.headers:
                named.append((f"{at}.cloud.headers[{header.name}].secretKeyRef", header.secret_key_ref, url))
            if proxy is not None:
                named.append((f"{at}.cloud.proxy.credentialsSecretRef", proxy.credentials_secret_ref, proxy.url))
            uses += [_used(field, ref, sent_to) for field, ref, sent_to in named if ref is not None]
        found = elsewhere(backend, deployments)
        if found is not None:
            at = f"{at}.deployment ({found.metadata.name}"
            uses += [use._replace(field=f"{at}: {use.field})") for use in secret_uses(found, settings)]
    if (shared := proxies.credential(resource)) is not None:
        uses.append(_used("spec.egress.proxy.credentialsSecretRef", shared.ref, shared.sent_to))
    return [*uses, *_key_uses(resource), *(SecretUse(field, ref) for field, ref in listener_tls.refs(resource))]


def _key_uses(resource: RoutePolicy) -> Iterator[SecretUse]:
    access = resource.spec.access
    if access is None:
        return
    for consumer in access.consumers:
        if consumer.keys_secret_ref is not None:
            field = f"spec.access.consumers[{consumer.name}].keysSecretRef"
            yield SecretUse(field, consumer.keys_secret_ref, proves=True)
    if access.jwt is not None:
        yield from (SecretUse(f"spec.access.jwt.{field}", ref) for field, ref in secret_refs(access.jwt))


def _used(field: str, ref: SecretKeyRef, url: str) -> SecretUse:
    return SecretUse(field, ref, "" if _use(field) == credentials.CA else url)


def check_model_deployment(resource: ModelDeployment, context: ModelDeploymentContext) -> list[Problem]:
    """Returns everything that keeps a ModelDeployment from being Accepted."""
    images = context.settings.engine_images.get(resource.spec.engine, {})
    return [
        *_source_problems(resource, context),
        *_invalid(engine_of(resource).problems(resource, images)),
        *_cache_problems(resource),
        *_invalid(engine_faults(resource, context.settings)),
        *_invalid(external_faults(resource, context.settings)),
        *_invalid(schedule_faults(resource)),
        *_secret_problems(
            secret_uses(resource, context.settings),
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
        # Servers that the routers may not dial, or may not send a key to.
        *_invalid(fault for backend in resource.spec.backends for fault in backend_faults(backend, resource, context)),
        *_invalid(proxies.faults(resource, context)),
        *_invalid(telemetry_faults(resource, context)),
        *ways_out.problems(resource, context),
        *(
            Problem(routepolicy.Reason.NO_BACKEND_IN_ZONE, message, field)
            for field, message in zone_faults(resource, context.settings)
        ),
        *_invalid(router_faults(resource, context.settings)),
        *_invalid(size_faults(resource, context)),
        *_invalid(drill_faults(resource)),
        *_invalid(country_faults(resource)),
        *_invalid(jwt_faults(resource, context)),
        *_invalid(budget_faults(resource)),
        *_invalid(shape_faults(resource)),
        *_tls_problems(resource, context),
        *(Problem(routepolicy.Reason.SECRET_KEY_INVALID, told, field) for field, told in key_faults(resource, context)),
        *_unresolved(_with_backends(resource, lambda name: name in used), context),
    ]


def check_surroundings(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    """Returns what the place that a RoutePolicy is in keeps from having the effect that was meant: warnings, all of them."""
    return [
        *(
            Problem(routepolicy.Reason.NAMESPACE_UNREAD, message, field)
            for field, message in unread(resource, context.settings)
        ),
        *ways_out.warnings(resource, context),
        *_longer_than_the_model(resource, context),
        *_never_cold(resource, context),
    ]


def _longer_than_the_model(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields backends of which a policy says that they hold more than their deployment lets a request have."""
    for backend in resource.spec.backends:
        found = context.deployments.get(backend.deployment.name) if backend.deployment is not None else None
        if found is None or backend.context_tokens is None or managed_engine_of(found) is None:
            continue
        if backend.context_tokens > found.spec.context.tokens:
            field = f"spec.backends[{backend.name}].contextTokens"
            yield Problem(
                routepolicy.Reason.WITHOUT_EFFECT,
                f"{field} {backend.context_tokens} is more than ModelDeployment {found.metadata.name} gives a request "
                f"(spec.context.tokens {found.spec.context.tokens}), which will refuse what is longer: take it out, or raise "
                "that one",
                field,
            )


def _never_cold(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields routes that say what to do while a model wakes, of models none of which ever rests."""
    named = {b.name: b.deployment.name for b in resource.spec.backends if b.deployment is not None}
    for route in resource.spec.routes:
        houses = [named[b.name] for tier in route.tiers for b in tier.backends if b.name in named]
        if route.cold_start == routepolicy.ColdStart() or not houses:
            continue
        found = [context.deployments.get(name) for name in houses]
        if all(one is not None and one.spec.autoscaling is None for one in found):
            field = f"spec.routes[{route.name}].coldStart"
            yield Problem(
                routepolicy.Reason.WITHOUT_EFFECT,
                f"{field} has no effect, because no ModelDeployment of the route ever rests ({', '.join(sorted(set(houses)))}): "
                "take it out, or give one of them spec.autoscaling",
                field,
            )


def check_unused_backends(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    """Returns what the backends that no route names refer to and that is not there."""
    used = used_backends(resource)
    unused = _with_backends(resource, lambda name: name not in used)
    spec = unused.spec.model_copy(update={"access": None, "egress": None})  # that is no backend's
    return _unresolved(unused.model_copy(update={"spec": spec}), context)


def _unresolved(resource: RoutePolicy, context: RoutePolicyContext) -> list[Problem]:
    return [
        *_missing_deployments(resource, context),
        *_secret_problems(
            policy_secret_uses(resource, context.deployments, context.settings),
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
    for part, place in placed(resource):
        for found in source_problems(part.source, context.settings, resource.metadata.namespace, place):
            yield Problem(found.reason, found.message, found.field)


def _invalid(faults: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Yields the problem that each fault, a field and what is wrong with it, makes of the spec."""
    for field, message in faults:
        yield Problem(modeldeployment.Reason.INVALID_SPEC, message, field)


def _cache_problems(resource: ModelDeployment) -> Iterator[Problem]:
    cache = resource.spec.cache
    if (
        cache is not None
        and resource.spec.parts
        and not any(part.source.block.downloaded for part in resource.spec.parts)
    ):
        yield Problem(
            modeldeployment.Reason.INVALID_SPEC,
            "spec.cache is for downloads, and every source is read where it lies: remove cache",
            "spec.cache",
        )
    most = resource.spec.most_replicas
    if cache is not None and cache.access_mode == "ReadWriteOncePod" and most > 1:
        field = "spec.replicas" if resource.spec.autoscaling is None else "spec.autoscaling.max"
        yield Problem(
            modeldeployment.Reason.INVALID_SPEC,
            f"spec.cache.accessMode ReadWriteOncePod lets one pod use the volume, but {field} is {most}: use "
            "ReadWriteMany, or one replica",
            "spec.cache.accessMode",
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


def _secret_problems(uses: list[SecretUse], secrets: Secrets, reasons: _Reasons, namespace: str) -> Iterator[Problem]:
    """Yields what is wrong with Secrets. No message tells which keys one has, or anything of one that is not allowed."""
    for field, ref, url, proves in uses:
        secret = secrets.get(ref.name)
        if secret is None:
            yield Problem(
                reasons.no_secret,
                f"{field} names Secret {ref.name}, which is not in namespace {namespace}: create it with key {ref.key}",
                field,
            )
        elif why_not := secret.why_no_keys(namespace, ref.name) if proves else secret.why_not(url, namespace, ref.name):
            yield Problem(reasons.not_allowed, f"{field}: Secret {ref.name} {why_not}", field)
        elif not secret.data.get(ref.key, b"").strip():
            what = "has an empty" if ref.key in secret.data else "has no"
            yield Problem(
                reasons.no_key, f"{field}: Secret {ref.name} {what} key {ref.key}: fill it, or correct the key", field
            )
        elif fault := _fault(field, secret.data[ref.key], proves):
            yield Problem(reasons.bad_key, f"{field}: key {ref.key} of Secret {ref.name} {fault}", field)


def _tls_problems(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields what is wrong with a certificate that is there."""
    tls = resource.spec.router.tls
    if tls is not None and tls.secret_ref.name in context.secrets:
        for told in listener_tls.pair_faults(resource, context):
            yield Problem(routepolicy.Reason.SECRET_KEY_INVALID, told, "spec.router.tls.secretRef")


def _fault(field: str, content: bytes, proves: bool) -> str:
    if field == "spec.router.tls.secretRef":
        return ""  # judged as a pair
    if field.endswith("clientCASecretRef"):
        return credential_fault(credentials.CA, content)
    if field.endswith(".jwksSecretRef"):
        return key_set_fault(content)
    return keys_fault(content) if proves else credential_fault(_use(field), content)


def _use(field: str) -> str:
    """Returns what the content of a referenced key is for, by the field's name."""
    if "caSecretRef" in field:
        return credentials.CA
    if "proxy.credentialsSecretRef" in field:
        return credentials.PROXY
    if ".cloud.headers[" in field:
        return credentials.HEADER
    if field.endswith("oci.credentialsSecretRef"):
        return credentials.REGISTRY
    if field.endswith("s3.credentialsSecretRef"):
        return credentials.BUCKET
    return credentials.HEADERS if "headersSecretRef" in field else credentials.KEY
