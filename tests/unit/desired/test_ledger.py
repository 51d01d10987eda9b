"""What routers get of the site's ledger: where it is, a token of their namespace's own, and the way there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from genset import names
from genset.api.routepolicy import RoutePolicy
from genset.contracts.ledger import namespace_of
from genset.desired import network_policy, router, router_config
from genset.desired.context import Locality, RoutePolicyContext, Settings
from genset.desired.site import Ledger, Site
from testbed.resources import route_policy

KEY = b"a key"
URL = "http://genset-ledger.genset-system.svc:8090"


def context(ledger: Ledger | None, **more: Any) -> RoutePolicyContext:
    return RoutePolicyContext(Settings("i", place=Locality(site=Site(ledger=ledger)), **more))


def policy(namespace: str = "law", **spec: Any) -> RoutePolicy:
    cloud = {
        "name": "c",
        "cloud": {"provider": "openai", "model": "m", "credentialsSecretRef": {"name": "s", "key": "k"}},
    }
    made = route_policy(namespace, "assistant", [cloud], "c", **spec)
    made["metadata"] |= {"uid": "1", "generation": 1}
    return RoutePolicy.model_validate(made)


def ways(ledger: Ledger | None, **more: Any) -> list[Any]:
    made = network_policy.for_router(policy(), context(ledger, **more))
    assert made is not None
    return list(made["spec"]["egress"])


def test_a_router_is_told_only_if_there_is_one() -> None:
    """Routers of releases that do not know it go on with what they have (ADR 12)."""
    told = json.loads(router_config.build(policy(), context(None)).canonical_json())
    assert "ledger" not in told and "usage" not in told
    told = json.loads(router_config.build(policy(), context(Ledger(URL, KEY))).canonical_json())
    assert told["ledger"] == {"url": URL, "tokenFile": "site.ledger"} and told["usage"]["spoolBytes"] > 0


@pytest.mark.parametrize("namespace", ["law", "models"])
def test_the_token_is_that_of_the_namespace(namespace: str) -> None:
    given = context(Ledger(URL, KEY))
    secret = router.credentials(policy(namespace), given)
    token = base64.b64decode(secret["data"]["site.ledger"]).decode()
    assert namespace_of(KEY, token) == namespace
    assert KEY.decode() not in json.dumps(secret)
    assert "site.ledger" not in router.credentials(policy(namespace), context(None)).get("data", {})


def test_the_way_leads_to_its_pods_and_no_further() -> None:
    more = [way for way in ways(Ledger(URL, KEY)) if way not in ways(None)]
    assert more == [
        {
            "to": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "genset-system"}},
                    "podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_LEDGER}},
                }
            ],
            "ports": [{"port": names.LEDGER_PORT, "protocol": "TCP"}],
        }
    ]


def test_a_ledger_elsewhere_is_reached_as_any_server() -> None:
    more = [way for way in ways(Ledger("https://ledger.corp:9443", KEY)) if way not in ways(None)]
    assert [way["ports"] for way in more] == [[{"port": 9443, "protocol": "TCP"}]]


def test_nothing_secret_is_shown() -> None:
    assert "a key" not in repr(Site(ledger=Ledger(URL, KEY)))
