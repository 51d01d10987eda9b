"""Amazon Bedrock has an endpoint of OpenAI's format per region, which takes a Bedrock API key as a bearer.

The base URL is https://bedrock-runtime.REGION.amazonaws.com/openai/v1, or https://bedrock-mantle.REGION.api.aws/v1. Claude is
asked by provider anthropic at https://bedrock-mantle.REGION.api.aws/anthropic/v1. Requests signed with SigV4 are not made.
Source: AWS, Bedrock User Guide, "Inference using the OpenAI APIs"; botocore 1.44.8, read on 28 Nov 2026.
"""

from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="bedrock",
    telemetry_name="aws.bedrock",
    base_url=None,
)
