"""Routing, ordering, estimates; the gate."""

from __future__ import annotations

import random
from typing import Any

import pytest

from genset.contracts.router_config import RouterConfig
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.errors import VOCABULARY, ErrorAnswer
from genset.router.routing.plan import Plan
from genset.router.routing.table import Table, answer_tokens, estimate_tokens
from testbed.router_config import complete


def table(routes: list[dict[str, Any]], **contexts: int) -> Table:
    names = {b["backend"] for r in routes for tier in r["tiers"] for b in tier}
    url = {"baseUrl": "http://x.test/v1", "provider": "openAICompatible"}
    backends = [
        {"name": name, "kind": "cloud", "model": "m", "url": url, "contextTokens": contexts.get(name)}
        for name in sorted(names)
    ]
    policy = {"namespace": "n", "name": "p"}
    config = RouterConfig.model_validate(complete({"policy": policy, "backends": backends, "routes": routes}))
    made = {b.name: Backend(b, Credentials({}, ""), random.random) for b in config.backends}
    return Table(config, made, "hash")


def route(name: str, *tiers: list[str], **match: Any) -> dict[str, Any]:
    return {"name": name, "match": match, "tiers": [[{"backend": b} for b in tier] for tier in tiers]}


def names(plan: Plan | ErrorAnswer) -> list[str]:
    assert isinstance(plan, Plan), plan
    return [c.backend.name for c in plan.candidates]


def test_first_match_wins() -> None:
    one = table(
        [route("a", ["x"], models=["m"], maxInputTokens=10), route("b", ["y"], models=["m", "n*"]), route("c", ["z"])]
    )
    cases = [("m", 10, "x"), ("m", 11, "y"), ("n", 1, "y"), ("nn", 1, "y"), ("other", 1, "z")]
    for model, tokens, wanted in cases:
        assert names(one.plan(model, tokens, 0, {}, random.random)) == [wanted]


def test_unknown_model_names_what_there_is() -> None:
    found = table([route("a", ["x"], models=["m", "n*"])]).plan("q", 1, 0, {}, random.random)
    assert isinstance(found, ErrorAnswer) and found.kind.code == "model_not_found" and "models: m" in found.message


def test_context_sizes_shrink_the_list() -> None:
    one = table([route("a", ["small"], ["large"])], small=1000, large=5000)
    assert names(one.plan("q", 900, 100, {}, random.random)) == ["small", "large"]
    plan = one.plan("q", 900, 101, {}, random.random)
    assert names(plan) == ["large"] and isinstance(plan, Plan) and plan.skipped == "context_too_long"
    refused = one.plan("q", 5001, 0, {}, random.random)
    assert isinstance(refused, ErrorAnswer) and refused.status == 400
    assert refused.message == (
        "This model's maximum context length is 5000 tokens. However, your request has about 5001 input tokens. "
        "Please reduce the length of the messages."
    )
    close = one.plan("q", 4900, 256, {}, random.random)
    assert (
        isinstance(close, ErrorAnswer) and "about 4900 input tokens, and its answer needs room for 256" in close.message
    )


def test_a_backend_that_is_there_for_one_thing_is_asked_for_nothing_else() -> None:
    one = table([route("a", ["vectors"], ["any"]), route("b", ["vectors"], models=["v"])][::-1])
    made = dict(one.backends)
    made["vectors"] = Backend(
        made["vectors"].config.model_copy(update={"task": "Embeddings"}), Credentials({}, ""), random.random
    )
    tasked = Table(one.config, made, "hash")
    assert names(tasked.plan("q", 1, 0, {}, random.random, "Embeddings")) == ["vectors", "any"]
    assert names(tasked.plan("q", 1, 0, {}, random.random, "Chat")) == ["any"]
    refused = tasked.plan("v", 1, 0, {}, random.random, "Chat")
    assert isinstance(refused, ErrorAnswer) and refused.status == 404
    assert refused.message == (
        "no backend of route b is there for task Chat: they are there for Embeddings; ask another path of the API, or another "
        "model"
    )


