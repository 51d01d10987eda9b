"""A workload identity is how routers prove to Entra who they are, without a key that anybody has to keep."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from genset.api.base import ApiModel

_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
#: Servers of Azure to which a token of Entra may go: nobody else may see it.
HOSTS = r"^https://[a-z0-9-]+[.](openai|cognitiveservices|services[.]ai)[.]azure[.](com|us|cn)(:443)?/"


class Authority(StrEnum):
    """A cloud of Microsoft's, by its sign-in server."""

    PUBLIC = "Public"
    US_GOVERNMENT = "USGovernment"
    CHINA = "China"


#: The sign-in server of each cloud. Source: Microsoft Learn, "National clouds", read on 28 Nov 2026.
AUTHORITIES = {
    Authority.PUBLIC: "https://login.microsoftonline.com",
    Authority.US_GOVERNMENT: "https://login.microsoftonline.us",
    Authority.CHINA: "https://login.partner.microsoftonline.cn",
}
#: What a token is asked for, unless a policy says otherwise.
SCOPES = {
    Authority.PUBLIC: "https://cognitiveservices.azure.com/.default",
    Authority.US_GOVERNMENT: "https://cognitiveservices.azure.us/.default",
    Authority.CHINA: "https://cognitiveservices.azure.cn/.default",
}


class WorkloadIdentity(ApiModel):
    """The application of Entra as which routers ask. It has to trust the ServiceAccount of the policy's routers."""

    tenant_id: str = Field(
        alias="tenantID",
        pattern=_UUID,
        max_length=36,
        examples=["00000000-0000-0000-0000-000000000000"],
        description="Directory (tenant) ID.",
    )
    client_id: str = Field(
        alias="clientID",
        pattern=_UUID,
        max_length=36,
        examples=["00000000-0000-0000-0000-000000000000"],
        description="Application (client) ID. Its federated credential names the cluster's issuer and the subject "
        "system:serviceaccount:NAMESPACE:POLICY-router.",
    )
    authority: Authority | None = Field(default=None, strict=False, description="Microsoft's cloud. Default: Public.")
    scope: str | None = Field(
        default=None,
        pattern=r"^https://[!-~]+/[.]default$",
        max_length=256,
        examples=["https://ai.azure.com/.default"],
        description="What the token is for. Default: https://cognitiveservices.azure.com/.default, or that of the authority.",
    )

    @property
    def cloud(self) -> Authority:
        return self.authority or Authority.PUBLIC

    @property
    def token_url(self) -> str:
        """Returns where tokens are given out."""
        return f"{AUTHORITIES[self.cloud]}/{self.tenant_id}/oauth2/v2.0/token"
