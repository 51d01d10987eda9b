"""These are the control plane's command lines, and where its files and ports are. Pure: nothing is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.cluster.pki import Authority, KeyPair

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_ADDRESS = "10.96.0.1"
LOOPBACK_6 = "::1"
SERVICE_RANGE_6 = "fd00:96::/112"
KUBERNETES_SERVICE_ADDRESS_6 = "fd00:96::1"
ISSUER = "https://kubernetes.default.svc.cluster.local"

# Metadata of every request, once, when it has been answered; for a watch, when it began.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class Layout:
    """A layout is where a control plane keeps its files and listens."""

    folder: Path
    address: str  # the API server listens on this one address
    api_port: int
    etcd_port: int

    @property
    def server(self) -> str:
        host = f"[{self.address}]" if self.is_ipv6 else self.address
        return f"https://{host}:{self.api_port}"

    @property
    def is_ipv6(self) -> bool:
        """Returns whether the cluster has IPv6 alone."""
        return ":" in self.address

    @property
    def audit_log(self) -> Path:
        return self.folder / "log" / "audit.jsonl"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.json"


def etcd_arguments(layout: Layout) -> list[str]:
    """Returns etcd's arguments. Nothing here outlives the machine, so etcd need not wait for its disk."""
    client = f"http://{LOOPBACK}:{layout.etcd_port}"
    return [
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls=http://{LOOPBACK}:0",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def apiserver_arguments(
    layout: Layout,
    ca: Path,
    serving: KeyPair,
    kubelet_client: KeyPair,
    service_account: tuple[Path, Path],
    *,
    node: bool,
    controllers: bool,
    audit: bool,
) -> list[str]:
    """Returns the API server's arguments.

    `node`: pods run, and reach this server through the `kubernetes` Service. `controllers`: service accounts are
    created.
    """
    signing, public = service_account
    arguments = [
        f"--etcd-servers=http://{LOOPBACK}:{layout.etcd_port}",
        f"--bind-address={layout.address}",
        f"--advertise-address={layout.address}",
        f"--secure-port={layout.api_port}",
        f"--service-cluster-ip-range={SERVICE_RANGE_6 if layout.is_ipv6 else SERVICE_RANGE}",
        f"--client-ca-file={ca}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--kubelet-certificate-authority={ca}",
        f"--kubelet-client-certificate={kubelet_client.certificate}",
        f"--kubelet-client-key={kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-signing-key-file={signing}",
        f"--service-account-key-file={public}",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false",
        "--allow-privileged=true",
        "--enable-admission-plugins=NodeRestriction",
        # A test may send a burst that no real client would; the limits under test are the client's own.
        "--max-requests-inflight=4000",
        "--max-mutating-requests-inflight=2000",
    ]
    if not node:  # a loopback address cannot be an endpoint, and nobody would use it
        arguments.append("--endpoint-reconciler-type=none")
    if not controllers:  # nobody makes the default service accounts, without which no pod could be created
        arguments.append("--disable-admission-plugins=ServiceAccount")
    if audit:
        arguments += [
            f"--audit-policy-file={layout.audit_policy}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-maxsize=4096",  # megabytes; by default the file would be rotated away from its reader
        ]
    return arguments


def controller_manager_arguments(
    kubeconfig: Path, authority: Authority, service_account_key: Path, port: int, without: Sequence[str] = ()
) -> list[str]:
    """Returns the controller-manager's arguments; `without`: controllers that are left out.

    The client's rates are raised: a test's hundreds of objects must not wait for a limit meant for one cluster among
    many.
    """
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        f"--root-ca-file={authority.ca.certificate}",
        f"--cluster-signing-cert-file={authority.ca.certificate}",
        f"--cluster-signing-key-file={authority.ca.key}",
        f"--service-account-private-key-file={service_account_key}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--concurrent-gc-syncs=20",
        f"--controllers={','.join(['*', *(f'-{name}' for name in without)])}",
    ]


def scheduler_arguments(kubeconfig: Path, port: int) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]
