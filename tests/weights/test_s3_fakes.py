"""Bucket source against fakes: what a real store does not do on demand, and stores that cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genset.contracts.puller import FetchSpec
from genset.contracts.sources import S3
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeOrigin, Fault, tiny_gguf
from tests.support.weights.running import Run, model_bytes, servable

MODEL = tiny_gguf(600_000)

# Google Cloud Storage and Azure: fakes that list and serve as their APIs do


def listing_of_google(names: dict[str, bytes]) -> bytes:
    items = "".join(
        f"<Contents><Key>{name}</Key><Size>{len(data)}</Size><ETag>&quot;v1&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name, data in names.items()
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


def listing_of_azure(names: dict[str, bytes]) -> bytes:
    items = "".join(
        f"<Blob><Name>{name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>"
        f"<Content-Length>{len(data)}</Content-Length><Content-Type>x</Content-Type><Etag>v1</Etag></Properties></Blob>"
        for name, data in names.items()
    )
    return f"<EnumerationResults><Blobs>{items}</Blobs><NextMarker/></EnumerationResults>".encode()


@pytest.mark.parametrize(
    ("uri", "listing"), [("gs://models/one/", listing_of_google), ("az://models/one/", listing_of_azure)]
)
def test_a_public_bucket_of_google_and_azure(
    origin: FakeOrigin, tmp_path: Path, run: Run, uri: str, listing: Callable[[dict[str, bytes]], bytes]
) -> None:
    names = {"one/m.gguf": MODEL, "one/readme.md": b"hello"}
    origin.put("/models/one/m.gguf", MODEL, etag='"v1"')

    def answer(handler: Any, path: str) -> bool:
        asked = "prefix=" in handler.path
        if asked:
            handler.reply(200, {"Content-Type": "application/xml"}, listing(names))
        return asked

    origin.answer = answer  # type: ignore[method-assign]
    spec = FetchSpec(S3(uri, "us-east-1", endpoint=origin.url), str(tmp_path / "v"))
    run(spec)
    assert model_bytes(spec) == MODEL
    assert all("169.254" not in asked.path for asked in origin.asked)


def test_a_key_of_azure_signs_the_url_and_is_not_in_it(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    keys = tmp_path / "keys"
    keys.write_text("azure_storage_account_key = c2VjcmV0LWtleS1vZi1hbi1hY2NvdW50\n")
    origin.put("/models/m.gguf", MODEL, etag='"v1"')
    spec = FetchSpec(S3("az://models/m.gguf", endpoint=origin.url), str(tmp_path / "v"), credentials_file=str(keys))
    run(spec)
    assert model_bytes(spec) == MODEL
    assert all("sig=" in asked.path and "c2VjcmV0" not in asked.path for asked in origin.asked)


def test_an_object_that_is_replaced_on_the_way_is_not_mixed(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """The store says another version than the one that was looked at: what has come goes, and it is told."""
    origin.put("/m/m.gguf", MODEL, etag='"one-2"')
    origin.faults = [Fault(), Fault(cut_after=200_000)]
    other = tiny_gguf(600_000, seed=5)
    spec = FetchSpec(S3("s3://m/m.gguf", endpoint=origin.url), str(tmp_path / "v"))

    def replaced(_: float) -> None:
        origin.put("/m/m.gguf", other, etag='"two-2"')

    with pytest.raises(WeightsFailure, match="was replaced after it was looked at") as failed:
        run(spec, Retry(patience=1.5, first=0.01, sleep=replaced))
    assert not failed.value.permanent
    assert servable(tmp_path / "v") == []
    run(spec)
    assert model_bytes(spec) == other


@pytest.mark.parametrize(("headers", "served"), [({}, False), ({"x-amz-server-side-encryption": "aws:kms"}, True)])
def test_an_etag_of_kms_is_no_checksum(
    origin: FakeOrigin, tmp_path: Path, run: Run, headers: dict[str, str], served: bool
) -> None:
    etag = f'"{"0" * 32}"'
    origin.put("/m/m.gguf", MODEL, etag=etag)

    def answer(handler: Any, path: str) -> bool:
        handler.send_file(origin.files[path], headers)
        return True

    origin.answer = answer  # type: ignore[method-assign]
    spec = FetchSpec(S3("s3://m/m.gguf", endpoint=origin.url), str(tmp_path / "v"))
    if served:
        run(spec)
        assert model_bytes(spec) == MODEL
        return
    with pytest.raises(WeightsFailure, match="is not the file that was asked for"):
        run(spec)


def test_an_endpoint_that_is_off_limits_is_not_asked(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    for uri in ("s3://m/m.gguf", "s3://m/x/"):
        with pytest.raises(WeightsFailure, match="is no address that pods may dial"):
            run(FetchSpec(S3(uri, endpoint=origin.url), str(tmp_path / "v"), guarded=True))
    assert origin.asked == []


@pytest.mark.parametrize("uri", ["s3://models/one/m.gguf", "s3://models/one/"])
def test_a_store_behind_a_proxy(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """The proxy is asked for whole URLs, of a host that only it knows."""
    monkeypatch.setenv("HTTP_PROXY", origin.url)
    origin.put("/models/one/m.gguf", MODEL, etag='"v1"')

    def answer(handler: Any, path: str) -> bool:
        asked = "prefix=" in handler.path
        if asked:
            handler.reply(200, {"Content-Type": "application/xml"}, listing_of_google({"one/m.gguf": MODEL}))
        return asked

    origin.answer = answer  # type: ignore[method-assign]
    spec = FetchSpec(S3(uri, endpoint="http://store.corp.invalid"), str(tmp_path / "v"))
    run(spec)
    assert model_bytes(spec) == MODEL
    assert all(one.path.startswith("http://store.corp.invalid/models") for one in origin.asked)
