"""How a partial answer is written on: who may, how they are asked, how texts and streams join."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genset.router.continuation import APPEND, RULES, why_not
from genset.router.continuation.ask import ask, length_event, tokens_left
from genset.router.continuation.base import Rule
from genset.router.continuation.seam import (
    ANCHOR_CHARACTERS,
    SEARCH_CHARACTERS,
    Anchored,
    Direct,
    Echoed,
    Seam,
    anchor_of,
)
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.transcript import Transcript

TEXT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


def transcript(text: str = TEXT, tokens: int = 17) -> Transcript:
    sent = Transcript()
    sent.add(b'data: {"id":"a","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n')
    sent.add_text(text)
    sent.tokens = tokens
    return sent


def event(**chunk: Any) -> bytes:
    return b"data: " + orjson.dumps({"id": "b", "created": 2, "model": "other", **chunk}) + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": finish}])


# Who may


PLAIN: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
NEVER: dict[str, tuple[dict[str, Any], str]] = {
    "n": ({"n": 2}, "several_choices"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "schema": ({"response_format": {"type": "json_schema"}}, "structured_output"),
    "JSON": ({"response_format": {"type": "json_object"}}, "structured_output"),
    "grammar": ({"grammar": "root ::= x"}, "structured_output"),
    "forced tool": ({"tool_choice": {"type": "function"}}, "forced_tool"),
    "required tool": ({"tool_choice": "required"}, "forced_tool"),
    "audio": ({"modalities": ["text", "audio"]}, "audio"),
    "strange messages": ({"messages": "hi"}, "unknown_messages"),
    "ends in a tool call": ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "unknown_messages"),
}


@pytest.mark.parametrize("row", NEVER)
def test_never_spliced(row: str) -> None:
    more, word = NEVER[row]
    assert why_not({**PLAIN, **more}, transcript(), chat=True) == word


@pytest.mark.parametrize(
    "more",
    [{}, {"n": 1}, {"tools": [{}]}, {"tool_choice": "auto", "tools": [{}]}, {"response_format": {"type": "text"}}],
)
def test_plain_text_may_be_continued(more: dict[str, Any]) -> None:
    assert why_not({**PLAIN, **more}, transcript(), chat=True) == ""


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tool_calls": [{"index": 0}]}, "tool_call"),
        ({"refusal": "no"}, "refusal"),
        ({"audio": {"data": "x"}}, "audio"),
        ({"reasoning_details": [{"signature": "x"}]}, "signed_thinking"),
        ({"content": [{"type": "text"}]}, "structured_content"),
    ],
)
def test_what_was_sent_may_forbid_it(fields: dict[str, Any], word: str) -> None:
    sent = transcript()
    sent.add(delta(**fields))
    assert why_not(PLAIN, sent, chat=True) == word


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"prompt": "x"}, ""),
        ({"prompt": ["x"]}, ""),
        ({"prompt": ["x", "y"]}, "several_prompts"),
        ({"prompt": [1, 2]}, "several_prompts"),
        ({"prompt": "x", "suffix": "y"}, "fill_in"),
        ({"prompt": "x", "best_of": 3}, "several_choices"),
        ({"prompt": "x", "logprobs": 0}, "logprobs"),
    ],
)
def test_completions(request_: dict[str, Any], word: str) -> None:
    assert why_not(request_, transcript(), chat=False) == word


# How they are asked


def asked(rule: Rule, request: dict[str, Any], sent: Transcript | None = None) -> dict[str, Any]:
    before = orjson.dumps(request)
    body, _, _ = ask(request, sent or transcript(), rule, of_the_house=True, want_usage=True)
    assert orjson.dumps(request) == before, "the client's request was changed"
    return body


@pytest.mark.parametrize("name", ["Prefill", "ContinueFinalMessage", "Prefix"])
def test_rules_that_prefill(name: str) -> None:
    body = asked(RULES[name], {**PLAIN, "max_tokens": 100, "min_tokens": 5})
    assert body["messages"][:-1] == PLAIN["messages"]
    last = body["messages"][-1]
    assert last["role"] == "assistant" and last["content"] == TEXT
    assert body["max_tokens"] == 83 and body["min_tokens"] == 0
    assert (last.get("prefix") is True) == (name == "Prefix")
    assert (body.get("continue_final_message"), body.get("add_generation_prompt")) == (
        (True, False) if name == "ContinueFinalMessage" else (None, None)
    )


def test_two_assistant_messages_never_end_a_request() -> None:
    """llama.cpp refuses them: the client's own beginning and ours are one."""
    body = asked(RULES["Prefill"], {"messages": [*PLAIN["messages"], {"role": "assistant", "content": "zero "}]})
    assert [m["role"] for m in body["messages"]] == ["user", "assistant"]
    assert body["messages"][-1]["content"] == f"zero {TEXT}"


