"""OpenAI's newer models refuse `max_tokens`; all of its chat models take `max_completion_tokens`.

A bound of the answer that is too low for the Responses API, or a field that a model does not take, is refused by name. Sources:
the API reference of /v1/chat/completions and of /v1/responses; openai 3.57.0, read on 28 Nov 2026.
"""

from genset.router.dialects.responses.backend import ResponsesBackend
from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="openai",
    telemetry_name="openai",
    base_url="https://api.openai.com/v1",
    rename={"max_tokens": "max_completion_tokens"},
    responses=ResponsesBackend(),
)
