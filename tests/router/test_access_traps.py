"""What other gateways' users have reported of keys, limits and budgets: each report, tried here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import Response, chat, stream
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Status
from tests.support.router.consumers import KEYS, access, bearer, consumer, keys

PROMPT = "count " * 400  # about 600 tokens by its length
SLOW = Answer(words=50, interval=0.05)
BODIES: Mapping[str, Any] = {
    "/v1/chat/completions": chat(stream=False),
    "/v1/messages": {"model": "counting", "max_tokens": 9, "messages": [{"role": "user", "content": "count"}]},
    "/v1/responses": {"model": "counting", "input": "count"},
    "/v1/completions": {"model": "counting", "prompt": "count"},
}


def settings(base_url: str, **allowance: Any) -> dict[str, Any]:
    return {**config(house(base_url)), "access": access(consumer("lab", **allowance))}


def remaining(answer: Response, what: str = "tokens") -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{what}"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("chunks", [0, 3], ids=["before the first token", "in the middle"])
async def test_who_leaves_a_stream_early_has_used_prompt_and_part(tmp_path: Path, path: str, chunks: int) -> None:
    """BerriAI/litellm#37558: streams that their clients cancelled counted nothing, so that budgets did not see them."""
    many = 100_000
    body = {**BODIES[path], "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    step = SLOW if chunks else Answer(first_delay=5)
    async with ScriptedUpstream([step]) as model:
        content = settings(model.base_url, tokensPerMinute=many)
        async with RunningRouter(tmp_path, content, keys()) as router:
            async with stream(f"{router.url}{path}", body, bearer("lab")) as answer:
                await until(lambda: bool(model.requests), what="the backend is at work")
                if chunks:
                    await until(lambda: read(answer), what="a part of the answer is here")
            await until(lambda: not router.exchanges, what="the router knows that its client has left")
            after = await router.ask(chat(), headers=bearer("lab"))
            own = 300  # of this request itself, at most: its prompt and the room for its answer
            assert remaining(after) <= many - 500, "a prompt of 600 tokens was had for nothing"
            assert remaining(after) >= many - 1000 - own


async def read(answer: Any) -> bool:
    await answer.read()
    return b"content" in bytes(answer.response.body)


async def test_requests_in_work_never_exceed_their_bound(tmp_path: Path) -> None:
    """BerriAI/litellm#16011: max_parallel_requests let more than so many through when they came at once."""
    async with ScriptedUpstream(default=Answer(words=5, interval=0.05)) as model:
        async with RunningRouter(tmp_path, settings(model.base_url, maxInFlight=3), keys()) as router:
            most = 0

            async def look() -> None:
                nonlocal most
                while True:
                    most = max(most, len(router.exchanges))
                    await asyncio.sleep(0)

            looking = asyncio.create_task(look())
            answers = await asyncio.gather(*(router.ask(chat(), headers=bearer("lab")) for _ in range(30)))
            looking.cancel()
        assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 27
        assert most == 3 == len(model.requests)


async def test_a_key_is_told_to_nobody(tmp_path: Path) -> None:
    """BerriAI/litellm#18731, #25203, #31620: keys in full in errors and audit logs; #15799: in the log with their URL."""
    log, secret = tmp_path / "log", "sk-an-expired-key-of-somebody-else"
    shown = [
        {"authorization": f"Bearer {secret}"}, {"authorization": secret}, {"x-api-key": secret}, {"api-key": secret},
        {"authorization": f"Basic {secret}"}, {"x-goog-api-key": secret}, {"cookie": f"key={secret}"},
    ]  # fmt: skip
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=log) as router,
    ):
        said = []
        for path, body in BODIES.items():
            for query in ("", f"?key={secret}&api_key={secret}"):
                for headers in shown[: 3 if query else None]:
                    answer = await router.ask(body, path + query, headers=headers, within=60)
                    assert answer.status in (401, 429)
                    said.append(answer.body + str(answer.headers).encode())
        good = await router.ask(chat(), f"/v1/chat/completions?key={secret}", headers=bearer("lab"))
        assert good.status == 200
        for page in ("/metrics", "/-/state", "/-/config"):
            said.append((await router.admin(page)).body)
        assert not any(secret.encode() in text or KEYS["lab"].encode() in text for text in said)
        assert not any(secret in f"{request.headers} {request.path}" for request in model.requests)
    assert secret not in log.read_text() and KEYS["lab"] not in log.read_text()