def test_anchor() -> None:
    body = asked(RULES["Anchor"], {**PLAIN, "max_tokens": 100})
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][-1]["content"].endswith(anchor_of(TEXT))
    assert body["max_tokens"] == 100 + ANCHOR_CHARACTERS, "room for what is repeated"


def test_append() -> None:
    assert asked(APPEND, {"prompt": "say: "})["prompt"] == f"say: {TEXT}"
    assert asked(APPEND, {"prompt": ["say: "]})["prompt"] == f"say: {TEXT}"


def test_after_thoughts_alone_the_text_begins_anew() -> None:
    sent = Transcript()
    sent.add_text("", "hm")
    request = {**PLAIN, "max_tokens": 9}
    body, _, rule = ask(request, sent, RULES["Prefill"], of_the_house=True, want_usage=True)
    assert body is request and rule is None


def test_limits() -> None:
    assert tokens_left({"max_tokens": 10}, 4) == 6
    assert tokens_left({"max_tokens": 10, "max_completion_tokens": 8}, 4) == 4
    assert tokens_left({}, 4) is None
    last = orjson.loads(length_event(transcript(), chat=True)[6:])
    assert last["id"] == "a" and last["choices"][0]["finish_reason"] == "length"


# How texts join


def joined(seam: Seam, answer: str, size: int = 3) -> str | None:
    """What the client gets of `answer`, fed in pieces; None: the texts do not join."""
    out = "".join(seam.feed(answer[i : i + size]) for i in range(0, len(answer), size))
    out += seam.end()
    return None if seam.lost else out


# seam, what the new author writes -> what the client gets after TEXT (None: nothing that joins)
SEAMS: dict[str, tuple[Seam, str, str | None]] = {
    "direct": (Direct(TEXT), " eighteen", " eighteen"),
    "direct, white space comes again": (Direct("a list:\n\n"), "\n\n- one", "- one"),
    "direct, less white space comes": (Direct("a list:\n\n"), "\n- one", "- one"),
    "direct, no white space comes": (Direct("a list:\n\n"), "- one", "- one"),
    "direct, more white space comes": (Direct("if x:\n"), "\n    pass", "    pass"),
    "no echo": (Echoed(TEXT), " eighteen", " eighteen"),
    "echo": (Echoed(TEXT), f"{TEXT} eighteen", " eighteen"),
    "echo, white space": (Echoed(f"{TEXT}\n"), f"{TEXT}\neighteen", "eighteen"),
    "echo that breaks off": (Echoed(TEXT), "one two, three", "one two, three"),
    "echo of one character is none": (Echoed("1"), "10 two", "10 two"),
    "an answer that ends inside the echo": (Echoed(TEXT), "one two", "one two"),
    "anchor": (Anchored(TEXT), f"{anchor_of(TEXT)} eighteen", " eighteen"),
    "anchor after a preamble": (Anchored(TEXT), f"Sure: {anchor_of(TEXT)} eighteen", " eighteen"),
    "anchor, white space": (Anchored(f"{TEXT}\n\n"), f"{anchor_of(TEXT)}\n\neighteen", "eighteen"),
    "anchor too late": (Anchored(TEXT), "x" * (SEARCH_CHARACTERS + 50) + anchor_of(TEXT), None),
    "starts over": (Anchored(TEXT), f"{TEXT} eighteen", " eighteen"),
    "starts over, otherwise": (Anchored(TEXT), "One two three", None),
    "starts over, a short text": (Anchored("Hi"), "Hi there", " there"),
    "a short text without an anchor": (Anchored("Hi"), "Hello", None),
    "an answer that ends before it joins": (Anchored(TEXT), "one two", None),
}


@pytest.mark.parametrize("row", SEAMS)
def test_seams(row: str) -> None:
    seam, answer, expected = SEAMS[row]
    assert joined(seam, answer) == expected


@given(st.text(min_size=1, max_size=200).filter(str.strip), st.text(max_size=50), st.integers(1, 20))
def test_a_seam_adds_nothing_and_loses_nothing(text: str, more: str, size: int) -> None:
    """Whatever the texts: an author that goes on exactly, or starts over exactly, is joined exactly."""
    assert joined(Direct(text.rstrip()), more, size) == more
    tail = text[len(text.rstrip()) :]
    assert joined(Direct(text), tail + more, size) == more
    assume(anchor_of(text) not in more)  # else it may be a quotation
    assert joined(Anchored(text), text + more, size) == more


