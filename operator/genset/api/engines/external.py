"""The settings of engine external say where a model server answers that genset does not run."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.base import CelRule, SecretKeyRef, rules
from genset.api.base_url import base_url_rules
from genset.api.engines.base import EngineSettings, WeightsForm


@rules(
    *base_url_rules("external.url"),
    CelRule(
        "!has(self.caSecretRef) || self.url.startsWith('https://')",
        "external.caSecretRef needs a url with https://: over plain HTTP no certificate is looked at",
        lambda external: external.ca_secret_ref is None or external.url.startswith("https://"),
    ),
)
class External(EngineSettings):
    """The server behind engine external."""

    engine: ClassVar[str] = "external"
    shown: ClassVar[str] = "external for one that runs elsewhere"
    weights: ClassVar[WeightsForm] = WeightsForm.NONE
    spec_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "self.engine != 'external' || (has(self.external) && !has(self.source) && !has(self.cache))",
            "engine external needs external.url, and neither source nor cache: its weights are not ours",
            lambda spec: (
                spec.engine != "external" or (spec.external is not None and spec.source is None and spec.cache is None)
            ),
        ),
        CelRule(
            "self.engine != 'external' || !has(self.autoscaling)",
            "autoscaling needs an engine that genset runs: it cannot start or stop an external server",
            lambda spec: spec.engine != "external" or spec.autoscaling is None,
        ),
    )

    url: str = Field(
        max_length=2048,
        description="Base URL of its OpenAI API, up to and without /v1, e.g. http://10.0.0.7:1234. Only routers ask it: until "
        "a RoutePolicy routes to it, Available and Ready are Unknown (NotProbed). Loopback, link-local and metadata addresses "
        "and the API server are refused.",
    )
    health_path: str | None = Field(
        default=None,
        pattern=r"^/[A-Za-z0-9._~/-]*$",
        max_length=256,
        examples=["/health"],
        description="Path on its host that answers 200 when it can serve. Default: its list of models, which LM Studio and "
        "every other server of OpenAI's API has.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(default=None, description="Key sent as a bearer token.")
    allow_plain_http: bool = Field(
        default=False,
        alias="allowPlainHTTP",
        description="Send the key to a url with http://, where everybody on the way can read it.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the server, if a private CA does."
    )
