"""Azure OpenAI is asked for a deployment: by its name in `model` (v1), or in the path, with an api-version (legacy).

The base URL of v1 is https://RESOURCE.openai.azure.com/openai/v1; with `apiVersion` it is https://RESOURCE.openai.azure.com/openai,
and the deployment follows. The key goes into `api-key`, a token of Entra into `Authorization` (`keyHeader`). Its lists of models
hold base models, so they tell of the key alone. It streams events without a choice and choices without a delta (results of its
filters), the last of them behind the finish_reason. Sources: openai 3.57.0 `lib/azure.py`; Microsoft Learn, Azure OpenAI REST API
reference; openai-python#1677, autogen#6465, read on 28 Nov 2026.
"""

from genset.router.dialects.responses.backend import ResponsesBackend
from genset.router.providers.base import Provider

PROVIDER: Provider = Provider(
    name="azureOpenAI",
    telemetry_name="azure.ai.openai",
    base_url=None,
    key_header=b"api-key",
    key_prefix=b"",
    rename={"max_tokens": "max_completion_tokens"},
    responses=ResponsesBackend(),
)
