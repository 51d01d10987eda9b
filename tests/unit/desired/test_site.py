"""What the operator's administrator says of the site, and what pullers, engines and routers get of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.contracts.puller import SITE_TOKEN_VARIABLE, site_token_for
from genset.desired import model_deployment, network_policy, router, router_config, site_objects
from genset.desired.context import Locality, ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.desired.site import HubToken, Site, SiteProxies, certificates

Object = dict[str, Any]
PROXY = "http://proxy.corp:3128"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXIES = SiteProxies(http=PROXY, https=PROXY, no_proxy=("corp.example", "fd00:1::/32"))


def model(source: Object | None = None, **spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "house", "namespace": "models", "uid": "1"},
            "spec": {"source": source or {"huggingFace": {"repo": "a/b"}}, **spec},
        }
    )


def settings(site: Site, **more: Any) -> Settings:
    return Settings(image="i", place=Locality(site=site), **more)


def hub_token(allow: str | None = "huggingface.co", **data: str) -> HubToken:
    content = {key: value.encode() for key, value in (data or {"token": "hf_secret"}).items()}
    return HubToken("hub", "token", UserSecret(content, allow))


def children(
    resource: ModelDeployment, given: Settings, running: Object | None = None
) -> dict[tuple[str, str], Object]:
    found = model_deployment(resource, ModelDeploymentContext(given, running=running))
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


# Which way


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("https://api.openai.com/v1", True),
        ("http://api.openai.com/v1", True),
        ("https://gateway.models.svc/v1", False),
        ("https://gateway.models.svc.cluster.local/v1", False),
        ("https://gateway.models.svc.k8s.corp/v1", False),
        ("http://gateway/v1", False),
        ("http://gateway.models/v1", False),  # NAME.NAMESPACE, as it seems
        ("https://gateway.models/v1", True),
        ("https://llm.corp.example/v1", False),
        ("https://203.0.113.7/v1", True),
        ("https://[2001:db8::7]/v1", True),
        ("https://[fd00:1::7]:8443/v1", False),
        ("https://10.96.0.7/v1", False),
        ("https://10.97.0.7/v1", True),
        ("https://127.0.0.1:8443/v1", False),
        ("https://[::1]:8443/v1", False),
    ],
)
def test_which_servers_a_router_reaches_by_the_proxy(url: str, proxied: bool) -> None:
    resource = RoutePolicy.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1", "kind": "RoutePolicy",
            "metadata": {"name": "p", "namespace": "models", "uid": "1"},
            "spec": {
                "backends": [{"name": "b", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": url}}],
                "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}],
            },
        }
    )  # fmt: skip
    given = settings(Site(PROXIES), cluster_cidrs=("10.96.0.0/16",))
    context = RoutePolicyContext(given, from_files=True)
    target = router_config.build(resource, context).backends[0].url
    assert target is not None and target.proxy_url == (PROXY if proxied else None)
    dialled = [found for _, found in network_policy.servers_of(resource, context)]
    assert dialled == [PROXY if proxied else url.rstrip("/")]


@pytest.mark.parametrize(("scheme", "proxied"), [("http", False), ("https", True)])
def test_a_proxy_is_for_one_scheme(scheme: str, proxied: bool) -> None:
    assert bool(Site(SiteProxies(https=PROXY)).proxy_for(f"{scheme}://a.example/")) is proxied


# Routers


CLOUD = {"provider": "openAICompatible", "model": "m", "baseURL": "https://api.example/v1"}


def policy(**cloud: Any) -> RoutePolicy:
    return RoutePolicy.model_validate(
        {
            "apiVersion": "genset.dev/v1alpha1", "kind": "RoutePolicy",
            "metadata": {"name": "p", "namespace": "models", "uid": "1"},
            "spec": {
                "backends": [{"name": "b", "cloud": {**CLOUD, **cloud}}],
                "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}],
            },
        }
    )  # fmt: skip


def test_a_router_gets_proxy_and_certificates_by_its_configuration() -> None:
    site = Site(SiteProxies(https=PROXY, credentials="user:p@ss"), PEM)
    context = RoutePolicyContext(settings(site))
    built = router_config.build(policy(), context)
    target = built.backends[0].url
    assert target is not None and (target.proxy_url, target.proxy_credentials_file) == (PROXY, "site.proxy")
    assert built.site_ca_file == "site.ca" and "p@ss" not in built.canonical_json()
    files = router_config.credential_files(policy(), context)
    assert files == {"site.ca": PEM.encode(), "site.proxy": b"user:p@ss"}
    assert router.own_template(policy(), context.settings) == router.own_template(policy(), settings(Site())), (
        "no router is replaced for it"
    )


def test_a_policys_own_proxy_wins() -> None:
    context = RoutePolicyContext(settings(Site(PROXIES)))
    own = policy(proxy={"url": "http://other.corp:8080"})
    target = router_config.build(own, context).backends[0].url
    assert target is not None and (target.proxy_url, target.proxy_credentials_file) == ("http://other.corp:8080", None)


def test_a_site_that_says_nothing_changes_nothing() -> None:
    context = RoutePolicyContext(settings(Site()))
    assert router_config.build(policy(), context).site_ca_file is None
    assert router_config.credential_files(policy(), context) == {}
    assert not [key for key in children(model(), settings(Site())) if key[1].endswith(".site")]


# Pullers and engines


def test_a_puller_gets_variables_by_a_secret_and_certificates_by_a_config_map() -> None:
    given = settings(Site(SiteProxies(PROXY, PROXY, ("corp.example",), "user:p@ss/"), PEM), api_server=("10.96.0.1",))
    found = children(model(), given)
    data = {key: base64.b64decode(value).decode() for key, value in found["Secret", "house.site"]["data"].items()}
    assert data["HTTPS_PROXY"] == data["HTTP_PROXY"] == "http://user:p%40ss%2F@proxy.corp:3128"
    assert {".svc", "localhost", "corp.example", "10.96.0.1"} <= set(data["NO_PROXY"].split(","))
    assert found["ConfigMap", "house.site"]["data"] == {"ca.crt": PEM}
    deployment = found["Deployment", "house"]
    pod = deployment["spec"]["template"]["spec"]
    puller, engine = pod["initContainers"][0], pod["containers"][0]
    assert puller["envFrom"] == [{"secretRef": {"name": "house.site", "optional": True}}] and "envFrom" not in engine
    for container in (puller, engine):
        assert {"name": "site", "mountPath": "/etc/genset/site", "readOnly": True} in container["volumeMounts"]
    assert {"name": "SSL_CERT_FILE", "value": "/etc/genset/site/ca.crt"} in engine["env"]
    assert "p@ss" not in json.dumps(deployment) and "p%40ss" not in json.dumps(deployment)
    out = found["NetworkPolicy", "house.download"]["spec"]["egress"]
    assert any({"port": 3128, "protocol": "TCP"} in rule["ports"] for rule in out)


def test_other_values_replace_no_pod() -> None:
    one = children(model(), settings(Site(PROXIES, PEM)))
    other = children(model(), settings(Site(SiteProxies(https="http://new.corp:1"), PEM + PEM)))
    assert one["Deployment", "house"] == other["Deployment", "house"]
    assert one["Secret", "house.site"] != other["Secret", "house.site"]


@pytest.mark.parametrize(
    "url", ["http://files/m.gguf", "http://files.team-b/m.gguf", "https://files.team-b.svc/m.gguf"]
)
def test_a_source_inside_the_cluster_is_reached_directly(url: str) -> None:
    source = {"http": {"url": url, "sha256": "0" * 64}}
    no_proxy = site_objects.variables(model(source), settings(Site(PROXIES)))["NO_PROXY"].split(",")
    assert url.split("/")[2] in no_proxy or ".svc" in no_proxy


def test_what_is_in_place_gets_no_variables() -> None:
    given = settings(Site(PROXIES, PEM))
    assert site_objects.variables(model({"pvc": {"claimName": "c", "path": "m.gguf"}}), given) == {}


def test_a_secret_that_pods_still_read_is_emptied() -> None:
    """Secrets are never deleted: what the site no longer says would stay there."""
    running = children(model(), settings(Site(PROXIES)))["Deployment", "house"]
    left = children(model(), settings(Site()), running)["Secret", "house.site"]
    assert "data" not in left
    assert ("Secret", "house.site") not in children(
        model(), settings(Site()), children(model(), settings(Site()))["Deployment", "house"]
    )


# The hub's token


def test_the_token_goes_to_its_hub() -> None:
    found = site_objects.variables(model(), settings(Site(hub_token=hub_token())))
    assert site_token_for("https://huggingface.co", found[SITE_TOKEN_VARIABLE]) == "hf_secret"
    for other in (
        "https://huggingface.co.evil.example",
        "https://evil.example",
        "http://huggingface.co",
        "https://huggingface.co:8443",
    ):
        assert site_token_for(other, found[SITE_TOKEN_VARIABLE]) == ""


def with_variable(name: str) -> ModelDeployment:
    puller = {"name": "weights", "env": [{"name": name, "value": "x"}]}
    return model(podTemplate={"spec": {"initContainers": [puller]}})


HUB: Object = {"repo": "a/b"}
MIRROR = {"hugging_face_endpoint": "https://hub.corp"}


@pytest.mark.parametrize(
    ("resource", "more", "token", "why"),
    [
        (model(), {}, hub_token(), ""),
        (model(), {}, hub_token("*.co"), ""),
        (model({"huggingFace": {**HUB, "endpoint": "https://huggingface.co"}}), {}, hub_token(), ""),
        (model(), MIRROR, hub_token("hub.corp"), ""),
        (model(), {}, HubToken("hub", "token"), "is not there"),
        (model(), {}, hub_token(other="x"), "has no key token"),
        (model(), {}, hub_token(None), "does not let it go to huggingface.co"),
        (model(), MIRROR, hub_token(), "does not let it go to hub.corp"),
        (model(), {"hugging_face_endpoint": "http://hub.corp"}, hub_token("*"), "over plain HTTP"),
        (model({"huggingFace": {**HUB, "caSecretRef": {"name": "mine", "key": "ca"}}}), {}, hub_token(), "caSecretRef"),
        (with_variable("https_proxy"), {}, hub_token(), "podTemplate sets https_proxy"),
        (with_variable("SSL_CERT_FILE"), {}, hub_token(), "podTemplate sets SSL_CERT_FILE"),
    ],
)  # fmt: skip
def test_who_gets_the_token(resource: ModelDeployment, more: Object, token: HubToken, why: str) -> None:
    given = settings(Site(hub_token=token), **more)
    told = site_objects.token_not_used(resource, given)
    assert why in told and bool(why) == bool(told)
    assert (SITE_TOKEN_VARIABLE in site_objects.variables(resource, given)) is (why == "")


@pytest.mark.parametrize(
    "source",
    [
        {"huggingFace": {**HUB, "endpoint": "https://evil.example"}},
        {"huggingFace": {**HUB, "endpoint": "https://huggingface.co:444"}},
        {"huggingFace": {**HUB, "tokenSecretRef": {"name": "mine", "key": "token"}}},
        {"http": {"url": "https://huggingface.co/a", "sha256": "0" * 64}},
    ],
)
def test_who_does_not_ask_for_it(source: Object) -> None:
    given = settings(Site(hub_token=hub_token()))
    assert (
        site_objects.variables(model(source), given) == {} and site_objects.token_not_used(model(source), given) == ""
    )


def test_nothing_of_it_is_shown() -> None:
    site = Site(SiteProxies(https=PROXY, credentials="user:p@ss"), PEM, hub_token())
    assert not {"p@ss", "hf_secret", "MIIB"} & set(str(site).replace("'", " ").replace('"', " ").split())
    assert "hf_secret" not in repr(site) and "p@ss" not in repr(site)


# The bundle


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (PEM, PEM),
        (f"# root\n{PEM}\n# second\n{PEM}", PEM + PEM),
        (f"-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n{PEM}", PEM),
        ("no certificate", ""),
    ],
)
def test_only_certificates_of_a_bundle_are_handed_on(text: str, kept: str) -> None:
    assert certificates(text) == kept


# OpenShift


def test_a_namespace_that_assigns_ids_gets_pods_without() -> None:
    given = Settings(image="i", place=Locality(assigned_ids=True))
    pods = [children(model(), given)["Deployment", "house"]["spec"]["template"]["spec"]]
    pods.append(router.own_template(policy(), given)["spec"])
    for pod in pods:
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True and not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)


def test_ids_may_be_left_out_where_the_namespace_has_left_them_out() -> None:
    from genset.desired import workload

    resource = model(podTemplate={"remove": ["spec.securityContext.runAsUser", "spec.securityContext.fsGroup"]})
    assert list(workload.faults(resource, Settings(image="i", place=Locality(assigned_ids=True)))) == []
