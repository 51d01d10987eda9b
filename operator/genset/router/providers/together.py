"""Together AI takes `max_tokens`. Which of its models take tools or a form of the answer differs from model to model.

Source: docs.together.ai/reference/chat-completions, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="together",
    telemetry_name="together_ai",
    base_url="https://api.together.ai/v1",
    rename={"max_completion_tokens": "max_tokens"},
)
