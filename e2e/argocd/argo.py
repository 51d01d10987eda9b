"""A real Argo CD beside a cluster: its controllers as processes of this machine, a Git repository, a Redis.

Everything is in one folder and ends with its block, or with its process if that is killed. Nothing of it listens beyond
loopback. The API server and the web UI are left out: an Application is a resource, and its state is in its status.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from testbed.cluster import packages, tools
from testbed.cluster.controlplane import run_kubectl
from testbed.cluster.ports import free_ports
from testbed.cluster.processes import Daemons
from testbed.cluster.store import build_once, digest

NAMESPACE = "argocd"
LOOPBACK = "127.0.0.1"
RESYNC_SECONDS = 10
MODULE = "github.com/argoproj/argo-cd/v3"
REFRESH = "argocd.argoproj.io/refresh"
Object = dict[str, Any]


class GitRepository:
    """A repository that this machine serves over the git protocol: a folder to write into, and `commit`."""

    def __init__(self, folder: Path, port: int, name: str = "fleet") -> None:
        self.folder = folder / name
        self.url = f"git://{LOOPBACK}:{port}/{name}"
        self.folder.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, message: str) -> str:
        """Everything in the folder as the new head; returns its hash."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "-m", message)
        return self._git("rev-parse", "HEAD").strip()

    def write(self, path: str, *objects: Object) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump_all(objects, sort_keys=False))

    def remove(self, path: str) -> None:
        (self.folder / path).unlink()

    def _git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=fleet", "-c", "user.email=fleet@example.invalid", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class ArgoCd:
    """Argo CD for the cluster of a kubeconfig."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder.resolve()
        self.daemons = Daemons(self.folder)
        self._guard: subprocess.Popen[bytes] | None = None
        git, redis, repository, *rest = free_ports(10)
        self._git_port, self._redis_port, self._repository_port, self._spare = git, redis, repository, rest
        self._repositories = self.folder / "git"

    def repository(self, name: str = "fleet") -> GitRepository:
        return GitRepository(self._repositories, self._git_port, name)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run_kubectl(self.kubeconfig, *arguments, stdin=stdin)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        packages.install(packages.ARGOCD)
        tools.ensure("argocd", "helm", "kubernetes")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._repositories.mkdir()
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "testbed.cluster.guard", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            self._configure()
            self._start_daemons()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process. The cluster keeps what Argo CD made, Argo CD's own objects included."""
        self.daemons.stop_all(grace_seconds=2)
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait()

    def remove(self) -> None:
        """Take every Application and then Argo CD's namespace out of the cluster. What an ApplicationSet made goes with it;
        what the others made stays.
        """
        gone = ("--all", "-n", NAMESPACE, "--ignore-not-found", "--timeout=60s")
        self.kubectl("delete", "applicationset", *gone)
        self.kubectl("delete", "application", *gone)
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")

    def _configure(self) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(definitions()))
        for kind in ("applications", "applicationsets", "appprojects"):  # applied is not yet served
            self._until_served(f"{kind}.argoproj.io", seconds=30)
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(self._objects())
        )

    def _objects(self) -> list[Object]:
        """What Argo CD's controllers expect, with the health checks that manifests/argocd/README.md tells to add."""
        root = Path(__file__).parents[2]
        health = (root / "manifests" / "argocd" / "health.lua").read_text()
        settings = {
            f"resource.customizations.health.genset.dev_{kind}": health for kind in ("ModelDeployment", "RoutePolicy")
        }
        names = ("argocd-rbac-cm", "argocd-cmd-params-cm", "argocd-gpg-keys-cm", "argocd-tls-certs-cm")
        maps: dict[str, Object] = {name: {} for name in (*names, "argocd-ssh-known-hosts-cm")}
        maps["argocd-cm"] = {"timeout.reconciliation": f"{RESYNC_SECONDS}s", **settings}
        objects: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
        objects += [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": _ours(n), "data": d} for n, d in maps.items()]
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": _ours("argocd-secret"),
                "stringData": {"server.secretkey": secrets.token_hex(16)},
            }
        )
        everything = {"group": "*", "kind": "*"}
        spec = {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [everything],
        }
        objects.append(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": _ours("default"), "spec": spec}
        )
        return objects

    def _start_daemons(self) -> None:
        argocd, redis = tools.path("argocd"), f"{LOOPBACK}:{self._redis_port}"
        repository = f"{LOOPBACK}:{self._repository_port}"
        config = self.folder / "config"
        for name in ("tls", "ssh", "gpg", "tmp", "home"):
            (config / name).mkdir(parents=True)
        (config / "ssh" / "ssh_known_hosts").touch()
        # The chart is rendered by the helm, and nothing asks the user's own Git, Helm or Kubernetes settings.
        search = [str(place) for place in tools.search_path()] + [os.environ.get("PATH", "")]
        env = {
            "PATH": os.pathsep.join(search),
            "HOME": str(config / "home"),
            "TMPDIR": str(config / "tmp"),
            "KUBECONFIG": str(self.kubeconfig),
            "ARGOCD_FAKE_IN_CLUSTER": "true",  # https://kubernetes.default.svc means the cluster of the kubeconfig
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(config / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(config / "ssh"),
            "ARGOCD_ASK_PASS_SOCK": str(config / "ask-pass.sock"),
            "ARGOCD_RECONCILIATION_TIMEOUT": f"{RESYNC_SECONDS}s",  # how long a branch's head is taken from the cache
            "NO_PROXY": "*",
        }
        start = self.daemons.start
        start(
            "redis",
            ["redis-server", "--bind", LOOPBACK, "--port", str(self._redis_port), "--save", "", "--appendonly", "no"],
        )
        start(
            "git",
            [
                "git", "daemon", f"--listen={LOOPBACK}", f"--port={self._git_port}", "--export-all", "--reuseaddr",
                f"--base-path={self._repositories}", str(self._repositories),
            ],
        )  # fmt: skip
        metrics = [str(port) for port in self._spare]
        start(
            "repo-server",
            [
                argocd, "repo-server", "--redis", redis, "--address", LOOPBACK, "--port", str(self._repository_port),
                "--metrics-address", LOOPBACK, "--metrics-port", metrics[0], "--disable-tls", "--loglevel", "warn",
            ],
            env,
        )  # fmt: skip
        for port in (self._redis_port, self._git_port, self._repository_port):
            self._wait_listening(port)
        start(
            "application-controller",
            [
                argocd, "application-controller", "--redis", redis, "--repo-server", repository,
                "--repo-server-plaintext", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE,
                "--app-resync", str(RESYNC_SECONDS), "--self-heal-timeout-seconds", "1", "--metrics-port", metrics[1],
                "--persist-resource-health", "--loglevel", "info",
            ],
            env,
        )  # fmt: skip
        start(
            "applicationset-controller",
            [
                argocd, "applicationset-controller", "--argocd-repo-server", repository, "--repo-server-plaintext",
                "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE, "--loglevel", "info",
                "--metrics-addr", f"{LOOPBACK}:{metrics[2]}", "--probe-addr", f"{LOOPBACK}:{metrics[3]}",
                "--webhook-addr", f"{LOOPBACK}:{metrics[4]}",
            ],
            env,
        )  # fmt: skip

    def _wait_listening(self, port: int, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)) == 0:
                    return
            for name in self.daemons.names():
                self.daemons.check(name)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"nothing listens on port {port} after {seconds:.0f} s; logs are in {self.folder}/log"
                )
            time.sleep(0.05)

    # -- Applications -------------------------------------------------------------------------------------------------

    def _until_served(self, kind: str, seconds: float) -> None:
        """Discovery, by which kubectl resolves kinds, follows an applied definition within moments."""
        deadline = time.monotonic() + seconds
        while kind not in self.kubectl("api-resources", "--api-group=argoproj.io", "-o", "name").split():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API server did not serve {kind} within {seconds:.0f} s")
            time.sleep(0.1)

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def refresh(self, name: str, how: str = "normal") -> None:
        """Look at Git now instead of at the next resync; `hard` forgets what was rendered before."""
        self._annotate("application", name, f"{REFRESH}={how}")

    def compared(self, name: str, seconds: float = 30) -> Object:
        """The Application after a whole new comparison of Git with the cluster, begun after this call."""
        self.refresh(name, "hard")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.application(name)
            if REFRESH not in found["metadata"].get("annotations", {}):  # Argo CD takes it away when it has looked
                return found
            time.sleep(0.1)
        raise TimeoutError(f"Application {name} was not compared within {seconds:.0f} s")

    def refresh_set(self, name: str) -> None:
        """Let an ApplicationSet look at its generators now."""
        self._annotate("applicationset", name, "argocd.argoproj.io/application-set-refresh=true")

    def _annotate(self, kind: str, name: str, annotation: str) -> None:
        self.kubectl("annotate", kind, name, "-n", NAMESPACE, annotation, "--overwrite")

    def application(self, name: str) -> Object:
        try:
            found: Object = json.loads(self.kubectl("get", "application", name, "-n", NAMESPACE, "-o", "json"))
        except RuntimeError as error:
            if "NotFound" in str(error):
                return {}
            raise
        return found

    def until(self, name: str, condition: Callable[[Object], bool], what: str, seconds: float = 120) -> Object:
        """Waits until the Application's status is so; the error shows what Argo CD's UI would."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.application(name)
            if found and condition(found.get("status", {})):
                return found
            for daemon in self.daemons.names():
                self.daemons.check(daemon)
            time.sleep(0.3)
        raise TimeoutError(f"Application {name}: not {what} within {seconds:.0f} s\n{shown(self.application(name))}")

    def until_healthy(self, name: str, revision: str = "", seconds: float = 120) -> Object:
        """Synced to the revision (or any) and Healthy as a whole, with the sync's own operation done."""

        def so(status: Object) -> bool:
            return (
                sync_of(status) == "Synced"
                and health_of(status) == "Healthy"
                and revision in ("", status.get("sync", {}).get("revision"))
                and status.get("operationState", {}).get("phase", "Succeeded") == "Succeeded"
            )

        return self.until(name, so, "Synced and Healthy", seconds)


