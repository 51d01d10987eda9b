"""Targets of request lines, and Host headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.http.target import is_host, path_of


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/models", b"/v1/models"),
        (b"/v1/models?limit=20&x=%zz", b"/v1/models"),
        (b"/v1/models#top", b"/v1/models"),
        (b"/v1/models/org%2Fname", b"/v1/models/org/name"),
        (b"/v1/models/org%2fname%3Alatest", b"/v1/models/org/name:latest"),
        (b"/v1/models/a%3Fb%23c", b"/v1/models/a?b#c"),
        (b"/v1/models/%C3%A4", "/v1/models/ä".encode()),
        (b"/v1/%63hat/completions", b"/v1/chat/completions"),
        (b"/v1/models/a%252Fb", b"/v1/models/a%2Fb"),
        (b"/v1/x/%2e%2e/models", b"/v1/x/../models"),
        (b"http://host/v1/models", b"/v1/models"),
        (b"HTTPS://user@host:8080/v1/models?x", b"/v1/models"),
        (b"http://host", b"/"),
        (b"http://host?x=/v1/models", b"/"),
        (b"*", b"*"),
        (b"", None),
        (b"host:443", None),
        (b"http:///v1/models", None),
        (b"ftp://host/v1/models", None),
        (b"/v1/models/%", None),
        (b"/v1/models/%2", None),
        (b"/v1/models/%zz", None),
        (b"/v1/models/%00", None),
        (b"/v1/models/a%0d%0ax:y", None),
    ],
)
def test_the_path_of_a_target(target: bytes, path: bytes | None) -> None:
    assert path_of(target) == path


@given(st.binary(max_size=40))
def test_no_control_character_comes_out_of_an_escape(data: bytes) -> None:
    path = path_of(b"/" + b"".join(b"%%%02X" % byte for byte in data))
    assert path is None if any(byte < 0x20 or byte == 0x7F for byte in data) else path == b"/" + data


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (b"", True), (b"x", True), (b"api.example.com:8443", True), (b"[::1]:80", True), (b"10.0.0.1", True),
        (b"a_b.svc", True), (b"x:", True), (b"a b", False), (b"a/b", False), (b"a@b", False), (b"x:80:80", False),
        (b"x:y", False), (b"::1", False), (b"a,b", True), (b"http://x", False), (b"a\x00", False), (b"\xff", False),
    ],
)  # fmt: skip
def test_the_value_of_a_host_header(value: bytes, valid: bool) -> None:
    assert is_host(value) is valid
