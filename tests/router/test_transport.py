"""The way to a cloud: TLS with a private CA, an egress proxy, keys; and what of a request may leave."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, OnAccept, Status
from testbed.upstream.tls import Authority


async def test_a_burst_that_a_short_queue_of_connections_cannot_hold(tmp_path: Path) -> None:
    """The kernel drops what does not fit, the router's kernel sends it again after a second: late, and nothing else."""
    async with ScriptedUpstream(backlog=5, accepts_after=0.3) as local, ScriptedUpstream() as far:
        content = config(house(local.base_url), cloud(far.base_url))
        async with RunningRouter(tmp_path, content) as router:
            answers = await asyncio.gather(*(router.ask(chat()) for _ in range(20)))
            state = await router.state("house")
    for answer in answers:
        assert answer.complete and fault(answer.text, 10) is None, answer
        assert answer.headers["x-genset-attempts"] == "house:ok", answer.headers
    assert state["breaker"]["state"] == "closed"
    assert not far.requests


async def test_tls_with_a_private_ca(tmp_path: Path) -> None:
    authority = Authority()
    async with ScriptedUpstream(tls=authority) as secure:
        backend = cloud(secure.base_url, url={"keyFile": "cloud.key", "caFile": "cloud.ca"})
        files = {"cloud.key": b"sk-cloud\n", "cloud.ca": authority.ca_pem}
        async with RunningRouter(tmp_path, config(backend), files) as router:
            for stream in (True, False, True):
                answer = await router.ask(chat(stream=stream), headers={"authorization": "Bearer sk-client"})
                assert answer.complete and fault(answer.text, 10) is None, answer
        assert {r.headers["authorization"] for r in secure.requests} == {"Bearer sk-cloud"}
        assert secure.accepted == 1, "the TLS connection was not kept alive"


async def test_tls_sessions_are_resumed(tmp_path: Path) -> None:
    authority = Authority()
    async with ScriptedUpstream(tls=authority) as secure:
        backend = cloud(secure.base_url, url={"caFile": "cloud.ca"})
        async with RunningRouter(tmp_path, config(backend), {"cloud.ca": authority.ca_pem}) as router:
            await router.ask(chat())
            table = router.table
            assert table is not None
            endpoint = table.backends["cloud"].endpoints[0]
            endpoint.idle.pop().drop()
            await router.ask(chat())
            assert endpoint.idle[0].transport.get_extra_info("ssl_object").session_reused


@pytest.mark.parametrize("fault_kind", ["unknown CA", "wrong name", "no TLS", "silent"])
async def test_failing_tls_goes_to_the_next(tmp_path: Path, fault_kind: str) -> None:
    trusted, other = Authority(), Authority()
    options: dict[str, Any] = {
        "unknown CA": {"tls": other},
        "wrong name": {"tls": trusted, "names": ("elsewhere.test",)},
        "no TLS": {},
        "silent": {"tls": trusted, "every_accept": OnAccept("silent")},
    }[fault_kind]
    async with ScriptedUpstream(**options) as secure, ScriptedUpstream() as well:
        address = secure.base_url.replace("http://", "https://")
        backends = [cloud(address, url={"caFile": "ca"}), house(well.base_url)]
        async with RunningRouter(tmp_path, config(*backends), {"ca": trusted.ca_pem}) as router:
            answer = await router.ask(chat(), within=10)
        assert answer.complete and answer.headers["x-genset-backend"] == "house"
        assert answer.headers["x-genset-attempts"].startswith("cloud:unreachable:")
        assert not secure.requests


@pytest.mark.parametrize("secure_upstream", [True, False], ids=["tls", "plain"])
async def test_through_an_egress_proxy(tmp_path: Path, secure_upstream: bool) -> None:
    authority = Authority()
    async with ScriptedUpstream(tls=authority if secure_upstream else None, names=("cloud.test",)) as upstream:
        leads = {"cloud.test": ("127.0.0.1", upstream.port)}
        async with ConnectProxy(credentials="user:secret", leads=leads) as proxy:
            scheme = "https" if secure_upstream else "http"
            target = {
                "proxyUrl": proxy.url,
                "proxyCredentialsFile": "proxy",
                **({"caFile": "ca"} if secure_upstream else {}),
            }
            backend = cloud(f"{scheme}://cloud.test:{upstream.port}/v1", url=target)
            files = {"ca": authority.ca_pem, "proxy": b"user:secret"}
            async with RunningRouter(tmp_path, config(backend), files) as router:
                answer = await router.ask(chat())
                again = await router.ask(chat(stream=False))
            assert answer.complete and again.complete, (answer, again)
            assert len(proxy.tunnels) == 1, "the tunnel was not kept alive"
            sent = proxy.tunnels[0].headers["proxy-authorization"]
            assert sent == "Basic " + base64.b64encode(b"user:secret").decode()
            assert "proxy-authorization" not in upstream.requests[0].headers


@pytest.mark.parametrize("options", [{"refuse": 403}, {"credentials": "other:words"}, {"hang": True}], ids=str)
async def test_failing_proxy_goes_to_the_next(tmp_path: Path, options: dict[str, Any]) -> None:
    async with ScriptedUpstream() as upstream, ScriptedUpstream() as well, ConnectProxy(**options) as proxy:
        target = {"proxyUrl": proxy.url, "proxyCredentialsFile": "proxy"}
        backends = [cloud(upstream.base_url, url=target), house(well.base_url)]
        async with RunningRouter(tmp_path, config(*backends), {"proxy": b"user:secret"}) as router:
            answer = await router.ask(chat(), within=10)
        assert answer.complete and answer.headers["x-genset-backend"] == "house"
        assert "secret" not in str(answer.headers)


