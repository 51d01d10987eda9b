"""LiteLLM's proxy speaks OpenAI's format; `code` in its errors is a text, and a spent budget is a 400.

Its own retries and cooldowns multiply the router's: set `num_retries: 0` there. Source: litellm 1.110.2, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="liteLLM",
    telemetry_name="litellm",
    base_url=None,
    needs_key=False,
)
