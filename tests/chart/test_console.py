"""The chart's console: pages in a pod of their own, with the least rights, and no key of the ledger."""

from __future__ import annotations

import json

import pytest

from genset import names
from genset.cli.console import command
from genset.desired import metadata
from genset.desired.context import Settings
from genset.desired.network_policy import _console
from tests.chart.conftest import NAMESPACE, HelmRefused, Object, one, render

ON: Object = {"console": {"enabled": True}}
LEDGER: Object = {"ledger": {"enabled": True}}
OIDC: Object = {"issuer": "https://idp.corp:8443/realm", "clientID": "console", "clientSecret": {"name": "console"}}
NAME = "genset-console"


def pod(objects: list[Object]) -> Object:
    return dict(one(objects, "Deployment", NAME)["spec"]["template"])


def test_there_is_none_if_nobody_wants_it() -> None:
    assert "console" not in json.dumps(render())


@pytest.mark.parametrize("more", [{}, LEDGER, {"watchNamespaces": ["law", "plant"]}])
def test_its_command_line_takes_what_the_chart_gives(more: Object) -> None:
    (container,) = pod(render({**ON, **more}))["spec"]["containers"]
    verb, *arguments = container["args"]
    assert verb == "console"
    taken = command.make_context("console", arguments).params
    assert taken["listen"] == ("::", names.CONSOLE_PORT) and taken["namespaces"] == tuple(
        more.get("watchNamespaces", ())
    )
    assert [port["containerPort"] for port in container["ports"]] == [names.CONSOLE_PORT]
    ledger = f"http://genset-ledger.{NAMESPACE}.svc:{names.LEDGER_PORT}" if more is LEDGER else ""
    assert taken["ledger_url"] == ledger
    assert str(taken["ledger_token_file"] or "") == (names.CONSOLE_LEDGER_TOKEN_FILE if ledger else "")


def test_the_pages_process_never_has_the_ledger_s_key() -> None:
    spec = pod(render({**ON, **LEDGER}))["spec"]
    (pages,), (before,) = spec["containers"], spec["initContainers"]
    assert [mount["name"] for mount in pages["volumeMounts"]] == ["token"] and pages["volumeMounts"][0]["readOnly"]
    assert {mount["name"] for mount in before["volumeMounts"]} == {"key", "token"}
    assert before["args"][:2] == ["ledger", "token"] and before["args"][-1] == f"--to={names.CONSOLE_LEDGER_TOKEN_FILE}"
    assert "initContainers" not in pod(render(ON))["spec"]


def test_it_reads_nothing_but_what_it_shows() -> None:
    rules = one(render(ON), "ClusterRole", NAME)["rules"]
    granted = {
        (group, resource): rule["verbs"]
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {
        ("authentication.k8s.io", "tokenreviews"): ["create"],
        ("authorization.k8s.io", "subjectaccessreviews"): ["create"],
        ("genset.dev", "modeldeployments"): ["list", "watch"],
        ("genset.dev", "routepolicies"): ["list", "watch"],
        ("discovery.k8s.io", "endpointslices"): ["list", "watch"],
        ("metrics.k8s.io", "pods"): ["list"],
    }
    some = render({**ON, "watchNamespaces": ["law"]})
    assert {rule["apiGroups"][0] for rule in one(some, "ClusterRole", NAME)["rules"]} == {
        "authentication.k8s.io", "authorization.k8s.io",
    }  # fmt: skip
    assert one(some, "Role", NAME)["metadata"]["namespace"] == "law"


def test_whoever_edits_a_namespace_may_see_what_it_has_used() -> None:
    objects = render()
    (usage,) = (
        rule
        for rule in one(objects, "ClusterRole", "genset-edit")["rules"]
        if "routepolicies/usage" in rule["resources"]
    )
    assert usage["verbs"] == ["get"]
    assert "usage" not in json.dumps(one(objects, "ClusterRole", "genset-view"))


def test_who_may_talk_to_it_and_to_whom_it_may_talk() -> None:
    ingress = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    objects = render(
        {"console": {"enabled": True, "ingressFrom": ingress, "oidc": OIDC, "externalURL": "https://c"}, **LEDGER}
    )
    policy = one(objects, "NetworkPolicy", NAME)["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http"}], "from": ingress}]
    assert one(render(ON), "NetworkPolicy", NAME)["spec"]["ingress"] == []
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"] if "to" not in rule}
    assert ports == {53, 443, 6443, 8443}
    routers = next(rule for rule in policy["egress"] if rule["ports"][0]["port"] == names.ROUTER_ADMIN_PORT)
    assert routers["to"][0]["podSelector"]["matchLabels"] == {
        names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_COMPONENT: names.COMPONENT_ROUTER,
    }  # fmt: skip
    assert metadata.router_selector("p")[names.LABEL_COMPONENT] == names.COMPONENT_ROUTER
    labels = pod(objects)["metadata"]["labels"]
    ours = _console(Settings(image="i", engine_images={}, operator_namespace=NAMESPACE))
    assert ours["podSelector"]["matchLabels"].items() <= labels.items(), "routers let it in"
    ledger = one(objects, "NetworkPolicy", "genset-ledger")["spec"]["ingress"][0]["from"][1]
    assert ledger["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_provider_without_an_address_to_send_back_to_is_refused() -> None:
    with pytest.raises(HelmRefused, match="externalURL"):
        render({"console": {"enabled": True, "oidc": {"issuer": "https://idp.corp"}}})
    (container,) = pod(render({"console": {"enabled": True, "oidc": OIDC, "externalURL": "https://c.corp"}}))["spec"][
        "containers"
    ]
    taken = command.make_context("console", container["args"][1:]).params
    assert taken["oidc_issuer"] == OIDC["issuer"] and str(taken["oidc_client_secret_file"]) == "/etc/genset/oidc/secret"
