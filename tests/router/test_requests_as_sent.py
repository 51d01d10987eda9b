"""What a request holds beyond what most readers of JSON keep: it goes to the backend as it was sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.router import RunningRouter, cloud, config
from testbed.upstream import steps
from testbed.upstream.client import raw
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step
from tests.router.test_stream_ends import DONE, FINISH, d, streams

LONG = ("18446744073709551616", "-9223372036854775809", "123456789012345678901234567890")
#: Places of a number in a request; X stands for it.
PLACES = {
    "a seed": '"messages":[{"role":"user","content":"hi"}],"seed":X',
    "a schema": '"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"maximum":X,"minimum":0.5}}}]',
    "arguments of an earlier call": (
        '"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a":X}}}]},'
        '{"role":"tool","content":"x"}]'
    ),
    "behind a long prompt": '"messages":[{"role":"user","content":"%s"}],"seed":X' % ("some words " * 5000),
}


async def post(router: RunningRouter, body: str) -> bytes:
    data = body.encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    data = head % len(data) + data
    return await raw("127.0.0.1", router.router.listen_port, data, 10.0)


async def told(tmp_path: Path, body: str, *script: Step, **more: str) -> tuple[bytes, list[bytes]]:
    """The answer to this body, and what the backend got for it."""
    async with ScriptedUpstream(script, default=Answer(words=2)) as upstream:
        content = config(cloud(upstream.base_url, **more), models=["counting", "large"])
        async with RunningRouter(tmp_path, content) as router:
            answer = await post(router, body)
        return answer, [request.body for request in upstream.requests]


TOOLS = '[{"type":"function", "function":{"name":"f","parameters":{"maximum":18446744073709551616, "minimum":1.50}}}]'


@pytest.mark.parametrize("model", ["counting", "large"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", LONG)
async def test_integers_beyond_64_bits_are_sent_as_they_are(
    tmp_path: Path, model: str, place: str, number: str
) -> None:
    for more in ("", ',"stream":true', ',"stream":true,"stream_options":{"include_usage":true}'):
        body = f'{{"model":"{model}",{PLACES[place].replace("X", number)}{more}}}'
        answer, [sent] = await told(tmp_path, body)
        assert b" 200 " in answer[:15] and number.encode() in sent
        wanted = {**json.loads(body), "model": "large"}
        assert {key: value for key, value in json.loads(sent).items() if key in wanted} == {
            **wanted,
            **({"stream_options": json.loads(sent)["stream_options"]} if "stream_options" in wanted else {}),
        }


async def test_they_are_kept_where_a_request_is_changed(tmp_path: Path) -> None:
    """Lower limits, and requests to write on."""
    refusal = Status(400, steps.error_body("max_tokens must be less than or equal to `8192`", "x"))
    place = PLACES["a seed"].replace("X", LONG[2])
    body = f'{{"model":"counting",{place},"max_tokens":32000,"stream":true,"tools":{TOOLS}}}'
    broken = streams(d("some words"), 0.02, how="rst")
    answer, sent = await told(
        tmp_path, body, refusal, broken, streams(d(" more"), FINISH, DONE), continuation="Prefill"
    )
    assert answer.count(b"[DONE]") == 1 and len(sent) == 3
    assert all(LONG[2].encode() in one and TOOLS.encode() in one for one in sent)
    assert json.loads(sent[1])["max_tokens"] == 8192 and json.loads(sent[2])["messages"][-1]["role"] == "assistant"


HALVES = (r"x \ud83d y", r"\udc00", r"\ud83d\ud83d\ude00", "größe \\ude00")


@pytest.mark.parametrize("model", ["counting", "large"])
@pytest.mark.parametrize("text", HALVES)
async def test_half_a_character_that_was_handed_out_is_taken_back(tmp_path: Path, model: str, text: str) -> None:
    for more in ("", ',"stream":true', ',"stream":true,"stream_options":{"include_usage":true}'):
        body = '{"model":"%s","messages":[{"role":"assistant","content":"%s"},{"role":"user","content":"on"}]%s}'
        answer, [sent] = await told(tmp_path, body % (model, text, more))
        assert b" 200 " in answer[:15], answer
        assert json.loads(sent)["messages"][0]["content"] == json.loads(f'"{text}"')


async def test_half_a_character_is_no_part_of_a_name(tmp_path: Path) -> None:
    for body in (
        r'{"model":"\ud83d","messages":[]}',
        r'{"model":"counting","\ud83d":1}',
        r'{"model":"counting","a":"\ud83d"',
    ):
        answer, sent = await told(tmp_path, body)
        assert b" 400 " in answer[:15] and b"invalid_json" in answer and not sent


async def test_prompts_are_compared_whatever_stands_in_them(tmp_path: Path) -> None:
    body = (
        r'{"model":"counting","messages":[{"role":"\ud83d","content":"a \ud83d"},{"role":"user","content":["\udc00"]}]}'
    )
    balancing = {"strategy": "PrefixAffinity"}
    async with ScriptedUpstream() as upstream:
        backend = cloud(upstream.base_url, balancing=balancing)
        async with RunningRouter(tmp_path, config(backend)) as router:
            assert b" 200 " in (await post(router, body))[:15]
