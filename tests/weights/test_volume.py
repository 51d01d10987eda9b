"""The volume: really full disks, several pullers, crashes, leftovers, read-only places."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.weights import lock
from genset.weights.failure import WeightsFailure
from genset.weights.fetch import fetch
from genset.weights.lock import LockHolder
from genset.weights.progress import ProgressLog
from genset.weights.volume import Volume
from tests.support.weights.fakes import FakeHub, FakeOrigin, Fault, tiny_gguf
from tests.support.weights.running import FAST, Run, hub_spec, model_bytes, servable, web_spec

MODEL = tiny_gguf(600_000)


def test_a_model_that_does_not_fit_is_refused_before_the_download(
    origin: FakeOrigin, small_disk: Path, run: Run
) -> None:
    big = tiny_gguf(3_000_000)
    origin.put("/m.gguf", big)
    with pytest.raises(WeightsFailure) as failed:
        run(web_spec(origin, "/m.gguf", big, small_disk))
    assert failed.value.reason == Reason.DISK_FULL
    assert (
        f"needs 3.0 MB ({len(big)} bytes) more and a little room beside it, the volume has 2.1 MB ("
        in failed.value.message
    )
    assert "spec.cache.size" in failed.value.message
    assert servable(small_disk) == []
    assert [path.stat().st_size for path in small_disk.rglob("*.partial")] == [0]


def test_a_split_model_that_does_not_fit_as_a_whole_is_refused(hub: FakeHub, small_disk: Path, run: Run) -> None:
    hub.commit({f"m-{n:05d}-of-00003.gguf": tiny_gguf(800_000, seed=n, split=(n, 3)) for n in (1, 2, 3)})
    with pytest.raises(WeightsFailure, match=r"needs 2\.4 MB") as failed:
        run(hub_spec(hub, small_disk, file="*-of-00003.gguf"))
    assert failed.value.reason == Reason.DISK_FULL
    assert hub.contents_asked == []


def test_a_disk_that_gets_full_on_the_way_and_is_enlarged(origin: FakeOrigin, small_disk: Path, run: Run) -> None:
    """The server does not say how long the file is, so only the write finds out. The part is kept for later."""
    big = tiny_gguf(3_000_000)
    origin.put("/m.gguf", big, sized=False)
    spec = web_spec(origin, "/m.gguf", big, small_disk)
    with pytest.raises(WeightsFailure, match="The volume was full while") as failed:
        run(spec)
    assert (failed.value.reason, failed.value.permanent) == (Reason.DISK_FULL, False)
    assert servable(small_disk) == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    sent = origin.sent
    run(spec)
    assert model_bytes(spec) == big
    assert origin.sent - sent < len(big) - 1_000_000


def test_other_models_are_named_when_the_disk_is_full_and_never_deleted(
    origin: FakeOrigin, small_disk: Path, run: Run
) -> None:
    first = tiny_gguf(1_200_000, seed=1)
    second = tiny_gguf(1_200_000, seed=2)
    origin.put("/first.gguf", first)
    origin.put("/second.gguf", second)
    kept = web_spec(origin, "/first.gguf", first, small_disk)
    run(kept)
    with pytest.raises(WeightsFailure, match=r"models already there: first\.gguf \(1\.2 MB\)"):
        run(web_spec(origin, "/second.gguf", second, small_disk))
    assert model_bytes(kept) == first


def test_on_an_exclusive_volume_other_models_make_room(origin: FakeOrigin, small_disk: Path, run: Run) -> None:
    first = tiny_gguf(1_000_000, seed=1)
    second = tiny_gguf(1_000_000, seed=2)
    third = tiny_gguf(100_000, seed=3)
    for name, data in (("/1", first), ("/2", second), ("/3", third)):
        origin.put(name, data)
        spec = web_spec(origin, name, data, small_disk, exclusive=True)
        run(spec)
        assert model_bytes(spec) == data
    assert len(servable(small_disk)) == 2, "room was made once, and only when it was needed"


def test_the_free_space_counts_what_is_there_already(origin: FakeOrigin, small_disk: Path, run: Run) -> None:
    data = tiny_gguf(900_000)
    origin.put("/m.gguf", data)
    spec = web_spec(origin, "/m.gguf", data, small_disk)
    origin.faults = [Fault(cut_after=700_000)]
    run(spec)
    assert model_bytes(spec) == data


def test_two_pullers_on_one_volume_download_once(origin: FakeOrigin, tmp_path: Path) -> None:
    origin.put("/m.gguf", MODEL)
    origin.pace = 0.02
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    several = [ProgressLog(time.monotonic) for _ in range(4)]
    failures: list[BaseException] = []

    def pull(progress: ProgressLog) -> None:
        try:
            fetch(spec, progress, retry=FAST)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=pull, args=(progress,)) for progress in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert model_bytes(spec) == MODEL
    assert origin.sent == len(MODEL)
    assert {progress.snapshot().state for progress in several} == {"done"}


def test_a_dead_holder_of_another_pod_is_taken_over(tmp_path: Path, progress: ProgressLog) -> None:
    """Its kernel lock is gone with its node; its heartbeat stands still."""
    (tmp_path / "holder.json").write_text('{"name": "other-pod", "beat": 7, "bytes": 10, "total_bytes": 100}')
    started = time.monotonic()
    with lock.exclusive(tmp_path, name="me", progress=progress, stale_seconds=0.4):
        waited = time.monotonic() - started
        holder = lock.read_holder(tmp_path)
        assert holder is not None
        assert holder.name == "me"
    assert 0.3 < waited < 10
    assert progress.snapshot().received == 10, "who waits reports the download of the other"
    assert lock.read_holder(tmp_path) is None


def test_a_living_holder_of_another_pod_is_waited_for(tmp_path: Path, progress: ProgressLog) -> None:
    """A file system that keeps flock to the node: only the heartbeat tells."""
    path = tmp_path / "holder.json"
    beats = threading.Event()

    def live() -> None:
        for beat in range(20):
            fresh = tmp_path / "fresh"
            fresh.write_text(f'{{"name": "other-pod", "beat": {beat}, "bytes": {beat}, "total_bytes": 100}}')
            fresh.replace(path)
            time.sleep(0.05)
        beats.set()
        path.unlink()

    thread = threading.Thread(target=live)
    thread.start()
    while not path.exists():
        time.sleep(0.01)
    with lock.exclusive(tmp_path, name="me", progress=progress, stale_seconds=0.6):
        assert beats.is_set(), "the other had not finished"
    thread.join()


def test_an_earlier_run_in_the_same_pod_is_not_waited_for(tmp_path: Path, progress: ProgressLog) -> None:
    (tmp_path / "holder.json").write_text('{"name": "me", "beat": 7}')
    started = time.monotonic()
    with lock.exclusive(tmp_path, name="me", progress=progress, stale_seconds=30):
        assert time.monotonic() - started < 5


def test_the_heartbeat_beats_and_carries_the_progress(tmp_path: Path, progress: ProgressLog) -> None:
    with lock.exclusive(tmp_path, name="me", progress=progress, heartbeat_seconds=0.02):
        progress.update(received=5, total_bytes=9)
        seen: set[int] = set()
        holder: LockHolder | None = None
        deadline = time.monotonic() + 10
        while (len(seen) < 3 or holder is None or holder.bytes != 5) and time.monotonic() < deadline:
            holder = lock.read_holder(tmp_path)
            if holder:
                seen.add(holder.beat)
            time.sleep(0.01)
        assert len(seen) >= 3
        assert holder is not None
        assert (holder.name, holder.bytes, holder.total_bytes) == ("me", 5, 9)


def test_a_crash_between_two_renames_is_repaired_without_network(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    outcome = run(spec)
    current = Path(spec.model_path).parent
    current.rename(current.with_name(outcome.model.content))
    hub.close()
    run(spec, FAST)
    assert model_bytes(spec) == MODEL


@pytest.mark.parametrize("marker", [b"", b"{}", b"[]", b"\xff", b'{"content": "x", "revision": "", "files": [{}]}'])
def test_a_broken_marker_proves_nothing(origin: FakeOrigin, tmp_path: Path, run: Run, marker: bytes) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    run(spec)
    (Path(spec.model_path).parent / "complete.json").write_bytes(marker)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert len(origin.asked) == 2
    assert len(servable(tmp_path)) == 1


def test_partial_downloads_of_others_go_when_they_are_old_or_in_the_way(origin: FakeOrigin, tmp_path: Path) -> None:
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    abandoned = tmp_path / ("a" * 16) / "incoming-x"
    busy = tmp_path / ("b" * 16) / "incoming-x"
    unrelated = tmp_path / "lost+found" / "incoming-x"
    for folder in (abandoned, busy, unrelated):
        folder.mkdir(parents=True)
        (folder / "model.gguf.partial").write_bytes(b"x")
    (busy.parent / "holder.json").write_text('{"name": "other", "beat": 1}')
    Volume(spec).prepare()
    Volume(spec).sweep()
    assert abandoned.exists(), "a day has not passed"
    Volume(spec, now=lambda: time.time() + 2 * 86_400).sweep()
    assert (abandoned.exists(), busy.exists(), unrelated.exists()) == (False, True, True)
    abandoned.mkdir()
    (abandoned / "model.gguf.partial").write_bytes(b"x")
    free = iter([0, 10**9])
    Volume(spec, free=lambda _: next(free)).require(1000, what="m.gguf")
    assert not abandoned.exists()


def test_a_changed_source_leaves_no_partial_download_behind(hub: FakeHub, tmp_path: Path, run: Run) -> None:
    hub.commit({"m.gguf": MODEL})
    spec = hub_spec(hub, tmp_path)
    hub.faults = [Fault(cut_after=100_000), *[Fault(status=503)] * 1000]
    with pytest.raises(WeightsFailure):
        run(spec, FAST)
    hub.faults = []
    hub.commit({"m.gguf": tiny_gguf(100_000, seed=5)})
    run(spec)
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_read_only_volume_names_the_remedy(origin: FakeOrigin, small_disk: Path, run: Run) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WeightsFailure, match="fsGroup") as failed:
        run(web_spec(origin, "/m.gguf", MODEL, small_disk))
    assert failed.value.reason == Reason.DOWNLOAD_FAILED


def test_a_complete_model_needs_no_lock_and_no_write(origin: FakeOrigin, small_disk: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    spec = web_spec(origin, "/m.gguf", MODEL, small_disk)
    run(spec)
    (Path(spec.folder) / "holder.json").write_text('{"name": "busy", "beat": 1}')
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run(spec)
    assert model_bytes(spec) == MODEL
    assert len(origin.asked) == 1


def test_a_file_in_place_of_the_folder_is_an_error_with_a_name(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    spec = web_spec(origin, "/m.gguf", MODEL, tmp_path)
    Path(spec.folder).write_text("in the way")
    with pytest.raises(WeightsFailure, match="File exists"):
        run(spec)


def test_a_model_survives_a_copy_of_the_volume(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    origin.put("/m.gguf", MODEL)
    run(web_spec(origin, "/m.gguf", MODEL, tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    moved = web_spec(origin, "/m.gguf", MODEL, tmp_path / "b")
    run(moved)
    assert model_bytes(moved) == MODEL
    assert len(origin.asked) == 1


def test_everything_is_readable_for_the_engine(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """The engine may run as another user of the same group; files and folders are not for the puller alone."""
    origin.put("/m.gguf", MODEL)
    spec: FetchSpec = web_spec(origin, "/m.gguf", MODEL, tmp_path / "v")
    before = os.umask(0o022)
    try:
        run(spec)
    finally:
        os.umask(before)
    path = Path(spec.model_path)
    assert path.stat().st_mode & 0o044 == 0o044
    assert path.parent.stat().st_mode & 0o055 == 0o055
