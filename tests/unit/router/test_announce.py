"""What a router says of itself when it has begun."""

from __future__ import annotations

from genset import __version__
from genset.contracts.router_config import RouterConfig
from genset.router.process.announce import introduction, taken
from genset.router.process.options import ServerOptions
from testbed.router import cloud, config, house, pods

OPTIONS = ServerOptions(("0.0.0.0", 8080), ("127.0.0.1", 9090), environment={"HOSTNAME": "desk"})


def test_everything_that_a_person_needs() -> None:
    content = config(
        house("http://10.0.0.7:1234/v1", contextTokens=8192),
        cloud("https://gateway.corp/v1", url={"keyFile": "key"}),
        pods("house.models.svc", 8000, "pods"),
        tiers=[["house", "pods"], ["cloud"]],
        models=["assistant", "team-*"],
        generation=7,
    )
    content["cors"] = {"allowedOrigins": ["https://chat.example.org"]}
    content["log"] = {"required": True}
    told = introduction(OPTIONS, RouterConfig.model_validate(content), 8080, 9090)
    assert told == [
        f"genset router {__version__} serves RoutePolicy models/assistant, generation 7",
        "  base URL for clients: http://127.0.0.1:8080/v1 (every address of this host, desk)",
        "  admin: http://127.0.0.1:9090/-/state, /-/ready, /metrics",
        "  route route: assistant, team-* -> house | pods -> cloud",
        "  backend house (house): model small at http://10.0.0.7:1234/v1, 8192 tokens of context",
        "  backend cloud (cloud, openAICompatible): model large at https://gateway.corp/v1, context size unknown, with a key",
        "  backend pods (house): model small at http://house.models.svc:8000/v1, context size unknown",
        "  web pages: https://chat.example.org",
        "  log.required: requests are refused while their lines cannot be written",
    ]
    assert "2 tiers" not in str(told)


def test_without_a_configuration_and_by_ipv6() -> None:
    told = introduction(ServerOptions(("::1", 0), None), None, 4711, 0)
    assert told[1:] == [
        "  base URL for clients: http://[::1]:4711/v1",
        "  no configuration yet: every request gets 503 until one is taken; the router keeps looking",
    ]


def test_a_route_that_leads_nowhere_and_one_with_conditions() -> None:
    match = {"maxInputTokens": 100, "headers": [{"name": "x-team", "value": "gold"}]}
    routes = [{"name": "a", "match": match, "tiers": []}]
    one = RouterConfig.model_validate(config(house("http://h/v1"), routes=routes))
    assert (
        "  route a: any model up to 100 tokens with x-team: gold -> no backend: every request gets 503"
        in introduction(OPTIONS, one, 1, 2)
    )
    assert taken(one, "abc").endswith("generation 1: 1 routes, 1 backends")
