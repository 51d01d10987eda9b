"""OpenRouter keeps connections alive with comments, and marks a broken answer with finish_reason `error`.

It sends errors of the model behind it inside a 200 with a numeric `code`. 402 means that the credit is used up; 403
that the input was flagged. Its list of models needs no key, so the key itself is asked for. A client's `models`, `route`
and `preset` would choose other models than the policy's.

Sources: its API reference, chapters Errors, Streaming, Limits and Model Routing, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="openRouter",
    telemetry_name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    fields=Fields(dropped=frozenset({"models", "route", "preset"})),
    probe_path="/key",
    tells_cost=True,
)
