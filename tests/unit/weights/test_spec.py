"""FetchSpec: arguments there and back, identity, paths."""

from __future__ import annotations

import pytest

from genset.api.source import Source
from genset.weights import spec
from genset.weights.spec import CheckSpec, FetchSpec, Http, HuggingFace

SHA = "a" * 64
HUB = FetchSpec(HuggingFace("org/name", "v1", "*Q4*.gguf", "https://hub.corp"), "/models", "0.0.0.0:9432", "/t")
WEB = FetchSpec(Http("https://web/x?y=z&a", SHA), "/m", headers_file="/h", ca_file="/c", exclusive=True)


SETTLED = [FetchSpec(HuggingFace("a/b"), settled=True), FetchSpec(Http("http://x", SHA), exclusive=True, settled=True)]


@pytest.mark.parametrize("given", [HUB, WEB, FetchSpec(HuggingFace("a/b")), FetchSpec(Http("http://x", SHA)), *SETTLED])
def test_arguments_are_read_back_as_the_same_spec(given: FetchSpec) -> None:
    assert FetchSpec.from_args(given.to_args()) == given


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["weights", "check", "x"], "must start with weights fetch"),
        (["weights", "fetch"], "no source"),
        (["weights", "fetch", "--repo"], "--repo has no value"),
        (["weights", "fetch", "--url", "http://x"], "--sha256: needed"),
        (["weights", "fetch", "--revision", "main"], "--repo: needed"),
        (["weights", "fetch", "--repo", "a/b", "--url", "http://x"], "--url: not a flag of a HuggingFace source"),
    ],
)
def test_wrong_arguments_are_refused_by_name(args: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FetchSpec.from_args(args)


def test_identity_covers_the_bytes_only() -> None:
    base = FetchSpec(HuggingFace("org/name"))
    same = FetchSpec(HuggingFace("org/name", endpoint="https://mirror"), into="/x", token_file="/t", listen=":1")
    assert base.hash == same.hash
    assert FetchSpec(Http("http://a", SHA)).hash == FetchSpec(Http("http://b", SHA)).hash
    others = [
        FetchSpec(HuggingFace("org/other")),
        FetchSpec(HuggingFace("org/name", "v2")),
        FetchSpec(HuggingFace("org/name", file="*Q8*.gguf")),
        FetchSpec(Http("http://a", SHA)),
        FetchSpec(Http("http://a", "b" * 64)),
    ]
    assert len({base.hash, *(other.hash for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("*.gguf", "model.gguf"),
        ("*Q4_K_M*.gguf", "model.gguf"),
        ("model-00001-of-00001.gguf", "model.gguf"),
        ("*-00001-of-00003.gguf", "model-00001-of-00003.gguf"),
        ("Q8/big-*-of-00012.gguf", "model-00001-of-00012.gguf"),
        ("x-00000-of-00000.gguf", "model.gguf"),
    ],
)
def test_model_path_is_known_before_the_download(pattern: str, file: str) -> None:
    given = FetchSpec(HuggingFace("org/name", file=pattern), into="/models")
    assert given.model_path == f"/models/{given.hash[:16]}/current/{file}"


def test_a_source_names_credential_files_only_when_it_names_secrets() -> None:
    ref = {"name": "s", "key": "k"}
    plain = spec.fetch_spec(Source.model_validate({"huggingFace": {"repo": "a/b"}}), default_endpoint="https://m")
    assert plain == FetchSpec(HuggingFace("a/b", endpoint="https://m"), termination_log=spec.TERMINATION_LOG)
    gated = spec.fetch_spec(
        Source.model_validate({"huggingFace": {"repo": "a/b", "endpoint": "https://own", "tokenSecretRef": ref}}),
        default_endpoint="https://m",
    )
    assert (gated.token_file, gated.source) == (spec.TOKEN_FILE, HuggingFace("a/b", endpoint="https://own"))
    web = spec.fetch_spec(
        Source.model_validate(
            {"http": {"url": "https://x/m.gguf", "sha256": SHA, "headersSecretRef": ref, "caSecretRef": ref}}
        )
    )
    assert (web.headers_file, web.ca_file, web.token_file) == (spec.HEADERS_FILE, spec.CA_FILE, "")
    with pytest.raises(ValueError, match="checked in place"):
        spec.fetch_spec(Source.model_validate({"pvc": {"claimName": "c", "path": "m.gguf"}}))


def test_check_arguments() -> None:
    assert CheckSpec("/models/a.gguf").to_args() == ["weights", "check", "/models/a.gguf"]
    assert CheckSpec("/m", "/t").to_args() == ["weights", "check", "/m", "--termination-log", "/t"]
