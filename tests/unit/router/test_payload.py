"""What goes upstream of a client's body: the same request, whether its bytes were spliced or written anew."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.shape import LoraChoice, Shape
from genset.router.dialects.openai.api import Api
from genset.router.exchange.payload import body_for, head_for
from genset.router.providers import PROVIDERS
from testbed.router_config import made

ASKED = {"model": "small", "messages": [{"role": "user", "content": "größe}"}]}


def backend(
    model: str = "small", provider: str = "openAICompatible", base_url: str = "http://127.0.0.1:9/v1"
) -> Backend:
    target = UrlTarget(base_url=base_url, provider=provider)
    config = made(BackendConfig, name="house", kind="local", model=model, url=target)
    return Backend(config, Credentials({}, "nowhere"), lambda: 0.5)


@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("provider", ["openAICompatible", "mistral"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": True},
        {"stream": False},
        {"stream": None},
        {"stream_options": None},
        {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
    ],
)
@pytest.mark.parametrize("tail", [b"", b"\r\n "])
def test_every_way_asks_the_same(model: str, provider: str, stream: bool, more: dict[str, Any], tail: bytes) -> None:
    request = {**ASKED, **more}
    made = backend(model, provider)
    sent = orjson.loads(body_for(made.target, Api.CHAT, request, orjson.dumps(request) + tail, stream))
    wanted = {**request, "model": model}
    if stream:
        wanted["stream"] = True
        wanted.pop("stream_options", None)
        if made.target.provider.usage_option:
            wanted["stream_options"] = {**(request.get("stream_options") or {}), "include_usage": True}
    assert sent == wanted


@pytest.mark.parametrize(
    ("model", "loaded", "sent"),
    [
        ("invoices", {"letters": 0, "invoices": 1}, {0: 0.0, 1: 1.0}),
        ("letters", {"letters": 0, "invoices": 1, "/2": 2}, {0: 1.0, 1: 0.0, 2: 0.0}),
        ("small", {"letters": 0, "invoices": 1}, {0: 0.0, 1: 0.0}),
        ("small", {}, {}),
        ("small", None, {0: 0.0, 1: 0.0}),
    ],
)
def test_each_request_says_the_scale_of_every_adapter(
    model: str, loaded: dict[str, int] | None, sent: dict[int, float]
) -> None:
    request = {**ASKED, "model": model, "lora": [{"id": 0, "scale": 5.0}]}
    made, dropped = Shape(PROVIDERS["openAICompatible"], None, LoraChoice(model, ("invoices", "letters"))).of(
        request, loaded
    )
    assert {one["id"]: one["scale"] for one in made["lora"]} == sent and dropped == ("lora",)
    assert request["lora"] == [{"id": 0, "scale": 5.0}]


def test_a_body_that_lacks_only_the_stream_keeps_its_bytes() -> None:
    raw = b'{ "model" : "small", "seed": 1e3 }\n'
    sent = body_for(backend().target, Api.CHAT, orjson.loads(raw), raw, True)
    assert sent == b'{ "model" : "small", "seed": 1e3 ,"stream":true,"stream_options":{"include_usage":true}}'
    assert body_for(backend().target, Api.CHAT, orjson.loads(raw), raw, False) is raw


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://127.0.0.1:9/v1", b"127.0.0.1:9"),
        ("http://llm.example/v1", b"llm.example"),
        ("https://llm.example:443/v1", b"llm.example"),
        ("https://llm.example:80/v1", b"llm.example:80"),
        ("http://[::1]/v1", b"[::1]"),
        ("http://[::1]:8080/v1", b"[::1]:8080"),
    ],
)
def test_the_host_is_named_as_in_the_url_without_a_scheme_s_own_port(base_url: str, host: bytes) -> None:
    made = backend(base_url=base_url)
    head = head_for(made.target, made.endpoints[0], Api.CHAT, {}, b"1", 0, False)
    assert b"\r\nhost: %b\r\n" % host in head
