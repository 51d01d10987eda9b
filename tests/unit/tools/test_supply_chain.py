"""What is installed and shipped: by hash, listed, audited."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("requirements.lock", "requirements-runtime.lock", "requirements-build.lock")


def tool(name: str) -> ModuleType:
    """A script of tools/, which is in no package."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


sbom, audit, lock = tool("sbom"), tool("audit"), tool("lock")


# Hashes


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_version_has_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]
    assert entries and all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in re.sub(r"#.*", "", text), "a lock file names no index"


def test_whatever_installs_asks_for_hashes() -> None:
    for path in ("Dockerfile", "tools/venv.py"):
        text = (ROOT / path).read_text()
        installs = re.findall(r"[^\n&]*(?:--requirement|\"-r\").*", text)
        assert installs and all("--require-hashes" in line or "*options" in line for line in installs), path
        assert "--require-hashes" in text


def test_what_builds_the_image_is_locked() -> None:
    there = sbom.locked_versions((ROOT / "requirements-build.lock").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for wanted in lock.build_requirements():
        assert sbom.normal(re.match(r"[A-Za-z0-9._-]+", wanted)[0]) in there  # type: ignore[index]
    assert set(project["build-system"]["requires"]) <= set(lock.build_requirements())


# The list of what is in the image


def made(tmp_path: Path, locked: dict[str, set[str]] | None = None) -> dict[str, Any]:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12+deb13u1\nDescription: C\n more\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/os-release").write_text('NAME="Debian"\nVERSION_CODENAME=trixie\n')
    folder = Path(str(distribution("pydantic").locate_file("")))
    there = {sbom.normal(one.metadata["Name"]): {one.version} for one in distributions(path=[str(folder)])}
    document: dict[str, Any] = sbom.bill(
        [folder], tmp_path, "python:3.13-slim@sha256:00", there if locked is None else locked
    )
    return document


def test_packages_of_python_and_of_the_base_are_listed(tmp_path: Path) -> None:
    document = made(tmp_path)
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    by_name = {one["name"]: one for one in document["components"]}
    assert by_name["pydantic"]["purl"] == f"pkg:pypi/pydantic@{distribution('pydantic').version}"
    assert by_name["pydantic"]["licenses"] == [{"expression": "MIT"}]
    assert by_name["libc6"]["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=trixie"
    assert by_name["python:3.13-slim@sha256:00"]["type"] == "container" and "gone" not in by_name
    refs = [one["bom-ref"] for one in document["components"]]
    assert len(refs) == len(set(refs))
    known = {*refs, "genset"}
    for edge in document["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= known
    needs = {edge["ref"]: edge["dependsOn"] for edge in document["dependencies"]}
    assert (
        by_name["pydantic-core" if "pydantic-core" in by_name else "pydantic_core"]["bom-ref"]
        in needs[by_name["pydantic"]["purl"]]
    )


def test_the_same_image_gives_the_same_list(tmp_path: Path) -> None:
    assert json.dumps(made(tmp_path)) == json.dumps(made(tmp_path))


def test_what_is_not_locked_is_no_image_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^\S+ \S+ is installed, but the lock file has none of it$"):
        made(tmp_path, {})


# What a release is made over

DIGESTS = {
    name: f"python:3.13{tag}@sha256:{digit * 64}" for name, tag, digit in (("BASE", "-slim", "a"), ("BUILDER", "", "b"))
}


def build(tmp_path: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
    """The line of the Dockerfile that makes the list, with these build arguments; a package of ours alone is installed."""
    (tmp_path / "genset-1.2.3.dist-info").mkdir(exist_ok=True)
    (tmp_path / "genset-1.2.3.dist-info/METADATA").write_text("Metadata-Version: 2.4\nName: genset\nVersion: 1.2.3\n")
    (tmp_path / "lock").write_text("")
    line = re.search(r"^RUN python3 /build/sbom.py (.+?) > ", (ROOT / "Dockerfile").read_text(), re.M | re.S)
    assert line
    given = line[1].replace("\\\n", " ").replace("/build/requirements-runtime.lock /opt/genset /opt/app", "lock .")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'tools/sbom.py'))} {given}"
    environment = {"PATH": "/usr/bin:/bin", "BASE": "", "BUILDER": "", "RELEASE": "", **arguments}
    return subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_a_release_is_made_over_digests(tmp_path: Path) -> None:
    made = build(tmp_path, RELEASE="1.2.3", **DIGESTS)
    assert made.returncode == 0, made.stderr
    assert DIGESTS["BASE"] in {one["name"] for one in json.loads(made.stdout)["components"]}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"BASE": "python:3.13-slim"}, "BASE is python:3.13-slim, which may be another image tomorrow: name it as"),
        ({"BUILDER": "python:3.13"}, "BUILDER is python:3.13, which may"),
        ({"BUILDER": ""}, "BUILDER is not given"),
        ({"BASE": "python@sha256:abc"}, "BASE is python@sha256:abc"),
        ({"RELEASE": "1.2.4"}, "RELEASE is 1.2.4, and the source is of 1.2.3"),
    ],
)
def test_a_release_over_a_tag_ends_the_build(tmp_path: Path, wrong: dict[str, str], told: str) -> None:
    made = build(tmp_path, **{"RELEASE": "1.2.3", **DIGESTS, **wrong})
    assert made.returncode != 0 and made.stdout == ""
    assert told in made.stderr and "docs/release.md" in made.stderr


