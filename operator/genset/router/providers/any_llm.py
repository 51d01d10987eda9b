"""Otari is Mozilla.ai's gateway; any-llm is its client. Its models are called PROVIDER:MODEL, and its keys begin with `gw-`.

Source: mozilla-ai/otari, docs/access-control.md, read on 28 Nov 2026; how it words a spent budget is not known.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="anyLLM",
    telemetry_name="any_llm",
    base_url=None,
    needs_key=False,
)
