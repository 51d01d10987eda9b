"""The chart's `site`: what reaches the operator, as which files, with which rights; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import HelmRefused, Object, container, one, options, render

PROXY = "http://proxy.corp:3128"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SITE: dict[str, Any] = {
    "proxy": {
        "http": PROXY, "https": "http://[fd00::7]:3128", "noProxy": ["corp.example", "10.0.0.0/8", "fd00::/8", "::1"],
        "credentialsSecret": {"name": "proxy"},
    },
    "caBundle": {"configMap": {"name": "corp-ca", "key": "bundle.pem"}},
    "hubTokenSecret": {"name": "hub"},
}  # fmt: skip


def site_volume(objects: list[Object]) -> list[Object]:
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    return [source for volume in volumes if volume["name"] == "site" for source in volume["projected"]["sources"]]


def test_it_reaches_the_operator() -> None:
    objects = render({"site": SITE})
    found = options(objects)
    assert (found["site_http_proxy"], found["site_https_proxy"]) == (PROXY, "http://[fd00::7]:3128")
    assert found["site_no_proxy"] == ("corp.example", "10.0.0.0/8", "fd00::/8", "::1")
    assert found["site_proxy_credentials_file"] == Path("/etc/genset/site/proxy")
    assert found["site_ca_file"] == Path("/etc/genset/site/ca.crt")
    assert found["hub_token_secret"] == "hub/token"
    assert site_volume(objects) == [
        {"configMap": {"name": "corp-ca", "items": [{"key": "bundle.pem", "path": "ca.crt"}]}},
        {"secret": {"name": "proxy", "items": [{"key": "credentials", "path": "proxy"}]}},
    ]
    mount = {"name": "site", "mountPath": "/etc/genset/site", "readOnly": True}
    assert mount in container(objects)["volumeMounts"]
    rules = one(objects, "Role", "genset-operator-leader")["rules"]
    assert {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["hub"], "verbs": ["get"]} in rules


def test_without_it_there_is_nothing_of_it() -> None:
    objects = render()
    assert site_volume(objects) == [] and options(objects)["site_ca_file"] is None
    assert not [
        rule for rule in one(objects, "Role", "genset-operator-leader")["rules"] if "secrets" in rule["resources"]
    ]


def test_certificates_may_stand_in_the_values() -> None:
    objects = render({"site": {"caBundle": {"pem": PEM}}})
    made = one(objects, "ConfigMap", "genset-operator-ca")
    assert made["data"]["ca.crt"].strip() == PEM.strip()
    assert site_volume(objects)[0]["configMap"]["name"] == "genset-operator-ca"


def test_engines_may_be_kept_from_ipv6() -> None:
    assert options(render())["engine_listen"] == "::"
    assert options(render({"engineListen": "0.0.0.0"}))["engine_listen"] == "0.0.0.0"


@pytest.mark.parametrize("site", [SITE, {"caBundle": {"pem": PEM}}, {"caBundle": {"secret": {"name": "ca"}}}], ids=str)
def test_a_real_api_server_takes_it(plane: ControlPlane, site: Object) -> None:
    text = yaml.safe_dump_all(render({"site": site}))
    answer = plane.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert "serverside-applied (server dry run)" in answer


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ({"proxy": {"https": "http://user:pass@proxy:3128"}}, "at '/site/proxy/https'"),
        ({"proxy": {"https": "socks5://proxy:3128"}}, "at '/site/proxy/https'"),
        ({"proxy": {"https": "https://proxy:3128"}}, "at '/site/proxy/https'"),
        ({"proxy": {"http": "proxy.corp:3128"}}, "at '/site/proxy/http'"),
        ({"proxy": {"http": "http://proxy.corp"}}, "at '/site/proxy/http'"),
        ({"proxy": {"noProxy": ["a,b"]}}, "at '/site/proxy/noProxy/0'"),
        ({"proxy": {"noProxy": "a"}}, "got string, want array"),
        ({"proxy": {"credentialsSecret": {"name": "p"}}}, "site.proxy.credentialsSecret needs site.proxy.https"),
        ({"caBundle": {"pem": PEM, "secret": {"name": "s"}}}, "takes one of pem, configMap and secret, and has pem and"),
        ({"caBundle": {"pem": f"{PEM}-----BEGIN PRIVATE KEY-----"}}, "site.caBundle.pem holds a private key"),
        ({"caBundle": "x"}, "got string, want object"),
        ({"hubToken": "hf_x"}, "additional properties 'hubToken' not allowed"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(site: Object, said: str) -> None:
    with pytest.raises(HelmRefused) as refused:
        render({"site": site})
    assert said in str(refused.value)
