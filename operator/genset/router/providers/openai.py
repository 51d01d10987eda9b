"""OpenAI's newer models refuse `max_tokens`; all of its chat models take `max_completion_tokens`.

Source: the API reference of /v1/chat/completions.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="openai",
    telemetry_name="openai",
    base_url="https://api.openai.com/v1",
    rename={"max_tokens": "max_completion_tokens"},
)
