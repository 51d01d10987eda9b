"""Private certificate authorities: trusted when their certificate is given, refused with the remedy when not."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Http, HuggingFace
from genset.weights.failure import WeightsFailure
from tests.support.weights.fakes import FakeHub, FakeOrigin, serving, sha256, tiny_gguf
from tests.support.weights.running import Run, model_bytes

MODEL = tiny_gguf(50_000)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def secure(server_context: ssl.SSLContext) -> Iterator[FakeOrigin]:
    with serving(FakeOrigin(tls=server_context)) as origin:
        origin.put("/m.gguf", MODEL)
        yield origin


def test_a_private_authority_is_trusted_when_given(secure: FakeOrigin, ca_file: str, tmp_path: Path, run: Run) -> None:
    spec = FetchSpec(Http(secure.url + "/m.gguf", sha256(MODEL)), str(tmp_path / "v"), ca_file=ca_file)
    run(spec)
    assert model_bytes(spec) == MODEL


def test_an_unknown_authority_is_refused_at_once_with_the_remedy(secure: FakeOrigin, tmp_path: Path, run: Run) -> None:
    with pytest.raises(WeightsFailure, match=r"is not trusted: .* caSecretRef") as failed:
        run(FetchSpec(Http(secure.url + "/m.gguf", sha256(MODEL)), str(tmp_path / "v")))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNREACHABLE, True)


def test_a_hub_mirror_behind_a_private_authority(
    server_context: ssl.SSLContext, ca_file: str, tmp_path: Path, run: Run
) -> None:
    with serving(FakeHub(tls=server_context)) as hub:
        hub.commit({"m.gguf": MODEL})
        source = HuggingFace(hub.repo, endpoint=hub.url)
        with pytest.raises(WeightsFailure, match="is not trusted"):
            run(FetchSpec(source, str(tmp_path / "v")))
        spec = FetchSpec(source, str(tmp_path / "v"), ca_file=ca_file)
        run(spec)
        assert model_bytes(spec) == MODEL


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_an_unusable_certificate_file_is_named(
    secure: FakeOrigin, tmp_path: Path, run: Run, content: str | None
) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WeightsFailure, match="caSecretRef must name a key with PEM certificates"):
        run(FetchSpec(Http(secure.url + "/m.gguf", sha256(MODEL)), str(tmp_path / "v"), ca_file=str(path)))
