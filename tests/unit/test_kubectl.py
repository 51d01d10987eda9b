"""kubectl is asked as a user would, and what goes wrong is said in the words of whoever asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from genset.kubectl import KubectlError, kubectl

ASKED = {"missing": "install kubectl", "what": "kubectl get"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in kubectl's place that tells how it was called."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    made = tmp_path / "kubectl"
    made.write_text('#!/bin/sh\necho "$@"; cat; printf "\\377\\000"\n')
    made.chmod(0o755)
    return made


def test_what_it_prints_comes_back_byte_for_byte(program: Path) -> None:
    found = kubectl("get", "pods", context="house", given="text\n", **ASKED)
    assert found == b"--context house get pods --request-timeout=30s\ntext\n\xff\x00"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("echo first >&2; echo refused >&2; exit 1", "kubectl get: refused"),
        ("exit 3", "kubectl get: no reason given"),
        ("exec sleep 60", "the cluster did not answer in 1 s"),
    ],
)
def test_what_goes_wrong_is_told(program: Path, does: str, told: str) -> None:
    program.write_text(f"#!/bin/sh\n{does}\n")
    with pytest.raises(KubectlError) as refusal:
        kubectl("get", "pods", seconds=1, **ASKED)
    assert str(refusal.value) == told


def test_without_it_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubectlError, match=r"^install kubectl$"):
        kubectl("get", "pods", **ASKED)
