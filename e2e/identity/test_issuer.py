"""Tokens of a foreign issuer at a running router: what it publishes, signs and rotates, and what it never signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.identity.issuer import Issuer
from genset.router.process import admission
from genset.router.watch import key_set_watch
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import Response, chat, request
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.consumers import access

HOUR = 3600.0


class Wall:
    """Wall is the time of day, which a test may put forward: an hour's outage in a second."""

    ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made, real = Wall(), admission.Admission.__init__
    monkeypatch.setattr(admission.Admission, "__init__", lambda self, _, *others: real(self, made.time, *others))
    monkeypatch.setattr(key_set_watch, "MISS_SECONDS", 0.2)
    monkeypatch.setattr(key_set_watch, "RETRY_SECONDS", 0.05)
    return made


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    (tmp_path / "keys").mkdir()
    async with Issuer(tmp_path / "keys", "first") as found:
        yield found


async def settings(model: ScriptedUpstream, issuer: Issuer, **jwt: Any) -> dict[str, Any]:
    """Returns a configuration that believes what the issuer says of itself."""
    told = await issuer.discovered()
    trusted = {
        "issuer": told["issuer"],
        "audiences": ["genset"],
        "jwksUrl": told["jwks_uri"],
        "consumerClaim": "client_id",
        "teamClaim": "groups",
        "allowedTeams": ["lab"],
        **jwt,
    }
    return {**config(house(model.base_url)), "access": {**access(), "keysFile": None, "jwt": trusted}}


async def ask(router: RunningRouter, token: str) -> Response:
    return await router.ask(chat(), headers={"authorization": f"Bearer {token}"})


async def believed(router: RunningRouter, token: str) -> bool:
    return (await ask(router, token)).status == 200


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_what_it_signs_is_believed_and_names_the_consumer(tmp_path: Path, issuer: Issuer, wall: Wall) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, await settings(model, issuer), log=log) as router,
    ):
        first = await issuer.token()
        await until(lambda: believed(router, first), what="its keys are fetched")
        for algorithm in ("ES256", "RS256", "PS256", "Ed25519"):
            answer = await ask(router, await issuer.token(algorithm=algorithm))
            assert answer.status == 200, f"{algorithm}: {answer.body!r}"
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["consumer"], last["team"]) == ("robot", "lab") and "eyJ" not in log.read_text()


async def test_what_it_did_not_sign_or_not_for_us_is_refused(tmp_path: Path, issuer: Issuer, wall: Wall) -> None:
    async with (
        ScriptedUpstream() as model,
        RunningRouter(
            tmp_path,
            await settings(model, issuer),
        ) as router,
    ):
        good = await issuer.token(algorithm="RS256")
        await until(lambda: believed(router, good), what="its keys are fetched")
        answered = len(model.requests)
        head, claims, signature = good.split(".")
        key = next(one for one in (await request(f"{issuer.root}/jwks")).json["keys"] if one["alg"] == "RS256")
        modulus = base64.urlsafe_b64decode(key["n"] + "==")
        secret = part({"alg": "HS256", "kid": key["kid"]})
        confused = [
            hmac.digest(material, f"{secret}.{claims}".encode(), hashlib.sha256)
            for material in (modulus, json.dumps(key).encode(), key["n"].encode())
        ]
        other = json.loads(base64.urlsafe_b64decode(claims + "=="))
        refused = {
            "for another audience": await issuer.token("somebody-else"),
            "opaque": await issuer.opaque(),
            "signed with a shared secret": await issuer.token(algorithm="HS256"),
            "alg none": f"{part({'alg': 'none'})}.{claims}.",
            "alg None": f"{part({'alg': 'None', 'kid': key['kid']})}.{claims}.",
            "another algorithm": f"{part({'alg': 'PS256', 'kid': key['kid']})}.{claims}.{signature}",
            "no kid": f"{part({'alg': 'RS256'})}.{claims}.{signature}",
            "its own key": f"{part({'alg': 'RS256', 'jwk': key})}.{claims}.{signature}",
            "a changed claim": f"{head}.{part({**other, 'client_id': 'admin'})}.{signature}",
            "no signature": f"{head}.{claims}.",
            "two tokens": f"{good}.{signature}",
        } | {
            f"the public key as a secret, {number}": f"{secret}.{claims}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"
            for number, made in enumerate(confused)
        }
        for what, token in refused.items():
            answer = await ask(router, token)
            assert answer.status in (401, 429), f"{what}: {answer.body!r}"
            assert answer.error is not None and token[:20] not in answer.error["message"]
        assert len(model.requests) == answered
        assert await believed(router, good)


async def test_another_issuer_with_the_same_keys_is_another(tmp_path: Path, issuer: Issuer, wall: Wall) -> None:
    async with (
        Issuer(issuer.folder, "first", url="http://127.0.0.1:9/realms/other") as other,
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, await settings(model, issuer)) as router,
    ):
        good = await issuer.token()
        await until(lambda: believed(router, good), what="its keys are fetched")
        answer = await ask(router, await other.token())
        assert answer.status == 401 and "another provider's" in answer.error["message"]  # type: ignore[index]


async def test_its_keys_change_without_one_refusal(tmp_path: Path, issuer: Issuer, wall: Wall) -> None:
    """As issuers do it: the new key is published, then it signs, then the old one goes."""
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, await settings(model, issuer)) as router,
    ):
        old = await issuer.token()
        await until(lambda: believed(router, old), what="its keys are fetched")
        await issuer.go()
        await issuer.come("second", "first")
        new = await issuer.token()
        await until(lambda: believed(router, new), what="a token of the new key has it fetched")
        assert await believed(router, old), "the old key is published, and so are its tokens good"
        await issuer.go()
        await issuer.come("second")
        made_up = f"{part({'alg': 'ES256', 'kid': 'made-up'})}.{new.split('.')[1]}.{new.split('.')[2]}"

        async def gone() -> bool:
            await ask(router, made_up)  # whoever names an unknown key has them fetched, at most every half minute
            return not await believed(router, old)

        await until(gone, what="a key that is not published any more proves nothing")
        assert await believed(router, new)


async def test_it_may_be_away_for_an_hour(tmp_path: Path, issuer: Issuer, wall: Wall) -> None:
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, await settings(model, issuer)) as router,
    ):
        short, long = await issuer.token(seconds=600), await issuer.token(seconds=7200)
        await until(lambda: believed(router, short), what="its keys are fetched")
        await issuer.go()
        wall.ahead = HOUR
        assert await believed(router, long), "its users are away with it"
        expired = await ask(router, short)
        assert expired.status == 401 and "has expired" in expired.error["message"]  # type: ignore[index]
        await issuer.come("second")
        new = await issuer.token(seconds=7200)
        await until(lambda: believed(router, new), what="it is back, with another key")
        assert not await believed(router, long)
