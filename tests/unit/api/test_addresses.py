"""Which URLs name a server: what the router will dial can be dialled, and no more is refused than that."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from genset.addresses import is_proxy_url, is_url
from genset.router.config import BackendConfig, UrlTarget

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


def test_a_proxy_has_a_port_and_no_path() -> None:
    assert is_proxy_url("http://proxy:3128") and is_proxy_url("http://[::1]:3128/")
    for url in ("http://proxy", "https://proxy:3128", "http://proxy:3128/x", "http://proxy:99999", "http://::1:3128"):
        assert not is_proxy_url(url), url


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({"base_url": "http://me:hunter2@h:70000/v1"}, "url.baseUrl"),
        ({"base_url": "http://h/v1", "proxy_url": "http://me:hunter2@h:1"}, "url.proxyUrl"),
    ],
)
def test_the_router_names_backend_field_and_remedy(target: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BackendConfig(name="frontier", kind="cloud", model="m", url=UrlTarget(provider="openAICompatible", **target))
    (mistake,) = refused.value.errors()
    assert f"backend frontier: {field} names no server: write http" in mistake["msg"]
    assert "PORT is 1 to 65535" in mistake["msg"] and "hunter2" not in mistake["msg"]
