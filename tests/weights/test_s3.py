"""Bucket source: a real store of S3, down to the bytes on the volume."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import S3
from genset.weights import s3
from genset.weights.failure import WeightsFailure
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeOrigin, folder_model, sha256, tiny_gguf
from tests.support.weights.running import FAST, Run, model_bytes, servable
from tests.support.weights.stores import RealStore, keys_file, real_store, relay

MODEL = tiny_gguf(600_000)
SHARDS = {f"m-{n:05d}-of-00003.gguf": tiny_gguf(100_000 + n, seed=n, split=(n, 3)) for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with real_store(tmp_path_factory.mktemp("store")) as running:
        running.put("models", "one/m.gguf", MODEL)
        running.put("models", "one/readme.md", b"hello")
        yield running


@pytest.fixture
def keys(tmp_path: Path) -> str:
    return keys_file(tmp_path)


def spec_of(
    store: RealStore, into: Path, uri: str, keys: str = "", *, endpoint: str = "", **options: object
) -> FetchSpec:
    own = {name: options.pop(name) for name in ("file", "include", "exclude", "sha256") if name in options}
    source = S3(uri, "us-east-1", endpoint=endpoint or store.url, **own)  # type: ignore[arg-type]
    return FetchSpec(source, str(into), credentials_file=keys, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["s3://models/one/m.gguf", "s3://models/one", "s3://models/one/"])
def test_an_object_or_the_one_model_of_a_prefix(
    store: RealStore, tmp_path: Path, run: Run, keys: str, progress: ProgressLog, uri: str
) -> None:
    spec = spec_of(store, tmp_path / "v", uri, keys)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert (progress.snapshot().state, progress.snapshot().total_bytes) == ("done", len(MODEL))


def test_what_is_there_and_unchanged_is_not_downloaded_again(
    store: RealStore, tmp_path: Path, run: Run, keys: str
) -> None:
    spec = spec_of(store, tmp_path / "v", "s3://models/one/m.gguf", keys)
    run(spec)
    before = Path(spec.model_path).stat().st_ino
    run(spec)
    assert Path(spec.model_path).stat().st_ino == before


def test_an_object_that_was_replaced_is_followed(store: RealStore, tmp_path: Path, run: Run, keys: str) -> None:
    store.put("moving", "m.gguf", MODEL)
    spec = spec_of(store, tmp_path / "v", "s3://moving/m.gguf", keys)
    run(spec)
    other = tiny_gguf(500_000, seed=7)
    store.put("moving", "m.gguf", other)
    run(spec)
    assert model_bytes(spec) == other


def test_an_object_with_a_checksum_needs_no_store_once_it_is_there(
    store: RealStore, tmp_path: Path, run: Run, keys: str
) -> None:
    spec = spec_of(store, tmp_path / "v", "s3://models/one/m.gguf", keys, sha256=sha256(MODEL))
    run(spec)
    gone = spec_of(store, tmp_path / "v", "s3://models/moved.gguf", endpoint="http://127.0.0.1:1", sha256=sha256(MODEL))
    run(gone)
    assert model_bytes(gone) == MODEL


def test_a_wrong_checksum_leaves_nothing(store: RealStore, tmp_path: Path, run: Run, keys: str) -> None:
    with pytest.raises(WeightsFailure, match="is not the file that was asked for") as failed:
        run(spec_of(store, tmp_path / "v", "s3://models/one/m.gguf", keys, sha256="0" * 64))
    assert failed.value.reason == Reason.CHECKSUM_MISMATCH
    assert servable(tmp_path / "v") == []


@pytest.mark.parametrize("uri", ["s3://split/x/m-00001-of-00003.gguf", "s3://split/x"])
def test_a_split_model(store: RealStore, tmp_path: Path, run: Run, keys: str, uri: str) -> None:
    for name, data in SHARDS.items():
        store.put("split", f"x/{name}", data)
    spec = spec_of(store, tmp_path / "v", uri, keys, file="*-00001-of-00003.gguf")
    run(spec)
    folder = Path(spec.model_path).parent
    assert [(folder / f"model-{n:05d}-of-00003.gguf").read_bytes() for n in (1, 2, 3)] == list(SHARDS.values())


def test_an_object_in_parts_has_no_checksum_and_still_one_version(
    store: RealStore, tmp_path: Path, run: Run, keys: str
) -> None:
    big = tiny_gguf(12_000_000, seed=3)
    store.put("parts", "m.gguf", big, parts=3)
    with relay(store.port) as way:
        way.cuts = [4_000_000, 3_000_000]
        spec = spec_of(store, tmp_path / "v", "s3://parts/m.gguf", keys, endpoint=f"http://127.0.0.1:{way.port}")
        run(spec)
        assert way.cuts == []
    assert model_bytes(spec) == big


def test_a_cut_download_continues_where_it_was(store: RealStore, tmp_path: Path, run: Run, keys: str) -> None:
    with relay(store.port) as way:
        way.cuts = [200_000, 200_000]
        spec = spec_of(store, tmp_path / "v", "s3://models/one/m.gguf", keys, endpoint=f"http://127.0.0.1:{way.port}")
        run(spec)
        assert way.cuts == []
    assert model_bytes(spec) == MODEL


def test_a_whole_folder(store: RealStore, tmp_path: Path, run: Run, keys: str) -> None:
    files = folder_model()
    for name, data in {**files, "original/consolidated.pth": b"x" * 100, "README.md": b"hello"}.items():
        store.put("folders", f"base/{name}", data)
    spec = spec_of(store, tmp_path / "v", "s3://folders/base/", keys, whole_folder=True)
    run(spec)
    placed = {
        p.relative_to(spec.model_path).as_posix(): p.read_bytes()
        for p in Path(spec.model_path).rglob("*")
        if p.is_file()
    }
    marker = placed.pop("complete.json")
    assert placed == files
    assert b"model-00001-of-00002.safetensors" in marker
    run(spec)


def test_a_folder_that_lacks_a_shard_is_told_before_the_weights_are_fetched(
    store: RealStore, tmp_path: Path, run: Run, keys: str, progress: ProgressLog
) -> None:
    files = folder_model(3)
    del files["model-00002-of-00003.safetensors"]
    for name, data in files.items():
        store.put("lacking", name, data)
    with pytest.raises(WeightsFailure, match=r"names 3 shards, and these are missing: model-00002-of-00003") as failed:
        run(spec_of(store, tmp_path / "v", "s3://lacking", keys, whole_folder=True))
    assert failed.value.reason == Reason.NOT_A_MODEL
    assert progress.snapshot().received < 60_000
    assert not list((tmp_path / "v").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("uri", "access", "secret", "reason", "words"),
    [
        ("s3://nowhere/m.gguf", "house", "", Reason.SOURCE_NOT_FOUND, "NoSuchBucket: there is no such bucket"),
        ("s3://nowhere/x/", "house", "", Reason.SOURCE_NOT_FOUND, "NoSuchBucket: there is no such bucket"),
        ("s3://models/one/x.gguf", "house", "", Reason.SOURCE_NOT_FOUND, "NoSuchKey: there is no such object"),
        ("s3://models/none/", "house", "", Reason.SOURCE_NOT_FOUND, "it has no .gguf file at all"),
        ("s3://models/one/m.gguf", "stranger", "x", Reason.SOURCE_UNAUTHORIZED, "does not know the access key"),
        ("s3://models/one/", "stranger", "x", Reason.SOURCE_UNAUTHORIZED, "does not know the access key"),
        ("s3://models/one/m.gguf", "house", "wrong", Reason.SOURCE_UNAUTHORIZED, "the secret key of source.s3"),
        ("s3://models/one/m.gguf", "", "", Reason.SOURCE_UNAUTHORIZED, "source.s3.credentialsSecretRef"),
        ("s3://models/one/", "", "", Reason.SOURCE_UNAUTHORIZED, "source.s3.credentialsSecretRef"),
    ],
)
def test_refusals_of_the_store_name_the_remedy(
    store: RealStore, tmp_path: Path, run: Run, uri: str, access: str, secret: str, reason: Reason, words: str
) -> None:
    given = keys_file(tmp_path, access, secret or "a-secret-of-the-house") if access else ""
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(spec_of(store, tmp_path / "v", uri, given))
    assert (failed.value.reason, failed.value.permanent) == (reason, True)
    assert servable(tmp_path / "v") == []
    assert not secret or secret not in failed.value.message or secret == "x"


def test_a_region_that_is_not_the_buckets(store: RealStore, tmp_path: Path, run: Run, keys: str) -> None:
    spec = FetchSpec(
        S3("s3://models/one/", "mars-north-1", endpoint=store.url), str(tmp_path / "v"), credentials_file=keys
    )
    with pytest.raises(WeightsFailure, match=r"source\.s3\.region"):
        run(spec)


@pytest.mark.parametrize("uri", ["s3://models/one/m.gguf", "s3://models/one/"])
@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:1", "can't be reached|can't be asked"),
        ("https://no-such-host.invalid", "no-such-host.invalid"),
    ],
)
def test_a_store_that_is_not_there_may_come_back(
    store: RealStore, tmp_path: Path, run: Run, keys: str, uri: str, endpoint: str, words: str
) -> None:
    with pytest.raises(WeightsFailure, match=words) as failed:
        run(spec_of(store, tmp_path / "v", uri, keys, endpoint=endpoint), Retry(patience=0.05, first=0.01))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNREACHABLE, False)
    assert "Signature" not in failed.value.message


class Enough(Exception):
    """It has been tried often enough."""


@pytest.mark.parametrize("uri", ["s3://m/x.gguf", "s3://m/x/"])
@pytest.mark.parametrize("status", [500, 503])
def test_trouble_of_the_store_is_tried_again(
    store: RealStore, origin: FakeOrigin, tmp_path: Path, run: Run, keys: str, uri: str, status: int
) -> None:
    slept: list[float] = []

    def answer(handler: Any, path: str) -> bool:
        handler.reply(status, {}, b"<Error><Code>SlowDown</Code></Error>")
        return True

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise Enough

    origin.answer = answer  # type: ignore[method-assign]
    with pytest.raises(Enough):
        run(spec_of(store, tmp_path / "v", uri, keys, endpoint=origin.url), Retry(first=0.01, sleep=sleep))


def test_a_private_authority_of_a_store(tmp_path: Path, run: Run, keys: str) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key, ca = tmp_path / "cert", tmp_path / "key", tmp_path / "ca.crt"
    issued.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(ca))
    with real_store(tmp_path / "store", cert=cert, key=key) as store:
        store.put("models", "one/m.gguf", MODEL, ca=ca.read_bytes())
        for number, uri in enumerate(("s3://models/one/m.gguf", "s3://models/one/")):
            spec = spec_of(store, tmp_path / f"v{number}", uri, keys, ca_file=str(ca))
            run(spec)
            assert model_bytes(spec) == MODEL
            with pytest.raises(WeightsFailure, match=r"is not trusted: .*caSecretRef") as failed:
                run(spec_of(store, tmp_path / f"w{number}", uri, keys), FAST)
            assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNREACHABLE, True)


KEYS = "aws_access_key_id = a\naws_secret_access_key = b/c=\n"


@pytest.mark.parametrize(
    ("scheme", "text", "found"),
    [
        ("s3", KEYS, {"aws_access_key_id": "a", "aws_secret_access_key": "b/c="}),
        ("s3", f"[default]\n{KEYS}", {"aws_access_key_id": "a", "aws_secret_access_key": "b/c="}),
        ("s3", f"[house]\n{KEYS}region = x\n", {"aws_access_key_id": "a", "aws_secret_access_key": "b/c="}),
        ("s3", 'AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY="b%d"\nAWS_SESSION_TOKEN=t\n',
         {"aws_access_key_id": "a", "aws_secret_access_key": "b%d", "aws_session_token": "t"}),
        ("az", "azure_storage_account_key = k==\n", {"azure_storage_account_key": "k=="}),
        ("gs", '{"private_key": "p"}', {"json": '{"private_key": "p"}'}),
    ],
)  # fmt: skip
def test_credentials_are_read_as_people_have_them(
    tmp_path: Path, scheme: str, text: str, found: dict[str, str]
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    assert s3.read_keys(str(path), scheme) == found


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("s3", ""), ("s3", "aws_access_key_id = a"), ("s3", "nonsense s3cret"), ("s3", '{"private_key": "s3cret"}'),
        ("gs", KEYS), ("gs", "[]"), ("az", KEYS), ("s3", "aws_access_key_id = a\naws_secret_access_key = ä\n"),
        ("gs", "[" * 100_000), ("s3", "\0"),
    ],
)  # fmt: skip
def test_unusable_credentials_are_refused_without_showing_them(tmp_path: Path, scheme: str, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(WeightsFailure, match=r"source\.s3\.credentialsSecretRef") as failed:
        s3.read_keys(str(path), scheme)
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert "s3cret" not in failed.value.message


def test_the_machines_own_keys_are_not_used(
    store: RealStore, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public bucket is read as anybody may, whatever lies in the environment of the container's image."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "house")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-house")
    with pytest.raises(WeightsFailure) as failed:
        run(spec_of(store, tmp_path / "v", "s3://models/one/"))
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert os.environ["AWS_ACCESS_KEY_ID"] == "house"
