"""A cloud's price is the policy's, else that of the release at the provider's own address, else unknown."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.cloud import Cloud
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_config import RouterConfig
from genset.desired import prices, router_config
from genset.desired.context import Locality, RoutePolicyContext, Settings
from genset.desired.kept import Running
from genset.desired.secrets import UserSecret
from genset.desired.site import Ledger, Site
from genset.status import prices as told

SECRET = {"name": "keys", "key": "k"}
PRICE = {"currency": "EUR", "inputPerMillion": "0.10", "outputPerMillion": "0.30"}


def cloud(**said: Any) -> Cloud:
    return Cloud.model_validate({"provider": "openai", "model": "gpt-4o", "credentialsSecretRef": SECRET, **said})


TABLE: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "packaged 2.5", True),
    ({"price": PRICE}, "policy 0.10", True),
    ({"baseURL": "https://api.openai.com/v1/"}, "packaged 2.5", True),
    ({"baseURL": "https://gateway.corp/v1"}, "", False),  # whoever stands there may ask anything
    ({"baseURL": "https://gateway.corp/v1", "price": PRICE}, "policy 0.10", True),
    ({"model": "gpt-nobody-knows"}, "", False),
    ({"provider": "azureOpenAI", "baseURL": "https://r.openai.azure.com/openai/v1"}, "", False),
    ({"provider": "openRouter", "model": "some/new-model"}, "", True),  # its answers tell
    ({"provider": "openAICompatible", "baseURL": "https://gateway.corp/v1"}, "", False),
]


@pytest.mark.parametrize(("said", "expected", "known"), TABLE)
def test_whose_price_counts(said: dict[str, Any], expected: str, known: bool) -> None:
    found = prices.price_config(cloud(**said))
    assert (f"{found.source} {found.rates and found.rates.input_per_million}" if found else "") == expected
    assert prices.is_known(cloud(**said)) is known


def policy(*clouds: dict[str, Any]) -> RoutePolicy:
    backends = [
        {"name": f"c{at}", "cloud": {"provider": "openai", "model": "gpt-4o", "credentialsSecretRef": SECRET, **said}}
        for at, said in enumerate(clouds)
    ]
    spec = {"backends": backends, "routes": [{"name": "all", "tiers": [{"backends": [{"name": "c0"}]}]}]}
    return RoutePolicy.model_validate(
        {"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec}
    )


def built(resource: RoutePolicy, *, before: bool) -> RouterConfig:
    secret = UserSecret({"k": b"key"}, allow_hosts="*.openai.com")
    context = RoutePolicyContext(Settings(image="genset"), secrets={"keys": secret}, before_this_release=before)
    return router_config.build(resource, context)


def test_routers_of_another_release_are_told_no_price_that_no_policy_says() -> None:
    for before, expected in ((False, "packaged"), (True, None)):
        (backend,) = built(policy({}), before=before).backends
        assert (backend.price.source if backend.price else None) == expected
    (said,) = built(policy({"price": PRICE}), before=True).backends
    assert said.price is not None and said.price.source == "policy"


def test_routers_of_another_release_are_told_of_no_ledger() -> None:
    """They would refuse a configuration with what they do not know, which no policy has asked for."""
    site = Site(ledger=Ledger("http://ledger.genset:8080", b"key"))
    settings = Settings(image="genset", place=Locality(site=site))
    for before, expected in ((True, False), (False, True)):
        context = RoutePolicyContext(settings, before_this_release=before)
        config = router_config.build(policy({"price": PRICE}), context)
        assert ((config.usage is not None), (config.ledger is not None)) == (expected, expected)


def test_pods_that_bear_no_record_are_of_another_release() -> None:
    assert not Running().of_another_release
    assert Running({"kind": "Deployment"}).of_another_release


def test_the_condition_names_the_backends_and_the_remedy() -> None:
    unknown = {"model": "gpt-nobody-knows"}
    assert told.verdict(policy({}, {"price": PRICE})) is None
    verdict = told.verdict(policy({}, *[unknown] * 5))
    assert verdict is not None and verdict.status == "False"
    assert verdict.message == (
        "Nobody knows what c1 (openai gpt-nobody-knows), c2 (openai gpt-nobody-knows), c3 (openai gpt-nobody-knows) and 2 more "
        "cost: requests there are counted without a cost; write it into cloud.price of the backend"
    )
