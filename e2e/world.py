"""What the demo and the scenarios play in: a cluster with genset on it, a cloud, a web server for weights.

`World.prepare` starts what is missing, in the order in which a user would, and says what it does; `close` ends what was
started outside the cluster.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import story
from e2e.cloud import Cloud, free_port
from e2e.weights_server import WeightsServer
from testbed.cluster import choose, tools
from testbed.cluster.cluster import Cluster
from testbed.cluster.processes import Daemons
from testbed.house import ROOT, House, Object, load_samples
from testbed.images import IMAGES
from testbed.models import counting
from testbed.resources import service_to

SAMPLES = ROOT / "manifests" / "samples" / "demo"
WEIGHTS_FILE = "counting.gguf"
SERVICE_PROBE = "follows-services"
SERVICE_SECONDS = 15.0  # that a Service may take from its first ready pod to its first connection
CLUSTER_IMAGES = ("pause", "llamacpp", "genset")


@dataclass
class World:
    """Everything that a chapter of the story may act on."""

    house: House
    cloud: Cloud
    weights: WeightsServer
    cluster: Cluster | None  # None: a cluster of the user's own
    samples: list[Object]
    daemons: Daemons
    _router_url: str = ""

    @classmethod
    def prepare(
        cls,
        folder: Path,
        say: Callable[[str], None],
        *,
        install: Callable[[House], None] = House.install,
        images: Sequence[str] = CLUSTER_IMAGES,
    ) -> World:
        """A running cluster with the operator installed; the samples are not applied yet."""
        choice = choose.resolve()
        tools.ensure(*tools.CLUSTER_PROGRAMS)
        cluster = None
        if choice.embedded:
            archives = {name: IMAGES[name].archive() for name in images}
            cluster = Cluster()
            started = time.monotonic()
            cluster.up()
            for archive in archives.values():
                cluster.load_image(archive)
            say(f"Cluster with a ready node and its images: {time.monotonic() - started:.1f} s")
        house = House.of(choice)
        address = cluster.node_ip if cluster else own_address()
        daemons = Daemons(folder)
        daemons.stop_all()  # of a run before, whose ports and keys nobody knows any more
        served = folder / "weights"
        served.mkdir(parents=True, exist_ok=True)
        _link(counting.cached(), served / WEIGHTS_FILE)
        (served / "login.html").write_text("<!DOCTYPE html><html><body>Please sign in</body></html>\n" * 20)
        weights = WeightsServer(daemons, served, address, free_port(address))
        cloud = Cloud(daemons, folder / "cloud", address, counting.cached())
        try:
            weights.start()
            started = time.monotonic()
            cloud.start()
            say(f"Cloud, a llama-server outside the cluster behind TLS and a key: {time.monotonic() - started:.1f} s")
            started = time.monotonic()
            install(house)
            say(f"Operator, installed by Helm, both replicas ready: {time.monotonic() - started:.1f} s")
        except BaseException:
            daemons.stop_all()  # nobody else knows of them
            raise
        source = weights.source(WEIGHTS_FILE)["http"]
        samples = load_samples(
            SAMPLES,
            {
                "${WEIGHTS_URL}": source["url"],
                "${WEIGHTS_SHA256}": source["sha256"],
                "${CLOUD_BASE_URL}": cloud.base_url,
                "${CLOUD_API_KEY}": cloud.api_key,
                "${CLOUD_CA_BASE64}": base64.b64encode(cloud.ca_file.read_bytes()).decode(),
            },
        )
        return cls(house, cloud, weights, cluster, samples, daemons)

    def close(self) -> None:
        """Ends what runs outside the cluster; the cluster stays for the next run."""
        self.daemons.stop_all()

    def sample(self, kind: str, name: str) -> Object:
        """A copy of one of the samples as applied, to change and apply again."""
        return copy.deepcopy(next(o for o in self.samples if o["kind"] == kind and o["metadata"]["name"] == name))

    @property
    def router_url(self) -> str:
        """The sample policy's router, up to and with /v1."""
        if not self._router_url:
            self._router_url = self.service_url(story.NAMESPACE, f"{story.POLICY}-router") + "/v1"
        return self._router_url

    def service_url(self, namespace: str, name: str) -> str:
        """The Service itself where this machine reaches it (the embedded cluster's node), else a port-forward.

        A pod is ready up to a second before the embedded node's kube-proxy knows of it.
        """
        url = self.house.service_url(namespace, name)
        host, port = url.removeprefix("http://").split(":")
        if self.cluster is None and not _connects(host, int(port)):
            return self._forward(namespace, name)
        _until_connects(host, int(port), SERVICE_SECONDS)
        return url

    def until_services_follow(self, seconds: float) -> None:
        """Waits until the node follows Services and their addresses again, as seen by a connection to a new one.

        kube-proxy asks an API server that was away less and less often, up to every half minute; until then a Service
        sends new connections to pods that are long gone.
        """
        api = self.house.get("endpointslices", "default", "kubernetes")
        assert api is not None, "the API server publishes its own address"
        address, port = api["endpoints"][0]["addresses"][0], api["ports"][0]["port"]
        self.house.apply(*service_to(story.NAMESPACE, SERVICE_PROBE, address, port))
        try:
            url = self.house.service_url(story.NAMESPACE, SERVICE_PROBE)
            host = url.removeprefix("http://").split(":")[0]
            _until_connects(host, port, seconds)
        finally:
            self.house.kubectl("-n", story.NAMESPACE, "delete", "service,endpointslice", SERVICE_PROBE)

    def _forward(self, namespace: str, name: str) -> str:
        port = free_port("127.0.0.1")
        command = self.house.kubectl_command("-n", namespace, "port-forward", f"service/{name}", f"{port}:80")
        self.daemons.start(f"forward-{namespace}-{name}", command)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return f"http://127.0.0.1:{port}"
        raise TimeoutError(f"kubectl port-forward to service {namespace}/{name} did not open within 20 s")


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _until_connects(host: str, port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _connects(host, port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the node did not follow the Service at {host}:{port} within {seconds:.0f} s")
        time.sleep(0.1)


def own_address() -> str:
    """This machine's address as other machines see it; GENSET_HOST_ADDRESS where the guess would be wrong."""
    if given := os.environ.get("GENSET_HOST_ADDRESS"):
        return given
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: connecting a datagram socket only picks the route
        address: str = probe.getsockname()[0]
        return address


def _link(file: Path, link: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(file)


async def until(condition: Callable[[], Any], what: str | Callable[[], str], *, seconds: float) -> None:
    """Waits for a condition of the world, off the event loop; the error says what was waited for."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.2)
