"""What is never rebuilt: damaged streams, and requests whose whole answer a stream does not hold. And how long ones are."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from genset.router.dialects.openai.aggregate import CannotRebuildError, can_rebuild
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.rebuild import Rebuild
from tests.support.router.answers import USAGE, chunk, delta

DAMAGED: dict[str, list[bytes]] = {
    "no finish_reason": [orjson.dumps(chunk(delta(content="a")))],
    "only one of two choices finished": [orjson.dumps(chunk(delta(0, "stop"), delta(1, content="b")))],
    "no choice": [orjson.dumps(chunk(usage=USAGE))],
    "nothing": [],
    "no JSON": [b'{"choices": [oops]}', orjson.dumps(chunk(delta(finish="stop")))],
    "a delta that is a number": [b'{"choices":[{"index":0,"delta":3}]}', orjson.dumps(chunk(delta(finish="stop")))],
    "choices that are no list": [b'{"choices":{"a":1}}', orjson.dumps(chunk(delta(finish="stop")))],
    "a choice that is a number": [b'{"choices":[3]}', orjson.dumps(chunk(delta(finish="stop")))],
    "content that turns into a number": [
        orjson.dumps(chunk(delta(content="a"))),
        orjson.dumps(chunk(delta(content=3, finish="stop"))),
    ],
    "tool calls that are no objects": [orjson.dumps(chunk(delta(tool_calls=["f"], finish="stop")))],
    "two objects in one event": [
        orjson.dumps(chunk(delta(content="a"))) + b"," + orjson.dumps(chunk(delta(finish="stop")))
    ],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_never_becomes_an_answer(case: str) -> None:
    aggregator = Rebuild(Api.CHAT)
    aggregator.feed(b"".join(b"data: " + payload + b"\n\n" for payload in DAMAGED[case]))
    with pytest.raises(CannotRebuildError):
        aggregator.answer()


def test_a_long_answer_is_folded_as_it_comes() -> None:
    aggregator = Rebuild(Api.CHAT)
    texts = [f" {number:04d}" for number in range(5000)]
    for text in texts:
        aggregator.feed(b"data: " + orjson.dumps(chunk(delta(content=text))) + b"\n\n")
    aggregator.feed(b"data: " + orjson.dumps(chunk(delta(finish="stop"))) + b"\n\n")
    assert orjson.loads(aggregator.answer())["choices"][0]["message"]["content"] == "".join(texts)


REBUILDS: list[tuple[Api, dict[str, Any]]] = [
    (Api.CHAT, {}),
    (Api.CHAT, {"n": 3, "logprobs": True, "tools": [{}], "stop": None, "stream": False, "store": False, "audio": None}),
    (Api.CHAT, {"stop": ["a"]}),
    (Api.CHAT, {"modalities": ["text"], "response_format": {"type": "json_object"}, "echo": False}),
    (Api.COMPLETIONS, {"prompt": "a", "logprobs": 2, "best_of": 1}),
    (Api.COMPLETIONS, {"prompt": [1, 2, 3]}),
]
PASSES: list[tuple[Api, dict[str, Any]]] = [
    (Api.EMBEDDINGS, {"input": "a"}),
    (Api.CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}),
    (Api.CHAT, {"store": True}),
    (Api.CHAT, {"stream_options": {"include_usage": True}}),
    (Api.CHAT, {"prompt_logprobs": 0}),
    (Api.CHAT, {"return_token_ids": True}),
    (Api.CHAT, {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
    (Api.CHAT, {"stop": "a", "logprobs": True}),
    (Api.COMPLETIONS, {"prompt": "a", "echo": True}),
    (Api.COMPLETIONS, {"prompt": "a", "n": 2, "best_of": 3}),
    (Api.COMPLETIONS, {"prompt": ["a", "b"]}),
    (Api.COMPLETIONS, {"prompt": [[1], [2]]}),
    (Api.COMPLETIONS, {"prompt": "a", "use_beam_search": True}),
]


@pytest.mark.parametrize(("api", "request_"), REBUILDS)
def test_what_is_rebuilt(api: Api, request_: dict[str, Any]) -> None:
    assert can_rebuild(api, request_)


@pytest.mark.parametrize(("api", "request_"), PASSES)
def test_what_is_passed_as_it_is(api: Api, request_: dict[str, Any]) -> None:
    assert not can_rebuild(api, request_)
