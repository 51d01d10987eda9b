"""On a shared volume a link in the place of a file leads nowhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from genset.sizing.gguf import GgufHeader, read_header
from genset.weights.failure import WeightsFailure
from genset.weights.own_file import SMALL_BYTES, open_own, own_folder, read_own
from genset.weights.volume import write_synced
from tests.support.weights.fakes import FakeOrigin, tiny_gguf
from tests.support.weights.running import Run, web_spec


def test_a_link_in_the_place_of_a_file_goes(tmp_path: Path) -> None:
    victim, own = tmp_path / "victim", tmp_path / "own"
    victim.write_text("kept")
    own.symlink_to(victim)
    descriptor = open_own(own, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"mine")
    os.close(descriptor)
    assert victim.read_text() == "kept" and own.read_text() == "mine" and not own.is_symlink()


def test_what_is_there_is_opened_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("half")
    descriptor = open_own(own, os.O_RDWR | os.O_CREAT)
    assert os.read(descriptor, 10) == b"half"
    os.close(descriptor)


def test_small_files_are_written_past_links(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "marker.new").symlink_to(victim)
    write_synced(tmp_path / "marker", b"{}")
    assert victim.read_text() == "kept" and (tmp_path / "marker").read_bytes() == b"{}"


def test_whatever_lies_in_the_place_of_a_file_goes(tmp_path: Path) -> None:
    """A pipe would have its opener wait for ever."""
    own = tmp_path / "own"
    for put in (
        lambda: os.mkfifo(own),
        own.mkdir,
        lambda: own.symlink_to("/dev/zero"),
        lambda: own.symlink_to("nowhere"),
    ):
        own.unlink(missing_ok=True)
        put()
        descriptor = open_own(own, os.O_RDWR | os.O_CREAT)
        assert stat.S_ISREG(os.fstat(descriptor).st_mode) and own.is_file() and not own.is_symlink()
        os.close(descriptor)


def test_what_is_read_is_a_small_regular_file(tmp_path: Path) -> None:
    good, own = tmp_path / "good", tmp_path / "own"
    good.write_bytes(b"{}")
    assert read_own(good) == b"{}"
    large = tmp_path / "large"
    large.write_bytes(bytes(SMALL_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    own.symlink_to(good)
    for path in (large, tmp_path / "pipe", own, tmp_path, tmp_path / "nothing"):
        with pytest.raises(OSError):
            read_own(path)


def test_a_folder_of_ours_is_no_link(tmp_path: Path) -> None:
    """Another pod may put a link to a folder in the place of one of ours, at any moment."""
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / ("a" * 16) / "current"
    (elsewhere / "current").mkdir(parents=True)
    (elsewhere / "current" / "file").write_text("kept")
    folder.parent.symlink_to(elsewhere)
    with pytest.raises(OSError):
        open_own(folder / "file", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    with pytest.raises(OSError):
        read_own(folder / "file")
    assert (elsewhere / "current" / "file").read_text() == "kept"
    (tmp_path / ("b" * 16)).mkdir()
    (tmp_path / ("b" * 16) / "incoming-x").mkdir()
    (tmp_path / ("b" * 16) / "incoming-x" / "part").symlink_to(elsewhere / "current")
    with pytest.raises(OSError):
        open_own(tmp_path / ("b" * 16) / "incoming-x" / "part" / "file", os.O_RDWR | os.O_CREAT)
    own_folder(folder.parent)
    assert not folder.parent.is_symlink() and list(folder.parent.iterdir()) == []


def test_links_in_the_place_of_a_model_are_not_served(origin: FakeOrigin, tmp_path: Path, run: Run) -> None:
    """The other pod has the bytes and the times right, and means to change them later."""
    model = tiny_gguf(600_000)
    origin.put("/m.gguf", model)
    spec = web_spec(origin, "/m.gguf", model, tmp_path)
    run(spec)
    placed, moved = Path(spec.model_path), tmp_path / "moved.gguf"
    placed.rename(moved)
    placed.symlink_to(moved)
    run(spec)
    assert not placed.is_symlink() and placed.read_bytes() == model and len(origin.asked) == 2
    current, aside = placed.parent, tmp_path / "aside"
    current.rename(aside)
    current.symlink_to(aside)
    run(spec)
    assert not current.is_symlink() and placed.read_bytes() == model


def test_a_file_that_is_replaced_while_it_is_verified_is_not_taken(
    origin: FakeOrigin, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = tiny_gguf(600_000), tiny_gguf(600_000, seed=9)
    origin.put("/m.gguf", model)
    spec = web_spec(origin, "/m.gguf", model, tmp_path)

    def swap(path: Path, _shown: str) -> GgufHeader:
        path.unlink()
        path.write_bytes(other)
        with path.open("rb") as stream:
            return read_header(stream)

    monkeypatch.setattr("genset.weights.local.check_file", swap)
    with pytest.raises(WeightsFailure, match="Somebody replaced"):
        run(spec)
    assert not Path(spec.model_path).exists()
