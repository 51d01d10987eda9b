"""The two engines and the router between them."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.vllm.engines import CONTEXT_TOKENS, MODEL, EngineProcess
from e2e.vllm.router import RouterProcess
from testbed.resources import API_VERSION, Object

LLAMA, VLLM = "llama", "vllm"


@dataclass(frozen=True)
class Pair:
    """The two engines, and the router in front of them. Models `llama` and `vllm` name who is asked first."""

    llama: EngineProcess
    vllm: EngineProcess
    router: RouterProcess


def resources(urls: dict[str, str]) -> list[Object]:
    """Two external deployments and a policy with a route for each order of them."""

    def deployment(name: str) -> Object:
        spec = {
            "engine": "external",
            "external": {"url": urls[name]},
            "model": MODEL,
            "context": {"tokens": CONTEXT_TOKENS},
        }
        return {"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": {"name": name}, "spec": spec}

    def route(first: str, second: str) -> Object:
        # Two engines, a router and the clients share the machine's cores, so nothing is late before it is very late.
        failover = {"firstTokenSeconds": 60, "stallSeconds": 30}
        tiers = [{"backends": [{"name": name}]} for name in (first, second)]
        return {"name": first, "match": {"models": [first]}, "tiers": tiers, "failover": failover}

    backends = [
        {"name": name, "deployment": {"name": name}, "continuation": "ContinueFinalMessage"} for name in (LLAMA, VLLM)
    ]
    policy = {
        "apiVersion": API_VERSION,
        "kind": "RoutePolicy",
        "metadata": {"name": "pair"},
        "spec": {"backends": backends, "routes": [route(LLAMA, VLLM), route(VLLM, LLAMA)]},
    }
    return [deployment(LLAMA), deployment(VLLM), policy]
