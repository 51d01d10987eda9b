"""Traces: the caller's context goes on; spans of our own go to a real OTLP receiver, off the event loop."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from genset.router.telemetry.wanted import TraceBounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Silence, Status
from tests.support.router.collector import Collector, values

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=a,other=b"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are sent after 50 ms."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


def to(collector: Collector, **more: Any) -> dict[str, Any]:
    return {"otlpEndpoint": collector.url, **more}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (CALLER, CALLER),
        ({"traceparent": CALLER["traceparent"]}, {"traceparent": CALLER["traceparent"]}),
        ({}, {}),
        ({"traceparent": "00-xyz", "tracestate": "a=1"}, {}),
        ({"tracestate": "a=1"}, {}),
    ],
)
async def test_without_traces_a_valid_context_goes_on_as_it_is(
    tmp_path: Path, sent: dict[str, str], seen: dict[str, str]
) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router:
        assert (await router.ask(chat(), headers=sent)).complete
    got = local.requests[0].headers
    assert {name: value for name, value in got.items() if name.startswith("trace")} == seen
    line = json.loads(log.read_text())
    assert line["traceId"] == (TRACE if seen else "")


async def test_a_span_tells_the_whole_story_of_a_request(tmp_path: Path) -> None:
    async with (
        Collector() as collector,
        ScriptedUpstream(default=steps.server_error(501)) as ill,
        ScriptedUpstream(default=steps.Answer(model="large-2026-11")) as well,
    ):
        backends = [house(ill.base_url), cloud(well.base_url, provider="deepSeek", url={"forwardHeaders": ["Trace"]})]
        content = config(*backends, telemetry=to(collector))
        async with RunningRouter(tmp_path, content, environment={"HOSTNAME": "router-1"}) as router:
            answer = await router.ask(chat(), headers=CALLER)
        assert answer.complete
    (span,) = collector.spans
    assert span.name == "chat counting" and span.kind == span.SPAN_KIND_SERVER
    assert span.trace_id.hex() == TRACE and span.parent_span_id.hex() == SPAN and span.trace_state == "vendor=a,other=b"
    told = values(span.attributes)
    assert 0 < told.pop("gen_ai.response.time_to_first_chunk") < 5
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "deepseek",
        "gen_ai.request.model": "counting",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "large-2026-11",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 10,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": well.port,
        "genset.route": "route",
        "genset.backend": "cloud",
        "genset.tier": 1,
        "genset.attempts": 2,
        "genset.reason": "provider_unsupported",
        "genset.request.id": answer.headers["x-request-id"],
    }
    events = [(event.name, values(event.attributes)) for event in span.events]
    assert [name for name, _ in events] == ["genset.attempt"] * 2
    assert [(e["genset.backend"], e["genset.outcome"]) for _, e in events] == [
        ("house", "unsupported"),
        ("cloud", "ok"),
    ]
    times = [span.start_time_unix_nano, *(e.time_unix_nano for e in span.events), span.end_time_unix_nano]
    assert times == sorted(times) and times[-1] - times[0] < 5e9
    assert span.status.code == span.status.STATUS_CODE_UNSET
    # It is the parent of what the backends record, the one that failed included.
    for upstream in (ill, well):
        assert upstream.requests[0].headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
        assert upstream.requests[0].headers["tracestate"] == "vendor=a,other=b"
    (resource,) = collector.resources
    assert resource["service.name"] == "genset-router" and resource["service.namespace"] == "models"
    assert resource["genset.policy"] == "assistant" and resource["service.instance.id"] == "router-1"
    assert collector.paths == ["/v1/traces"]


@pytest.mark.parametrize(
    ("percent", "flags", "recorded", "sent"),
    [
        (0, None, False, "00"),
        (100, None, True, "01"),
        (0, "01", True, "01"),  # the caller decides
        (100, "00", False, "00"),
    ],
)
async def test_who_decides_what_is_recorded(
    tmp_path: Path, percent: int, flags: str | None, recorded: bool, sent: str
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"} if flags else {}
    async with Collector() as collector, ScriptedUpstream() as local:
        content = config(house(local.base_url), telemetry=to(collector, samplePercent=percent))
        async with RunningRouter(tmp_path, content) as router:
            assert (await router.ask(chat(), headers=headers)).complete
    assert len(collector.spans) == recorded
    version, trace, span, decided = local.requests[0].headers["traceparent"].split("-")
    # W3C Trace Context level 2 adds a bit for random ids; the lowest one is the decision.
    assert (version, int(decided, 16) & 1) == ("00", int(sent, 16))
    assert re.fullmatch("[0-9a-f]{32}", trace) and re.fullmatch("[0-9a-f]{16}", span)
    if flags and not recorded:
        assert (trace, span) == (TRACE, SPAN), "a parent that nobody records came between the caller and the backend"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shape", ["body", "event", "page"])
async def test_no_span_tells_a_key_that_a_backend_quotes(tmp_path: Path, shape: str, stream: bool) -> None:
    """Nor a proxy's password, nor what a caller writes who knows the key."""
    key = "sk-proj-4f0b9c2e/7d+1a=="

    def quoting(request: Received) -> steps.Step:
        words = f"no such key: {request.headers['authorization']}"
        if shape == "event":
            return Answer(stream=True, brk=Break("end", after_chunks=2, send=steps.in_band_error(words)))
        if shape == "page":
            return Status(200, f"<html>{words}</html>", {"content-type": "text/html", "server": words})
        return Status(401, steps.error_body(words, "invalid_request_error", key))

    async with Collector() as collector, ScriptedUpstream(choose=quoting) as far:
        content = config(cloud(far.base_url, url={"keyFile": "key"}), models=["*"], telemetry=to(collector))
        async with RunningRouter(tmp_path, content, {"key": key.encode()}) as router:
            for model in ("counting", key):
                assert not (await router.ask(chat(model=model, stream=stream))).complete
    assert len(collector.spans) == 2 and far.requests[0].headers["authorization"] == f"Bearer {key}"
    told = b"".join(span.SerializeToString() for span in collector.spans) + str(collector.resources).encode()
    assert b"genset.attempt" in told and key.encode() not in told and key.rstrip("=").encode() not in told


