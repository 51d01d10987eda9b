"""What a person finds when a request has failed: the backend's own words, at the client, in the log, on the admin port.

And what nobody finds anywhere: a key of ours, in whatever shape a backend quotes it.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Raw, Status, Step

BROKEN_GPU = "CUDA error: out of memory at ggml-cuda.cu:88"
KEY = "sk-proj-4f0b9c2e/7d+1a=="


def fails(status: int, message: str, **headers: str) -> Status:
    return Status(status, steps.error_body(message, "server_error"), headers)


async def test_a_failures_words_reach_client_log_and_state(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ids = {"x-request-id": "req_77", "set-cookie": "a=b", "x-ratelimit-remaining-requests": "3", "server": "llama.cpp"}
    async with (
        ScriptedUpstream(default=fails(500, BROKEN_GPU, **ids)) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router,
    ):
        answer = await router.ask(chat(stream=False), headers={"x-request-id": "mine"})
        (failure,) = (await router.state("house"))["failures"]
    told = answer.json["error"]["message"]
    assert f'house answered 500 "{BROKEN_GPU}" (house:server_error:' in told, told
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert line["detail"] == f'answered 500 "{BROKEN_GPU}"'
    assert (failure["outcome"], failure["status"], failure["words"]) == ("server_error", 500, BROKEN_GPU)
    assert (failure["requestId"], failure["upstreamRequestId"], failure["times"]) == ("mine", "req_77", 2)
    assert failure["endpoint"] == f"127.0.0.1:{local.port}" and failure["at"].endswith("Z")
    assert json.loads(failure["body"])["error"]["message"] == BROKEN_GPU
    assert failure["headers"]["x-ratelimit-remaining-requests"] == "3" and failure["headers"]["server"] == "llama.cpp"
    assert "set-cookie" not in failure["headers"]


async def test_a_stream_that_breaks_tells_the_words_inside_it(tmp_path: Path) -> None:
    crash = Answer(brk=Break("end", after_chunks=3, send=steps.in_band_error("CUDA error: out of memory")))
    async with ScriptedUpstream(default=crash) as local:
        content = config(house(local.base_url), failover={"continueStreams": False})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat())
            failures = (await router.state("house"))["failures"]
    assert answer.error is not None and "house" in answer.error["message"], answer.error
    assert failures[0]["outcome"] and not any("zero" in str(f) or "one two" in str(f) for f in failures)


def after(event: str, chunks: int = 3) -> Answer:
    return Answer(brk=Break("end", after_chunks=chunks, send=b"%b\n\n" % event.encode()))


@pytest.mark.parametrize("continues", [True, False])
@pytest.mark.parametrize(
    "event",
    [
        'data: {"error":{"message":"crash words","code":500}}',
        'data: {"object":"error","message":"crash words","code":500}',
        'data: {"error":"crash words"}',
        'data: {"detail":["crash words"]}',
        'event: error\ndata: {"message":"crash words"}',
        "event: error\ndata: crash words",
        'error: {"message":"crash words","code":500}',
        'data: {"message":"crash words"}',
    ],
)
async def test_the_words_of_an_error_after_the_first_token(tmp_path: Path, event: str, continues: bool) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream(default=after(event)) as local:
        content = config(cloud(local.base_url), failover={"continueStreams": continues})
        async with RunningRouter(tmp_path, content, log=log) as router:
            answer = await router.ask(chat())
            failures = (await router.state("cloud"))["failures"]
    assert answer.error is not None and '"crash words"' in answer.error["message"], answer.error
    assert "cut off after invalid_response: cloud " in answer.error["message"]
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert '"crash words"' in line["detail"]
    assert failures[0]["words"] == "crash words" and "crash words" in failures[0]["body"]
    assert "one two" not in str(failures), "nothing of the answer"


async def test_the_words_of_an_error_after_the_first_token_are_bounded_and_masked(tmp_path: Path) -> None:
    words = f"key {KEY} " + "x" * 5000
    async with ScriptedUpstream(default=after("data: " + json.dumps({"error": {"message": words}}))) as far:
        content = config(cloud(far.base_url, url={"keyFile": "key"}), failover={"continueStreams": False})
        async with RunningRouter(tmp_path, content, {"key": KEY.encode()}) as router:
            answer = await router.ask(chat())
            failure = (await router.state("cloud"))["failures"][0]
    assert answer.error is not None and "key *** xxx" in answer.error["message"]
    assert len(answer.error["message"]) < 1000 and len(failure["words"]) <= 512


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("media_type", ["text/html", "text/event-stream"])
@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<html><body>Please <b>log in</b></body></html>", "Please log in"),
        (
            '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Denied</Message></Error>',
            "AccessDenied Denied",
        ),
    ],
)
async def test_the_words_of_a_page_instead_of_an_answer(
    tmp_path: Path, page: str, words: str, media_type: str, stream: bool
) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream(default=Status(200, page, {"content-type": media_type})) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router,
    ):
        answer = await router.ask(chat(stream=stream))
        failure = (await router.state("house"))["failures"][0]
    assert answer.status == 502
    assert f'house sent an answer that is no JSON object "{words}"' in answer.json["error"]["message"]
    assert "Nothing is wrong with the request" in answer.json["error"]["message"]
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert line["detail"].endswith(f'"{words}"')
    assert failure["words"] == words and failure["body"] == page and failure["headers"]["content-type"] == media_type


async def test_the_words_of_a_text_instead_of_an_answer(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Status(200, "no healthy upstream", {"content-type": "text/plain"})) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        answer = await router.ask(chat())
    assert '"no healthy upstream"' in answer.json["error"]["message"]


async def test_nothing_is_kept_of_answers_that_went_well(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        for stream in (True, False):
            assert (await router.ask(chat(stream=stream))).complete
        assert (await router.state("house"))["failures"] == []


@pytest.mark.parametrize(
    ("step", "status", "futile"),
    [
        (steps.unauthorized(), 502, True),
        (steps.model_not_found(), 502, True),
        (steps.invalid_request(), 400, True),
        (steps.content_filter(), 400, True),
        (steps.rate_limited(), 429, False),
        (steps.server_error(500), 502, False),
        (steps.server_error(503), 503, False),
    ],
    ids=["key", "model", "mistake", "filter", "limit", "error", "loading"],
)
async def test_sdks_are_told_when_asking_again_is_useless(
    tmp_path: Path, step: Step, status: int, futile: bool
) -> None:
    async with (
        ScriptedUpstream(default=step) as far,
        RunningRouter(tmp_path, config(cloud(far.base_url))) as router,
    ):
        answer = await router.ask(chat())
        assert answer.status == status
        assert (answer.headers.get("x-should-retry") == "false") is futile, answer.headers
        nobody = await router.ask(chat(model="nobody"))
        assert nobody.headers["x-should-retry"] == "false"


def quoting(code: int, shape: str) -> Any:
    """A server that quotes the Authorization header it was sent."""

    def step(request: Received) -> Step:
        sent = request.headers["authorization"]
        texts = {
            "json": json.dumps(steps.error_body(f"you sent {sent}", "x", "y")),
            "json of php": json.dumps(steps.error_body(f"you sent {sent}", "x", "y")).replace("/", "\\/"),
            "nested": json.dumps(steps.error_body("bad", "x", "y", metadata={"raw": json.dumps({"k": sent})})),
            "text": f"you sent {sent}",
            "html": f"<html>you sent {sent}</html>",
            "at the bound": json.dumps(steps.error_body("x" * 490 + " " + sent, "x", "y")),
        }
        return Status(code, texts[shape], {"server": sent, "x-request-id": sent.split()[1]})

    return step


@pytest.mark.parametrize("shape", ["json", "json of php", "nested", "text", "html", "at the bound"])
@pytest.mark.parametrize("code", [200, 400, 401, 404, 422, 429, 500, 503])
async def test_a_key_that_a_backend_quotes_stays_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, shape: str
) -> None:
    log = tmp_path / "log"
    caplog.set_level("DEBUG", "genset")
    async with ScriptedUpstream(choose=quoting(code, shape)) as far:
        content = config(cloud(far.base_url, url={"keyFile": "key"}))
        async with RunningRouter(tmp_path, content, {"key": KEY.encode()}, log=log) as router:
            answers = [await router.ask(chat(stream=stream)) for stream in (True, False)]
            shown = [(await router.admin(path)).body.decode() for path in ("/metrics", "/-/state", "/-/config")]
    assert far.requests and far.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for answer in answers:
        shown += [answer.body.decode("utf-8", "replace"), str(answer.headers)]
    for text in (*shown, log.read_text(), caplog.text):
        assert "4f0b9c2e" not in text, text


#: With every byte that somebody escapes.
ODD_KEY = "sk-Ab9+cd/EfGh12==XyZ0987654321qwerty"
ODD: dict[str, tuple[int, str, dict[str, str]]] = {
    "cut inside quotes": (200, "x", {"content-encoding": "z" * 35 + ODD_KEY}),
    "in a URL": (400, json.dumps(steps.error_body(f"?key={quote(ODD_KEY).lower()}", "x", "y")), {}),
    "in JSON": (
        500,
        '{"error": {"message": "bad ' + ODD_KEY.replace("+", "\\u002B").replace("=", "\\u003D") + '"}}',
        {},
    ),
    "in base64": (
        400,
        json.dumps(steps.error_body(base64.b64encode(f"Bearer {ODD_KEY}".encode()).decode(), "x", "y")),
        {},
    ),
    "in a page": (502, "<html>" + ODD_KEY.replace("+", "&#43;").replace("/", "&#x2F;") + "</html>", {}),
    "broken by a page": (502, f"<html>{ODD_KEY[:15]}<wbr>{ODD_KEY[15:]}</html>", {}),
    "broken by a page, behind its bound": (502, "<html>" + "y " * 4080 + ODD_KEY + "</html>", {}),
    "at the bound of an error inside a 200": (200, json.dumps(steps.error_body("x" * 2030 + ODD_KEY, "x", "y")), {}),
    "in a header": (400, "{}", {"x-request-id": "r" * 180 + ODD_KEY, "location": f"http://x/{quote(ODD_KEY)}"}),
}


@pytest.mark.parametrize("case", ODD)
async def test_a_key_that_is_cut_or_spelled_otherwise_stays_here(tmp_path: Path, case: str) -> None:
    log = tmp_path / "log"
    key = ODD_KEY.lower() if case == "in a URL" else ODD_KEY
    async with ScriptedUpstream(default=Status(*ODD[case])) as far:
        content = config(cloud(far.base_url, url={"keyFile": "key"}))
        async with RunningRouter(tmp_path, content, {"key": key.encode()}, log=log) as router:
            answers = [await router.ask(chat(stream=stream)) for stream in (True, False)]
            state = (await router.admin("/-/state")).body.decode()
    told = [state, log.read_text(), *(answer.body.decode() + str(answer.headers) for answer in answers)]
    pieces = [*(key[at : at + 7] for at in range(3, len(key) - 7)), base64.b64encode(ODD_KEY[4:16].encode()).decode()]
    for text in told:
        assert not [piece for piece in pieces if piece in text], text
    assert any("***" in text for text in told) or "bound" in case


async def test_a_key_inside_a_stream_stays_here(tmp_path: Path) -> None:
    """An error event before the first token, and one after it."""
    for after in (0, 3):
        brk = Break("end", after_chunks=after, send=steps.in_band_error(f"upstream said: bad key {KEY}"))
        async with ScriptedUpstream(default=Answer(brk=brk)) as far:
            content = config(cloud(far.base_url, url={"keyFile": "key"}), failover={"continueStreams": False})
            async with RunningRouter(tmp_path, content, {"key": KEY.encode()}) as router:
                answer = await router.ask(chat())
                state = (await router.admin("/-/state")).body.decode()
        assert answer.error is not None
        assert "4f0b9c2e" not in answer.body.decode() + str(answer.events) + state


async def test_a_renewed_key_is_masked_as_the_old_one(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=fails(400, "neither old-key-1111 nor new-key-2222")) as far:
        content = config(cloud(far.base_url, url={"keyFile": "key"}))
        async with RunningRouter(tmp_path, content, {"key": b"old-key-1111"}) as router:
            (router.credentials_dir / "key").write_bytes(b"new-key-2222")
            assert await router.router.reload()
            answer = await router.ask(chat())
    assert answer.json["error"]["message"] == "neither *** nor ***"


async def test_a_proxys_password_stays_here(tmp_path: Path) -> None:
    sent = base64.b64encode(b"genset:correct-horse").decode()
    hostile = Raw(b"HTTP/1.1 400 Bad\r\ncontent-length: 60\r\n\r\nBasic %b correct-horse" % sent.encode())
    async with ScriptedUpstream(default=hostile) as far, ConnectProxy(credentials="genset:correct-horse") as proxy:
        content = config(cloud(far.base_url, url={"proxyUrl": proxy.url, "proxyCredentialsFile": "proxy"}))
        async with RunningRouter(tmp_path, content, {"proxy": b"genset:correct-horse"}) as router:
            answer = await router.ask(chat())
    assert answer.status == 400 and b"correct-horse" not in answer.body and sent.encode() not in answer.body
