"""OpenRouter keeps connections alive with comments, and marks a broken answer with finish_reason `error`.

It sends errors of the model behind it inside a 200 with a numeric `code`. 402 means that the credit is used up; 403
that the input was flagged.

Source: its API reference, chapters Errors and Streaming.
"""

from genset.router.providers.base import Provider

PROVIDER = Provider(
    name="openRouter",
    telemetry_name="openrouter",
    base_url="https://openrouter.ai/api/v1",
)
