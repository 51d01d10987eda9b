"""`genset router -f`: what files may hold, and the messages for what they may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from genset.cli import main
from genset.router.errors import ConfigRejected
from genset.router.process.reload import LoadedConfig
from genset.standalone import FilesSource, parse_endpoints

POLICY = """
apiVersion: genset.dev/v1alpha1
kind: RoutePolicy
metadata: {name: assistant, namespace: models}
spec:
  backends:
  - {name: house, deployment: {name: house-small}}
  - name: cloud
    cloud: {provider: openai, model: big, credentialsSecretRef: {name: openai, key: apiKey}}
  routes:
  - {name: all, match: {models: [assistant]}, tiers: [{backends: [{name: house}]}, {backends: [{name: cloud}]}]}
"""
SECRET = """
---
apiVersion: v1
kind: Secret
metadata: {name: openai}
stringData: {apiKey: sk-1}
"""
EXTERNAL = """
---
apiVersion: genset.dev/v1alpha1
kind: ModelDeployment
metadata: {name: house-small, namespace: models}
spec: {engine: external, model: qwen, external: {url: "http://10.0.0.7:1234"}}
"""
MANAGED = """
---
apiVersion: genset.dev/v1alpha1
kind: ModelDeployment
metadata: {name: house-small, namespace: models}
spec: {model: qwen, source: {pvc: {claimName: c, path: m.gguf}}, context: {tokens: 9000}}
"""


def load(
    tmp_path: Path, text: str, *endpoints: str, policy: str | None = None, secrets: Path | None = None
) -> LoadedConfig:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return FilesSource([path], policy, parse_endpoints(endpoints), secrets).load()


def test_a_deployment_that_rests_in_a_cluster_never_rests_here(tmp_path: Path) -> None:
    """The same files serve on a laptop: what answers at --endpoint is somebody else's to start and stop."""
    resting = MANAGED.replace("context:", "autoscaling: {min: 0, max: 2}, context:")
    holding = POLICY.replace("match: {models: [assistant]},", "match: {models: [assistant]}, coldStart: {mode: Hold},")
    loaded = load(tmp_path, holding + SECRET + resting, "house-small=http://127.0.0.1:8081")
    house = loaded.config.backends[0]
    assert house.local is None and house.url is not None and house.url.base_url == "http://127.0.0.1:8081/v1"
    assert loaded.config.routes[0].cold_start.mode == "Hold"


