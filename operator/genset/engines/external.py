"""External: a model server that someone else runs (LM Studio on a desk, an appliance, another site).

genset makes no pods for it. It is asked for a completion like any other, and routers send requests to its URL.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from genset.api.modeldeployment import EngineName, ModelDeployment
from genset.engines.base import CompletionRequest, answer_failure, chat_request


class ExternalEngine:
    """A server at a URL."""

    name = EngineName.EXTERNAL
    continuation = "Anchor"  # nobody knows what it is; a policy may say it of its backend

    def base_url(self, resource: ModelDeployment) -> str:
        external = resource.spec.external
        if external is None:
            raise ValueError("engine external without an external block")  # the resource's rules refuse it
        url = external.url.rstrip("/")
        return url if url.endswith("/v1") else f"{url}/v1"

    def health_path(self, resource: ModelDeployment) -> str:
        # The model list is the one GET that every OpenAI-compatible server has; LM Studio documents no health endpoint.
        return f"{urlsplit(self.base_url(resource)).path}/models"

    def completion(self, resource: ModelDeployment) -> CompletionRequest:
        return chat_request(self.base_url(resource), resource.served_model)

    def completion_failure(self, status: int, body: bytes) -> str | None:
        return answer_failure(status, body)
