"""Limits of answers that are larger than the context, over real sockets: who is asked, with what, and what clients see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import steps
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status, Step

VLLM_OLD = (
    "This model's maximum context length is 8192 tokens. However, you requested 32250 tokens (250 in the messages, 32000 in "
    "the completion). Please reduce the length of the messages or completion."
)
VLLM = (
    "This model's maximum context length is 8192 tokens. However, you requested 32000 output tokens and your prompt contains "
    "at least 250 input tokens, for a total of at least 32250 tokens. Please reduce the length of the input prompt."
)
SGLANG = (
    "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 32250 tokens: "
    "250 tokens from the input messages and 32000 tokens for the completion."
)
TGI = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 250 `inputs` tokens and 32000 "
    "`max_new_tokens`"
)
#: How a server refuses: the answer.
REFUSALS: dict[str, Status] = {
    "vLLM 0.6": Status(
        400, {"object": "error", "message": VLLM_OLD, "type": "BadRequestError", "param": None, "code": 400}
    ),
    "vLLM 0.12": Status(400, steps.error_body(VLLM, "BadRequestError", 400)),
    "SGLang": Status(400, {"object": "error", "message": SGLANG, "type": "BadRequest", "param": None, "code": 400}),
    "TGI": Status(422, {"error": TGI, "error_type": "validation"}),
}


def sent(upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    return [request.json for request in upstream.requests]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("row", REFUSALS)
async def test_a_refused_limit_is_lowered_to_what_is_left(tmp_path: Path, row: str, stream: bool) -> None:
    async with ScriptedUpstream([REFUSALS[row]], default=Answer()) as local, ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            answer = await router.ask(chat(stream, max_tokens=32000))
            assert (await router.state("house"))["breaker"]["state"] == "closed"
        assert answer.complete and answer.headers["x-genset-backend"] == "house" and not other.requests
        assert "house:lower_max_tokens:" in answer.headers["x-genset-attempts"]
        first, second = sent(local)
        assert first["max_tokens"] == 32000 and second["max_tokens"] == 8192 - 250
        assert {k: v for k, v in second.items() if k != "max_tokens"} == {
            k: v for k, v in first.items() if k != "max_tokens"
        }


CAP = "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000."


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cap_on_answers_is_kept_without_another_attempt(tmp_path: Path, stream: bool) -> None:
    """What was refused was a number, not the request: `maxAttempts` counts what a request costs because others fail."""
    cap = Status(400, steps.error_body(CAP, "invalid_request_error", "invalid_value"))
    async with ScriptedUpstream([cap, REFUSALS["vLLM 0.12"]], default=Answer()) as only:
        content = config(cloud(only.base_url), failover={"maxAttempts": 1})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(stream, max_tokens=32000))
            assert (await router.state("cloud"))["breaker"]["state"] == "closed"
        assert answer.complete and answer.headers["x-genset-attempts"].count("lower_max_tokens") == 2
        assert [request["max_tokens"] for request in sent(only)] == [32000, 16384, 7942]


async def test_a_field_of_ours_is_left_out_without_another_attempt(tmp_path: Path) -> None:
    refusal = Status(400, steps.error_body("Unknown field stream_options", "invalid_request_error", None))
    async with ScriptedUpstream([refusal], default=Answer()) as only:
        async with RunningRouter(tmp_path, config(cloud(only.base_url), failover={"maxAttempts": 1})) as router:
            assert (await router.ask(chat(stream=False))).complete
        assert ["stream_options" in request for request in sent(only)] == [True, False]


async def test_who_refused_a_limit_gets_it_lowered_from_then_on(tmp_path: Path) -> None:
    """As far as the policy says what fits: the numbers of the refusal hold for the refused request alone."""
    body = chat(max_completion_tokens=32000, messages=[{"role": "user", "content": "x" * 4000}])
    async with ScriptedUpstream([REFUSALS["vLLM 0.12"]], default=Answer()) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url, contextTokens=8192))) as router:
            assert (await router.ask(body)).complete
            assert (await router.ask(body)).complete
            assert (await router.ask({**body, "max_completion_tokens": 4000})).complete
        limits = [request["max_completion_tokens"] for request in sent(local)]
        assert limits == [32000, 7942, 8192 - 1000, 4000]


async def test_who_does_not_say_how_long_the_prompt_is_may_refuse_twice(tmp_path: Path) -> None:
    """vLLM counts the prompt only up to one token too many; the router's own estimate may be too low."""

    def refusal(asked: int) -> Status:
        words = f"requested {asked} output tokens and your prompt contains at least {8193 - asked} input tokens"
        message = (
            f"This model's maximum context length is 8192 tokens. However, you {words}, for a total of at least 8193."
        )
        return Status(400, steps.error_body(message, "BadRequestError", 400))

    body = chat(max_tokens=8000, messages=[{"role": "user", "content": "x" * 16_000}])
    async with ScriptedUpstream([refusal(8000), refusal(4192)], default=Answer()) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            answer = await router.ask(body)
        assert answer.complete, answer
        assert [request["max_tokens"] for request in sent(local)] == [8000, 4192, 3192]
    async with ScriptedUpstream(default=refusal(4000)) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            refused = await router.ask(body)
        assert is_understood(refused, "maximum context length is 8192 tokens") and len(local.requests) == 3


