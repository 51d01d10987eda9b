"""What requests need and what backends lack. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from genset.contracts.backend_config import CAPABILITIES, BackendConfig, CapabilitiesConfig, UrlTarget
from genset.router.backends.abilities import KNOWN, lacks_of
from genset.router.providers import PROVIDERS
from genset.router.routing.needs import NeededAbilities
from testbed.router_config import made

ALL = frozenset(CAPABILITIES)


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("request_", "needs"),
    [
        ({}, ""),
        ({"messages": "no list"}, ""),
        ({"messages": [1, {"content": [2, {"type": 3}]}, {"content": None}]}, ""),
        (said({"type": "text", "text": "image_url"}), ""),
        (said({"type": "image_url", "image_url": {"url": "data:"}}), "vision"),
        (said({"type": "text", "text": "x"}, {"type": "input_audio"}, {"type": "file"}), "audio files"),
        (said({"type": "video_url"}), "vision"),
        ({"tools": [], "functions": None, "n": 1, "logprobs": False, "tool_choice": "auto"}, ""),
        ({"tools": [{}]}, "tools"),
        ({"functions": [{}]}, "tools"),
        ({"tools": [{}], "tool_choice": "required"}, "tools forcedTools"),
        ({"tools": [{}], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tools forcedTools"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}}, ""),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required"}}}, "forcedTools"),
        ({"function_call": {"name": "f"}}, "forcedTools"),
        ({"parallel_tool_calls": True}, "parallelTools"),
        ({"parallel_tool_calls": False}, ""),
        ({"response_format": {"type": "json_schema"}}, "jsonSchema"),
        ({"response_format": {"type": "json_object"}}, ""),
        ({"logprobs": True, "top_logprobs": 2}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"n": 2}, "severalAnswers"),
        ({"best_of": 3}, "severalAnswers"),
        ({"reasoning_effort": "none"}, ""),
        ({"reasoning_effort": "low"}, "reasoning"),
        ({"reasoning": {"enabled": False}}, ""),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"modalities": ["text", "audio"]}, "audio"),
    ],
)
def test_what_a_request_needs(request_: dict[str, Any], needs: str) -> None:
    wanted = frozenset(needs.split())
    assert NeededAbilities(ALL).of(request_) == wanted
    for one in ALL:
        assert NeededAbilities(frozenset({one})).of(request_) == wanted & {one}, (
            "only what somebody lacks is looked for"
        )


def backend(kind: str, provider: str = "openAICompatible", model: str = "m", **said: bool) -> BackendConfig:
    url = UrlTarget(base_url="http://h.test/v1", provider=provider)
    return made(
        BackendConfig,
        name="b",
        kind=kind,
        model=model,
        url=url,
        capabilities=CapabilitiesConfig(**said) if said else None,
    )


@pytest.mark.parametrize(
    ("config", "lacks"),
    [
        (backend("local"), "vision audio files"),
        (backend("local", vision=True, tools=False), "audio files tools"),
        (backend("cloud"), ""),
        (backend("cloud", vision=False), "vision"),
        (backend("cloud", "groq"), "logprobs severalAnswers"),
        (backend("cloud", "groq", logprobs=True), "severalAnswers"),
        (backend("cloud", "anthropic", "claude-opus-4-8"), "audio logprobs severalAnswers"),
        (backend("cloud", "anthropic", "claude-opus-5-5-20260901"), "audio logprobs severalAnswers forcedTools"),
    ],
)
def test_what_a_backend_lacks(config: BackendConfig, lacks: str) -> None:
    assert lacks_of(config) == frozenset(lacks.split())


def test_what_is_known_of_providers_has_a_source() -> None:
    for known in KNOWN:
        assert known.provider in PROVIDERS and known.models and known.lacks <= ALL and known.source, known
