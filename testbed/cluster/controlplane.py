"""A control plane is etcd and kube-apiserver, if wanted with controller-manager and scheduler, without a node.

Alone it is what the integration tests use, ready in a few seconds; the whole cluster (cluster.py) adds a node to it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.cluster import tools
from testbed.cluster.api import Api, wait_for
from testbed.cluster.flags import (
    AUDIT_POLICY,
    KUBERNETES_SERVICE_ADDRESS,
    KUBERNETES_SERVICE_ADDRESS_6,
    LOOPBACK,
    Layout,
    apiserver_arguments,
    controller_manager_arguments,
    etcd_arguments,
    scheduler_arguments,
)
from testbed.cluster.pki import CONTEXT, Authority, KeyPair, write_kubeconfig
from testbed.cluster.ports import free_ports
from testbed.cluster.processes import Daemons

log = logging.getLogger(__name__)

READY_SECONDS = 60.0
WRITING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class ControlPlane:
    """A control plane lives in one folder, which must be empty, or hold what an earlier one left behind.

    As a context manager it ends with its block, and with its process even if that is killed: a guard process sees its
    pipe close.
    """

    def __init__(
        self,
        folder: Path,
        audit_log: bool = True,
        controller_manager: bool = False,
        *,
        scheduler: bool = False,
        without_controllers: Sequence[str] = (),
        address: str = LOOPBACK,
        node_name: str = "",
        guarded: bool = True,
    ) -> None:
        self.folder = folder.resolve()
        self.daemons = Daemons(self.folder)
        self._audit = audit_log
        self._controller_manager = controller_manager
        self._scheduler = scheduler
        self._without_controllers = without_controllers
        self._address = address
        self._node_name = node_name
        self._guarded = guarded
        self._guard: subprocess.Popen[bytes] | None = None
        self.layout = Layout(self.folder, address, 0, 0)

    # -- what users need -----------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """Names an administrator's kubeconfig, with the context `genset-e2e`."""
        return self.folder / "kubeconfig"

    @property
    def server(self) -> str:
        return self.layout.server

    @property
    def context(self) -> str:
        return CONTEXT

    @property
    def audit_log_path(self) -> Path:
        """Names the audit log: one JSON event per line, at level Metadata, written when the answer has been sent."""
        return self.layout.audit_log

    def audit_events(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """Yields events from a byte position of the log on; `audit_position()` gives one."""
        with self.audit_log_path.open("rb") as handle:
            handle.seek(since)
            for line in handle:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def audit_position(self) -> int:
        """Returns where the next event begins, in bytes: the end of the last complete line."""
        try:
            with self.audit_log_path.open("rb") as handle:
                size = handle.seek(0, os.SEEK_END)
                start = max(0, size - 65536)
                handle.seek(start)
                return start + handle.read(size - start).rfind(b"\n") + 1
        except FileNotFoundError:
            return 0

    def writes(self, since: int = 0, user_agent: str = "") -> list[dict[str, Any]]:
        """Returns events of requests that would change something, refused ones included.

        `user_agent` is a text that the client's user agent has to contain.
        """
        return [
            event
            for event in self.audit_events(since)
            if event["verb"] in WRITING_VERBS and user_agent in event.get("userAgent", "")
        ]

    def metrics(self) -> str:
        """Returns the API server's own metrics in Prometheus' text format."""
        status, body = self.api.request("GET", "/metrics")
        if status != 200:
            raise RuntimeError(f"GET {self.server}/metrics was answered {status}")
        return body.decode()

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Runs kubectl as an administrator. Returns what it prints; raises RuntimeError with its error message."""
        return run_kubectl(self.kubeconfig, *arguments, stdin=stdin, timeout=timeout)

    @property
    def api(self) -> Api:
        pki = self.folder / "pki"
        return Api(self.server, pki / "ca.crt", KeyPair(pki / "admin.crt", pki / "admin.key"))

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts everything and waits until it is ready, in a folder cleared of an earlier control plane."""
        tools.ensure("kubernetes")
        self.daemons.stop_all()
        for name in ("etcd", "pki", "log", "run"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._guarded:
            self._start_guard()
        try:
            self.begin()
            self.wait_ready()
            self.start_controllers()
        except BaseException:
            self.stop()
            raise
        return self

    def begin(self) -> None:
        """Chooses ports, writes files, starts etcd and the API server; does not wait for them."""
        etcd_port = free_ports(1)[0]
        api_port = free_ports(1, self._address)[0]
        self.layout = Layout(self.folder, self._address, api_port, etcd_port)
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        self.layout.audit_policy.write_text(json.dumps(AUDIT_POLICY))
        authority = self.authority()
        admin = authority.issue("admin", "genset-e2e-admin", "system:masters")
        write_kubeconfig(self.kubeconfig, self.server, authority.ca.certificate, "admin", admin)
        self.write_state()
        self._run("etcd", etcd_arguments(self.layout))
        self.start_apiserver(wait=False)

    def attach(self) -> bool:
        """Takes over a control plane that an earlier process left running in the folder. Returns False if none runs."""
        try:
            state = json.loads((self.folder / "controlplane.json").read_text())
            self.layout = Layout(self.folder, state["address"], state["apiPort"], state["etcdPort"])
        except (OSError, ValueError, KeyError):
            return False
        return True

    def write_state(self) -> None:
        state = {"address": self.layout.address, "apiPort": self.layout.api_port, "etcdPort": self.layout.etcd_port}
        (self.folder / "controlplane.json").write_text(json.dumps(state))

    def authority(self) -> Authority:
        return Authority(self.folder / "pki", dt.datetime.now(dt.UTC))

    def start_apiserver(self, wait: bool = True) -> None:
        """Starts the API server (again), on the same port, with the same data."""
        authority = self.authority()
        names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]
        serving = authority.issue(
            "apiserver",
            "kube-apiserver",
            hosts=list(
                dict.fromkeys(
                    [*names, LOOPBACK, self._address, KUBERNETES_SERVICE_ADDRESS, KUBERNETES_SERVICE_ADDRESS_6]
                )
            ),
        )
        arguments = apiserver_arguments(
            self.layout,
            authority.ca.certificate,
            serving,
            authority.issue("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
            authority.service_account_key(),
            node=bool(self._node_name),
            controllers=self._controller_manager,
            audit=self._audit,
        )
        self._run("kube-apiserver", arguments)
        if wait:
            self.wait_ready()

    def stop_apiserver(self, grace_seconds: float = 0.0) -> None:
        """Ends the API server at once, as a power cut would, or by SIGTERM if it gets grace. etcd keeps running."""
        self.daemons.stop("kube-apiserver", grace_seconds)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until the API server is ready and the namespace `default` exists."""

        def alive() -> None:
            self.daemons.check("etcd")
            self.daemons.check("kube-apiserver")

        api = self.api
        wait_for(f"API server {self.server} ready", api.is_ready, seconds, alive)
        wait_for("namespace default", lambda: api.get("/api/v1/namespaces/default") is not None, seconds, alive)

    def start_controllers(self) -> None:
        """Starts the controller-manager and the scheduler, as far as they are wanted."""
        authority = self.authority()
        if self._controller_manager:
            user = "system:kube-controller-manager"
            # system:masters: the controllers act with this identity instead of one service account each, which saves
            # seconds of start.
            config = self.client_config("controller-manager", user, "system:masters")
            key, _ = authority.service_account_key()
            arguments = controller_manager_arguments(
                config, authority, key, free_ports(1)[0], self._without_controllers
            )
            self._run("kube-controller-manager", arguments)
        if self._scheduler:
            config = self.client_config("scheduler", "system:kube-scheduler")
            self._run("kube-scheduler", scheduler_arguments(config, free_ports(1)[0]))

    def client_config(self, name: str, user: str, organisation: str = "") -> Path:
        """Writes a kubeconfig for one component. Returns its path."""
        authority = self.authority()
        pair = authority.issue(name, user, organisation)
        return write_kubeconfig(
            self.folder / "pki" / f"{name}.kubeconfig", self.server, authority.ca.certificate, user, pair
        )

    def stop(self) -> None:
        """Ends every daemon of the folder; its files stay for whoever wants to read them."""
        guard, self._guard = self._guard, None
        self.daemons.stop_all()
        if guard is not None:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()

    def remove(self) -> None:
        """Ends every daemon of the folder and removes the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, component: str, arguments: Sequence[str]) -> None:
        self.daemons.start(component, [tools.path("kubernetes"), component, *arguments])

    def _start_guard(self) -> None:
        root = Path(__file__).parents[2]
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "testbed.cluster.guard", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )


def run_kubectl(kubeconfig: Path, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
    """Runs the kubectl of the cluster's own version. Returns what it prints."""
    started = time.monotonic()
    done = subprocess.run(
        [str(tools.path("kubectl")), "--kubeconfig", str(kubeconfig), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        spent = time.monotonic() - started
        raise RuntimeError(
            f"kubectl {' '.join(arguments)} failed after {spent:.1f} s: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout
