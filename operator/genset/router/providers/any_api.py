"""AnyAPI is asked as any server of OpenAI's format: no primary source on its ways was found (28 Nov 2026)."""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="anyAPI",
    telemetry_name="any_api",
    base_url=None,
    needs_key=False,
)
