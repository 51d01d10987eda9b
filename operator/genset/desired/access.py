"""Who may ask, as routers are told it: consumers with what they may have, and the digests of their keys.

A key that is taken out of its Secret, or goes with it, is of no use from then on: nothing is kept of what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from genset import names
from genset.addresses import server_of
from genset.api.access import ANONYMOUS, Access, AccessMode, Allowance, ConsumerSpec
from genset.api.base import SecretKeyRef
from genset.api.fault import FieldFault
from genset.api.jwt import JwtIssuer
from genset.api.routepolicy import RoutePolicy
from genset.contracts.access_config import AccessConfig, AllowanceConfig, ConsumerConfig, JwtConfig, PeersConfig
from genset.contracts.access_keys import ACCESS_KEYS_FILE, digest_of, to_json
from genset.contracts.backend_config import DnsEndpoints
from genset.desired import metadata
from genset.desired.context import RoutePolicyContext
from genset.desired.proxies import faults as proxy_faults
from genset.desired.proxies import policy_proxy, way
from genset.desired.secrets import UserSecret
from genset.desired.selected import selected
from genset.desired.servers import server_faults
from genset.desired.site import is_service
from genset.off_limits import is_loopback
from genset.router.access.key_set import BadKeySet, KeySet

KEY_SET_FILE = "access.jwks"  # in the credentials folder, as the next ones
PEERS_TOKEN_FILE = "access.peers"
KEY_SET_CA_FILE = "access.ca"
KEY_CHARACTERS = 20  # of the shortest key that is taken: what is shorter can be guessed
LONGEST_KEY = 512  # characters
MOST_KEYS = 64  # of one consumer
_SHOWN_FAULTS = 3


class KeyLine(NamedTuple):
    """A line of a Secret holds one key, or `fault` says why it is none, with the remedy."""

    number: int
    key: bytes
    fault: str = ""


def key_lines(content: bytes) -> Iterator[KeyLine]:
    """Yields the lines of a Secret's value that hold something; # begins a comment."""
    for number, line in enumerate(content.splitlines(), 1):
        key = line.strip()
        if key and not key.startswith(b"#"):
            yield KeyLine(number, key, _fault(key))


def _fault(key: bytes) -> str:
    if any(byte <= 32 or byte >= 127 for byte in key):
        return "holds blanks or bytes that are not ASCII: put one bare key on each line"
    if len(key) < KEY_CHARACTERS:
        return f"holds a key of fewer than {KEY_CHARACTERS} characters, which can be guessed: make one with genset key create"
    return f"holds a key of more than {LONGEST_KEY} characters: make a shorter one" if len(key) > LONGEST_KEY else ""


def keys_fault(content: bytes) -> str:
    """Says what is wrong with a value that should hold keys, to be read behind `key K of Secret S`; "" if nothing is.

    The lines that are right are in force all the same.
    """
    lines = list(key_lines(content))
    if not lines:
        return "holds no key: put one on each line"
    wrong = [line for line in lines if line.fault]
    told = [f"line {line.number} {line.fault}" for line in wrong[:_SHOWN_FAULTS]]
    if len(lines) - len(wrong) > MOST_KEYS:
        told.append(f"it holds more than {MOST_KEYS} keys: take out those that nobody uses")
    return "; ".join(told)


def good_keys(content: bytes) -> list[bytes]:
    """Returns the keys that are in force."""
    return [line.key for line in key_lines(content) if not line.fault][:MOST_KEYS]


class _Holder(NamedTuple):
    """A holder is a consumer with its keys; `field` is what a condition calls it."""

    field: str
    name: str
    keys: list[bytes]


