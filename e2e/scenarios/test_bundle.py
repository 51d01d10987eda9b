"""A node without a way out serves a model from a bundle alone: real images, a real containerd, no route but the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from testbed.cluster import tools
from testbed.house import CHART
from testbed.images import IMAGES
from testbed.models import counting
from tests.support.bundle import deployment, digest, genset
from tests.support.weights.fakes import FakeOrigin, serving
from tests.support.weights.stores import real_registry

pytestmark = pytest.mark.timeout(420)
ENGINE = ("/usr/bin/llama-server", "--host", "127.0.0.1", "--port", "8080")
#: Asks for an answer, and says which routes there are.
ASK = """
import json, subprocess, urllib.request
body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}).encode()
request = urllib.request.Request("http://127.0.0.1:8080/v1/chat/completions", body, {"content-type": "application/json"})
answer = json.load(urllib.request.urlopen(request, timeout=30))
routes = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout
print(json.dumps({"said": answer["choices"][0]["message"]["content"], "routes": routes}))
"""


@dataclass(frozen=True)
class Node:
    """A containerd that reaches nothing but its own loopback."""

    address: Path
    pid: int

    def ctr(self, *arguments: str) -> str:
        command = ["ctr", "-a", str(self.address), "-n", "k8s.io", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        command = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "python3", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    if os.getuid() != 0 or not shutil.which("containerd"):
        pytest.skip("a network namespace and containerd need root, and Debian's package")
    own = tmp_path / "node"
    own.mkdir()
    (own / "config.toml").write_text(
        f'version = 2\nroot = "{own}/root"\nstate = "{own}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{own}/c.sock"\n[ttrpc]\naddress = "{own}/t.sock"\n'
    )
    start = f"ip link set lo up; exec containerd --config {own}/config.toml"
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(["unshare", "--net", "sh", "-c", start], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(["ctr", "-a", f"{own}/c.sock", "version"], capture_output=True).returncode:
            assert process.poll() is None and time.monotonic() < deadline, (own / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield Node(own / "c.sock", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The bundle of a site with one model; registry and web server are gone afterwards."""
    crane = str(tools.ensure("crane")["crane"])
    model = counting.cached().read_bytes()
    images = {"genset": IMAGES["pause"], "llama": IMAGES["llamacpp"]}  # no operator runs here
    with real_registry(tmp_path / "registry") as registry, serving(FakeOrigin()) as origin:
        origin.put("/counting.gguf", model, piece=1 << 20)
        for name, image in images.items():
            with tarfile.open(image.archive()) as archive:
                archive.extractall(tmp_path / name, filter="data")
            where = f"{registry.host}/corp/{name}:1"
            subprocess.run([crane, "push", "--insecure", str(tmp_path / name), where], check=True, capture_output=True)
        values = {
            "image": {"repository": f"{registry.host}/corp/genset", "tag": "1"},
            "engines": {"llama.cpp": {"images": {"cpu": f"{registry.host}/corp/llama:1"}}},
        }
        source = {"http": {"url": f"{origin.url}/counting.gguf", "sha256": digest(model).removeprefix("sha256:")}}
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(deployment("small", source)))
        done = genset(
            "create", "-f", str(tmp_path / "site.yaml"), "--values", str(tmp_path / "values.yaml"), "--chart", str(CHART),
            "-o", str(tmp_path / "site.gsb"),
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    return tmp_path / "site.gsb"


def test_a_node_without_a_way_out_serves_from_a_bundle_alone(node: Node, bundle: Path, tmp_path: Path) -> None:
    out, models = tmp_path / "out", tmp_path / "models"
    done = genset(
        "load", str(bundle), "--containerd", "--address", str(node.address), "--weights", str(models), "-o", str(out)
    )
    assert done.exit_code == 0, done.output
    image = yaml.safe_load((out / "values.yaml").read_text())["engines"]["llama.cpp"]["images"]["cpu"]
    [resource] = list(yaml.safe_load_all((out / "resources.yaml").read_text()))
    model = Path(resource["spec"]["source"]["hostPath"]["path"])
    mount = f"type=bind,src={model.parent},dst=/models,options=rbind:ro"
    node.ctr("run", "-d", "--net-host", "--mount", mount, image, "engine", *ENGINE, "-m", f"/models/{model.name}")
    try:
        deadline = time.monotonic() + 60
        while (asked := node.python(ASK)).returncode:
            assert time.monotonic() < deadline, asked.stderr[-2000:]
            time.sleep(0.5)
    finally:
        node.ctr("task", "kill", "-s", "KILL", "engine")
        deadline = time.monotonic() + 20
        while "STOPPED" not in node.ctr("task", "ls") and time.monotonic() < deadline:
            time.sleep(0.2)
        node.ctr("task", "rm", "engine")
    told = json.loads(asked.stdout)
    assert told == {"said": " 0000 0001 0002 0003", "routes": ""}, told
    print(f"a bundle of {bundle.stat().st_size / 1e6:.0f} MB; {done.output.strip().splitlines()[-1]}")
