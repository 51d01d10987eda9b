"""A node's software leaves traces outside the cluster's folder, in places that cannot be configured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testbed.cluster import network

SHIM_SOCKETS = Path("/run/containerd/s")
# Places of the CNI library and of the kubelet.
CONTAINER_LOGS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")
KUBELET_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
EMPTY_FOLDERS = (CNI_RESULTS, CNI_RESULTS.parent, KUBELET_SOCKET.parent, KUBELET_SOCKET.parents[1], CONTAINER_LOGS)


def shim_sockets(folder: Path) -> Iterator[Path]:
    """Yields sockets that containerd's shims made outside their folder."""
    for file in (folder / "containerd" / "state").glob("io.containerd.runtime.v2.task/*/*/address"):
        with contextlib.suppress(OSError):
            path = Path(file.read_text().strip().removeprefix("unix://"))
            if path.parent == SHIM_SOCKETS:
                yield path


def log_links(folder: Path) -> list[Path]:
    """Lists the kubelet's links to containers' logs."""
    if not CONTAINER_LOGS.is_dir():
        return []
    return [p for p in CONTAINER_LOGS.iterdir() if p.is_symlink() and folder in p.readlink().parents]


def cni_results() -> list[Path]:
    """Lists what the CNI library remembers of our pods' interfaces, and of their loopback ones."""
    prefix = f"{network.NETWORK_NAME}-"
    pods = [p.name.removeprefix(prefix).partition("-")[0] for p in CNI_RESULTS.glob(f"{prefix}*")]
    return [p for pod in pods for p in CNI_RESULTS.glob(f"*-{pod}-*")]
