"""The embedded cluster is a control plane, one real node and the add-ons, in one folder.

There can be one per machine, because a node's packet filter rules, bridge and control groups are the machine's.
Everything that `up` makes is known from the folder alone, so `down` needs no memory of it, and finds what a crash or a
killed `up` has left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path

from testbed.cluster import addons, cgroups, mounts, network, node, overlay, packages, tools, traces
from testbed.cluster.api import NotReady, wait_for
from testbed.cluster.console import Refused
from testbed.cluster.controlplane import ControlPlane, run_kubectl
from testbed.cluster.network import NODE_ADDRESS
from testbed.cluster.node import NODE_NAME
from testbed.cluster.pki import CONTEXT
from testbed.cluster.ports import free_ports
from testbed.cluster.processes import end_processes, marked_processes
from testbed.cluster.steps import run_step
from testbed.cluster.store import cache_root, locked

log = logging.getLogger(__name__)

CLAIM = Path("/run/genset-e2e.json")  # names the folder of this machine's cluster; a reboot ends both
CLAIM_LOCK = Path("/run/genset-e2e.lock")
LONGEST_FOLDER = 60  # characters; paths of sockets below it may have 107 (sockaddr_un)
NODE_SECONDS = 90.0
NAMESPACE = "k8s.io"  # containerd's, not Kubernetes'


def default_folder() -> Path:
    return cache_root() / "cluster" / "default"


class Cluster:
    """A cluster is that of one folder, running or not."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or default_folder()).resolve()
        self._plane = ControlPlane(
            self.folder,
            controller_manager=True,
            scheduler=True,
            address=NODE_ADDRESS,
            node_name=NODE_NAME,
            guarded=False,
        )
        self._daemons = self._plane.daemons
        self._plane.attach()

    # -- what users need -----------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """Names an administrator's kubeconfig, with the context `genset-e2e`."""
        return self._plane.kubeconfig

    @property
    def context(self) -> str:
        return CONTEXT

    @property
    def node_ip(self) -> str:
        """Returns the node's address, at which pods reach servers of this machine, and only pods and this machine do."""
        return NODE_ADDRESS

    @property
    def audit_log_path(self) -> Path:
        return self._plane.audit_log_path

    @property
    def control_plane(self) -> ControlPlane:
        """Returns the control plane, for what it offers: audit events, metrics."""
        return self._plane

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Runs kubectl as an administrator. Returns what it prints."""
        return run_kubectl(self.kubeconfig, *arguments, stdin=stdin, timeout=timeout)

    def stop_apiserver(self) -> None:
        """Ends the API server at once; etcd, the node and its pods go on."""
        self._plane.stop_apiserver()

    def start_apiserver(self) -> None:
        self._plane.start_apiserver()

    def load_image(self, archive: Path) -> None:
        """Imports an OCI archive into the node, unless this very file was imported already."""
        loaded = self._loaded_images()
        if str(archive) in loaded:
            return
        with locked(self.folder / "images.lock", "loading an image"):
            self._import(archive)
            self._loaded_file.write_text(json.dumps([*self._loaded_images(), str(archive)]))

    def environment(self) -> dict[str, str]:
        """Returns variables for a shell that works with the cluster."""
        path = os.pathsep.join([*(str(p) for p in tools.search_path()), os.environ.get("PATH", "")])
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    # -- life ----------------------------------------------------------------------------------------------------------

    def up(self) -> bool:
        """Brings the cluster up, and begins anew if it is half up. Returns False if it was up and healthy already."""
        self._check_machine()
        with locked(CLAIM_LOCK, "the cluster of this machine"):
            if self.is_healthy():
                log.info("The cluster runs already in %s", self.folder)
                return False
            packages.install(packages.NODE)
            binaries = tools.ensure(*tools.CLUSTER_PROGRAMS)
            pause = self._pause_archive()
            self.clear_others()
            self._clear()
            self._refuse_foreign_node()
            started = time.monotonic()
            self.folder.mkdir(parents=True, exist_ok=True)
            CLAIM.write_text(json.dumps({"folder": str(self.folder)}))
            try:
                self._start(pause, binaries["coredns"], binaries["policies"])
                self._complete_file.touch()
            except BaseException:
                self._keep_logs()
                self._clear()
                raise
            log.info("The cluster is up after %.1f s: %s", time.monotonic() - started, self.kubeconfig)
            return True

    def down(self) -> bool:
        """Ends the cluster and removes all that it made on this machine. Returns False if there was nothing."""
        if os.geteuid() != 0:
            raise Refused("Only root can end the embedded cluster")
        with locked(CLAIM_LOCK, "the cluster of this machine"):
            if not self.folder.exists() and self._claimant() != self.folder:
                return False
            self._clear()
            return True

    def is_healthy(self) -> bool:
        """Returns whether every daemon runs, and the API server and the node are ready."""
        return not self.faults()

    def faults(self) -> list[str]:
        """Lists what keeps the cluster from being healthy; empty if nothing does."""
        if not self._plane.attach() or self._claimant() != self.folder:
            return [f"no cluster runs in {self.folder}"]
        if not self._complete_file.exists():
            return ["its start was not finished"]
        dead = [f"{name} does not run" for name in self._daemons.names() if self._daemons.pid(name) is None]
        if dead:
            return dead
        if not self._plane.api.is_ready():
            return ["the API server is not ready"]
        return [] if self._is_node_ready() else [f"node {NODE_NAME} is not Ready"]

    def leftovers(self) -> list[str]:
        """Lists what of a cluster is on this machine; nothing is after `down`."""
        found = [f"process {pid}" for pid in marked_processes(self.folder)]
        found += [f"mount {place}" for place in mounts.current(self.folder)]
        found += [*network.leftovers(), *cgroups.leftovers()]
        found += [f"file {path}" for path in (self.folder, CLAIM) if path.exists()]
        found += [f"file {path}" for path in [*traces.log_links(self.folder), *traces.cni_results()]]
        return found

    # -- starting ------------------------------------------------------------------------------------------------------

    def _start(self, pause: Path, coredns: Path, policies: Path) -> None:
        from testbed.images import PAUSE

        network.prepare(self._settings_file)
        cgroups.make()
        plane, daemons = self._plane, self._daemons
        plane.begin()
        authority = plane.authority()
        port, health, proxy_health, proxy_metrics, dns_health, dns_ready = free_ports(6)
        (dns_port,) = free_ports(1, NODE_ADDRESS)
        serving = authority.issue("kubelet-server", NODE_NAME, hosts=[NODE_ADDRESS, NODE_NAME])
        kubelet = node.kubelet_configuration(self.folder, authority.ca.certificate, serving, port, health)
        snapshotter = "overlayfs" if overlay.supported(self.folder) else "native"
        node.write_files(self.folder, PAUSE, snapshotter, kubelet)
        daemons.start("containerd", ["containerd", "--config", self.folder / "containerd" / "config.toml"])
        self._wait("containerd ready", lambda: self._ctr("version").returncode == 0, "containerd")
        self.load_image(pause)
        plane.wait_ready()
        plane.start_controllers()
        kubernetes = tools.path("kubernetes")
        config = plane.client_config("kubelet", f"system:node:{NODE_NAME}", "system:nodes")
        daemons.start("kubelet", [kubernetes, "kubelet", *node.kubelet_arguments(self.folder, config)])
        for path, manifest in addons.manifests(dns_port).items():
            plane.api.apply(path, manifest)
        self._start_dns(coredns, dns_port, dns_health, dns_ready)
        volumes = plane.client_config("volumes", addons.VOLUMES_USER)
        daemons.start(
            "volume-provisioner",
            [kubernetes, "volume-provisioner", f"--kubeconfig={volumes}", f"--root={self.folder / 'volumes'}"],
        )
        watcher = plane.client_config("policies", addons.POLICIES_USER)
        daemons.start("policies", [policies, f"--kubeconfig={watcher}", f"--node={NODE_NAME}"])
        # kube-proxy asks for the node's address once, and then less and less often, so it starts when there is an
        # answer.
        self._wait("node registered", lambda: plane.api.get(f"/api/v1/nodes/{NODE_NAME}") is not None, "kubelet")
        proxy = plane.client_config("proxy", "system:kube-proxy")
        daemons.start(
            "kube-proxy", [kubernetes, "kube-proxy", *node.proxy_arguments(proxy, proxy_health, proxy_metrics)]
        )
        self._wait("NetworkPolicies enforced", network.enforces_policies, "policies")
        self._wait("node Ready", self._is_node_ready, "kubelet", "kube-proxy", "containerd")
        self._wait("service account default/default", self._has_service_account, "kube-controller-manager")
        self._wait("cluster DNS", self._is_dns_ready, "coredns", "kube-proxy")

    def _start_dns(self, coredns: Path, port: int, health: int, ready: int) -> None:
        config = self._plane.client_config("dns", addons.DNS_USER)
        file = self.folder / "Corefile"
        file.write_text(addons.corefile(config, port, health, ready, Path("/etc/resolv.conf").read_text()))
        self._daemons.start("coredns", [coredns, "-conf", file])

    def _wait(self, what: str, condition: object, *needed: str) -> None:
        assert callable(condition)

        def alive() -> None:
            for name in needed:
                self._daemons.check(name)

        try:
            seconds = wait_for(what, condition, NODE_SECONDS, alive)
        except NotReady as error:
            raise NotReady(f"{error}; see the logs in {self.folder / 'log'}, kept in {self._kept_logs}") from error
        log.info("%s after %.1f s", what[0].upper() + what[1:], seconds)

    def _is_node_ready(self) -> bool:
        found = self._plane.api.get(f"/api/v1/nodes/{NODE_NAME}")
        if found is None:
            return False
        conditions = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
        return conditions.get("Ready") == "True"

    def _has_service_account(self) -> bool:
        return self._plane.api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _is_dns_ready(self) -> bool:
        """Returns whether DNS answers as pods would ask it: at the Service's address."""
        try:
            return bool(addons.dns_query(f"kubernetes.default.svc.{node.CLUSTER_DOMAIN}", node.DNS_ADDRESS))
        except OSError:
            return False

    # -- images --------------------------------------------------------------------------------------------------------

    @property
    def _loaded_file(self) -> Path:
        return self.folder / "images.json"

    def _loaded_images(self) -> list[str]:
        try:
            content = json.loads(self._loaded_file.read_text())
        except (OSError, ValueError):
            return []
        return content if isinstance(content, list) else []

    def _pause_archive(self) -> Path:
        from testbed.images import IMAGES

        return IMAGES["pause"].archive()

    def _import(self, archive: Path) -> None:
        if self._daemons.pid("containerd") is None:
            raise Refused(f"No cluster runs in {self.folder}: python -m testbed.cluster up")
        command: list[str | Path] = [
            "ctr",
            "--address",
            node.socket(self.folder),
            "--namespace",
            NAMESPACE,
            "images",
            "import",
        ]
        if not overlay.supported(self.folder):
            command += ["--snapshotter", "native"]
        log_file = self.folder / "log" / "images.log"
        run_step(f"Loading {archive.parent.name}", [*command, archive], log_file)

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["ctr", "--address", str(node.socket(self.folder)), "--connect-timeout", "1s", *arguments],
            capture_output=True,
            check=False,
        )

    # -- ending --------------------------------------------------------------------------------------------------------

    @property
    def _complete_file(self) -> Path:
        return self.folder / "complete"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _kept_logs(self) -> Path:
        return cache_root() / "log" / "cluster"

    def _keep_logs(self) -> None:
        shutil.rmtree(self._kept_logs, ignore_errors=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(self.folder / "log", self._kept_logs)

    def _clear(self) -> None:
        """Ends and removes whatever is there of this folder's cluster."""
        is_claimant = self._claimant() == self.folder
        self._daemons.stop_all()
        if is_claimant:
            cgroups.kill_all()
            end_processes(marked_processes(self.folder))  # shims that a dying containerd started
        sockets = list(traces.shim_sockets(self.folder))
        mounts.unmount_below(self.folder)
        if is_claimant:
            network.clear(self._settings_file)
            cgroups.remove()
        for path in [
            *sockets,
            *traces.log_links(self.folder),
            *([*traces.cni_results(), traces.KUBELET_SOCKET] if is_claimant else []),
        ]:
            path.unlink(missing_ok=True)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        if is_claimant:
            for path in traces.EMPTY_FOLDERS:
                with contextlib.suppress(OSError):  # not empty, so somebody else uses it, too
                    path.rmdir()
            CLAIM.unlink(missing_ok=True)

    # -- who else is here ----------------------------------------------------------------------------------------------

    def _claimant(self) -> Path | None:
        try:
            return Path(json.loads(CLAIM.read_text())["folder"])
        except (OSError, ValueError, KeyError):
            return None

    def clear_others(self) -> None:
        """Refuses to run beside another running cluster, and tidies up after one that died."""
        other = self._claimant()
        if other is None or other == self.folder:
            return
        if marked_processes(other):
            raise Refused(
                f"Another cluster of this kind runs on this machine, in {other}, and there can be one: "
                f"use it, or end it with python -m testbed.cluster down --dir {other}"
            )
        log.info("Tidying up after a cluster that died in %s", other)
        Cluster(other)._clear()

    def _refuse_foreign_node(self) -> None:
        chains = network.foreign_node_chains()
        if chains:
            raise Refused(
                "This machine is, or was, a node of another Kubernetes: "
                f"its packet filter holds {', '.join(chains[:3])}. "
                "End that one (a reboot clears the rules), or use it with CONTEXT and KUBECONFIG"
            )

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise Refused(
                "The embedded cluster runs real containers and needs root; "
                "or use a cluster of your own with CONTEXT and KUBECONFIG"
            )
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise Refused(
                f"{self.folder} is longer than {LONGEST_FOLDER} characters, too long for the sockets in it: "
                "choose another with --dir"
            )