def with_adapters(one: Table, **named: list[str]) -> Table:
    """The table with these adapters of its backends, all loaded."""
    made, parts = dict(one.backends), {}
    for name, adapters in named.items():
        config = made[name].config.model_copy(update={"adapters": tuple(adapters)})
        made[name] = Backend(config, Credentials({}, ""), random.random)
        parts[name] = {
            adapter: Backend(
                config.model_copy(update={"model": adapter}), Credentials({}, ""), random.random, whole=made[name]
            )
            for adapter in adapters
        }
    return Table(one.config, made, "hash", parts)


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("x", [("a", "x"), ("cloud", "m")]),  # only one of the first tier has it
        ("y", [("a", "y"), ("b", "y"), ("cloud", "m")]),
        ("m", [("a", "m"), ("b", "m"), ("plain", "m"), ("cloud", "m")]),  # the model's own name
        ("z", [("plain", "m"), ("cloud", "m")]),  # nobody's: only those that have no names of their own
    ],
)
def test_an_adapter_is_asked_for_where_it_is(model: str, asked: list[tuple[str, str]]) -> None:
    one = with_adapters(table([route("r", ["a", "b", "plain"], ["cloud"])]), a=["x", "y"], b=["y"])
    plan = one.plan(model, 1, 0, {}, random.random)
    assert isinstance(plan, Plan)
    assert sorted((c.tier, c.backend.name, c.backend.target.model) for c in plan.candidates) == sorted(
        (int(name == "cloud"), name, told) for name, told in asked
    )


def test_a_name_that_no_adapter_has_goes_to_the_next_route_or_nowhere() -> None:
    one = with_adapters(table([route("r", ["a"], models=["team-*"])]), a=["team-x"])
    assert names(one.plan("team-x", 1, 0, {}, random.random)) == ["a"]
    for wrong in [f"team-{number}" for number in range(1100)]:  # more than are remembered
        refused = one.plan(wrong, 1, 0, {}, random.random)
        assert isinstance(refused, ErrorAnswer) and refused.status == 404 and "models: team-x" in refused.message
    assert names(one.plan("team-x", 1, 0, {}, random.random)) == ["a"]
    two = with_adapters(table([route("r", ["a"]), route("s", ["b"])]), a=["x"])
    assert names(two.plan("q", 1, 0, {}, random.random)) == ["b"]


def test_tiers_keep_their_order_and_weights_share() -> None:
    tier = [{"backend": "a", "weight": 3}, {"backend": "b", "weight": 1}, {"backend": "c", "weight": 0}]
    one = table([{"name": "r", "match": {}, "tiers": [tier, [{"backend": "d"}]]}])
    chance = random.Random(7)
    orders = [names(one.plan("q", 1, 0, {}, chance.random)) for _ in range(2000)]
    assert all(order[2:] == ["c", "d"] for order in orders)
    assert 1400 < sum(order[0] == "a" for order in orders) < 1600


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 40}]}, 10),
        ({"messages": [{"role": "user", "content": "ö" * 40}]}, 20),
        ({"messages": [{"content": [{"type": "text", "text": "x" * 40}, {"type": "image_url", "image_url": "y" * 9999}]}]}, 10),
        ({"messages": "nonsense"}, 0),
        ({"messages": [None, 7, {"content": None}, {"content": 7}]}, 0),
        ({"prompt": "x" * 40}, 10),
        ({"prompt": [1, 2, 3]}, 3),
        ({"prompt": [[1, 2], [3]]}, 3),
        ({"input": ["x" * 20, "y" * 40]}, 10),  # each is a prompt of its own
        ({"input": [{"text": "x" * 40}, 7]}, 10),
        ({"input": []}, 0),
        ({"input": [1, 2, 3]}, 3),
        ({"input": [[1, 2], [3]]}, 2),
        ({"query": "x" * 20, "documents": ["y" * 20, {"text": "z" * 8}]}, 10),
        ({"query": 7, "documents": [None, {}]}, 0),
        ({"messages": [], "tools": [{"a": "x" * 30}]}, 10),
    ],
)  # fmt: skip
def test_estimates(request_: dict[str, Any], tokens: int) -> None:
    assert estimate_tokens(request_) == tokens


def test_answer_tokens() -> None:
    assert answer_tokens({"max_tokens": 5}) == 5
    assert answer_tokens({"max_tokens": 5, "max_completion_tokens": 7}) == 7
    assert answer_tokens({"max_tokens": "many"}) == answer_tokens({}) == 0
    assert answer_tokens({"max_tokens": 32000}) == 256, "a limit is not used up"


def test_the_vocabulary_is_closed_and_well_formed() -> None:
    for word, kind in VOCABULARY.items():
        assert word == kind.word and word.split("_")[0] in ("caller", "policy", "provider", "router")
        assert 400 <= kind.status <= 599 and kind.code == kind.code.lower()