def access_config(resource: RoutePolicy, context: RoutePolicyContext) -> AccessConfig | None:
    """Builds what routers are told of who may ask. No key is in it."""
    access = resource.spec.access
    if access is None:
        return None
    inline = [_consumer(one, access.defaults) for one in access.consumers]
    brought = [
        ConsumerConfig(name=one.name, team=one.team or None, allowance=_allowance(None, access.defaults))
        for one in selected(access, context)
        if not one.fault
    ]
    return AccessConfig(
        required=access.mode == AccessMode.REQUIRED,
        routers=max(1, resource.spec.router.replicas),
        keys_file=ACCESS_KEYS_FILE if access.consumers or access.consumer_selector else None,
        consumers=(*inline, *brought),
        defaults=_allowance(access.defaults, None),
        peers=peers_config(resource) if shares_limits(resource) and not context.from_files else None,
        jwt=_jwt(access.jwt, resource, context)
        if access.jwt is not None and not any(jwt_faults(resource, context))
        else None,
    )


def _jwt(jwt: JwtIssuer, resource: RoutePolicy, context: RoutePolicyContext) -> JwtConfig:
    proxy_url, proxy_file = way(jwt.jwks_url, resource, context) if jwt.jwks_url is not None else (None, None)
    return JwtConfig(
        issuer=jwt.issuer,
        audiences=tuple(jwt.audiences),
        jwks_url=jwt.jwks_url,
        jwks_file=KEY_SET_FILE if jwt.jwks_secret_ref is not None else None,
        ca_file=KEY_SET_CA_FILE if jwt.ca_secret_ref is not None else None,
        proxy_url=proxy_url,
        proxy_credentials_file=proxy_file,
        consumer_claim=jwt.consumer_claim,
        team_claim=jwt.team_claim,
        allowed_teams=tuple(jwt.allowed_teams) or None,
    )


def shares_limits(resource: RoutePolicy) -> bool:
    """Returns whether there are several routers, and limits that they share; what was spent one router tells the next, too."""
    if resource.spec.budgets:
        return True
    access = resource.spec.access
    if access is None or resource.spec.router.replicas < 2:
        return False
    every: list[Allowance] = [*access.consumers, *([access.defaults] if access.defaults is not None else [])]
    return any(
        limit is not None
        for one in every
        for limit in (one.requests_per_minute, one.tokens_per_minute, one.max_in_flight)
    )


def peers_config(resource: RoutePolicy) -> PeersConfig:
    host = f"{metadata.router_peers(resource.metadata.name)}.{resource.metadata.namespace}.svc"
    return PeersConfig(dns=DnsEndpoints(host=host, port=names.ROUTER_ADMIN_PORT), token_file=PEERS_TOKEN_FILE)


def access_files(resource: RoutePolicy, context: RoutePolicyContext) -> dict[str, bytes]:
    """Returns the files that `access_config` names: the digests of all keys, and what tokens are proved with."""
    files: dict[str, bytes] = {}
    if shares_limits(resource) and not context.from_files:
        token = context.applied_credentials.get(PEERS_TOKEN_FILE) or context.fresh_token
        files |= {PEERS_TOKEN_FILE: token} if token else {}
    access = resource.spec.access
    if access is None:
        return files
    if access.consumers or access.consumer_selector:
        files[ACCESS_KEYS_FILE] = to_json(_digests(access, context))
    if access.jwt is not None:
        for file, ref in ((KEY_SET_FILE, access.jwt.jwks_secret_ref), (KEY_SET_CA_FILE, access.jwt.ca_secret_ref)):
            secret = context.secrets.get(ref.name) if ref is not None else None
            found = secret.data.get(ref.key) if ref is not None and secret is not None else None
            if ref is not None:  # without it nobody's token is believed, and keys are known all the same
                files[file] = found or context.applied_credentials.get(file, b"")
    return files


def _digests(access: Access, context: RoutePolicyContext) -> dict[str, list[str]]:
    """Returns each consumer's digests. A key that two of them have is the first one's."""
    taken: set[str] = set()
    digests: dict[str, list[str]] = {}
    for holder in _holders(access, context):
        own = [digest for digest in map(digest_of, holder.keys) if digest not in taken]
        taken.update(own)
        if own:
            digests[holder.name] = own
    return digests


