"""Ollama leaves out what it does not know without a word: choices of tools, several answers, `logit_bias`, `user`.

Most of its templates go on from a last message of the assistant. `num_ctx` cannot be set by this API: set the context at the
server. Source: github.com/ollama/ollama docs/openai.md, read on 21 Aug 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="ollama",
    telemetry_name="ollama",
    base_url=None,
    needs_key=False,
    fields=Fields(
        dropped=frozenset({"logit_bias", "user"}),
        limited={"n": (1,), "tool_choice": ("auto",)},
    ),
    continuation="Prefill",
)
