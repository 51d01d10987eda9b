"""Cohere has a path of OpenAI's format for chat and embeddings, which gives one answer and knows no `logit_bias`.

Source: docs.cohere.com/docs/compatibility-api, read on 28 Nov 2026; not tried against the live service.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="cohere",
    telemetry_name="cohere",
    base_url="https://api.cohere.ai/compatibility/v1",
    rename={"max_completion_tokens": "max_tokens"},
    fields=Fields(dropped=frozenset({"logit_bias"}), limited={"n": (1,)}),
)