def _holders(access: Access, context: RoutePolicyContext) -> Iterator[_Holder]:
    for one in access.consumers:
        yield _Holder(
            f"spec.access.consumers[{one.name}].keysSecretRef", one.name, _keys(one.keys_secret_ref, context.secrets)
        )
    for found in selected(access, context):
        if not found.fault:
            yield _Holder(f"spec.access.consumerSelector: Secret {found.secret}", found.name, good_keys(found.content))


def _keys(ref: SecretKeyRef | None, secrets: Mapping[str, UserSecret]) -> list[bytes]:
    secret = secrets.get(ref.name) if ref is not None else None
    if ref is None or secret is None or secret.why_no_keys("", ref.name):
        return []
    return good_keys(secret.data.get(ref.key, b""))


def key_faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields what is wrong with consumers that is no single reference's: each costs that consumer, and nobody else."""
    access = resource.spec.access
    if access is None:
        return
    at = "spec.access.consumerSelector"
    if access.consumer_selector is not None and context.listed is None:
        yield FieldFault(
            at,
            f"{at}: the operator may not list Secrets in namespace {resource.metadata.namespace}: have rbac.listSecrets of the "
            "chart turned on, or name each Secret under access.consumers",
        )
    for found in selected(access, context):
        if fault := found.fault or keys_fault(found.content):
            yield FieldFault(at, f"{at}: Secret {found.secret} {fault}")
    first: dict[str, str] = {}
    for holder in _holders(access, context):
        others = {first.setdefault(digest_of(key), holder.name) for key in holder.keys} - {holder.name}
        if others:
            told = f"consumer {min(others)} has one of its keys, and gets its requests: make a key of its own"
            yield FieldFault(holder.field, f"{holder.field}: {told}")


def jwt_faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields why a key set is not fetched: who could change it on its way would be every consumer."""
    jwt = resource.spec.access.jwt if resource.spec.access is not None else None
    if jwt is None or jwt.jwks_url is None:
        return
    field, server = "spec.access.jwt.jwksURL", server_of(jwt.jwks_url)
    if policy_proxy(jwt.jwks_url, resource, context.settings) is not None:
        yield from proxy_faults(resource, context)
    yield from server_faults(field, jwt.jwks_url, resource, context)
    safe = is_service(server) or (context.from_files and is_loopback(server.host))
    if jwt.jwks_url.startswith("http://") and not safe:
        yield FieldFault(
            field,
            f"{field}: over plain HTTP anybody on the way could put keys of his own there: use https://, or a Service of the "
            "cluster, http://NAME.NAMESPACE.svc",
        )


def key_set_fault(content: bytes) -> str:
    """Says why a value is no key set, to be read behind `key K of Secret S`; "" if it is one."""
    try:
        KeySet.read(content)
    except BadKeySet as problem:
        return f"is no key set that can be used, because {problem}: put there what the provider publishes (RFC 7517)"
    return ""


def _consumer(consumer: ConsumerSpec, defaults: Allowance | None) -> ConsumerConfig:
    by_token = True if consumer.keys_secret_ref is None and consumer.name != ANONYMOUS else None
    allowance = _allowance(consumer, defaults)
    return ConsumerConfig(name=consumer.name, team=consumer.team, by_token=by_token, allowance=allowance)


def _allowance(own: Allowance | None, defaults: Allowance | None) -> AllowanceConfig:
    """Returns what is said, field by field: by the consumer, or else by the policy."""
    found = {
        name: getattr(own, name)
        if own is not None and getattr(own, name) is not None
        else getattr(defaults, name, None)
        for name in Allowance.model_fields
    }
    lists = {name: tuple(found[name] or ()) or None for name in ("models", "data_zones")}
    priority = found["priority"].value if found["priority"] is not None else None
    return AllowanceConfig(**{**found, **lists, "priority": priority})
