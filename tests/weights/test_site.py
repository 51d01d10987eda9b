"""What the operator's site gives to pullers: certificates, a proxy with a password, a token for its hub alone; and IPv6."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from genset.contracts.puller import SITE_TOKEN_VARIABLE, FetchSpec, site_token
from genset.contracts.sources import Http, HuggingFace
from genset.weights import client
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeHub, FakeOrigin, serving, sha256, tiny_gguf
from tests.support.weights.running import Run, hub_spec, model_bytes, web_spec

MODEL = tiny_gguf(50_000)
NO_PATIENCE = Retry(patience=0.05, first=0.01)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site_ca(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "site" / "ca.crt"
    path.parent.mkdir()
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setattr(client, "SITE_CA_FILE", str(path))
    return path


@pytest.fixture
def secure_hub(authority: trustme.CA) -> Iterator[FakeHub]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(FakeHub(tls=context)) as hub:
        hub.commit({"m.gguf": MODEL})
        yield hub


def test_certificates_of_the_site_are_trusted(secure_hub: FakeHub, site_ca: Path, tmp_path: Path, run: Run) -> None:
    spec = hub_spec(secure_hub, tmp_path / "v")
    run(spec)
    assert model_bytes(spec) == MODEL


def test_certificates_that_are_none_are_told_with_who_can_mend_them(
    secure_hub: FakeHub, site_ca: Path, tmp_path: Path, run: Run
) -> None:
    site_ca.write_text("no certificate")
    with pytest.raises(WeightsFailure, match=r"administrator must give PEM certificates in site\.caBundle"):
        run(hub_spec(secure_hub, tmp_path / "v"), NO_PATIENCE)


def test_the_sites_token_opens_its_hub(
    secure_hub: FakeHub, site_ca: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure_hub.token = "hf_site"
    monkeypatch.setenv(SITE_TOKEN_VARIABLE, site_token(secure_hub.url, "hf_site"))
    spec = hub_spec(secure_hub, tmp_path / "v")
    run(spec)
    assert model_bytes(spec) == MODEL
    assert {asked.headers.get("authorization") for asked in secure_hub.asked} == {"Bearer hf_site"}


@pytest.mark.parametrize("why", ["another port", "own certificates", "its own token"])
def test_where_the_sites_token_does_not_go(
    secure_hub: FakeHub, site_ca: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    written_for = "https://127.0.0.1:1" if why == "another port" else secure_hub.url
    monkeypatch.setenv(SITE_TOKEN_VARIABLE, site_token(written_for, "hf_site"))
    own = tmp_path / "token"
    own.write_text("hf_own")
    spec = FetchSpec(
        HuggingFace(secure_hub.repo, endpoint=secure_hub.url),
        str(tmp_path / "v"),
        ca_file=str(site_ca) if why == "own certificates" else "",
        token_file=str(own) if why == "its own token" else "",
    )
    run(spec)
    sent = {asked.headers.get("authorization") for asked in secure_hub.asked}
    assert sent == ({"Bearer hf_own"} if why == "its own token" else {None})


def test_over_plain_http_no_token_of_the_site_goes(
    hub: FakeHub, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit({"m.gguf": MODEL})
    monkeypatch.setenv(SITE_TOKEN_VARIABLE, site_token(hub.url, "hf_site"))
    run(hub_spec(hub, tmp_path / "v"))
    assert {asked.headers.get("authorization") for asked in hub.asked} == {None}


class Proxy:
    """A proxy that answers every request with a status, and keeps what it was asked."""

    def __init__(self, status: bytes) -> None:
        self.heads: list[bytes] = []
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.heads.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self._status)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_password_is_told_to_the_proxy_and_to_nobody_else(
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: bytes,
    scheme: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = Proxy(status)
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://user:p%40ss-word@127.0.0.1:{proxy.port}")
    spec = FetchSpec(Http(f"{scheme}://files.example/m.gguf", "0" * 64), str(tmp_path / "v"))
    with pytest.raises(WeightsFailure) as failed:
        run(spec, NO_PATIENCE)
    proxy.close()
    assert base64.b64encode(b"user:p@ss-word") in proxy.heads[0]
    for told in (str(failed.value), failed.value.message, caplog.text):
        assert "ss-word" not in told and base64.b64encode(b"user:p@ss-word").decode() not in told


def test_a_source_at_an_address_of_ipv6(tmp_path: Path, run: Run) -> None:
    with serving(FakeOrigin("::1")) as origin:
        origin.put("/m.gguf", MODEL)
        spec = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v")
        run(spec)
        assert model_bytes(spec) == MODEL and sha256(MODEL)
