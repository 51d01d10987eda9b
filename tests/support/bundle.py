"""A small site for tests of bundles: images in a real registry, models at a web server and in a registry, resources, values."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from genset.cli import main
from tests.support.weights.fakes import FakeHub, FakeOrigin, sha256, tiny_gguf
from tests.support.weights.stores import INDEX, MANIFEST, RAW, Layer, RealRegistry, tarred

ROOT = Path(__file__).parents[2]
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MODEL, OTHER = tiny_gguf(300_000, seed=7), tiny_gguf(200_000, seed=8)
PLATFORMS = ("amd64", "arm64")


def push_image(
    registry: RealRegistry, repository: str, tag: str, *layers: bytes, platforms: tuple[str, ...] = PLATFORMS
) -> str:
    """Pushes an image of some platforms, each with these layers and one of its own; returns the digest of its index."""
    entries = []
    for architecture in platforms:
        own = tarred({"etc/arch": architecture.encode() * 500})
        every = [Layer(gzip.compress(data, 1, mtime=0), LAYER) for data in (*layers, own)]
        config = Layer(
            json.dumps(
                {
                    "os": "linux", "architecture": architecture, "config": {},
                    "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in (*layers, own)]},
                }
            ).encode(),
            CONFIG,
        )  # fmt: skip
        for layer in (*every, config):
            registry.blob(repository, layer.data)
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor,
            "layers": [layer.descriptor for layer in every],
        }  # fmt: skip
        pushed = registry.manifest(repository, f"only-{architecture}", document)
        size = len(json.dumps(document).encode())
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": MANIFEST, "digest": pushed, "size": size, "platform": platform})
    return registry.manifest(repository, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


@dataclass
class Site:
    """A site's files, and where everything comes from."""

    folder: Path
    registry: RealRegistry
    origin: FakeOrigin
    hub: FakeHub

    @property
    def bundle(self) -> Path:
        return self.folder / "site.gsb"

    def command(self, *verb: str) -> list[str]:
        return ["bundle", *verb]

    def create(self, *more: str) -> Result:
        command = [
            "create", "--policy", str(self.folder / "resources.yaml"), "--values", str(self.folder / "values.yaml"),
            "--chart", str(ROOT / "charts" / "genset"), "--platform", "linux/amd64", "--patience", "1", "-o", str(self.bundle),
        ]  # fmt: skip
        return genset(*command, *more)

    def write(self, *documents: dict[str, Any]) -> None:
        (self.folder / "resources.yaml").write_text(yaml.safe_dump_all(documents))


def genset(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bundle", *arguments])


def deployment(name: str, source: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "models"},
        "spec": {"model": name, "source": source, "cache": {"size": "1Gi"}, **spec},
    }


def policy(*deployments: str) -> dict[str, Any]:
    backends = [{"name": name, "deployment": {"name": name}} for name in deployments]
    routes = [{"name": "all", "tiers": [{"backends": [{"name": name}]} for name in deployments]}]
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "site", "namespace": "models"},
        "spec": {"backends": backends, "routes": routes},
    }


def made_site(folder: Path, registry: RealRegistry, origin: FakeOrigin, hub: FakeHub) -> Site:
    """Makes the site whose models come from a web server and a registry, with the same base under both images."""
    base = tarred({"base": random.Random(1).randbytes(50_000)})
    push_image(registry, "corp/genset", "1.0", base, tarred({"genset": b"g" * 9_000}))
    push_image(registry, "corp/llama", "server", base, tarred({"llama": b"l" * 9_000}))
    registry.push("models/other", "q4", [Layer(OTHER, RAW, "other-q4.gguf")])
    origin.put("/files/m-q4.gguf", MODEL)
    site = Site(folder, registry, origin, hub)
    values = {
        "image": {"repository": f"{registry.host}/corp/genset", "tag": "1.0"},
        "engines": {name: {"images": {"cpu": f"{registry.host}/corp/llama:server"}} for name in ("llama.cpp", "vllm")},
    }
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    web = {"http": {"url": f"{origin.url}/files/m-q4.gguf", "sha256": sha256(MODEL)}}
    artifact = {"oci": {"reference": f"{registry.host}/models/other:q4", "plainHTTP": True}}
    site.write(deployment("small", web), deployment("other", artifact), policy("small", "other"))
    return site


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
