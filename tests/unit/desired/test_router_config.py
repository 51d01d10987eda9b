"""Credentials on their way to the router: kept when a Secret goes missing, and never for anybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.router.providers import PROVIDERS

CA = (Path(__file__).parents[2] / "data" / "ca.crt").read_bytes()

SETTINGS = Settings(image="genset:test")


def policy(**cloud: Any) -> RoutePolicy:
    cloud = {"provider": "mistral", "model": "m", "credentialsSecretRef": {"name": "s", "key": "k"}, **cloud}
    return RoutePolicy.model_validate(
        {
            "metadata": {"name": "p"},
            "spec": {
                "backends": [{"name": "b", "cloud": cloud}],
                "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}],
            },
        }
    )


def context(
    secrets: dict[str, dict[str, bytes]], applied: dict[str, bytes] | None = None, allow: str | None = "*"
) -> RoutePolicyContext:
    known = {name: UserSecret(data, allow) for name, data in secrets.items()}
    return RoutePolicyContext(SETTINGS, {}, known, applied or {})


def test_a_key_stays_in_use_while_its_secret_is_missing() -> None:
    given = router_config.credential_files(policy(), context({"s": {"k": b"old\n"}}))
    assert list(given.values()) == [b"old"]
    lost = context({}, given)
    assert router_config.credential_files(policy(), lost) == given
    assert [b.name for b in router_config.build(policy(), lost).backends] == ["b"]


def test_a_rotated_key_replaces_the_old_one() -> None:
    given = router_config.credential_files(policy(), context({"s": {"k": b"old"}}))
    rotated = router_config.credential_files(policy(), context({"s": {"k": b"new"}}, given))
    assert rotated == dict.fromkeys(given, b"new")


@pytest.mark.parametrize(
    "change",
    [
        {"credentialsSecretRef": {"name": "other", "key": "k"}},
        {"credentialsSecretRef": {"name": "s", "key": "other"}},
        {"baseURL": "https://elsewhere.example/v1"},
    ],
)
def test_a_kept_key_is_never_sent_to_another_host_or_taken_for_another_secret(change: dict[str, Any]) -> None:
    given = router_config.credential_files(policy(), context({"s": {"k": b"old"}}))
    changed = policy(**change)
    assert router_config.credential_files(changed, context({}, given)) == {}
    assert router_config.build(changed, context({}, given)).backends == ()


@pytest.mark.parametrize("allow", [None, "", "other.example", "https://api.mistral.ai", "api.mistral.ai:80"])
def test_a_key_goes_when_its_secret_no_longer_lets_it_go_there(allow: str | None) -> None:
    given = router_config.credential_files(policy(), context({"s": {"k": b"old"}}, allow="api.mistral.ai"))
    assert list(given.values()) == [b"old"]
    taken_back = context({"s": {"k": b"old"}}, given, allow)
    assert router_config.credential_files(policy(), taken_back) == {}
    assert router_config.build(policy(), taken_back).backends == ()


def test_a_key_that_no_backend_needs_any_more_goes() -> None:
    changed = policy(provider="openAICompatible", baseURL="https://a.example/v1", credentialsSecretRef=None)
    assert router_config.credential_files(changed, context({}, {"b-00000000.key": b"old"})) == {}


def test_every_file_that_the_configuration_names_is_there() -> None:
    full = policy(
        provider="openAICompatible",
        baseURL="https://a.example/v1",
        caSecretRef={"name": "s", "key": "ca"},
        proxy={"url": "http://proxy.example:3128", "credentialsSecretRef": {"name": "s", "key": "proxy"}},
    )
    known = context({"s": {"k": b"1", "ca": CA, "proxy": b"u:p"}})
    (backend,) = router_config.build(full, known).backends
    assert backend.url is not None
    named = {backend.url.key_file, backend.url.ca_file, backend.url.proxy_credentials_file}
    assert named == set(router_config.credential_files(full, known))


@pytest.mark.parametrize("provider", sorted(name for name, one in PROVIDERS.items() if one.base_url is not None))
def test_providers_have_a_base_url_of_their_own(provider: str) -> None:
    (backend,) = router_config.build(policy(provider=provider), context({"s": {"k": b"1"}})).backends
    assert backend.url is not None and backend.url.base_url.startswith("https://")


def test_the_same_policy_gives_the_same_bytes_and_no_secret_is_among_them() -> None:
    known = context({"s": {"k": b"very-secret"}})
    first, second = (router_config.build(policy(), known).canonical_json() for _ in range(2))
    assert first == second
    assert "very-secret" not in first


def test_the_site_of_a_policys_routers_is_its_own_and_says_nothing() -> None:
    def site(uid: str) -> str | None:
        resource = policy()
        metadata = resource.metadata.model_copy(update={"uid": uid})
        return router_config.build(resource.model_copy(update={"metadata": metadata}), context({})).site

    assert site("") is None, "without a uid each router is a site of its own"
    one, other = site("7d1c"), site("7d1d")
    assert one is not None and other is not None and one == site("7d1c") != other
    assert "7d1c" not in one and "p" not in one


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"task": "Chat"}, (None, None)),
        ({"task": "Embeddings"}, ("Embeddings", None)),
        ({"task": "Rerank"}, ("Rerank", None)),
        ({"llamaCpp": {"extraArgs": ["--embedding"]}}, ("Embeddings", None)),
        (
            {
                "engine": "vllm",
                "source": {"pvc": {"claimName": "w", "path": "m"}},
                "adapters": [{"name": "invoices", "source": {"pvc": {"claimName": "w", "path": "a"}}}],
            },
            (None, ("invoices",)),
        ),
    ],
)
def test_routers_know_what_a_model_of_the_house_is_there_for(spec: dict[str, Any], told: tuple[Any, Any]) -> None:
    found = ModelDeployment.model_validate(
        {"metadata": {"name": "house"}, "spec": {"source": {"huggingFace": {"repo": "a/b"}}, **spec}}
    )
    policy = RoutePolicy.model_validate(
        {
            "metadata": {"name": "p"},
            "spec": {
                "backends": [{"name": "house", "deployment": {"name": "house"}}],
                "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}],
            },
        }
    )
    context = RoutePolicyContext(Settings(image="none"), {"house": found})
    (backend,) = router_config.build(policy, context).backends
    assert (backend.task, backend.adapters) == told
