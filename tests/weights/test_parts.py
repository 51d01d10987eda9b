"""A model with a projector and adapters: one run of the puller, several downloads, and what is told of each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.puller import CheckSpec, Companion, DownloadProgress, FetchSpec, LastWords, PartProgress, to_args
from genset.contracts.sources import HuggingFace
from genset.weights import parts
from genset.weights.failure import WeightsFailure
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeHub, FakeOrigin, Fault, folder_model, safetensors, tiny_gguf
from tests.support.weights.running import FAST, Run, hub_spec, model_bytes, servable, web_spec
from tests.weights.test_command import finish

MODEL = tiny_gguf(400_000)
PROJECTOR = tiny_gguf(100_000, seed=2, metadata={"general.architecture": "clip", "general.type": "mmproj"})
ADAPTER = tiny_gguf(50_000, seed=3, metadata={"general.type": "adapter", "adapter.type": "lora"})


def projector(origin: FakeOrigin, into: Path, data: bytes = PROJECTOR) -> Companion:
    origin.put("/p.gguf", data)
    return Companion("projector", "spec.projector", replace(web_spec(origin, "/p.gguf", data, into), role="projector"))


def adapter(origin: FakeOrigin, into: Path, name: str = "invoices", data: bytes = ADAPTER) -> Companion:
    origin.put(f"/{name}.gguf", data)
    spec = replace(web_spec(origin, f"/{name}.gguf", data, into), role="adapter")
    return Companion(name, f"spec.adapters[{name}].source", spec)


def test_all_parts_are_there_and_told(origin: FakeOrigin, tmp_path: Path, progress: ProgressLog) -> None:
    origin.put("/m.gguf", MODEL)
    model = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    others = [projector(origin, tmp_path), adapter(origin, tmp_path)]
    taken = parts.run(model, others, progress, FAST)
    for spec, data in ((model, MODEL), (others[0].spec, PROJECTOR), (others[1].spec, ADAPTER)):
        assert Path(spec.model_path).read_bytes() == data
    total = len(MODEL) + len(PROJECTOR) + len(ADAPTER)
    assert taken.total_bytes == total
    assert taken.parts == (
        PartProgress("model", "done", len(MODEL)),
        PartProgress("projector", "done", len(PROJECTOR)),
        PartProgress("invoices", "done", len(ADAPTER)),
    )
    told = progress.snapshot()
    assert (told.state, told.received, told.total_bytes, told.parts) == ("done", total, total, taken.parts)
    assert DownloadProgress.from_json(told.to_json()) == told


def test_a_second_deployment_on_the_same_claim_downloads_nothing(
    origin: FakeOrigin, tmp_path: Path, progress: ProgressLog
) -> None:
    origin.put("/m.gguf", MODEL)
    model = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    parts.run(model, [adapter(origin, tmp_path)], progress, FAST)
    asked = len(origin.asked)
    second = [adapter(origin, tmp_path), projector(origin, tmp_path)]
    parts.run(model, second, progress, FAST)
    assert len(origin.asked) == asked + 1, "only the projector is new"


def test_a_failure_names_the_part_and_its_fields(hub: FakeHub, tmp_path: Path, progress: ProgressLog) -> None:
    hub.commit({"m.gguf": MODEL, "a.gguf": ADAPTER, "b.gguf": ADAPTER})
    model = hub_spec(hub, tmp_path, file="m.gguf")
    other = Companion("invoices", "spec.adapters[invoices].source", replace(hub_spec(hub, tmp_path, file="[ab].gguf")))
    with pytest.raises(WeightsFailure) as failed:
        parts.run(model, [other], progress, FAST)
    assert failed.value.reason == Reason.SOURCE_AMBIGUOUS
    assert failed.value.message.startswith("Adapter invoices: '[ab].gguf' matches 2 models of org/name")
    assert failed.value.message.endswith("make adapters[invoices].source.huggingFace.file match one")
    assert [part.state for part in progress.snapshot().parts] == ["done", "downloading"]
    assert model_bytes(model) == MODEL


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (projector, MODEL, "is no projector: it says that it is llama; name the model's mmproj file"),
        (projector, ADAPTER, "is no projector: it says that it is adapter"),
        (adapter, MODEL, "is no adapter: it says that it is llama"),
        (adapter, PROJECTOR, "is no adapter: it says that it is mmproj"),
    ],
)
def test_what_is_another_thing_is_not_served(
    origin: FakeOrigin,
    tmp_path: Path,
    progress: ProgressLog,
    make,
    data: bytes,
    words: str,  # type: ignore[no-untyped-def]
) -> None:
    origin.put("/m.gguf", MODEL)
    other = make(origin, tmp_path, data=data)
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        parts.run(web_spec(origin, "/m.gguf", MODEL, tmp_path), [other], progress, FAST)
    assert (failed.value.reason, failed.value.permanent) == (Reason.NOT_A_MODEL, True)
    assert data == MODEL or not Path(other.spec.model_path).exists()


def test_a_model_in_place_with_an_adapter_from_elsewhere(
    origin: FakeOrigin, tmp_path: Path, progress: ProgressLog
) -> None:
    place = tmp_path / "volume" / "m.gguf"
    place.parent.mkdir()
    place.write_bytes(MODEL)
    other = adapter(origin, tmp_path / "downloads")
    taken = parts.run(CheckSpec(str(place)), [other], progress, FAST)
    assert taken.total_bytes == len(MODEL) + len(ADAPTER)
    assert Path(other.spec.model_path).read_bytes() == ADAPTER


def test_an_adapter_as_a_folder(hub: FakeHub, tmp_path: Path, progress: ProgressLog) -> None:
    hub.commit({"adapter_config.json": b"{}", "adapter_model.safetensors": safetensors(5000)})
    spec = replace(hub_spec(hub, tmp_path), whole_folder=True, role="adapter")
    parts.run(
        spec, [Companion("x", "spec.adapters[x].source", replace(spec, into=str(tmp_path / "b")))], progress, FAST
    )
    assert {path.name for path in Path(spec.model_path).iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "complete.json",
    }  # fmt: skip
    hub.commit({"config.json": b"{}", "adapter_model.safetensors": safetensors(5000)})
    with pytest.raises(WeightsFailure, match=r"adapter_config\.json is missing"):
        parts.run(replace(spec, into=str(tmp_path / "c")), [], progress, FAST)


def test_a_folder_that_is_there_as_a_model_is_no_adapter(hub: FakeHub, tmp_path: Path, progress: ProgressLog) -> None:
    hub.commit(folder_model())
    model = replace(hub_spec(hub, tmp_path), whole_folder=True)
    other = Companion("x", "spec.adapters[x].source", replace(model, role="adapter"))
    with pytest.raises(WeightsFailure, match=r"Adapter x: .*adapter_config\.json is missing"):
        parts.run(model, [other], progress, FAST)


def test_the_command_takes_all_of_them(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    log = tmp_path / "log"
    model = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v", termination_log=str(log))
    others = [projector(origin, tmp_path / "v"), adapter(origin, tmp_path / "v")]
    done = finish(to_args(model, others))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [model.model_path, *(one.spec.model_path for one in others)]
    words = LastWords.from_json(log.read_text())
    assert [part.name for part in words.parts] == ["model", "projector", "invoices"]
    assert words.total_bytes == len(MODEL) + len(PROJECTOR) + len(ADAPTER)


def test_a_companion_keeps_the_bounds_of_the_model(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    place = tmp_path / "m.gguf"
    place.write_bytes(MODEL)
    log = tmp_path / "log"
    refused = finish(to_args(CheckSpec(str(place), str(log), guarded=True), [adapter(origin, tmp_path / "v")]))
    assert refused.returncode != 0
    assert "is no address that pods may dial" in json.loads(log.read_text())["message"]
    assert origin.asked == []


@pytest.mark.parametrize(
    "value", ["", "[]", "{}", "[1,2,3,4]", '["a","b","c","d"]', '["a","b","fetch"]', '["a","b","fetch","--repo"]']
)
def test_a_companion_that_is_none_is_a_wrong_argument(tmp_path: Path, value: str) -> None:
    done = finish(["weights", "check", str(tmp_path / "m.gguf"), "--also", value])
    assert done.returncode == 2
    assert "--also" in done.stderr or "fetch" in done.stderr or "no verb" in done.stderr


def test_many_adapters_fit_into_the_last_words() -> None:
    told = tuple(PartProgress(f"adapter-{n}", "done", 10**9, "0" * 40) for n in range(64))
    text = LastWords("WeightsReady", "", 1, "r", told).to_json()
    assert len(text.encode()) <= 4096
    assert LastWords.from_json(text).total_bytes == 1


# Folders of a hub


def test_a_whole_repository(hub: FakeHub, tmp_path: Path, run: Run, progress: ProgressLog) -> None:
    files = folder_model(3)
    hub.without_lfs = {"config.json", "tokenizer.json", "model.safetensors.index.json"}
    commit = hub.commit({**files, "original/consolidated.00.pth": b"x", "README.md": b"x", "pytorch_model.bin": b"x"})
    spec = replace(hub_spec(hub, tmp_path), whole_folder=True)
    outcome = run(spec)
    placed = {path.name: path.read_bytes() for path in Path(spec.model_path).iterdir()}
    placed.pop("complete.json")
    assert placed == files
    assert outcome.model.revision == commit
    assert progress.snapshot().received == sum(map(len, files.values()))
    sent = hub.sent
    run(spec)
    assert hub.sent == sent


def test_globs_narrow_a_repository(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    files = folder_model()
    hub.commit({**files, "extra/notes.json": b"{}", "weights.bin": b"x"})
    source = HuggingFace(
        hub.repo, endpoint=hub.url, include="*.json,*.safetensors,weights.*", exclude="extra/*,tokenizer*"
    )
    spec = FetchSpec(source, str(tmp_path), whole_folder=True)
    run(spec)
    assert {path.name for path in Path(spec.model_path).iterdir()} == {
        *files, "weights.bin", "complete.json",
    } - {"tokenizer.json"}  # fmt: skip


def test_a_cut_repository_continues_at_its_file(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    files = folder_model()
    hub.commit(files)
    spec = replace(hub_spec(hub, tmp_path), whole_folder=True)
    hub.faults = [Fault(), Fault(), Fault(), Fault(cut_after=20_000), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure, match=r"answered 503|ended after"):
        run(spec, Retry(patience=0.5, first=0.01))
    assert not Path(spec.model_path).exists()
    hub.faults = []
    run(spec)
    assert hub.sent == sum(map(len, files.values()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config.json": None}, "config.json is missing"),
        ({"model-00002-of-00002.safetensors": None}, "these are missing: model-00002-of-00002.safetensors"),
        (
            {"model.safetensors.index.json": b'{"weight_map": {"x": "../../etc/passwd"}}'},
            "these are missing: ../../etc/passwd",
        ),
        ({"model.safetensors.index.json": b"[]"}, "holds no JSON object"),
        ({"model.safetensors.index.json": b'{"weight_map": 3}'}, "has no weight_map"),
        ({"model.safetensors.index.json": b"[" * 100_000}, "holds no JSON object"),
        ({"model-00002-of-00002.safetensors": safetensors(1000)[:-1]}, "copy it again"),
        ({"model-00002-of-00002.safetensors": b"\xff" * 100}, "is no safetensors file"),
        ({"model-00002-of-00002.safetensors": b""}, "is no safetensors file"),
        ({"config.json": b"<html>"}, "config.json holds no JSON object"),
        ({"x.safetensors.partial": b"x"}, "has a name that the download needs for itself"),
    ],
)
def test_a_folder_that_is_no_whole_model(
    hub: FakeHub, tmp_path: Path, run: Run, change: dict[str, bytes | None], words: str
) -> None:
    files = {**folder_model(), **change}
    hub.commit({name: data for name, data in files.items() if data is not None})
    source = HuggingFace(hub.repo, endpoint=hub.url, include="*")
    spec = FetchSpec(source, str(tmp_path), whole_folder=True)
    with pytest.raises(WeightsFailure, match=re.escape(words)) as failed:
        run(spec)
    assert (failed.value.reason, failed.value.permanent) == (Reason.NOT_A_MODEL, True)
    assert not Path(spec.model_path).exists()


@pytest.mark.parametrize("include", ["", "*"])
def test_a_repository_of_gguf_files_is_told_before_it_is_fetched(
    hub: FakeHub, tmp_path: Path, run: Run, include: str
) -> None:
    """Those who make such files put the configuration beside them, as if it were the model's own repository."""
    hub.commit(
        {"config.json": b"{}", "tokenizer.json": b"{}", "m-Q4_K_M.gguf": tiny_gguf(1000), "m-Q8_0.gguf": b"GGUF"}
    )
    spec = FetchSpec(HuggingFace(hub.repo, endpoint=hub.url, include=include), str(tmp_path), whole_folder=True)
    with pytest.raises(WeightsFailure, match=r"engines llama\.cpp, ollama and llamafile read those") as failed:
        run(spec)
    assert failed.value.reason == Reason.NOT_A_MODEL and "m-Q4_K_M.gguf" in failed.value.message
    assert hub.sent == 0


