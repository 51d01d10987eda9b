"""The puller tells what the model is, and refuses licences that are not allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genset.cli import main
from genset.contracts.puller import CheckSpec, LastWords
from genset.sizing import told
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