async def test_errors_breaks_and_clients_that_leave(tmp_path: Path) -> None:
    broken = Answer(words=5, brk=Break("fin", after_chunks=2))
    script = [steps.invalid_request(), broken, Silence()]
    async with Collector() as collector, ScriptedUpstream(script) as local:
        content = config(house(local.base_url), telemetry=to(collector), failover={"continueStreams": False})
        async with RunningRouter(tmp_path, content) as router:
            assert (await router.ask(chat())).status == 400
            assert (await router.ask(chat())).error is not None
            async with client.stream(router.chat_url, chat()) as leaving:
                await local.until(lambda: len(local.requests) == 3)
                leaving.leave()
            await until(lambda: not router.exchanges)
            assert (await router.ask(chat(model="nobody"))).status == 404
    told = {values(span.attributes).get("error.type"): span for span in collector.spans}
    assert set(told) == {"provider_rejected", "provider_interrupted", "caller_gone", "policy_model_not_found"}
    failed = {word for word, span in told.items() if span.status.code == span.status.STATUS_CODE_ERROR}
    assert failed == {"provider_interrupted"}, "only what the service did wrong is an error of its span"
    assert told["policy_model_not_found"].name == "chat", "a client's word became the name of a span"
    gone = told["caller_gone"]
    assert [values(event.attributes)["genset.outcome"] for event in gone.events] == ["cancelled"]


async def test_no_word_of_prompt_or_answer_is_in_a_span(tmp_path: Path) -> None:
    canary = "canary-7d1c"
    async with Collector() as collector, ScriptedUpstream(default=Answer(texts=(f"a {canary}",))) as local:
        content = config(house(local.base_url), telemetry=to(collector))
        async with RunningRouter(tmp_path, content) as router:
            for stream in (True, False):
                messages = [{"role": "user", "content": f"b {canary}"}]
                assert canary in (await router.ask(chat(stream=stream, messages=messages))).text
    assert len(collector.spans) == 2
    assert canary not in str(collector.spans)


