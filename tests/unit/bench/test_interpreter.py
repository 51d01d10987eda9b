"""The image's file system as a benchmark's interpreter finds it."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from bench.interpreter import PLACE, Interpreter, interpreter, unpacked
from testbed.images.oci import LAYER


def archive(path: Path, *layers: dict[str, bytes]) -> Path:
    """An OCI archive whose layers hold these files."""
    blobs: dict[str, bytes] = {}

    def put(content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{name}"] = content
        return f"sha256:{name}"

    digests = [put(_tar(files)) for files in layers]
    manifest = {"layers": [{"mediaType": LAYER, "digest": digest} for digest in digests]}
    blobs["index.json"] = json.dumps({"manifests": [{"digest": put(json.dumps(manifest).encode())}]}).encode()
    path.parent.mkdir()
    path.write_bytes(_tar(blobs))
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            member.uid = member.gid = 0
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_layers_are_laid_over_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lower = {"opt/a": b"old", "opt/gone": b"x", "opt/kept": b"kept"}
    rootfs = unpacked(archive(tmp_path / "genset-1" / "image.tar", lower, {"opt/a": b"new", "opt/.wh.gone": b""}))
    assert {path.name: path.read_bytes() for path in (rootfs / "opt").iterdir()} == {"a": b"new", "kept": b"kept"}


def test_without_the_image_everything_runs_on_this_python(tmp_path: Path) -> None:
    found = interpreter()
    assert found.rootfs is None
    assert found.genset(tmp_path, ["router"])[:3] == [sys.executable, "-m", "genset"]
    assert found.place(tmp_path) == str(tmp_path)
    assert "image" not in found.about


def test_inside_the_image_paths_are_the_image_s(tmp_path: Path) -> None:
    found = Interpreter(tmp_path / "rootfs", "3.13.5")
    command = found.genset(tmp_path, ["router", "--config-dir", f"{found.place(tmp_path)}/config"])
    assert command[-5:] == ["-m", "genset", "router", "--config-dir", f"{PLACE}/config"]
    assert f"HERE={tmp_path}" in command
    assert found.about == "Python 3.13.5 of the project's image"
