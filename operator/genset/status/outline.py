"""An outline is what outages tell of a policy: its backends, and which route uses which.

Read from the spec as it is stored, not from the types: a policy that today's rules refuse, e.g. from before an upgrade,
is still served by its routers, and what they see as down must be told all the same. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from genset.addresses import base_url_mistake, shown_server
from genset.api.routepolicy import RoutePolicy
from genset.api.routepolicy_status import Outage
from genset.continuity.account import account_name

Json = Mapping[str, Any]
#: What of a spec an outline reads: the rest of a large policy costs more to write than all that is told of it.
_READ: dict[str, Any] = {"backends": True, "routes": {"__all__": {"name", "tiers"}}, "router": {"replicas"}}


@dataclass(frozen=True)
class BackendOutline:
    """This is one backend: a model of the house, or of a provider."""

    name: str
    cloud: bool = False
    deployment: str = ""  # of the house
    model: str = ""  # at the provider
    key: tuple[str, str] | None = None  # Secret and key that the provider asks for
    account: str = ""  # provider, host and key, as people call it


@dataclass(frozen=True)
class Outline:
    """An outline is of one policy.

    `tiers`: the backends of each tier by name of the route; `known`: the outages of its status.
    """

    backends: tuple[BackendOutline, ...]
    tiers: Mapping[str, tuple[tuple[str, ...], ...]]
    wants_routers: bool
    known: tuple[Outage, ...]

    @classmethod
    def of(cls, resource: RoutePolicy) -> Outline:
        """Returns the outline of a policy that is accepted."""
        known = tuple(resource.status.outages) if resource.status else ()
        spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=_READ)
        return cls._read(spec, known)

    @classmethod
    def of_refused(cls, live: Json) -> Outline:
        """Returns the outline of an object from the API server whose spec the types refuse."""
        return cls._read(_object(live, "spec"), tuple(_outages(_object(live, "status"))))

    @classmethod
    def _read(cls, spec: Json, known: tuple[Outage, ...]) -> Outline:
        tiers = {
            _text(route, "name"): tuple(
                tuple(_text(backend, "name") for backend in _items(tier, "backends")) for tier in _items(route, "tiers")
            )
            for route in _items(spec, "routes")
        }
        wants_routers = _object(spec, "router").get("replicas") != 0
        return cls(tuple(_target(item) for item in _items(spec, "backends")), tiers, wants_routers, known)

    @property
    def routes(self) -> Mapping[str, frozenset[str]]:
        """Returns the backends of each route, whatever their tier."""
        return {name: frozenset(one for tier in tiers for one in tier) for name, tiers in self.tiers.items()}

    def named(self, side_is_cloud: bool) -> list[str]:
        """Returns the backends of one side."""
        return [target.name for target in self.backends if target.cloud is side_is_cloud]

    @property
    def deployments(self) -> list[str]:
        """Returns the ModelDeployments that the backends name, each once."""
        return sorted({target.deployment for target in self.backends if target.deployment})


def _target(item: Json) -> BackendOutline:
    cloud = _object(item, "cloud")
    ref = _object(cloud, "credentialsSecretRef")
    key = (_text(ref, "name"), _text(ref, "key")) if ref else None
    return BackendOutline(
        name=_text(item, "name"),
        cloud=bool(cloud),
        deployment=_text(_object(item, "deployment"), "name"),
        model=_text(cloud, "model"),
        key=key,
        account=_account(cloud, key) if cloud else "",
    )


def _account(cloud: Json, key: tuple[str, str] | None) -> str:
    url = _text(cloud, "baseURL")
    host = shown_server(url) if url and not base_url_mistake(url) else ""
    return account_name(_text(cloud, "provider"), host, "/".join(key) if key else "")


def _outages(status: Json) -> Iterator[Outage]:
    for item in _items(status, "outages"):
        try:
            yield Outage.model_validate(item)
        except ValidationError:
            continue  # of a later version, which knows scopes or reasons that we do not


def _object(holder: Json, name: str) -> Json:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}


def _items(holder: Json, name: str) -> list[Json]:
    found = holder.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _text(holder: Json, name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""
