"""Mistral refuses fields that it does not know (422).

It takes no `stream_options` (usage comes unasked on the last chunk), only `max_tokens`, calls `seed` `random_seed`, and refuses
thoughts in messages. Sources: its API reference of /v1/chat/completions; mistralai 3.7.0 (`models/chatcompletionrequest.py`),
read on 30 Nov 2026; thoughts: BerriAI/litellm#30835, charmbracelet/crush#1590.
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
        dropped=frozenset(
            {
                "user",
                "safety_identifier",
                "logit_bias",
                "store",
                "verbosity",
                "prompt_cache_options",
                "prompt_cache_retention",
            }
        ),
        renamed={"seed": "random_seed"},
        names=False,
        thoughts=False,
    ),
    continuation="Prefix",
)
