"""Whatever is changed in a bundle is found offline: a byte, a header, the index, the end; and what does not belong there."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genset.bundle import archive
from genset.bundle.errors import BundleError
from genset.bundle.verify import Opened, verify
from tests.support.bundle import MODEL, digest, genset, made_site
from tests.support.weights.fakes import FakeHub, FakeOrigin, serving
from tests.support.weights.stores import RealRegistry


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, source: RealRegistry) -> Iterator[Path]:
    with serving(FakeOrigin()) as origin, serving(FakeHub()) as hub:
        site = made_site(tmp_path_factory.mktemp("whole"), source, origin, hub)
        done = site.create()
        assert done.exit_code == 0, done.output
        yield site.bundle


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "copy.gsb"))


def changed(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))


def test_one_changed_byte_of_a_blob_is_refused_with_its_name(copy: Path) -> None:
    opened = verify(copy)
    for blob, member in opened.members.items():
        for at in (member.start, member.start + member.size - 1):
            changed(copy, at)
            with pytest.raises(BundleError) as refused:
                verify(copy)
            assert blob in str(refused.value), str(refused.value)
            changed(copy, at)
    done = genset("verify", str(copy))
    assert done.exit_code == 0 and opened.own.digest in done.output


def test_one_changed_byte_anywhere_is_refused(copy: Path) -> None:
    length = copy.stat().st_size
    draw = random.Random(18)
    headers = [member.start - archive.BLOCK + draw.randrange(archive.BLOCK) for member in verify(copy).members.values()]
    ends = list(range(length - 1024, length, 37))
    for at in [*headers, *ends, *(draw.randrange(length) for _ in range(150)), *range(0, 1100, 13)]:
        changed(copy, at)
        with pytest.raises(BundleError):
            verify(copy)
        changed(copy, at)
    verify(copy)


def test_a_header_that_only_looks_right_is_refused(copy: Path) -> None:
    """Whoever changes a header can make its checksum fit; time, owner and mode of a member are nobody's to choose."""
    member = next(iter(verify(copy).members.values()))
    info = tarfile.TarInfo(member.name)
    info.size, info.mtime = member.size, 1
    with copy.open("r+b") as stream:
        stream.seek(member.start - archive.BLOCK)
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(BundleError, match=r"the header of .* was changed"):
        verify(copy)


def test_a_bundle_that_was_cut_is_refused_wherever(copy: Path) -> None:
    length = copy.stat().st_size
    draw = random.Random(5)
    whole_bytes = copy.read_bytes()
    for at in (0, 1, 512, length - 1, length - 512, length - 1024, *(draw.randrange(length) for _ in range(60))):
        copy.write_bytes(whole_bytes[:at])
        with pytest.raises(BundleError, match=r"cut off|has no"):
            verify(copy)


def test_what_is_appended_is_refused(copy: Path) -> None:
    with copy.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleError, match="its end"):
        verify(copy)


def rewritten(copy: Path, change: dict[str, bytes | None], more: dict[str, bytes] | None = None) -> None:
    """Writes the archive anew with changed members, all headers right."""
    out = io.BytesIO()
    with tarfile.open(copy) as old:
        members = {one.name: old.extractfile(one).read() for one in old}  # type: ignore[union-attr]
    for name, data in {**members, **{n: d for n, d in change.items() if d is not None}, **(more or {})}.items():
        if name in change and change[name] is None:
            continue
        out.write(archive.header(name, len(data)) + data + bytes(-len(data) % 512))
    copy.write_bytes(out.getvalue() + bytes(1024))


def test_a_blob_that_is_missing_is_named(copy: Path) -> None:
    rewritten(copy, {archive.name_of(digest(MODEL)): None})
    with pytest.raises(BundleError, match=f"blob {digest(MODEL)} .* is missing"):
        verify(copy)


