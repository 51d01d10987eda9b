"""The embedded cluster with an Argo CD beside it, and a repository that holds our chart and our samples.

genset is installed by Argo CD here, not by Helm: a release that other tests left in the cluster goes first and comes
back in the end. Only on the embedded cluster: a cluster of someone's own may well have an Argo CD of its own.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from e2e.argocd.argo import ArgoCd, GitRepository
from e2e.cloud import free_port
from e2e.weights_server import WeightsServer
from testbed.cluster import choose, packages, tools
from testbed.cluster.cluster import Cluster
from testbed.cluster.processes import Daemons
from testbed.house import OPERATOR_NAMESPACE, ROOT, House, load_samples
from testbed.images import IMAGES
from testbed.models import counting

NAMESPACE = "fleet"  # where Argo CD puts the samples
NAMESPACES = (NAMESPACE, "plain", "alpha", "beta")  # all that the tests make
WEIGHTS_FILE = "counting.gguf"
EXAMPLES = ROOT / "manifests" / "argocd"
Object = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """What a test may act on."""

    house: House
    argo: ArgoCd
    git: GitRepository
    weights: WeightsServer

    def commit(self, message: str, *applications: str) -> str:
        """A commit that Argo CD looks at now; returns its hash."""
        revision = self.git.commit(message)
        for name in applications:
            self.argo.refresh(name)
        return revision

    def example(self, file: str, name: str) -> Object:
        """An object of manifests/argocd, with this repository in place of the example's."""
        text = (EXAMPLES / file).read_text()
        (found,) = [item for item in yaml.safe_load_all(text) if item["metadata"]["name"] == name]
        return dict(_with_repository(found, self.git.url))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    choice = choose.resolve()
    if not choice.embedded:
        pytest.skip("Argo CD is brought up beside the embedded cluster only")
    packages.install(packages.ARGOCD)
    tools.ensure(*tools.CLUSTER_PROGRAMS, "argocd")
    archives = [IMAGES[name].archive() for name in ("pause", "llamacpp", "genset")]
    cluster = Cluster()
    started = cluster.up()
    for archive in archives:
        cluster.load_image(archive)
    house = House.of(choice)
    released = "genset" in house.helm("list", "--namespace", OPERATOR_NAMESPACE, "--short").split()
    if released:
        house.helm("uninstall", "genset", "--namespace", OPERATOR_NAMESPACE, "--wait")
    folder = tmp_path_factory.mktemp("argocd")
    try:
        with ArgoCd(cluster.kubeconfig, folder) as argo:
            weights = _weights(argo.daemons, folder / "weights", cluster.node_ip)
            git = argo.repository()
            yield Site(house, argo, git, weights)
            argo.remove()
        house.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", seconds=120)
    finally:
        if started:
            cluster.down()
        elif released:
            house.install("--take-ownership")


def _weights(daemons: Daemons, served: Path, address: str) -> WeightsServer:
    served.mkdir(parents=True)
    (served / WEIGHTS_FILE).symlink_to(counting.cached())
    server = WeightsServer(daemons, served, address, free_port(address))
    server.start()
    return server


@pytest.fixture(scope="session")
def operator(site: Site) -> Object:
    """The Application of the operator, out of our example, Synced and Healthy."""
    shutil.copytree(ROOT / "charts" / "genset", site.git.folder / "charts" / "genset")
    application = site.example("application.yaml", "genset")
    application["spec"]["source"]["helm"]["valuesObject"].update(values(site.house))
    revision = site.git.commit("The operator's chart")
    site.argo.apply(application)
    return site.argo.until_healthy("genset", revision, seconds=180)


@pytest.fixture(scope="session")
def models(site: Site, operator: Object) -> Object:
    """The Application of the demo's samples, out of our example, Synced and Healthy."""
    for item in samples(site):
        site.git.write(f"models/{item['kind'].lower()}-{item['metadata']['name']}.yaml", item)
    application = site.example("application.yaml", "models")
    application["spec"]["source"]["path"] = "models"
    application["spec"]["destination"]["namespace"] = NAMESPACE
    revision = site.git.commit("A model and its router")
    site.argo.apply(application)
    return site.argo.until_healthy("models", revision, seconds=180)


def values(house: House) -> Object:
    """Where this cluster has its images."""
    repository, _, tag = house.image.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "engines": {"llama.cpp": {"images": {"cpu": house.llama_cpp_image}}},
    }


def samples(site: Site) -> list[Object]:
    """The demo's samples, for the namespace of these tests; their cloud is an address where nobody answers."""
    source = site.weights.source(WEIGHTS_FILE)["http"]
    found = load_samples(
        ROOT / "manifests" / "samples" / "demo",
        {
            "${WEIGHTS_URL}": source["url"],
            "${WEIGHTS_SHA256}": source["sha256"],
            "${CLOUD_BASE_URL}": "https://203.0.113.1/v1",  # RFC 5737: documentation
            "${CLOUD_API_KEY}": "sk-fleet",
            "${CLOUD_CA_BASE64}": base64.b64encode(trustme.CA().cert_pem.bytes()).decode(),
        },
    )
    for item in found:
        item["metadata"]["namespace"] = NAMESPACE
    return [item for item in found if item["kind"] != "Namespace"]


def _with_repository(node: Any, url: str) -> Any:
    if isinstance(node, dict):
        return {key: url if key == "repoURL" else _with_repository(item, url) for key, item in node.items()}
    return [_with_repository(item, url) for item in node] if isinstance(node, list) else node
