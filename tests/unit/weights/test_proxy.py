"""NO_PROXY as clusters write it."""

from __future__ import annotations

import pytest

from genset.weights.failure import WeightsFailure
from genset.weights.proxy import bypasses, proxy_for

CLUSTER = "10.96.0.0/12,fd00::/8,.svc,cluster.local,192.168.1.7,[::1],hub.corp:8443,*.wild.corp, localhost"


@pytest.mark.parametrize(
    ("host", "port", "direct"),
    [
        ("10.100.1.2", None, True),
        ("10.1.1.2", None, False),
        ("fd12::1", 443, True),
        ("fe80::1", 443, False),
        ("store.models.svc", 80, True),
        ("SVC", 80, True),
        ("svc.example.com", 80, False),
        ("files.models.svc.cluster.local.", None, True),
        ("notcluster.local", None, False),
        ("192.168.1.7", 80, True),
        ("192.168.1.70", 80, False),
        ("::1", 80, True),
        ("hub.corp", 8443, True),
        ("hub.corp", 443, False),
        ("a.wild.corp", None, True),
        ("localhost", 1, True),
        ("huggingface.co", 443, False),
        ("", None, False),
    ],
)
def test_who_is_reached_directly(host: str, port: int | None, direct: bool) -> None:
    assert bypasses(host, port, CLUSTER) is direct
    assert bypasses(host, port, "*") is True
    assert bypasses(host, port, "") is False


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://h/x", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://h/x", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://h/x", None),
        ({"HTTP_PROXY": "p:3128"}, "http://h/x", "http://p:3128"),
        ({"ALL_PROXY": "https://p"}, "https://h/x", "https://p"),
        ({"https_proxy": "http://small", "HTTPS_PROXY": "http://BIG"}, "https://h/x", "http://small"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "h"}, "https://h/x", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3:8443/x", None),
    ],
)
def test_which_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    assert proxy_for(url, environ) == proxy


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(WeightsFailure, match="only http:// and https:// proxies") as failed:
        proxy_for("https://h", {"ALL_PROXY": "socks5://user:secret@p:1080"})
    assert "secret" not in failed.value.message
