"""The preset of the chart: one file for the operator, the right to make two resources, and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from genset.preset.settings import NAME, Standby, read
from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import NAMESPACE, HelmRefused, Object, helm, one, options, render

ON: Object = {"continuity": {"enabled": True, "provider": "openai", "secret": "openai"}}


def on(**changed: object) -> Object:
    return {"continuity": {**ON["continuity"], **changed}}


def settings(objects: list[Object], tmp_path: Path, namespace: str = NAMESPACE) -> object:
    file = tmp_path / "preset.yaml"
    file.write_text(one(objects, "ConfigMap", "genset-operator-continuity-settings")["data"]["preset.yaml"])
    return read(file, namespace)


def test_there_is_none_if_nobody_wants_it() -> None:
    objects = render({"crds": {"enabled": False}})
    assert "continuity" not in json.dumps(objects)


def test_three_values_are_enough(tmp_path: Path) -> None:
    objects = render(ON)
    preset = settings(objects, tmp_path)
    assert preset.standby is Standby.WARM and (preset.share, preset.accelerators) == (50, True)
    assert (preset.cloud.provider, preset.cloud.model) == ("openai", "gpt-5-mini")
    assert preset.cloud.credentials_secret_ref.name == "openai" and preset.cloud.base_url is None
    assert len(preset.catalogue) == 5
    found = options(objects)
    assert str(found["continuity_file"]) == "/etc/genset/continuity/preset.yaml"
    assert found["continuity_namespace"] == NAMESPACE
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert {"name": "continuity", "configMap": {"name": "genset-operator-continuity-settings"}} in pod["volumes"]


def test_values_are_taken(tmp_path: Path) -> None:
    entry = yaml.safe_load(yaml.safe_dump(settings(render(ON), tmp_path).catalogue[4].model_dump(by_alias=True)))
    values = on(
        provider="openAICompatible", baseURL="https://gateway.corp/v1", model="big", caSecret="ca", namespace="models",
        standby="Cold", idleSeconds=60, share=20, accelerators=False, catalogue=[{**entry, "name": "own"}],
    )  # fmt: skip
    preset = settings(render(values), tmp_path, "models")
    assert preset.cloud.model_dump(by_alias=True, exclude_none=True) == {
        "provider": "openAICompatible", "baseURL": "https://gateway.corp/v1", "model": "big",
        "credentialsSecretRef": {"name": "openai", "key": "apiKey"}, "caSecretRef": {"name": "ca", "key": "ca.crt"},
    }  # fmt: skip
    assert (preset.standby, preset.idle_seconds, preset.share) == (Standby.COLD, 60, 20)
    assert [one.name for one in preset.catalogue] == ["own"]


REFUSED = {
    "whose API": (on(provider=""), "continuity.provider is needed"),
    "a model that nobody knows": (
        on(provider="azureOpenAI"),
        "continuity.model is needed: this chart knows no usual model",
    ),
    "namespaced mode": ({**ON, "watchNamespaces": ["models"]}, "may not list"),
    "a way to stand by": (on(standby="Hot"), "standby"),
    "more than all": (on(share=101), "share"),
}


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(values: Object, words: str) -> None:
    with pytest.raises(HelmRefused, match=words):
        render(values)


def test_it_may_make_two_resources_and_change_none() -> None:
    objects = render(on(namespace="models"))
    role = one(objects, "Role", "genset-operator-continuity")
    assert role["metadata"]["namespace"] == "models"
    assert role["rules"] == [
        {"apiGroups": ["genset.dev"], "resources": ["modeldeployments", "routepolicies"], "verbs": ["create"]}
    ]
    nodes = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    assert nodes in one(objects, "ClusterRole", "genset-operator")["rules"]
    assert nodes not in one(render(), "ClusterRole", "genset-operator")["rules"]


def resource(namespace: str, name: str) -> Object:
    spec = {"source": {"pvc": {"claimName": "a", "path": "m.gguf"}}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "genset.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}


def report(name: str) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"told": "x"}}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits for an admission policy: the API server takes it a moment after it was applied."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def test_a_real_api_server_lets_it_make_just_these(plane: ControlPlane) -> None:
    objects = render({**on(namespace="models"), "crds": {"enabled": False}})
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
    account = f"--as=system:serviceaccount:{NAMESPACE}:genset-operator"

    def tried(verb: str, item: Object, *more: str) -> str:
        try:
            return plane.kubectl(verb, account, *more, "-f", "-", stdin=json.dumps(item))
        except Exception as error:
            return str(error)

    def made() -> bool:
        return "created" in tried("create", resource("models", NAME))

    try:
        wait_until(
            lambda: "belongs to a ModelDeployment" in tried("create", resource("models", "other")), "the policy holds"
        )
        wait_until(made, "its own resource is made")
        assert "forbidden" in tried("create", resource("team-a", NAME)).lower()
        assert "forbidden" in tried("delete", resource("models", NAME)).lower()
        assert "applied" in tried("apply", report("genset-operator-continuity"), "--server-side")
        assert "denied" in tried("apply", report("another"), "--server-side")
    finally:
        plane.kubectl(
            "delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all([*objects, resource("models", NAME)])
        )


def test_notes_say_what_to_do_next() -> None:
    words = helm("install", "genset", "charts/genset", "-n", NAMESPACE, "--dry-run=client", "--set", ",".join(
        ("continuity.enabled=true", "continuity.provider=openai", "continuity.secret=keys", "continuity.standby=Cold")
    ))  # fmt: skip
    assert "genset.dev/allow-hosts=api.openai.com" in words
    assert "http://continuity-router.genset-system.svc/v1" in words and "the model of the house rests" in words
