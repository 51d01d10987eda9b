"""`genset crds`."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from genset.cli import main


def test_prints_both_definitions_for_kubectl() -> None:
    result = CliRunner().invoke(main, ["crds"])
    assert result.exit_code == 0
    found = [document["metadata"]["name"] for document in yaml.safe_load_all(result.output)]
    assert found == ["modeldeployments.genset.dev", "routepolicies.genset.dev"]


def test_writes_a_file_for_each_kind_into_every_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b" / "c"]
    result = CliRunner().invoke(main, ["crds", *(f"--out={folder}" for folder in folders)])
    assert (result.exit_code, result.output) == (0, "")
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == [
            "genset.dev_modeldeployments.yaml", "genset.dev_routepolicies.yaml",
        ]  # fmt: skip
