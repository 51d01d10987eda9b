"""References tell who depends on what: reconciles fill them, and whoever notices a change asks them.

Only an index for speed. What a resource really refers to is read from it at each reconcile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from genset.controllers.keys import Key

SecretKey = tuple[str, str]  # namespace, name
Versions = Mapping[str, str] | None  # resourceVersions by name; None: they may not be listed


class References:
    """These are the references of resources as of their last reconcile."""

    def __init__(self) -> None:
        self._deployments: dict[Key, frozenset[str]] = {}
        self._by_deployment: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._secrets: dict[Key, dict[str, str | None]] = {}
        self._selections: dict[Key, tuple[str, Versions]] = {}

    def set_deployments(self, key: Key, deployments: Iterable[str]) -> None:
        """Takes the ModelDeployments, by name, that a RoutePolicy names."""
        self._forget_deployments(key)
        wanted = frozenset(deployments)
        if wanted:
            self._deployments[key] = wanted
            for name in wanted:
                self._by_deployment[key.namespace, name].add(key)

    def set_secrets(self, key: Key, versions: Mapping[str, str | None]) -> None:
        """Takes the Secrets that a resource reads, with the resourceVersion that it has read; None: there was none."""
        if versions:
            self._secrets[key] = dict(versions)
        else:
            self._secrets.pop(key, None)

    def set_selection(self, key: Key, selector: str, versions: Versions) -> None:
        """Takes the labels by which a resource selects Secrets ("": it selects none), and the versions that it has read."""
        if selector:
            self._selections[key] = (selector, versions)
        else:
            self._selections.pop(key, None)

    def selections(self) -> dict[Key, tuple[str, Versions]]:
        """Returns what each resource selects, with the versions that it has read."""
        return dict(self._selections)

    def drop(self, key: Key) -> None:
        """Forgets a resource that is gone."""
        self._forget_deployments(key)
        self._selections.pop(key, None)
        self._secrets.pop(key, None)

    def dependents(self, namespace: str, deployment: str) -> tuple[Key, ...]:
        """Returns the RoutePolicies that name the ModelDeployment."""
        return tuple(self._by_deployment.get((namespace, deployment), ()))

    def secrets(self) -> dict[SecretKey, list[tuple[Key, str | None]]]:
        """Returns every Secret that is read, with its readers and the versions that they have read."""
        readers: defaultdict[SecretKey, list[tuple[Key, str | None]]] = defaultdict(list)
        for key, versions in self._secrets.items():
            for name, version in versions.items():
                readers[key.namespace, name].append((key, version))
        return dict(readers)

    def keys(self) -> frozenset[Key]:
        """Returns every resource that refers to something."""
        return frozenset(self._deployments) | frozenset(self._secrets)

    def _forget_deployments(self, key: Key) -> None:
        for name in self._deployments.pop(key, ()):
            readers = self._by_deployment[key.namespace, name]
            readers.discard(key)
            if not readers:
                del self._by_deployment[key.namespace, name]
