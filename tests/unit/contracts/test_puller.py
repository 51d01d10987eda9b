"""What operator and puller agree on: arguments there and back, identity, paths, progress, last words."""

from __future__ import annotations

import click
import pytest

from genset.api.sources import Source
from genset.cli.weights import fetch
from genset.contracts import puller
from genset.contracts.puller import CheckSpec, DownloadProgress, FetchSpec, LastWords
from genset.contracts.shards import Shard, shard_names
from genset.contracts.sources import Http, HuggingFace
from genset.desired.context import Settings
from genset.desired.sources import wanted
from genset.desired.sources.base import Download, InPlace
from genset.desired.weights import fetch_spec

SHA = "a" * 64
HUB = FetchSpec(HuggingFace("org/name", "v1", "*Q4*.gguf", "https://hub.corp"), "/models", "[::]:9432", "/t")
WEB = FetchSpec(Http("https://web/x?y=z&a", SHA), "/m", headers_file="/h", ca_file="/c", exclusive=True)
SHORT = [FetchSpec(HuggingFace("a/b"), "/m"), FetchSpec(Http("http://x", SHA), "/m")]
SETTLED = [
    FetchSpec(HuggingFace("a/b"), "/m", settled=True),
    FetchSpec(Http("http://x", SHA), "/m", exclusive=True, settled=True),
]


def read(args: list[str]) -> FetchSpec:
    """As the puller reads its command line."""
    assert args[:2] == ["weights", "fetch"]
    options = dict(fetch.make_context("fetch", args[2:]).params)
    del options["patience"]
    return FetchSpec.from_options(options)


@pytest.mark.parametrize("given", [HUB, WEB, *SHORT, *SETTLED])
def test_arguments_are_read_back_as_the_same_spec(given: FetchSpec) -> None:
    assert read(given.to_args()) == given


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no source"),
        (["--url", "http://x"], "--sha256: needed"),
        (["--revision", "main"], "--repo: needed"),
        (["--repo", "a/b", "--url", "http://x"], "--url: not a flag of a HuggingFace source"),
    ],
)
def test_wrong_arguments_are_refused_by_name(args: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(["weights", "fetch", *args])


@pytest.mark.parametrize("args", [["--repo"], ["--repository", "a/b"]])
def test_what_is_no_flag_is_refused(args: list[str]) -> None:
    with pytest.raises(click.UsageError):
        read(["weights", "fetch", *args])


def test_identity_covers_the_bytes_only() -> None:
    base = FetchSpec(HuggingFace("org/name"), "/m")
    same = FetchSpec(HuggingFace("org/name", endpoint="https://mirror"), into="/x", token_file="/t", listen=":1")
    assert base.hash == same.hash
    assert FetchSpec(Http("http://a", SHA), "/m").hash == FetchSpec(Http("http://b", SHA), "/m").hash
    others = [
        FetchSpec(HuggingFace("org/other"), "/m"),
        FetchSpec(HuggingFace("org/name", "v2"), "/m"),
        FetchSpec(HuggingFace("org/name", file="*Q8*.gguf"), "/m"),
        FetchSpec(Http("http://a", SHA), "/m"),
        FetchSpec(Http("http://a", "b" * 64), "/m"),
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
    plain = fetched({"huggingFace": {"repo": "a/b"}})
    assert plain == FetchSpec(
        HuggingFace("a/b", endpoint="https://m"), "/models", "[::]:9432", termination_log=puller.TERMINATION_LOG
    )
    gated = fetched({"huggingFace": {"repo": "a/b", "endpoint": "https://own", "tokenSecretRef": ref}})
    assert (gated.token_file, gated.source) == (puller.TOKEN_FILE, HuggingFace("a/b", endpoint="https://own"))
    web = fetched({"http": {"url": "https://x/m.gguf", "sha256": SHA, "headersSecretRef": ref, "caSecretRef": ref}})
    assert (web.headers_file, web.ca_file, web.token_file) == (puller.HEADERS_FILE, puller.CA_FILE, "")
    in_place = wanted(Source.model_validate({"pvc": {"claimName": "c", "path": "m.gguf"}}), Settings(image="i"))
    assert isinstance(in_place, InPlace), "nothing is downloaded that is only looked at"


def fetched(source: dict[str, object]) -> FetchSpec:
    found = wanted(Source.model_validate(source), Settings(image="i", hugging_face_endpoint="https://m"))
    assert isinstance(found, Download)
    return fetch_spec(found)


def test_check_arguments() -> None:
    assert CheckSpec("/models/a.gguf").to_args() == ["weights", "check", "/models/a.gguf"]
    assert CheckSpec("/m", "/t").to_args() == ["weights", "check", "/m", "--termination-log", "/t"]


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"[]", b"{}", b'{"state": 1}', b"\xff", b'{"state": "done", "bytes": -1}', b"[" * 100_000]
)
def test_progress_reads_only_what_the_puller_writes(body: bytes) -> None:
    parsed = DownloadProgress.from_json(body)
    assert parsed is None or (parsed.state == "done" and parsed.received == 0)


def test_progress_and_last_words_are_read_as_they_were_written() -> None:
    progress = DownloadProgress("downloading", 5, 10, "r", "f", "DiskFull", "m")
    assert DownloadProgress.from_json(progress.to_json()) == progress
    for words in (
        LastWords("DiskFull", "m"),
        LastWords("WeightsReady", "", 10, "r"),
        LastWords("WeightsReady", "m", 1),
    ):
        assert LastWords.from_json(words.to_json()) == words


@pytest.mark.parametrize("left", ["", "Killed\n", "[1]", '{"reason": 1, "totalBytes": -1}', "[" * 4000])
def test_last_words_of_somebody_else_say_nothing(left: str) -> None:
    assert LastWords.from_json(left) == LastWords()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("m.gguf", ["m.gguf"]),
        ("m-00001-of-00001.gguf", ["m-00001-of-00001.gguf"]),
        ("m-00002-of-00003.gguf", ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]),
        ("m-of-00003.gguf", ["m-of-00003.gguf"]),
        ("m-00001-of-00003.bin", ["m-00001-of-00003.bin"]),
    ],
)
def test_a_file_names_the_files_of_its_model(name: str, files: list[str]) -> None:
    shard = Shard.of(name)
    assert shard_names(shard.stem, shard.count) == files and name == files[shard.number - 1]
