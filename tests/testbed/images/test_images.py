"""Images: where their packages come from, what is in an archive, and when one is built anew."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster.steps import StepFailed
from testbed.images import genset
from testbed.images.oci import ImageConfig, write_archive
from testbed.images.rootfs import find_mirror, mirror, shrink

DEB822 = """Types: deb
# a snapshot
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        pytest.param([DEB822], "http://mirror.test/debian", id="deb822"),
        pytest.param(
            ["deb http://mirror.test/debian/ trixie main contrib\n"], "http://mirror.test/debian", id="one line"
        ),
        pytest.param(
            ["deb [arch=amd64 signed-by=/k.gpg] https://m.test/debian trixie main # x\n"],
            "https://m.test/debian",
            id="options and a comment",
        ),
        pytest.param(
            ["deb https://other.test/node_20.x nodistro main\n", DEB822], "http://mirror.test/debian", id="others first"
        ),
        pytest.param([DEB822.replace("Types: deb\n#", "Types: deb\nEnabled: no\n#")], None, id="switched off"),
        pytest.param(["deb-src http://mirror.test/debian trixie main\n"], None, id="sources only"),
        pytest.param(["deb http://mirror.test/debian trixie-security main\n"], None, id="security only"),
        pytest.param(["deb http://archive.test/ubuntu noble main\n"], None, id="Ubuntu"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_the_mirror_is_the_machines_own(sources: list[str], found: str | None) -> None:
    assert find_mirror(sources) == found


def test_a_named_mirror_goes_before_the_machines(tmp_path: Path) -> None:
    assert mirror({"GENSET_DEBIAN_MIRROR": "http://corp.test/debian/"}, tmp_path) == "http://corp.test/debian"
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert mirror({}, tmp_path) == "http://mirror.test/debian"


def test_no_mirror_is_reported_with_the_variable_that_names_one(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="GENSET_DEBIAN_MIRROR"):
        mirror({}, tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "rootfs"
    for name in ("bin", "dev", "usr/share/doc/x", "usr/share/man/man1", "etc", "var/lib/dbus"):
        (folder / name).mkdir(parents=True)
    (folder / "bin" / "server").write_bytes(b"\x7fELF")
    (folder / "bin" / "server").chmod(0o755)
    (folder / "bin" / "link").symlink_to("server")
    (folder / "dev" / "null").write_text("made by debootstrap")
    (folder / "usr/share/doc/x/copyright").write_text("licence")
    (folder / "usr/share/doc/x/changelog").write_text("long")
    (folder / "usr/share/man/man1/x.1").write_text("manual")
    return folder


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[tarfile.TarInfo]]:
    """Index entry, configuration and layer members, with every digest checked on the way."""
    with tarfile.open(path) as archive:

        def blob(descriptor: dict[str, Any]) -> bytes:
            handle = archive.extractfile(f"blobs/{descriptor['digest'].replace(':', '/')}")
            assert handle is not None
            content = handle.read()
            assert descriptor["size"] == len(content)
            assert descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
            return content

        index = archive.extractfile("index.json")
        assert index is not None
        entry = json.loads(index.read())["manifests"][0]
        manifest = json.loads(blob(entry))
        config = json.loads(blob(manifest["config"]))
        blob(manifest["layers"][0])
        assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
        layer = archive.extractfile(f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}")
        with tarfile.open(fileobj=layer) as files:
            members = files.getmembers()
    return entry, config, members


def test_an_archive_holds_the_files_and_says_what_runs(root: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar", "example.test/server:1", root, ImageConfig(["/bin/server"]), "x86_64")
    entry, config, members = read_archive(tmp_path / "a.tar")
    assert entry["annotations"]["io.containerd.image.name"] == "example.test/server:1"
    assert config["architecture"] == "amd64"
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/bin/server"], "65532:65532")
    by_name = {member.name: member for member in members}
    assert by_name["bin/server"].mode & 0o777 == 0o755
    assert by_name["bin/link"].linkname == "server"
    assert "dev" in by_name
    assert "dev/null" not in by_name


def test_the_same_files_make_the_same_archive(root: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(root, tmp_path / "twin", symlinks=True, copy_function=shutil.copy))
    archives = []
    for name, folder in (("a", root), ("b", twin)):
        write_archive(tmp_path / f"{name}.tar", "example.test/server:1", folder, ImageConfig(["/bin/server"]), "x86_64")
        archives.append((tmp_path / f"{name}.tar").read_bytes())
    assert archives[0] == archives[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "b.tar", "rootfs", "twin"]


def test_shrinking_keeps_licences(root: Path) -> None:
    shrink(root)
    assert (root / "usr/share/doc/x/copyright").exists()
    assert not (root / "usr/share/doc/x/changelog").exists()
    assert not list((root / "usr/share/man").iterdir())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "operator" / "genset").mkdir(parents=True)
    for name in ("Dockerfile", "pyproject.toml", "README.md", "operator/genset/__init__.py", "ARCHITECTURE.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "rebuilt"),
    [
        ("Dockerfile", True),
        ("pyproject.toml", True),
        ("operator/genset/__init__.py", True),
        ("operator/genset/new.py", True),
        ("ARCHITECTURE.md", False),
    ],
)
def test_the_image_is_built_anew_when_something_in_it_changed(tree: Path, changed: str, rebuilt: bool) -> None:
    before = genset.key(tree)
    (tree / changed).write_text("changed")
    assert (genset.key(tree) != before) is rebuilt
