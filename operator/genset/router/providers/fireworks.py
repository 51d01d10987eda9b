"""Fireworks takes `max_tokens` and no strict functions. Its models are called accounts/fireworks/models/NAME.

Source: docs.fireworks.ai/api-reference; its refusals as LiteLLM 1.110.2 knows them, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="fireworks",
    telemetry_name="fireworks_ai",
    base_url="https://api.fireworks.ai/inference/v1",
    rename={"max_completion_tokens": "max_tokens"},
    fields=Fields(strict=False),
)
