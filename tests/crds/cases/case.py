"""One case of what a resource accepts or refuses, and specs to begin with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.crds.base_urls import BASE_URLS, BETTER_BASE_URLS

Spec = dict[str, Any]

MDEP = "ModelDeployment"
RP = "RoutePolicy"
SHA = "0" * 64
HTTP = {"url": "http://mirror.corp/m.gguf", "sha256": SHA}
SECRET = {"name": "keys", "key": "token"}


@dataclass(frozen=True)
class Case:
    """`name` is the metadata.name of the resource, `about` says what is tried."""

    about: str
    kind: str
    spec: Spec
    refused: str = ""
    types: str = ""
    old: Spec | None = None
    name: str = "case"

    @property
    def accepted(self) -> bool:
        return not self.refused

    def document(self, spec: Spec | None = None) -> dict[str, Any]:
        return {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": copy.deepcopy(self.spec if spec is None else spec),
        }


def house(**spec: Any) -> Spec:
    """A ModelDeployment that says no more than it must."""
    return {"source": {"http": HTTP}, **spec}


def external(**spec: Any) -> Spec:
    return {"engine": "external", "external": {"url": "http://10.0.0.7:1234"}, **spec}


def cloud(**fields: Any) -> Spec:
    return {"provider": "openai", "model": "m", "credentialsSecretRef": SECRET, **fields}


def policy(cloud_: Spec | None = None, **spec: Any) -> Spec:
    """A RoutePolicy with a backend of each side and one route over both."""
    return {
        "backends": [
            {"name": "house", "deployment": {"name": "house-small"}},
            {"name": "frontier", "cloud": cloud_ if cloud_ is not None else cloud()},
        ],
        "routes": [{"name": "all", "tiers": [tier("house"), tier("frontier")]}],
        **spec,
    }


def gateway(url: str, proxy: str | None = None) -> Spec:
    """A policy whose cloud is a gateway of the house's own, behind an egress proxy or not."""
    more = {"proxy": {"url": proxy}} if proxy is not None else {}
    return policy(cloud(provider="openAICompatible", baseURL=url, **more))


def tier(*backends: str) -> Spec:
    return {"backends": [{"name": name} for name in backends]}


def route(**fields: Any) -> Spec:
    return policy(routes=[{"name": "all", "tiers": [tier("house")], **fields}])


def balanced(when_full: str | None = None, cloud_: Spec | None = None, **balancing: Any) -> Spec:
    """A policy whose house (or, with `cloud_`, whose cloud) is balanced so, behind one route."""
    target = {"cloud": cloud_} if cloud_ is not None else {"deployment": {"name": "house-small"}}
    one = {"name": "all", "tiers": [tier("house")], **({"whenFull": when_full} if when_full else {})}
    return policy(backends=[{"name": "house", **target, "balancing": balancing}], routes=[one])


def cached(**fields: Any) -> Spec:
    return house(cache={"size": "20Gi", **fields})


def base_urls(shown: str, kind: str, made: Callable[[str], Spec]) -> list[Case]:
    """Cases of a field that holds a base URL."""
    return [
        Case(f"{shown} {about}", kind, made(url), f"{shown} {words}", _first_words(shown, url, words))
        for about, (url, words) in {**BASE_URLS, **BETTER_BASE_URLS}.items()
    ]


def _first_words(shown: str, url: str, words: str) -> str:
    """The types tell the first mistake; the API server tells them all."""
    return f"{shown} takes no user and no password" if "@" in url else f"{shown} {words}"


def identify(case: Case) -> str:
    return f"{case.kind}: {case.about}"
