"""Gemini has an endpoint of OpenAI's format. Its errors come in an array, and name the wait in their details.

Calls of tools carry a signature in `extra_content`, which has to come back: it is never taken away, and in
Messages and Responses it travels in the id of a call. Fields that it does not know are refused by name.
Sources: ai.google.dev/gemini-api/docs/openai, read on 28 Nov 2026; `frequency_penalty`, `top_k`: MinLL/SkyrimNet-GamePlugin#77.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="gemini",
    telemetry_name="gcp.gemini",
    seals_calls=True,
    fields=Fields(dropped=frozenset({"frequency_penalty", "top_k"})),
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
)
