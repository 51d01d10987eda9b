"""What programs of different releases say to each other: documents of every version are read, and fields stay what they are.

docs/adr/0012 has the rules. The documents `*.vN.json` are kept as they were written; none of them is ever changed. A page that
gets a field gets another file, too, and a configuration another version if its field is no addition.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.cli import weights
from genset.contracts import puller
from genset.contracts.puller import CheckSpec, Companion, DownloadProgress, ExitCode, FetchSpec, LastWords
from genset.contracts.router_admin import ConfigReport, DemandReport
from genset.contracts.router_config import VERSION, RouterConfig
from genset.contracts.sources import SOURCES, Http
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.router.continuation import OFF, RULES
from genset.router.providers import PROVIDERS
from tests.golden import cases
from tests.golden.contracts.fields import breaks, fields

HERE = Path(__file__).parent
CONFIG = HERE / "router_config"
NEW_VERSION = "this needs a new version: docs/adr/0012"


def of_versions(folder: Path, name: str = "") -> list[Path]:
    """The kept documents, the latest last."""
    found = {re.fullmatch(r".*v(\d+)\.json", path.name): path for path in folder.glob(f"{name}v*.json")}
    return [path for _, path in sorted((int(match[1]), path) for match, path in found.items() if match is not None)]


def canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def paths(document: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a document with the kind of its value."""
    if isinstance(document, dict):
        for name, value in document.items():
            here = f"{before}.{name}" if before else name
            yield here, type(value).__name__
            yield from paths(value, here)
    elif isinstance(document, list):
        for value in document:
            yield from paths(value, f"{before}[]")


# The router's configuration


def written() -> RouterConfig:
    """What the operator writes today for the policy of version 1."""
    case = cases.load(CONFIG, "policy")
    deployments = [ModelDeployment.model_validate(item) for item in case["deployments"]]
    secrets = {
        name: UserSecret({key: value.encode() for key, value in data.items()}, "*")
        for name, data in case["secrets"].items()
    }
    known = {item.metadata.name: item for item in deployments}
    context = RoutePolicyContext(Settings(image="none"), known, secrets)
    return router_config.build(RoutePolicy.model_validate(case["resource"]), context)


@pytest.mark.parametrize("path", of_versions(CONFIG), ids=lambda path: path.name)
def test_a_router_reads_configurations_of_every_version(path: Path) -> None:
    document = json.loads(path.read_text())
    read = RouterConfig.from_json(path.read_bytes(), providers=PROVIDERS, continuations=(*RULES, OFF))
    # The hash that a router reports is of what it has read: with another one it would never count as programmed.
    assert read.version != VERSION or read.canonical_json() == canonical(document)


def test_a_policy_that_says_nothing_new_is_written_as_before() -> None:
    """So that routers of earlier releases, which refuse what they do not know, go on following it."""
    kept = json.loads((CONFIG / f"v{VERSION}.json").read_text())
    assert set(paths(json.loads(written().canonical_json()))) == set(paths(kept)), NEW_VERSION


