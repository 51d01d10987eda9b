"""The preset is kept here: what is missing of its two resources is made once, and what came of that is told in a ConfigMap.

They are made, never changed: an upgrade with another catalogue swaps no model that runs. Nodes are looked at only while the model
is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from genset import kinds, names
from genset.controllers.surroundings import Surroundings
from genset.kinds import Kind
from genset.kube.client import ApiError, ApiServer, Object
from genset.planning.cluster import free
from genset.preset import resources, told
from genset.preset.choice import Spot, choose, lacking, taints_of
from genset.preset.settings import NAME, read
from genset.sizing.nodes import NodesError, from_kubernetes

log = logging.getLogger(__name__)

PERIOD_SECONDS = 30.0  # between two looks
_SYSTEM = "kubernetes.io/os"


class PresetKeeper:
    """The keeper makes what a preset asks for. `path`: its settings; `report`: the ConfigMap, by namespace and name."""

    def __init__(
        self, api: ApiServer, surroundings: Surroundings, path: Path, namespace: str, report: tuple[str, str]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._licences = surroundings.settings.allowed_licences
        self._path = path
        self._report = report
        self._said = ""

    async def keep(self) -> None:
        """Looks until cancelled."""
        while True:
            try:
                await self.look()
            except ApiError as error:
                if error.transient:
                    log.warning("Could not look after the continuity preset: %s", error.message)
                else:
                    with suppress(ApiError):
                        await self._tell(f"The API server refused it: {error.message}", ())
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Makes what is missing, and tells how things stand."""
        try:
            preset = read(self._path, self._namespace)
        except ValueError as error:
            await self._tell(str(error), ())
            return
        deployment = await self._api.get(kinds.MODEL_DEPLOYMENT, preset.namespace, NAME)
        policy = await self._api.get(kinds.ROUTE_POLICY, preset.namespace, NAME)
        why = ""
        if deployment is None:
            spots = await self._spots()
            choice = choose(preset, spots, self._licences)
            if choice is None:
                await self._tell(lacking(preset, spots, self._licences), ())
                return
            why = told.chosen(preset, choice)
            deployment = await self._make(kinds.MODEL_DEPLOYMENT, resources.model_deployment(preset, choice))
        if policy is None:
            policy = await self._make(kinds.ROUTE_POLICY, resources.route_policy(preset))
        await self._tell(told.standing(preset, deployment, policy), (deployment, policy), why)

    async def _make(self, kind: Kind, body: Object) -> Object:
        made = await self._api.create(kind, body)
        log.info("Made %s %s/%s for the continuity preset", kind.kind, body["metadata"]["namespace"], NAME)
        return made

    async def _spots(self) -> list[Spot]:
        """Returns the nodes with what their pods have left."""
        items: dict[str, Mapping[str, Any]] = {}
        found = []
        for item in await self._api.list(kinds.NODE, None):
            with suppress(NodesError):
                found.append(from_kubernetes(item))
                items[found[-1].name] = item
        left = free(found, await self._api.list(kinds.POD, None))
        return [Spot(node, taints_of(items[node.name]), _system(items[node.name])) for node in left]

    async def _tell(self, words: str, made: tuple[Object, ...], why: str = "") -> None:
        """Writes what is so, if it says something new. Why a model was chosen is kept for as long as that is there."""
        namespace, name = self._report
        live = await self._api.get(kinds.CONFIG_MAP, namespace, name) or {}
        before = live.get("data") or {}
        data = {"told": words}
        if made:
            data["resources.yaml"] = yaml.safe_dump_all(map(_bare, made), sort_keys=False)
            if reason := why or before.get("chosen"):
                data["chosen"] = reason
        if words != self._said:
            self._said = words
            log.info("Continuity preset: %s", words.replace("\n", " "))
        if data != before:
            metadata = {"name": name, "namespace": namespace}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            await self._api.apply(kinds.CONFIG_MAP, body, field_manager=names.FIELD_MANAGER, force=True)


def _system(item: Mapping[str, Any]) -> str:
    return str((item["metadata"].get("labels") or {}).get(_SYSTEM, "linux"))


def _bare(live: Object) -> Object:
    """Returns a resource as one would commit it."""
    metadata = {"name": live["metadata"]["name"], "namespace": live["metadata"]["namespace"]}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}
