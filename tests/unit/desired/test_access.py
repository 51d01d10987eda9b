"""Consumers' keys on their way to a router: digests alone, of good keys, with their owner's consent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.contracts.access_keys import ACCESS_KEYS_FILE, digest_of, from_json, to_json
from genset.desired import router, router_config
from genset.desired.access import keys_fault
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import ConsumerMarks, UserSecret
from genset.status.refs import check_route_policy

GOOD = b"gs-0123456789abcdefghij"
OTHER = b"gs-abcdefghij0123456789"
TEAM = {"keysSecretRef": {"name": "team", "key": "keys"}}


def policy(*consumers: dict[str, Any], mode: str = "Required", **access: Any) -> RoutePolicy:
    return RoutePolicy.model_validate(
        {
            "metadata": {"name": "p", "namespace": "models"},
            "spec": {
                "backends": [{"name": "b", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "https://b.example/v1"}}],
                "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}],
                "access": {"mode": mode, "consumers": list(consumers), **access},
            },
        }
    )  # fmt: skip


def context(content: bytes | None, **more: Any) -> RoutePolicyContext:
    secrets = {"team": UserSecret({"keys": content}, **{"holds_keys": True, **more})} if content is not None else {}
    return RoutePolicyContext(Settings(image="genset:test"), secrets=secrets)


def digests(resource: RoutePolicy, known: RoutePolicyContext) -> dict[str, str]:
    return from_json(router_config.credential_files(resource, known)[ACCESS_KEYS_FILE])


def test_every_line_is_a_key_and_no_key_goes_to_a_router() -> None:
    known = context(b"# of the first half of the year\n" + GOOD + b"\r\n\n  " + OTHER + b"  \n")
    resource = policy({"name": "a", **TEAM})
    assert digests(resource, known) == {digest_of(GOOD): "a", digest_of(OTHER): "a"}
    told = router_config.build(resource, known).canonical_json().encode()
    files = b"".join(router_config.credential_files(resource, known).values())
    assert GOOD not in told + files and OTHER not in told + files
    assert check_route_policy(resource, known) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"short", "line 1 holds a key of fewer than 20 characters"),
        (GOOD + b"\nBearer " + GOOD, "line 2 holds blanks"),
        ("gs-schlüssel-0123456789".encode(), "line 1 holds blanks or bytes that are not ASCII"),
        (b"\n# nothing\n", "holds no key"),
        (b"g" * 600, "line 1 holds a key of more than 512 characters"),
        (b"\n".join(b"gs-%020d" % n for n in range(70)), "more than 64 keys"),
    ],
)
def test_what_is_no_key_is_told_and_the_others_are_in_force(content: bytes, told: str) -> None:
    assert told in keys_fault(content) and content.strip() not in keys_fault(content).encode()
    (problem,) = check_route_policy(policy({"name": "a", **TEAM}), context(content))
    assert problem.reason == "SecretKeyInvalid" and "spec.access.consumers[a].keysSecretRef" in problem.message
    kept = digests(policy({"name": "a", **TEAM}), context(content + b"\n" + OTHER))
    assert (digest_of(OTHER) in kept) == ("64 keys" not in told) and len(kept) <= 64


@pytest.mark.parametrize(
    ("known", "reason", "told"),
    [
        (context(None), "SecretNotFound", "Secret team, which is not in namespace models"),
        (
            context(GOOD, holds_keys=False),
            "SecretNotAllowed",
            "kubectl label secret team -n models genset.dev/consumer=true",
        ),
        (context(GOOD, holds_keys=False, allow_hosts="*"), "SecretNotAllowed", "genset.dev/consumer=true"),
        (context(GOOD, type="kubernetes.io/service-account-token"), "SecretNotAllowed", "token of this cluster"),
    ],
)
def test_without_its_owners_word_no_secret_opens_a_door(known: RoutePolicyContext, reason: str, told: str) -> None:
    (problem,) = check_route_policy(policy({"name": "a", **TEAM}), known)
    assert (problem.reason, told in problem.message) == (reason, True), problem.message
    assert digests(policy({"name": "a", **TEAM}), known) == {}


def test_a_key_of_two_consumers_is_the_first_ones() -> None:
    resource = policy({"name": "a", **TEAM}, {"name": "b", **TEAM})
    assert set(digests(resource, context(GOOD)).values()) == {"a"}
    (problem,) = check_route_policy(resource, context(GOOD))
    assert "consumers[b]" in problem.message and "consumer a has one of its keys" in problem.message


def test_what_a_consumer_does_not_say_the_defaults_say() -> None:
    resource = policy(
        {"name": "a", **TEAM, "requestsPerMinute": 5},
        {"name": "anonymous", "models": ["small"]},
        mode="Open",
        defaults={"requestsPerMinute": 60, "models": ["team-*"]},
    )
    told = router_config.build(resource, context(GOOD)).access
    assert told is not None and not told.required
    allowed = {one.name: (one.allowance.models, one.allowance.requests_per_minute) for one in told.consumers}
    assert allowed == {"a": (("team-*",), 5), "anonymous": (("small",), 60)}
    assert told.defaults.requests_per_minute == 60 and told.routers == 2


@pytest.mark.parametrize(
    ("consumers", "mode", "told"),
    [
        ([], "Required", "nobody could ask"),
        ([{"name": "a"}], "Required", "each needs keysSecretRef"),
        ([{"name": "anonymous"}], "Required", "without it stand only anonymous, under mode Open"),
        ([{"name": "anonymous", **TEAM}], "Open", "anonymous is whoever shows no key"),
        ([{"name": "a", **TEAM}, {"name": "a", **TEAM}], "Open", "twice"),
    ],
)
def test_what_can_never_act_is_refused(consumers: list[dict[str, Any]], mode: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        policy(*consumers, mode=mode)


@pytest.mark.parametrize("limit", ["requestsPerMinute", "tokensPerMinute", "maxInFlight"])
@pytest.mark.parametrize("where", ["consumer", "defaults"])
def test_routers_with_a_limit_to_share_know_one_another(limit: str, where: str) -> None:
    lab = {"name": "lab", **TEAM}
    written = policy({**lab, limit: 4}) if where == "consumer" else policy(lab, defaults={limit: 4})
    for replicas, share in ((1, False), (2, True)):
        document = written.model_dump(by_alias=True, exclude_none=True)
        document["spec"]["router"]["replicas"] = replicas
        resource = RoutePolicy.model_validate(document)
        config = router_config.build(resource, context(GOOD)).access
        assert config is not None and (config.peers is not None) is share
        assert (router.peers(resource, context(GOOD)) is not None) is share


def test_the_keys_file_reads_as_it_was_written() -> None:
    written = to_json({"b": [digest_of(OTHER)], "a": [digest_of(GOOD)]})
    assert from_json(written) == {digest_of(OTHER): "b", digest_of(GOOD): "a"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"keys": {}}', b'{"version": 1, "keys": {"a": ["AB"]}}'])
def test_another_keys_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is"):
        from_json(content)


def brought(
    secret: str, keys: bytes, created: str = "2026-01-01T00:00:00Z", **annotations: str
) -> dict[str, UserSecret]:
    marked = {f"genset.dev/consumer-{what}": value for what, value in annotations.items()}
    labels = {"genset.dev/consumer": "true", "team": "lab"}
    metadata = {"labels": labels, "annotations": marked, "creationTimestamp": created}
    return {secret: UserSecret({"k": keys}, holds_keys=True, marks=ConsumerMarks.of(metadata))}


SELECTOR = {"consumerSelector": {"matchLabels": {"team": "lab"}}}
THIRD = b"gs-the-third-of-the-keys"


def selected(listed: dict[str, UserSecret] | None) -> tuple[dict[str, str], list[str], list[tuple[str, str | None]]]:
    """Returns consumers by digest, what a condition tells, and names with teams."""
    resource = policy({"name": "a", **TEAM}, **SELECTOR, defaults={"requestsPerMinute": 7})
    known = replace(context(GOOD), listed=listed)
    told = router_config.build(resource, known).access
    assert told is not None and all(one.allowance.requests_per_minute == 7 for one in told.consumers)
    names = [(one.name, one.team) for one in told.consumers]
    return digests(resource, known), [p.message for p in check_route_policy(resource, known)], names


def test_secrets_by_labels_are_consumers() -> None:
    listed = {**brought("lab-two", OTHER), **brought("x", THIRD, name="three", team="Lab 3")}
    listed["stranger"] = UserSecret({"k": b"gs-no-label-of-the-selector"}, holds_keys=True)
    listed["unmarked"] = replace(brought("unmarked", b"gs-no-consent-of-the-owner")["unmarked"], holds_keys=False)
    assert selected(dict(reversed(listed.items()))) == selected(listed), (
        "adyanth/cloudflare-operator#26: an order that moved"
    )
    found, told, names = selected(listed)
    assert found == {digest_of(GOOD): "a", digest_of(OTHER): "lab-two", digest_of(THIRD): "three"} and not told
    assert names == [("a", None), ("lab-two", None), ("three", "Lab 3")]


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (None, "the operator may not list Secrets in namespace models: have rbac.listSecrets"),
        (brought("x", OTHER, name="a"), "Secret x is called a, as spec.access.consumers[a] is"),
        (brought("x", OTHER, name="anonymous"), "is called anonymous"),
        (brought("x", OTHER, name="No Name"), "is no name of a consumer"),
        (brought("x", OTHER, name="x", team=" "), ""),
        (brought("x", OTHER, team="a\tb"), "consumer-team that is no name"),
        (brought("x", b"short"), "Secret x line 1 holds a key of fewer than 20"),
        (brought("x", GOOD), "consumer a has one of its keys"),
        (
            {**brought("y", OTHER, name="z"), **brought("x", THIRD, "2025-01-01T00:00:00Z", name="z")},
            "Secret y is called z, as Secret x is",
        ),
    ],
)
def test_a_secret_that_is_no_consumer_costs_nobody_else(listed: dict[str, UserSecret] | None, told: str) -> None:
    found, messages, _ = selected(listed)
    assert found[digest_of(GOOD)] == "a" and [told in one for one in messages] == ([True] if told else [])
    if "as Secret x is" in told:
        assert found[digest_of(THIRD)] == "z" and digest_of(OTHER) not in found, "who comes later took the name"


JWT = {"issuer": "https://idp.corp/x", "audiences": ["genset"]}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://idp.corp/x/certs", ""),
        ("http://idp.keycloak.svc:8080/certs", ""),
        ("http://idp.corp/certs", "over plain HTTP anybody on the way could put keys"),
        ("https://169.254.169.254/certs", "169.254.169.254"),
    ],
)
def test_where_keys_of_a_provider_may_come_from(url: str, told: str) -> None:
    resource = policy(jwt={**JWT, "jwksURL": url})
    problems = [p.message for p in check_route_policy(resource, context(None))]
    built = router_config.build(resource, context(None)).access
    assert [told in one for one in problems] == ([True] if told else [])
    assert built is not None and (built.jwt is None) == bool(told), "a key set is fetched that may not be"


@pytest.mark.parametrize(
    ("jwt", "told"),
    [
        (JWT, "exactly one of jwksURL, jwksSecretRef"),
        ({**JWT, "jwksURL": "https://a/b", "jwksSecretRef": {"name": "a", "key": "b"}}, "exactly one"),
        (
            {**JWT, "jwksURL": "http://a.b.svc/c", "caSecretRef": {"name": "a", "key": "b"}},
            "needs a jwksURL with https",
        ),
        ({**JWT, "jwksURL": "https://a/b", "allowedTeams": ["x"]}, "needs teamClaim"),
        ({**JWT, "jwksURL": "https://a/b", "audiences": []}, "at least 1 item"),
    ],
)
def test_what_a_provider_needs(jwt: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        policy(jwt=jwt)


def test_a_key_set_from_a_secret_reaches_the_router() -> None:
    resource = policy(jwt={**JWT, "jwksSecretRef": {"name": "team", "key": "keys"}})
    point = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    )  # RFC 7515, A.3.1
    public = b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "%s", "y": "%s"}]}' % tuple(map(str.encode, point))
    known = context(public, holds_keys=False)
    assert router_config.credential_files(resource, known)["access.jwks"] == public
    assert check_route_policy(resource, known) == []
    for content, told in (
        (b"[]", 'it is no {"keys": […]}'),
        (b'{"keys": []}', "it has no public key for signatures"),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "it has no public key for signatures"),
    ):
        (problem,) = check_route_policy(resource, context(content))
        assert (
            problem.reason == "SecretKeyInvalid"
            and "is no key set that can be used, because " + told in problem.message
        )
