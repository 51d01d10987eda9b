"""Which of a backend's headers reach clients, and which of a client's reach backends."""

from __future__ import annotations

import pytest

from genset.router.dialects.plain_text import READ_BYTES, plain_text
from genset.router.exchange.answer_headers import PASSED_HEADER_BYTES, passed_response_headers

PASSED = {
    b"openai-processing-ms": b"12",
    b"openai-version": b"2020-10-01",
    b"openai-model": b"some-model-2026",
    b"x-ratelimit-remaining-requests": b"9",
    b"x-ratelimit-reset-tokens": b"1m2.5s",
    b"anthropic-ratelimit-input-tokens-limit": b"4000",
    b"ratelimit-limit": b"10",
    b"ratelimit": b'"default";r=50;t=30',
    b"warning": b'299 - "soon gone"',
    b"deprecation": b"@1688169599",
    b"sunset": b"Sat, 31 Dec 2026 23:59:59 GMT",
}
ENDS_HERE = (  # names on no list
    "x-accel-redirect x-accel-buffering x-accel-expires x-sendfile x-lighttpd-send-file x-reproxy-url location refresh "
    "cache-control expires age etag last-modified vary surrogate-control cdn-cache-control content-disposition link set-cookie "
    "set-cookie2 server via x-powered-by alt-svc strict-transport-security content-security-policy clear-site-data "
    "access-control-allow-origin access-control-allow-credentials access-control-expose-headers timing-allow-origin "
    "www-authenticate proxy-authenticate authentication-info connection keep-alive te trailer transfer-encoding upgrade "
    "content-length content-type content-encoding content-range content-location accept-ranges date retry-after "
    "retry-after-ms x-should-retry x-request-id request-id openai-organization openai-project x-genset-backend "
    "x-genset-tier x-genset-error x-genset-anything x-litellm-model-api-base x-frame-options x-content-type-options "
    "report-to nel service-worker-allowed sourcemap x-robots-tag cf-ray status x-ratelimit x-openai-processing-ms"
)


def test_what_clients_read_is_passed() -> None:
    passed = passed_response_headers(PASSED, b"r-1")
    assert passed == b"".join(b"%b: %b\r\n" % each for each in PASSED.items())


@pytest.mark.parametrize("name", ENDS_HERE.split())
def test_all_else_ends_here(name: str) -> None:
    passed = passed_response_headers({name.encode(): b"/internal/x y"}, b"r-1")
    assert passed == b"", "a header that is on no list reached a client"


@pytest.mark.parametrize(
    "value", [b"a" * 257, b"1\x00", b"1\r\nset-cookie: a=b", b"1\nx: y", b"\x7f", b"\xff", b"a\tb", "é".encode()]
)
def test_strange_values_are_left_out(value: bytes) -> None:
    assert passed_response_headers({b"openai-version": value, b"warning": b"w"}, b"r-1") == b"warning: w\r\n"


def test_what_is_passed_is_bounded() -> None:
    headers = {b"x-ratelimit-%d" % number: b"v" * 200 for number in range(1000)}
    passed = passed_response_headers({**headers, b"x-request-id": b"up-1"}, b"r-1")
    assert PASSED_HEADER_BYTES - 300 < len(passed) < PASSED_HEADER_BYTES + 100
    assert passed.endswith(b"\r\nx-genset-upstream-request-id: up-1\r\n")


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({b"x-request-id": b"req_1"}, b"req_1"),
        ({b"request-id": b"req_2"}, b"req_2"),
        ({b"apim-request-id": b"a-3", b"x-request-id": b"b-3"}, b"b-3"),
        ({b"x-request-id": b"r-1", b"cf-ray": b"8a-FRA"}, b"8a-FRA"),
        ({b"x-request-id": b"r-1"}, b""),
        ({b"x-request-id": b"a b"}, b""),
        ({b"x-request-id": b"x" * 129}, b""),
        ({b"x-request-id": b""}, b""),
        ({}, b""),
    ],
)
def test_what_the_upstream_calls_the_request(headers: dict[bytes, bytes], shown: bytes) -> None:
    line = b"x-genset-upstream-request-id: %b\r\n" % shown if shown else b""
    assert passed_response_headers(headers, b"r-1") == line


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"Forbidden\n", "Forbidden"),
        (b"<html><head><title>403 Forbidden</title></head>\r\n<body><h1>No&nbsp;way</h1></body></html>", "403 Forbidden No way"),
        (b"<script>alert('x')</script>Blocked<style>a{}</style> by <b>WAF</b>", "Blocked by WAF"),
        (b"<SCRIPT src=x>a</script >b", "b"),
        (b"<script>never closed", ""),
        (b"a < b and c > d", "a < b and c > d"),
        (b"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (b"<p>a &amp; b</p>", "a & b"),
        (b"<!DOCTYPE html><!-- c --><p>x", "x"),
        (b"a\x00\x1b[31mb\xff", "a [31mb\ufffd"),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_words_of_a_page(page: bytes, words: str) -> None:
    assert plain_text(page) == words


@pytest.mark.parametrize("piece", [b"<", b"<a", b"<script", b"<script>", b"</", b"&", b"&#", b"<!--", b"<a <"])
def test_a_hostile_page_is_read_in_no_time(piece: bytes) -> None:
    assert len(plain_text(piece * (10_000_000 // len(piece)))) <= 2 * READ_BYTES
