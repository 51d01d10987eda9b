"""The soak's judge must see what is wrong: a judge that finds nothing proves nothing."""

from __future__ import annotations

import json

import pytest

from testbed.soak.callers import unchunked
from testbed.soak.judge import problem_of
from testbed.upstream.counting import word

WORDS = 5
DONE = b"data: [DONE]\n\n"


def event(content: str | None = None, finish: str | None = None, **more: object) -> bytes:
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "a", "choices": choices, **more}).encode() + b"\n\n"


USAGE = event(usage={"completion_tokens": WORDS})
GOOD = [event(word(number)) for number in range(WORDS)] + [event(finish="stop"), USAGE, DONE]
WRONG: dict[str, tuple[list[bytes], str]] = {
    "a gap": (GOOD[:2] + GOOD[3:], "differs"),
    "a repeat": (GOOD[:2] + GOOD[1:], "differs"),
    "truncated, and called whole": (GOOD[:3] + GOOD[WORDS:], "cut short"),
    "no finish": (GOOD[:WORDS] + GOOD[WORDS + 1 :], "finish_reason"),
    "two finishes": (GOOD[: WORDS + 1] + GOOD[WORDS:], "finish_reason"),
    "no [DONE]": (GOOD[:-1], "[DONE]"),
    "something after [DONE]": ([*GOOD, event(word(0))], "[DONE]"),
    "an error in the stream": ([*GOOD[:3], b'data: {"error":{"message":"no"}}\n\n'], "error in the stream"),
    "two answers in one": ([*GOOD[:2], *(e.replace(b'"id": "a"', b'"id": "b"') for e in GOOD[2:])], "2 ids"),
    "wrong usage": ([*GOOD[:-2], event(usage={"completion_tokens": 40}), DONE], "usage"),
}


def test_a_good_stream_has_no_fault() -> None:
    assert problem_of(200, b": waiting\n\n" + b"".join(GOOD), stream=True, words=WORDS, usage=True) == ""
    assert problem_of(200, b"".join([*GOOD[:-2], DONE]), stream=True, words=WORDS, usage=True) == "", "usage never came"
    assert "nobody" in problem_of(200, b"".join(GOOD), stream=True, words=WORDS, usage=False)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_seen(name: str) -> None:
    events, words = WRONG[name]
    assert words in problem_of(200, b"".join(events), stream=True, words=WORDS, usage=True)


def test_whole_answers() -> None:
    choice = {"message": {"content": "".join(word(n) for n in range(WORDS))}, "finish_reason": "stop"}
    good = json.dumps({"choices": [choice], "usage": {"completion_tokens": WORDS}}).encode()
    assert problem_of(200, good, stream=False, words=WORDS, usage=False) == ""
    assert "cut short" in problem_of(200, good, stream=False, words=WORDS + 1, usage=False)
    assert "unreadable" in problem_of(200, good[:-3], stream=False, words=WORDS, usage=False)
    assert "HTTP 502" in problem_of(502, b"{}", stream=False, words=WORDS, usage=False)


def test_chunks_are_joined() -> None:
    assert unchunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == b"abcde"
