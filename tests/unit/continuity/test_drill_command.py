"""`genset drill` asks by an annotation, watches until the end, and lists what stands in status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from genset.cli import drill

LAST = {
    "id": "gone-1",
    "ended": "2026-11-30T10:01:00Z",
    "outcome": "Passed",
    "requests": {"asked": 40, "lost": 0, "cut": 0, "continued": 1, "degraded": 20},
    "rtoSeconds": 1.2,
    "detectionSeconds": 0.4,
}


def policy(**status: Any) -> dict[str, Any]:
    drills = [{"name": "gone", **status}] if status else []
    spec = {"drills": [{"name": "gone", "take": {"side": "Cloud"}}]}
    return {"metadata": {"name": "assistant"}, "spec": spec, "status": {"drills": drills}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Iterator[dict[str, Any]]]], list[str]]:
    """A cluster answers, one after the other, what is made of the word that was asked for."""

    def answering(make: Callable[[str], Iterator[dict[str, Any]]]) -> list[str]:
        asked: list[str] = []
        answers: list[Iterator[dict[str, Any]]] = [iter([policy()])]

        def kubectl(context: str | None, *arguments: str) -> bytes:
            if "annotate" in arguments:
                asked.append(arguments[-1].partition("=")[2])
                answers[0] = make(asked[-1])
                return b""
            return json.dumps(next(answers[0])).encode()

        monkeypatch.setattr(drill, "_kubectl", kubectl)
        monkeypatch.setattr(drill, "LOOK_SECONDS", 0.0)
        return asked

    return answering


@pytest.mark.parametrize(("outcome", "status"), [("Passed", 0), ("Missed", 1), ("Aborted", 2)])
def test_a_run_is_watched_to_its_end(cluster: Any, outcome: str, status: int) -> None:
    def answers(word: str) -> Iterator[dict[str, Any]]:
        yield policy(requested="gone.before", last={**LAST, "id": "gone-0", "outcome": "Missed"})
        for phase in ("Baseline", "Fault", "Fault", "Recovery"):
            yield policy(requested=word, running={"id": "gone-1", "phase": phase})
        yield policy(requested=word, last={**LAST, "outcome": outcome, "message": "why"})

    asked = cluster(answers)
    done = CliRunner().invoke(drill.command, ["run", "-n", "law", "assistant", "gone", "--watch"])
    assert done.exit_code == status, done.output
    assert asked[0].startswith("gone.") and len(asked[0]) > 10
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["waits", "Baseline", "Fault", "Recovery"]
    assert lines[5].startswith(outcome) and "why" in lines[5]


def test_what_could_not_begin_is_told_at_once(cluster: Any) -> None:
    def answers(word: str) -> Iterator[dict[str, Any]]:
        yield policy(requested=word, last={"id": "gone-1", "outcome": "Aborted", "message": "the policy is not Ready"})

    cluster(answers)
    done = CliRunner().invoke(drill.command, ["run", "-n", "law", "assistant", "gone", "--watch"])
    assert done.exit_code == 2 and "the policy is not Ready" in done.output


def test_an_unknown_drill(cluster: Any) -> None:
    asked = cluster(lambda word: iter([policy()]))
    done = CliRunner().invoke(drill.command, ["run", "-n", "law", "assistant", "other"])
    assert done.exit_code == 1 and "has no drill other; it has gone" in done.output and not asked


def test_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"items": [policy(last=LAST, next="2026-12-07T10:00:00Z"), policy()]}
    monkeypatch.setattr(drill, "_kubectl", lambda *_: json.dumps(found).encode())
    lines = CliRunner().invoke(drill.command, ["list", "-n", "law"]).output.splitlines()
    assert lines[0].split()[:4] == ["POLICY", "DRILL", "LAST", "OUTCOME"]
    assert lines[1].split() == [
        "assistant", "gone", "2026-11-30T10:01:00Z", "Passed", "1.2", "s", "0.4", "s", "never", "0", "2026-12-07T10:00:00Z",
    ]  # fmt: skip
    assert lines[2].split()[:4] == ["assistant", "gone", "-", "-"] and lines[2].endswith("by hand")
    told = CliRunner().invoke(drill.command, ["list", "-n", "law", "-o", "json"]).output.splitlines()
    assert json.loads(told[0])["last"]["outcome"] == "Passed"
