"""A house is genset on a cluster as a user installs it: the chart, the resources, kubectl to look at them.

The demo and the scenarios share it. It talks to the cluster through kubectl and helm only, because that is what users
do.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster import tools
from testbed.cluster.choose import Choice

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "genset"
OPERATOR_NAMESPACE = "genset-system"
Object = dict[str, Any]


class KubectlError(RuntimeError):
    """kubectl failed; the message is what it said on standard error."""


@dataclass(frozen=True)
class House:
    """A house is one cluster by its kubeconfig, with the images that its nodes can use."""

    kubeconfig: Path
    context: str
    kubectl_binary: str
    helm_binary: str
    image: str
    llama_cpp_image: str

    @classmethod
    def of(cls, choice: Choice) -> House:
        """Returns the house on a chosen cluster, with the kubectl and helm that fit it (built by `tools.ensure`)."""
        return cls(
            kubeconfig=choice.kubeconfig,
            context=choice.context,
            kubectl_binary=str(tools.path("kubectl")),
            helm_binary=str(tools.path("helm")),
            image=choice.genset_image,
            llama_cpp_image=choice.llama_cpp_image,
        )

    def kubectl_command(self, *args: str) -> list[str]:
        return [self.kubectl_binary, f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *args]

    def kubectl(self, *args: str, stdin: str | None = None, seconds: float = 60) -> str:
        done = subprocess.run(self.kubectl_command(*args), input=stdin, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise KubectlError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def helm(self, *args: str, seconds: float = 180) -> str:
        command = [self.helm_binary, *args, f"--kubeconfig={self.kubeconfig}", f"--kube-context={self.context}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def install(self, *extra: str, chart: Path = CHART, image: str = "") -> None:
        """Installs or upgrades the operator from a chart, this tree's by default, and waits until both replicas are ready."""
        repository, _, tag = (image or self.image).rpartition(":")
        dns = ",".join(map(str, sorted({*self._dns_ports()} or {53, 5353})))
        servers = ",".join(sorted(f"{address}/{128 if ':' in address else 32}" for address in self._dns_addresses()))
        self.helm(
            "upgrade", "--install", "genset", str(chart),
            "--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "150s",
            "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
            "--set", "allowedImages={registry.invalid/*}",  # a scenario names one that nobody has
            "--set", rf"engines.llama\.cpp.images.cpu={self.llama_cpp_image}",
            "--set", f"networkPolicies.dnsPorts={{{dns}}}",
            *(("--set", f"networkPolicies.dnsCIDRs={{{servers}}}") if chart == CHART else ()),  # not in the last release's
            *extra,
        )  # fmt: skip

    def uninstall(self) -> None:
        """Removes the operator and waits until its pods are gone. The CRDs, and all that was made, stay."""
        self.helm("uninstall", "genset", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "90s")

    def evict(self, namespace: str, pod: str) -> None:
        """Has a pod leave as `kubectl drain` does: by its eviction, which a PodDisruptionBudget may refuse."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))

    def _dns_addresses(self) -> Iterator[str]:
        """Yields where they listen, so that no other address is reached at their ports."""
        for part in self.list("endpointslices", "kube-system", "kubernetes.io/service-name=kube-dns"):
            yield from (address for endpoint in part.get("endpoints") or () for address in endpoint["addresses"])

    def _dns_ports(self) -> Iterator[int]:
        """Yields the ports that the cluster's DNS servers listen on, which is what NetworkPolicies see."""
        for part in self.list("endpointslices", "kube-system", "kubernetes.io/service-name=kube-dns"):
            yield from (port["port"] for port in part.get("ports") or () if port.get("name") != "metrics")

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            found: Object = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
        except KubectlError as error:
            if "NotFound" in str(error):
                return None
            raise
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        found: list[Object] = json.loads(self.kubectl("-n", namespace, "get", kind, "-l", selector, "-o", "json"))[
            "items"
        ]
        return found

    def condition(self, kind: str, namespace: str, name: str, type_: str) -> Object:
        """Returns the condition, if it is about the newest generation; {} otherwise."""
        found = self.get(kind, namespace, name) or {}
        generation = found.get("metadata", {}).get("generation")
        for condition in found.get("status", {}).get("conditions", ()):
            if condition["type"] == type_ and condition.get("observedGeneration") == generation:
                return dict(condition)
        return {}

    def until(
        self,
        kind: str,
        namespace: str,
        name: str,
        type_: str,
        status: str = "True",
        *,
        reason: str = "",
        seconds: float = 90,
        progress: Callable[[Object], None] | None = None,
    ) -> Object:
        """Waits for a condition; if it does not come, the error shows every condition as `kubectl describe` would."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            condition = self.condition(kind, namespace, name, type_)
            if condition.get("status") == status and reason in ("", condition.get("reason")):
                return condition
            if progress is not None:
                progress(self.get(kind, namespace, name) or {})
            time.sleep(0.2)
        found = self.get(kind, namespace, name) or {}
        shown = "\n".join(
            f"  {c['type']}={c['status']} {c['reason']}: {c['message']}"
            for c in found.get("status", {}).get("conditions", ())
        )
        wanted = f"{type_}={status} {reason}".strip()
        raise TimeoutError(
            f"{kind} {namespace}/{name} did not reach {wanted} within {seconds:.0f} s:\n{shown or '  no status'}"
        )

    def service_url(self, namespace: str, name: str) -> str:
        """Returns the Service's address; the node itself reaches cluster IPs through kube-proxy."""
        service = self.get("service", namespace, name)
        if service is None:
            raise KubectlError(f"service {namespace}/{name} does not exist")
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def kill_pods(self, namespace: str, selector: str) -> float:
        """Sends SIGKILL to every process of the pods, and then deletes the pods, as when a node dies.

        Returns the moment of the first kill (monotonic seconds) as the pods' own clock tells it: starting kubectl takes
        longer than the failover that is measured.
        """
        return min(self.kill_pod(namespace, pod["metadata"]["name"]) for pod in self.list("pods", namespace, selector))

    def kill_pod(self, namespace: str, pod: str) -> float:
        """Does what kill_pods does, to one pod."""
        script = "date +%s.%N; kill -9 -1"
        command = self.kubectl_command("-n", namespace, "exec", pod, "-c", "engine", "--", "sh", "-c", script)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        # The shell itself survives kill(-1); whether it still reports 0 depends on what the kubelet tears down first.
        if not done.stdout.strip():
            raise KubectlError(f"pod {namespace}/{pod} could not be killed: {done.stderr.strip()}")
        self.kubectl("-n", namespace, "delete", "pod", "--grace-period=0", "--force", "--wait=false", pod)
        return float(done.stdout) - time.time() + time.monotonic()


def load_samples(folder: Path, replace: Mapping[str, str]) -> list[Object]:
    """Returns every object of a samples folder, with the documented placeholders replaced by what this site has."""
    objects: list[Object] = []
    for file in sorted(folder.glob("*.yaml")):
        if file.name == "kustomization.yaml":
            continue
        text = file.read_text()
        for placeholder, value in replace.items():
            text = text.replace(placeholder, value)
        objects += [document for document in yaml.safe_load_all(text) if document]
    return objects
