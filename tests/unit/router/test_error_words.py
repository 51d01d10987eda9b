"""One reader of errors: the same words and codes of every shape, under a status, inside a 200 and inside a stream."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.backends.outcomes import Outcome
from genset.router.dialects.error_words import MESSAGE_CHARACTERS, words_in
from genset.router.dialects.openai import in_band
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.whole_answer import fault_of, page_words
from genset.router.dialects.upstream_error import codes_of, error_in, error_of
from genset.router.machine.classify import classify, classify_in_band

EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "stream_options"],
    "msg": "Extra inputs are not permitted",
    "input": {},
}
MISSING = {"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required"}
RAW = json.dumps({"error": {"message": "input is too hot", "code": 7}})

#: Name -> (JSON, words that are told).
SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": ({"error": {"message": "boom", "type": "t", "code": "c"}}, "boom"),
    "a text": ({"error": "boom"}, "boom"),
    "a list of objects": ({"error": [{"message": "boom"}, {"message": "bang"}]}, "boom; bang"),
    "a list of texts": ({"error": ["boom", "bang"]}, "boom; bang"),
    "detail": ({"detail": "boom"}, "boom"),
    "detail, texts": ({"detail": ["boom", "bang"]}, "boom; bang"),
    "detail, pydantic": (
        {"detail": [MISSING, EXTRA]},
        "Field required (messages.0.role); Extra inputs are not permitted (stream_options)",
    ),
    "detail, pydantic without a place": ({"detail": [{"loc": ["body"], "msg": "boom"}]}, "boom"),
    "detail, object": ({"detail": {"msg": "boom"}}, "boom"),
    "detail, error": ({"detail": {"error": {"message": "boom"}}}, "boom"),
    "detail, error text": ({"detail": {"error": "boom"}}, "boom"),
    "detail without words": ({"detail": {"why": 7, "who": "me"}}, "why: 7, who: me"),
    "errors": ({"errors": [{"message": "boom"}]}, "boom"),
    "errors, texts": ({"errors": ["boom"]}, "boom"),
    "errors beside a message": ({"message": "no", "errors": [{"message": "boom"}]}, "no; boom"),
    "Message": ({"Message": "boom"}, "boom"),
    "errorMessage": ({"errorMessage": "boom"}, "boom"),
    "error_msg": ({"error_code": 336003, "error_msg": "boom"}, "boom"),
    "error_message": ({"error_message": "boom"}, "boom"),
    "msg": ({"msg": "boom", "code": 1234}, "boom"),
    "error.detail": ({"error": {"detail": "boom"}}, "boom"),
    "error.msg": ({"error": {"msg": "boom"}}, "boom"),
    "error.message, an object": ({"error": {"message": {"detail": "boom"}}}, "boom"),
    "error.message, a list": ({"error": {"message": ["boom", "bang"]}}, "boom; bang"),
    "error without words": ({"error": {"code": 7}, "message": "boom"}, "boom"),
    "Mistral": (
        {"object": "error", "message": {"detail": [EXTRA]}, "type": "invalid_request_error", "param": None, "code": None},
        "Extra inputs are not permitted (stream_options)",
    ),
    "vLLM before 0.10": ({"object": "error", "message": "boom", "type": "BadRequestError", "code": 400}, "boom"),
    "Apigee": ({"fault": {"faultstring": "boom", "detail": {"errorcode": "x"}}}, "boom"),
    "Spring": (
        {"timestamp": "now", "status": 500, "error": "Internal Server Error", "message": "boom", "path": "/v1"}, "boom",
    ),
    "a status alone": ({"status": 404, "error": "Not Found"}, "Not Found"),
    "two texts": ({"error": "bang", "code": 500, "message": "boom"}, "boom; bang"),
    "OAuth": ({"error": "invalid_request", "error_description": "boom"}, "boom; invalid_request"),
    "OpenRouter": ({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": RAW}}},
                   "Provider returned error; input is too hot"),
    "OpenRouter, raw text": ({"error": {"message": "Provider returned error", "metadata": {"raw": "boom"}}},
                             "Provider returned error; boom"),
    "OpenRouter, raw page": ({"error": {"message": "Provider returned error", "metadata": {"raw": "<html><b>boom</b>"}}},
                             "Provider returned error; boom"),
    "MiniMax": ({"base_resp": {"status_code": 1008, "status_msg": "boom"}}, "boom"),
    "Cloudflare": (
        {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}], "messages": [], "result": None},
        "Authentication error",
    ),
    "Anthropic": ({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}, "boom"),
    "half a character": ({"error": {"message": "bo\ud83dom"}}, "bo\ufffdom"),
}  # fmt: skip
ARRAYS: dict[str, tuple[Any, str]] = {
    "Gemini": ([{"error": {"code": 400, "message": "boom", "status": "INVALID_ARGUMENT"}}], "boom"),
    "Gemini, several": ([{"error": {}}, {"error": {"message": "boom"}}, {"error": {"message": "bang"}}], "boom"),
}
#: Not known to be errors but by where they stand: an event of a stream may be news.
NO_EVENTS: dict[str, tuple[Any, str]] = {
    "message": ({"message": "boom"}, "boom"),
    "msg alone": ({"msg": "boom"}, "boom"),
    "Message alone": ({"Message": "boom"}, "boom"),
}
ALL = {**SHAPES, **ARRAYS, **NO_EVENTS}


def streamed(data: bytes) -> Forward:
    reader = Forward(hide_usage=False)
    reader.feed(data)
    reader.end()
    assert reader.failed and not reader.opened
    return reader


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_the_words_of_a_refusal(name: str, status: int) -> None:
    said, words = ALL[name]
    assert classify(status, {}, json.dumps(said).encode(), "m", wall=0.0, may_wait=0.0).words == words


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("part", ["choices", "data"])
def test_the_words_of_a_200(name: str, part: str) -> None:
    said, words = ALL[name]
    fault = fault_of(json.dumps(said).encode(), True, part=part)
    assert isinstance(fault, dict) and classify_in_band(fault, "x").words == words


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("before", [b"", b"event: error\n"])
def test_the_words_of_an_event(name: str, before: bytes) -> None:
    said, words = ALL[name]
    error = streamed(before + b"data: %b\n\n" % json.dumps(said).encode()).error
    assert error is not None and classify_in_band(error, "x").words == words


CODES: dict[str, tuple[Any, set[str], str]] = {
    "OpenAI": ({"error": {"code": "C", "type": "T", "param": "p", "message": "m"}}, {"c", "t"}, "p"),
    "beside the error": ({"code": "C", "type": "T", "error": {"message": "m"}}, {"c", "t"}, ""),
    "Mistral": (SHAPES["Mistral"][0], {"extra_forbidden"}, "stream_options"),
    "FastAPI": ({"detail": [EXTRA, MISSING]}, {"extra_forbidden"}, "stream_options"),
    "FastAPI, deep": ({"detail": [MISSING]}, {"missing"}, "messages.0.role"),
    "Gemini": (
        [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "m", "details": [
            {"@type": "x", "reason": "API_KEY_INVALID"}, {"@type": "y"}, 7,
        ]}}],
        {"invalid_argument", "api_key_invalid"}, "",
    ),
    "Cloudflare": ({"success": False, "errors": [{"code": 10000, "message": "m"}]}, {"10000"}, ""),
    "errors of words": ({"errors": [{"message": "m"}, {"code": "MODEL_NOT_FOUND"}]}, {"model_not_found"}, ""),
    "Azure": ({"error": {"code": "X", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
              {"x", "responsibleaipolicyviolation"}, ""),
    "Databricks": ({"error": {"message": "m", "details": {"error_code": "E"}}}, {"e"}, ""),
    "detail of an object": ({"detail": {"code": "C", "message": "m"}}, {"c"}, ""),
    "what the request held": ({"detail": [{"msg": "m", "input": {"code": "C", "error": {"code": "D"}}}]}, set(), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_codes_are_those_of_the_innermost(name: str) -> None:
    said, codes, param = CODES[name]
    found = error_of(json.dumps(said).encode())
    assert codes <= codes_of(found) and (codes or codes_of(found) == {""})
    assert (found.get("param") or "") == param
    assert not codes & {"d"}


def test_a_key_that_google_does_not_know_is_one() -> None:
    body = json.dumps(CODES["Gemini"][0]).encode()
    assert classify(400, {}, body, "m", wall=0.0, may_wait=0.0).outcome is Outcome.AUTH


PARTS_OF_ANSWERS: list[dict[str, Any]] = [
    {"choices": [{"delta": {"content": "a"}}], "detail": "x"},
    {"choices": [], "usage": {"prompt_tokens": 1}, "message": "m", "code": 7},
    {"data": [{"embedding": []}], "errors": [{"message": "m"}]},
    {"choices": [], "prompt_filter_results": []},
    {"type": "ping"},
    {"object": "chat.completion.chunk", "choices": []},
    {"errors": [], "fault": None, "detail": "", "error_msg": ""},
    {"error_msg": "success", "error_code": 0},
    {"message": {"role": "assistant", "content": "a"}, "done": False},
    {"message": "warming up"},
]


@pytest.mark.parametrize("said", PARTS_OF_ANSWERS, ids=json.dumps)
def test_what_holds_a_part_of_an_answer_is_no_error(said: dict[str, Any]) -> None:
    assert in_band.error_in(said) is None


def test_news_in_a_stream_that_goes_well_is_no_error() -> None:
    reader = Forward(hide_usage=False)
    good = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    out = reader.feed(b'data: {"message":"warming up"}\n\n' + good)
    assert reader.done and reader.error is None and out.endswith(good)


PAGES: list[tuple[bytes, str]] = [
    (b"<html><head><title>Login</title></head><body>Please <b>log in</b></body></html>", "Login Please log in"),
    (b"upstream connect error", "upstream connect error"),
    (b'\xef\xbb\xbf<?xml version="1.0"?><Error><Message>Access Denied</Message></Error>', "Access Denied"),
    (b"<Error><Message><![CDATA[Access denied]]></Message></Error>", "Access denied"),
    (b'"boom"', "boom"),
    (b'{"choices":[{"message":{"content":"an answer that is c', ""),
    (b'[{"choices":[{"message":{"content":"an answer that is c', ""),
    (b"GIF89a\x00\x01", ""),
    (b"", ""),
]


@pytest.mark.parametrize(("body", "words"), PAGES)
def test_the_words_of_what_is_no_answer_at_all(body: bytes, words: str) -> None:
    assert page_words(body) == words


@pytest.mark.parametrize("before", [b"data: ", b"event: error\ndata: "])
def test_the_words_of_a_page_inside_a_stream(before: bytes) -> None:
    assert (streamed(before + b"<html><b>boom</b></html>\n\n").error or {}).get("message") == "boom"


def test_a_damaged_event_tells_nothing() -> None:
    for event in (
        b'data: {"choices":[{"delta":{"content":"secr\n\n',
        b"data: the answer's text\n\n",
        b"data: [1, 2]\n\n",
    ):
        assert streamed(event).error is None


def test_nothing_follows_a_text_that_was_cut() -> None:
    """A key of ours that the cut goes through is hidden only where it is the last."""
    for said in (
        {"error": ["x" * 5000, "b"]},
        {"error": "b", "message": "x" * 5000},
        {"detail": [{**EXTRA, "msg": "x" * 5000}]},
    ):
        assert set(words_in(said)) == {"x"} and len(words_in(said)) == MESSAGE_CHARACTERS
    page = "<html>" + "<p>" * 3000 + "half a ke"
    assert not words_in({"message": page, "error": "b"}).endswith("b")


_NAMES = st.sampled_from((
    "error", "errors", "message", "msg", "detail", "fault", "metadata", "raw", "loc", "base_resp", "status_msg", "code",
    "type", "status", "param", "details", "reason", "innererror", "object", "success", "error_msg", "Message",
))  # fmt: skip
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("x" * 9000) | st.just("<html>a")
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=12) | st.dictionaries(_NAMES | st.text(), inner, max_size=12), max_leaves=60
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(_JSON)
def test_any_json_is_read_in_bounds(said: Any) -> None:
    body = json.dumps(said).encode()
    found = error_of(body)
    assert isinstance(found["message"], str) and len(found["message"]) <= max(MESSAGE_CHARACTERS, 8192)
    assert all(isinstance(code, str) for code in codes_of(found))
    classify(400, {}, body, "m", wall=0.0, may_wait=0.0)
    if isinstance(said, dict):
        for error in (in_band.error_in(said), in_band.as_error(said)):
            if error is not None:
                assert len(classify_in_band(error, "x").words) <= 512
                assert len(json.dumps(error)) <= 6 * 80 * 1024
    fault_of(body, True)
    Forward(hide_usage=False).feed(b"event: error\ndata: %b\n\ndata: %b\n\n" % (body, body))


def _nested(shape: str, depth: int) -> Any:
    said: Any = "end"
    for _ in range(depth):
        said = (
            {"error": said, "message": said} if shape == "twice" else [said] * 2 if shape == "lists" else {shape: said}
        )
    return said


HOSTILE: dict[str, Any] = {
    **{shape: _nested(shape, 400) for shape in ("twice", "lists", "error", "detail", "errors")},
    "many": {"detail": [{"msg": "x" * 100, "loc": ["a" * 1000] * 1000}] * 2000},
    "wide": {"detail": {f"k{n}": n for n in range(100_000)}},
    "raw": {"error": {"metadata": {"raw": "[" * 60_000}}},
    "numbers": {"code": 10**4000, "errors": [{"code": 10**4000}], "detail": {"a": 10**4000}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_error_is_read_in_no_time(name: str) -> None:
    """Ten times in a second of CPU: a shape that grew with its depth would take for ever."""
    began = time.process_time()
    for _ in range(10):
        assert len(words_in(HOSTILE[name])) <= MESSAGE_CHARACTERS
        codes_of(error_in(HOSTILE[name]) if isinstance(HOSTILE[name], dict) else {})
    assert time.process_time() - began < 1.0