def test_what_no_route_needs_may_be_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is left out and told, whether it is in no file or would need a cluster."""
    unused = (
        "  - {name: gone, deployment: {name: nowhere}}\n  - {name: pods, deployment: {name: in-a-cluster}}\n"
        "  - name: spare\n    cloud: {provider: openai, model: m, credentialsSecretRef: {name: none, key: k}}\n  routes:"
    )
    managed = MANAGED.replace("name: house-small", "name: in-a-cluster")
    loaded = load(tmp_path, POLICY.replace("  routes:", unused) + SECRET + EXTERNAL + managed)
    assert [backend.name for backend in loaded.config.backends] == ["house", "cloud"]
    assert "spec.backends[gone] is named by no route" in caplog.text
    assert "ModelDeployment nowhere" in caplog.text and "Secret none" in caplog.text


def test_external_deployment(tmp_path: Path) -> None:
    loaded = load(tmp_path, POLICY + SECRET + EXTERNAL)
    house, cloud = loaded.config.backends
    assert house.kind == "local" and house.model == "qwen" and house.url is not None
    assert house.url.base_url == "http://10.0.0.7:1234/v1"
    assert cloud.url is not None and cloud.url.key_file is not None
    assert loaded.credentials.read(cloud.url.key_file, "cloud") == b"sk-1"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "http://127.0.0.1:8081/", "http://127.0.0.1:8081/v1"])
def test_endpoint_places_a_deployment(tmp_path: Path, url: str) -> None:
    house = load(tmp_path, POLICY + SECRET + MANAGED, f"house-small={url}").config.backends[0]
    assert house.url is not None and house.url.base_url == "http://127.0.0.1:8081/v1"
    assert (house.model, house.context_tokens, house.kind) == ("qwen", 9000, "local")


# what the file says of house-small, what its backend says, how the server at --endpoint is asked to write on
WRITING_ON: dict[str, tuple[str, str, str]] = {
    "llama.cpp, as in a cluster": (MANAGED, "", "ContinueFinalMessage"),
    "llama.cpp, but the policy knows better": (MANAGED, "continuation: Prefill", "Prefill"),
    "llama.cpp, switched off": (MANAGED, 'continuation: "Off"', "Off"),
    "an external server": (EXTERNAL, "", "Anchor"),
    "an external server of which the policy knows more": (EXTERNAL, "continuation: Prefill", "Prefill"),
    "nothing": ("", "", "Anchor"),
}


@pytest.mark.parametrize("case", WRITING_ON)
def test_endpoint_keeps_the_engines_way_of_writing_on(tmp_path: Path, case: str) -> None:
    deployment, said, wanted = WRITING_ON[case]
    policy = POLICY.replace("name: house-small}}", f"name: house-small}}, {said}}}")
    house, cloud = load(tmp_path, policy + SECRET + deployment, "house-small=http://127.0.0.1:8081").config.backends
    assert house.continuation == wanted
    assert cloud.continuation == "Anchor", "the other backends are asked as ever"


def test_endpoint_alone_makes_a_deployment(tmp_path: Path) -> None:
    house = load(tmp_path, POLICY + SECRET, "house-small=http://h:1").config.backends[0]
    assert house.url is not None and house.url.base_url == "http://h:1/v1" and house.model == "house-small"


def test_secrets_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "openai").mkdir(parents=True)
    (tmp_path / "secrets" / "openai" / "apiKey").write_text("sk-2\n")
    loaded = load(tmp_path, POLICY + EXTERNAL, secrets=tmp_path / "secrets")
    url = loaded.config.backends[1].url
    assert url is not None and url.key_file is not None
    assert loaded.credentials.read(url.key_file, "cloud").strip() == b"sk-2"


def test_lists_are_opened(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        "- " + document.strip().replace("\n", "\n  ") + "\n" for document in (POLICY + SECRET + EXTERNAL).split("---")
    )
    assert len(load(tmp_path, text).config.backends) == 2


WRONG: dict[str, tuple[str, list[str]]] = {
    "unknown kind": (
        POLICY + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
        ["ConfigMap x", "remove it"],
    ),
    "wrong version": (POLICY.replace("v1alpha1", "v9"), ["RoutePolicy assistant", "v9", "genset.dev/v1alpha1"]),
    "no name": (POLICY.replace("name: assistant, ", ""), ["metadata.name", "give it a name"]),
    "unknown field": (
        POLICY.replace("spec:", "spec:\n  colour: blue") + SECRET + EXTERNAL,
        ["spec.colour: there is no such field here: take"],
    ),
    **{
        f"written as {written}": (
            POLICY.replace("model: big,", f"model: big, {written}: x,") + SECRET + EXTERNAL,
            [words],
        )
        for written, words in {
            "apiKey": "cloud.apiKey: there is no such field here: write credentialsSecretRef: {name: SECRET, key: KEY}",
            "api_key": "write credentialsSecretRef",
            "key": "write credentialsSecretRef",
            "token": "write credentialsSecretRef",
            "secretRef": "write credentialsSecretRef",
            "baseUrl": "did you mean baseURL?",
            "base_url": "did you mean baseURL?",
            "basURL": "did you mean baseURL?",
            "url": "write baseURL",
            "modelName": "write model",
            "vendor": "write provider",
            "contextTokens": "it belongs to spec.backends[].contextTokens",
            "zzz": "cloud.zzz: there is no such field here: take",
        }.items()
    },
    "an API path behind the base URL": (
        POLICY.replace("model: big,", "model: big, baseURL: 'https://gw.corp/v1/chat/completions',")
        + SECRET
        + EXTERNAL,
        ["spec.backends[cloud].cloud: cloud.baseURL ends in the path of an API call", "write https://gw.corp/v1"],
    ),
    "a name with a blank": (
        POLICY.replace("name: cloud\n", "name: the cloud\n") + SECRET + EXTERNAL,
        ["spec.backends[the cloud].name: it does not fit; write something like frontier"],
    ),
    "an origin with a slash": (
        POLICY.replace("spec:", "spec:\n  router: {cors: {allowedOrigins: ['https://a.example/']}}")
        + SECRET
        + EXTERNAL,
        ["cors.allowedOrigins[0]", "write https://a.example"],
    ),
    "wrong enum": (
        POLICY.replace("provider: openai", "provider: closedai") + SECRET + EXTERNAL,
        ["spec.backends", "provider"],
    ),
    "a provider that has no entry": (
        POLICY.replace("provider: openai", "provider: cerebras") + SECRET + EXTERNAL,
        ["'openAICompatible'", "provider openAICompatible with baseURL https://api.cerebras.ai/v1"],
    ),
    "Azure by a name of its own": (
        POLICY.replace("provider: openai", "provider: azure") + SECRET + EXTERNAL,
        ["did you mean azureOpenAI?"],
    ),
    "Azure without its address": (
        POLICY.replace("provider: openai", "provider: azureOpenAI") + SECRET + EXTERNAL,
        ["this provider needs baseURL"],
    ),
    "a misspelt provider": (
        POLICY.replace("provider: openai", "provider: open-router") + SECRET + EXTERNAL,
        ["did you mean openRouter?"],
    ),
    "a provider in capitals": (
        POLICY.replace("provider: openai", "provider: Mistral") + SECRET + EXTERNAL,
        ["did you mean mistral?"],
    ),
    "a provider that nobody knows": (
        POLICY.replace("provider: openai", "provider: zzz") + SECRET + EXTERNAL,
        ["any other OpenAI-compatible API: openAICompatible with its baseURL"],
    ),
    "an Azure URL with its query": (
        POLICY.replace(
            "provider: openai,",
            "provider: openai, baseURL: 'https://corp.openai.azure.com/openai/deployments/x?api-version=2024-10-21',",
        )
        + SECRET
        + EXTERNAL,
        ["cloud.baseURL takes no query", "https://corp.openai.azure.com/openai/v1", "name of the deployment"],
    ),
    "a key in a URL": (
        POLICY.replace("provider: openai,", "provider: openai, baseURL: 'https://me:sk-secret@corp/v1',")
        + SECRET
        + EXTERNAL,
        ["cloud.baseURL takes no user and no password", "credentialsSecretRef"],
    ),
    "a base URL without its scheme": (
        POLICY.replace("provider: openai,", "provider: openai, baseURL: api.openai.com/v1,") + SECRET + EXTERNAL,
        ["cloud.baseURL begins with https:// or http://"],
    ),
    "an address that names no server": (
        POLICY.replace("provider: openai,", 'provider: openai, baseURL: "https://gateway.corp:70000/v1",')
        + SECRET
        + EXTERNAL,
        ["RoutePolicy assistant", "spec.backends[cloud].cloud", "baseURL names no server", "PORT is 1 to 65535"],
    ),
    "unknown backend": (
        POLICY.replace("[{name: cloud}]", "[{name: claud}]"),
        ["RoutePolicy assistant", "correct the name"],
    ),
    "missing Secret": (POLICY + EXTERNAL, ["spec.backends[cloud].cloud.credentialsSecretRef", "openai"]),
    "missing key": (POLICY + SECRET.replace("apiKey", "other") + EXTERNAL, ["apiKey", "openai"]),
    "deployment nowhere": (POLICY + SECRET, ["house-small", "--endpoint house-small=http://HOST:PORT"]),
    "deployment in a cluster": (
        POLICY + SECRET + MANAGED,
        ["spec.backends[house].deployment", "--endpoint house-small="],
    ),
    "twice": (POLICY + SECRET + SECRET, ["Secret openai", "twice"]),
    "two policies": (POLICY + "---" + POLICY.replace("assistant, ", "other, "), ["assistant, other", "--policy"]),
    "no policy": (SECRET, ["no RoutePolicy", "-f"]),
    "not YAML": ("a: [", ["not YAML"]),
    "no mapping": ("- a", ["document 1 is not a resource"]),
    "bad base64": (POLICY + SECRET.replace("stringData", "data"), ["Secret openai", "data.apiKey", "stringData"]),
    "number in a Secret": (POLICY + SECRET.replace("sk-1", "7"), ["stringData.apiKey", "quotes"]),
    "unknown field in a Secret": (POLICY + SECRET + "strungData: {}", ["Secret openai", "strungData"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused_with_file_object_field_and_remedy(tmp_path: Path, case: str) -> None:
    text, words = WRONG[case]
    with pytest.raises(ConfigRejected) as refused:
        load(tmp_path, text)
    message = str(refused.value)
    assert "sk-secret" not in message
    assert all(word in message for word in [*words] + (["policy.yaml"] if "--policy" not in words else [])), message


def test_policy_is_chosen_by_name(tmp_path: Path) -> None:
    text = POLICY + "---" + POLICY.replace("assistant, ", "other, ") + SECRET + EXTERNAL
    assert load(tmp_path, text, policy="other").config.policy.name == "other"
    with pytest.raises(ConfigRejected, match="--policy third: no such RoutePolicy"):
        load(tmp_path, text, policy="third")


@pytest.mark.parametrize("value", ["house", "house=", "=http://x", "house=ftp://x"])
def test_endpoints_are_checked(value: str) -> None:
    with pytest.raises(ConfigRejected, match="DEPLOYMENT=URL"):
        parse_endpoints([value])


@pytest.mark.parametrize("url", ["http://127.0.0.1:70000", "http://h:abc", "http://::1:8081"])
def test_endpoint_that_names_no_server_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigRejected, match=r"--endpoint house-small=.*names no server.*PORT is 1 to 65535"):
        load(tmp_path, POLICY + SECRET, f"house-small={url}")


def test_endpoint_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected, match=r"--endpoint typo.*house-small"):
        load(tmp_path, POLICY + SECRET + EXTERNAL, "typo=http://x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either -f FILE or --config-dir DIR"),
        (["-f", "{policy}", "--config-dir", "."], "give either -f FILE or --config-dir DIR"),
        (["-f", "{policy}", "--listen", "8080"], "write HOST:PORT"),
        (["-f", "{policy}", "--shortcuts", "maybe"], "not one of 'on', 'off'"),
        (["-f", "{policy}"], "--endpoint house-small="),
        (["-f", "missing.yaml"], "missing.yaml"),
    ],
)
def test_command_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY + SECRET)
    result = CliRunner().invoke(main, ["router", *(a.format(policy=policy) for a in arguments)])
    assert result.exit_code != 0 and words in result.output, result.output


def test_an_unknown_word_for_shortcuts_is_refused_with_the_name_of_its_variable(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["router", "--config-dir", str(tmp_path)], env={"GENSET_SHORTCUTS": "false"})
    assert result.exit_code == 2 and "GENSET_SHORTCUTS" in result.output and "'off'" in result.output, result.output


def test_a_rejected_policy_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("provider: openai", "provider: cerebras") + SECRET)
    arguments = [
        "router",
        "-f",
        str(policy),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--access-log",
        "off",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert (result.output + caplog.text).count("https://api.cerebras.ai/v1") == 1, result.output + caplog.text


def test_a_change_is_told_once_it_has_read_the_same_twice(tmp_path: Path) -> None:
    """A file that is being written, or is gone for a moment, never reaches the parser."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + SECRET + EXTERNAL)
    source = FilesSource([path], None, {}, None)
    first = source.fingerprint()
    assert source.fingerprint() == first and source.load().config.policy.name == "assistant"
    changed = (POLICY + SECRET + EXTERNAL).replace("{name: assistant,", "{name: second,")
    for part in (changed[:40], changed[:400], None, changed[:500], changed):
        if part is None:
            path.unlink()
        else:
            path.write_text(part)
        assert source.fingerprint() == first
    second = source.fingerprint()
    assert second != first and source.fingerprint() == second
    path.write_text(changed[:40])
    assert source.load().config.policy.name == "second", "what read the same twice is what is taken"


def test_a_change_that_was_taken_back_is_none(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    source = FilesSource([path], None, {}, None)
    first = source.fingerprint()
    path.write_text("half")
    assert source.fingerprint() == first
    path.write_text(POLICY)
    source.fingerprint()
    assert source.fingerprint() != first, "another file: it is looked at again"


TUNED = """
---
apiVersion: genset.dev/v1alpha1
kind: ModelDeployment
metadata: {name: house-small, namespace: models}
spec:
  model: qwen
  source: {pvc: {claimName: c, path: m.gguf}}
  adapters: [{name: invoices, source: {pvc: {claimName: c, path: invoices.gguf}}}]
"""


def test_a_server_at_an_endpoint_has_the_adapters_of_its_deployment(tmp_path: Path) -> None:
    loaded = load(tmp_path, POLICY + SECRET + TUNED, "house-small=http://127.0.0.1:8081")
    house, cloud = loaded.config.backends
    assert (house.adapters, house.adapter_list) == (("invoices",), "Paths")
    assert (cloud.adapters, cloud.adapter_list) == (None, None)
