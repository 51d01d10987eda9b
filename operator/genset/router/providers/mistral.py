"""Mistral refuses fields that it does not know (422).

It takes no `stream_options` (usage comes unasked on the last chunk), and only `max_tokens`.

Source: its API reference of /v1/chat/completions.
"""

from genset.router.providers.base import Provider

PROVIDER = Provider(
    name="mistral",
    telemetry_name="mistral_ai",
    base_url="https://api.mistral.ai/v1",
    usage_option=False,
    rename={"max_completion_tokens": "max_tokens"},
    continuation="Prefix",
)
