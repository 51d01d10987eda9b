"""Real servers that the puller downloads from: versitygw speaks S3, and crane's registry the distribution-spec."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from testbed.cluster import tools
from testbed.cluster.ports import free_ports

ACCESS_KEY, SECRET_KEY = "house", "a-secret-of-the-house"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
RAW = "application/vnd.cncf.model.weight.v1.raw"
TAR = "application/vnd.cncf.model.weight.v1.tar"
TITLE = "org.opencontainers.image.title"


def program(name: str) -> str:
    try:
        return str(tools.path(name))
    except tools.ToolMissing as missing:
        pytest.skip(str(missing))


@contextmanager
def _running(command: Sequence[str], port: int, env: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{command[0]} does not listen: {log.read_text()[-2000:]}"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


# A store of S3


@dataclass(frozen=True)
class RealStore:
    """A store whose buckets are folders. `url` is its endpoint."""

    url: str
    folder: Path
    port: int

    def client(self, bucket: str, ca: bytes = b"") -> Any:
        from obstore.store import S3Store

        options: dict[str, Any] = {"allow_http": True}
        if ca:
            options["root_certificate"] = ca
        return S3Store(
            bucket, endpoint=self.url, region="us-east-1", access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY,
            client_options=options,
        )  # fmt: skip

    def bucket(self, name: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)

    def put(self, bucket: str, key: str, data: bytes, *, parts: int = 0, ca: bytes = b"") -> None:
        """Writes an object; in parts of 5 MiB, as large files are, if `parts` is set."""
        import obstore

        self.bucket(bucket)
        options: dict[str, Any] = {"use_multipart": True, "chunk_size": 5 << 20} if parts else {"use_multipart": False}
        obstore.put(self.client(bucket, ca), key, data, **options)


@contextmanager
def real_store(folder: Path, *, cert: Path | None = None, key: Path | None = None) -> Iterator[RealStore]:
    [port] = free_ports(1)
    for name in ("data", "iam", "meta"):
        (folder / name).mkdir(parents=True)
    tls = ["--cert", str(cert), "--key", str(key)] if cert else []
    command = [
        program("versitygw"), "--quiet", "--port", f"127.0.0.1:{port}", "--iam-dir", str(folder / "iam"), *tls, "posix",
        "--sidecar", str(folder / "meta"), str(folder / "data"),
    ]  # fmt: skip
    env = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with _running(command, port, env, folder / "log"):
        yield RealStore(f"{'https' if cert else 'http'}://127.0.0.1:{port}", folder / "data", port)


def keys_file(folder: Path, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> str:
    path = folder / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    return str(path)


# A registry


@dataclass(frozen=True)
class Layer:
    data: bytes
    media_type: str = RAW
    title: str = ""

    @property
    def descriptor(self) -> dict[str, Any]:
        named = {"annotations": {TITLE: self.title}} if self.title else {}
        digest = f"sha256:{hashlib.sha256(self.data).hexdigest()}"
        return {"mediaType": self.media_type, "digest": digest, "size": len(self.data), **named}


class RealRegistry:
    """A registry, and how one pushes to it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.url = f"http://{host}"

    def blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        began = httpx.post(f"{self.url}/v2/{repository}/blobs/uploads/")
        began.raise_for_status()
        target = httpx.URL(self.url).join(began.headers["location"]).copy_merge_params({"digest": digest})
        httpx.put(target, content=data).raise_for_status()
        return digest

    def manifest(self, repository: str, tag: str, document: Mapping[str, Any]) -> str:
        body = json.dumps(document).encode()
        media_type = str(document.get("mediaType", MANIFEST))
        answer = httpx.put(
            f"{self.url}/v2/{repository}/manifests/{tag}", content=body, headers={"content-type": media_type}
        )
        answer.raise_for_status()
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def push(self, repository: str, tag: str, layers: Sequence[Layer]) -> str:
        """Pushes an artifact of these layers; returns the digest of its manifest."""
        for layer in layers:
            self.blob(repository, layer.data)
        self.blob(repository, b"{}")
        return self.manifest(repository, tag, manifest(layers))


def manifest(layers: Sequence[Layer]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": Layer(b"{}", "application/vnd.cncf.model.config.v1+json").descriptor,
        "layers": [layer.descriptor for layer in layers],
    }


@contextmanager
def real_registry(folder: Path) -> Iterator[RealRegistry]:
    [port] = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    with _running([program("crane"), "registry", "serve", "--address", f"127.0.0.1:{port}"], port, {}, folder / "log"):
        yield RealRegistry(f"127.0.0.1:{port}")


def tarred(files: Mapping[str, bytes], *, form: str = "tar", entries: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """Makes an archive of plain files and, before them, whatever entries there are to be."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"\0" * entry.size))
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return compressed(out.getvalue(), form)


def compressed(data: bytes, form: str) -> bytes:
    if form == "tar+gzip":
        return gzip.compress(data, 1)
    if form == "tar+zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(data)
    return data


# What lies between


class Relay:
    """A relay passes bytes on to a server, and cuts answers: `cuts` holds how many bytes of each next one go through."""

    def __init__(self, port: int) -> None:
        self.cuts: list[int] = []
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pass, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(upstream, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if counted and self.cuts and re.search(rb"(?i)content-length: \d{5,}", data):
                    target.sendall(data[: self.cuts.pop(0)])
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    made = Relay(port)
    try:
        yield made
    finally:
        made.close()
