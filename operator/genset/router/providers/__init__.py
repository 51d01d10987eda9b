"""This room holds the providers. A new one is one file here and one line below."""

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