def definitions() -> Path:
    """Argo CD's own CustomResourceDefinitions, out of the module that its program is built from."""
    version = tools.module_version((tools.GO_FOLDER / "argocd" / "go.mod").read_text(), MODULE)

    def build(draft: Path) -> None:
        source = tools.source("argocd") / "manifests" / "crds"
        for name in ("application-crd.yaml", "applicationset-crd.yaml", "appproject-crd.yaml"):
            shutil.copyfile(source / name, draft / name)

    return build_once("argocd", "crds", digest({"version": version}), build)


def sync_of(status: Object) -> str:
    return str(status.get("sync", {}).get("status", ""))


def health_of(status: Object) -> str:
    return str(status.get("health", {}).get("status", ""))


def resource(application: Object, kind: str, name: str) -> Object:
    """One resource as the Application's status shows it."""
    for item in application.get("status", {}).get("resources", ()):
        if item["kind"] == kind and item["name"] == name:
            return dict(item)
    return {}


def shown(application: Object) -> str:
    """The Application as a person would see it: state, conditions, and every resource that is not well."""
    status = application.get("status", {})
    lines = [f"  {sync_of(status) or 'no sync status'}, {health_of(status) or 'no health'}"]
    lines += [f"  {c['type']}: {c['message']}" for c in status.get("conditions", ())]
    lines += [f"  operation: {status['operationState'].get('message', '')}"] if "operationState" in status else []
    for item in status.get("resources", ()):
        health = item.get("health", {})
        if item.get("status") != "Synced" or health.get("status", "Healthy") != "Healthy":
            words = (item.get("status"), health.get("status"), health.get("message"))
            lines.append(f"  {item['kind']}/{item['name']}: {' '.join(str(word) for word in words if word)}")
    return "\n".join(lines)


def _ours(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "argocd"}}
