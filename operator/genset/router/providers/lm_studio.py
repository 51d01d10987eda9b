"""LM Studio takes a choice of tools as a word alone, and loads a model with its first request, which takes long.

Most of its templates go on from a last message of the assistant. Source: lmstudio.ai/docs/app/api/endpoints/openai, read on
28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="lmStudio",
    telemetry_name="lm_studio",
    base_url=None,
    needs_key=False,
    fields=Fields(limited={"tool_choice": ("auto", "none", "required")}),
    continuation="Prefill",
)
