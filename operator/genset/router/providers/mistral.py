"""Mistral. Refuses fields that it does not know (422): no `stream_options` (usage comes on the last chunk unasked), and
`max_tokens` only.

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
