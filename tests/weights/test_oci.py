"""Registry source, with a real registry."""

from __future__ import annotations

import json
import re
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Oci
from genset.weights.failure import WeightsFailure
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry
from tests.support.weights.fakes import folder_model, tiny_gguf
from tests.support.weights.registry import MODEL, oci_spec
from tests.support.weights.running import Run, model_bytes, servable
from tests.support.weights.stores import (
    INDEX,
    MANIFEST,
    RAW,
    TAR,
    Layer,
    RealRegistry,
    compressed,
    manifest,
    real_registry,
    relay,
    tarred,
)

OTHER = tiny_gguf(300_000, seed=2)
SHARDS = {f"m-{n:05d}-of-00002.gguf": tiny_gguf(100_000 + n, seed=n, split=(n, 2)) for n in (1, 2)}
IMAGE = "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_a_file_that_is_a_layer(registry: RealRegistry, tmp_path: Path, run: Run, progress: ProgressLog) -> None:
    digest = registry.push("models/m", "q4", [Layer(MODEL, RAW, "m-q4.gguf"), Layer(b"MIT", "text/plain", "LICENSE")])
    spec = oci_spec(registry.host, tmp_path, "models/m:q4")
    outcome = run(spec)
    assert model_bytes(spec) == MODEL
    assert outcome.model.revision == progress.snapshot().revision == digest