@pytest.mark.parametrize("second", ["refused again", "too little is left"])
async def test_what_does_not_help_is_an_ordinary_refusal(tmp_path: Path, second: str) -> None:
    full = VLLM_OLD.replace("32250", "40182").replace("250 in", "8182 in")
    again = (
        REFUSALS["vLLM 0.12"]
        if second == "refused again"
        else Status(400, steps.error_body(full, "BadRequestError", 400))
    )
    async with ScriptedUpstream(default=again) as local, ScriptedUpstream() as larger:
        backends = house(local.base_url, contextTokens=8192), cloud(larger.base_url, contextTokens=100_000)
        async with RunningRouter(tmp_path, config(*backends)) as router:
            answer = await router.ask(chat(max_tokens=32000))
        assert answer.complete and answer.headers["x-genset-backend"] == "cloud"
        assert len(local.requests) == (2 if second == "refused again" else 1)
        assert sent(larger)[0]["max_tokens"] == 32000, "the lowered limit was one server's own"


async def test_a_limit_does_not_count_as_used(tmp_path: Path) -> None:
    """An engine that writes until its context is full gets the request as it is."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as other:
        backends = house(local.base_url, contextTokens=8192), cloud(other.base_url)
        async with RunningRouter(tmp_path, config(*backends)) as router:
            answer = await router.ask(chat(max_tokens=32000))
            assert answer.complete and answer.headers["x-genset-backend"] == "house"
            assert sent(local)[0]["max_tokens"] == 32000
            long = await router.ask(chat(max_tokens=32000, messages=[{"role": "user", "content": "x" * 32_000}]))
            assert long.headers["x-genset-backend"] == "cloud" and long.headers["x-genset-reason"] == "context_too_long"


async def test_a_continued_answer_keeps_the_clients_own_limit(tmp_path: Path) -> None:
    broken = Answer(words=30, brk=Break("rst", after_chunks=4))
    async with (
        ScriptedUpstream(default=broken) as local,
        ScriptedUpstream([REFUSALS["vLLM 0.6"]], default=Answer(words=30)) as other,
    ):
        second = cloud(other.base_url, continuation="Prefill", contextTokens=8192)
        async with RunningRouter(tmp_path, config(house(local.base_url), second)) as router:
            answer = await router.ask(chat(max_tokens=10_000))
        assert answer.complete and answer.numbers == list(range(30)), answer
        assert [request["max_tokens"] for request in sent(other)] == [9996, 7942]


def is_understood(answer: Response, words: str) -> bool:
    """What clients look for: a 400 (openai-python's BadRequestError), its code (langchain), its words (litellm)."""
    error = answer.json["error"]
    return answer.status == 400 and error["code"] == "context_length_exceeded" and words in error["message"]


LAST: dict[str, tuple[Step, str]] = {
    "OpenAI": (steps.context_overflow("openai"), "This model's maximum context length is 8192 tokens"),
    "vLLM": (steps.context_overflow("vllm"), "This model's maximum context length is 8192 tokens"),
    "llama.cpp": (steps.context_overflow("llama.cpp"), "exceeds the available context size"),
    "a gateway": (
        Status(413, steps.error_body("maximum context length is 8 tokens", "too_large")),
        "maximum context length is 8",
    ),
}


@pytest.mark.parametrize("row", LAST)
async def test_clients_understand_the_last_refusal(tmp_path: Path, row: str) -> None:
    step, words = LAST[row]
    async with ScriptedUpstream(default=step) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            answer = await router.ask(chat())
        assert is_understood(answer, words), answer
        assert answer.headers["x-genset-error"] == "provider_context_exceeded"


async def test_clients_understand_our_own_refusal(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        async with RunningRouter(tmp_path, config(house(local.base_url, contextTokens=8192))) as router:
            answer = await router.ask(chat(messages=[{"role": "user", "content": "x" * 33_000}]))
        assert is_understood(
            answer, "This model's maximum context length is 8192 tokens. However, your request has about 8250"
        )
        assert answer.headers["x-genset-error"] == "policy_context_too_long" and not local.requests
