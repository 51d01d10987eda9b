"""Public reports about costs that gateways lose, double or make up: each is tried on the product.

The others of this kind stand beside what they are about: `tests/unit/pricing`, `test_costs.py`, `tests/ledger`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud
from testbed.upstream import client
from testbed.upstream.claude import ScriptedClaude, Told
from testbed.upstream.claude import event as claude_event
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Segments, Silence, Status, Step
from testbed.upstream.wire import STREAM_HEAD, event, stream_of
from tests.router.test_costs import only, priced, recorded, records, told

TEXT = "count the words of this text " * 8
ESTIMATE = len(TEXT) // 4
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def asked(*, stream: bool = True) -> dict[str, Any]:
    return {**chat(stream=stream), "messages": [{"role": "user", "content": TEXT}]}


def usage_in_a_chunk_with_choices() -> Step:
    """BerriAI/litellm#36168: the last chunk has a choice that says nothing, beside the usage with what was cached."""
    used = {"prompt_tokens": 16111, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 15872}}
    first = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    end = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    last = {**CHUNK, "choices": [{"index": 0, "delta": {}}], "usage": used}
    return stream_of([event(first), event(end), event(last), b"data: [DONE]\n\n"], None)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_usage_beside_a_choice_is_read(tmp_path: Path, stream: bool) -> None:
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream([usage_in_a_chunk_with_choices()]) as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        await router.ask(asked(stream=stream))
        record = await only(spool)
    (attempt,) = record.attempts
    assert (attempt.prompt, attempt.cached, attempt.completion, attempt.estimated) == (16111, 15872, 2, False)
    assert str(attempt.cost) == "0.0018302"  # 239 + 15,872 × 0.1 + 2 × 2 millionths


LEFT = [
    (
        Silence(),
        ESTIMATE,
    ),  # bitrouter/bitrouter#537, theopenco/llmgateway#3331: the prompt is paid, and was booked as nothing
    (Silence(headers=False), ESTIMATE),
    (Answer(header_delay=30), ESTIMATE),
]


@pytest.mark.parametrize(("step", "prompt"), LEFT)
async def test_who_leaves_before_the_first_token_has_used_the_prompt_and_no_answer(
    tmp_path: Path, step: Step, prompt: int
) -> None:
    """Wei-Shaw/sub2api#4408 bills such a client for the whole answer, others for nothing."""
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream([step]) as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        async with client.stream(router.chat_url, asked()) as exchange:
            await far.until(lambda: len(far.requests) == 1)
            await asyncio.sleep(0.2)
            exchange.leave()
        record = await only(spool)
    assert [told(one)[:5] for one in record.attempts] == [("cloud", "cancelled", prompt, 0, True)]


@pytest.mark.parametrize("step", [Silence(), Silence(headers=False)])
async def test_what_took_too_long_has_read_the_prompt(tmp_path: Path, step: Step) -> None:
    """BerriAI/litellm#37365: a request that timed out at its provider was logged with no token; the provider bills the input."""
    spool = tmp_path / "spool"
    async with ScriptedUpstream([step]) as one, ScriptedUpstream() as two:
        document = recorded(priced(one.base_url, "one"), priced(two.base_url, "two"), failover={"firstTokenSeconds": 1})
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            assert (await router.ask(asked())).complete
            record = await only(spool)
    first, second = record.attempts
    assert (first.backend, first.prompt, first.completion, first.estimated) == ("one", ESTIMATE, 0, True)
    assert (second.backend, second.outcome, second.estimated) == ("two", "ok", False)


async def test_a_fallback_is_paid_to_who_answered(tmp_path: Path) -> None:
    """BerriAI/litellm#8810: the cost was null if another provider answered after a refusal."""
    spool = tmp_path / "spool"
    refusal = Status(401, {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}})
    async with ScriptedUpstream([refusal] * 4) as one, ScriptedUpstream() as two:
        document = recorded(cloud(one.base_url, "one"), priced(two.base_url, "two"))
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            answer = await router.ask(asked(stream=False))
            found = [record for record in records(spool) if record.route] or [await only(spool)]
    assert answer.headers["x-genset-cost"] == "0.000027 USD"
    assert [(one.backend, str(one.cost)) for one in found[0].attempts][-1] == ("two", "0.000027")
    assert all(str(one.cost) == "0" for one in found[0].attempts[:-1])