def test_what_nobody_asked_for_is_refused(copy: Path) -> None:
    extra = b"a stowaway"
    rewritten(copy, {}, {archive.name_of(digest(extra)): extra})
    with pytest.raises(BundleError, match=f"blob {digest(extra)} belongs to nothing"):
        verify(copy)
    rewritten(copy, {}, {"../../etc/passwd": b"root"})
    with pytest.raises(BundleError, match="does not belong"):
        verify(copy)


def test_an_index_that_names_other_images_is_refused(copy: Path) -> None:
    with tarfile.open(copy) as old:
        index = json.loads(old.extractfile("index.json").read())  # type: ignore[union-attr]
    index["manifests"][1]["annotations"]["io.containerd.image.name"] = "registry.corp/other:1"
    rewritten(copy, {"index.json": json.dumps(index, sort_keys=True, separators=(",", ":")).encode()})
    with pytest.raises(BundleError, match=r"index\.json was changed"):
        verify(copy)


def test_another_bundle_is_known_by_its_digest(copy: Path) -> None:
    done = genset("verify", str(copy), "--digest", "sha256:" + "0" * 64)
    assert done.exit_code == 1 and "it is another bundle" in done.output
    assert genset("verify", str(copy), "--digest", verify(copy).own.digest).exit_code == 0


def test_a_bundle_of_a_later_format_is_refused_by_name(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genset.bundle.layout.FORMAT", 0)
    done = genset("verify", str(copy))
    assert done.exit_code == 1 and "a later genset" in done.output


def test_its_age_is_told(copy: Path) -> None:
    done = genset("verify", str(copy), "-o", "json")
    told = json.loads(done.stdout)
    assert 0 <= told["ageSeconds"] < 600 and told["created"] in genset("verify", str(copy)).output


def test_its_sha256_is_that_of_the_file(copy: Path) -> None:
    import hashlib

    opened: Opened = verify(copy)
    assert opened.sha256 == hashlib.sha256(copy.read_bytes()).hexdigest()


def test_any_reader_of_oci_layouts_can_read_it(copy: Path, tmp_path: Path) -> None:
    with tarfile.open(copy) as opened:
        opened.extractall(tmp_path / "layout", filter="data")
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    assert all((tmp_path / "layout" / "blobs" / "sha256" / one["digest"][7:]).is_file() for one in index["manifests"])


# Signatures: openssl makes them as `cosign sign-blob --key` does, ECDSA over SHA-256, in Base64


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def signed(copy: Path, folder: Path) -> tuple[Path, Path]:
    key, public, raw, signature = (folder / name for name in ("cosign.key", "cosign.pub", "raw", "site.gsb.sig"))
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    openssl("ec", "-in", str(key), "-pubout", "-out", str(public))
    openssl("dgst", "-sha256", "-sign", str(key), "-out", str(raw), str(copy))
    openssl("base64", "-A", "-in", str(raw), "-out", str(signature))
    return public, signature


def test_a_signature_by_the_key_is_taken_and_no_other(copy: Path, tmp_path: Path) -> None:
    public, signature = signed(copy, tmp_path)
    given = ("--key", str(public), "--signature", str(signature))
    assert genset("verify", str(copy), *given).exit_code == 0
    sigstore = tmp_path / "site.gsb.sigstore.json"
    document = {"messageSignature": {"signature": signature.read_text()}}
    sigstore.write_text(json.dumps(document))
    assert genset("verify", str(copy), "--key", str(public), "--signature", str(sigstore)).exit_code == 0
    other = tmp_path / "other"
    other.mkdir()
    strange, _ = signed(copy, other)
    refused = genset("verify", str(copy), "--key", str(strange), "--signature", str(signature))
    assert refused.exit_code == 1 and "not that of this file by this key" in refused.output
    signature.write_text("no base64!")
    assert "neither Base64" in genset("verify", str(copy), *given).output
    assert genset("verify", str(copy), "--key", str(public)).exit_code == 2
