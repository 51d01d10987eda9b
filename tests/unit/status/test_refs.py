"""Problems of references: each names the object, the field and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import router_config
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.status.refs import check_model_deployment, check_route_policy, policy_secret_uses, secret_uses

CA = (Path(__file__).parents[2] / "data" / "ca.crt").read_bytes()

PLAIN = {"huggingFace": {"repo": "a/b"}}
HUB = {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}}
WEB = {
    "http": {
        "url": "https://a.example/m.gguf",
        "sha256": "0" * 64,
        "headersSecretRef": {"name": "web", "key": "headers"},
        "caSecretRef": {"name": "web-ca", "key": "ca.crt"},
    }
}


def model(**spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate({"metadata": {"name": "house", "namespace": "models"}, "spec": spec})


def known(data: dict[str, dict[str, bytes]], allow: str | None = "*", kind: str = "Opaque") -> dict[str, UserSecret]:
    return {name: UserSecret(content, allow, kind) for name, content in data.items()}


def settings(**changes: Any) -> Settings:
    return Settings(image="genset:test", **changes)


CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, list[str]]]]] = [
    ("fine", {"source": PLAIN}, {}, []),
    ("secret there", {"source": HUB}, {"secrets": {"hub": {"token": b"t"}}}, []),
    (
        "secret missing",
        {"source": HUB},
        {},
        [("SecretNotFound", ["Secret hub", "namespace models", "key token", "tokenSecretRef"])],
    ),
    (
        "key missing",
        {"source": HUB},
        {"secrets": {"hub": {"tok": b"t"}}},
        [("SecretKeyNotFound", ["Secret hub has no key token: fill it, or correct the key"])],
    ),
    (
        "key empty",
        {"source": HUB},
        {"secrets": {"hub": {"token": b" \n"}}},
        [("SecretKeyNotFound", ["empty key token"])],
    ),
    (
        "both of http",
        {"source": WEB},
        {},
        [("SecretNotFound", ["Secret web,"]), ("SecretNotFound", ["Secret web-ca,"])],
    ),
    (
        "host path",
        {"source": {"hostPath": {"path": "/m.gguf"}}},
        {},
        [("HostPathNotAllowed", ["allowHostPath", "use pvc"])],
    ),
    ("host path allowed", {"source": {"hostPath": {"path": "/m.gguf"}}}, {"settings": {"allow_host_path": True}}, []),
    (
        "way out of the claim",
        {"source": {"pvc": {"claimName": "c", "path": "a/../../etc/passwd"}}},
        {},
        [("InvalidSpec", ["'..'"])],
    ),
    ("dots in a name are fine", {"source": {"pvc": {"claimName": "c", "path": "a/..b.gguf"}}}, {}, []),
    (
        "denied arguments",
        {"source": PLAIN, "llamaCpp": {"extraArgs": ["--tools", "all", "--port=1"]}},
        {},
        [("InvalidSpec", ["--tools is refused", "run code"]), ("InvalidSpec", ["--port=1 is refused"])],
    ),
    (
        "a field to leave out that is not there",
        {"source": PLAIN, "podTemplate": {"remove": ["spec.securityContext.runAsUser", "spec.securityContext.runAs"]}},
        {},
        [("InvalidSpec", ["spec.podTemplate.remove[1]", "spec.securityContext.runAs names nothing", "runAsUser"])],
    ),
    (
        "a token over plain HTTP",
        {"source": {"huggingFace": {**HUB["huggingFace"], "endpoint": "http://hub.corp"}}},
        {"secrets": {"hub": {"token": b"t"}}},
        [
            (
                "InvalidSpec",
                ["spec.source.huggingFace: ", "plain HTTP", "set spec.source.huggingFace.allowPlainHTTP: true"],
            )
        ],
    ),
    (
        "a token over plain HTTP, as its owner says",
        {"source": {"huggingFace": {**HUB["huggingFace"], "endpoint": "http://hub.corp", "allowPlainHTTP": True}}},
        {"secrets": {"hub": {"token": b"t"}}},
        [],
    ),
    (
        "headers over plain HTTP",
        {"source": {"http": {**WEB["http"], "url": "http://a.example/m.gguf"}}},
        {"secrets": {"web": {"headers": b"a: b"}, "web-ca": {"ca.crt": CA}}},
        [("InvalidSpec", ["set spec.source.http.allowPlainHTTP: true"])],
    ),
    ("no token over plain HTTP", {"source": {"http": {"url": "http://a.example/m.gguf", "sha256": "0" * 64}}}, {}, []),
    *(
        (
            f"a source at {host}",
            {"source": {"http": {"url": f"http://{host}/m.gguf", "sha256": "0" * 64}}},
            {"settings": {"api_server": ("10.96.0.1",), "forbidden_networks": ("192.0.2.0/24",)}},
            [("InvalidSpec", ["spec.source.http: ", "is no address that pods may dial", "meant for downloads"])],
        )
        for host in (
            "127.0.0.1:80",
            "169.254.169.254",
            "[::1]",
            "10.96.0.1",
            "2130706433",
            "192.0.2.7",
            "kubernetes.default.svc",
        )
    ),
    *(
        (
            f"an image that the node would pull from {host}",
            {"source": {"oci": {"reference": f"{host}/m/m:1", "mount": "ImageVolume", "path": "m.gguf"}}},
            {"settings": {"api_server": ("10.96.0.1",), "forbidden_networks": ("192.0.2.0/24",)}},
            [("InvalidSpec", ["spec.source.oci: ", "is no address that nodes may dial", "meant for downloads"])],
        )
        for host in ("localhost:10250", "169.254.169.254", "10.96.0.1:443", "192.0.2.7:5000", "kubernetes.default.svc")
    ),
    (
        "an image that the node pulls from a registry",
        {"source": {"oci": {"reference": "registry.corp/m/m:1", "mount": "ImageVolume", "path": "m.gguf"}}},
        {},
        [],
    ),
    (
        "cacheRAM fills memory",
        {"source": PLAIN, "resources": {"memory": "1Gi"}, "llamaCpp": {"cacheRAM": "1024Mi"}},
        {},
        [("InvalidSpec", ["cacheRAM (1024Mi)", "1Gi"])],
    ),
    (
        "one pod volume for two",
        {"source": PLAIN, "replicas": 2, "cache": {"size": "1Gi", "accessMode": "ReadWriteOncePod"}},
        {},
        [("InvalidSpec", ["ReadWriteOncePod", "ReadWriteMany"])],
    ),
    (
        "external secrets",
        {"engine": "external", "external": {"url": "https://a", "apiKeySecretRef": {"name": "k", "key": "x"}}},
        {},
        [("SecretNotFound", ["spec.external.apiKeySecretRef", "Secret k"])],
    ),
]


@pytest.mark.parametrize(("spec", "given", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_model_deployment(spec: dict[str, Any], given: dict[str, Any], expected: list[tuple[str, list[str]]]) -> None:
    context = ModelDeploymentContext(settings(**given.get("settings", {})), known(given.get("secrets", {})))
    found = check_model_deployment(model(**spec), context)
    assert [problem.reason for problem in found] == [reason for reason, _ in expected]
    for problem, (_, words) in zip(found, expected, strict=True):
        assert problem.field.startswith("spec.")
        for word in words:
            assert word in problem.message


def policy(*backends: dict[str, Any]) -> RoutePolicy:
    routes = [{"name": "r", "tiers": [{"backends": [{"name": backend["name"]}]} for backend in backends]}]
    return RoutePolicy.model_validate(
        {
            "metadata": {"name": "assistant", "namespace": "models"},
            "spec": {"backends": list(backends), "routes": routes},
        }
    )


DESK = model(engine="external", external={"url": "https://a", "apiKeySecretRef": {"name": "desk", "key": "key"}})
CLOUD = {
    "name": "cloud",
    "cloud": {
        "provider": "openAICompatible", "model": "m", "baseURL": "https://a/v1",
        "credentialsSecretRef": {"name": "key", "key": "apiKey"}, "caSecretRef": {"name": "ca", "key": "ca.crt"},
        "proxy": {"url": "http://p:3128", "credentialsSecretRef": {"name": "proxy", "key": "basic"}},
    },
}  # fmt: skip


def test_a_policy_says_everything_that_is_missing_at_once() -> None:
    resource = policy(
        CLOUD, {"name": "typo", "deployment": {"name": "hous"}}, {"name": "desk", "deployment": {"name": "desk"}}
    )
    context = RoutePolicyContext(settings(), {"desk": DESK}, known({"ca": {}}))
    found = check_route_policy(resource, context)
    assert [problem.reason for problem in found] == [
        "DeploymentNotFound", "SecretNotFound", "SecretKeyNotFound", "SecretNotFound", "SecretNotFound",
    ]  # fmt: skip
    assert "ModelDeployment hous" in found[0].message and "backend typo" in found[0].message
    assert "spec.backends[cloud].cloud.credentialsSecretRef" in found[1].message
    assert "proxy" in found[3].message
    assert "Secret desk" in found[4].message


def test_a_policy_whose_references_resolve_has_no_problem() -> None:
    secrets = {"key": {"apiKey": b"1"}, "ca": {"ca.crt": CA}, "proxy": {"basic": b"u:p"}, "desk": {"key": b"4"}}
    resource = policy(CLOUD, {"name": "desk", "deployment": {"name": "desk"}})
    assert check_route_policy(resource, RoutePolicyContext(settings(), {"desk": DESK}, known(secrets))) == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://assistant-router/v1", True),
        ("http://assistant-router.models/v1", True),
        ("http://assistant-router.models.svc:80/v1", True),
        ("http://Assistant-Router.models.svc.cluster.local./v1", True),
        ("https://assistant-router.models.svc.corp.example:8443/v1", True),
        ("http://assistant-router.other.svc/v1", False),
        ("http://assistant-router.models-b.svc/v1", False),
        ("http://other-router.models.svc/v1", False),
        ("http://assistant-router.example/v1", False),
        ("http://assistant-router.models.svc-b/v1", False),
    ],
)
def test_a_policy_whose_backend_is_its_own_router_is_refused(url: str, own: bool) -> None:
    gateway = {"name": "gateway", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": url}}
    resource = policy(gateway, {"name": "desk", "deployment": {"name": "desk"}})
    external = model(engine="external", external={"url": url})
    context = RoutePolicyContext(settings(), {"desk": external}, {})
    found = check_route_policy(resource, context)
    assert [problem.reason for problem in found] == (["InvalidSpec"] * 2 if own else [])
    if own:
        assert [problem.field for problem in found] == [
            "spec.backends[gateway].cloud.baseURL",
            "spec.backends[desk].deployment.name",
        ]
        assert "own routers" in found[0].message and "spec.external.url of ModelDeployment desk" in found[1].message
    served = [backend.name for backend in router_config.build(resource, context).backends]
    assert served == ([] if own else ["gateway", "desk"]), "the routers would be given themselves"


def test_what_has_to_be_read_is_what_is_named() -> None:
    uses = secret_uses(model(source=WEB), settings())
    assert [(use.ref.name, use.url) for use in uses] == [("web", "https://a.example/m.gguf"), ("web-ca", "")]
    resource = policy(CLOUD, {"name": "desk", "deployment": {"name": "desk"}})
    uses = policy_secret_uses(resource, {"desk": DESK}, settings())
    assert [(use.ref.name, use.url) for use in uses] == [
        ("key", "https://a/v1"), ("ca", ""), ("proxy", "http://p:3128"), ("desk", "https://a/v1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("secret", "key", "content", "field", "words"),
    [
        ("key", "apiKey", b"Bearer sk-1", "spec.backends[cloud].cloud.credentialsSecretRef", "without `Bearer`"),
        ("key", "apiKey", b"sk-1\nsk-2", "spec.backends[cloud].cloud.credentialsSecretRef", "line breaks"),
        ("ca", "ca.crt", b"not a certificate", "spec.backends[cloud].cloud.caSecretRef", "PEM form"),
        ("proxy", "basic", b"no-password", "spec.backends[cloud].cloud.proxy.credentialsSecretRef", "user:password"),
    ],
)
def test_a_key_that_cannot_serve_its_use_says_why(
    secret: str, key: str, content: bytes, field: str, words: str
) -> None:
    secrets = {"key": {"apiKey": b"1"}, "ca": {"ca.crt": CA}, "proxy": {"basic": b"u:p"}, "desk": {"key": b"4"}}
    secrets[secret] = {key: content}
    resource = policy(CLOUD, {"name": "desk", "deployment": {"name": "desk"}})
    problems = check_route_policy(resource, RoutePolicyContext(settings(), {"desk": DESK}, known(secrets)))
    assert [(p.reason, p.field) for p in problems] == [("SecretKeyInvalid", field)]
    assert f"key {key} of Secret {secret}" in problems[0].message and words in problems[0].message


ANYWHERE = "kubectl annotate secret {} -n models genset.dev/allow-hosts="
#: A ModelDeployment's spec, the Secret and what its owner allows, and the words of the refusal; none if it is allowed.
CONSENT: list[tuple[dict[str, Any], dict[str, dict[str, bytes]], str | None, list[str]]] = [
    ({"source": HUB}, {"hub": {"token": b"t"}}, "huggingface.co", []),
    ({"source": HUB}, {"hub": {"token": b"t"}}, None, [ANYWHERE.format("hub") + "huggingface.co", "huggingFace"]),
    ({"source": HUB}, {"hub": {"token": b"t"}}, "a.corp", ["=HOSTS,huggingface.co --overwrite"]),
    ({"source": HUB}, {"hub": {"other": b"t"}}, None, ["is not meant for huggingface.co"]),
    ({"source": WEB}, {"web": {"headers": b"a: b"}, "web-ca": {"ca.crt": CA}}, "*.example", []),
    ({"source": WEB}, {"web": {"headers": b"a: b"}, "web-ca": {"ca.crt": CA}}, None, ["headersSecretRef", "a.example"]),
]


@pytest.mark.parametrize(("spec", "secrets", "allow", "words"), CONSENT)
def test_a_secret_says_where_its_values_may_go(
    spec: dict[str, Any], secrets: dict[str, dict[str, bytes]], allow: str | None, words: list[str]
) -> None:
    found = check_model_deployment(model(**spec), ModelDeploymentContext(settings(), known(secrets, allow)))
    assert [problem.reason for problem in found] == (["SecretNotAllowed"] if words else [])
    for word in words:
        assert word in found[0].message
    assert "token" not in "".join(problem.message.replace("tokenSecretRef", "") for problem in found), "no key is told"


def test_the_operators_own_mirror_is_where_the_token_goes() -> None:
    given = known({"hub": {"token": b"t"}}, "huggingface.co")
    found = check_model_deployment(
        model(source=HUB), ModelDeploymentContext(settings(hugging_face_endpoint="https://mirror.corp/hub"), given)
    )
    assert [problem.reason for problem in found] == ["SecretNotAllowed"] and "mirror.corp" in found[0].message


def test_every_use_of_a_policy_needs_consent_for_its_own_server() -> None:
    resource = policy(CLOUD, {"name": "desk", "deployment": {"name": "desk"}})
    data = {"key": {"apiKey": b"1"}, "ca": {"ca.crt": CA}, "proxy": {"basic": b"u:p"}, "desk": {"key": b"4"}}
    found = check_route_policy(resource, RoutePolicyContext(settings(), {"desk": DESK}, known(data, None)))
    assert [problem.reason for problem in found] == ["SecretNotAllowed"] * 3, "certificates are not sent"
    told = [problem.message.rpartition("=")[2] for problem in found]
    assert told == ["a", "p:3128", "a"]


@pytest.mark.parametrize("kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"])
def test_a_token_of_the_cluster_is_sent_nowhere(kind: str) -> None:
    data = {"key": {"apiKey": b"1"}, "ca": {"ca.crt": CA}, "proxy": {"basic": b"u:p"}}
    context = RoutePolicyContext(settings(), {}, known(data, "*", kind))
    found = check_route_policy(policy(CLOUD), context)
    assert [problem.reason for problem in found] == ["SecretNotAllowed"] * 3
    assert router_config.credential_files(policy(CLOUD), context) == {}


@pytest.mark.parametrize(
    ("value", "hosts", "reason"),
    [
        (b"gold", "*", None),
        (b"gold", None, "SecretNotAllowed"),
        (b"two\nlines", "*", "SecretKeyInvalid"),
        (b" ", "*", "SecretKeyNotFound"),
    ],
)
def test_a_header_from_a_secret_is_treated_like_a_key(value: bytes, hosts: str | None, reason: str | None) -> None:
    headers = [{"name": "x-tenant", "secretKeyRef": {"name": "tenant", "key": "id"}}]
    cloud = {"provider": "openAICompatible", "model": "m", "baseURL": "https://g.corp/v1", "headers": headers}
    resource = policy({"name": "cloud", "cloud": cloud})
    context = RoutePolicyContext(settings(), {}, known({"tenant": {"id": value}}, hosts))
    found = check_route_policy(resource, context)
    assert [problem.reason for problem in found] == ([reason] if reason else [])
    if reason:
        assert "spec.backends[cloud].cloud.headers[x-tenant].secretKeyRef" in found[0].message
    assert len(router_config.credential_files(resource, context)) == (0 if reason else 1)


def test_a_header_from_a_secret_does_not_go_over_plain_http() -> None:
    headers = [{"name": "x-tenant", "secretKeyRef": {"name": "tenant", "key": "id"}}]
    cloud = {"provider": "openAICompatible", "model": "m", "baseURL": "http://g.corp/v1", "headers": headers}
    context = RoutePolicyContext(settings(), {}, known({"tenant": {"id": b"gold"}}, "*"))
    (problem,) = check_route_policy(policy({"name": "cloud", "cloud": cloud}), context)
    assert "allowPlainHTTP" in problem.message


@pytest.mark.parametrize("allow", ["*", None])
def test_no_message_tells_which_keys_a_secret_has(allow: str | None) -> None:
    secrets = known({"hub": {"db-password": b"x", "s3cret-name": b"y"}}, allow)
    (problem,) = check_model_deployment(model(source=HUB), ModelDeploymentContext(settings(), secrets))
    assert not any(name in str(problem) for name in ("db-password", "s3cret-name"))