async def test_a_collector_that_is_away_costs_no_request(tmp_path: Path) -> None:
    bounds = Bounds(traces=TraceBounds(export=0.3, close=0.5))
    async with (
        Collector(status=400) as collector,
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url), telemetry=to(collector)), bounds=bounds) as router,
    ):
        answers = [await router.ask(chat()) for _ in range(20)]
        assert all(answer.complete for answer in answers)
        await until(lambda: router.metrics.spans["lost"] == 20, what="the count of lost spans")
        text = (await router.admin("/metrics")).body.decode()
    assert 'genset_router_spans_total{result="lost"} 20.0' in text


async def test_a_slow_collector_bounds_what_waits_and_how_long_the_router_stops(tmp_path: Path) -> None:
    bounds = Bounds(traces=TraceBounds(waiting=5, close=0.5))
    async with Collector(delay=3) as collector, ScriptedUpstream() as local:
        running = RunningRouter(tmp_path, config(house(local.base_url), telemetry=to(collector)), bounds=bounds)
        await running.__aenter__()
        for _ in range(12):
            assert (await running.ask(chat(stream=False))).complete
        assert running.metrics.spans == {"exported": 0, "lost": 7}
        before = asyncio.get_running_loop().time()
        await running.__aexit__()
        assert asyncio.get_running_loop().time() - before < 2


async def test_traces_are_switched_on_and_off_while_running(tmp_path: Path) -> None:
    async with Collector() as one, Collector() as two:
        async with ScriptedUpstream(default=Answer(words=30, interval=0.03)) as local:
            backend = house(local.base_url)
            async with RunningRouter(tmp_path, config(backend)) as router:
                assert (await router.ask(chat())).complete
                assert "traceparent" not in local.requests[0].headers
                for generation, collector in enumerate((one, two), 2):
                    router.write(config(backend, telemetry=to(collector), generation=generation))
                    before = router.table
                    await until(lambda before=before: router.table is not before)  # type: ignore[misc]
                    running = client.stream(router.chat_url, chat())
                    async with running as exchange:
                        await exchange.until_text(3)
                        if collector is one:  # its span ends after the swap, and where it began
                            router.write(config(backend, telemetry=to(two), generation=9))
                            await until(lambda: router.table.config.policy.generation == 9)  # type: ignore[union-attr]
                        assert (await exchange.whole()).complete
                await until(lambda: len(one.spans) == 1)
                router.write(config(backend, generation=10))
                await until(lambda: router.table.config.policy.generation == 10)  # type: ignore[union-attr]
                await until(lambda: len(two.spans) == 1)
                assert (await router.ask(chat())).complete
                assert "traceparent" not in local.requests[-1].headers
        assert (len(one.spans), len(two.spans)) == (1, 1)


async def test_by_the_standard_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20t",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "desk",
            "OTEL_RESOURCE_ATTRIBUTES": "genset.policy=mine,team=a",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        async with (
            ScriptedUpstream() as local,
            RunningRouter(tmp_path, config(house(local.base_url)), environment=environment) as router,
        ):
            assert (await router.ask(chat())).complete
    assert len(collector.spans) == 1 and collector.paths == ["/v1/traces"]
    assert collector.headers[0]["authorization"] == "Bearer t"
    (resource,) = collector.resources
    assert (resource["service.name"], resource["genset.policy"], resource["team"]) == ("desk", "mine", "a")


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, None),
    ],
)
async def test_variables_that_say_no(tmp_path: Path, environment: dict[str, str], error: str | None) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url)), environment=environment) as router,
    ):
        if error is not None:
            assert router.config_error is not None and error in router.config_error
        else:
            assert (await router.ask(chat())).complete
            assert "traceparent" not in local.requests[0].headers


async def test_without_the_extra_the_configuration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        monkeypatch.setitem(__import__("sys").modules, "genset.router.telemetry.tracing", None)
        monkeypatch.delattr("genset.router.telemetry.tracing", raising=False)
        router.write(config(house(local.base_url), telemetry={"otlpEndpoint": "http://c:4318"}, generation=2))
        await until(lambda: router.config_error is not None)
        assert "pip install 'genset[otel]'" in str(router.config_error)
        assert (await router.ask(chat())).complete
