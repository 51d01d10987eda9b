"""Answers that are no streams: what is no answer at all."""

from __future__ import annotations

import pytest

from genset.router.whole import fault_of, usage_of

BAD = frozenset({"error", "abort"})


def answer(*finishes: str) -> bytes:
    choices = ",".join(f'{{"message":{{"content":"a"}},"finish_reason":{finish}}}' for finish in finishes)
    return f'{{"choices":[{choices}],"usage":{{"prompt_tokens": 7,"completion_tokens":12}}}}'.encode()


@pytest.mark.parametrize(
    ("finishes", "gave_up"),
    [
        (('"stop"',), False),
        (('"length"',), False),
        (('"abort"',), True),
        (('"abort"', '"stop"'), True),
        (("null", '"abort"'), True),
    ],
)
def test_a_server_that_gave_up(finishes: tuple[str, ...], gave_up: bool) -> None:
    fault = fault_of(answer(*finishes), True, BAD)
    assert (fault == "gave up with finish_reason abort") if gave_up else fault is None, fault


def test_tokens_are_read_with_and_without_a_space() -> None:
    assert usage_of(answer('"stop"')) == (7, 12)
    assert usage_of(b'{"choices":[]}') == (0, 0)
    assert usage_of(b'{"usage":{"prompt_tokens":null}}') == (0, 0)