REDIRECTS = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("code", REDIRECTS)
async def test_a_redirect_is_not_followed(tmp_path: Path, code: int) -> None:
    """Neither with a client's request nor with the router's own: key and prompt stay where the policy sends them."""
    async with ScriptedUpstream() as elsewhere:
        path = {"chat": "/v1/chat/completions", "list": "/v1/models"}
        to = {name: {"location": elsewhere.base_url.removesuffix("/v1") + where} for name, where in path.items()}
        steps_aside = Status(code, "moved", to["chat"])
        async with ScriptedUpstream(default=steps_aside, health=Status(code, "moved", to["list"])) as far:
            backend = cloud(far.base_url, url={"keyFile": "key", "healthPath": "/v1/models"})
            async with RunningRouter(tmp_path, config(backend), {"key": b"sk-secret-0"}) as router:
                answers = [await router.ask(chat(stream=stream)) for stream in (True, True, False)]
                await until(lambda: bool(far.probes), what="a request of the router's own")
            assert [answer.complete for answer in answers] == [False] * 3
            assert all("location" not in answer.headers for answer in answers)
            assert far.requests and far.requests[0].headers["authorization"] == "Bearer sk-secret-0"
        assert elsewhere.accepted == 0, "somebody went where nobody had sent him"


async def test_what_of_a_request_goes_upstream(tmp_path: Path) -> None:
    headers = {
        "authorization": "Bearer sk-client",
        "x-api-key": "sk-client",
        "cookie": "session=1",
        "x-conversation-id": "c-1",
        "connection": "x-hop",
        "x-hop": "1",
        "te": "trailers",
        "x-forwarded-for": "10.1.2.3",
        "accept-encoding": "gzip",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-request-id": "r-1",
    }
    async with ScriptedUpstream() as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            answer = await router.ask(chat(temperature=0.5), headers=headers)
        received = local.requests[0]
        assert set(received.headers) == {
            "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "traceparent",
            "x-request-id", "x-genset-hops", "x-genset-deadline",
        }  # fmt: skip
        assert received.headers["accept-encoding"] == "identity"
        assert received.headers["traceparent"] == headers["traceparent"]
        assert received.headers["x-request-id"] == answer.headers["x-request-id"] == "r-1"
        assert received.json["model"] == "small" and received.json["temperature"] == 0.5
        assert received.path == "/v1/chat/completions"


async def test_what_of_an_answer_comes_back(tmp_path: Path) -> None:
    headers = {"openai-processing-ms": "12", "set-cookie": "a=b", "x-genset-backend": "liar", "server": "x"}
    async with ScriptedUpstream(default=Answer(headers=headers)) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            answer = await router.ask(chat())
        assert answer.headers["openai-processing-ms"] == "12"
        assert answer.headers["x-genset-backend"] == "house"
        assert "set-cookie" not in answer.headers and "server" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "seen"), [({"include_usage": True}, True), ({"include_usage": False}, False), (None, False)]
)
async def test_usage_is_always_asked_for_and_hidden_from_who_did_not(tmp_path: Path, asked: Any, seen: bool) -> None:
    async with ScriptedUpstream() as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            body = chat()
            body["stream_options"] = asked
            answer = await router.ask(body)
            text = (await router.admin("/metrics")).body.decode()
        assert local.requests[0].json["stream_options"]["include_usage"] is True
        assert answer.complete and (answer.usage is not None) is seen
        assert 'genset_router_tokens_total{backend="house",direction="output"} 10.0' in text


@pytest.mark.parametrize(
    ("provider", "given", "sent"),
    [
        ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("openai", {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        ("mistral", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("deepSeek", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("openRouter", {"max_tokens": 5}, {"max_tokens": 5}),
    ],
)
async def test_providers_get_the_fields_that_they_know(
    tmp_path: Path, provider: str, given: dict[str, int], sent: dict[str, int]
) -> None:
    async with ScriptedUpstream() as upstream:
        async with RunningRouter(tmp_path, config(cloud(upstream.base_url, provider=provider))) as router:
            body = chat(**given)
            answer = await router.ask(body)
        assert answer.complete
        received = upstream.requests[0].json
        assert {key: value for key, value in received.items() if key.startswith("max_")} == sent
        assert ("stream_options" in received) is (provider != "mistral")


async def test_completions_and_embeddings(tmp_path: Path) -> None:
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.25]}], "usage": {"prompt_tokens": 3}}

    def choose(received: Any) -> Any:
        return steps.Status(200, vectors) if received.path.endswith("/embeddings") else None

    async with ScriptedUpstream(choose=choose) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
            completion = await router.ask({"model": "counting", "prompt": "count", "stream": True}, "/v1/completions")
            embedding = await router.ask({"model": "counting", "input": ["a", "b"]}, "/v1/embeddings?x=1")
        assert completion.complete and fault(completion.text, 10) is None, completion
        assert embedding.status == 200 and embedding.json == vectors
        assert [r.path for r in local.requests] == ["/v1/completions", "/v1/embeddings"]
