"""Chart and resources under a real Argo CD: Synced, Healthy by our health check, healed, pruned, quiet at rest."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.argocd import argo
from e2e.argocd.conftest import NAMESPACE, WEIGHTS_FILE, Site
from testbed.house import OPERATOR_NAMESPACE
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(400)
Object = dict[str, Any]


def health(application: Object, kind: str, name: str) -> tuple[str, str]:
    """State and message of one resource, as Argo CD's UI shows them."""
    found = argo.resource(application, kind, name).get("health", {})
    return found.get("status", ""), found.get("message", "")


def test_the_chart_becomes_synced_and_healthy(operator: Object) -> None:
    kinds = {item["kind"] for item in operator["status"]["resources"]}
    assert {"CustomResourceDefinition", "Deployment", "ClusterRole", "PodDisruptionBudget"} <= kinds
    assert health(operator, "Deployment", "genset-operator")[0] == "Healthy"


def test_the_samples_become_synced_and_healthy_by_our_health_check(site: Site, models: Object) -> None:
    for kind, name in (("ModelDeployment", "house-small"), ("RoutePolicy", "assistant")):
        ready = site.house.condition(kind.lower(), NAMESPACE, name, "Ready")
        assert ready["status"] == "True"
        assert health(models, kind, name) == ("Healthy", ready["message"]), "the words are the operator's own"


def at_rest(site: Site, name: str, comparisons: int = 3) -> None:
    """Whenever Argo CD compares, nothing is out of sync; in between nothing is synced again and nothing is unwell."""
    before = site.argo.application(name)["status"].get("operationState")
    for _ in range(comparisons):
        found = site.argo.compared(name)
        shown = argo.shown(found)
        assert (argo.sync_of(found["status"]), argo.health_of(found["status"])) == ("Synced", "Healthy"), shown
        assert found["status"].get("operationState") == before, f"something was synced again\n{shown}"
        time.sleep(argo.RESYNC_SECONDS / 2)  # its own resyncs fall in between


def test_nothing_is_out_of_sync_at_rest(site: Site, operator: Object, models: Object) -> None:
    for name in ("genset", "models"):
        at_rest(site, name)


def test_at_rest_without_server_side_apply_too(site: Site, operator: Object) -> None:
    """Argo CD's default way of applying and comparing, for resources with lists and defaults in them."""
    model = {**model_deployment("plain", "sleeper", site.weights.source(WEIGHTS_FILE), replicas=0)}
    backend = {
        "name": "cloud",
        "cloud": {"provider": "openAICompatible", "baseURL": "http://203.0.113.1/v1", "model": "m"},
    }
    policy = route_policy(
        "plain", "quiet", [backend, {"name": "house", "deployment": {"name": "sleeper"}}], "house", "cloud"
    )
    policy["spec"]["router"]["replicas"] = 0
    site.git.write("plain/all.yaml", model, policy)
    application = site.example("application.yaml", "models")
    application["metadata"]["name"] = "plain"
    application["spec"]["source"]["path"] = "plain"
    application["spec"]["destination"]["namespace"] = "plain"
    application["spec"]["syncPolicy"]["syncOptions"] = ["CreateNamespace=true"]
    revision = site.git.commit("A model and a router that rest")
    site.argo.apply(application)
    site.argo.until_healthy("plain", revision)
    at_rest(site, "plain")


def live(site: Site, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
    found = site.house.get(kind, namespace, name)
    assert found is not None, f"{kind} {name} is gone"
    return found


def until(what: str, condition: Any, seconds: float = 60) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("kind", "name", "patch", "read"),
    [
        ("modeldeployment", "house-small", {"context": {"tokens": 1024}}, lambda spec: spec["context"]["tokens"]),
        ("routepolicy", "assistant", {"router": {"drainSeconds": 1}}, lambda spec: spec["router"]["drainSeconds"]),
        ("routepolicy", "assistant", {"routes": None}, lambda spec: [r["tiers"] for r in spec["routes"]]),
    ],
    ids=["a model's context", "a router's drain", "a policy's routes"],
)
def test_a_manual_edit_is_healed(site: Site, models: Object, kind: str, name: str, patch: Object, read: Any) -> None:
    found = live(site, kind, name)
    before, generation = read(found["spec"]), found["metadata"]["generation"]
    if "routes" in patch:
        only = [{**route, "tiers": route["tiers"][:1]} for route in found["spec"]["routes"]]
        patch = {"routes": only}
    site.house.kubectl("-n", NAMESPACE, "patch", kind, name, "--type=merge", "-p", json.dumps({"spec": patch}))

    def healed() -> bool:
        now = live(site, kind, name)
        # Two generations on: the edit, and what undid it.
        return bool(read(now["spec"]) == before) and now["metadata"]["generation"] >= generation + 2

    until(f"{kind} {name} as in Git", healed)
    site.argo.until_healthy("models", seconds=120)