def test_fields_of_a_configuration_change_only_by_additions() -> None:
    path, now = CONFIG / f"v{VERSION}.fields.json", fields(RouterConfig.model_json_schema())
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(field)}" for name, field in sorted(now.items()))
    text = f"{{\n{rows}\n}}\n"
    assert not path.exists() or not breaks(json.loads(path.read_text()), now), NEW_VERSION
    if os.environ.get("GENSET_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text, "something is added that earlier routers refuse: if it should, make golden"


ADDED = sorted(path for path in CONFIG.glob("v1.*.json") if path.name != "v1.fields.json")


@pytest.mark.parametrize("path", ADDED, ids=lambda path: path.name)
def test_a_router_reads_what_was_added_to_version_1(path: Path) -> None:
    read = RouterConfig.from_json(path.read_bytes(), providers=PROVIDERS, continuations=(*RULES, OFF))
    assert read.canonical_json() == canonical(json.loads(path.read_text()))


def test_the_kept_configurations_have_every_field_of_version_1() -> None:
    """The first one as it was, and one for each later addition."""
    names = {name for path in (CONFIG / "v1.json", *ADDED) for name, _ in paths(json.loads(path.read_text()))}
    assert {name.replace("[]", "") for name in json.loads((CONFIG / "v1.fields.json").read_text())} == {
        name.replace("[]", "") for name in names
    }


OLD = fields(RouterConfig.model_json_schema())
PORT = "backends[].local.dns.port"
WORDS = ["Hold", "Bridge"]
NEW = {"required": True, "type": "string"}
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({PORT: None}, f"{PORT} is gone"),
    ({PORT: {**OLD[PORT], "type": "string"}}, f"{PORT} is another"),
    ({PORT: {**OLD[PORT], "maximum": 100}}, f"{PORT} is another"),
    ({PORT: {**OLD[PORT], "required": False}}, f"{PORT} is another"),
    (
        {"routes[].coldStart.mode": {**OLD["routes[].coldStart.mode"], "enum": ["Hold"]}},
        "routes[].coldStart.mode is another",
    ),
    ({"zone": NEW}, "zone is new, and must be there"),
    ({"routes[].zone": NEW}, "routes[].zone is new, and must be there"),
    ({"zone": {"required": False, "type": "object"}, "zone.name": NEW}, ""),
    ({"routes[].zone": {**NEW, "required": False}}, ""),
    ({"routes[].coldStart.mode": {**OLD["routes[].coldStart.mode"], "enum": [*WORDS, "Refuse"]}}, ""),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_what_is_an_addition(change: dict[str, Any], told: str) -> None:
    now = {name: field for name, field in {**OLD, **change}.items() if field is not None}
    assert breaks(OLD, now) == ([told] if told else [])


# Pages: of routers for the operator, of pullers for the operator


def holds(document: Any, part: Any) -> bool:
    """Whether everything of a part stands in a document, as it is."""
    if isinstance(part, dict):
        return isinstance(document, dict) and all(holds(document.get(name), value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(document, list) and len(document) == len(part) and all(map(holds, document, part))
    return bool(document == part)


def config(body: bytes) -> bytes | None:
    report = ConfigReport.from_json(body)
    return report and report.to_json()


def demand(body: bytes) -> bytes | None:
    report = DemandReport.from_json(body)
    return report and report.to_json()


def progress(body: bytes) -> bytes | None:
    report = DownloadProgress.from_json(body)
    return report and report.to_json()


def last_words(body: bytes) -> bytes:
    return LastWords.from_json(body.decode()).to_json().encode()


def exit_codes(_: bytes) -> bytes:
    return json.dumps({code.name: code.value for code in ExitCode}).encode()


PAGES: list[tuple[str, Callable[[bytes], bytes | None]]] = [
    ("router_admin/config.", config),
    ("router_admin/demand.", demand),
    ("puller/progress.", progress),
    ("puller/last_words.", last_words),
    ("puller/exit_codes.", exit_codes),
]


@pytest.mark.parametrize(("name", "again"), PAGES)
def test_pages_of_every_version_are_read_as_they_were_meant(name: str, again: Callable[[bytes], bytes | None]) -> None:
    documents = [path.read_bytes() for path in of_versions(HERE, name)]
    for body in documents:
        told = json.loads(again(body) or b"{}")
        assert holds(told, json.loads(body)), "a field is gone, or another: programs of earlier releases write it"
    assert json.loads(again(documents[-1]) or b"{}") == json.loads(documents[-1]), (
        "a field is new: keep another version"
    )


# The puller's arguments


def read(args: list[str]) -> FetchSpec | CheckSpec:
    """As the puller reads its command line."""
    return weights.read(args[1:])


def test_arguments_of_every_version_are_read_and_lead_to_the_same_files() -> None:
    """Pods that run keep the arguments and paths that they were made with; another path would be another download."""
    named: set[str] = set()
    for path in of_versions(HERE, "puller/arguments."):
        kept = json.loads(path.read_text())
        for one in kept:
            spec = read(one["args"])
            assert (spec.to_args(), spec.model_path) == (one["args"], one["model"])
        named = {arg for one in kept for arg in one["args"] if arg.startswith("--")}
    flags = {flag for source in SOURCES for flag in source.FLAGS.values()}
    own = {*puller.COMMON_FLAGS.values(), *puller.CHECK_FLAGS.values(), *puller.SWITCHES.values()}
    assert named == flags | own, "keep another version"


def test_companions_are_read_as_they_are_written() -> None:
    specs = [
        FetchSpec(Http("https://files.example/p.gguf", "a" * 64), "/m", role="projector"),
        CheckSpec("/c/a", role="adapter"),
    ]
    args = puller.to_args(
        CheckSpec("/models/m.gguf"), [Companion(f"n{n}", "spec.x", one) for n, one in enumerate(specs)]
    )
    values = [value for flag, value in pairwise(args) if flag == puller.ALSO]
    found = [puller.companion_args(value) for value in values]
    assert [(name, field, weights.read(rest)) for name, field, rest in found] == [
        ("n0", "spec.x", specs[0]), ("n1", "spec.x", specs[1]),
    ]  # fmt: skip
