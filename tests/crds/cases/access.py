"""RoutePolicies by what they say of who may ask."""

from __future__ import annotations

from typing import Any

from tests.crds.cases.case import RP, SECRET, Case, Spec, policy

_KEYS = {"keysSecretRef": SECRET}
_NO_KEYS = "access.consumers: each needs keysSecretRef; without it stand only anonymous, under mode Open"
_JWT = {"issuer": "https://idp.corp/x", "audiences": ["genset"]}
_CERTS = {**_JWT, "jwksURL": "https://idp.corp/x/certs?p=1"}


def access(*consumers: dict[str, Any], **more: Any) -> Spec:
    return policy(access={**({"consumers": list(consumers)} if consumers else {}), **more})


ACCESS = [
    Case("consumers with all they may have", RP, access(
        {"name": "invoices", "team": "accounting", **_KEYS, "models": ["assistant", "ocr-*"], "requestsPerMinute": 600,
         "tokensPerMinute": 200_000, "maxInFlight": 20, "priority": "High"},
        {"name": "lab", **_KEYS}, mode="Required", defaults={"requestsPerMinute": 60, "models": ["*"], "priority": "Low"})),
    Case("required is the default", RP, access({"name": "lab", **_KEYS})),
    Case("open for everybody", RP, access(mode="Open")),
    Case("anonymous with limits", RP, access({"name": "anonymous", "requestsPerMinute": 10}, mode="Open")),
    Case("nobody could ask", RP, access(mode="Required"),
         "access.mode Required needs consumers, consumerSelector or jwt: without them nobody could ask"),
    Case("a consumer without keys", RP, access({"name": "lab"}), _NO_KEYS),
    Case("anonymous where keys are required", RP, access({"name": "anonymous"}), _NO_KEYS),
    Case("anonymous with keys", RP, access({"name": "anonymous", **_KEYS}, mode="Open"),
         "access.consumers: anonymous is whoever shows no key"),
    Case("tokens alone", RP, access(jwt=_CERTS)),
    Case("tokens with all that may be said", RP, access(
        {"name": "robot", "requestsPerMinute": 5}, consumerSelector={"matchLabels": {"team": "lab"}},
        jwt={**_CERTS, "caSecretRef": SECRET, "consumerClaim": "azp", "teamClaim": "realm_access.roles",
             "allowedTeams": ["a b"]})),
    Case("consumers by a key that no label has", RP, access(consumerSelector={"matchLabels": {"a b": "c"}}),
         "access.consumerSelector.matchLabels: a key is NAME or PREFIX/NAME"),
    Case("consumers by a value that no label has", RP, access(consumerSelector={"matchLabels": {"team": "a b"}}),
         "spec.access.consumerSelector.matchLabels.team in body should match", "String should match pattern"),
    Case("a key set in a Secret", RP, access(jwt={**_JWT, "jwksSecretRef": SECRET})),
    Case("tokens for whomever", RP, access(jwt={**_CERTS, "audiences": ["genset", "*"]}),
         "access.jwt.audiences are compared character by character"),
    Case("no key set", RP, access(jwt=_JWT), "access.jwt needs exactly one of jwksURL, jwksSecretRef"),
    Case("a CA for plain HTTP", RP, access(jwt={**_JWT, "jwksURL": "http://idp.x.svc/certs", "caSecretRef": SECRET}),
         "access.jwt.caSecretRef needs a jwksURL with https://"),
    Case("teams without their claim", RP, access(jwt={**_CERTS, "allowedTeams": ["a"]}),
         "access.jwt.allowedTeams needs teamClaim"),
    Case("a key set at no host", RP, access(jwt={**_JWT, "jwksURL": "https://a b/c"}), "should match", types="pattern"),
    Case("a key set at a port that is none", RP, access(jwt={**_JWT, "jwksURL": "https://idp.corp:99999/c"}),
         "access.jwt.jwksURL names no server"),
    Case("an audience with a space", RP, access(jwt={**_CERTS, "audiences": ["a b"]}), "should match", types="pattern"),
    Case("a consumer twice", RP, access({"name": "lab", **_KEYS}, {"name": "lab", **_KEYS}), "Duplicate value",
         types="consumers holds 'lab' twice"),
    Case("a limit of nothing", RP, access({"name": "lab", **_KEYS, "requestsPerMinute": 0}), "greater than or equal to 1"),
    Case("an unknown priority", RP, access({"name": "lab", **_KEYS, "priority": "Urgent"}), "Unsupported value",
         types="'High', 'Normal' or 'Low'"),
    Case("a pattern with a * inside", RP, access({"name": "lab", **_KEYS, "models": ["a*b"]}), "should match",
         types="pattern"),
    Case("a name in capitals", RP, access({"name": "Lab", **_KEYS}), "should match", types="pattern"),
]  # fmt: skip
