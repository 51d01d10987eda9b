"""The puller tells what the model is, and refuses licences that are not allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genset.cli import main
from genset.contracts.puller import CheckSpec, Companion, LastWords, to_args
from genset.sizing import told
from testbed.models import adapters, seeing
from tests.support.sizing import kinds


def finish(args: list[str]) -> Result:
    return CliRunner().invoke(main, args)


def model(tmp_path: Path, licence: str) -> Path:
    generated = kinds.gemma3()
    if licence:
        generated.metadata["general.license"] = licence
    return generated.write(tmp_path)


def test_the_last_words_hold_what_the_model_is(tmp_path: Path) -> None:
    path, log = model(tmp_path, "gemma"), tmp_path / "log"
    assert finish(CheckSpec(str(path), str(log)).to_args()).exit_code == 0
    found = told.read(LastWords.from_json(log.read_text()).model)
    assert found is not None and (found.architecture, found.licence, len(found.layers)) == ("gemma3", "gemma", 14)


@pytest.mark.parametrize(
    ("licence", "allowed", "words"),
    [
        ("apache-2.0", "mit,apache-2.0", ""),
        ("Apache License 2.0", "apache-2.0", ""),
        ("gemma", "apache-2.0,mit", "has licence gemma, and allowed are apache-2.0, mit"),
        ("", "apache-2.0", "names no licence in its files"),
        ("", "apache-2.0,unknown", ""),
        ("gemma", "", ""),
    ],
)
def test_a_licence_that_is_not_allowed_is_not_served(tmp_path: Path, licence: str, allowed: str, words: str) -> None:
    path, log = model(tmp_path, licence), tmp_path / "log"
    done = finish(CheckSpec(str(path), str(log), allowed_licences=allowed).to_args())
    assert done.exit_code == (3 if words else 0), done.output
    last = json.loads(log.read_text())
    assert last["reason"] == ("LicenceNotAllowed" if words else "WeightsReady") and words in last["message"]


@pytest.mark.parametrize("fits", [True, False])
def test_companions_of_another_model_are_told(tmp_path: Path, fits: bool) -> None:
    base, log = tmp_path / "seeing.gguf", tmp_path / "log"
    if fits:
        seeing.write_model(base)
    else:
        base = kinds.gemma3().write(tmp_path)
    seeing.write_projector(tmp_path / "mmproj.gguf")
    companions = [Companion("projector", "spec.projector", CheckSpec(str(tmp_path / "mmproj.gguf"), role="projector"))]
    for start in (500, 600, 700):
        adapters.write_gguf(tmp_path / f"{start}.gguf", start)
        spec = CheckSpec(str(tmp_path / f"{start}.gguf"), role="adapter")
        companions.append(Companion(f"from-{start}", f"spec.adapters[from-{start}].source", spec))
    assert finish(to_args(CheckSpec(str(base), str(log)), companions)).exit_code == 0
    found = told.read(LastWords.from_json(log.read_text()).model)
    assert found is not None
    if fits:
        assert found.unfit == ()
    else:
        first, rest = found.unfit
        assert first.startswith("spec.projector: the projector makes vectors of 1280, and the model takes 256: name")
        assert rest == "3 more companions belong to another model"
