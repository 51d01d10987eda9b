"""LiteLLM's proxy speaks OpenAI's format; `code` in its errors is a text, and a spent budget is a 400.

Its own retries and cooldowns multiply the router's: set `num_retries: 0` there. Fields of a request by which its client would
choose the server, the key or other models are left out: what is sent where is the policy's to say (BerriAI/litellm#37053, #31467,
#1296). Source: litellm 1.110.2, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider
from genset.router.providers.fields import Fields

PROVIDER: Provider = Provider(
    name="liteLLM",
    telemetry_name="litellm",
    base_url=None,
    needs_key=False,
    fields=Fields(
        dropped=frozenset(
            (
                "api_base",
                "base_url",
                "api_key",
                "api_version",
                "custom_llm_provider",
                "model_list",
                "user_config",
                "fallbacks",
                "context_window_fallbacks",
                "content_policy_fallbacks",
                "litellm_credential_name",
                "allowed_model_region",
                "aws_region_name",
                "aws_bedrock_runtime_endpoint",
                "vertex_location",
                "vertex_project",
                "region_name",
            )
        )
    ),
)