RESPONSES = {"model": "counting", "input": TEXT}
MESSAGES = {"model": "counting", "max_tokens": 99, "messages": [{"role": "user", "content": TEXT}]}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "body"), [("/v1/responses", RESPONSES), ("/v1/messages", MESSAGES)])
async def test_an_answer_in_another_api_is_booked_once(
    tmp_path: Path, path: str, body: dict[str, Any], stream: bool
) -> None:
    """BerriAI/litellm#15740: Responses that Claude answered were booked twice; #36426: others not at all."""
    spool, claude = tmp_path / "spool", ScriptedClaude(Told(texts=("one ", "two")))
    async with ScriptedUpstream(choose=claude.choose) as far:
        backend = priced(far.base_url, provider="anthropic", url={"keyFile": "key"})
        async with RunningRouter(tmp_path, recorded(backend), {"key": b"k"}, spool=spool) as router:
            await router.ask({**body, "stream": stream}, path)
            await asyncio.sleep(0.2)
            (record,) = records(spool)
            metrics = (await router.admin("/metrics")).body.decode()
    assert [told(one)[:6] for one in record.attempts] == [("cloud", "ok", 497, 65, False, "0.000537")]
    assert 'genset_cost_total{backend="cloud",currency="USD",price="policy",route="route"} 0.000537' in metrics


async def test_who_leaves_messages_in_the_middle_pays_for_what_came(tmp_path: Path) -> None:
    """BerriAI/litellm#39893: the tokens that had come were logged, and priced as one."""
    spool = tmp_path / "spool"
    claude = Told(texts=tuple(f" {number:04d}" for number in range(9))).events()
    paced: list[bytes | float] = [STREAM_HEAD]
    for one in claude[:8]:  # five words, then silence
        paced.append(b"%x\r\n%b\r\n" % (len(one), one))
    async with ScriptedUpstream([Segments(tuple(paced), "stall")]) as far:
        backend = priced(far.base_url, provider="anthropic", url={"keyFile": "key"})
        async with RunningRouter(tmp_path, recorded(backend), {"key": b"k"}, spool=spool) as router:
            async with client.stream(f"{router.url}/v1/messages", {**MESSAGES, "stream": True}) as exchange:
                while exchange.response.body.count(b"content_block_delta") < 10:  # twice in each event
                    await exchange.read()
                exchange.leave()
            record = await only(spool)
    (attempt,) = record.attempts
    assert (attempt.prompt, attempt.cached, attempt.cache_write, attempt.completion) == (497, 100, 20, 5)
    assert str(attempt.cost) == "0.000417"  # 377 + 20 + 100 × 0.1 + 5 × 2


async def test_a_stream_costs_what_the_whole_answer_costs(tmp_path: Path) -> None:
    """BerriAI/litellm#40100, #37923: what was streamed was booked as free, for some providers."""
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        for stream in (True, False):
            await router.ask(asked(stream=stream))
        await asyncio.sleep(0.2)
        one, two = records(spool)
    assert [told(a) for a in one.attempts] == [told(a) for a in two.attempts]
    assert str(one.attempts[0].cost) == "0.000027"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("kind", "cost"), [("compaction", "0.0005665"), ("fallback_message", None)])
async def test_what_claude_did_beside_the_answer_is_paid_or_said_to_be_unknown(
    tmp_path: Path, stream: bool, kind: str, cost: str | None
) -> None:
    """pydantic/pydantic-ai#5065: compactions are in no number of the usage; BerriAI/litellm#39294: another model answered."""
    spool, beside = (
        tmp_path / "spool",
        {"type": kind, "input_tokens": 20, "cache_read_input_tokens": 15, "output_tokens": 4},
    )
    iterations = [beside, {"type": "message", "input_tokens": 377, "output_tokens": 65}]
    claude = Told(texts=("one ", "two"))
    whole = claude.message()
    whole["usage"]["iterations"] = iterations
    events = list(claude.events())
    end = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    events[-2] = claude_event("message_delta", {**end, "usage": {"output_tokens": 65, "iterations": iterations}})
    step = stream_of(events, None, head=STREAM_HEAD) if stream else Status(200, whole)
    async with ScriptedUpstream([step]) as far:
        backend = priced(far.base_url, provider="anthropic", url={"keyFile": "key"})
        async with RunningRouter(tmp_path, recorded(backend), {"key": b"k"}, spool=spool) as router:
            await router.ask({**MESSAGES, "stream": stream}, "/v1/messages")
            record = await only(spool)
    (attempt,) = record.attempts
    assert (None if attempt.cost is None else str(attempt.cost)) == cost  # 397 + 20 + 115 × 0.1 + 69 × 2
    assert attempt.completion == (69 if kind == "compaction" else 65)
