"""Tokens of an identity provider at a running router: its keys come in the background, and stay while it is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genset.router.process import admission
from genset.router.watch import key_set_watch
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status
from tests.support.router.consumers import access
from tests.support.router.provider import AUDIENCE, ISSUER, NOW, IdentityProvider, KeySetServer


def settings(base_url: str, **jwt: Any) -> dict[str, Any]:
    told = {"issuer": ISSUER, "audiences": [AUDIENCE], "consumerClaim": "sub", "teamClaim": "groups", **jwt}
    return {**config(house(base_url)), "access": {**access(), "keysFile": None, "jwt": told}}


class Wall:
    """Wall is a clock that a test sets."""

    now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The time of day of tokens, in place of that of the machine."""
    made, real = Wall(), admission.Admission.__init__
    monkeypatch.setattr(admission.Admission, "__init__", lambda self, _, *others: real(self, made.time, *others))
    monkeypatch.setattr(key_set_watch, "MISS_SECONDS", 0.05)
    monkeypatch.setattr(key_set_watch, "RETRY_SECONDS", 0.01)
    return made


async def ask(router: RunningRouter, token: str) -> Response:
    return await router.ask(chat(), headers={"authorization": f"Bearer {token}"})


@pytest.mark.interpreted
async def test_a_provider_may_be_away_for_an_hour_and_change_its_keys(tmp_path: Path, wall: Wall) -> None:
    provider = IdentityProvider()
    log = tmp_path / "log"
    async with ScriptedUpstream() as model, KeySetServer(provider.key_set()) as published:
        content = settings(model.base_url, jwksUrl=published.url)
        async with RunningRouter(tmp_path, content, log=log) as router:

            async def answered(token: str) -> bool:
                return (await ask(router, token)).status == 200

            await until(lambda: answered(provider.token(groups=["lab"])), what="the provider's keys are there")
            published.away = True
            wall.now += 3600
            late = {"exp": wall.now + 60, "iat": wall.now}
            answer = await ask(router, provider.token(**late))
            assert answer.status == 200, "the provider is away, and its users with it"
            expired = await ask(router, provider.token())
            assert expired.status == 401 and "has expired" in expired.error["message"]  # type: ignore[index]
            provider.rotate("second")
            assert (await ask(router, provider.token(**late))).status == 401
            published.document = provider.key_set()
            published.away = False
            await until(lambda: answered(provider.token(**late)), what="the new key is fetched")
    first = json.loads(log.read_text().splitlines()[-1])
    assert (first["consumer"], first["status"]) == ("alice", 200)
    assert provider.token() not in log.read_text() and "eyJ" not in log.read_text()


@pytest.mark.interpreted
async def test_unknown_key_ids_make_no_flood_of_fetches(
    tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_set_watch, "MISS_SECONDS", 60.0)
    provider = IdentityProvider()
    async with (
        ScriptedUpstream() as model,
        KeySetServer(provider.key_set()) as published,
        RunningRouter(tmp_path, settings(model.base_url, jwksUrl=published.url)) as router,
    ):
        await until(lambda: published.asked == 1, what="the keys are fetched")
        for number in range(20):
            assert (await ask(router, provider.token({"kid": f"made-up-{number}"}))).status == 401
        assert published.asked == 1, "whoever names key ids has the router ask its provider"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_nobody_else_says_what_a_providers_keys_are(tmp_path: Path, code: int) -> None:
    """A redirect, or another service that a server names (RFC 7838), leads nowhere: who answers there would be anybody."""
    async with ScriptedUpstream() as model, ScriptedUpstream() as elsewhere:
        aside = Status(
            code, "moved", {"location": f"{elsewhere.url}/certs", "alt-svc": f'http/1.1=":{elsewhere.port}"'}
        )
        async with (
            ScriptedUpstream(health=aside) as published,
            RunningRouter(tmp_path, settings(model.base_url, jwksUrl=f"{published.url}/certs")) as router,
        ):
            await until(lambda: bool(published.probes), what="the keys are asked for")
            assert (await ask(router, IdentityProvider().token())).status == 401
        assert elsewhere.accepted == 0


@pytest.mark.interpreted
@pytest.mark.parametrize(
    "document",
    [b'{"keys": [' + b'{"kty":"EC"},' * 800_000 + b"{}]}", b"<html>", b'{"keys": []}'],
    ids=["10 MB", "HTML", "none"],
)
async def test_what_a_provider_should_not_publish_harms_nobody(tmp_path: Path, wall: Wall, document: bytes) -> None:
    provider = IdentityProvider()
    async with (
        ScriptedUpstream() as model,
        KeySetServer(document) as published,
        RunningRouter(tmp_path, settings(model.base_url, jwksUrl=published.url)) as router,
    ):
        await until(lambda: published.asked >= 2, what="it is asked again")
        answer = await ask(router, provider.token())
        assert answer.status == 401 and "keys of its provider were never there" in answer.error["message"]  # type: ignore[index]
        published.document = provider.key_set()

        async def answered() -> bool:
            return (await ask(router, provider.token())).status == 200

        await until(answered, what="the provider has come to its senses")


async def test_a_key_set_from_a_file(tmp_path: Path) -> None:
    provider = IdentityProvider()
    async with ScriptedUpstream() as model:
        content = settings(model.base_url, jwksFile="access.jwks")
        async with RunningRouter(tmp_path, content, {"access.jwks": provider.key_set()}) as router:
            good = await ask(router, provider.token(exp=4102444800, iat=None))
            assert good.status == 200, good.body
            assert (await router.ask(chat())).status == 401
            provider.rotate("second")
            (router.credentials_dir / "access.jwks").write_bytes(provider.key_set())

            async def answered() -> bool:
                return (await ask(router, provider.token(exp=4102444800, iat=None))).status == 200

            await until(answered, what="the new file is taken")
