"""A bundle is unpacked into a real registry and a real containerd, and what comes of it is pulled as pods pull it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import Result

from genset.api.modeldeployment import ModelDeployment
from genset.bundle.verify import verify
from genset.contracts.puller import FetchSpec
from genset.desired.context import Settings
from genset.desired.sources import wanted
from genset.desired.sources.base import Download
from genset.desired.weights import fetch_spec
from testbed.cluster import tools
from tests.support.bundle import MODEL, OTHER, Site, genset
from tests.support.guarded_registry import guarded
from tests.support.weights.running import Run, model_bytes
from tests.support.weights.stores import INDEX, MANIFEST, RealRegistry, program, real_registry

BOTH = f"{MANIFEST}, {INDEX}"


def loaded(site: Site, host: str, *more: str) -> Result:
    return genset(
        "load", str(site.bundle), "--registry", host, "--plain-http", host, "-o", str(site.folder / "out"), *more
    )


def values(site: Site) -> dict[str, Any]:
    return dict(yaml.safe_load((site.folder / "out" / "values.yaml").read_text()))


def resources(site: Site) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((site.folder / "out" / "resources.yaml").read_text()))


def fetched(resource: dict[str, Any], into: Path) -> FetchSpec:
    """Returns what the puller of this resource's pods is asked for."""
    source = ModelDeployment.model_validate(resource).spec.source
    assert source is not None
    found = wanted(source, Settings(image="none"))
    assert isinstance(found, Download)
    spec = fetch_spec(found)
    return FetchSpec(spec.source, str(into))


def test_images_are_pulled_by_digest_and_models_by_the_puller(
    site: Site, registry: RealRegistry, tmp_path: Path, run: Run
) -> None:
    assert site.create().exit_code == 0
    site.origin.close()
    done = loaded(site, registry.host)
    assert done.exit_code == 0, done.output
    assert f"helm install genset oci://{registry.host}/charts/genset --version" in done.output
    image = values(site)["image"]
    name = f"{image['repository']}@{image['digest']}"
    crane = program("crane")
    subprocess.run([crane, "validate", "--insecure", "--remote", name], check=True, capture_output=True)
    only = httpx.get(f"{site.registry.url}/v2/corp/genset/manifests/only-amd64", headers={"accept": BOTH})
    assert image["digest"] == only.headers["docker-content-digest"], "of one platform its manifest, as everywhere else"
    engine = values(site)["engines"]["llama.cpp"]["images"]["cpu"]
    subprocess.run([crane, "validate", "--insecure", "--remote", engine], check=True, capture_output=True)
    small, other, policy = resources(site)
    for resource, data in ((small, MODEL), (other, OTHER)):
        spec = fetched(resource, tmp_path / resource["metadata"]["name"])
        run(spec)
        assert model_bytes(spec) == data
    assert policy["kind"] == "RoutePolicy"
    every = (site.folder / "out" / "resources.yaml").read_text() + (site.folder / "out" / "values.yaml").read_text()
    assert site.registry.host not in every and site.origin.url not in every, "nothing names the world outside any more"


def test_what_is_there_is_not_sent_again_and_a_broken_upload_is(
    site: Site, registry: RealRegistry, tmp_path: Path
) -> None:
    assert site.create().exit_code == 0
    with guarded(registry) as guard:
        config = tmp_path / "config.json"
        config.write_text(guard.config())
        guard.refuse = 2
        done = loaded(site, guard.host, "--docker-config", str(config))
        assert done.exit_code == 0, done.output
        assert "pull,push" in guard.asked, "a token that may only read is not enough"
        first = guard.bytes_in
        assert first > len(MODEL) + len(OTHER)
        assert loaded(site, guard.host, "--docker-config", str(config)).exit_code == 0
        assert guard.bytes_in == first


