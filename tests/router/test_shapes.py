"""Routes choose requests by their shape, in every API, and whatever a request looks like the data zones hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream

GERMAN = "Welche Unterlagen brauche ich für den Antrag auf Elterngeld?"
ENGLISH = "Which documents do I need to apply for parental allowance?"
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOL = {"type": "function", "function": TOOL}
HELLO = {"role": "user", "content": "a"}
EMBED = "/v1/embeddings"
PICTURE = "data:image/png;base64,aGk="


def number(name: str, least: int | None = None, most: int | None = None) -> dict[str, Any]:
    return {"numbers": [{"number": name, "atLeast": least, "atMost": most}]}


def two_routes(shape: dict[str, Any], local: ScriptedUpstream, far: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    """Requests of the shape go to the cloud, all others to the house."""
    document = config(house(local.base_url, capabilities={"vision": True}), cloud(far.base_url, dataZone="us"))
    (route,) = document["routes"]
    shaped = {
        **route, "name": "shaped", "match": {**route["match"], "shape": shape}, **more,
        "tiers": [[{"backend": "cloud", "weight": 1}]],
    }  # fmt: skip
    document["routes"] = [shaped, {**route, "tiers": [[{"backend": "house", "weight": 1}]]}]
    return document


def said(text: str, **more: Any) -> dict[str, Any]:
    return chat(stream=False, messages=[{"role": "user", "content": text}], **more)


def messages(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "counting", "max_tokens": 40, "messages": [{"role": "user", "content": text}], **more}


#: API -> path, a request of each kind, and the same without what makes the difference.
ASKED: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "language in chat": ("/v1/chat/completions", {"languages": ["de"]}, said(GERMAN), said(ENGLISH)),
    "language in completions": (
        "/v1/completions", {"languages": ["de"]}, {"model": "counting", "prompt": GERMAN},
        {"model": "counting", "prompt": ENGLISH},
    ),
    "language in Messages": ("/v1/messages", {"languages": ["de"]}, messages(GERMAN), messages(ENGLISH)),
    "language in Responses": (
        "/v1/responses", {"languages": ["de"]}, {"model": "counting", "input": GERMAN}, {"model": "counting", "input": ENGLISH},
    ),
    "language in embeddings": (
        EMBED, {"languages": ["de"]}, {"model": "counting", "input": [GERMAN]}, {"model": "counting", "input": ENGLISH},
    ),
    "tools in chat": ("/v1/chat/completions", number("tools", 1), said("a", tools=[CHAT_TOOL]), said("a")),
    "tools in Messages": (
        "/v1/messages", number("tools", 1), messages("a", tools=[{"name": "f", "input_schema": {"type": "object"}}]),
        messages("a"),
    ),
    "tools in Responses": (
        "/v1/responses", number("tools", 1), {"model": "counting", "input": "a", "tools": [{"type": "function", **TOOL}]},
        {"model": "counting", "input": "a"},
    ),
    "pictures in Messages": (
        "/v1/messages", number("images", 1),
        messages([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]), messages("a"),
    ),
    "pictures in Responses": (
        "/v1/responses", number("images", 1),
        {"model": "counting", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]},
        {"model": "counting", "input": "a"},
    ),
    "a system prompt in Messages": (
        "/v1/messages", number("systemWords", 3), messages("a", system="Answer in rhymes."), messages("a"),
    ),
    "instructions in Responses": (
        "/v1/responses", number("systemWords", 3), {"model": "counting", "input": "a", "instructions": "Answer in rhymes."},
        {"model": "counting", "input": "a"},
    ),
    "a limit in Responses": (
        "/v1/responses", number("answerTokens", None, 50), {"model": "counting", "input": "a", "max_output_tokens": 40},
        {"model": "counting", "input": "a"},
    ),
    "a task in chat": ("/v1/chat/completions", {"tasks": ["Translate"]}, said("Translate this into French: yes"), said("yes")),
    "a task in completions": (
        "/v1/completions", {"tasks": ["Code"]}, {"model": "counting", "prompt": "Write a Python function that adds."},
        {"model": "counting", "prompt": "Hello"},
    ),
    "a task in Messages": (
        "/v1/messages", {"tasks": ["Agent"]}, messages("a", tools=[{"name": "f", "input_schema": {"type": "object"}}]),
        messages("a"),
    ),
    "a task in Responses": (
        "/v1/responses", {"tasks": ["Summarise"]}, {"model": "counting", "input": "Summarise this: it rains."},
        {"model": "counting", "input": "Hello"},
    ),
    "turns in Responses": (
        "/v1/responses", number("turns", 2),
        {"model": "counting", "input": [HELLO, {"role": "assistant", "content": "b"}, HELLO]},
        {"model": "counting", "input": "a"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("about", ASKED)
async def test_the_shape_decides_in_every_api(tmp_path: Path, about: str) -> None:
    path, shape, shaped, other = ASKED[about]
    async with (
        ScriptedUpstream() as local,
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, two_routes(shape, local, far)) as router,
    ):
        assert (await router.ask(shaped, path)).headers["x-genset-backend"] == "cloud"
        assert (await router.ask(other, path)).headers["x-genset-backend"] == "house"


async def test_no_shape_takes_a_request_out_of_its_zones(tmp_path: Path) -> None:
    """Who looks like the cloud's kind of request is still kept in the house, by the header and by what is found in it."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        sensitive = {"detect": ["iban"], "countries": [], "patterns": [], "then": "House"}
        document = two_routes({"languages": ["de"]}, local, far, sensitive=sensitive)
        async with RunningRouter(tmp_path, document) as router:
            kept = await router.ask(said(GERMAN), headers={"x-genset-data-zones": "house"})
            assert kept.status == 403 and kept.headers["x-genset-error"] == "policy_data_zone"
            found = await router.ask(said(f"{GERMAN} Meine IBAN ist DE89 3704 0044 0532 0130 00."))
            assert found.status == 403 and found.headers["x-genset-error"] == "policy_sensitive"
        assert far.accepted == 0 and not local.requests


async def test_a_request_that_no_route_has_the_shape_for_is_told_so(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        document = two_routes(number("turns", 5), local, far)
        document["routes"] = document["routes"][:1]
        async with RunningRouter(tmp_path, document) as router:
            refused = await router.ask(said("a"))
            assert refused.status == 404 and "in this shape" in refused.json["error"]["message"]
            assert [one["id"] for one in (await request(router.url + "/v1/models")).json["data"]] == ["counting"]
        assert far.accepted == 0


async def test_the_time_of_day_decides(tmp_path: Path) -> None:
    """Whatever the hour is while this runs, it is in one of two halves of the day."""
    halves = [
        {"time": {"fromMinute": first, "untilMinute": until, "days": list(range(7)), "timeZone": "Asia/Tokyo"}}
        for first, until in ((0, 720), (720, 0))
    ]
    backends = []
    for number_, half in enumerate(halves):
        async with ScriptedUpstream() as local, ScriptedUpstream() as far:
            folder = tmp_path / str(number_)
            folder.mkdir()
            async with RunningRouter(folder, two_routes(half, local, far)) as router:
                backends.append((await router.ask(said("a"))).headers["x-genset-backend"])
    assert sorted(backends) == ["cloud", "house"]


async def test_embeddings_have_no_task(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as local,
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, two_routes({"tasks": ["Converse", "Translate"]}, local, far)) as router,
    ):
        for text in ("Hello", "Translate this into French: yes"):
            answer = await router.ask({"model": "counting", "input": text}, EMBED)
            assert answer.headers["x-genset-backend"] == "house"
