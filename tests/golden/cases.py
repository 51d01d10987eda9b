"""Golden cases: `<case>.in.yaml` says what goes in, `<case>.out.yaml` what must come out.

`GENSET_UPDATE_GOLDEN=1 pytest tests/golden` writes the outputs anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml


def inputs(folder: Path) -> list[str]:
    """Names of the cases of a folder."""
    return sorted(path.name.removesuffix(".in.yaml") for path in folder.glob("*.in.yaml"))


def load(folder: Path, case: str) -> dict[str, Any]:
    """The input of a case."""
    loaded = yaml.safe_load((folder / f"{case}.in.yaml").read_text())
    assert isinstance(loaded, dict), f"{case}.in.yaml is no mapping"
    return loaded


def check(folder: Path, case: str, documents: list[Any]) -> None:
    """Compares with the output of a case, or writes it."""
    path = folder / f"{case}.out.yaml"
    text = yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    if os.environ.get("GENSET_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.exists(), f"{path.name} is missing: run with GENSET_UPDATE_GOLDEN=1 and read it"
    assert text == path.read_text(), f"{path.name} differs: if it should, run with GENSET_UPDATE_GOLDEN=1"


class _Plain(yaml.SafeDumper):
    """No anchors, and long texts as blocks: what a person would have written."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)
_Plain.add_multi_representer(str, _text)  # enumerations
