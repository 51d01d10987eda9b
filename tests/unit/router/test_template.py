"""Events that are like one another are taken together: it must come to the same as looking at each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.openai.shortcuts.template import Template, decode, learn


def event(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}
    return b"data: %b\n\n" % json.dumps({"id": "x", "choices": [choice]}).encode()


def template() -> Template:
    first = event("Hello")
    found = learn(first, json.loads(first[5:]))
    assert found is not None
    return found


LAST = event("", finish_reason="stop")


@pytest.mark.parametrize(
    ("data", "count", "text"),
    [
        (event("a"), 1, "a"),
        (event("a") + event(" b"), 2, "a b"),
        (event("a") + event('say "b"') + event("c"), 1, "a"),
        (event("a") + event("line\n") + event("ü"), 3, "aline\nü"),
        (event("a") + event("end\\") + event("c"), 1, "a"),
        (event("a") + event("") + event("c"), 1, "a"),
        (event("a") + LAST, 1, "a"),
        (event("a") + event("b", logprobs=1), 1, "a"),
        (event("a") + b": ping\n\n" + event("b"), 1, "a"),
        (event("a") + event("b")[:-1], 1, "a"),
        (event("a").replace(b'"a"', b'"a\rb"'), 0, ""),
        (event("a").replace(b'"a"', b'"a","tool_calls":[{"x":"y"}],"b":"c"'), 0, ""),
        (LAST, 0, ""),
        (b"", 0, ""),
    ],
)
def test_a_run_ends_before_the_first_event_that_is_not_like_the_template(data: bytes, count: int, text: str) -> None:
    end, found, joined = template().run(b"##" + data, 2)
    assert (found, decode([joined])) == (count, text)
    assert data[: end - 2].count(b"\n\n") == count, "it does not end between two events"


_TEXTS = st.sampled_from(["a", " b", 'say "x"', "\\", "ü", "\n", "", "error"])


@given(st.lists(st.builds(event, _TEXTS) | st.just(LAST) | st.binary(max_size=9), max_size=12))
def test_a_run_is_as_long_as_its_events_one_by_one(events: list[bytes]) -> None:
    data, like = b"".join(events), template()
    end, count, joined = like.run(data, 0)
    position, texts = 0, []
    for _ in range(count):
        alone = data.index(b"\n\n", position) + 2
        stop, one, text = like.run(data[position:alone], 0)
        assert (one, position + stop) == (1, alone), "an event of the run is not like the template"
        position = alone
        texts.append(text)
    assert (position, b"".join(texts)) == (end, joined)
    rest = data[end:]
    following = rest[: rest.find(b"\n\n") + 2].lstrip(b"\n")
    assert like.run(following, 0)[1] == 0, "the run ended too early"