def test_who_tries_things_out_needs_no_digest(tmp_path: Path) -> None:
    made = build(tmp_path, BASE="python:3.13-slim", BUILDER="python:3.13")
    assert made.returncode == 0, made.stderr


def test_the_page_on_releases_gives_the_build_what_it_asks_for() -> None:
    stage = (ROOT / "Dockerfile").read_text().partition(" AS bill\n")[2].partition("\nCOPY")[0]
    wanted = re.findall(r"^ARG ([A-Z]+)", stage, re.M)
    assert wanted == ["BASE", "BUILDER", "RELEASE"]
    command = re.search(r"^docker build -t(?:.*\\\n)*.*$", (ROOT / "docs/release.md").read_text(), re.M)
    assert command and sorted(re.findall(r"--build-arg ([A-Z]+)=", command[0])) == wanted
    assert command[0].count("@sha256:") == 2


# The audit


@contextmanager
def database(answer: bytes, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_known_against_a_version_is_told() -> None:
    packages = audit.locked(["a==1.0 \\\n    --hash=sha256:0\nB_c==2 ; python_version < '3.12' \\\n", "a==1.0\n"])
    assert packages == [("a", "1.0"), ("b-c", "2")]
    with database(json.dumps({"results": [{}, {"vulns": [{"id": "PYSEC-1"}, {"id": "GHSA-2"}]}]}).encode()) as (
        url,
        asked,
    ):
        assert audit.known(packages, url) == {("b-c", "2"): ["PYSEC-1", "GHSA-2"]}
    assert asked[0]["queries"][0] == {"package": {"ecosystem": "PyPI", "name": "a"}, "version": "1.0"}


@pytest.mark.parametrize(("answer", "status"), [(b"", 503), (b"<html>", 200), (b"[]", 200), (b'{"results": []}', 200)])
def test_a_database_that_cannot_be_asked_is_said(answer: bytes, status: int) -> None:
    with database(answer, status) as (url, _), pytest.raises(audit.Unreachable, match=url):
        audit.known([("a", "1")], url)


def test_without_network_the_audit_passes_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:1")
    audit.main()
    assert "Dependencies were not audited, because" in capsys.readouterr().out


def test_a_finding_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "known", lambda *_: {("a", "1"): ["X-1", "X-2"]})
    with pytest.raises(SystemExit, match="make lock"):
        audit.main()
    monkeypatch.setattr(audit, "ACCEPTED", {"X-1": "not called", "X-2": "not called"})
    audit.main()
