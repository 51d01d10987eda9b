"""The stream reader: what passes, what is held back, what ends a stream; however the bytes are cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.kept import FOLD_BYTES
from genset.router.dialects.openai.stream_reader import HOLD_BYTES


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    return event(id="c", choices=[{"index": index, "delta": delta, "finish_reason": finish}], **more)


ROLE = event(id="c", choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
USAGE = event(id="c", choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})
FINISH = chunk(finish="stop")


def reader(**more: Any) -> Forward:
    return Forward(**{"hide_usage": False, **more})


def run(stream: bytes, cuts: list[int] | None = None, **more: Any) -> tuple[bytes, Forward]:
    found = reader(**more)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    out = b"".join(found.feed(stream[a:b]) for a, b in itertools.pairwise(edges))
    return out + found.end(), found


def test_a_whole_stream_passes_unchanged() -> None:
    stream = ROLE + chunk("a") + chunk("b") + FINISH + USAGE + DONE
    out, found = run(stream)
    assert out == stream
    assert found.done and found.finished and not found.failed and found.usage == (7, 3)


@pytest.mark.parametrize("held", [ROLE, event(choices=[]), b": comment\n\n", event(choices=[], usage=None), b""])
def test_what_holds_no_token_is_held_back(held: bytes) -> None:
    found = reader()
    assert found.feed(held) == b"" and not found.opened
    assert found.feed(chunk("x")).endswith(chunk("x")) and found.opened


def test_to_ask_what_was_sent_takes_nothing_from_what_is_held_back() -> None:
    found = reader()
    found.feed(ROLE)
    assert found.tokens() == 0 and found.fold().head == {}
    assert found.feed(chunk("x")) == ROLE + chunk("x")


TOKENS: dict[str, bytes] = {
    "content": chunk("x"),
    "white space": chunk(" "),
    "completion text": event(choices=[{"index": 0, "text": "x", "finish_reason": None}]),
    "reasoning": event(choices=[{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}]),
    "tool call": event(choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}]),
    "refusal": event(choices=[{"index": 0, "delta": {"refusal": "no"}, "finish_reason": None}]),
    "empty answer": FINISH,
}


@pytest.mark.parametrize("name", TOKENS)
def test_first_token(name: str) -> None:
    found = reader()
    assert found.feed(ROLE) == b""
    assert found.feed(TOKENS[name]) == ROLE + TOKENS[name]
    assert found.opened


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON object": (b"data: hello\n\n", "no JSON object"),
    "cut JSON": (b'data: {"choices": [{"del\n\n', "no JSON object"),
    "broken JSON that looks whole": (b'data: {"choices": oops}\n\n', "no JSON"),
    "a line that was damaged": (b'\xffata: {"choices": []}\n\n', "no event"),
    "error object": (event(error={"message": "crashed", "code": 500}), "error inside"),
    "error text": (event(error="crashed"), "error inside"),
    "error event": (b'event: error\ndata: {"message": "crashed"}\n\n', "error inside"),
    "llama.cpp's old error line": (b'error: {"code": 500, "message": "crashed"}\n\n', "error inside"),
    "finish_reason error": (chunk(finish="error"), "gave up"),
    "DONE without finish": (DONE, "without a finish_reason"),
    "choice that is no object": (event(choices=[7]), "no object"),
}


#: After the first token an event's frame is checked, not its inside.
FIRST_ONLY = ("broken JSON that looks whole", "choice that is no object")


@pytest.mark.parametrize(
    ("name", "after_token"), [(n, False) for n in BAD] + [(n, True) for n in BAD if n not in FIRST_ONLY]
)
def test_what_ends_a_stream_is_never_forwarded(name: str, after_token: bool) -> None:
    bad, words = BAD[name]
    before = chunk("a") if after_token else b""
    out, found = run(before + bad + chunk("z") + FINISH + DONE, bad_finishes=frozenset({"error"}))
    assert out == before
    assert found.failed and words in found.fault
    if "error" in words:
        assert found.error is not None and "crashed" in found.error["message"]


@pytest.mark.parametrize("tail", [b"", b"data: ", chunk("z")[:-10], chunk("z")[:20]])
def test_an_end_without_finish_reason_is_a_break(tail: bytes) -> None:
    out, found = run(chunk("a") + tail)
    assert out == chunk("a") and found.failed


@pytest.mark.parametrize("tail", [b"", USAGE, DONE, DONE[:-1], DONE[:-2], USAGE[:-2]])
def test_an_end_after_the_finish_reason_is_whole(tail: bytes) -> None:
    out, found = run(chunk("a") + FINISH + tail)
    assert found.done and not found.failed
    assert out.startswith(chunk("a") + FINISH)
    assert tail[:5] != USAGE[:5] or found.usage == (7, 3) or tail == DONE[: len(tail)]


def test_usage_is_hidden_on_request() -> None:
    stream = chunk("a") + FINISH + USAGE + DONE
    out, found = run(stream, hide_usage=True)
    assert out == stream.replace(USAGE, b"") and found.usage == (7, 3)


def test_usage_beside_choices_is_never_hidden() -> None:
    last = chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 2})
    out, found = run(chunk("a") + last + DONE, hide_usage=True)
    assert last in out and found.usage == (1, 2)


def test_every_choice_must_finish() -> None:
    stream = chunk("a") + chunk("b", index=1) + chunk(finish="stop")
    assert run(stream, choices=2)[1].failed
    assert run(stream + chunk(finish="length", index=1) + DONE, choices=2)[1].done


def test_marks_inside_text_mean_nothing() -> None:
    text = chunk('data: [DONE]\n\n "finish_reason":"stop" "error":{"message":1} \\"error\\"')
    out, found = run(chunk("a") + text + FINISH + DONE)
    assert text in out and found.done
    assert run(chunk("a") + text)[1].failed


def test_spaced_json_is_understood() -> None:
    spaced = b'data: {"choices" : [{"index": 0, "delta": {"content": "x"}, "finish_reason" : "stop"}]}\n\n'
    for stream in (chunk("a") + spaced + DONE, chunk("a") + spaced):
        assert run(stream)[1].done


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_other_line_ends(newline: bytes) -> None:
    stream = ROLE + chunk("a") + FINISH + DONE
    out, found = run(stream.replace(b"\n", newline))
    assert out == stream and found.done


def test_bounds() -> None:
    found = reader()
    for _ in range(100):
        found.feed(ROLE * 1000)
        if found.failed:
            break
    assert found.failed and found._kept.held_size < HOLD_BYTES + len(ROLE) * 2000
    found = reader()
    for _ in range(300):
        found.feed(b"x" * 65_536)
    assert found.failed and "without end" in found.fault
    found = reader()
    found.feed(chunk("a"))
    for _ in range(2_000):
        found.feed(chunk("y" * 1_000))
    assert found._kept.size < FOLD_BYTES + 2_000 and found.fold().tokens == 2_001
    assert found.fold().text == "a" + "y" * 2_000_000


EVENTS = st.sampled_from(
    [
        ROLE, chunk("a"), chunk("größe"), chunk("\u2028"), FINISH, USAGE, DONE, b": ping\n\n", b"\n", b"\n\n\n", b"\r\n",
        b"id: 7\n\n", b"retry: 10\n\n", b"event: message\ndata: {}\n\n", *(bad for bad, _ in BAD.values()),
        chunk("a").replace(b"\n\n", b"\r\n\r\n"), b"data:{}\n\n", b"data: {\n", b"}\n\n", b"data: {}\n",
        chunk("a").replace(b"finish_reason", b"finish_reason\" : \"stop\", \"x"),
    ]
)  # fmt: skip
STREAMS = st.lists(st.one_of(EVENTS, st.binary(max_size=20)), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(min_value=0, max_value=5_000), max_size=30)


@settings(max_examples=600, deadline=None)
@pytest.mark.parametrize("shortcuts", [True, False])
@given(stream=STREAMS, cuts=CUTS)
@example(stream=chunk("a") + b"\n" + b'data: {"broken": oops}\n\n', cuts=[len(chunk("a")) + 1])
@example(stream=chunk("a") + b"\r\n\r\n" + FINISH, cuts=[len(chunk("a")) + 1])
@example(stream=b"data: {\n\r\x00", cuts=[])
@example(stream=b"data: {\n\x00\r\n\x00\r\n", cuts=[10, 10])
def test_cutting_never_changes_what_comes_out(shortcuts: bool, stream: bytes, cuts: list[int]) -> None:
    whole, one = run(stream, shortcuts=shortcuts)
    pieces, many = run(stream, cuts)
    bytewise, single = run(stream, list(range(len(stream))))
    assert whole == pieces == bytewise
    for other in (many, single):
        assert (one.opened, one.finished, one.done, one.failed, one.fault, one.usage) == (
            other.opened, other.finished, other.done, other.failed, other.fault, other.usage,
        )  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(stream=STREAMS, cuts=CUTS)
def test_only_whole_events_come_out_and_no_success_is_made_up(stream: bytes, cuts: list[int]) -> None:
    out, found = run(stream, cuts)
    assert out == b"" or out.endswith(b"\n\n")
    finish = False
    for one in filter(None, out.split(b"\n\n")):
        assert any(line.startswith(b"data:") for line in one.split(b"\n")), "an event without data was forwarded"
        for line in one.split(b"\n"):
            payload = line[5:].strip()
            if line.startswith(b"data:") and payload != b"[DONE]":
                assert payload[:1] == b"{" or b"}" in one, "something that is no JSON object was forwarded"
        finish = finish or b"finish_reason" in one
    assert found.done != found.failed, "a stream ends whole or broken"
    assert not found.done or finish, "a stream without finish_reason was called whole"


@pytest.mark.parametrize("cut", range(1, 420, 7))
def test_a_stream_cut_at_any_byte_is_whole_or_broken_and_never_damaged(cut: int) -> None:
    stream = ROLE + chunk("größe") + chunk("b") + chunk("c") + FINISH + USAGE + DONE
    out, found = run(stream[:cut])
    assert stream.startswith(out)
    assert found.done is (cut >= stream.index(FINISH) + len(FINISH) - 2)
