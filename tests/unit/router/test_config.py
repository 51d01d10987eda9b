"""What a router's configuration may not hold: each is refused with file, object, field and remedy, and nothing crashes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genset import __version__
from genset.contracts.router_config import RouterConfig
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials, MissingCredential
from genset.router.continuation import OFF, RULES
from genset.router.errors import ConfigRejected
from genset.router.http.callers import Proxies
from genset.router.http.cors import Cors
from genset.router.process.reload import FolderSource, LoadedConfig, check
from genset.router.providers import PROVIDERS
from genset.router.routing.table import Table
from testbed.router import cloud, config, house, pods

FILES = {"key": b"sk-1", "proxy": b"me:secret"}
GOOD: dict[str, Any] = {
    **config(
        house("http://10.0.0.7:1234/v1", url={"healthPath": "/v1/models"}),
        cloud(
            "https://gw.corp/v1",
            "far",
            url={"keyFile": "key", "proxyUrl": "http://p:3128", "forwardHeaders": ["Trace"]},
        ),
        pods("house.models.svc", 8000, "pods", balancing={"maxInFlightPerEndpoint": 4}),
        tiers=[["house", "pods"], ["far"]],
        failover={
            "firstTokenSeconds": 15,
            "stallSeconds": 10,
            "totalSeconds": 600,
            "maxAttempts": 4,
            "toCloudOn": ["Cold"],
        },
        limits={"maxBodyBytes": 1024, "maxInFlight": 10, "maxQueued": 0, "queueSeconds": 5, "drainSeconds": 0},
    ),
    "cors": {"allowedOrigins": ["https://a.example"]},
    "trustedProxies": ["10.0.0.0/8"],
    "log": {"required": False},
    "telemetry": {"otlpEndpoint": "http://collector:4318", "samplePercent": 50},
}
NEWER = f"this router, version {__version__}, does not know it"


def changed(place: str, value: Any) -> dict[str, Any]:
    """The good configuration with another value at a place, written `backends.1.url.baseUrl`."""
    document = copy.deepcopy(GOOD)
    here: Any = document
    *path, last = place.split(".")
    for step in path:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    if isinstance(here, list):
        here[int(last)] = value
    else:
        here[last] = value
    return document


def taken(folder: Path, content: bytes | str | dict[str, Any]) -> None:
    """Everything that a router makes of a configuration before it serves it."""
    text = json.dumps(content) if isinstance(content, dict) else content
    (folder / "router.json").write_bytes(text.encode() if isinstance(text, str) else text)
    use(FolderSource(folder, None).load())


def use(loaded: LoadedConfig) -> None:
    made, credentials = loaded.config, Credentials(FILES, "here")
    check(made, ("127.0.0.1", 8080), 0, {})
    Table(made, {backend.name: Backend(backend, credentials, lambda: 0.5) for backend in made.backends}, "hash")
    Cors(made.cors.allowed_origins if made.cors else ())
    Proxies(made.trusted_proxies or ())


def refusal(folder: Path, content: bytes | str | dict[str, Any]) -> str:
    with pytest.raises(ConfigRejected) as refused:
        taken(folder, content)
    told = str(refused.value)
    assert told.startswith(f"{folder / 'router.json'}: "), told
    return told.partition("router.json: ")[2]


def test_the_good_one_is_good(tmp_path: Path) -> None:
    taken(tmp_path, GOOD)


# where, the value, what is said
REFUSED: list[tuple[str, Any, str]] = [
    # Words
    ("backends.1.url.provider", "cerebras", "backends[far].url.provider: Input should be 'openai', 'azureOpenAI', 'anthropic'"),
    ("backends.1.url.provider", "cerebras", "openAICompatible with baseURL https://api.cerebras.ai/v1"),
    ("backends.1.url.provider", "google", "did you mean gemini?"),
    ("backends.1.url.provider", "openrouter", "did you mean openRouter?"),
    ("backends.1.url.provider", "brandNew", NEWER),
    ("backends.1.continuation", "Telepathy", "backends[far].continuation: Input should be 'Prefill', 'ContinueFinalMessage'"),
    ("backends.1.continuation", "prefill", "did you mean Prefill?"),
    ("backends.1.kind", "edge", "backends[far].kind: Input should be 'local' or 'cloud'"),
    ("backends.1.balancing.strategy", "RoundRobin", "backends[far].balancing.strategy: Input should be 'LeastInFlight'"),
    ("backends.1.url.forwardHeaders", ["Organization"], "backends[far].url.forwardHeaders[0]: Input should be 'Trace'"),
    ("routes.0.failover.toCloudOn", ["Whatever"], "routes[route].failover.toCloudOn[0]: Input should be 'Unreachable'"),
    ("routes.0.whenFull", "Refuse", "routes[route].whenFull: Input should be 'NextTier' or 'Wait'"),
    ("routes.0.coldStart.mode", "Wait", "routes[route].coldStart.mode: Input should be 'Hold' or 'Bridge'"),
    ("version", 2, f"version: Input should be 1 ({NEWER}"),
    # Fields
    ("colour", "blue", f"colour: there is no such field here: {NEWER}"),
    ("backends.1.url.baseURL", "https://x/v1", "backends[far].url.baseURL: there is no such field here: did you mean baseUrl?"),
    ("backends.1.url.key_file", "key", "backends[far].url.key_file: there is no such field here: did you mean keyFile?"),
    ("routes.0.maxAttempts", 3, "it belongs to routes[].failover.maxAttempts"),
    # Numbers
    *[
        (f"{place}.{name}", value, words)
        for place, names in {
            "limits": ("maxBodyBytes", "maxInFlight", "memoryBytes"),
            "backends.0": ("contextTokens",),
            "backends.0.balancing": ("maxInFlightPerEndpoint", "prefixTokens"),
            "routes.0.failover": ("maxAttempts",),
            "routes.0.match": ("maxInputTokens",),
        }.items()
        for name in names
        for value, words in ((0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (1.5, "valid integer"))
    ],
    *[
        (place, value, "Input should be")
        for place in (
            "limits.queueSeconds", "backends.0.balancing.queueSeconds", "routes.0.coldStart.seconds",
            "routes.0.failover.firstTokenSeconds", "routes.0.failover.stallSeconds", "routes.0.failover.totalSeconds",
        )
        for value in (0, -1, 1e300, float("nan"), float("inf"), "soon")
    ],
    ("limits.drainSeconds", -1, "limits.drainSeconds: Input should be greater than or equal to 0"),
    ("limits.drainSeconds", float("inf"), "limits.drainSeconds: Input should be a finite number"),
    ("limits.maxQueued", -1, "limits.maxQueued: Input should be greater than or equal to 0"),
    ("backends.0.balancing.maxQueued", -1, "backends[house].balancing.maxQueued: Input should be greater"),
    ("routes.0.tiers.0.0.weight", -1, "routes[route].tiers[0][house].weight: Input should be greater than or equal to 0"),
    ("telemetry.samplePercent", 101, "telemetry.samplePercent: Input should be less than or equal to 100"),
    ("telemetry.samplePercent", float("nan"), "telemetry.samplePercent: Input should be a finite number"),
    ("backends.2.local.dns.port", 65536, "backends[pods].local.dns.port: Input should be less than or equal to 65535"),
    ("policy.generation", -1, "policy.generation: Input should be greater than or equal to 0"),
    # Addresses
    ("backends.1.url.baseUrl", "https://gw.corp/v1/chat/completions", "backends[far].url.baseUrl: ends in the path of an API"),
    ("backends.1.url.baseUrl", "https://gw.corp/v1/models", "write https://gw.corp/v1"),
    ("backends.1.url.baseUrl", "https://gw.corp/v1 ", "backends[far].url.baseUrl: takes no fragment (#...), no blank"),
    ("backends.1.url.baseUrl", "https://gw.corp/v1?x=1", "backends[far].url.baseUrl: takes no query (?...)"),
    ("backends.1.url.proxyUrl", "socks5://p:1080", "backends[far].url.proxyUrl: names no server: write http://HOST:PORT"),
    ("backends.2.local.dns.host", "", "backends[pods].local.dns.host: names no host"),
    ("backends.2.local.dns.host", "a" * 64, "backends[pods].local.dns.host: names no host"),
    ("backends.2.local.dns.host", "a b", "backends[pods].local.dns.host: names no host"),
    ("backends.2.local.healthPath", "health", "backends[pods].local.healthPath: it does not fit; write something like /health"),
    ("backends.0.url.healthPath", "/a b", "backends[house].url.healthPath: it does not fit; write something like /health"),
    ("backends.0.url.healthPath", "/a\r\nx: y", "backends[house].url.healthPath: it does not fit"),
    ("telemetry.otlpEndpoint", "collector:4318", "telemetry.otlpEndpoint: names no server: write https://HOST:PORT/PATH"),
    ("telemetry.otlpEndpoint", "http://c:4318?x", "telemetry.otlpEndpoint: names no server"),
    ("trustedProxies", ["10.0.0.300/8"], "trustedProxies[0]: is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8"),
    ("trustedProxies", ["10.0.0.7"], "trustedProxies[0]: is no network"),
    ("cors.allowedOrigins", ["https://a.example/"], "cors.allowedOrigins[0]: write https://a.example"),
    ("cors.allowedOrigins", ["*", "https://a.example"], "cors: allowedOrigins: * means every origin and stands alone"),
    ("cors.allowedOrigins", [], "cors.allowedOrigins: Tuple should have at least 1 item"),
    # Names
    ("backends.1.name", "far\r\nx: y", "it does not fit; write something like frontier"),
    ("backends.1.name", "", "backends[1].name: String should have at least 1 character"),
    ("backends.1.model", "", "backends[far].model: String should have at least 1 character"),
    ("backends.1.url.keyFile", "", "backends[far].url.keyFile: it does not fit; write something like frontier.key"),
    ("backends.1.url.keyFile", "../key", "backends[far].url.keyFile: it does not fit"),
    ("backends.2.local.wakes", "", "backends[pods].local.wakes: String should have at least 1 character"),
    ("routes.0.name", "all of it", "name: it does not fit; write something like frontier"),
    ("routes.0.match.models", ["a*b"], "routes[route].match.models[0]: it does not fit; write something like team-*"),
    ("routes.0.match.models", [""], "routes[route].match.models[0]: String should have at least 1 character"),
    ("routes.0.match.headers", [{"name": "X-Team", "value": "a"}], "headers[X-Team].name: it does not fit; write something"),
    ("routes.0.match.headers", [{"name": "x team", "value": "a"}], "name: it does not fit; write something like x-team"),
    ("routes.0.match.headers", [{"name": "x-\u00e4", "value": "a"}], "name: it does not fit"),
    ("routes.0.match.headers", [{"name": "a", "value": "b\r\n"}], "value: it does not fit; write something like gold"),
    ("routes.0.match.headers", [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}], "match: headers: a twice"),
    ("site", "a site", "site: it does not fit; write something like house-1"),
    # What does not fit together
    ("routes", [], "routes: Tuple should have at least 1 item"),
    ("routes.0.tiers", [[]], "routes[route].tiers[0]: Tuple should have at least 1 item"),
    ("routes.0.tiers", [[{"backend": "nobody", "weight": 1}]], "routes[route]: backend nobody is unknown; add it"),
    ("routes.0.tiers", [[{"backend": "far", "weight": 1}, {"backend": "far", "weight": 0}]], "routes[route]: tiers: far twice"),
    ("routes", GOOD["routes"] * 2, "routes: route twice; each may stand there once"),
    ("backends.0.name", "far", "backends: far twice; each may stand there once"),
    ("backends.0.local", {"dns": {"host": "h", "port": 1}, "healthPath": "/"}, "backends[house]: needs exactly one of"),
    ("backends.0.url", None, "backends[house]: needs exactly one of local, url"),
    ("backends.2.kind", "cloud", "backends[pods]: kind cloud needs url"),
    ("backends.0.url.forwardHeaders", ["Trace"], "backends[house]: url.forwardHeaders needs kind cloud"),
    ("backends.0.url.caFile", "ca.pem", "backends[house].url: caFile needs a baseUrl with https://"),
    ("backends.0.url.proxyCredentialsFile", "proxy", "backends[house].url: proxyCredentialsFile needs proxyUrl"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "words"), REFUSED, ids=[f"{p}={v!r:.30}" for p, v, _ in REFUSED])
def test_refused_with_object_field_and_remedy(tmp_path: Path, place: str, value: Any, words: str) -> None:
    assert words in refusal(tmp_path, changed(place, value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "document: Invalid JSON"),
        (b"{", "document: Invalid JSON"),
        (b"[]", "document: Input should be an object"),
        (b"null", "document: Input should be an object"),
        (b"\xff\xfe", "document: Invalid JSON"),
        (b'{"version": 1, "version": 1}', "policy: Field required"),
        (b"[" * 100_000, "document: Invalid JSON"),
        (json.dumps(GOOD).replace("https://gw", "https://gw\\ud800").encode(), "document: Invalid JSON"),
    ],
)
def test_files_that_hold_no_configuration(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path, content)


def test_no_value_is_repeated(tmp_path: Path) -> None:
    """Somebody may have written a key there."""
    for place, _, _ in REFUSED:
        if place.startswith("backends.1.url"):
            assert "sk-secret" not in refusal(tmp_path, changed(place, "sk-secret\n"))
    assert "sk-secret" not in refusal(tmp_path, changed("backends.1.url.apiKey", "sk-secret"))
    assert "sk-secret" not in refusal(
        tmp_path, changed("backends.1.url.baseUrl", "https://me:sk-secret@h/v1/models?sk-secret")
    )


def places(document: Any, before: str = "") -> list[str]:
    if isinstance(document, dict):
        items: Any = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    else:
        return []
    return [path for key, value in items for path in (f"{before}{key}", *places(value, f"{before}{key}."))]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.integers(), st.floats(), st.text(max_size=6), st.just([]), st.just({}),
    st.sampled_from(["http://h/v1", "https://h", "*", "/", "far", "a-b", "\ud800", "::1", "10.0.0.0/33", "1e999"]),
    st.lists(st.one_of(st.text(max_size=3), st.integers(-1, 1)), max_size=2),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(places(GOOD)), VALUES)
def test_whatever_stands_there_is_taken_or_refused(place: str, value: Any) -> None:
    try:
        config_of = RouterConfig.from_json(
            json.dumps(changed(place, value)).encode(), providers=PROVIDERS, continuations=(*RULES, OFF)
        )
    except ValidationError:
        return
    try:
        use(LoadedConfig(config_of, "hash", Credentials(FILES, "here")))
    except (ConfigRejected, MissingCredential):
        return


def test_every_word_of_the_registries_is_taken(tmp_path: Path) -> None:
    for provider in PROVIDERS:
        taken(tmp_path, changed("backends.1.url.provider", provider))
    for rule in (*RULES, OFF):
        taken(tmp_path, changed("backends.1.continuation", rule))


def test_credentials_that_cannot_be_read_are_a_rejection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-1")

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(MissingCredential, match="key: Permission denied; let the router read it"):
        Credentials.from_folder(tmp_path)
