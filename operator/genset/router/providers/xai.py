"""xAI counts the tokens of thoughts beside those of the answer, and takes neither names in messages nor strict functions.

Source: docs.x.ai/docs/api-reference; its refusals as LiteLLM 1.110.2 knows them, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="xai",
    telemetry_name="x_ai",
    base_url="https://api.x.ai/v1",
    rename={"max_tokens": "max_completion_tokens"},
    fields=Fields(names=False, strict=False),
    tells_cost=True,
)
