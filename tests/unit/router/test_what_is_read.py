"""What counts as a stream, a token and JSON: what the standards let through, and what servers send, is read by both readers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import DONE, begins_stream, is_suspicious
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import HOLD_BYTES
from genset.router.dialects.openai.transcript import Transcript


def event(choice: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, **choice}], **more}).encode() + b"\n\n"


def delta(finish: Any = None, **fields: Any) -> bytes:
    return event({"delta": fields, "finish_reason": finish})


A, B, FINISH = delta(content="a"), delta(content="b"), delta("stop")
GOOD = A + B + FINISH + DONE


def streamed(data: bytes, *, ends: bool = False, size: int = 1 << 30) -> tuple[bytes, Forward]:
    reader = Forward(hide_usage=False)
    out = b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size))
    return out + (reader.end() if ends else b""), reader


def rebuilt(data: bytes, size: int = 1 << 30) -> dict[str, Any]:
    reader = Rebuild(Api.CHAT)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    assert reader.done, reader.fault
    found: dict[str, Any] = json.loads(reader.answer())
    return found


def text_of(data: bytes) -> str:
    found: str = rebuilt(data)["choices"][0]["message"]["content"]
    return found


# Event streams (WHATWG HTML, 9.2.5 and 9.2.6)

#: What stands before, between and behind the events; whether it goes on to the client.
IGNORED: dict[str, tuple[bytes, bool]] = {
    "empty data": (b"data:\n\n", False),
    "empty data and a space": (b"data: \n\n", False),
    "a data line without colon": (b"data\n\n", False),
    "data of several empty lines": (b"data\ndata:\ndata: \n\n", False),
    "a comment": (b": ping\n\n", False),
    "a comment without words": (b":\n\n", False),
    "an unknown field": (b"trace: 1\n\n", False),
    "an unknown word": (b"ping\n\n", False),
    "a name of another language": ("größe: 1\n\n".encode(), False),
    "an event's name alone": (b"event: ping\n\n", False),
    "a named event with empty data": (b"event: ping\ndata:\n\n", False),
    "an id": (b"id: 7\n\n", False),
    "an id without colon": (b"id\n\n", False),
    "a time to wait": (b"retry: 100\n\n", False),
    "blank lines": (b"\n\n\n", False),
    "fields before data": (b"trace: 1\nping\nid: 3\n: c\n" + delta(content=""), True),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_the_standard_ignores_ends_nothing(name: str) -> None:
    odd, passes = IGNORED[name]
    for size in (1 << 30, 1, 5):
        for stream in (odd + GOOD, A + odd + B + FINISH + DONE, A + B + FINISH + odd + DONE):
            out, found = streamed(stream, size=size)
            assert found.done and out == (stream if passes else GOOD), found.fault
            assert text_of(stream) == "ab"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_byte_order_mark_is_dropped_at_the_very_beginning(newline: bytes) -> None:
    for size, before in itertools.product((1 << 30, 1, 2), (b"", b": hello\n\n")):
        stream = b"\xef\xbb\xbf" + before + GOOD
        out, found = streamed(stream.replace(b"\n", newline), ends=True, size=size)
        assert found.done and out == GOOD
    assert streamed(b"\xef\xbb\xbf" + delta("stop", content="a")[:-2], ends=True)[0] == delta("stop", content="a")


def test_what_is_no_json_object_is_still_an_error() -> None:
    for bad in (b"data: hello\n\n", b"data: 7\n\n", b"data: [1]\n\n", b'data: {"a"\n\n', b"data: {\ndata: oops}\n\n"):
        for before in (b"", A):
            out, found = streamed(before + bad + FINISH + DONE)
            assert found.failed and out == before


BODIES = {
    True: (
        b"data: {}",
        b"data:x",
        b":",
        b": hi",
        b"event: a",
        b"id:",
        b"retry: 3",
        b"\n\n data:",
        b"\xef\xbb\xbfdata:",
        b"ping\ndata:",
        b"trace: 1\r\rx\rdata: {",
        b"\n" * 5000 + b"data:",
    ),
    None: (
        b"",
        b"\n",
        b" \r\n",
        b"d",
        b"dat",
        b"i",
        b"event",
        b"\xef",
        b"\xef\xbb",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\nre",
        b"dog",
        b"data {",
        b"7",
        b"ping\n",
        b"ping\ndata",
        b"\xefx",
        b"\n" * 5000,
    ),
    False: (b"{", b"<html>", b"[", b'"a"', b"\xef\xbb\xbf{", b"x" * 2000, b"{\ndata: 1"),
}


@pytest.mark.parametrize(("said", "body"), [(said, body) for said, bodies in BODIES.items() for body in bodies])
def test_how_a_stream_begins(said: bool | None, body: bytes) -> None:
    assert begins_stream(body) is said


# Tokens

ANSWERS: dict[str, dict[str, Any]] = {
    "an image": {"role": "assistant", "content": "", "images": [{"image_url": {"url": "data:," + "x" * 1_000_000}}]},
    "thoughts in OpenRouter's form": {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    "annotations": {"annotations": [{"type": "url_citation"}]},
    "audio": {"audio": {"transcript": "a"}},
    "a key of next year": {"smell": "roses"},
    "a number": {"score": 0.5},
}
NOTHING: tuple[dict[str, Any], ...] = (
    {},
    {"role": "assistant"},
    {"role": "assistant", "content": "", "refusal": None, "tool_calls": [], "images": [], "x": {}, "y": 0, "z": False},
    {"obfuscation": "aX3"},
)


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_is_not_empty_is_the_answer(name: str) -> None:
    first = delta(**ANSWERS[name])
    for size in (1 << 30, 65_536):
        out, found = streamed(first, size=size)
        assert found.opened and out == first
    message = rebuilt(first + FINISH + DONE)["choices"][0]["message"]
    assert {key: message[key] for key in ANSWERS[name] if key != "role"} == {
        key: value for key, value in ANSWERS[name].items() if key != "role"
    }
    transcript = Transcript()
    transcript.add(first)
    assert bool(transcript.special) == (name != "thoughts in OpenRouter's form"), "nobody can write on from there"


@pytest.mark.parametrize("fields", NOTHING)
def test_what_is_empty_opens_nothing_and_is_bounded(fields: dict[str, Any]) -> None:
    assert not streamed(delta(**fields))[1].opened
    padded = delta(**{**fields, "role": "x" * 1000})
    found = streamed(padded * (HOLD_BYTES // len(padded) + 1))[1]
    assert found.failed and "no token" in found.fault


def test_a_message_in_a_deltas_place_is_one_that_nobody_continues() -> None:
    first = event({"message": {"content": "a"}, "finish_reason": ""})
    out, found = streamed(first)
    assert found.opened and out == first and found.fold().special


def test_an_event_of_too_many_lines_is_refused_before_it_is_taken_apart() -> None:
    assert streamed(b"a\n" * 70_000 + b"\n")[1].failed
    assert streamed(b"a\n" * 60_000 + b"\n" + GOOD)[0] == GOOD


# Finish reasons that are none

NULLS = (b'""', b"0", b"false", b"null", b"")


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("spaced", [False, True])
def test_null_finish_reasons_end_nothing_and_cost_no_parse(null: bytes, spaced: bool) -> None:
    def one(text: str) -> bytes:
        reason = b',"finish_reason":' + null if null else b""
        made = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}%b}]}\n\n' % (text.encode(), reason)
        return made.replace(b'":', b'": ') if spaced else made

    assert not is_suspicious(one("x"), 0, len(one("x")))
    stream = b"".join(one(f" {number}") for number in range(9))
    out, found = streamed(stream)
    assert out == stream and found.opened and not found.finished
    found.end()
    assert found.failed
    assert found.read == 1, "each event was parsed"
    reader = Rebuild(Api.CHAT)
    reader.feed(stream)
    assert not reader.finished and reader.tokens() == 9 and reader.read == 1
    assert text_of(stream + FINISH + one("") + DONE) == "".join(f" {number}" for number in range(9))


@pytest.mark.parametrize("form", [b'"finish_reason":"stop"', b'"finish_reason": "stop"', b'"finish_reason" : "stop"'])
def test_a_finish_reason_is_seen_in_every_form(form: bytes) -> None:
    last = delta("stop").replace(b'"finish_reason": "stop"', form)
    assert streamed(A + last)[1].finished


# JSON that the fast reader refuses

TEXTS = {
    "half a character": rb"\ud83d",
    "the other half": rb"\ude00",
    "halves the wrong way around": rb"\ude00\ud83d",
    "bytes that are no UTF-8": b"\xff\xfe",
    "a character cut in two": "€".encode()[:2],
    "a control character": b"\x01",
    "a tab": b"\t",
}


def said(raw: bytes) -> bytes:
    return A.replace(b'"a"', b'"%b"' % raw)


@pytest.mark.parametrize("name", TEXTS)
def test_odd_text_is_the_same_whether_it_comes_first_or_later(name: str) -> None:
    odd = said(TEXTS[name])
    for stream in (odd + B + FINISH + DONE, A + odd + FINISH + DONE, A + B + odd + odd + B + FINISH + DONE):
        out, found = streamed(stream)
        assert found.done and out == stream, found.fault
        assert found.fold().text.encode(), "what is told to the next backend can be written"
        whole = rebuilt(stream)["choices"][0]["message"]["content"]
        assert set(whole) >= {"b"} or "a" in whole
        assert len(whole) >= 2


def test_halves_in_two_events_are_one_character() -> None:
    stream = A + said(rb"\ud83d") + said(rb"\ude00") + FINISH + DONE
    assert text_of(stream) == "a\U0001f600"
    assert streamed(stream)[1].fold().text == "a\U0001f600"


NUMBERS = ("18446744073709551616", "-9223372036854775809", "123456789012345678901234567890", "1e30", "0.1")


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_rebuilt_as_they_were_sent(number: str) -> None:
    odd = delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"n": 777}}}]).replace(
        b"777", number.encode()
    )
    stream = odd + FINISH + DONE
    assert streamed(stream)[0] == stream
    call = rebuilt(stream)["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"]["n"] == json.loads(number)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000])
def test_numbers_beyond_all_bounds_are_nobodys_fault(number: str) -> None:
    stream = event({"delta": {"content": "a"}}, seed=777).replace(b"777", number.encode()) + FINISH + DONE
    assert streamed(stream)[0] == stream
    assert "Infinity" not in json.dumps(rebuilt(stream))


@given(st.lists(st.sampled_from([A, B, *map(said, TEXTS.values())]), min_size=1, max_size=6), st.integers(1, 90))
def test_odd_text_is_read_however_it_is_cut(events: list[bytes], size: int) -> None:
    stream = b"".join(events) + FINISH + DONE
    assert streamed(stream, size=size)[0] == stream
    assert rebuilt(stream, size) == rebuilt(stream)


# Errors inside a stream

ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "OpenAI's": ({"error": {"message": "boom"}}, "boom"),
    "an error of text": ({"error": "boom", "code": 503}, "boom"),
    "vLLM's, SGLang's": ({"object": "error", "message": "boom", "type": "x", "code": 400}, "boom"),
    "FastAPI's": ({"detail": "boom"}, "boom"),
    "FastAPI's list": ({"detail": [{"loc": ["body"], "msg": "boom"}]}, "boom"),
    "a code alone": ({"code": 500}, ""),
    "a code of text": ({"code": "429", "message": "boom"}, "boom"),
    "a gateway's": ({"code": 20012, "message": "boom", "data": None}, "boom"),
    "MiniMax's": ({"base_resp": {"status_code": 1008, "status_msg": "boom"}, "choices": None}, "boom"),
    "beside a choice": ({"choices": [{"index": 0, "delta": {"content": ""}}], "error": {"message": "boom"}}, "boom"),
    "of half a character": ({"error": {"message": "boom \ud83d"}}, "boom"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_in_every_form_are_never_forwarded(name: str) -> None:
    chunk, words = ERRORS[name]
    bad = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    for before in (b"", A, A + B):
        out, found = streamed(before + bad + FINISH + DONE)
        assert found.failed and out == before
        assert found.error is not None and found.error.get("message", "").startswith(words)
        json.dumps(found.error).encode()


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "ping"},
        {"choices": []},
        {"choices": [], "usage": {"prompt_tokens": 1}},
        {"choices": [], "prompt_filter_results": [{}]},
        {"code": 0, "message": "ok", "choices": []},
        {"code": 200, "msg": "success"},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"error": None, "object": "chat.completion.chunk"},
        {"message": "hello"},
    ],
)
def test_what_is_no_error(chunk: dict[str, Any]) -> None:
    odd = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    for stream in (odd + GOOD, A + odd + B + FINISH + DONE):
        assert streamed(stream)[0] == stream