def test_who_may_not_push_is_told_what_to_do(site: Site, registry: RealRegistry, tmp_path: Path) -> None:
    assert site.create().exit_code == 0
    with guarded(registry) as guard:
        (tmp_path / "config.json").write_text(guard.config("wrong"))
        done = loaded(site, guard.host, "--docker-config", str(tmp_path / "config.json"))
        assert done.exit_code == 1 and "401" in done.output and "docker login" in done.output
        assert not (site.folder / "out").exists(), "nobody installs from half a registry"


def test_an_image_of_several_platforms_keeps_its_digest(site: Site, registry: RealRegistry) -> None:
    assert site.create("--platform", "all").exit_code == 0
    asked = next(one for one in verify(site.bundle).table.images if one.asked.endswith("genset:1.0"))
    assert loaded(site, registry.host).exit_code == 0
    assert values(site)["image"]["digest"] == asked.root.digest
    for tag in ("1.0", asked.root.digest):
        found = httpx.get(f"{registry.url}/v2/corp/genset/manifests/{tag}", headers={"accept": BOTH})
        assert found.status_code == 200 and found.headers["docker-content-digest"] == asked.root.digest


def test_a_tampered_bundle_is_not_unpacked(site: Site, registry: RealRegistry) -> None:
    assert site.create().exit_code == 0
    member = next(iter(verify(site.bundle).members.values()))
    with site.bundle.open("r+b") as stream:
        stream.seek(member.start)
        stream.write(b"\xff")
    done = loaded(site, registry.host)
    assert done.exit_code == 1 and member.digest in done.output
    assert httpx.get(f"{registry.url}/v2/_catalog").json()["repositories"] in (None, [])


def test_below_a_path_of_the_registry(site: Site, registry: RealRegistry) -> None:
    assert site.create().exit_code == 0
    done = loaded(site, f"{registry.host}/mirror/genset")
    assert done.exit_code == 0, done.output
    assert values(site)["image"]["repository"] == f"{registry.host}/mirror/genset/corp/genset"


def test_the_chart_comes_out_as_helm_takes_it_and_asks_for_nothing_else(
    site: Site, registry: RealRegistry, tmp_path: Path
) -> None:
    assert site.create().exit_code == 0
    done = loaded(site, registry.host)
    helm = str(tools.ensure("helm")["helm"])
    version = done.output.split("--version ")[1].split()[0]
    home = {**os.environ, "HELM_CACHE_HOME": str(tmp_path / "helm")}
    command = ["template", "genset", f"oci://{registry.host}/charts/genset", "--version", version, "--plain-http"]
    rendered = subprocess.run(
        [helm, *command, "--values", str(site.folder / "out" / "values.yaml"), "--set", "ledger.enabled=true"],
        check=True, capture_output=True, text=True, env=home,
    ).stdout  # fmt: skip
    objects = [one for one in yaml.safe_load_all(rendered) if one]
    images = {image for one in objects for image in _images(one)}
    assert images and all(one.startswith(f"{registry.host}/") and "@sha256:" in one for one in images), images
    operator = next(
        one for one in objects if one["kind"] == "Deployment" and "operator" in json.dumps(one["metadata"]["name"])
    )
    told = verify(site.bundle)
    assert operator["metadata"]["annotations"]["genset.dev/bundle-digest"] == told.own.digest
    assert f"--bundle-created={told.table.created}" in operator["spec"]["template"]["spec"]["containers"][0]["args"]


def _images(made: Any) -> Iterator[str]:
    if isinstance(made, dict):
        for key, value in made.items():
            if key == "image" and isinstance(value, str):
                yield value
            yield from _images(value)
    elif isinstance(made, list):
        for one in made:
            yield from _images(one)


