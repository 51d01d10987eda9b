"""Tokens that are believed, and the many that are not."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from genset.contracts.access_config import AccessConfig, AllowanceConfig, ConsumerConfig, JwtConfig
from genset.router.access import tokens as module
from genset.router.access.consumers import MOST_TOLD, Consumers
from genset.router.access.key_set import BadKeySet, KeySet
from genset.router.access.tokens import REMEMBERED, SKEW_SECONDS, Tokens
from genset.router.errors import ErrorAnswer
from tests.support.router.provider import AUDIENCE, ISSUER, NOW, IdentityProvider

PROVIDER = IdentityProvider()
CONFIG = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwksUrl": "https://idp.example/certs", "consumerClaim": "sub"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def tokens(
    provider: IdentityProvider = PROVIDER, missed: list[int] | None = None, clock: Any = None, **more: Any
) -> Tokens:
    made = Tokens(
        JwtConfig.model_validate({**CONFIG, **more}),
        clock or (lambda: NOW),
        lambda: missed.append(1) if missed is not None else None,
    )
    made.take(KeySet.read(provider.key_set()))
    return made


def refused(token: str, given: Tokens | None = None) -> str:
    found = (given or tokens()).bearer(token.encode())
    assert isinstance(found, ErrorAnswer), f"it was believed: {found}"
    assert found.status == 401 and token not in found.message
    return found.message


@pytest.mark.parametrize("kind", ["EC", "RSA", "OKP"])
def test_a_good_token_says_who_asks(kind: str) -> None:
    provider = IdentityProvider(kind=kind)
    given = tokens(provider, teamClaim="groups", allowedTeams=["b", "c"])
    found = given.bearer(provider.token(groups=["a", "c", "b"]).encode())
    assert not isinstance(found, ErrorAnswer) and (found.name, found.team) == ("alice", "c")


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": ISSUER + "/"}, "another provider's"),
        ({"iss": None}, "another provider's"),
        ({"aud": "other"}, "meant for somebody else"),
        ({"aud": None}, "meant for somebody else"),
        ({"aud": ["other", 7, {"genset": 1}]}, "meant for somebody else"),
        ({"aud": {"genset": True}}, "meant for somebody else"),
        ({"exp": None}, "never ends"),
        ({"exp": NOW - SKEW_SECONDS}, "has expired"),
        ({"exp": "4102444800"}, "exp that is no time"),
        ({"exp": True}, "exp that is no time"),
        ({"exp": 1e300}, "exp that is no time"),
        ({"nbf": NOW + SKEW_SECONDS + 1}, "not valid yet (nbf)"),
        ({"iat": NOW + 3600}, "not valid yet (iat)"),
        ({"sub": None}, "does not say who asks"),
        ({"sub": 7}, "does not say who asks"),
        ({"sub": "a\nb"}, "does not say who asks"),
        ({"sub": "a" * 129}, "does not say who asks"),
        ({"sub": " "}, "does not say who asks"),
    ],
)
def test_claims_that_are_not_believed(claims: dict[str, Any], told: str) -> None:
    assert told in refused(PROVIDER.token(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["other", AUDIENCE]},
        {"exp": NOW - SKEW_SECONDS + 1},
        {"nbf": NOW + SKEW_SECONDS - 1},
        {"iat": None},
        {"exp": NOW + 0.5},
    ],
)
def test_claims_that_are_believed(claims: dict[str, Any]) -> None:
    assert not isinstance(tokens().bearer(PROVIDER.token(**claims).encode()), ErrorAnswer)


def part(value: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def test_a_token_without_a_signature_is_none() -> None:
    body = PROVIDER.token().encode().split(b".")[1]
    for algorithm in ("none", "None", "NONE", "", None, 7, ["ES256"]):
        made = b".".join((part({"alg": algorithm, "kid": PROVIDER.id}), body, b"")).decode()
        assert "in a way that is not believed" in refused(made)


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    """Algorithm confusion: HS256 with the published key as the secret."""
    provider = IdentityProvider(kind="RSA")
    for secret in (provider.key.as_pem(private=False), provider.key_set()):
        signed = b".".join((part({"alg": "HS256", "kid": provider.id}), provider.token().encode().split(b".")[1]))
        mark = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
        assert "in a way that is not believed" in refused(f"{signed.decode()}.{mark.decode()}", tokens(provider))


def test_an_algorithm_of_another_kind_of_key_is_refused() -> None:
    token = PROVIDER.token().split(".")
    token[0] = part({"alg": "RS256", "kid": PROVIDER.id}).decode()
    assert "not what its key is for" in refused(".".join(token))
    provider = IdentityProvider(kind="RSA")
    given = tokens(provider)
    given.take(KeySet.read(provider.key_set(alg="PS256")))
    assert "not what its key is for" in refused(provider.token(), given), "the key says which algorithm it is for"


def test_a_token_brings_no_key_of_its_own() -> None:
    other = IdentityProvider("first")
    head = {"jwk": other.key.as_dict(private=False), "jku": "https://evil.example/certs"}
    assert "not signed by its provider" in refused(other.token(head))


def test_what_was_changed_is_not_believed() -> None:
    head, _, signature = PROVIDER.token().split(".")
    body = part({"iss": ISSUER, "aud": AUDIENCE, "sub": "admin", "exp": NOW + 600}).decode()
    assert "was changed" in refused(f"{head}.{body}.{signature}")
    critical = part({"alg": "ES256", "kid": PROVIDER.id, "crit": ["exp"]}).decode()
    assert "crit" in refused(f"{critical}.{body}.{signature}")


@pytest.mark.parametrize(
    "text", ["ey.a.b", "ey..", "eyJ9.e30.", "eyJhbGciOiJFUzI1NiJ9.@@.@@", "ey" + "A" * 6000 + ".e30.x"]
)
def test_what_is_no_token_at_all(text: str) -> None:
    assert refused(text)


def test_an_unknown_key_asks_for_new_ones_and_an_expired_proof_is_none() -> None:
    missed: list[int] = []
    clock = Clock()
    given = tokens(missed=missed, clock=clock)
    assert "does not publish" in refused(IdentityProvider("second").token(), given) and missed == [1]
    token = PROVIDER.token(exp=NOW + 10).encode()
    assert not isinstance(given.bearer(token), ErrorAnswer)
    clock.now += 10 + SKEW_SECONDS
    assert isinstance(given.bearer(token), ErrorAnswer), "a token that was proved once lives on after its end"


def test_keys_that_were_taken_back_prove_nothing_any_more() -> None:
    given, other = tokens(), IdentityProvider("second")
    token = PROVIDER.token().encode()
    assert not isinstance(given.bearer(token), ErrorAnswer)
    given.take(KeySet.read(other.key_set()))
    assert isinstance(given.bearer(token), ErrorAnswer)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 8)
    given = tokens()
    for number in range(20):
        given.bearer(PROVIDER.token(jti=str(number)).encode())
    assert len(given._proved) == 8 < REMEMBERED


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"x" * (11 << 20), "more than"),
        (b"[]", "it is no"),
        (b"{", "not JSON"),
        (json.dumps({"keys": [{"kty": "EC"}] * 100}).encode(), "more than 64 keys"),
        (json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).encode(), "no public key"),
        (
            json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 7, None]}).encode(),
            "no public key",
        ),
        (json.dumps({"keys": [{"kty": "RSA", "n": "A" * 400_000, "e": "AQAB"}]}).encode(), "no public key"),
        (
            json.dumps({"keys": [RSAKey.generate_key(1024, auto_kid=False).as_dict(private=False)]}).encode(),
            "no public key",
        ),
        (PROVIDER.key_set(use="enc"), "no public key"),
    ],
)
def test_key_sets_that_are_of_no_use(document: bytes, told: str) -> None:
    with pytest.raises(BadKeySet, match=told):
        KeySet.read(document)


def test_a_token_without_a_key_id_is_believed_only_if_there_is_no_choice() -> None:
    one, two = IdentityProvider("a"), IdentityProvider("b")
    both = json.dumps({"keys": json.loads(one.key_set())["keys"] + json.loads(two.key_set())["keys"]}).encode()
    head = {"alg": "ES256"}
    token = jws.serialize_compact(
        head, json.dumps({"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": NOW + 9}), one.key
    )
    given = tokens(one)
    assert not isinstance(given.bearer(token.encode()), ErrorAnswer)
    given.take(KeySet.read(both))
    assert isinstance(given.bearer(token.encode()), ErrorAnswer)


def known(*consumers: ConsumerConfig) -> Consumers:
    made, key = Consumers(), ConsumerConfig(name="key", allowance=AllowanceConfig())
    defaults = AllowanceConfig(requests_per_minute=5)
    config = AccessConfig(required=True, routers=1, consumers=consumers or (key,), defaults=defaults)
    made.take(config, {}, tokens())
    return made


def who(given: Consumers, **claims: Any) -> Any:
    return given.who({b"authorization": b"Bearer " + PROVIDER.token(**claims).encode()})


def test_tokens_name_consumers_with_the_defaults_or_what_is_said_of_them() -> None:
    named = ConsumerConfig(name="alice", by_token=True, allowance=AllowanceConfig(max_in_flight=1))
    given = known(named, ConsumerConfig(name="robot", allowance=AllowanceConfig()))
    assert who(given, sub="alice").requests is None and who(given, sub="bob").requests.limit == 5
    assert who(given, sub="bob") is who(given, sub="bob", jti="another token")
    for taken in ("robot", "anonymous"):
        found = who(given, sub=taken)
        assert isinstance(found, ErrorAnswer) and found.status == 401, "a token got the name of a consumer with keys"


def test_metrics_name_only_so_many_of_a_providers_users() -> None:
    given = known()
    for number in range(MOST_TOLD + 30):
        who(given, sub=f"user-{number}").counts.requests += 1
    told = given.told()
    assert len(told) == MOST_TOLD + 2 and told[-1].name == "others" and told[-1].counts.requests == 30
