"""A policy's one way out, from the policy to the wire: clouds are asked by its proxy, which alone knows their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UserSecret
from testbed.router import RunningRouter
from testbed.upstream.client import chat
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status


def policy(proxy: ConnectProxy, *urls: str) -> RoutePolicy:
    backends = [
        {"name": f"c{n}", "cloud": {"provider": "openAICompatible", "model": "large", "baseURL": url}}
        for n, url in enumerate(urls)
    ]
    egress = {"proxy": {"url": proxy.url, "credentialsSecretRef": {"name": "out", "key": "login"}}}
    routes = [{"name": "all", "tiers": [{"backends": [{"name": one["name"]}]} for one in backends]}]
    metadata = {"name": "p", "namespace": "law", "uid": "1"}
    spec = {"backends": backends, "routes": routes, "egress": egress}
    return RoutePolicy.model_validate({"metadata": metadata, "spec": spec})


def files(resource: RoutePolicy, login: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns what the operator mounts: the configuration, and the credentials."""
    secrets = {"out": UserSecret({"login": login}, EVERY_HOST, "Opaque")}
    context = RoutePolicyContext(Settings(image="i"), secrets=secrets, from_files=True)
    content: dict[str, Any] = json.loads(router_config.build(resource, context).canonical_json())
    return content, router_config.credential_files(resource, context)


async def test_clouds_are_asked_by_the_proxy_and_fail_over_behind_it(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(503)) as ill, ScriptedUpstream() as well:
        leads = {"ill.cloud.test": ("127.0.0.1", ill.port), "well.cloud.test": ("127.0.0.1", well.port)}
        async with ConnectProxy(credentials="user:pw", leads=leads) as proxy:
            resource = policy(proxy, f"http://ill.cloud.test:{ill.port}/v1", f"http://well.cloud.test:{well.port}/v1")
            async with RunningRouter(tmp_path, *files(resource, b"user:pw")) as router:
                answer = await router.ask(chat())
                again = await router.ask(chat(stream=True))
        assert answer.complete and again.complete and ill.requests
        assert {tunnel.host for tunnel in proxy.tunnels} == {"ill.cloud.test", "well.cloud.test"}
        assert ill.accepted + well.accepted == len(proxy.tunnels), "nobody was dialled without the proxy"


@pytest.mark.parametrize("login", [b"user:wrong", b"other:pw"])
async def test_a_proxy_that_lets_nobody_through_is_not_gone_around(tmp_path: Path, login: bytes) -> None:
    async with ScriptedUpstream() as far, ConnectProxy(credentials="user:pw") as proxy:
        resource = policy(proxy, f"http://far.cloud.test:{far.port}/v1")
        async with RunningRouter(tmp_path, *files(resource, login)) as router:
            answer = await router.ask(chat())
    assert answer.status >= 500 and not far.accepted and proxy.tunnels
