"""In a pod, whatever obstore asks for a bucket goes where a resource may send pods: listings, redirects, tokens.

Here 127.0.0.1 may be dialled and 127.0.0.2 may not, which stands for metadata services and the API server.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from genset.contracts.puller import FetchSpec
from genset.contracts.sources import S3
from genset.off_limits import OffLimits
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeOrigin, serving, tiny_gguf
from tests.support.weights.running import Run, model_bytes
from tests.weights.test_s3_fakes import listing_of_google

MODEL = tiny_gguf(100_000)
OFF = r"127\.0\.0\.2 is no address that pods may dial"


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genset.weights.s3.guard_of", lambda spec: OffLimits(("127.0.0.2/32",), ("metadata.corp",)))


@pytest.fixture
def closed() -> Iterator[FakeOrigin]:
    """A server at the address that is off limits."""
    with serving(FakeOrigin("127.0.0.2")) as running:
        yield running


def lists(origin: FakeOrigin, listing: bytes = listing_of_google({"one/m.gguf": MODEL})) -> None:
    """Has a server list a bucket with one model."""
    origin.put("/models/one/m.gguf", MODEL, etag='"v1"')

    def answer(handler: Any, path: str) -> bool:
        asked = "prefix=" in handler.path
        if asked:
            handler.reply(200, {"Content-Type": "application/xml"}, listing)
        return asked

    origin.answer = answer  # type: ignore[method-assign]


def account(folder: Path, **fields: str) -> str:
    """Writes a service account of Google's that names servers of its own."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "private_key": key.decode(),
                "private_key_id": "1",
                "client_email": "a@example.com",
                "client_id": "1",
                **fields,
            }
        )
    )
    return str(path)


@pytest.mark.parametrize("uri", ["s3://models/one/", "gs://models/one/"])
def test_a_bucket_is_listed_and_read(origin: FakeOrigin, tmp_path: Path, run: Run, uri: str) -> None:
    lists(origin)
    spec = FetchSpec(S3(uri, endpoint=origin.url), str(tmp_path / "v"))
    run(spec)
    assert model_bytes(spec) == MODEL


def test_a_listing_through_tls(tmp_path: Path, run: Run) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    with serving(FakeOrigin(tls=context)) as origin:
        lists(origin)
        spec = FetchSpec(
            S3("s3://models/one/", endpoint=origin.url), str(tmp_path / "v"), ca_file=str(tmp_path / "ca.crt")
        )
        run(spec)
        assert model_bytes(spec) == MODEL


def test_the_site_s_proxy_is_asked_for_whole_urls_with_its_password(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one is on no loopback, which the guard of proxies forbids."""
    monkeypatch.setattr("genset.weights.loopback_proxy.OffLimits", lambda: OffLimits(("127.0.0.2/32",)))
    monkeypatch.setenv("HTTP_PROXY", origin.url.replace("//", "//team:s3cret@"))
    origin.login = ("proxy-authorization", "Basic dGVhbTpzM2NyZXQ=")
    lists(origin)
    run(spec := FetchSpec(S3("s3://models/one/", endpoint="http://store.corp.invalid"), str(tmp_path / "v")))
    assert model_bytes(spec) == MODEL
    assert all(one.path.startswith("http://store.corp.invalid/models") for one in origin.asked)


@pytest.mark.parametrize("uri", ["s3://models/one/", "gs://models/one/", "az://models/one/"])
def test_a_store_that_redirects_its_listing_leads_nowhere(
    origin: FakeOrigin, closed: FakeOrigin, tmp_path: Path, run: Run, uri: str
) -> None:
    def answer(handler: Any, path: str) -> bool:
        handler.reply(307, {"Location": f"{closed.url}/latest/meta-data/?prefix=one/"}, b"")
        return True

    origin.answer = answer  # type: ignore[method-assign]
    lists(closed)
    with pytest.raises(WeightsFailure, match=OFF):
        run(FetchSpec(S3(uri, endpoint=origin.url), str(tmp_path / "v")))
    assert origin.asked and closed.asked == [], "the address that is off limits was asked"


def test_a_listing_without_end_is_not_kept(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genset.weights.loopback_proxy._ANSWER_BYTES", 1 << 20)
    lists(origin, b"<ListBucketResult>" + b" " * (2 << 20))
    with pytest.raises(WeightsFailure, match=r"127\.0\.0\.1 answers more than 1 MiB, which no list of objects has"):
        run(FetchSpec(S3("s3://models/one/", endpoint=origin.url), str(tmp_path / "v")))


@pytest.mark.parametrize("field", ["token_uri", "gcs_base_url"])
def test_a_service_account_names_no_server_that_is_off_limits(
    origin: FakeOrigin, closed: FakeOrigin, tmp_path: Path, run: Run, field: str
) -> None:
    lists(origin)
    lists(closed)
    keys = account(tmp_path, **{"token_uri": f"{origin.url}/token", field: f"{closed.url}/token"})
    spec = FetchSpec(S3("gs://models/one/", endpoint=origin.url), str(tmp_path / "v"), credentials_file=keys)
    with contextlib.suppress(WeightsFailure):
        run(spec, Retry(patience=0.5, first=0.01))
    assert closed.asked == [], "the address that is off limits was asked"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.2:1", "https://127.0.0.2:1", "http://metadata.corp"])
def test_an_endpoint_that_is_off_limits_is_told_at_once(tmp_path: Path, run: Run, endpoint: str) -> None:
    with pytest.raises(WeightsFailure, match="is no address that pods may dial") as failed:
        run(FetchSpec(S3("s3://models/one/", endpoint=endpoint), str(tmp_path / "v")))
    assert failed.value.permanent


def test_a_host_that_is_off_limits_stays_so_behind_a_proxy(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", origin.url)
    with pytest.raises(WeightsFailure, match=r"metadata\.corp is no address"):
        run(FetchSpec(S3("s3://models/one/", endpoint="https://metadata.corp"), str(tmp_path / "v")))
    assert origin.asked == []