@pytest.mark.parametrize("name", ["../x.json", "/x.json", "a/../../x.json", "a\\b.json", "x\n.json"])
def test_a_listing_of_a_folder_never_leaves_it(hub: FakeHub, tmp_path: Path, run: Run, name: str) -> None:
    hub.commit({**folder_model(), name: b"{}"})
    spec = replace(hub_spec(hub, tmp_path / "deep" / "v"), whole_folder=True)
    run(spec)
    assert not list(tmp_path.rglob("x.json"))


def test_a_mounted_image_that_is_empty_is_told_with_the_remedy(tmp_path: Path, progress: ProgressLog) -> None:
    spec = CheckSpec(str(tmp_path / "m.gguf"), image="registry.corp/m:v1")
    with pytest.raises(WeightsFailure, match=r"use source\.oci\.mount Pull if it is an artifact") as failed:
        parts.run(spec, [], progress)
    assert failed.value.reason == Reason.SOURCE_NOT_FOUND


def test_a_folder_in_place_is_looked_at(tmp_path: Path, progress: ProgressLog) -> None:
    for name, data in folder_model().items():
        (tmp_path / name).write_bytes(data)
    parts.run(CheckSpec(str(tmp_path), whole_folder=True), [], progress)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(WeightsFailure, match="these are missing"):
        parts.run(CheckSpec(str(tmp_path), whole_folder=True), [], progress)
    assert servable(tmp_path) == []
