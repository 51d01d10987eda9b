"""What requests cost is told in answers, logs, metrics and records, and each attempt books what its own backend made.

Scripted servers count seven tokens for a prompt, and one for each word. A cloud costs one millionth for a token of a prompt and
two for one that was made.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from genset.contracts.usage_records import UsageAttempt, UsageReader, UsageRecord
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client
from testbed.upstream.claude import ScriptedClaude, Told
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status, model_not_found

PRICE: dict[str, Any] = {
    "source": "policy",
    "currency": "USD",
    "rates": {"inputPerMillion": "1", "cachedInputPerMillion": "0.1", "outputPerMillion": "2"},
}


def priced(base_url: str, name: str = "cloud", currency: str = "USD", **more: Any) -> dict[str, Any]:
    return cloud(base_url, name, price={**PRICE, "currency": currency}, **more)


def recorded(*backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**config(*backends, **more), "usage": {"spoolBytes": 4 * 1024 * 1024}}


def records(spool: Path) -> list[UsageRecord]:
    found: list[UsageRecord] = []
    for path in sorted(spool.glob("usage-*.log")):
        reader = UsageReader()
        found += reader.read(path.read_bytes())
        assert reader.torn == 0
    return found


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


async def only(spool: Path) -> UsageRecord:
    """Waits for the one record that there is."""
    await until(lambda: len(records(spool)) == 1, what="the record")
    (record,) = records(spool)
    return record


def told(attempt: UsageAttempt) -> tuple[Any, ...]:
    cost = None if attempt.cost is None else str(attempt.cost)
    return (
        attempt.backend,
        attempt.outcome,
        attempt.prompt,
        attempt.completion,
        attempt.estimated,
        cost,
        attempt.price,
    )


async def test_a_whole_answer_of_a_cloud_tells_its_cost_everywhere(tmp_path: Path) -> None:
    spool, log = tmp_path / "spool", tmp_path / "log"
    async with (
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url, dataZone="eu")), spool=spool, log=log) as router,
    ):
        answer = await router.ask(chat(stream=False), headers={"x-request-id": "r1"})
        assert answer.headers["x-genset-cost"] == "0.000027 USD"
        record = await only(spool)
        metrics = (await router.admin("/metrics")).body.decode()
    (line,) = [orjson.loads(one) for one in log.read_bytes().splitlines()]
    assert line["cost"] == "0.000027 USD"
    assert 'genset_cost_total{backend="cloud",currency="USD",price="policy",route="route"} 2.7e-05' in metrics
    assert (record.request, record.policy, record.route, record.api, record.model) == (
        "r1", "models/assistant", "route", "chat", "counting",
    )  # fmt: skip
    assert (record.status, record.outcome, record.number, record.avoided) == (200, "ok", 1, None)
    (attempt,) = record.attempts
    assert told(attempt) == ("cloud", "ok", 7, 10, False, "0.000027", "policy")
    assert (attempt.currency, attempt.zone, attempt.tier, attempt.model) == ("USD", "eu", 0, "large")


async def test_a_healthy_stream_has_not_a_byte_of_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        with_price = await router.ask(chat(stream=True))
        record = await only(spool)
    async with ScriptedUpstream() as far, RunningRouter(folder(tmp_path, "b"), config(cloud(far.base_url))) as router:
        without = await router.ask(chat(stream=True))
    assert len(with_price.body) == len(without.body) and b"cost" not in with_price.body
    assert "x-genset-cost" not in with_price.headers
    assert [told(one) for one in record.attempts] == [("cloud", "ok", 7, 10, False, "0.000027", "policy")]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_house_is_not_priced_and_what_it_avoids_is_told(tmp_path: Path, stream: bool) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream() as near, ScriptedUpstream() as far:
        document = recorded(house(near.base_url), priced(far.base_url, currency="EUR"))
        document["usage"]["classes"] = [{"backend": "house", "size": "Small", "speed": "Fast"}]
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            answer = await router.ask(chat(stream=stream))
            assert "x-genset-cost" not in answer.headers
            record = await only(spool)
            metrics = (await router.admin("/metrics")).body.decode()
    assert [told(one) for one in record.attempts] == [("house", "ok", 7, 10, False, None, "house")]
    assert (record.avoided, record.avoided_currency) == (Decimal("0.000027"), "EUR")
    assert (record.attempts[0].size_class, record.attempts[0].speed_class) == ("small", "fast")
    assert (
        'genset_avoided_total{currency="EUR",route="route"} 2.7e-05' in metrics and "genset_cost_total{" not in metrics
    )


async def test_a_cloud_without_a_price_costs_what_nobody_knows(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream() as far, RunningRouter(tmp_path, recorded(cloud(far.base_url)), spool=spool) as router:
        answer = await router.ask(chat(stream=False))
        assert answer.headers["x-genset-cost"] == "unknown"
        record = await only(spool)
        metrics = (await router.admin("/metrics")).body.decode()
    assert [told(one) for one in record.attempts] == [("cloud", "ok", 7, 10, False, None, "unknown")]
    assert 'genset_cost_unknown_total{backend="cloud",route="route"} 1.0' in metrics


async def test_nothing_is_told_if_nothing_has_a_price_and_nobody_keeps_records(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream() as far, RunningRouter(tmp_path, config(cloud(far.base_url)), spool=spool) as router:
        answer = await router.ask(chat(stream=False))
    assert "x-genset-cost" not in answer.headers and not spool.exists()


async def test_the_providers_own_figure_wins(tmp_path: Path) -> None:
    body = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "0"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8, "cost": 0.00015},
    }  # fmt: skip
    async with ScriptedUpstream([Status(200, body)] * 2) as far:
        for provider, cost in (("openRouter", "0.00015 USD"), ("openAICompatible", "0.000009 EUR")):
            document = config(priced(far.base_url, provider=provider, currency="EUR"))
            async with RunningRouter(folder(tmp_path, provider), document) as router:
                assert (await router.ask(chat(stream=False))).headers["x-genset-cost"] == cost


async def test_an_answer_without_a_usage_has_no_cost_that_is_known(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream([Answer(usage=False)]) as far:
        document = recorded(priced(far.base_url), failover={"rebuildAnswers": False})
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            answer = await router.ask(chat(stream=False))
            record = await only(spool)
    assert answer.headers["x-genset-cost"] == "unknown"
    (attempt,) = record.attempts
    assert attempt.cost is None and attempt.estimated and attempt.prompt > 0


async def test_what_the_router_counted_itself_is_said_to_be_estimated(tmp_path: Path) -> None:
    """It was asked for as a stream, which nobody has counted but the router."""
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream([Answer(usage=False)]) as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        answer = await router.ask(chat(stream=False))
        record = await only(spool)
    (attempt,) = record.attempts
    assert (attempt.completion, attempt.estimated) == (10, True)
    assert answer.headers["x-genset-cost"] == f"{attempt.cost} USD, estimated"


async def test_refusals_cost_nothing_and_the_next_one_books_its_own(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream([Status(503)] * 9) as one, ScriptedUpstream() as two:
        document = recorded(priced(one.base_url, "one"), priced(two.base_url, "two", "EUR"))
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            answer = await router.ask(chat(stream=False))
            record = await only(spool)
    assert answer.headers["x-genset-cost"] == "0.000027 EUR, 0 USD"
    assert {told(one) for one in record.attempts[:-1]} == {("one", "unavailable", 0, 0, False, "0", "policy")}
    assert told(record.attempts[-1]) == ("two", "ok", 7, 10, False, "0.000027", "policy")


async def test_an_error_tells_what_was_paid_all_the_same(tmp_path: Path) -> None:
    cut = Answer(words=9, stream=False, brk=Break("rst", after_bytes=40))
    async with ScriptedUpstream([cut] * 9) as far, RunningRouter(tmp_path, config(priced(far.base_url))) as router:
        answer = await router.ask(chat(stream=False))
    assert answer.status >= 500 and answer.headers["x-genset-cost"] == "0.000002 USD, estimated", (
        "it is asked once more, and both are paid"
    )


async def test_a_cut_stream_and_the_one_that_writes_on_book_what_each_has_made(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    cut = Answer(words=10, brk=Break("rst", after_chunks=4), interval=0.01)
    async with ScriptedUpstream([cut]) as one, ScriptedUpstream() as two:
        backends = [priced(one.base_url, "one"), priced(two.base_url, "two", continuation="Prefill")]
        async with RunningRouter(tmp_path, recorded(*backends), spool=spool) as router:
            answer = await router.ask(chat(stream=True))
            assert answer.complete
            record = await only(spool)
    first, second = record.attempts
    assert (first.backend, first.outcome, first.estimated) == ("one", "interrupted", True)
    assert first.completion + second.completion == 10 and 0 < first.completion < 10
    assert (second.outcome, second.estimated, second.prompt) == ("ok", False, 7)
    assert second.cost == Decimal(7 + 2 * second.completion).scaleb(-6)
    assert first.cost == Decimal(first.prompt + 2 * first.completion).scaleb(-6) and first.prompt > 0


async def test_an_answer_that_is_cut_twice_books_no_word_twice(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    first, second = (Answer(words=12, brk=Break("rst", after_chunks=chunks), interval=0.01) for chunks in (3, 4))
    async with ScriptedUpstream([first]) as one, ScriptedUpstream([second]) as two, ScriptedUpstream() as three:
        servers = (("one", one), ("two", two), ("three", three))
        backends = [priced(server.base_url, name, continuation="Prefill") for name, server in servers]
        async with RunningRouter(tmp_path, recorded(*backends), spool=spool) as router:
            answer = await router.ask(chat(stream=True))
            record = await only(spool)
    assert answer.complete
    assert [(one.backend, one.estimated) for one in record.attempts] == [("one", True), ("two", True), ("three", False)]
    assert [one.completion for one in record.attempts] == [3, 4, len(answer.numbers) - 7]


TOLD_EARLY = [
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0, "0")),  # BerriAI/litellm#37992
    ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, (7, 3, "0.000013")),  # vLLM: with each chunk
]


@pytest.mark.parametrize(("usage", "booked"), TOLD_EARLY)
async def test_what_a_cut_stream_has_told_counts_and_not_what_is_estimated(
    tmp_path: Path, usage: dict[str, Any], booked: tuple[int, int, str]
) -> None:
    spool = tmp_path / "spool"
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    cut = Answer(words=9, brk=Break("rst", after_chunks=3, send=b"data: %b\n\n" % orjson.dumps(chunk)), interval=0.01)
    async with ScriptedUpstream([cut]) as far:
        document = recorded(priced(far.base_url), failover={"continueStreams": False})
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            assert not (await router.ask(chat())).complete
            record = await only(spool)
    (attempt,) = record.attempts
    assert (attempt.prompt, attempt.completion, str(attempt.cost), attempt.estimated) == (*booked, False)


async def test_a_house_that_is_cut_avoids_what_it_made_and_no_prompt_that_was_paid(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    cut = Answer(words=10, brk=Break("rst", after_chunks=4), interval=0.01)
    async with ScriptedUpstream([cut]) as near, ScriptedUpstream() as far:
        document = recorded(house(near.base_url), priced(far.base_url, continuation="Prefill"))
        async with RunningRouter(tmp_path, document, spool=spool) as router:
            assert (await router.ask(chat(stream=True))).complete
            record = await only(spool)
    made = record.attempts[0].completion
    assert record.attempts[0].price == "house" and record.avoided == Decimal(2 * made).scaleb(-6)


async def test_a_client_that_leaves_has_used_what_had_come(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream([Answer(words=50, interval=0.05)]) as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        async with client.stream(router.chat_url, chat()) as exchange:
            await exchange.until_text(3)
            exchange.leave()
        record = await only(spool)
    assert (record.outcome, record.status) == ("cancelled", 499)
    (attempt,) = record.attempts
    assert (attempt.outcome, attempt.estimated) == ("cancelled", True)
    assert 3 <= attempt.completion < 40
    assert attempt.cost == Decimal(attempt.prompt + 2 * attempt.completion).scaleb(-6)


async def test_a_cut_claude_has_told_its_prompt_to_the_token(tmp_path: Path) -> None:
    """The prompt is told at the beginning, with what was cached of it, and a token of the answer that stands for nothing."""
    spool = tmp_path / "spool"
    claude = ScriptedClaude(Told(texts=("one ", "two ", "three ", "four")), cut=5)
    async with ScriptedUpstream(choose=claude.choose) as far:
        backend = priced(far.base_url, provider="anthropic", url={"keyFile": "key"})
        document = recorded(backend, failover={"continueStreams": False})
        async with RunningRouter(tmp_path, document, {"key": b"k"}, spool=spool) as router:
            assert not (await router.ask(chat())).complete
            record = await only(spool)
    assert record.outcome == "cut"
    (attempt,) = record.attempts
    assert (attempt.prompt, attempt.cached, attempt.cache_write, attempt.completion) == (497, 100, 20, 2)
    assert attempt.estimated and attempt.cost == Decimal("0.000411")  # 377 + 20 + 100 × 0.1 + 2 × 2


def messages(*, stream: bool) -> dict[str, Any]:
    return {"model": "counting", "max_tokens": 99, "stream": stream, "messages": [{"role": "user", "content": "count"}]}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_claude_has_cached_is_counted_in_each_api(tmp_path: Path, path: str, stream: bool) -> None:
    spool = tmp_path / "spool"
    kept = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}
    usage = {"input_tokens": 377, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}
    claude = ScriptedClaude(Told(texts=("one ", "two"), usage={**usage, "cache_creation": kept}))
    rates = {**PRICE["rates"], "cacheWritePerMillion": "2", "cacheWriteHourPerMillion": "3"}
    async with ScriptedUpstream(choose=claude.choose) as far:
        backend = cloud(far.base_url, provider="anthropic", price={**PRICE, "rates": rates}, url={"keyFile": "key"})
        async with RunningRouter(tmp_path, recorded(backend), {"key": b"k"}, spool=spool) as router:
            answer = await router.ask(messages(stream=stream) if "messages" in path else chat(stream=stream), path)
            record = await only(spool)
    assert record.api == ("messages" if "messages" in path else "chat")
    (attempt,) = record.attempts
    assert (attempt.prompt, attempt.cached, attempt.cache_write, attempt.cache_write_hour) == (497, 100, 20, 15)
    assert (attempt.completion, attempt.estimated) == (65, False)
    assert attempt.cost == Decimal("0.000572")  # 377 + 100 × 0.1 + 5 × 2 + 15 × 3 + 65 × 2
    assert answer.headers.get("x-genset-cost") == (None if stream else "0.000572 USD")


OTHERS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    (
        "/v1/images/generations",
        {"prompt": "a cat", "n": 2},
        {"created": 1, "data": [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}]},
        {"perImage": "0.04"},
        "0.08 USD",
    ),
    (
        "/v1/images/generations",
        {"prompt": "a cat"},
        {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 50, "output_tokens": 4160}},
        PRICE,
        "0.00837 USD",  # 50 + 2 × 4,160 millionths
    ),
    ("/v1/images/generations", {"prompt": "a cat"}, {"created": 1, "data": [{"url": "u"}]}, PRICE, "unknown"),
    (
        "/v1/embeddings",
        {"input": "some text"},
        {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        {"rates": {"inputPerMillion": "0.02"}},
        "0.00000016 USD",
    ),
    (
        "/v1/rerank",
        {"query": "q", "documents": ["a"]},
        {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}},
        {"perSearch": "0.002"},
        "0.002 USD",
    ),
]


@pytest.mark.parametrize(("path", "asked", "body", "price", "cost"), OTHERS)
async def test_what_is_no_chat_costs_what_it_uses(
    tmp_path: Path, path: str, asked: dict[str, Any], body: dict[str, Any], price: dict[str, Any], cost: str
) -> None:
    async with ScriptedUpstream([Status(200, body)]) as far:
        backend = cloud(far.base_url, price={"source": "policy", "currency": "USD", **price})
        async with RunningRouter(tmp_path, config(backend)) as router:
            answer = await router.ask({"model": "counting", **asked}, path)
    assert answer.status == 200 and answer.headers["x-genset-cost"] == cost


async def test_a_number_of_tokens_costs_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with ScriptedUpstream([Status(200, {"input_tokens": 12})]) as far:
        backend = priced(far.base_url, provider="anthropic", url={"keyFile": "key"})
        async with RunningRouter(tmp_path, recorded(backend), {"key": b"k"}, spool=spool) as router:
            body = messages(stream=False)
            del body["max_tokens"], body["stream"]
            answer = await router.ask(body, "/v1/messages/count_tokens")
            record = await only(spool)
    assert answer.status == 200
    assert all(not attempt.prompt and not attempt.cost for attempt in record.attempts)


async def test_what_the_router_asks_for_itself_is_paid_for_and_booked(tmp_path: Path) -> None:
    """A suspicion is settled by an answer of one token, which no client has asked for."""
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream([model_not_found()]) as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        await router.ask(chat(stream=False))
        await until(lambda: any(not record.route for record in records(spool)), what="a record of its own request")
        metrics = (await router.admin("/metrics")).body.decode()
    own = next(record for record in records(spool) if not record.route)
    assert (own.api, own.consumer, own.outcome, own.avoided) == ("chat", "", "ok", None)
    assert [told(one) for one in own.attempts] == [("cloud", "ok", 7, 1, False, "0.000009", "policy")]
    assert 'genset_cost_total{backend="cloud",currency="USD",price="policy",route=""} 9e-06' in metrics


async def test_records_are_there_when_the_router_is_killed(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    async with (
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, recorded(priced(far.base_url)), spool=spool) as router,
    ):
        answers = await asyncio.gather(*(router.ask(chat(stream=at % 2 == 0)) for at in range(40)))
        assert all(answer.complete for answer in answers)
        await until(lambda: len(records(spool)) == 40, what="each record")
        found = records(spool)
    assert sorted(record.number for record in found) == list(range(1, 41))
    assert sum((one.cost or 0 for record in found for one in record.attempts), Decimal(0)) == Decimal("0.00108")
    assert len({record.incarnation for record in found}) == 1 and orjson.dumps([r.request for r in found])
