"""The node is containerd, kubelet and kube-proxy, each with its files in the cluster's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster import cgroups
from testbed.cluster.flags import LOOPBACK
from testbed.cluster.network import BRIDGE, NETWORK_NAME, NODE_ADDRESS, POD_RANGE
from testbed.cluster.pki import KeyPair

NODE_NAME = "genset-e2e"
CLUSTER_DOMAIN = "cluster.local"
DNS_ADDRESS = "10.96.0.10"
CNI_PLUGINS = "/usr/lib/cni"
MOST_PODS = 200


def cni_configuration(folder: Path) -> dict[str, Any]:
    """Returns the CNI configuration.

    It has no ipMasq and no portmap: they leave one chain per pod behind, and one rule for all pods does the same.
    """
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,  # a pod may reach itself through its Service
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "cni" / "addresses"),
            "ranges": [[{"subnet": POD_RANGE, "gateway": NODE_ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": NETWORK_NAME, "plugins": [bridge]}


def containerd_configuration(folder: Path, pause_image: str, snapshotter: str) -> str:
    """Returns containerd's configuration (TOML); containerd 1.6 (Debian 12) to 2.x understand its version 2."""
    own = folder / "containerd"
    return f"""version = 2
root = "{own}/root"
state = "{own}/state"
oom_score = 0

[grpc]
  address = "{socket(folder)}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without it, runc fails to start a container where this process may not lower its own OOM score:
  # "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "{LOOPBACK}"
  stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{snapshotter}"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{own}/runc"
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{folder}/cni/conf"
"""


def socket(folder: Path) -> Path:
    """Returns the path of containerd's socket."""
    return folder / "containerd" / "containerd.sock"


def kubelet_configuration(folder: Path, ca: Path, serving: KeyPair, port: int, health_port: int) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "port": port,
        "readOnlyPort": 0,
        "healthzBindAddress": LOOPBACK,
        "healthzPort": health_port,
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(ca)},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.ROOT,
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{socket(folder)}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "kubelet" / "volume-plugins"),
        "maxPods": MOST_PODS,
        "serializeImagePulls": False,
        # Images that were loaded cannot be pulled again, and how full the machine's disk is is not ours to judge.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
    }


def kubelet_arguments(folder: Path, kubeconfig: Path) -> list[str]:
    return [
        f"--config={folder / 'kubelet.yaml'}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'kubelet' / 'pki'}",
    ]


def proxy_arguments(kubeconfig: Path, health_port: int, metrics_port: int) -> list[str]:
    """Returns kube-proxy's arguments. The zeros leave the machine's limits of tracked connections as they are."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NODE_NAME}",
        f"--cluster-cidr={POD_RANGE}",
        "--proxy-mode=iptables",
        f"--healthz-bind-address={LOOPBACK}:{health_port}",
        f"--metrics-bind-address={LOOPBACK}:{metrics_port}",
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def write_files(folder: Path, pause_image: str, snapshotter: str, kubelet: dict[str, Any]) -> None:
    """Writes every configuration file of the node."""
    for name in ("containerd", "cni/conf", "kubelet", "pod-logs", "volumes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "cni" / "conf" / "10-bridge.conflist").write_text(json.dumps(cni_configuration(folder), indent=1))
    (folder / "containerd" / "config.toml").write_text(containerd_configuration(folder, pause_image, snapshotter))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(kubelet, sort_keys=False))