def test_the_model_of_its_own_kind_of_layer(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    kinds = ("application/vnd.ollama.image.model", "application/vnd.docker.ai.gguf.v3")
    for number, kind in enumerate(kinds):
        registry.push(
            f"models/kind{number}", "v1", [Layer(b"{}", "application/vnd.ollama.image.params"), Layer(MODEL, kind)]
        )
        spec = oci_spec(registry.host, tmp_path / str(number), f"models/kind{number}:v1")
        run(spec)
        assert model_bytes(spec) == MODEL


@pytest.mark.parametrize("form", ["tar", "tar+gzip", "tar+zstd"])
def test_a_model_in_an_archive(registry: RealRegistry, tmp_path: Path, run: Run, form: str) -> None:
    layers = [
        Layer(tarred({"docs/readme.md": b"hello"}), "application/vnd.cncf.model.doc.v1.tar"),
        Layer(tarred({"./w/m.gguf": MODEL, "w/mmproj.gguf": OTHER}, form=form), f"application/vnd.cncf.model.weight.v1.{form}"),
    ]  # fmt: skip
    registry.push(f"models/packed-{form.replace('+', '-')}", "v1", layers)
    spec = oci_spec(registry.host, tmp_path, f"models/packed-{form.replace('+', '-')}:v1")
    run(spec)
    assert model_bytes(spec) == MODEL
    left = sorted(path.name for path in Path(spec.folder).rglob("*") if path.is_file())
    assert left == ["complete.json", "lock", "model.gguf"]
    run(spec)


def test_an_image_whose_layers_lie_over_one_another(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    """A base with links of an operating system, an old model that is removed, a folder that is made anew, and the model."""
    link = tarfile.TarInfo("bin")
    link.type, link.linkname = tarfile.SYMTYPE, "usr/bin"
    layers = [
        tarred({"old.gguf": OTHER, "models/other.gguf": OTHER, "etc/passwd": b"root"}, form="tar+gzip", entries=[link]),
        tarred({".wh.old.gguf": b"", "models/.wh..wh..opq": b"", "models/m.gguf": OTHER}, form="tar+gzip"),
        tarred({"models/m.gguf": MODEL}, form="tar+gzip"),
    ]
    registry.push("images/m", "v1", [Layer(data, IMAGE) for data in layers])
    spec = oci_spec(registry.host, tmp_path, "images/m:v1")
    run(spec)
    assert model_bytes(spec) == MODEL


def test_a_split_model_in_layers_and_in_archives(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    registry.push("models/split", "raw", [Layer(data, RAW, name) for name, data in SHARDS.items()])
    registry.push("models/split", "tar", [Layer(tarred({name: data}), TAR) for name, data in SHARDS.items()])
    for tag in ("raw", "tar"):
        spec = oci_spec(registry.host, tmp_path / tag, f"models/split:{tag}", "*-of-00002.gguf")
        run(spec)
        folder = Path(spec.model_path).parent
        assert [(folder / f"model-{n:05d}-of-00002.gguf").read_bytes() for n in (1, 2)] == list(SHARDS.values())


@pytest.mark.parametrize("tag", ["raw", "tar"])
def test_a_whole_folder(registry: RealRegistry, tmp_path: Path, run: Run, tag: str) -> None:
    files = folder_model()
    if tag == "raw":
        layers = [Layer(data, RAW, f"base/{name}") for name, data in files.items()]
    else:
        layers = [Layer(tarred({f"base/{name}": data for name, data in files.items()}), TAR)]
    registry.push("folders/m", tag, layers)
    spec = oci_spec(registry.host, tmp_path, f"folders/m:{tag}", "base", whole_folder=True)
    run(spec)
    placed = {p.name: p.read_bytes() for p in Path(spec.model_path).iterdir()}
    placed.pop("complete.json")
    assert placed == files


def test_the_machines_part_of_an_index(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    entries = []
    for architecture, data in {"s390x": OTHER, "amd64": MODEL, "arm64": MODEL}.items():
        layers = [Layer(data, RAW, "m.gguf")]
        digest = registry.push("models/index", architecture, layers)
        size = len(json.dumps(manifest(layers)).encode())
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    registry.manifest("models/index", "v1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    spec = oci_spec(registry.host, tmp_path, "models/index:v1")
    run(spec)
    assert model_bytes(spec) == MODEL
    registry.manifest("models/index", "v2", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[:1] * 2})
    with pytest.raises(WeightsFailure, match=r"has nothing for linux/\w+; it has: linux/s390x"):
        run(oci_spec(registry.host, tmp_path / "b", "models/index:v2"))


def test_a_tag_that_moves_is_followed_and_a_digest_needs_no_network(
    registry: RealRegistry, tmp_path: Path, run: Run
) -> None:
    first = registry.push("models/moving", "v1", [Layer(MODEL, RAW, "m.gguf")])
    spec = oci_spec(registry.host, tmp_path, "models/moving:v1")
    run(spec)
    registry.push("models/moving", "v1", [Layer(OTHER, RAW, "m.gguf")])
    run(spec)
    assert model_bytes(spec) == OTHER
    pinned = oci_spec(registry.host, tmp_path, f"models/moving@{first}")
    run(pinned)
    assert model_bytes(pinned) == MODEL
    run(FetchSpec(Oci(f"127.0.0.1:1/elsewhere@{first}"), str(tmp_path)), Retry(patience=0.0))


def test_a_cut_layer_continues_where_it_was(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    port = int(registry.host.partition(":")[2])
    registry.push("models/cut", "raw", [Layer(MODEL, RAW, "m.gguf")])
    registry.push("models/cut", "tar", [Layer(tarred({"m.gguf": MODEL}), TAR)])
    for tag in ("raw", "tar"):
        with relay(port) as way:
            way.cuts = [200_000, 200_000]
            spec = oci_spec(f"127.0.0.1:{way.port}", tmp_path / tag, f"models/cut:{tag}")
            run(spec)
            assert way.cuts == []
        assert model_bytes(spec) == MODEL


@pytest.mark.parametrize(
    ("name", "path", "reason", "words"),
    [
        ("models/none:v1", "", Reason.SOURCE_NOT_FOUND, "has no such repository, tag or digest"),
        ("models/told:v2", "", Reason.SOURCE_NOT_FOUND, "has no such repository, tag or digest"),
        (f"models/told@sha256:{'0' * 64}", "", Reason.SOURCE_NOT_FOUND, "has no such repository, tag or digest"),
        ("models/told:two", "", Reason.SOURCE_AMBIGUOUS, "make source.oci.path match one"),
        ("models/told:two", "c*", Reason.SOURCE_NOT_FOUND, "matches 'c*' (source.oci.path); it has: a.gguf"),
        ("models/told:text", "", Reason.SOURCE_NOT_FOUND, "has no layer that is a file of a model"),
        ("models/told:tar", "", Reason.SOURCE_NOT_FOUND, "it has no .gguf file at all"),
    ],
)
def test_what_is_not_there_is_named(
    registry: RealRegistry, tmp_path: Path, run: Run, name: str, path: str, reason: Reason, words: str
) -> None:
    registry.push("models/told", "v1", [Layer(MODEL, RAW, "m.gguf")])
    registry.push("models/told", "two", [Layer(MODEL, RAW, "a.gguf"), Layer(OTHER, RAW, "b.gguf")])
    registry.push("models/told", "text", [Layer(b"MIT", "text/plain", "LICENSE")])
    registry.push("models/told", "tar", [Layer(tarred({"LICENSE": b"MIT"}), TAR)])
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(oci_spec(registry.host, tmp_path, name, path))
    assert (failed.value.reason, failed.value.permanent) == (reason, True)
    assert servable(tmp_path) == []


# Hostile archives


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


HOSTILE = {
    "a way out": (tarred({"../../evil.gguf": MODEL}), "leads out of its folder"),
    "an absolute path": (tarred({"/etc/evil.gguf": MODEL}), "leads out of its folder"),
    "a way out in the middle": (tarred({"a/../../m.gguf": MODEL}), "leads out of its folder"),
    "a line feed": (tarred({"m\n.gguf": MODEL}), "leads out of its folder"),
    "a way out beside the model": (tarred({"m.gguf": MODEL}, entries=[entry("../x")]), "leads out of its folder"),
    "a link as the model": (tarred({}, entries=[entry("m.gguf", tarfile.SYMTYPE, "/etc/passwd")]), "m.gguf is a link"),
    "a hard link as the model": (tarred({}, entries=[entry("m.gguf", tarfile.LNKTYPE, "/etc/passwd")]), "m.gguf is a link"),
    "a device as the model": (tarred({}, entries=[entry("m.gguf", tarfile.CHRTYPE)]), "m.gguf is a device"),
    "a pipe as the model": (tarred({}, entries=[entry("m.gguf", tarfile.FIFOTYPE)]), "m.gguf is a device"),
    "cut off": (tarred({"m.gguf": MODEL})[:300_000], "it is cut off"),
    "no archive": (b"GGUF" * 1000, "is no header of a tar archive"),
    "a length beyond the end": (entry("m.gguf", size=1 << 40).tobuf(tarfile.GNU_FORMAT) + MODEL, "it is cut off"),
    "a length that is no number": (entry("m.gguf").tobuf().replace(b"00000000000", b"zzzzzzzzzzz", 1), "is no header"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_not_unpacked(registry: RealRegistry, tmp_path: Path, run: Run, case: str) -> None:
    data, words = HOSTILE[case]
    registry.push("hostile/m", "v1", [Layer(data, TAR)])
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(oci_spec(registry.host, tmp_path / "deep" / "v", "hostile/m:v1"))
    assert (failed.value.reason, failed.value.permanent) == (Reason.UNSAFE_ARCHIVE, True)
    assert servable(tmp_path) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink() or "evil" in path.name]


@pytest.mark.parametrize("form", ["tar+gzip", "tar+zstd"])
def test_a_bomb_is_noticed_before_it_is_unpacked(registry: RealRegistry, tmp_path: Path, run: Run, form: str) -> None:
    head = tarfile.TarInfo("m.gguf")
    head.size = 8 << 30
    data = compressed(head.tobuf(tarfile.GNU_FORMAT) + b"\0" * (200 << 20), form)
    registry.push("hostile/bomb", "v1", [Layer(data, f"application/vnd.cncf.model.weight.v1.{form}")])
    tracemalloc.start()
    with pytest.raises(WeightsFailure, match=r"unpacks to more than") as failed:
        run(oci_spec(registry.host, tmp_path / "v", "hostile/bomb:v1"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert failed.value.reason == Reason.UNSAFE_ARCHIVE
    assert peak < 60 << 20
    assert servable(tmp_path) == []


def test_an_extended_header_is_not_kept_in_memory(registry: RealRegistry, tmp_path: Path, run: Run) -> None:
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, 1 << 40
    registry.push("hostile/pax", "v1", [Layer(head.tobuf(tarfile.GNU_FORMAT) + b"x" * 5000, TAR)])
    with pytest.raises(WeightsFailure, match=r"an extended header has \d+ bytes"):
        run(oci_spec(registry.host, tmp_path / "v", "hostile/pax:v1"))


@pytest.mark.parametrize("title", ["../m.gguf", "/m.gguf", "a//m.gguf", "complete.json", "x.partial"])
def test_a_layer_that_would_leave_its_folder(registry: RealRegistry, tmp_path: Path, run: Run, title: str) -> None:
    registry.push("hostile/title", "v1", [Layer(MODEL, RAW, title)])
    with pytest.raises(WeightsFailure, match="which leads out of its folder") as failed:
        run(oci_spec(registry.host, tmp_path, "hostile/title:v1", whole_folder=True))
    assert failed.value.reason == Reason.UNSAFE_ARCHIVE


@pytest.mark.parametrize(
    ("reference", "server", "repository", "version"),
    [
        ("r.corp:5000/a/b:v1", "https://r.corp:5000", "a/b", "v1"),
        (f"r.corp/a@sha256:{'0' * 64}", "https://r.corp", "a", f"sha256:{'0' * 64}"),
        (f"r.corp/a:v1@sha256:{'0' * 64}", "https://r.corp", "a", f"sha256:{'0' * 64}"),
        ("docker.io/ai/qwen:v1", "https://registry-1.docker.io", "ai/qwen", "v1"),
        ("docker.io/busybox:v1", "https://registry-1.docker.io", "library/busybox", "v1"),
    ],
)
def test_what_a_reference_says(reference: str, server: str, repository: str, version: str) -> None:
    source = Oci(reference)
    assert (source.server, source.repository, source.version) == (server, repository, version)
