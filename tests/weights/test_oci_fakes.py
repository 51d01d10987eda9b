"""Registry source: a registry that asks who one is, and one that misbehaves, which a real one does not do on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.sources import Oci
from genset.weights import registry as login
from genset.weights.client import make_client
from genset.weights.failure import WeightsFailure
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeOrigin, Fault, folder_model, serving
from tests.support.weights.registry import MODEL, FakeRegistry, oci_spec
from tests.support.weights.running import Run, model_bytes, servable
from tests.support.weights.stores import (
    TAR,
    Layer,
    manifest,
    tarred,
)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as running:
        yield running


def docker_config(folder: Path, host: str, **entry: str) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {host: entry}}))
    return str(path)


@pytest.mark.parametrize("tokens", [False, True])
def test_a_private_registry(fake: FakeRegistry, tmp_path: Path, run: Run, tokens: bool) -> None:
    fake.password, fake.tokens = "pass", tokens
    keys = docker_config(tmp_path, fake.host, username="house", password="pass")
    spec = oci_spec(fake.host, tmp_path / "v", "models/m:v1", credentials_file=keys)
    run(spec)
    assert model_bytes(spec) == MODEL
    if tokens:
        asked = next(one for one in fake.asked if one.path.startswith("/token"))
        assert parse_qs(urlsplit(asked.path).query) == {"service": ["house"], "scope": ["repository:models/m:pull"]}


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_private_registry_refuses(fake: FakeRegistry, tmp_path: Path, run: Run, tokens: bool, password: str) -> None:
    fake.password, fake.tokens = "pass", tokens
    keys = docker_config(tmp_path, fake.host, username="house", password=password) if password else ""
    with pytest.raises(WeightsFailure, match=r"source\.oci\.credentialsSecretRef") as failed:
        run(oci_spec(fake.host, tmp_path / "v", "models/m:v1", credentials_file=keys))
    assert (failed.value.reason, failed.value.permanent) == (Reason.SOURCE_UNAUTHORIZED, True)
    assert "wrong" not in failed.value.message


@pytest.mark.parametrize("tokens", [False, True])
def test_credentials_do_not_follow_a_redirect(tmp_path: Path, run: Run, tokens: bool) -> None:
    with serving(FakeOrigin("127.0.0.3")) as network, serving(FakeRegistry(network)) as fake:
        fake.password, fake.tokens = "pass", tokens
        network.faults = [Fault(cut_after=100_000)]
        keys = docker_config(tmp_path, fake.host, username="house", password="pass")
        spec = oci_spec(fake.host, tmp_path / "v", "models/m:v1", credentials_file=keys)
        run(spec)
        assert model_bytes(spec) == MODEL
        assert len(network.asked) == 2
        assert all("authorization" not in asked.headers for asked in network.asked)


def test_a_registry_without_tls_may_name_a_token_server_and_one_with_tls_only_such(
    fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = docker_config(tmp_path, "registry.corp", username="house", password="pass")
    made = login.Registry(Oci("registry.corp/m:v1"), None, keys)  # type: ignore[arg-type]
    with pytest.raises(WeightsFailure, match="has no TLS: nothing was told to it"):
        made.log_in('Bearer realm="http://tokens.corp/token",service="x"')


def test_a_token_is_renewed_before_it_ends(fake: FakeRegistry) -> None:
    fake.tokens = True
    now = [0.0]
    with make_client("") as client:
        asked = login.Registry(Oci(f"{fake.host}/models/m:v1", scheme="http"), client, "", clock=lambda: now[0])
        asked.manifest("v1")
        assert asked.blob("sha256:x")[1] == {"authorization": "Bearer t0"}
        now[0] = 290.0
        assert asked.blob("sha256:x")[1] == {"authorization": "Bearer t1"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_of_the_registry_passes(fake: FakeRegistry, tmp_path: Path, run: Run, status: int) -> None:
    fake.status = status
    slept: list[float] = []

    def recover(seconds: float) -> None:
        slept.append(seconds)
        fake.status = 0

    spec = oci_spec(fake.host, tmp_path, "models/m:v1")
    run(spec, Retry(first=0.01, sleep=recover))
    assert model_bytes(spec) == MODEL
    assert slept == [1.0]


def test_a_layer_that_is_another_is_not_served(fake: FakeRegistry, tmp_path: Path, run: Run) -> None:
    real = fake.layers[0]
    fake.document = json.dumps(manifest([real])).encode()
    fake.put(f"/v2/models/m/blobs/{real.descriptor['digest']}", MODEL[:-1] + b"?")
    fake.layers = []
    for _ in range(2):
        with pytest.raises(WeightsFailure, match="is not the file that was asked for") as failed:
            run(oci_spec(fake.host, tmp_path, "models/m:v1"))
        assert failed.value.reason == Reason.CHECKSUM_MISMATCH
    assert servable(tmp_path) == []


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"<html>", b'{"layers": 3}', b'{"layers": [{}]}', b'{"manifests": 3}', b"[" * 100_000,
     b'{"layers": [{"digest": "sha512:x", "size": 1, "mediaType": "a"}]}', b'{"layers": [], "manifests": []}'],
)  # fmt: skip
def test_a_registry_that_is_none_is_named(fake: FakeRegistry, tmp_path: Path, run: Run, document: bytes) -> None:
    fake.document = document
    with pytest.raises(WeightsFailure, match=r"source\.oci|push it anew|it has: none") as failed:
        run(oci_spec(fake.host, tmp_path, "models/m:v1"))
    assert failed.value.reason in (Reason.SOURCE_UNREACHABLE, Reason.SOURCE_NOT_FOUND)


def test_a_manifest_that_is_not_the_one_of_the_digest(fake: FakeRegistry, tmp_path: Path, run: Run) -> None:
    with pytest.raises(WeightsFailure, match="sent a manifest whose digest is") as failed:
        run(oci_spec(fake.host, tmp_path, f"models/m@sha256:{hashlib.sha256(b'other').hexdigest()}"))
    assert failed.value.reason == Reason.CHECKSUM_MISMATCH


def test_a_manifest_without_end_is_not_read(fake: FakeRegistry, tmp_path: Path, run: Run) -> None:
    fake.document = b" " * (5 << 20)
    with pytest.raises(WeightsFailure, match="sent a manifest of more than"):
        run(oci_spec(fake.host, tmp_path, "models/m:v1"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"auths": {"r.corp": {"auth": "aDpw"}}}', "aDpw"),
        ('{"auths": {"https://r.corp/v1/": {"username": "h", "password": "p"}}}', "aDpw"),
        ('{"auths": {"x": {}, "r.corp": {"auth": "", "username": "h", "password": "p"}}}', "aDpw"),
    ],
)
def test_a_docker_configuration(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "c"
    path.write_text(text)
    assert login.read_login(str(path), Oci("r.corp/m:v1")) == found


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"auths": 3}', '{"auths": {"other": {"auth": "s3cret"}}}', '{"auths": {"r.corp": {"auth": "s3cret"}}}',
     '{"auths": {"r.corp": 3}}', '{"auths": {"r.corp": {"auth": "%%"}}}', "[" * 100_000],
)  # fmt: skip
def test_an_unusable_docker_configuration_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c"
    path.write_text(text)
    with pytest.raises(WeightsFailure, match=r"source\.oci\.credentialsSecretRef") as failed:
        login.read_login(str(path), Oci("r.corp/m:v1"))
    assert failed.value.reason == Reason.SOURCE_UNAUTHORIZED
    assert "s3cret" not in failed.value.message


def test_a_folder_that_is_no_model_is_not_downloaded_again(fake: FakeRegistry, tmp_path: Path, run: Run) -> None:
    files = folder_model()
    del files["config.json"]
    fake.layers = [Layer(tarred(files), TAR)]
    spec = oci_spec(fake.host, tmp_path, "models/m:v1", whole_folder=True)
    for _ in range(3):
        with pytest.raises(WeightsFailure, match=r"config\.json is missing") as failed:
            run(spec)
        assert failed.value.reason == Reason.NOT_A_MODEL
    assert len([one for one in fake.asked if "/blobs/" in one.path]) == 1