@pytest.mark.parametrize(("provider", "more"), [("openai", {"api": "Responses"}), ("anthropic", {}), ("liteLLM", {})])
@pytest.mark.parametrize("path", BODIES)
async def test_a_clients_key_stops_at_the_router(
    tmp_path: Path, path: str, provider: str, more: dict[str, Any]
) -> None:
    """higress-group/higress#3619, langwatch/langwatch#7825, NVIDIA-NeMo/Switchyard#410, NVIDIA-NeMo/nemo-platform#1589: it went
    on to the provider in a header that nobody had thought of, or where the API passes as it is; maximhq/bifrost#3954: the house's
    came back in a header of the answer."""
    key, own = KEYS["lab"], "sk-the-key-of-the-house-0123"
    names = (
        "x-api-key api-key x-goog-api-key xi-api-key x-hi-original-auth x-portkey-api-key x-litellm-api-key cookie from"
    )
    shown = {"authorization": f"Bearer {key}", **dict.fromkeys(names.split(), key)}
    echo = dict.fromkeys(("x-goog-api-key", "x-api-key", "location", "set-cookie", "x-echo"), own)
    async with ScriptedUpstream(default=Answer(words=3, headers=echo)) as model:
        backend = cloud(model.base_url, provider=provider, url={"keyFile": "key", **more})
        content = {**config(backend), "access": access(consumer("lab"))}
        async with RunningRouter(tmp_path, content, {**keys(), "key": own.encode()}) as router:
            answer = await router.ask(BODIES[path], f"{path}?api_key={key}&key={key}", headers=shown)
            assert own not in f"{answer.headers} {answer.body!r}"
        assert model.requests or path == "/v1/completions"
        for request in model.requests:
            said = f"{request.headers} {request.path} {request.body!r}"
            assert key not in said and own in said, "the house's key alone"


async def test_a_key_in_the_query_opens_nothing(tmp_path: Path) -> None:
    """Keys in addresses end up in logs of proxies, in histories and Referers: they are no keys here."""
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        for name in ("key", "api_key", "api-key", "x-api-key", "authorization", "access_token"):
            answer = await router.ask(chat(), f"/v1/chat/completions?{name}={KEYS['lab']}")
            assert answer.status == 401, name
        assert not model.requests


@pytest.mark.parametrize("path", BODIES)
async def test_a_key_is_read_from_whichever_header_its_client_has(tmp_path: Path, path: str) -> None:
    """gpustack/gpustack#4882, archestra-ai/archestra#3849: x-api-key or Bearer, by API; RSD-as-a-service#1699: the case."""
    key = KEYS["lab"]
    good = [
        {"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}, {"AUTHORIZATION": f"BEARER  {key}"},
        {"x-api-key": key}, {"X-Api-Key": key}, {"API-KEY": key}, {"x-api-key": key, "authorization": "Bearer of-another-kind"},
        {"x-api-key": "dummy", "authorization": f"Bearer {key}"},
    ]  # fmt: skip
    bad = [
        {"authorization": f"Bearer {key.upper()}"},
        {"authorization": f"Bearer{key}"},
        {"x-api-key": f"Bearer {key}"},
    ]
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        for headers in good:
            assert (await router.ask(BODIES[path], path, headers=headers)).status == 200, headers
        for headers in bad:
            assert (await router.ask(BODIES[path], path, headers=headers)).status == 401, headers


async def test_tokens_per_minute_are_enforced_before_they_are_spent(tmp_path: Path) -> None:
    """BerriAI/litellm#10555, #5783: requests that came together all passed a limit of tokens."""
    async with ScriptedUpstream(default=Answer(words=5, interval=0.02)) as model:
        content = settings(model.base_url, tokensPerMinute=2000)
        async with RunningRouter(tmp_path, content, keys()) as router:
            body = chat(messages=[{"role": "user", "content": PROMPT}], max_tokens=50)
            answers = await asyncio.gather(*(router.ask(body, headers=bearer("lab")) for _ in range(12)))
            statuses = [answer.status for answer in answers]
            assert set(statuses) == {200, 429} and 2 <= statuses.count(200) <= 3, statuses
            refused = next(answer for answer in answers if answer.status == 429)
            assert refused.error is not None and "tokensPerMinute" in refused.error["message"]


async def test_what_failed_is_given_back(tmp_path: Path) -> None:
    """BerriAI/litellm#38111: what was reserved for a request stayed so when it had failed, until its key got 429 for nothing."""
    async with ScriptedUpstream([Status(400)] * 20) as model:
        content = settings(model.base_url, tokensPerMinute=5000)
        async with RunningRouter(tmp_path, content, keys()) as router:
            body = chat(messages=[{"role": "user", "content": PROMPT}])
            for _ in range(20):
                assert (await router.ask(body, headers=bearer("lab"))).status == 400
            answer = await router.ask(chat(), headers=bearer("lab"))
            assert answer.status == 200 and remaining(answer) > 4500


async def test_nobody_says_who_he_is_but_by_his_key(tmp_path: Path) -> None:
    """Headers in which gateways tell servers who asks are a client's own words here: none is believed, none goes on."""
    claimed = {
        "x-genset-consumer": "invoices", "x-consumer-username": "invoices", "x-forwarded-user": "invoices",
        "x-remote-user": "admin", "x-genset-team": "accounting", "openai-organization": "org-1",
        "x-litellm-api-key": "sk-1234", "x-user-id": "1",
    }  # fmt: skip
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=log) as router,
    ):
        assert (await router.ask(chat(), headers=claimed)).status == 401
        assert (await router.ask(chat(), headers={**claimed, **bearer("lab")})).status == 200
        assert not set(claimed) & set(model.requests[0].headers)
    assert '"consumer":"lab"' in log.read_text().splitlines()[-1].replace(" ", "") and "invoices" not in log.read_text()