def test_a_broken_resource_is_degraded_with_our_message_until_it_is_mended(site: Site, models: Object) -> None:
    weights = site.weights.source(WEIGHTS_FILE)
    broken = model_deployment(NAMESPACE, "broken", site.weights.source(WEIGHTS_FILE, sha256="0" * 64))
    site.git.write("models/broken.yaml", broken)
    revision = site.commit("A checksum that is wrong", "models")

    def degraded(status: Object) -> bool:
        return argo.health_of(status) == "Degraded" and status["sync"].get("revision") == revision

    found = site.argo.until("models", degraded, "Degraded", 120)
    state, message = health(found, "ModelDeployment", "broken")
    assert state == "Degraded"
    assert message.startswith("ChecksumMismatch: "), message
    assert site.house.condition("mdep", NAMESPACE, "broken", "Ready")["message"] in message
    assert argo.sync_of(found["status"]) == "Synced", "it is applied as Git says; it just cannot work"
    site.git.write("models/broken.yaml", model_deployment(NAMESPACE, "broken", weights))
    site.argo.until_healthy("models", site.commit("The right checksum", "models"), seconds=150)


def test_a_policy_that_names_nobody_is_degraded_with_our_message(site: Site, models: Object) -> None:
    backends = [{"name": "house", "deployment": {"name": "house-big"}}]
    site.git.write("models/lost.yaml", route_policy(NAMESPACE, "lost", backends, "house"))
    site.commit("A policy that names an unknown model", "models")
    found = site.argo.until("models", lambda status: argo.health_of(status) == "Degraded", "Degraded", 120)
    state, message = health(found, "RoutePolicy", "lost")
    assert (state, message.partition(":")[0]) == ("Degraded", "DeploymentNotFound")
    assert "house-big" in message
    site.git.remove("models/lost.yaml")
    site.argo.until_healthy("models", site.commit("The policy is withdrawn", "models"), seconds=120)
    until("RoutePolicy lost is pruned", lambda: site.house.get("routepolicy", NAMESPACE, "lost") is None)


def test_a_commit_rolls_out(site: Site, models: Object) -> None:
    model = live(site, "modeldeployment", "house-small")
    path = "models/modeldeployment-house-small.yaml"
    text = (site.git.folder / path).read_text()
    (site.git.folder / path).write_text(text.replace("tokens: 2048", "tokens: 1024"))
    revision = site.commit("Smaller requests", "models")
    site.argo.until("models", lambda status: status["sync"].get("revision") == revision, "at the commit", 60)
    site.argo.until_healthy("models", revision, seconds=150)
    after = live(site, "modeldeployment", "house-small")
    assert after["spec"]["context"]["tokens"] == 1024
    assert after["metadata"]["uid"] == model["metadata"]["uid"]
    assert after["status"]["observedGeneration"] == after["metadata"]["generation"]


def test_an_application_set_serves_each_team(site: Site, operator: Object) -> None:
    for team in ("alpha", "beta"):
        at_zero = model_deployment(team, "sleeper", site.weights.source(WEIGHTS_FILE), replicas=0)
        site.git.write(f"teams/{team}/model.yaml", at_zero)
    site.git.commit("Two teams")
    site.argo.apply(site.example("applicationset.yaml", "genset-teams"))

    def generated() -> bool:
        site.argo.refresh_set("genset-teams")
        return all(site.argo.application(f"models-{team}") for team in ("alpha", "beta"))

    until("an Application for each folder", generated)
    for team in ("alpha", "beta"):
        found = site.argo.until_healthy(f"models-{team}", seconds=60)
        state, message = health(found, "ModelDeployment", "sleeper")
        assert state == "Healthy"
        assert "spec.replicas is 0" in message, "rest by intent is no fault, and says so"


def test_deleting_the_operator_s_application_keeps_definitions_and_models(site: Site, models: Object) -> None:
    """Runs last. With the finalizer Argo CD deletes all that it made, except for what Helm's policy keeps."""
    before = live(site, "modeldeployment", "house-small")["metadata"]["uid"]
    patch = json.dumps({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    site.argo.kubectl("patch", "application", "genset", "-n", argo.NAMESPACE, "--type=merge", "-p", patch)
    site.argo.kubectl("delete", "application", "genset", "-n", argo.NAMESPACE, "--timeout=90s")
    assert site.house.get("deployment", OPERATOR_NAMESPACE, "genset-operator") is None
    assert live(site, "modeldeployment", "house-small")["metadata"]["uid"] == before
    pods = site.house.list("pods", NAMESPACE, "genset.dev/modeldeployment=house-small")
    assert pods, "what runs keeps running without the operator"
