"""What a caller can make a server say costs that caller only: poison beside bystanders, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Close, Raw, Reset, Status, Step

POISONS = 100
MARK = "poison"

#: What a server answers to a poisoned request, and to nobody else's.
KINDS: dict[str, Step] = {
    "picture": Status(500, steps.error_body("image input is not supported - hint: mmproj", "server_error", 500)),
    "grammar": Status(500, steps.error_body("Failed to parse grammar", "server_error", 500)),
    "500 of unknown words": Status(500, steps.error_body("Internal Server Error", "server_error", 500)),
    "502 without words": Status(502, ""),
    "503": Status(503, ""),
    "529": Status(529, steps.error_body("Overloaded", "overloaded_error")),
    "402 of max_tokens": Status(402, steps.error_body("fewer max_tokens: you can only afford 9000", "x", 402)),
    "402": Status(402, steps.error_body("pay", "billing")),
    "403 of a firewall": Status(403, "<html>blocked</html>", {"content-type": "text/html"}),
    "403 of the path": Status(403, steps.error_body("You are not allowed to generate embeddings from this model", "x")),
    "403 of the account": Status(403, steps.error_body("no", "permission_error")),
    "404 of the path": Status(404, steps.error_body("This is a chat model and not supported in the v1/completions", "x")),
    "404 of providers": Status(404, steps.error_body("No allowed providers are available", "x", 404)),
    "404 of the model": steps.model_not_found(),
    "401": steps.unauthorized(),
    "429 of the quota": steps.quota_exhausted(),
    "429": Status(429, steps.error_body("Extra usage is required for long context requests.", "rate_limit_error")),
    "429 for an hour": Status(429, steps.error_body("slow down", "x"), {"retry-after": "3600"}),
    "498": Status(498, ""),
    "413 of a rate": Status(413, steps.error_body("too large", "tokens", "rate_limit_exceeded")),
    "503 for a minute": Status(503, "", {"retry-after": "60"}),
    "529 for a minute": Status(529, "", {"retry-after": "60"}),
    "429 inside a 200": Status(200, steps.error_body("slow down", "rate_limit_error", 429)),
    "400 that quotes": Status(400, steps.error_body("unknown role 'insufficient_quota'", "invalid_request_error")),
    "200 that is none": Status(200, "<html>captive</html>"),
    "reset": Reset(),
    "closed": Close(),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9\r\n"),
}  # fmt: skip


def poisoned(step: Step) -> Callable[[Received], Step | None]:
    return lambda received: step if MARK.encode() in received.body else None


def poison(number: int, **more: Any) -> dict[str, Any]:
    return {**chat(stream=bool(number % 2)), "user": f"{MARK} {number if number % 3 else 0}", **more}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [house, cloud])
async def test_nobody_else_is_moved(tmp_path: Path, kind: str, side: Callable[..., dict[str, Any]]) -> None:
    first = ScriptedUpstream(choose=poisoned(KINDS[kind]))
    async with first as near, ScriptedUpstream() as far:
        content = config(side(near.base_url, "first"), cloud(far.base_url, "second"))
        async with RunningRouter(tmp_path, content) as router:
            done = asyncio.Event()

            async def bystander() -> list[str]:
                moved = []
                while not done.is_set():
                    answer = await router.ask(chat())
                    if not answer.complete or answer.headers["x-genset-backend"] != "first":
                        moved.append(str(answer))
                    await asyncio.sleep(0.005)
                return moved

            steady = asyncio.create_task(bystander())
            for start in range(0, POISONS, 10):
                await asyncio.gather(*(router.ask(poison(start + n)) for n in range(10)))
            done.set()
            assert await steady == []
            last = await router.ask(chat())
            assert last.headers["x-genset-backend"] == "first"
            assert (await router.state("first"))["breaker"]["state"] == "closed" and router.refusing == []


PATH_KINDS: dict[str, Step] = {
    "401": Status(401, steps.error_body("Missing scopes: model.embeddings", "invalid_request_error", "missing_scope")),
    "402": Status(402, steps.error_body("pay for embeddings", "billing")),
    "403": Status(403, steps.error_body("no", "x", "PERMISSION_DENIED")),
    "400 of the key": Status(400, steps.error_body("API key not valid. Please pass a valid API key.", "x")),
    "429": Status(429, "", {"retry-after": "60"}),
    "500": Status(500, ""),
    "503": Status(503, ""),
    "closed": Close(),
}


@pytest.mark.parametrize("kind", PATH_KINDS)
async def test_what_one_path_refuses_takes_no_other_away(tmp_path: Path, kind: str) -> None:
    """A server that answers chats and fails at every embedding, whoever asks for one, the router itself included."""
    step = PATH_KINDS[kind]

    def choose(received: Received) -> Step | None:
        return step if received.path.endswith("/embeddings") else None

    async with ScriptedUpstream(choose=choose) as near, ScriptedUpstream() as far:
        content = config(cloud(near.base_url, "first"), cloud(far.base_url, "second"))
        async with RunningRouter(tmp_path, content) as router:
            assert (await router.ask(chat())).headers["x-genset-backend"] == "first"
            for number in range(30):
                asked = {"model": "small", "input": f"text {number}"}
                await router.ask(asked, path="/v1/embeddings")
                assert (await router.ask(chat())).headers["x-genset-backend"] == "first", f"after {number + 1}"


@pytest.mark.parametrize("body", ['{"detail":"Not authenticated"}', "", "<html>portal</html>", '{"choices":[]}'])
async def test_a_200_that_is_none_is_no_answer_to_the_router_either(tmp_path: Path, body: str) -> None:
    none = ScriptedUpstream(choose=lambda _: Status(200, body))
    async with none as broken, ScriptedUpstream() as well:
        content = config(house(broken.base_url), cloud(well.base_url))
        async with RunningRouter(tmp_path, content) as router:
            for _ in range(3):
                assert (await router.ask(chat())).complete
            table = router.table
            assert table is not None
            await until(lambda: table.backends["house"].breaker.state == "open", within=5, what="the proved failure")


async def test_what_is_really_broken_is_left_though_one_caller_asks(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(500, "")) as broken, ScriptedUpstream() as well:
        async with RunningRouter(tmp_path, config(house(broken.base_url), cloud(well.base_url))) as router:
            for _ in range(3):
                assert (await router.ask(chat())).complete
            table = router.table
            assert table is not None
            await until(lambda: table.backends["house"].breaker.state == "open", within=5, what="the proved failure")
            asked = len(broken.requests)
            answer = await router.ask(chat())
            assert answer.headers["x-genset-reason"] == "breaker_open" and len(broken.requests) == asked
        assert [r.json for r in broken.own] == [
            {"model": "small", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        ], "nothing of a client is in the router's own request"


async def test_a_refused_key_is_proved_by_a_request_that_costs_nothing(tmp_path: Path) -> None:
    refused = ScriptedUpstream(choose=lambda received: steps.unauthorized())
    async with refused as closed, ScriptedUpstream() as well:
        content = config(cloud(closed.base_url, "one", url={"keyFile": "key"}), cloud(well.base_url, "two"))
        async with RunningRouter(tmp_path, content, {"key": b"sk-wrong"}) as router:
            assert (await router.ask(chat())).headers["x-genset-backend"] == "two"
            await until(lambda: router.refusing == ["one"], within=5, what="the proved refusal")
            assert (await router.ask(chat())).headers["x-genset-reason"] == "auth"
        assert [own.path for own in closed.own] == ["/v1/chat/completions"], "it is refused, too"
        assert "Bearer sk-wrong" in closed.own[0].headers["authorization"]


async def test_a_key_that_may_not_list_models_is_no_refused_key(tmp_path: Path) -> None:
    scopes = Status(401, steps.error_body("Missing scopes: api.model.read", "invalid_request_error", "missing_scope"))

    def choose(received: Received) -> Step | None:
        if received.method == "GET":
            return scopes
        return steps.unauthorized() if MARK.encode() in received.body else None

    async with ScriptedUpstream(choose=choose) as first, ScriptedUpstream() as second:
        content = config(cloud(first.base_url, "one", url={"keyFile": "key"}), cloud(second.base_url, "two"))
        async with RunningRouter(tmp_path, content, {"key": b"sk-restricted"}) as router:
            assert (await router.ask(poison(1))).headers["x-genset-backend"] == "two"
            await first.until(lambda: bool(first.own))
            assert (await router.ask(chat())).headers["x-genset-backend"] == "one" and router.refusing == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("refuses", "word"),
    [
        ("stream_options", "no_stream_options"),
        ("max_tokens", "no_max_tokens"),
    ],
)
async def test_a_field_of_ours_that_is_refused_is_left_out_from_then_on(
    tmp_path: Path, refuses: str, word: str, stream: bool
) -> None:
    refusal = Status(
        400, steps.error_body(f"Unsupported parameter: '{refuses}'", "x", "unsupported_parameter", param=refuses)
    )
    picky = ScriptedUpstream(choose=lambda r: refusal if refuses in (r.json or {}) else None)
    async with picky as server, RunningRouter(tmp_path, config(cloud(server.base_url))) as router:
        body = chat(stream=stream, max_tokens=50)
        body.pop("stream_options", None)
        first, second = await router.ask(body), await router.ask(body)
        assert first.complete and second.complete, first
        assert first.headers["x-genset-attempts"].split(", ")[0].startswith(f"cloud:{word}:")
        assert "," not in second.headers.get("x-genset-attempts", ""), "it was remembered"
        sent = server.requests[-1].json
        assert refuses not in sent and sent.get("stream") is True, "and nothing else was lost"
        assert (sent.get("max_completion_tokens") == 50) is (refuses == "max_tokens")


async def test_a_refusal_that_only_speaks_of_streams_costs_no_deadline(tmp_path: Path) -> None:
    refusal = Status(
        400, steps.error_body("'a stream of words' is too long for user", "invalid_request_error", param="user")
    )
    picky = ScriptedUpstream(choose=lambda r: refusal if "bad" in str(r.json) else None)
    async with picky as server, RunningRouter(tmp_path, config(cloud(server.base_url))) as router:
        refused = await router.ask({**chat(stream=False), "user": "bad"})
        assert refused.status == 400 and len(server.requests) == 1
        assert (await router.ask(chat(stream=False))).complete
        assert server.requests[-1].json["stream"] is True


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_a_refusal_of_ability_goes_on_and_the_last_one_is_shown(tmp_path: Path, status: int) -> None:
    def refusal(who: str) -> Status:
        return Status(status, steps.error_body(f"{who} does not support tools", "invalid_request_error"))

    async with (
        ScriptedUpstream(default=refusal("one")) as one,
        ScriptedUpstream(default=refusal("two")) as two,
        RunningRouter(tmp_path, config(cloud(one.base_url, "one"), cloud(two.base_url, "two"))) as router,
    ):
        for _ in range(6):
            answer = await router.ask(chat())
            assert answer.status == (400 if status == 500 else status)
            assert b"two does not support tools" in answer.body
        assert len(one.requests) == len(two.requests) == 6
        assert (await router.state("one"))["breaker"]["state"] == "closed"


async def test_a_callers_refusal_stays_in_the_house(tmp_path: Path) -> None:
    refusal = Status(500, steps.error_body("image input is not supported - hint: mmproj", "server_error", 500))
    async with ScriptedUpstream(default=refusal) as local, ScriptedUpstream() as far:
        for words, goes in ((None, False), (["Unsupported"], True)):
            failover = {} if words is None else {"toCloudOn": words}
            folder = tmp_path / str(goes)
            folder.mkdir()
            content = config(house(local.base_url), cloud(far.base_url), failover=failover)
            async with RunningRouter(folder, content) as router:
                answer = await router.ask(chat())
                assert answer.complete is goes
                if not goes:
                    assert b"mmproj" in answer.body and not far.requests
