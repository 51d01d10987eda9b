"""This room holds the providers. A new one is one file here and one line below."""

from __future__ import annotations

from genset.router.providers import (
    anthropic,
    any_api,
    any_llm,
    azure_openai,
    bedrock,
    cohere,
    compatible,
    deepseek,
    fireworks,
    gemini,
    groq,
    lite_llm,
    lm_studio,
    mistral,
    ollama,
    openai,
    openrouter,
    portkey,
    together,
    xai,
)
from genset.router.providers.base import Provider

PROVIDERS: dict[str, Provider] = {
    "openai": openai.PROVIDER,
    "azureOpenAI": azure_openai.PROVIDER,
    "anthropic": anthropic.PROVIDER,
    "gemini": gemini.PROVIDER,
    "bedrock": bedrock.PROVIDER,
    "mistral": mistral.PROVIDER,
    "deepSeek": deepseek.PROVIDER,
    "groq": groq.PROVIDER,
    "xai": xai.PROVIDER,
    "together": together.PROVIDER,
    "fireworks": fireworks.PROVIDER,
    "cohere": cohere.PROVIDER,
    "openRouter": openrouter.PROVIDER,
    "portkey": portkey.PROVIDER,
    "liteLLM": lite_llm.PROVIDER,
    "anyLLM": any_llm.PROVIDER,
    "anyAPI": any_api.PROVIDER,
    "lmStudio": lm_studio.PROVIDER,
    "ollama": ollama.PROVIDER,
    "openAICompatible": compatible.PROVIDER,
}

__all__ = ["PROVIDERS", "Provider"]
