"""Configurations that a ConfigMap could not hold as they are."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from genset import names
from genset.api.routepolicy import RoutePolicy
from genset.contracts.config_files import CONFIG_MAP_BYTES, PLAIN_BYTES, UNPACKED_BYTES, beside, packed, unpacked
from genset.contracts.router_config import RouterConfig, config_hash
from genset.desired import router, router_config
from genset.desired.context import Object, RoutePolicyContext, Settings
from genset.router.errors import ConfigRejected
from genset.router.process.reload import FolderSource
from genset.router.providers import PROVIDERS
from genset.status.refs import check_route_policy
from tests.support import large_policy

CONTEXT = RoutePolicyContext(settings=Settings(image="i"))


def policy(**numbers: int) -> RoutePolicy:
    return RoutePolicy.model_validate(
        {"metadata": {"name": "p", "namespace": "n"}, "spec": large_policy.spec(**numbers)}
    )


def written(made: Object, folder: Path) -> Path:
    """As the kubelet mounts a ConfigMap: files behind a link to a folder, which it replaces."""
    data = folder / f"..{made['metadata'].get('generation', 1)}"
    data.mkdir(parents=True)
    for name, text in made["data"].items():
        (data / name).write_text(text)
    for name, content in made.get("binaryData", {}).items():
        (data / name).write_bytes(base64.b64decode(content))
    link = folder / "..data"
    (folder / "..tmp").symlink_to(data.name)
    (folder / "..tmp").rename(link)
    for name in (*made["data"], *made.get("binaryData", {})):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def size_of(made: Object) -> int:
    """As the API server counts it (ValidateConfigMap)."""
    return sum(map(len, made["data"].values())) + sum(
        len(base64.b64decode(one)) for one in made.get("binaryData", {}).values()
    )


def test_a_small_one_stays_as_it_is() -> None:
    made = router.config_map(policy(models=1, backends=2, routes=2), CONTEXT)
    assert made is not None and "binaryData" not in made
    assert json.loads(made["data"]["router.json"])["version"] == 1


@pytest.mark.parametrize(("models", "tiers", "width"), [(4, 2, 1), (8, 8, 1), (24, 2, 1), (8, 8, 8)])
def test_the_largest_fit_and_are_read_as_they_were_meant(tmp_path: Path, models: int, tiers: int, width: int) -> None:
    resource = policy(models=models, tiers=tiers, width=width)
    assert len(resource.spec.backends) == 128 and len(resource.spec.routes) == 256
    text = router_config.build(resource, CONTEXT).canonical_json()
    made = router.config_map(resource, CONTEXT)
    assert made is not None and size_of(made) <= CONFIG_MAP_BYTES
    assert ("binaryData" in made) == (len(text.encode()) > PLAIN_BYTES)
    loaded = FolderSource(written(made, tmp_path), None).load()
    assert loaded.hash == config_hash(text) and loaded.config.canonical_json() == text
    assert check_route_policy(resource, CONTEXT) == []
    assert made == router.config_map(resource, CONTEXT), "the same policy gives the same bytes"


def test_what_fits_no_config_map_is_told_and_changes_nothing() -> None:
    resource = policy(models=64, tiers=8)
    assert router.config_map(resource, CONTEXT) is None
    (problem,) = check_route_policy(resource, CONTEXT)
    assert (problem.reason, problem.field) == ("InvalidSpec", "spec.routes")
    assert "a ConfigMap holds 1048576: divide the policy into several" in problem.message


def test_a_change_is_seen_whichever_way_a_configuration_is_written(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, None)
    before: list[Any] = []
    for number, models in enumerate((1, 24, 23, 1)):
        resource = policy(models=models)
        made = router.config_map(resource, CONTEXT)
        assert made is not None
        made["metadata"]["generation"] = number
        written(made, tmp_path)
        assert source.fingerprint() not in before
        before.append(source.fingerprint())
        assert len(source.load().config.routes[0].match.models) == models


def test_a_router_that_does_not_know_it_refuses_the_pointer() -> None:
    pointer = packed("x" * (PLAIN_BYTES + 1), "router.json")["router.json"]
    with pytest.raises(ValueError, match="compressed"):
        RouterConfig.from_json(pointer, providers=PROVIDERS, continuations=())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no gzip", "is no gzip file"),
        (gzip.compress(b"x" * 9000)[:-9], "is cut off"),
        (gzip.compress(b"0" * (UNPACKED_BYTES + 1)), "unpacks to more than"),
        (None, "No such file"),
        (gzip.compress(b"{"), "JSON"),
    ],
    ids=["none", "cut off", "too large", "not there", "no document"],
)
def test_a_broken_one_is_refused_in_words(tmp_path: Path, content: bytes | None, words: str) -> None:
    (tmp_path / names.ROUTER_CONFIG_FILE).write_bytes(b'{"version":1,"compressed":"router.json.gz"}')
    if content is not None:
        (tmp_path / "router.json.gz").write_bytes(content)
    with pytest.raises(ConfigRejected, match=words):
        FolderSource(tmp_path, None).load()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'{"version":1,"compressed":"router.json.gz"}', "router.json.gz"),
        (b'{"version":1,"compressed":"../x"}', ""), (b'{"version":1,"compressed":"..data"}', ""),
        (b'{"version":1,"compressed":3}', ""), (b'{"compressed":"x"}', ""), (b"[]", ""), (b"", ""), (b"\xff", ""),
        (b'{"version":1,"compressed":"x","routes":[]}', ""),
    ],
)  # fmt: skip
def test_what_is_a_pointer(content: bytes, name: str) -> None:
    assert beside(content) == name


def test_what_is_packed_is_unpacked() -> None:
    text = "ä" * PLAIN_BYTES
    files = packed(text, "router.json")
    assert unpacked(files[beside(files["router.json"])]).decode() == text
