"""DeepSeek answers 402 if the balance is used up, and breaks off with finish_reason `insufficient_system_resource`.

In its thinking mode it wants thoughts back on messages with calls, and gets them. Source: its API reference, chapters Error
Codes, Create Chat Completion and Chat Prefix Completion, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="deepSeek",
    telemetry_name="deepseek",
    base_url="https://api.deepseek.com/v1",
    rename={"max_completion_tokens": "max_tokens"},
    bad_finishes=frozenset({"error", "abort", "insufficient_system_resource"}),
    continuation="Prefix",
    continuation_path="/beta",
)
