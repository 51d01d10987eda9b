"""Answers that are no streams: what is no answer at all."""

from __future__ import annotations

import pytest

from genset.router.dialects.openai.whole_answer import fault_of, usage_of

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


@pytest.mark.parametrize(
    "beside",
    [b'"error":{"message":"boom","code":502}', b'"x":1'],
    ids=["error of the answer", "error of the choice"],
)
def test_a_server_that_gave_up_says_why(beside: bytes) -> None:
    choice = b'{"message":{"content":"a"},"finish_reason":"error","error":{"message":"boom","code":502}}'
    fault = fault_of(b'{"choices":[%b],%b}' % (choice, beside), True, BAD)
    assert isinstance(fault, dict) and (fault["message"], fault["code"]) == ("boom", 502)


def test_tokens_are_read_with_and_without_a_space() -> None:
    assert usage_of(answer('"stop"')) == (7, 12)
    assert usage_of(b'{"choices":[]}') == (0, 0)
    assert usage_of(b'{"usage":{"prompt_tokens":null}}') == (0, 0)


#: How servers tell usage: OpenAI and Ollama, llama-server, vLLM, and what else may stand there.
USAGES = (
    '"prompt_tokens":7,"completion_tokens":12,"total_tokens":19',
    '"completion_tokens":12,"prompt_tokens":7,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":3}',
    '"prompt_tokens":7,"total_tokens":19,"completion_tokens":12,"prompt_tokens_details":null',
    '"queue_time":0.03,"prompt_tokens":7,"prompt_time":0.1,"completion_tokens":12,"total_tokens":19',
    '"total_tokens":19,"completion_tokens_details":{"audio_tokens":9},"prompt_tokens":7,"completion_tokens":12',
    '"prompt_tokens":7,"prompt_tokens":99,"completion_tokens":12',
    '"completion_tokens":12,"cost":0.5,"prompt_tokens":7',
)


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("behind", ["", ',"timings":{"prompt_n":5}'])
def test_tokens_are_read_in_any_order(usage: str, blank: str, behind: str) -> None:
    spaced = usage.replace(":", f":{blank}").replace(",", f",{blank}")
    assert usage_of(f'{{"choices":[{{}}],"usage":{blank}{{{spaced}}}{behind}}}'.encode()) == (7, 12)


def test_a_number_without_end_is_read_to_its_bound_only() -> None:
    assert usage_of(b'{"usage":{"prompt_tokens":' + b"9" * 1_000_000 + b"}}")[0] < 10**15


NO_ANSWERS: dict[str, tuple[bytes, str, int]] = {
    "FastAPI's": (b'{"detail":"Not authenticated"}', "Not authenticated", 0),
    "FastAPI's list": (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required", 0),
    "an error in an array of several": (b'[{"a":1},{"error":{"code":400,"message":"boom"}}]', "boom", 400),
    "a code alone": (b'{"code":500}', "", 500),
    "a code of text": (b'{"code":"429","message":"slow down"}', "slow down", 429),
    "a status": (b'{"status":404,"error":"Not Found","path":"/v1"}', "Not Found", 404),
    "object error": (b'{"object":"error","message":"too long","type":"BadRequestError","code":400}', "too long", 400),
    "an error object": (b'{"error":{"message":"boom","code":503}}', "boom", 503),
    "an error far behind": (b'{"id":"' + b"x" * 100 + b'","error":{"message":"boom"}}', "boom", 0),
    "an error beside no choices": (b'{"error":{"message":"boom"},"choices":[]}', "boom", 0),
    "an error in an array": (b'[{"error":{"code":400,"message":"boom"}}]', "boom", 400),
    "msg": (b'{"success":false,"msg":"no quota","data":null}', "no quota", 0),
    "a message alone": (b'{"message":"no Route matched with those values"}', "no Route matched with those values", 0),
    "MiniMax's": (b'{"choices":null,"base_resp":{"status_code":1008,"status_msg":"no balance"}}', "no balance", 0),
    "choices that the request had": (
        b'{"detail":[{"msg":"wrong","input":{"choices":[{"a":1}],"data":[{"a":1}]}}]}', "wrong", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", ["choices", "data"])
@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_an_error_inside_a_200_has_its_own_words(name: str, verified: bool, part: str) -> None:
    body, words, status = NO_ANSWERS[name]
    fault = fault_of(body, verified, BAD, part=part)
    assert isinstance(fault, dict)
    assert fault.get("message", "") == words
    assert int(fault.get("code") or fault.get("status") or 0) == status


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"choices":[]}', b'{"choices":null}', b'{"id":"x"}', b'{"choices":{"a":1}}', b'{"choices":[null]}'],
)
def test_an_answer_without_choices_is_none(body: bytes) -> None:
    for verified in (True, False):
        assert fault_of(body, verified) == "sent an answer without choices"
        assert fault_of(body.replace(b"choices", b"data"), verified, part="data") == "sent an answer without data"


GOOD = (
    b'{"choices":[{"message":{"content":"a"}}]}',
    b'{"id":"x","model":"m","choices": [ {"text":"a"}]}',
    b'\xef\xbb\xbf {\n  "id": "x",\n  "choices": [\n    {\n "text": "\\ud800"}]}\n',
    b'{"error":null,"choices":[{"text":"a"}]}',
    b'{"error":{"message":"later"},"choices":[{"text":"a"}]}',
    b'{"a":{"choices":[]},"choices":[{"text":"a"}]}',
    b'{"a":"' + b"x" * 5000 + b'","choices":[{"text":"a"}]}',
    b'{"detail":"fine","choices":[{"text":"a"}]}',
    b'{"n":1e400,"choices":[{"text":"\xff"}]}',
)


@pytest.mark.parametrize("body", GOOD)
def test_answers_are_taken_as_they_are(body: bytes) -> None:
    for verified in (True, False):
        assert fault_of(body, verified, BAD) is None
        assert fault_of(body.replace(b"choices", b"data"), verified, part="data") is None


@pytest.mark.parametrize("body", [b"<html>", b"", b"hello", b'"x"', b"7", b'{"choices":[{"text":"a"}'])
def test_what_is_no_object_or_cut(body: bytes) -> None:
    fault = fault_of(body, False)
    assert isinstance(fault, str) and "JSON" in fault


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("behind", [b"", b',"usage":{"prompt_tokens":1},"x":"' + b"y" * 100 + b'"'])
def test_an_error_beside_choices_is_one_where_they_hold_nothing(verified: bool, behind: bytes) -> None:
    for content, is_error in ((b"", True), (b"hi", False), (b"x" * 5000, False)):
        choices = b'"choices":[{"index":0,"message":{"role":"assistant","content":"%b"}}]' % content
        for body in (
            b'{"error":{"message":"boom"},' + choices + behind + b"}",
            b"{" + choices + behind + b',"error":{"message":"boom"}}',
        ):
            fault = fault_of(body, verified)
            assert (isinstance(fault, dict) and fault["message"] == "boom") if is_error else fault is None, body


def test_an_error_that_is_null_is_none() -> None:
    for error in (b"null", b"{}", b'""', b"0"):
        choices = b'"choices":[{"message":{"content":""}}]'
        assert fault_of(b'{"error":' + error + b"," + choices + b"}", True) is None
