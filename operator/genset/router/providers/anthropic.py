"""Anthropic speaks its own Messages API, which others speak, too: Foundry, Bedrock, Claude Platform on AWS, DeepSeek.

The key goes into `x-api-key`, which both versions of the API take; the list of models is free and tells whether the key is good.
Newer models refuse to go on from a last message of the assistant, so they are asked in words. Sources: anthropic 2.14.0
(`_client.py`, `lib/foundry.py`), platform.claude.com/docs/en/api/versioning and /errors, read on 28 Nov 2026.
"""

from genset.router.dialects.anthropic.backend import Messages
from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="anthropic",
    telemetry_name="anthropic",
    base_url="https://api.anthropic.com/v1",
    key_header=b"x-api-key",
    key_prefix=b"",
    continuation="Anchor",
    probe_headers=b"anthropic-version: 2023-06-01\r\n",
    dialect=Messages(),
    wire="messages",
)
