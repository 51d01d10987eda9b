"""Forms of a stream that few servers write: ends of lines, of answers, lines that nobody knows, numbers that are texts.

Both readers take them alike, and what goes on to the client is what was sent.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.openai.aggregate import UNKNOWN_FORM, CannotRebuildError
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import DONE, holds_content, index_of, is_suspicious
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import HOLD_BYTES
from genset.router.dialects.openai.transcript import Transcript


def event(choice: dict[str, Any], **more: Any) -> bytes:
    chunk = {"id": "c", "choices": [{"index": 0, **choice}], **more}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def delta(finish: Any = None, **fields: Any) -> bytes:
    return event({"delta": fields, "finish_reason": finish})


A, B, FINISH = delta(content="a"), delta(content="b"), delta("stop")
GOOD = A + B + FINISH + DONE


def streamed(data: bytes, *, size: int = 1 << 30, choices: int = 1) -> tuple[bytes, Forward]:
    reader = Forward(hide_usage=False, choices=choices)
    return b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size)), reader


def rebuilt(data: bytes, *, size: int = 1 << 30) -> Any:
    """The choice, and its message in it."""
    reader = Rebuild(Api.CHAT)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    assert reader.done, reader.fault
    return json.loads(reader.answer())["choices"][0]


# Lines

#: What the standard ignores, whatever stands in it, and what no server of this world means by it.
IGNORED = (
    b"\tping", b"x\x01y", b"\xff\xfe: 1", b"\xc2\xa0", b"\0", b"\xef\xbb\xbf", b"- - -", b"\x7f", b"<html>", b" data: x",
    "größe: \u2028".encode(), b"Data: 1", b"\xff" * 300,
)  # fmt: skip


@pytest.mark.parametrize("line", IGNORED)
@pytest.mark.parametrize("size", [1 << 30, 1, 7])
def test_lines_of_no_known_field_are_ignored_wherever_they_stand(line: bytes, size: int) -> None:
    odd = line + b"\n\n"
    for stream in (A + odd + B + FINISH + DONE, A + B + odd + FINISH + DONE, A + B + FINISH + odd + DONE):
        out, found = streamed(stream, size=size)
        assert found.done and out == GOOD, found.fault
        assert rebuilt(stream, size=size)["message"]["content"] == "ab"
    inside = line + b"\n" + A + line + b"\n" + B + FINISH + DONE
    if not line.startswith(b"\xef\xbb\xbf"):  # a byte order mark at the very beginning is none of the line
        assert streamed(inside, size=size)[0] == inside
        assert rebuilt(inside, size=size)["message"]["content"] == "ab"


@pytest.mark.parametrize("name", [b"\xff\xfe\xffa", b"\0ata", b"\tdata", b"da\x01ta", b"\xef\xbb\xbfdata"])
def test_a_line_that_may_have_been_a_part_of_the_answer_is_a_break(name: bytes) -> None:
    for size in (1 << 30, 1):
        out, found = streamed(A + name + B[4:] + FINISH + DONE, size=size)
        assert found.failed and out == A
        reader = Rebuild(Api.CHAT)
        reader.feed(A + name + B[4:] + FINISH + DONE)
        assert reader.failed and not reader.finished


@pytest.mark.parametrize("newline", [b"\r", b"\r\n", b"\n"])
def test_an_event_goes_on_with_the_last_byte_that_it_needs(newline: bytes) -> None:
    """A CR may be the half of a CRLF, or the whole end of a line: nobody waits to learn which."""
    reader = Forward(hide_usage=False)
    for number, part in enumerate((A, B, FINISH, DONE)):
        sent = part.replace(b"\n", newline)
        waits = 1 if newline == b"\r\n" else 0  # its LF says nothing new
        assert reader.feed(sent[: len(sent) - waits]) == part, number
        assert not waits or reader.feed(sent[len(sent) - waits :]) == b""
    assert reader.done


@given(st.lists(st.sampled_from([b"\r", b"\r\n", b"\n"]), min_size=9, max_size=9), st.integers(1, 40))
def test_ends_of_lines_may_be_mixed_and_cut(ends: list[bytes], size: int) -> None:
    lines = (b": hi\n" + A + B + FINISH + DONE).split(b"\n")[:-1]
    stream = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    whole, found = streamed(stream)
    assert streamed(stream, size=size)[0] == whole
    if b"\r\n" not in {a[-1:] + b[:1] for a, b in itertools.pairwise(ends)}:  # CR, then LF: one end, not two
        assert found.done and whole == b": hi\n" + A + B + FINISH + DONE


# Ends

ENDS = (b"data:[DONE]\n\n", b"id: 9\ndata: [DONE]\n\n", b"event: message\ndata: [DONE]\n\n", b": bye\ndata: [DONE]\n\n",
        b"data: [DONE] \n\n", b"data: [DONE]\nid: 4\n\n", DONE)  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", [1 << 30, 1])
def test_the_end_goes_on_as_it_was_sent(end: bytes, size: int) -> None:
    out, found = streamed(A + FINISH + end, size=size)
    assert found.done and found.marked and out == A + FINISH + end
    assert rebuilt(A + FINISH + end)["message"]["content"] == "a"
    out, found = streamed(A + FINISH + end[:-2])
    assert out + found.end() == A + FINISH + end and found.marked


def test_an_end_that_was_not_said_is_not_marked() -> None:
    _, found = streamed(A + FINISH)
    assert found.end() == b"" and found.done and not found.marked


@pytest.mark.parametrize("verified", [True, False])
def test_fewer_choices_than_asked_for_are_whole_where_the_body_ends_well(verified: bool) -> None:
    for make in (lambda: Forward(hide_usage=False, choices=3), lambda: Rebuild(Api.CHAT, choices=3)):
        reader = make()
        reader.feed(A + FINISH)
        reader.end(verified)
        assert reader.done is verified
        reader = make()
        reader.feed(A + FINISH + A)
        reader.end()
        assert reader.failed, "it goes on"
        reader = make()
        reader.feed(A + FINISH + A.replace(b'"index":0', b'"index":1'))
        reader.end()
        assert reader.failed, "another has begun"


def test_a_finish_reason_behind_one_of_an_extension_is_seen_at_once() -> None:
    inner = {"content": "x", "meta": {"finish_reason": None}}
    last = event({"delta": inner, "finish_reason": "stop"})
    assert is_suspicious(last, 0, len(last))
    out, found = streamed(A + last)
    assert found.finished and out == A + last
    out, found = streamed(A + event({"delta": inner, "finish_reason": None}))
    assert not found.finished and not found.failed


# What is held back


def test_much_may_come_before_the_first_token() -> None:
    empty = delta(content="") * 4000
    for before in (event({"delta": {"role": "assistant"}}, prompt_token_ids=list(range(100_000, 160_000))), empty):
        assert len(before) > 200_000
        for size in (1 << 30, 65_536):
            out, found = streamed(before + GOOD, size=size)
            assert found.done and out == before + GOOD
            assert rebuilt(before + GOOD, size=size)["message"]["content"] == "ab"


def test_only_what_is_forwarded_has_to_be_held() -> None:
    before = delta(content="") * (HOLD_BYTES // len(delta(content="")) + 1)
    assert streamed(before + GOOD)[1].failed
    assert rebuilt(before + GOOD)["message"]["content"] == "ab"


# Values of another type


@pytest.mark.parametrize(
    ("index", "number"),
    [(None, 0), (0, 0), (3, 3), ("0", 0), ("12", 12), ("", 0), (1.0, 1), (False, 0), (-1, -1),
     (0.5, None), ("x", None), ([], None), ({}, None), ("9" * 5000, None), (float("inf"), None)],
)  # fmt: skip
def test_the_number_of_a_choice(index: Any, number: int | None) -> None:
    assert index_of({"index": index}) == number
    assert index_of({}) == 0


@pytest.mark.parametrize("index", ["0", 0.0, None])
def test_choices_are_told_apart_by_number_however_it_is_written(index: Any) -> None:
    odd = event({"index": index, "delta": {"content": "a"}, "finish_reason": None})
    stream = odd + odd + B + FINISH + DONE
    out, found = streamed(stream)
    assert found.done and out == stream, found.fault
    assert rebuilt(stream)["message"]["content"] == "aab"
    transcript = Transcript()
    transcript.add(odd)
    assert transcript.text == "a" and not transcript.special, "it may be continued"


def test_a_delta_that_is_a_text_is_the_answers() -> None:
    odd = event({"delta": "a", "finish_reason": None})
    for stream in (odd + FINISH + DONE, odd + odd + FINISH + DONE):
        out, found = streamed(stream)
        assert found.done and out == stream
        assert rebuilt(stream)["message"]["content"] == "a" * stream.count(b'"a"')
    assert streamed(odd)[1].opened, "it is a token"


def test_a_tool_call_by_itself_is_a_list_of_one() -> None:
    stream = delta(tool_calls={"id": "q", "function": {"name": "f", "arguments": "{}"}}) + FINISH + DONE
    assert streamed(stream)[0] == stream
    assert rebuilt(stream)["message"]["tool_calls"] == [{"id": "q", "function": {"name": "f", "arguments": "{}"}}]


def test_calls_without_arguments_number_and_name_are_as_many_as_were_sent() -> None:
    call = {"function": {"name": "f", "arguments": ""}}
    apart = delta(tool_calls=[call]) + delta(tool_calls=[call])
    for sent in (apart, delta(tool_calls=[call, call])):
        assert rebuilt(sent + FINISH + DONE)["message"]["tool_calls"] == [call, call]
    pieces = delta(tool_calls=[call]) + delta(tool_calls=[{"function": {"arguments": '{"a":'}}])
    pieces += delta(tool_calls=[{"function": {"name": "f", "arguments": "1}"}}])
    assert [c["function"]["arguments"] for c in rebuilt(pieces + FINISH + DONE)["message"]["tool_calls"]] == ['{"a":1}']


def test_padding_is_no_part_of_the_message() -> None:
    padded = delta(content="a", obfuscation="xyz") + delta(content="b", obfuscation="q")
    assert streamed(padded + FINISH + DONE)[0] == padded + FINISH + DONE
    assert rebuilt(padded + FINISH + DONE)["message"] == {"role": "assistant", "content": "ab"}


def test_what_cannot_be_rebuilt_says_so_and_passes_as_a_stream() -> None:
    odd = delta(tool_calls=["f"])
    assert streamed(odd + FINISH + DONE)[0] == odd + FINISH + DONE
    reader = Rebuild(Api.CHAT)
    reader.feed(odd + FINISH + DONE)
    assert reader.fault == UNKNOWN_FORM
    with pytest.raises(CannotRebuildError):
        reader.answer()


# Errors beside a part of the answer


def test_an_error_beside_text_is_none() -> None:
    error = {"message": "boom", "code": 502}
    beside = event({"delta": {"content": "x"}, "finish_reason": None}, error=error)
    stream = A + beside + FINISH + DONE
    out, found = streamed(stream)
    assert found.done and out == stream
    assert rebuilt(stream)["message"]["content"] == "ax"
    for empty in ({}, {"content": ""}, {"role": "assistant"}):
        out, found = streamed(A + event({"delta": empty, "finish_reason": "stop"}, error=error))
        assert found.failed and out == A and found.error is not None
    assert not holds_content([{"delta": {"content": ""}}]) and not holds_content(None) and not holds_content(["a"])
    assert holds_content([{"delta": {}}, {"message": {"content": "a"}}])