@given(st.text(max_size=300))
def test_anchors_are_the_end_of_the_text(text: str) -> None:
    anchor = anchor_of(text)
    assert len(anchor) <= ANCHOR_CHARACTERS and text.strip().endswith(anchor)


# How streams join


def spliced(splice: Splice, *events: bytes) -> list[dict[str, Any]]:
    out = b"".join(splice.feed(one) for one in events)
    return [orjson.loads(one[6:]) for one in out.split(b"\n\n") if one and one != DONE.strip()]


def test_one_answer_is_what_the_client_sees() -> None:
    sent = transcript()
    seen = spliced(
        Splice(sent, Direct(TEXT), want_usage=True, told=17),
        delta(role="assistant", content=None),
        delta(content=" eighteen"),
        delta("stop"),
        event(choices=[], usage={"prompt_tokens": 27, "completion_tokens": 1, "total_tokens": 28}),
        DONE,
    )
    assert [(one["id"], one["created"], one["model"]) for one in seen] == [("a", 1, "m")] * 3
    assert [one["choices"][0]["delta"] for one in seen[:2]] == [{"content": " eighteen"}, {}]
    assert [one["choices"][0]["finish_reason"] for one in seen[:2]] == [None, "stop"]
    assert seen[2]["usage"] == {"prompt_tokens": 10, "completion_tokens": 18, "total_tokens": 28}
    assert sent.text == f"{TEXT} eighteen" and sent.finished, "a second break would go on from here"


def test_several_tokens_in_one_event_are_counted() -> None:
    """vLLM under load: three words in one event, and then half a word in another."""
    sent = Transcript()
    sent.add(delta(content=" 0000 0001 0002") + delta(content=" 00") + delta(content="03"))
    assert sent.text == " 0000 0001 0002 0003" and sent.tokens == 5


def test_repeated_tokens_are_not_counted_twice() -> None:
    words = [f" {number}" for number in range(40)]
    sent = transcript("".join(words[:30]), 30)
    splice = Splice(sent, Anchored(sent.text), want_usage=True, told=0)
    events = [delta(content=word) for word in words]  # starts over
    usage = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 40})
    seen = spliced(splice, *events, delta("stop"), usage, DONE)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in seen[:-1]) == "".join(words[30:])
    assert seen[-1]["usage"] == {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49}


def test_usage_that_nobody_asked_for_stays_here() -> None:
    splice = Splice(transcript(), Direct(TEXT), want_usage=False, told=17)
    assert not spliced(splice, event(choices=[], usage={"prompt_tokens": 27, "completion_tokens": 1}))
    assert splice.tokens() == (10, 18)


def test_thoughts_after_the_text_are_left_out() -> None:
    seen = spliced(
        Splice(transcript(), Direct(TEXT), want_usage=False, told=17),
        delta(reasoning_content="hm"),
        delta(content=" eighteen"),
    )
    assert [one["choices"][0]["delta"] for one in seen] == [{"content": " eighteen"}]


def test_an_author_that_only_thinks_does_not_end_the_answer() -> None:
    splice = Splice(transcript(), Direct(TEXT), want_usage=False, told=17)
    assert not spliced(splice, delta(reasoning_content="hm"), delta("stop"), DONE)
    assert splice.lost


def test_a_text_that_does_not_join_ends_nothing() -> None:
    splice = Splice(transcript(), Anchored(TEXT), want_usage=False, told=17)
    assert not spliced(splice, delta(content="Hello!"), delta("stop"), DONE)
    assert splice.lost


def test_the_clients_limit_holds_over_both_authors() -> None:
    splice = Splice(transcript(), Anchored(TEXT), want_usage=False, told=17, left=2)
    seen = spliced(splice, delta(content=TEXT), *(delta(content=f" {n}") for n in range(5)))
    assert "".join(one["choices"][0]["delta"]["content"] for one in seen) == " 0 1"
    assert seen[-1]["choices"][0]["finish_reason"] == "length" and splice.complete


def test_a_continuing_author_may_call_a_tool() -> None:
    sent = transcript()
    splice = Splice(sent, Direct(TEXT), want_usage=False, told=17)
    seen = spliced(splice, delta(tool_calls=[{"index": 0, "id": "x"}]), delta("tool_calls"), DONE)
    assert len(seen) == 2 and sent.special == "tool_call", "and nobody may write on from there"


def test_long_answers_can_be_continued_and_endless_ones_cannot() -> None:
    sent = Transcript()
    for _ in range(50):
        sent.add(delta(content="x" * 1000) * 100)
    assert not sent.special or len(sent.text) == 0
    assert sent.tokens == 5000 and sent.special == "too_long"
