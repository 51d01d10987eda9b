"""What surrounds the message of a rebuilt answer: several choices, log probabilities, legacy completions, other fields."""

from __future__ import annotations

from typing import Any

from genset.router.dialects.openai.api import Api
from tests.support.router.answers import USAGE, chunk, delta, rebuilt


def test_several_choices_in_any_order() -> None:
    events = [chunk(delta(1, role="assistant", content="b")), chunk(delta(0, role="assistant", content="a"))]
    events += [chunk(delta(0, content="A"), delta(1, content="B")), chunk(delta(1, "stop")), chunk(delta(0, "length"))]
    got = rebuilt(Api.CHAT, *events)
    seen = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in got["choices"]]
    assert seen == [(0, "aA", "length"), (1, "bB", "stop")]


def test_log_probabilities_of_content_and_refusal() -> None:
    one = {**delta(content="a"), "logprobs": {"content": [{"token": "a"}], "refusal": None}}
    two = {**delta(content="b"), "logprobs": {"content": [{"token": "b"}], "refusal": [{"token": "r"}]}}
    got = rebuilt(Api.CHAT, chunk(one), chunk(two), chunk(delta(finish="stop")))
    assert got["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": [{"token": "r"}]}


def test_legacy_completions_of_openai_and_vllm() -> None:
    def piece(text: str, offset: int, finish: str | None = None) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{text: -0.5}], "text_offset": [offset]}
        choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish, "stop_reason": None}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    end = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [], "usage": USAGE}
    got = rebuilt(Api.COMPLETIONS, piece("Hé", 0), piece("llo", 2, "stop"), end)
    assert got == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "usage": USAGE,
        "choices": [
            {
                "text": "Héllo",
                "index": 0,
                "logprobs": {
                    "tokens": ["Hé", "llo"],
                    "token_logprobs": [-0.5, -0.5],
                    "top_logprobs": [{"Hé": -0.5}, {"llo": -0.5}],
                    "text_offset": [0, 2],
                },
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
    }


def test_fields_of_chunks_and_choices() -> None:
    azure = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"i": 0}]}
    filtered = {**delta(content="a"), "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
    more = {**delta(finish="stop"), "content_filter_results": {"self_harm": {"filtered": False}}, "stop_reason": 7}
    got = rebuilt(
        Api.CHAT,
        azure,
        chunk(filtered, system_fingerprint="fp", service_tier=None, obfuscation="x7f", usage=None),
        chunk(more, system_fingerprint="fp", service_tier="default", obfuscation="q", id="chatcmpl-2", created=2),
        chunk(usage=USAGE, timings={"predicted_n": 1}, system_fingerprint=None),
    )
    assert got == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "prompt_filter_results": [{"i": 0}],
        "system_fingerprint": "fp",
        "service_tier": "default",
        "usage": USAGE,
        "timings": {"predicted_n": 1},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a"},
                "logprobs": None,
                "finish_reason": "stop",
                "content_filter_results": {
                    "hate": {"filtered": False, "severity": "safe"},
                    "self_harm": {"filtered": False},
                },
                "stop_reason": 7,
            }
        ],
    }
