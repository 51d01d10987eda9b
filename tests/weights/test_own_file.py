"""On a shared volume a link in the place of a file leads nowhere."""

from __future__ import annotations

import os
from pathlib import Path

from genset.weights.own_file import open_own
from genset.weights.volume import write_synced


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