@pytest.mark.skipif(os.getuid() != 0, reason="a network namespace needs root")
def test_without_a_way_out_nothing_is_looked_up_outside(site: Site, tmp_path: Path) -> None:
    """In a network namespace that has a loopback and nothing else: whoever looked anything up would fail."""
    assert site.create().exit_code == 0
    host = "127.0.0.1:5000"
    crane = program("crane")
    script = f"""
ip link set lo up
ip route show table all | grep -v ' dev lo' | grep . && exit 9
{crane} registry serve --address {host} >{tmp_path}/log 2>&1 &
registry=$!
{sys.executable} -m genset bundle verify {site.bundle} || exit 8
for try in $(seq 100); do {crane} catalog {host} --insecure >/dev/null 2>&1 && break; sleep 0.05; done
{sys.executable} -m genset bundle load {site.bundle} --registry {host} --plain-http {host} -o {site.folder}/out
status=$?
{crane} catalog {host} --insecure
kill $registry
exit $status
"""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "operator"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for repository in ("corp/genset", "corp/llama", "genset-models/models/small", "models/other", "charts/genset"):
        assert repository in done.stdout.splitlines(), done.stdout


# A node


def test_a_node_without_a_registry(site: Site, containerd: Path, tmp_path: Path) -> None:
    assert site.create().exit_code == 0
    command = ["load", str(site.bundle), "--containerd", "--address", str(containerd), "-o", str(tmp_path / "out")]
    done = genset(*command)
    assert done.exit_code == 1 and "--weights DIR" in done.output
    done = genset(*command, "--weights", str(tmp_path / "models"))
    assert done.exit_code == 0, done.output
    ctr = ["ctr", "-a", str(containerd), "-n", "k8s.io", "images"]
    names = subprocess.run([*ctr, "ls", "-q"], check=True, capture_output=True, text=True).stdout.split()
    table = verify(site.bundle).table
    for image in table.images:
        assert image.name in names, "by the tag that pods name"
        assert f"{image.name.rpartition(':')[0]}@{image.root.digest}" in names, "and by the digest"
    checked = subprocess.run([*ctr, "check"], check=True, capture_output=True, text=True).stdout
    assert "incomplete" not in checked and checked.count("complete") == len(names), checked
    small, other, _ = list(yaml.safe_load_all((tmp_path / "out" / "resources.yaml").read_text()))
    for resource, data in ((small, MODEL), (other, OTHER)):
        ModelDeployment.model_validate(resource)
        assert Path(resource["spec"]["source"]["hostPath"]["path"]).read_bytes() == data
        assert "cache" not in resource["spec"]
    (package,) = (tmp_path / "out").glob("genset-*.tgz")
    shown = subprocess.run(
        [str(tools.ensure("helm")["helm"]), "show", "chart", str(package)], capture_output=True, text=True
    )
    assert "name: genset" in shown.stdout and str(package) in done.output
    told = yaml.safe_load((tmp_path / "out" / "values.yaml").read_text())
    assert told["allowHostPath"] is True and told["image"]["digest"] == table.images[0].root.digest


def test_a_node_that_takes_nothing_is_told(site: Site, tmp_path: Path) -> None:
    assert site.create().exit_code == 0
    done = genset(
        "load",
        str(site.bundle),
        "--containerd",
        "--address",
        str(tmp_path / "nobody"),
        "--weights",
        str(tmp_path / "m"),
    )
    assert done.exit_code == 1 and "did not take the images" in done.output
    assert not (tmp_path / "m").exists()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    from genset.weights.fetch import fetch
    from genset.weights.progress import ProgressLog
    from tests.support.weights.running import FAST

    return lambda spec: fetch(spec, ProgressLog(time.monotonic), retry=FAST)


def test_two_registries_get_the_same(site: Site, registry: RealRegistry, tmp_path: Path) -> None:
    assert site.create().exit_code == 0
    assert loaded(site, registry.host).exit_code == 0
    one = values(site)
    with real_registry(tmp_path / "second") as second:
        assert loaded(site, second.host).exit_code == 0
        assert json.dumps(values(site)) == json.dumps(one).replace(registry.host, second.host)
