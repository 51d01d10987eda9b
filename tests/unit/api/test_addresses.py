"""Which URLs name a server: what the router will dial can be dialled, and no more is refused than that."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from genset.addresses import host_and_port, is_proxy_url, is_url, origin_mistake
from genset.contracts.backend_config import UrlTarget
from genset.router.process.advice import describe
from tests.crds.base_urls import BASE_URLS, BETTER_BASE_URLS

GOOD = [
    "http://h", "https://api.example.com/v1", "http://10.0.0.7:1234", "http://h:1/", "http://h:65535/a/b",
    "http://my_host:80", "http://dns.root.:80", "http://[::]:1", "https://[2001:db8::1]/v1", "http://[::1]:8080/v1",
    "http://" + "a" * 63 + ".test",
]  # fmt: skip
BAD = [
    "", "h:80", "ftp://h", "http://", "http:///v1", "http://:80/", "http://h:0", "http://h:65536", "http://h:70000/v1",
    "http://h:abc/", "http://h:99999999999999999999", "http://h:-1", "http://h:80:80", "http://::1/v1",
    "http://2001:db8::1:443", "http://[::1", "http://[1:2]:80", "http://[::1%25eth0]:80", "http://[h]:80", "http://a..b",
    "http://-a", "http://me:secret@h:80", "http://h?x=1", "http://h#x", "http://b\u00fccher.test", "http://h:8\u0660",
    "http://h:80\n", "http://" + "a" * 64 + ".test",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_what_can_be_dialled(url: str) -> None:
    assert is_url(url)
    parts = urlsplit(url)
    assert parts.hostname and (parts.port is None or 1 <= parts.port <= 65535)


@pytest.mark.parametrize("url", BAD)
def test_what_can_not(url: str) -> None:
    assert not is_url(url)


@given(st.integers(0, 70_000))
def test_ports_are_those_of_tcp(port: int) -> None:
    assert is_url(f"http://h:{port}") is is_proxy_url(f"http://h:{port}/") is (1 <= port <= 65535)


@given(st.one_of(st.ip_addresses(v=6).map(str), st.text("0aF:", max_size=12)))
def test_brackets_hold_ipv6_addresses(text: str) -> None:
    try:
        IPv6Address(text)
        wanted = True
    except AddressValueError:
        wanted = False
    assert is_url(f"http://[{text}]:80/v1") is wanted


ORIGINS = {
    "https://a.example": "", "http://localhost:3000": "", "app://obsidian.md": "", "*": "", "http://[::1]:80": "http://[::1]",
    "https://a.example/": "https://a.example", "a.example": "https://a.example", "A.example:8443/x": "https://a.example:8443",
    " https://a.example ": "https://a.example", "https://a.example:443": "https://a.example", "HTTP://A": "http://a",
    "https://a?b": "https://a", "": "SCHEME", "https://": "SCHEME", "https://me:1@a": "SCHEME", "a b": "https://a",
    "https://a:70000": "SCHEME", "null\n": "https://null", "https://a.example:443/": "SCHEME", "\u00e4": "SCHEME",
}  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_that_no_browser_sends_is_told_the_better_one(origin: str) -> None:
    told = origin_mistake(origin)
    better = ORIGINS[origin]
    assert (
        told.endswith(f"write {better}")
        if better not in ("", "SCHEME")
        else told.startswith(f"write {better}" * bool(better))
    )
    assert bool(told) is bool(better) and "me:1" not in told


def test_a_proxy_has_a_port_and_no_path() -> None:
    assert is_proxy_url("http://proxy:3128") and is_proxy_url("http://[::1]:3128/")
    for url in ("http://proxy", "https://proxy:3128", "http://proxy:3128/x", "http://proxy:99999", "http://::1:3128"):
        assert not is_proxy_url(url), url


@pytest.mark.parametrize(
    ("target", "field", "words"),
    [
        ({"baseUrl": "http://me:hunter2@h:70000/v1"}, "baseUrl", "takes no user and no password: the key belongs"),
        ({"baseUrl": "http://h:70000/v1"}, "baseUrl", "names no server: write https://HOST:PORT/PATH"),
        (
            {"baseUrl": "http://h/v1", "proxyUrl": "http://me:hunter2@h:1"},
            "proxyUrl",
            "names no server: write http",
        ),
        *(
            ({"baseUrl": url}, "baseUrl", words)
            for url, words in {**BASE_URLS, **BETTER_BASE_URLS}.values()
            if "me@" not in url and "hunter2" not in url
        ),
    ],
)
def test_the_router_names_field_and_remedy(target: dict[str, str], field: str, words: str) -> None:
    document = {"provider": "openAICompatible", **target}
    with pytest.raises(ValidationError) as refused:
        UrlTarget.model_validate(document)
    told = describe(refused.value, UrlTarget, document)
    assert told.startswith(f"{field}: {words}") and "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)), (":80", ("", 80)), ("[::1]:0", ("::1", 0)), ("host:65535", ("host", 65535)),
        ("host:65536", None), ("host:-1", None), ("host:", None), ("80", None), ("", None), ("h:\u00b2", None),
    ],
)  # fmt: skip
def test_where_a_program_listens(text: str, address: tuple[str, int] | None) -> None:
    assert host_and_port(text) == address
