"""A router proves who it is to Entra, and asks Azure with the token that it gets; what is wrong is named with its remedy.

FakeEntra stands in for Microsoft's sign-in server: it checks the form as RFC 7523 and Entra want it, and gives out tokens.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from genset.router.backends.identity import Identity, NoTokenError
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Status, Step

TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
SCOPE = "https://cognitiveservices.azure.com/.default"
PROOF = "eyJhbGciOiJSUzI1NiJ9.proof-of-the-service-account"
TOKEN = "eyJ0eXAiOiJKV1Qi.token-number-"


@dataclass
class FakeEntra:
    """A FakeEntra gives out numbered tokens. `refusal`: an error code that it answers with instead."""

    refusal: str = ""
    lives: int = 3600
    asked: list[dict[str, str]] = field(default_factory=list)

    def choose(self, received: Received) -> Step:
        form = {key: values[0] for key, values in parse_qs(received.body.decode()).items()}
        self.asked.append(form)
        if self.refusal:
            words = f"{self.refusal}: Application was not found. Trace ID: x\r\nCorrelation ID: y"
            return Status(401, {"error": "invalid_client", "error_description": words})
        wanted = {
            "grant_type": "client_credentials", "client_id": CLIENT, "scope": SCOPE, "client_assertion": PROOF,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }  # fmt: skip
        assert received.path == f"/{TENANT}/oauth2/v2.0/token" and form == wanted, (received.path, form)
        assert received.headers["content-type"] == "application/x-www-form-urlencoded"
        token = f"{TOKEN}{len(self.asked)}"
        return Status(200, {"token_type": "Bearer", "expires_in": self.lives, "access_token": token})


def azure(azure: ScriptedUpstream, entra: ScriptedUpstream) -> dict[str, Any]:
    token_url = f"{entra.base_url.removesuffix('/v1')}/{TENANT}/oauth2/v2.0/token"
    identity = {"tokenUrl": token_url, "clientId": CLIENT, "scope": SCOPE}
    return cloud(azure.base_url, "azure", "azureOpenAI", url={"identity": identity})


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    path = tmp_path / "proof"
    path.write_text(PROOF + "\n")
    return path


async def test_azure_is_asked_with_a_token_of_entra(tmp_path: Path, proof: Path) -> None:
    fake = FakeEntra()
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(proof)}
    async with (
        ScriptedUpstream() as server,
        ScriptedUpstream(choose=fake.choose) as entra,
        RunningRouter(tmp_path, config(azure(server, entra)), environment=environment) as router,
    ):
        for _ in range(3):
            assert (await router.ask(chat())).complete
        server.always(Status(400, {"error": {"message": f"no such thing: {TOKEN}1"}}))
        quoted = await router.ask(chat())
    assert {received.headers["authorization"] for received in server.requests} == {f"Bearer {TOKEN}1"}
    assert "api-key" not in server.requests[0].headers and len(fake.asked) == 1, "one token serves all requests"
    assert TOKEN not in quoted.body.decode() and "***" in quoted.body.decode(), quoted


@pytest.mark.parametrize(
    ("refusal", "words"), [("AADSTS700016", "correct clientID or tenantID"), ("AADSTS1", "Application was not found")]
)
async def test_without_a_token_another_is_asked_and_the_reason_is_told(
    tmp_path: Path, proof: Path, refusal: str, words: str
) -> None:
    fake = FakeEntra(refusal)
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(proof)}
    async with ScriptedUpstream() as server, ScriptedUpstream() as other, ScriptedUpstream(choose=fake.choose) as entra:
        content = config(azure(server, entra), cloud(other.base_url))
        async with RunningRouter(tmp_path, content, environment=environment) as router:
            answer = await router.ask(chat())
            assert answer.complete and answer.headers["x-genset-backend"] == "cloud", answer
        async with RunningRouter(tmp_path, config(azure(server, entra)), environment=environment) as router:
            alone = await router.ask(chat())
            assert alone.status == 503 and refusal in alone.json["error"]["message"], alone
            assert words in alone.json["error"]["message"] and PROOF not in alone.body.decode()
    assert not server.requests


async def test_a_proof_that_is_missing_is_named(tmp_path: Path) -> None:
    async with ScriptedUpstream() as server, ScriptedUpstream() as entra:
        for environment, words in (
            ({}, "AZURE_FEDERATED_TOKEN_FILE"),
            ({"AZURE_FEDERATED_TOKEN_FILE": "/none"}, "/none"),
        ):
            async with RunningRouter(tmp_path, config(azure(server, entra)), environment=environment) as router:
                alone = await router.ask(chat())
            assert alone.status == 503 and words in alone.json["error"]["message"], alone
    assert not entra.requests


@pytest.mark.interpreted
async def test_a_token_is_renewed_before_it_is_over(
    tmp_path: Path, proof: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genset.router.backends.identity.LEAST_SECONDS", 0.05)
    fake = FakeEntra(lives=12)
    monkeypatch.setattr("genset.router.backends.identity.RENEW_SHARE", 0.01)
    async with ScriptedUpstream() as server, ScriptedUpstream(choose=fake.choose) as entra:
        environment = {"AZURE_FEDERATED_TOKEN_FILE": str(proof)}
        async with RunningRouter(tmp_path, config(azure(server, entra)), environment=environment) as router:
            async with asyncio.timeout(20):
                while len(fake.asked) < 3:
                    await asyncio.sleep(0.02)
            assert (await router.ask(chat())).complete
    assert server.requests[0].headers["authorization"] >= f"Bearer {TOKEN}2"


def test_an_old_token_serves_until_its_end_and_failures_are_spread() -> None:
    now = [100.0]
    identity = Identity(lambda: now[0])
    with pytest.raises(NoTokenError):
        identity.line()
    assert identity.renewed(b"t", 3600.0) == 2700.0
    assert [identity.failed("away") for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    now[0] += 3589.0
    assert identity.line() == b"authorization: Bearer t\r\n"
    now[0] += 1.0
    with pytest.raises(NoTokenError, match="away"):
        identity.line()
