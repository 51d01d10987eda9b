"""The providers. Adding one is one file and one line here."""

from __future__ import annotations

from genset.router.providers import compatible, deepseek, mistral, openai, openrouter
from genset.router.providers.base import Provider

PROVIDERS: dict[str, Provider] = {
    "openai": openai.PROVIDER,
    "openRouter": openrouter.PROVIDER,
    "mistral": mistral.PROVIDER,
    "deepSeek": deepseek.PROVIDER,
    "openAICompatible": compatible.PROVIDER,
}

__all__ = ["PROVIDERS", "Provider"]
