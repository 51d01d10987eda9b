"""Which row of the table a response is, and what the rows say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.backends.outcomes import ROWS, Again, Mark, Next, Outcome
from genset.router.dialects.upstream_error import parse_retry_after
from genset.router.machine.classify import classify, classify_in_band

TABLE: list[tuple[Outcome, Again, Next, Mark, int, bool]] = [
    (Outcome.UNREACHABLE, Again.SIBLING, Next.YES, Mark.ENDPOINT, 502, False),
    (Outcome.EXHAUSTED, Again.ONCE, Next.YES, Mark.NONE, 429, False),
    (Outcome.INTERRUPTED, Again.SIBLING, Next.YES, Mark.ENDPOINT, 502, False),
    (Outcome.TOO_LATE, Again.NO, Next.YES, Mark.BACKEND, 504, False),
    (Outcome.OUT_OF_TIME, Again.NO, Next.NO, Mark.NONE, 504, False),
    (Outcome.SERVER_ERROR, Again.ONCE, Next.YES, Mark.BACKEND, 502, False),
    (Outcome.UNAVAILABLE, Again.SIBLING_ELSE_ONCE, Next.YES, Mark.ENDPOINT, 503, False),
    (Outcome.OVERLOADED, Again.SIBLING, Next.YES, Mark.ENDPOINT, 503, False),
    (Outcome.RATE_LIMITED_SHORT, Again.AFTER_WAIT, Next.YES, Mark.COOL, 429, False),
    (Outcome.RATE_LIMITED, Again.NO, Next.YES, Mark.COOL, 429, False),
    (Outcome.AUTH, Again.NO, Next.YES, Mark.AUTH, 502, False),
    (Outcome.MODEL_NOT_FOUND, Again.NO, Next.YES, Mark.MODEL, 502, False),
    (Outcome.CONTEXT_EXCEEDED, Again.NO, Next.LARGER, Mark.NONE, 400, True),
    (Outcome.CONTENT_FILTER, Again.NO, Next.NO, Mark.NONE, 400, True),
    (Outcome.REJECTED, Again.NO, Next.NO, Mark.NONE, 400, True),
    (Outcome.UNSUPPORTED, Again.NO, Next.YES, Mark.NONE, 501, True),
    (Outcome.DENIED, Again.NO, Next.YES, Mark.NONE, 403, True),
    (Outcome.CONFLICT, Again.ONCE, Next.YES, Mark.NONE, 409, True),
    (Outcome.LOOP, Again.NO, Next.YES, Mark.NONE, 508, False),
    (Outcome.INVALID_RESPONSE, Again.NO, Next.YES, Mark.BACKEND, 502, False),
]


def test_the_table_is_whole() -> None:
    assert {row[0] for row in TABLE} == set(Outcome) == set(ROWS)


@pytest.mark.parametrize(("outcome", "again", "next_", "mark", "status", "original"), TABLE, ids=[r[0] for r in TABLE])
def test_rows(outcome: Outcome, again: Again, next_: Next, mark: Mark, status: int, original: bool) -> None:
    rule = ROWS[outcome]
    assert (rule.again, rule.next, rule.mark, rule.kind.status, rule.original) == (again, next_, mark, status, original)
    own = outcome in (Outcome.EXHAUSTED, Outcome.OUT_OF_TIME, Outcome.LOOP)
    assert rule.kind.word.startswith("router_" if own else "provider_")


def err(code: Any = None, type_: str = "", message: str = "") -> bytes:
    return json.dumps({"error": {"code": code, "type": type_, "message": message}}).encode()


RESPONSES: list[tuple[int, dict[bytes, bytes], bytes, Outcome]] = [
    (500, {}, b"", Outcome.SERVER_ERROR),
    (500, {}, err(500, "server_error", "the request exceeds the available context size"), Outcome.CONTEXT_EXCEEDED),
    (502, {}, b"<html>", Outcome.SERVER_ERROR),
    (504, {}, b"", Outcome.SERVER_ERROR),
    (529, {}, b"", Outcome.OVERLOADED),
    (529, {b"retry-after": b"2"}, b"", Outcome.RATE_LIMITED_SHORT),
    (500, {b"retry-after": b"30"}, b"", Outcome.RATE_LIMITED),
    (501, {}, err(501, "not_supported_error", "no --embeddings"), Outcome.UNSUPPORTED),
    (503, {}, b"", Outcome.UNAVAILABLE),
    (503, {b"retry-after": b"2"}, b"", Outcome.RATE_LIMITED_SHORT),
    (503, {b"retry-after": b"30"}, b"", Outcome.RATE_LIMITED),
    (429, {b"retry-after": b"3"}, b"", Outcome.RATE_LIMITED_SHORT),
    (429, {b"retry-after-ms": b"1500"}, b"", Outcome.RATE_LIMITED_SHORT),
    (429, {b"retry-after": b"4"}, b"", Outcome.RATE_LIMITED),
    (429, {b"retry-after": b"soon"}, b"", Outcome.RATE_LIMITED),
    (429, {}, b"", Outcome.RATE_LIMITED),
    (429, {b"retry-after": b"1"}, err("insufficient_quota", "insufficient_quota"), Outcome.AUTH),
    (401, {}, b"", Outcome.AUTH),
    (402, {}, b"", Outcome.AUTH),
    (403, {}, b"", Outcome.DENIED),
    (403, {}, err(403, "", "Your input was flagged"), Outcome.CONTENT_FILTER),
    (404, {}, err("model_not_found", "", "The model `x` does not exist"), Outcome.MODEL_NOT_FOUND),
    (404, {}, b'{"detail":"Not Found"}', Outcome.UNSUPPORTED),
    (405, {}, b"", Outcome.UNSUPPORTED),
    (408, {}, b"", Outcome.TOO_LATE),
    (400, {}, err("context_length_exceeded"), Outcome.CONTEXT_EXCEEDED),
    (400, {}, err(400, "exceed_context_size_error"), Outcome.CONTEXT_EXCEEDED),
    (
        400,
        {},
        err(400, "BadRequestError", "This model's maximum context length is 8192 tokens"),
        Outcome.CONTEXT_EXCEEDED,
    ),
    (413, {}, b'{"message":"Prompt is too long"}', Outcome.CONTEXT_EXCEEDED),
    (400, {}, err("content_filter"), Outcome.CONTENT_FILTER),
    (400, {}, err("invalid_value", "", "bad temperature"), Outcome.REJECTED),
    (400, {}, b"\xff\xfe", Outcome.REJECTED),
    (400, {}, b"[]", Outcome.REJECTED),
    (413, {}, b"", Outcome.CONTEXT_EXCEEDED),
    (422, {}, b"{}", Outcome.REJECTED),
    (418, {}, b"", Outcome.REJECTED),
    (302, {b"location": b"http://x"}, b"", Outcome.INVALID_RESPONSE),
]


@pytest.mark.parametrize(("status", "headers", "body", "outcome"), RESPONSES)
def test_classify(status: int, headers: dict[bytes, bytes], body: bytes, outcome: Outcome) -> None:
    failure = classify(status, headers, body, "m", wall=0.0, may_wait=3.0)
    assert failure.outcome is outcome and failure.status == status and failure.body == body


def test_a_wait_that_the_deadline_forbids_is_none() -> None:
    failure = classify(429, {b"retry-after": b"2"}, b"", "m", wall=0.0, may_wait=1.0)
    assert failure.outcome is Outcome.RATE_LIMITED and failure.retry_after == 2.0


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"message": "crashed"}, Outcome.INVALID_RESPONSE),
        ({"code": 502, "message": "no"}, Outcome.INVALID_RESPONSE),
        ({"code": 429, "message": "slow down"}, Outcome.RATE_LIMITED),
        ({"code": 401}, Outcome.AUTH),
        ({"code": 400, "message": "maximum context length"}, Outcome.CONTEXT_EXCEEDED),
        ({"message": "maximum context length"}, Outcome.CONTEXT_EXCEEDED),
        ({"code": "content_filter"}, Outcome.CONTENT_FILTER),
        ({"code": 200}, Outcome.INVALID_RESPONSE),
    ],
)
def test_errors_inside_a_200(found: dict[str, Any], outcome: Outcome) -> None:
    assert classify_in_band(found, "x").outcome is outcome


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"Thu, 01 Jan 1970 00:01:00 GMT"}, 20.0),
        ({b"retry-after": b"tomorrow"}, None),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after-ms": b"x", b"retry-after": b"1"}, 1.0),
    ],
)
def test_retry_after(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert parse_retry_after(headers, wall=40.0) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such picture"}}', "no such picture"),
        (b'{"error": "bare"}', "bare"),
        (b'{"detail": "Not authenticated"}', "Not authenticated"),
        (b"<html>busy</html>", "busy"),
        (b'{"error": {"message": ["of another", "form"]}}', "of another; form"),
        (b'{"error": {"message": "' + b"x" * 5000 + b'"}}', "x" * 512),
        (b"", ""),
    ],
)
def test_the_upstreams_own_words_are_kept(body: bytes, words: str) -> None:
    failure = classify(500, {}, body, "m", wall=0.0, may_wait=0.0)
    assert failure.words == words
