"""Mistral refuses fields that it does not know (422).

It takes no `stream_options` (usage comes unasked on the last chunk), only `max_tokens`, and calls `seed` `random_seed`.

Source: its API reference of /v1/chat/completions; mistralai 3.7.0, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="mistral",
    telemetry_name="mistral_ai",
    base_url="https://api.mistral.ai/v1",
    usage_option=False,
    rename={"max_completion_tokens": "max_tokens"},
    fields=Fields(
        dropped=frozenset({"user", "safety_identifier", "logit_bias", "store"}),
        renamed={"seed": "random_seed"},
        names=False,
    ),
    continuation="Prefix",
)
