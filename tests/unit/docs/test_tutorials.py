"""What tutorials say one sees is what one sees: each `$ genset` is typed, and its answer compared.

`make golden` writes the answers anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from genset.cli import main
from tools.pages import ROOT, Page, pages

TUTORIALS = [page for page in pages() if page.path.startswith("docs/tutorials/") and "```console" in page.text]
_BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)
_NAMED = re.compile(r"`(\w+\.yaml)`\.[^\n]*\n\n```yaml\n(.*?)```", re.DOTALL)


def played(page: Page, folder: Path) -> str:
    """Returns the page with what its consoles have answered just now, in a folder that is the working directory."""
    shutil.copytree(ROOT / "manifests" / "samples", folder / "manifests" / "samples")
    for name, text in _NAMED.findall(page.text):
        (folder / name).write_text(text)
    return _BLOCK.sub(lambda block: "".join(_answered(line, folder) for line in _typed(block[1])), page.text)


def _typed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("$ ")]


def _answered(line: str, folder: Path) -> str:
    """Types a line of one of three forms, in this process: a new one would take seconds for each."""
    given, words = None, shlex.split(line[2:])
    if words[0] == "echo":
        given, joined, words = words[1] + "\n", words[2], words[3:]
        if joined == ">":
            (folder / words[0]).write_text(given)
            return f"{line}\n"
    assert words[0] == "genset", f"{line}: a tutorial's console has `echo TEXT > FILE` and `[echo TEXT |] genset ...`"
    done = CliRunner().invoke(main, words[1:], input=given)
    assert done.stderr == "" and not isinstance(done.exception, Exception), f"{line}: {done.output}"
    return f"{line}\n{done.stdout}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.path)
def test_a_tutorial_says_what_one_sees(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now = played(page, tmp_path)
    if os.environ.get("GENSET_UPDATE_GOLDEN"):
        (ROOT / page.path).write_text(now)
    else:
        assert page.text == now


def test_there_is_one_for_each_of_four() -> None:
    assert len(TUTORIALS) == 4
