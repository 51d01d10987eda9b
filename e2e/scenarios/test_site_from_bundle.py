"""A whole site from a bundle: operator, engine and model come from one file, and where they came from is gone when pods start."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from e2e.world import WEIGHTS_FILE, World
from genset.bundle.verify import verify
from testbed.cluster import node, overlay, tools
from testbed.house import CHART, OPERATOR_NAMESPACE
from testbed.images import IMAGES
from testbed.resources import model_deployment, route_policy
from tests.support.bundle import genset
from tests.support.weights.stores import RealRegistry, real_registry

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs_embedded_cluster]
PROJECTS = {"genset": "corp/genset:1", "llamacpp": "corp/llama:1"}


@dataclass
class FromBundle:
    """A site's bundle, what `load` wrote of it, and the seconds that each step took."""

    bundle: Path
    out: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def told(self) -> str:
        steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in self.seconds.items())
        return f"bundle of {self.bundle.stat().st_size / 1e6:.0f} MB: {steps}"


def pushed(registry: RealRegistry, folder: Path) -> dict[str, str]:
    """Pushes the images of this tree to a registry; returns their names there."""
    names = {}
    for image, name in PROJECTS.items():
        layout = folder / image
        with tarfile.open(IMAGES[image].archive()) as archive:
            archive.extractall(layout, filter="data")
        names[image] = f"{registry.host}/{name}"
        command = [str(tools.ensure("crane")["crane"]), "push", "--insecure", str(layout), names[image]]
        subprocess.run(command, check=True, capture_output=True)
    return names


def create(world: World, folder: Path, namespace: str, bundle: Path) -> None:
    """Makes the bundle of a site with a model of a web server; the registry is gone afterwards."""
    resources = [
        model_deployment(namespace, "small", world.weights.source(WEIGHTS_FILE)),
        route_policy(namespace, "site", [{"name": "small", "deployment": {"name": "small"}}], "small"),
    ]
    (folder / "resources.yaml").write_text(yaml.safe_dump_all(resources))
    with real_registry(folder / "registry") as registry:
        names = pushed(registry, folder)
        values = {
            "image": {"repository": names["genset"].rpartition(":")[0], "tag": "1"},
            "engines": {"llama.cpp": {"images": {"cpu": names["llamacpp"]}}},
        }
        (folder / "values.yaml").write_text(yaml.safe_dump(values))
        done = genset(
            "create", "-f", str(folder / "resources.yaml"), "--values", str(folder / "values.yaml"), "--chart", str(CHART),
            "-o", str(bundle),
        )  # fmt: skip
        assert done.exit_code == 0, done.output


def refused_with_one_byte_changed(bundle: Path, load: list[str]) -> None:
    with bundle.open("r+b") as file:
        file.seek(bundle.stat().st_size // 2)
        (before,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([before ^ 1]))
        file.flush()
        done = genset(*load)
        assert done.exit_code != 0 and "sha256:" in done.output, done.output
        file.seek(-1, 1)
        file.write(bytes([before]))


@pytest.fixture
def site(world: World, tmp_path: Path, scratch: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FromBundle]:
    """The operator from a bundle; afterwards it is this tree's again."""
    assert world.cluster is not None
    if not overlay.supported(world.cluster.folder):
        monkeypatch.setenv("CONTAINERD_SNAPSHOTTER", "native")  # which ctr reads
    made = FromBundle(tmp_path / "site.gsb", tmp_path / "out")
    load = ["load", str(made.bundle), "--containerd", "--address", str(node.socket(world.cluster.folder))]
    load += ["--weights", str(tmp_path / "models"), "-o", str(made.out)]
    took(made, "create", lambda: create(world, tmp_path, scratch, made.bundle))
    refused_with_one_byte_changed(made.bundle, load)
    took(made, "load", lambda: loaded(load))
    (package,) = made.out.glob("genset-*.tgz")
    upgrade = [
        "upgrade",
        "genset",
        str(package),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--wait",
        "--timeout",
        "150s",
        "--reuse-values",
    ]
    try:
        took(made, "install", lambda: world.house.helm(*upgrade, "--values", str(made.out / "values.yaml")))
        yield made
        world.house.kubectl("delete", "-f", str(made.out / "resources.yaml"), "--ignore-not-found", "--wait=true")
    finally:
        world.house.install()


def loaded(load: list[str]) -> None:
    done = genset(*load)
    assert done.exit_code == 0, done.output


def took(made: FromBundle, step: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    made.seconds[step] = time.monotonic() - began


async def test_a_site_serves_from_a_bundle_alone(world: World, scratch: str, site: FromBundle) -> None:
    house = world.house
    world.weights.close()  # neither the web server of the model nor the registry of the images is there any more
    try:
        began = time.monotonic()
        house.kubectl("apply", "--server-side", "-f", str(site.out / "resources.yaml"))
        await asyncio.to_thread(house.until, "mdep", scratch, "small", "Ready", seconds=180)
        await asyncio.to_thread(house.until, "rp", scratch, "site", "Ready", seconds=120)
        site.seconds["serving"] = time.monotonic() - began
        url = await asyncio.to_thread(world.service_url, scratch, "site-router")
        body = {"model": "small", "messages": [{"role": "user", "content": "count"}], "max_tokens": 4}
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            answer = await http.post(f"{url}/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
    finally:
        world.weights.start()
    for space in (scratch, OPERATOR_NAMESPACE):
        events = json.loads(house.kubectl("-n", space, "get", "events", "-o", "json"))["items"]
        looked = [one["message"] for one in events if one["reason"] == "Pulling"]
        assert not looked, f"a node went to look for an image: {looked}"
    (pod,) = house.list("pods", scratch, "genset.dev/modeldeployment=small")
    words = house.kubectl("-n", scratch, "logs", pod["metadata"]["name"], "--all-containers")
    assert "http://" not in words.replace("http://127.0.0.1", "").replace("http://[::]", ""), words
    operator = house.get("deployment", OPERATOR_NAMESPACE, "genset-operator") or {}
    assert operator["metadata"]["annotations"]["genset.dev/bundle-digest"] == verify(site.bundle).own.digest
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert "@sha256:" in container["image"]
    print(site.told)
