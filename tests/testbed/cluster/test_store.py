"""The cache of things built once."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from testbed.cluster.store import KEPT_ENTRIES, build_once, cache_root, digest, entry, read_tree


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": "1"}, {"a": "2"}, id="another value"),
        pytest.param({"a": "1"}, {"b": "1"}, id="another name"),
        pytest.param({"a": "1", "b": ""}, {"a": "", "b": "1"}, id="values swapped"),
        pytest.param({"a": "1b"}, {"a1": "b"}, id="the border between name and value moved"),
        pytest.param({"a": "1"}, {"a": "1", "b": ""}, id="an empty part more"),
    ],
)
def test_a_digest_tells_contents_apart(one: dict[str, str | bytes], other: dict[str, str | bytes]) -> None:
    assert digest(one) != digest(other)


def test_a_digest_does_not_depend_on_order() -> None:
    assert digest({"a": "1", "b": "2"}) == digest({"b": b"2", "a": b"1"})


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path) -> None:
    assert cache_root({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "genset"
    assert cache_root({}) == Path.home() / ".cache" / "genset"


def test_reading_a_tree_leaves_out_what_python_wrote(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "a.py").write_text("a")
    (tmp_path / "pkg" / "__pycache__" / "a.pyc").write_text("x")
    (tmp_path / "top").write_text("t")
    assert read_tree(tmp_path, ["pkg", "top"]) == {"pkg/a.py": b"a", "top": b"t"}


def test_callers_at_once_build_once(tmp_path: Path) -> None:
    built: list[int] = []
    places: list[Path] = []

    def build(draft: Path) -> None:
        built.append(1)
        time.sleep(0.1)  # long enough for every other caller to arrive
        (draft / "file").write_text("whole")

    def call() -> None:
        places.append(build_once("tools", "thing", "k" * 12, build, tmp_path))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(built) == 1
    assert {place.joinpath("file").read_text() for place in places} == {"whole"}


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        (draft / "half").write_text("")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        build_once("tools", "thing", "k" * 12, fail, tmp_path)
    assert not entry("tools", "thing", "k" * 12, tmp_path).exists()
    assert not list((tmp_path / "tools").glob(".thing.draft-*"))
    assert build_once("tools", "thing", "k" * 12, lambda draft: None, tmp_path).is_dir()


def test_the_draft_of_a_killed_build_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / "tools" / ".thing.draft-killed").mkdir(parents=True)
    build_once("tools", "thing", "k" * 12, lambda draft: None, tmp_path)
    assert not (tmp_path / "tools" / ".thing.draft-killed").exists()


def test_only_the_newest_entries_of_a_name_are_kept(tmp_path: Path) -> None:
    other = build_once("tools", "thing-else", "z" * 12, lambda draft: None, tmp_path)
    places = []
    for number in range(KEPT_ENTRIES + 2):
        place = build_once("tools", "thing", f"{number:012d}", lambda draft: None, tmp_path)
        os.utime(place, (number, number))
        places.append(place)
    assert [place.exists() for place in places] == [False, False, *[True] * KEPT_ENTRIES]
    assert other.exists()
