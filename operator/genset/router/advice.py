"""What to write instead, for the mistakes that people make in a RoutePolicy. Pure.

The types say what is wrong; here stands what would be right, where that can be guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from genset.addresses import QUERY_REMEDY

#: Base URLs of the OpenAI-compatible APIs of providers that have no entry of their own, from their documentation.
_COMPATIBLE: Final = {
    "anthropic": "https://api.anthropic.com/v1",
    "azure": "https://RESOURCE.openai.azure.com/openai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "litellm": "http://HOST:4000/v1",
    "ollama": "http://HOST:11434/v1",
    "together": "https://api.together.xyz/v1",
    "vllm": "http://HOST:8000/v1",
    "xai": "https://api.x.ai/v1",
}
_CLOSE: Final = 0.7  # how alike two names are that may be meant as one


def remedy(mistake: Mapping[str, Any]) -> str:
    """What to write instead, for one of pydantic's mistakes; empty where nothing can be guessed."""
    given, kind = mistake.get("input"), mistake.get("type")
    place = mistake.get("loc") or ("",)
    if not isinstance(given, str):
        return ""
    if place[-1] == "provider" and kind in ("enum", "literal_error"):
        return _provider(given, _expected(mistake))
    if place[-1] == "baseURL" and kind == "string_pattern_mismatch":
        return _base_url(given)
    if kind in ("enum", "literal_error"):
        return _did_you_mean(given, _expected(mistake))
    return ""


def _provider(given: str, known: Sequence[str]) -> str:
    plain = "".join(letter for letter in given.lower() if letter.isalnum())
    for name, url in _COMPATIBLE.items():
        if plain.startswith(name):
            return f"its OpenAI-compatible API works: provider openAICompatible with baseURL {url}"
    return _did_you_mean(given, known) or "any other OpenAI-compatible API: openAICompatible with its baseURL"


def _base_url(given: str) -> str:
    if "?" in given:
        host = (urlsplit(given).hostname or "").lower()
        if host.endswith(".openai.azure.com"):
            return QUERY_REMEDY.replace("RESOURCE.openai.azure.com", host)
        return QUERY_REMEDY
    if "@" in given:
        return "no user and no password in a URL: the key belongs into the Secret of credentialsSecretRef"
    if not given.startswith(("http://", "https://")):
        return "it begins with https:// or http://"
    return ""


def _did_you_mean(given: str, known: Sequence[str]) -> str:
    lower = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), lower, n=1, cutoff=_CLOSE)
    return f"did you mean {lower[close[0]]}?" if close else ""


def _expected(mistake: Mapping[str, Any]) -> list[str]:
    """The values that pydantic names: "'a', 'b' or 'c'"."""
    context = mistake.get("ctx") or {}
    return [word for word in str(context.get("expected", "")).split("'")[1::2] if word]
