"""Portkey is a gateway that is told by headers where a request goes: `portkey.configID`, `portkey.provider`, or `headers`.

Its own retries and fallbacks multiply the router's: leave them out of the config. A self-hosted gateway has no key of its own.
Errors of Anthropic's come as a finish_reason. Sources: Portkey's docs-core of 21 Aug 2026 and gateway of 25 May 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="portkey",
    telemetry_name="portkey",
    base_url="https://api.portkey.ai/v1",
    key_header=b"x-portkey-api-key",
    key_prefix=b"",
    needs_key=False,
    bad_finishes=frozenset(
        {"error", "abort", "overloaded_error", "api_error", "rate_limit_error", "timeout_error", "internal_error"}
    ),
)
