"""This provider is any other server of the OpenAI wire format: llama.cpp, vLLM, a gateway, another site's genset."""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="openAICompatible",
    telemetry_name="openai_compatible",
    base_url=None,
    needs_key=False,
)
