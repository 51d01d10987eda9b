"""What Prometheus gets: the documented families and no others, true numbers, and no word of a client's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Silence, Status
from tests.support.router.budgets import budget, budgeted
from tests.support.router.collector import Collector
from tests.support.router.consumers import access, consumer, keys

PAGE = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", re.MULTILINE)


async def scrape(router: RunningRouter) -> dict[str, Metric]:
    answer = await router.admin("/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The sum of the samples called `name` that carry these labels."""
    samples = [s for family in families.values() for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def documented() -> dict[str, tuple[str, set[str], str]]:
    """Name without `_total` -> (type, labels, help), of the page."""
    table = PAGE.read_text().split("<!-- metrics: ")[1].split("<!-- end of metrics -->")[0]
    rows = ROW.findall(table)
    return {
        n.removesuffix("_total"): (kind, set(re.findall(r"`(\w+)`", labels)), text) for n, kind, labels, text in rows
    }


def looking_for(sensitive: dict[str, Any], *backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration whose route looks for something in its requests, and that knows consumers."""
    made = config(*backends, **more)
    made["routes"][0] |= {"sensitive": sensitive, "localShare": {"windowSeconds": 60}}
    return budgeted({**made, "access": access(consumer("anonymous"), required=False)}, budget("1"))


async def test_every_family_is_documented_as_it_is(tmp_path: Path) -> None:
    cut = Answer(words=9, brk=Break("fin", after_chunks=4))
    script = [cut, Answer(words=3), steps.server_error(501), Silence()]
    sensitive = {"detect": ["iban"], "countries": [], "patterns": [], "then": "Refuse"}
    price = {"source": "policy", "currency": "USD", "rates": {"inputPerMillion": "1", "outputPerMillion": "2"}}
    async with (
        Collector() as collector,
        ScriptedUpstream(script) as one,
        ScriptedUpstream([Answer(words=9)], default=Status(503)) as two,
        ScriptedUpstream(default=Answer(words=9)) as three,
        RunningRouter(
            tmp_path,
            looking_for(
                sensitive,
                house(one.base_url),
                cloud(two.base_url, continuation="Prefill", price=price),
                cloud(three.base_url, "unpriced"),
                telemetry={"otlpEndpoint": collector.url},
            ),
            keys({}),
        ) as router,
    ):
        for stream in (True, False, True):
            assert (await router.ask(chat(stream=stream))).complete
        account = {"role": "user", "content": "DE89370400440532013000"}
        assert (await router.ask(chat(messages=[account]))).status == 403
        async with client.stream(router.chat_url, chat()) as leaving:
            await one.until(lambda: len(one.requests) == 4)
            leaving.leave()
        await until(lambda: not router.exchanges)
        await client.raw("127.0.0.1", router.router.listen_port, b"no HTTP\r\n\r\n", 1)
        await until(lambda: bool(router.metrics.loop_lag.sum))
        families = await scrape(router)
    told = documented()
    ours = {name: family for name, family in families.items() if not name.startswith(("process_", "python_"))}
    assert set(ours) == set(told), "docs/observability.md is behind: make docs"
    empty = set()
    for name, family in ours.items():
        kind, labels, text = told[name]
        assert (family.type, family.documentation) == (kind, text), name
        seen = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert seen <= {frozenset(labels)}, name
        if not seen:
            empty.add(name)
    assert not empty, f"nothing was booked under {empty}, so their labels were not compared"


async def test_each_backend_is_told_the_tokens_that_it_made(tmp_path: Path) -> None:
    """Four words of the house, then it breaks, and the cloud makes the other five."""
    cut = Answer(words=9, brk=Break("fin", after_chunks=4))
    async with (
        ScriptedUpstream([cut]) as one,
        ScriptedUpstream(default=Answer(words=9)) as two,
        RunningRouter(tmp_path, config(house(one.base_url), cloud(two.base_url, continuation="Prefill"))) as router,
    ):
        answer = await router.ask(chat(stream_options={"include_usage": True}))
        assert answer.complete
        got = await scrape(router)
    tokens = "genset_router_tokens_total"
    made = {name: value(got, tokens, backend=name, direction="output") for name in ("house", "cloud")}
    assert made["house"] == 4 and made["cloud"] >= 5, made
    assert sum(made.values()) == answer.usage["completion_tokens"], made


async def test_the_numbers_are_true(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=11, first_delay=0.05, interval=0.02)) as local,
        RunningRouter(tmp_path, config(house(local.base_url), models=["counting", "gpt-*"])) as router,
    ):
        assert (await router.ask(chat())).complete
        assert (await router.ask(chat(model="gpt-5"))).complete
        assert (await router.ask({"model": "counting", "prompt": "c", "stream": True}, "/v1/completions")).complete
        assert (await router.ask(chat(model="nobody"))).status == 404
        got = await scrape(router)
    named = {
        "gen_ai_operation_name": "chat", "gen_ai_provider_name": "genset", "gen_ai_request_model": "counting",
        "gen_ai_response_model": "small", "backend": "house",
    }  # fmt: skip
    first, pace = "gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"
    assert value(got, f"{first}_count", **named) == value(got, f"{pace}_count", **named) == 1
    assert 0.05 < value(got, f"{first}_sum", **named) < 1
    assert 0.015 < value(got, f"{pace}_sum", **named) < 0.1
    assert value(got, f"{first}_count", **{**named, "gen_ai_request_model": ""}) == 1, "gpt-5 is a client's word"
    assert value(got, f"{first}_count", **{**named, "gen_ai_operation_name": "text_completion"}) == 1
    usage = "gen_ai_client_token_usage"
    assert value(got, f"{usage}_sum", **named, gen_ai_token_type="output") == 11
    assert value(got, f"{usage}_sum", **named, gen_ai_token_type="input") == 7
    duration = "gen_ai_server_request_duration_seconds_count"
    assert value(got, duration) == 4 and value(got, duration, error_type="") == 3
    assert value(got, duration, error_type="policy_model_not_found", backend="", gen_ai_request_model="") == 1
    added = {stage: value(got, "genset_router_added_seconds_sum", stage=stage) for stage in ("request", "answer")}
    assert value(got, "genset_router_added_seconds_count", stage="request") == 3
    assert 0 < added["request"] < 0.5
    assert 0.095 < added["answer"] < 1, (
        "two streams (completions have no roles) whose role chunk came 50 ms before their first token"
    )


async def test_a_model_that_is_known_is_told_by_its_classes(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as one,
        ScriptedUpstream() as two,
    ):
        known = {**house(one.base_url), "modelClass": {"size": "Medium", "speed": "Fast"}}
        async with RunningRouter(tmp_path, config(known, cloud(two.base_url))) as router:
            assert (await router.ask(chat())).complete
            got = await scrape(router)
    count = "gen_ai_server_request_duration_seconds_count"
    assert value(got, count, backend="house", size_class="Medium", speed_class="Fast") == 1


async def test_answers_in_one_piece_tell_no_pace(tmp_path: Path) -> None:
    vectors = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    async with (
        ScriptedUpstream(default=steps.Status(200, vectors)) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        assert (await router.ask({"model": "counting", "input": "a"}, "/v1/embeddings")).status == 200
        got = await scrape(router)
    assert value(got, "gen_ai_server_request_duration_seconds_count", gen_ai_operation_name="embeddings") == 1
    assert value(got, "gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 3
    for name in ("gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"):
        assert value(got, f"{name}_count") == 0


@pytest.mark.parametrize(
    ("name", "bounds"),
    [  # semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md
        ("gen_ai_server_request_duration_seconds", "0.01 0.02 0.04 0.08 0.16 0.32 0.64 1.28 2.56 5.12 10.24 20.48 40.96 81.92"),
        ("gen_ai_server_time_to_first_token_seconds",
         "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"),
        ("gen_ai_server_time_per_output_token_seconds", "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5"),
        ("gen_ai_client_token_usage", "1 4 16 64 256 1024 4096 16384 65536 262144 1048576 4194304 16777216 67108864"),
    ],
)  # fmt: skip
async def test_buckets_are_those_of_the_conventions(tmp_path: Path, name: str, bounds: str) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        assert (await router.ask(chat())).complete
        family = (await scrape(router))[name]
    series: dict[Any, list[float]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            rest = frozenset(pair for pair in sample.labels.items() if pair[0] != "le")
            series.setdefault(rest, []).append(float(sample.labels["le"]))
    assert series and all(found == [*map(float, bounds.split()), float("inf")] for found in series.values())


async def test_nothing_that_a_client_says_becomes_a_label(tmp_path: Path) -> None:
    word = "canary-81b2"
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url), models=["*"])) as router,
    ):
        headers = {
            "x-request-id": word,
            "x-team": word,
            "user-agent": word,
            "traceparent": word,
            "x-genset-timeout": word,
        }
        for body in (chat(model=word), chat(model=word, stream=False, user=word), {"model": word, word: word}):
            await router.ask(body, headers=headers)
        await router.ask(chat(model=word), path=f"/v1/{word}", headers=headers)
        await client.raw(
            "127.0.0.1", router.router.listen_port, f"{word} /{word} HTTP/1.1\r\n{word}: {word}\r\n\r\n".encode(), 1
        )
        before = len((await router.admin("/metrics")).body.decode().splitlines())
        for number in range(50):
            await router.ask(chat(model=f"{word}-{number}"))
        text = (await router.admin("/metrics")).body.decode()
    assert word not in text
    assert len(text.splitlines()) == before, "a client can make the number of series grow"


async def test_the_load_is_told_by_route_and_the_pace_by_backend(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=steps.Answer(interval=0.01)) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        await until(lambda: not router.metrics.load.is_due(router.router.shared.now()), within=5, what="the first look")
        for _ in range(6):
            assert (await router.ask(chat())).complete
        told = (await router.admin("/-/load")).json
        assert told["routes"]["route"] * told["seconds"] == pytest.approx(60, rel=0.2), "six answers of ten tokens"
        assert told["backends"]["house"]["answers"] == 6 and 20 < told["backends"]["house"]["tokensPerSecond"] < 200
