"""Each row of failover.md's outcome table over real sockets: what the upstreams saw, what the client saw."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from genset.router.machine.patience import FINISH_SECONDS, USAGE_SECONDS, Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Close, OnAccept, Raw, Reset, Silence, Status, Step

# step, is the house asked again, word in the attempt trail
NEXT_CANDIDATE: dict[str, tuple[Step, bool, str]] = {
    "500": (steps.server_error(500), True, "server_error"),
    "502": (Status(502, "bad gateway"), True, "server_error"),
    "504": (Status(504, ""), True, "server_error"),
    "503": (steps.loading(), True, "unavailable"),
    "429 long": (steps.rate_limited(retry_after=60), False, "rate_limited"),
    "429 without Retry-After": (steps.rate_limited(), False, "rate_limited"),
    "429 quota": (steps.quota_exhausted(), False, "auth"),
    "401": (steps.unauthorized(), False, "auth"),
    "402": (Status(402, steps.error_body("pay", "billing")), False, "auth"),
    "403": (Status(403, steps.error_body("no", "permission_error")), False, "auth"),
    "404 model": (steps.model_not_found(), False, "model_not_found"),
    "501": (Status(501, steps.error_body("no embeddings", "not_supported_error")), False, "unsupported"),
    "reset before headers": (Reset(), False, "unreachable"),
    "closed before headers": (Close(), False, "unreachable"),
    "garbage": (Raw(b"SSH-2.0-OpenSSH_9\r\n"), False, "unreachable"),
    "redirect": (Status(302, "", {"location": "http://elsewhere.test/"}), False, "invalid_response"),
    "200 without an answer": (Status(200, "<html>captive portal</html>"), False, "invalid_response"),
    "error inside a 200": (Status(200, steps.error_body("crashed", "server_error")), False, "invalid_response"),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("row", NEXT_CANDIDATE)
async def test_next_candidate_answers(tmp_path: Path, row: str, stream: bool) -> None:
    step, again, word = NEXT_CANDIDATE[row]
    async with ScriptedUpstream(default=step) as ill, ScriptedUpstream() as well:
        async with RunningRouter(tmp_path, config(house(ill.base_url), cloud(well.base_url))) as router:
            answer = await router.ask(chat(stream=stream))
        assert answer.complete and fault(answer.text, 10) is None, answer
        assert answer.headers["x-genset-backend"] == "cloud"
        assert answer.headers["x-genset-tier"] == "1"
        assert answer.headers["x-genset-reason"].startswith("provider_")
        trail = answer.headers["x-genset-attempts"].split(", ")
        assert [step.split(":")[:2] for step in trail] == [["house", word]] * (1 + again) + [["cloud", "ok"]]
        assert len(ill.requests) == 1 + again


STREAM_ONLY: dict[str, Step] = {
    "EOF before the first token": Answer(brk=Break("fin", after_chunks=0)),
    "reset before the first token": Answer(brk=Break("rst", after_chunks=0)),
    "clean end before the first token": Answer(brk=Break("end", after_chunks=0)),
    "error event before the first token": Answer(brk=Break("end", after_chunks=0, send=steps.in_band_error())),
    "garbage event before the first token": Answer(brk=Break("continue", after_chunks=0, send=b"data: {oops\n\n")),
    "cut inside the first token's event": Answer(brk=Break("fin", after_bytes=250)),
}


@pytest.mark.parametrize("row", STREAM_ONLY)
async def test_a_stream_that_fails_before_its_first_token_is_invisible(tmp_path: Path, row: str) -> None:
    async with ScriptedUpstream(default=STREAM_ONLY[row]) as ill, ScriptedUpstream() as well:
        async with RunningRouter(tmp_path, config(house(ill.base_url), cloud(well.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.complete and fault(answer.text, 10) is None, answer
        word = answer.headers["x-genset-attempts"].split(":")[1]
        lost = "EOF" in row or "reset" in row or "cut" in row
        assert word == ("interrupted" if lost else "invalid_response")


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_cut_answer_that_is_no_stream_is_invisible(tmp_path: Path, how: str) -> None:
    cut = Answer(brk=Break("rst" if how == "rst" else "fin", after_bytes=40))
    async with ScriptedUpstream(default=cut) as ill, ScriptedUpstream() as well:
        async with RunningRouter(tmp_path, config(house(ill.base_url), cloud(well.base_url))) as router:
            answer = await router.ask(chat(stream=False))
        assert answer.complete and fault(answer.text, 10) is None, answer


async def test_an_answer_that_ends_with_the_connection_must_be_whole_json(tmp_path: Path) -> None:
    whole = Answer(framing="close")
    cut = Answer(framing="close", brk=Break("fin", after_bytes=60))
    async with ScriptedUpstream([whole, cut]) as local, ScriptedUpstream() as well:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(well.base_url))) as router:
            first = await router.ask(chat(stream=False))
            second = await router.ask(chat(stream=False))
        assert first.complete and first.headers["x-genset-backend"] == "house"
        assert second.complete and second.headers["x-genset-backend"] == "cloud"


@pytest.mark.parametrize(("rebuilt", "answered_by"), [(True, "cloud"), (False, "house")])
async def test_a_route_may_have_answers_passed_on_without_deadlines_of_streams(
    tmp_path: Path, rebuilt: bool, answered_by: str
) -> None:
    async with ScriptedUpstream(default=Answer(first_delay=0.8)) as slow, ScriptedUpstream() as well:
        failover = {"firstTokenSeconds": 0.3, "rebuildAnswers": rebuilt}
        async with RunningRouter(tmp_path, config(house(slow.base_url), cloud(well.base_url), failover=failover)) as r:
            answer = await r.ask(chat(stream=False))
        assert answer.complete and fault(answer.text, 10) is None, answer
        assert answer.headers["x-genset-backend"] == answered_by
        assert slow.requests[0].json.get("stream", False) is rebuilt


@pytest.mark.parametrize("how", ["fin", "rst", "silent"])
async def test_answers_that_are_passed_on_are_asked_for_elsewhere_when_they_break(tmp_path: Path, how: str) -> None:
    broken: Step = Silence() if how == "silent" else Answer(brk=Break("rst" if how == "rst" else "fin", after_bytes=40))
    async with ScriptedUpstream(default=broken) as ill, ScriptedUpstream() as well:
        failover = {"totalSeconds": 1, "rebuildAnswers": False}
        async with RunningRouter(tmp_path, config(house(ill.base_url), cloud(well.base_url), failover=failover)) as r:
            answer = await r.ask(chat(stream=False))
        if how == "silent":
            assert answer.status == 504 and "house:too_late" in answer.headers["x-genset-attempts"], answer
        else:
            assert answer.complete and fault(answer.text, 10) is None, answer


async def test_refused_connection_goes_on_at_once(tmp_path: Path) -> None:
    async with ScriptedUpstream() as gone, ScriptedUpstream() as well:
        await gone.stop_listening()
        async with RunningRouter(tmp_path, config(house(gone.base_url), cloud(well.base_url))) as router:
            began = time.monotonic()
            answer = await router.ask(chat())
            assert time.monotonic() - began < 1.0
        assert answer.complete and answer.headers["x-genset-backend"] == "cloud"


async def test_unknown_host_is_unreachable(tmp_path: Path) -> None:
    async with ScriptedUpstream() as well:
        backend = house("http://no-such-host.invalid:80/v1")
        async with RunningRouter(tmp_path, config(backend, cloud(well.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.complete and "house:unreachable" in answer.headers["x-genset-attempts"]


@pytest.mark.parametrize(
    "default", [Silence(), Silence(headers=False), Answer(first_delay=30)], ids=["headers", "nothing", "no token"]
)
async def test_late_first_token_goes_to_the_next(tmp_path: Path, default: Step) -> None:
    async with ScriptedUpstream(default=default) as slow, ScriptedUpstream() as well:
        content = config(house(slow.base_url), cloud(well.base_url), failover={"firstTokenSeconds": 0.4})
        async with RunningRouter(tmp_path, content) as router:
            began = time.monotonic()
            answer = await router.ask(chat())
            assert time.monotonic() - began < 2.0
            await slow.until(lambda: slow.requests[0].client_left_at is not None, within=1)  # cancelled there
        assert answer.complete and "house:too_late" in answer.headers["x-genset-attempts"]


async def test_backend_that_accepts_and_never_reads(tmp_path: Path) -> None:
    async with ScriptedUpstream(every_accept=OnAccept("never-read")) as deaf, ScriptedUpstream() as well:
        content = config(house(deaf.base_url), cloud(well.base_url), failover={"firstTokenSeconds": 0.4})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(padding="x" * 2_000_000))
        assert answer.complete and answer.headers["x-genset-backend"] == "cloud"


async def test_short_retry_after_is_waited_for(tmp_path: Path) -> None:
    async with ScriptedUpstream([steps.rate_limited(retry_after=1)]) as local, ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            began = time.monotonic()
            answer = await router.ask(chat())
            waited = time.monotonic() - began
        assert answer.complete and answer.headers["x-genset-backend"] == "house"
        assert 0.9 < waited < 2.5
        assert not other.requests


async def test_all_limited_gives_429_with_the_least_retry_after(tmp_path: Path) -> None:
    one, two = steps.rate_limited(retry_after=40), steps.rate_limited(retry_after=20)
    async with ScriptedUpstream(default=one) as first, ScriptedUpstream(default=two) as second:
        async with RunningRouter(tmp_path, config(house(first.base_url), cloud(second.base_url))) as router:
            for _ in range(2):  # the second time no backend is asked
                answer = await router.ask(chat())
                assert answer.status == 429 and 15 <= int(answer.headers["retry-after"]) <= 20, answer
                assert answer.json["error"]["type"] == "provider_rate_limited"
        assert len(first.requests) == len(second.requests) == 1


async def test_refused_credentials_stay_away_until_they_change(tmp_path: Path) -> None:
    async with ScriptedUpstream(choose=lambda r: steps.unauthorized() if "old" in str(r.headers) else None) as closed:
        content = config(cloud(closed.base_url, url={"keyFile": "key"}))
        async with RunningRouter(tmp_path, content, {"key": b"old\n"}) as router:
            first = await router.ask(chat())
            await until(lambda: router.refusing == ["cloud"], within=3, what="the proved refusal")
            second = await router.ask(chat())
            assert first.status == second.status == 502
            assert first.json["error"]["code"] == second.json["error"]["code"] == "upstream_auth"
            assert len(closed.requests) == 1, "a backend that refused the key was asked again with it"
            before = router.router.parts.credentials_hash
            (router.credentials_dir / "key").write_bytes(b"new\n")
            await until(lambda: router.router.parts.credentials_hash != before, within=3, what="the new key")
            third = await router.ask(chat())
        assert third.complete, third


ORIGINAL: dict[str, tuple[Step, str]] = {
    "content filter": (steps.content_filter(), "content_filter"),
    "other 400": (steps.invalid_request(), "invalid_value"),
    "422": (Status(422, steps.error_body("bad field", "x", "unprocessable")), "unprocessable"),
}


@pytest.mark.parametrize("row", ORIGINAL)
async def test_the_callers_own_mistakes_come_back_as_they_are(tmp_path: Path, row: str) -> None:
    step, code = ORIGINAL[row]
    async with ScriptedUpstream(default=step) as local, ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            answers = [await router.ask(chat()) for _ in range(12)]
            assert (await router.state("house"))["breaker"]["state"] == "closed"
        assert all(a.json["error"]["code"] == code and 400 <= a.status < 500 for a in answers)
        assert not other.requests


async def test_exceeded_context_goes_only_to_a_larger_one(tmp_path: Path) -> None:
    overflow = steps.context_overflow("llama.cpp")
    async with ScriptedUpstream(default=overflow) as small, ScriptedUpstream() as same, ScriptedUpstream() as large:
        backends = [
            house(small.base_url, contextTokens=8192),
            cloud(same.base_url, "same", contextTokens=8192),
            cloud(large.base_url, "large", contextTokens=32768),
        ]
        async with RunningRouter(tmp_path, config(*backends)) as router:
            answer = await router.ask(chat())
        assert answer.complete and answer.headers["x-genset-backend"] == "large"
        assert not same.requests


@pytest.mark.parametrize("shape", ["llama.cpp", "vllm", "openai"])
async def test_exceeded_context_without_a_larger_one_gives_the_original(tmp_path: Path, shape: str) -> None:
    overflow = steps.context_overflow(shape)
    async with ScriptedUpstream(default=overflow) as small:
        async with RunningRouter(tmp_path, config(house(small.base_url, contextTokens=8192))) as router:
            answer = await router.ask(chat())
        assert answer.status == 400 and "context" in answer.json["error"]["message"], answer


async def test_too_long_for_every_backend_is_refused_here(tmp_path: Path) -> None:
    async with ScriptedUpstream() as small:
        async with RunningRouter(tmp_path, config(house(small.base_url, contextTokens=1000))) as router:
            answer = await router.ask(chat(messages=[{"role": "user", "content": "x" * 8000}]))
        assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"
        assert "maximum context length is 1000 tokens" in answer.json["error"]["message"]
        assert not small.requests


AFTER_COMMIT: dict[str, tuple[Break, str]] = {
    "EOF": (Break("fin", after_chunks=4), "provider_interrupted"),
    "reset": (Break("rst", after_chunks=4), "provider_interrupted"),
    "clean end": (Break("end", after_chunks=4), "provider_interrupted"),
    "[DONE] without a finish_reason": (Break("end", after_chunks=4, send=b"data: [DONE]\n\n"), "provider_interrupted"),
    "stall": (Break("stall", after_chunks=4), "provider_stalled"),
    "error inside": (Break("end", after_chunks=4, send=steps.in_band_error()), "provider_error"),
    "malformed chunk": (Break("continue", after_chunks=4, send=b'data: {"id": "x", "cho\n\n'), "provider_interrupted"),
    "cut in a line": (Break("fin", after_bytes=1500), "provider_interrupted"),
}


@pytest.mark.parametrize("row", AFTER_COMMIT)
async def test_a_break_after_commit_is_told_in_the_stream(tmp_path: Path, row: str) -> None:
    brk, code = AFTER_COMMIT[row]
    async with ScriptedUpstream(default=Answer(brk=brk)) as ill, ScriptedUpstream() as other:
        failover = {"stallSeconds": 0.4, "continueStreams": False}
        content = config(house(ill.base_url), cloud(other.base_url), failover=failover)
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat())
        assert answer.status == 200 and answer.ended == "clean"
        assert not answer.complete and not answer.done and answer.finish_reason is None, "a truncated success"
        assert answer.error is not None
        assert answer.error["type"] == "upstream_stream_interrupted" and answer.error["code"] == code
        assert answer.error["partial"] is True and answer.error["attempts"][0].startswith("house:")
        assert answer.numbers == list(range(len(answer.numbers))), "what was sent is not what the upstream said"


@pytest.mark.parametrize(
    "default",
    [
        Answer(done=False),
        Answer(done=False, usage=False, brk=None, framing="close"),
        Answer(done=False, usage=False),
    ],
    ids=["no DONE", "connection ends", "neither usage nor DONE"],
)
async def test_a_missing_end_after_the_finish_reason_is_supplied(tmp_path: Path, default: Answer) -> None:
    async with ScriptedUpstream(default=default) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.complete and fault(answer.text, 10) is None, answer


async def test_silence_after_the_finish_reason_is_waited_for(tmp_path: Path) -> None:
    assert (FINISH_SECONDS, USAGE_SECONDS) == (5.0, 10.0)
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    default = Answer(brk=Break("stall", after_chunks=10, send=finish))
    async with ScriptedUpstream(default=default) as local:
        async with RunningRouter(
            tmp_path, config(house(local.base_url)), bounds=Bounds(attempts=Timeouts(usage=2.0))
        ) as router:
            began = time.monotonic()
            answer = await router.ask(chat())
            assert 1.8 < time.monotonic() - began < 3.5
        assert answer.complete and fault(answer.text, 10) is None, answer


async def test_attempts_are_bounded(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=steps.server_error(500)) as one, ScriptedUpstream() as two:
        content = config(house(one.base_url), cloud(two.base_url), failover={"maxAttempts": 2})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat())
        assert answer.status == 502 and answer.json["error"]["code"] == "upstream_error"
        assert len(one.requests) == 2 and not two.requests


async def test_the_whole_request_has_one_deadline(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as one, ScriptedUpstream(default=Silence()) as two:
        content = config(
            house(one.base_url), cloud(two.base_url), failover={"totalSeconds": 1, "firstTokenSeconds": 0.6}
        )
        async with RunningRouter(tmp_path, content) as router:
            began = time.monotonic()
            answer = await router.ask(chat())
            assert time.monotonic() - began < 1.8
            sooner = await router.ask(chat(stream=False), headers={"x-genset-timeout": "0.3"})
            assert time.monotonic() - began < 3.0
        assert answer.status == sooner.status == 504
        assert answer.json["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("slow", [Answer(first_delay=5), Answer(words=100, interval=0.1)], ids=["early", "running"])
async def test_impatient_clients_open_no_breaker(tmp_path: Path, slow: Answer) -> None:
    """Any caller may give its own request little time; the house stays everybody else's."""
    async with ScriptedUpstream(script=[slow] * 6) as local, ScriptedUpstream() as far:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(far.base_url))) as router:
            hasty = {"x-genset-timeout": "0.3"}
            for answer in await asyncio.gather(*(router.ask(chat(), headers=hasty) for _ in range(6))):
                assert answer.error is not None and not answer.done, answer
                assert answer.error["code"] in ("deadline_exceeded", "router_deadline"), answer
            patient = await router.ask(chat())
        assert patient.complete and patient.headers["x-genset-attempts"] == "house:ok", patient.headers


async def test_a_kept_alive_connection_that_went_stale_costs_nothing(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as other:
        async with RunningRouter(tmp_path, config(house(local.base_url), cloud(other.base_url))) as router:
            first = await router.ask(chat(stream=False))
            local.then(Reset())  # the connection is reset instead of an answer; a fresh one gets the answer
            second = await router.ask(chat(stream=False))
        assert first.complete and second.complete
        assert second.headers["x-genset-backend"] == "house" and not other.requests
        assert second.headers["x-genset-attempts"].count("house") == 1
        assert local.requests[1].connection == local.requests[0].connection != local.requests[2].connection
