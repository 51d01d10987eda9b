"""The engine external is a model server that someone else runs (LM Studio on a desk, an appliance, another site).

genset makes no pods for it. It is asked for a completion like any other, and routers send requests to its URL.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from genset.api.engines.external import External
from genset.api.modeldeployment import ModelDeployment
from genset.engines.base import Engine, ServerCredentials


class ExternalEngine(Engine[External]):
    """This engine is a server at a URL."""

    settings = External
    continuation = "Anchor"  # nobody knows what it is; a policy may say it of its backend

    def base_url(self, resource: ModelDeployment) -> str:
        url = self.own(resource).url.rstrip("/")
        return url if url.endswith("/v1") else f"{url}/v1"

    def health_path(self, resource: ModelDeployment) -> str:
        # The model list is the one GET that every OpenAI-compatible server has; LM Studio documents no health endpoint.
        own = self.own(resource).health_path
        return own if own is not None else f"{urlsplit(self.base_url(resource)).path}/models"

    def credentials(self, resource: ModelDeployment) -> ServerCredentials:
        own = self.own(resource)
        return ServerCredentials(own.api_key_secret_ref, own.ca_secret_ref, own.allow_plain_http)


def spec_at(url: str, found: ModelDeployment | None) -> dict[str, Any]:
    """Returns the spec of a ModelDeployment that answers at `url`: the given one's model and context, run by somebody
    else."""
    external: dict[str, Any] = {}
    spec: dict[str, Any] = {"engine": External.engine}
    if found is not None:
        spec["model"] = found.served_model
        spec["context"] = found.spec.context.model_dump(by_alias=True)
        spec["task"] = found.spec.task.value
        if found.spec.external is not None:
            external = found.spec.external.model_dump(by_alias=True, exclude_none=True)
    return {**spec, "external": {**external, "url": url}}
