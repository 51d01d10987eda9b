"""Clumsy and hostile manifests are refused, told in a condition, or act. `manifests.yaml` has them all."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset import kinds
from genset.kube.client import ApiError, ApiServer
from tests.support.integration import samples
from tests.support.integration.world import World

Row = dict[str, Any]
ROWS: list[Row] = yaml.safe_load((Path(__file__).parent / "manifests.yaml").read_text())
WEB = {"http": {"url": "https://files.corp/m.gguf", "sha256": "a" * 64}}
KINDS = {"model": kinds.MODEL_DEPLOYMENT, "policy": kinds.ROUTE_POLICY, "secret": kinds.SECRET}
MADE = {kind.kind: kind for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP, kinds.SECRET)}
LONG = {"{megabyte}": "x" * 1_000_000}


def name_of(row: Row) -> str:
    return str(row.get("name") or f"r{ROWS.index(row):03d}")


def document(entry: Row, name: str, namespace: str) -> Row:
    """The object that a row describes."""
    if "secret" in entry:
        return samples.secret(namespace, name, entry.get("allow", "*"), **entry["secret"])
    kind = KINDS["model" if "model" in entry else "policy"]
    said = _filled(entry.get("model", entry.get("policy")))
    if kind is kinds.MODEL_DEPLOYMENT:
        spec = {"source": WEB, **said}
        spec = {key: value for key, value in spec.items() if key != "source" or value is not None}
    else:
        routes = [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}]
        spec = {"backends": [{"name": "house", "deployment": {"name": "house"}}], "routes": routes, **said}
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _filled(value: Any) -> Any:
    """Puts in what would be too long for a table."""
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if value == "{deep}":
        deep: Any = {}
        for _ in range(40):
            deep = {"a": deep}
        return deep
    if value == "{expressions}":
        backends = [{"backends": [{"name": "house"}]}]
        patterns = [{"name": f"p{number}", "regex": f"case {number}"} for number in range(65)]
        return [
            {"name": f"r{at}", "tiers": backends, "sensitive": {"patterns": patterns[at : at + 16]}}
            for at in range(0, len(patterns), 16)
        ]
    return LONG.get(value, value) if isinstance(value, str) else value


async def applied(api: ApiServer, body: Row) -> str:
    """Creates an object as kubectl does, with strict field validation. Returns the API server's refusal, or ""."""
    kind = next(kind for kind in KINDS.values() if kind.kind == body["kind"])
    path = kind.path(body["metadata"]["namespace"])
    try:
        await api.request("POST", path, query={"fieldValidation": "Strict"}, body=body)
    except ApiError as error:
        if error.status == 409:  # the client has asked again for what had been made: a machine under load
            return ""
        assert error.status in (400, 422), error
        return " ".join(error.message.split())
    return ""


def at(live: Any, path: str) -> Any:
    """The value at a path, None if nothing is there; a dot inside a key is written with a backslash before it."""
    for step in re.split(r"(?<!\\)\.", path):
        key = step.replace("\\.", ".")
        held = {str(at): one for at, one in enumerate(live)} if isinstance(live, list) else live or {}
        live = held.get(key)
    return live


async def judged(world: World, row: Row) -> str:
    """Says what a row's manifest has not become; "" if all is as it should be."""
    name = name_of(row)
    kind = KINDS["model" if "model" in row else "policy"]
    for entry in row.get("given", ()):
        words = await applied(world.api, document(entry, entry["name"], world.namespace))
        if words:
            return f"what is given is refused: {words}"
    words = await applied(world.api, document(row, name, world.namespace))
    if "refused" in row:
        missing = [text for text in row["refused"] if text not in words]
        return f"{missing} is missing in {words or 'nothing: it was accepted'}" if missing else ""
    if words:
        return f"it was refused: {words}"
    try:
        return await (_told if "told" in row else _acted)(world, kind, name, row)
    except AssertionError as error:
        live = await world.get(kind, name) or {}
        told = [
            f"{one['type']}={one['status']}: {one['message']}" for one in live.get("status", {}).get("conditions", ())
        ]
        return f"{str(error).partition(';')[0]}; {told[:2]}"


async def _told(world: World, kind: kinds.Kind, name: str, row: Row) -> str:
    wanted, status, reason, *texts = row["told"]
    found = await world.until_condition(kind, name, wanted, status, reason, seconds=60)
    missing = [text for text in texts if text not in found["message"]]
    return f"{missing} is missing in {found['message']}" if missing else ""


async def _acted(world: World, kind: kinds.Kind, name: str, row: Row) -> str:
    await world.until_condition(kind, name, "Accepted", "True", seconds=60)
    made, called, path, value = (part.format(name=name) if isinstance(part, str) else part for part in row["acts"])
    live = await world.get(MADE[made], called)
    found = at(live, path) if live is not None else f"no {made} {called}"
    return "" if found == value else f"{path} is {found!r} instead of {value!r}"


@pytest.mark.timeout(360)  # hundreds of resources: seconds on a machine that is free
async def test_each_manifest_is_refused_or_told_or_acts(world: World) -> None:
    """One operator and one namespace for all of them: none may harm its neighbours either."""
    await world.start()
    await world.apply(samples.secret(world.namespace, "keys"))
    await applied(world.api, document({"model": {}}, "house", world.namespace))
    verdicts = await asyncio.gather(*(judged(world, row) for row in ROWS))
    wrong = [
        f"{row['about']} ({name_of(row)}): {verdict}" for row, verdict in zip(ROWS, verdicts, strict=True) if verdict
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["about"]))
def test_the_table_itself(row: Row) -> None:
    assert len(row.keys() & {"refused", "told", "acts"}) == 1 and len(row.keys() & {"model", "policy"}) == 1
    assert row.keys() <= {"about", "name", "given", "model", "policy", "refused", "told", "acts"}
    assert [one["about"] for one in ROWS].count(row["about"]) == 1
    if "told" in row:
        assert len(row["told"]) > 3, "a condition names the field or the object"
