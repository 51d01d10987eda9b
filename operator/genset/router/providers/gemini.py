"""Gemini has an endpoint of OpenAI's format. Its errors come in an array, and name the wait in their details.

Calls of tools carry a signature in `extra_content`, which has to come back: it is never taken away. Source:
ai.google.dev/gemini-api/docs/openai, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="gemini",
    telemetry_name="gcp.gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
)
