"""Evidence of drills is exported, checked offline, and no change of it goes unseen."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genset.cli.drill import command
from genset.continuity.drills.evidence import EvidenceReading, EvidenceRun, checked, document, run_hash
from genset.contracts.drill import RUN, record_hash
from genset.contracts.usage import line, opening

POLICY = "law/assistant"


def record(number: int, id_: str, previous: str, phase: str = "Passed", **more: Any) -> bytes:
    told = {"kind": RUN, "n": number, "time": 1000.0 + number, "request": id_, "phase": phase, "why": "", **more}
    return orjson.dumps({**told, "order": {"id": id_, "previous": previous}}, option=orjson.OPT_SORT_KEYS)


def history(count: int = 4, routers: int = 2) -> tuple[list[bytes], str]:
    """Makes segments of some routers, and the hash that the status tells in the end."""
    segments = [opening(f"r{number}", POLICY, f"pod-{number}", 1.0) for number in range(routers)]
    head = ""
    for number in range(count):
        made = [record(number * 10 + router, f"cloud-{number}", head) for router in range(routers)]
        head = run_hash(head, map(record_hash, made))
        segments = [segment + line(one) for segment, one in zip(segments, made, strict=True)]
    return segments, head


def exported(segments: list[bytes], head: str) -> dict[str, Any]:
    reading = EvidenceReading(POLICY)
    for segment in segments:
        reading.add(segment)
    return document(POLICY, reading.runs(), head)


def test_what_was_exported_is_proved() -> None:
    segments, head = history()
    told = exported(
        [*segments, segments[0], opening("x", "law/other", "pod", 1.0) + line(record(9, "other-1", ""))], head
    )
    found = checked(json.loads(json.dumps(told)))
    assert not found.problems and not found.unproved and found.head == head
    assert [run.id for run in found.runs] == ["cloud-0", "cloud-1", "cloud-2", "cloud-3"]
    assert all(len(run.records) == 2 for run in found.runs), "what comes twice counts once, and others' not at all"
    assert not checked(told, noted=told["runs"][1]["hash"]).problems


def test_a_run_that_the_operator_ended_is_told_as_unproved() -> None:
    segments, _ = history(1)
    head = checked(exported(segments, "")).runs[0].hash
    aborted = record(20, "cloud-x", head, "Aborted")
    after = record(30, "cloud-y", head)
    end = run_hash(head, [record_hash(after)])
    found = checked(exported([*segments, opening("z", POLICY, "pod", 1.0) + line(aborted) + line(after)], end))
    assert not found.problems and found.unproved == ("cloud-x",) and found.head == end


TAMPERED = {
    "a record is changed": lambda told: _edit(told, 1, '"phase":"Passed"', '"phase":"Missed"'),
    "a time is changed": lambda told: _edit(told, 2, '"time":1020.0', '"time":1021.0'),
    "a run is left out": lambda told: told["runs"].pop(1),
    "the last run is left out": lambda told: told["runs"].pop(),
    "two runs change places": lambda told: told["runs"].insert(0, told["runs"].pop(1)),
    "a record is left out": lambda told: told["runs"][0]["records"].pop(),
    "a run is called otherwise": lambda told: told["runs"][0].update(outcome="Missed"),
    "a run is of another": lambda told: told["runs"][0].update(id="cloud-9"),
    "everything is gone": lambda told: told.update(runs=[]),
    "the end is another": lambda told: told.update(head="0" * 64),
}


def _edit(told: dict[str, Any], run: int, before: str, after: str) -> None:
    """Changes a record, and makes the hash of its run anew, as somebody would who knows how."""
    records = told["runs"][run]["records"]
    assert before in records[0]
    records[0] = records[0].replace(before, after)
    made = EvidenceRun(told["runs"][run]["id"], told["runs"][run]["previous"], tuple(records))
    told["runs"][run].update(hash=made.hash, outcome=made.outcome)


@pytest.mark.parametrize("name", TAMPERED)
def test_nothing_is_changed_unseen(name: str, tmp_path: Path) -> None:
    told = exported(*history())
    TAMPERED[name](told)
    assert checked(told).problems, name
    file = tmp_path / "out.json"
    file.write_text(json.dumps(told))
    answer = CliRunner().invoke(command, ["--verify", str(file)])
    assert answer.exit_code == 1 and "BROKEN" in answer.output


def test_whoever_makes_everything_anew_does_not_know_what_was_noted() -> None:
    told = exported(*history())
    noted = told["runs"][2]["hash"]
    segments, head = history(3)
    forged = exported([segment.replace(b'"why":""', b'"why":"x"') for segment in segments], head)
    assert checked(forged, noted).problems
    assert not checked(told, noted).problems


@given(st.integers(0, 3), st.integers(0, 1), st.data())
def test_no_byte_of_a_record_may_change(run: int, router: int, data: st.DataObject) -> None:
    told = exported(*history())
    records = told["runs"][run]["records"]
    place = data.draw(st.integers(0, len(records[router]) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda one: one != records[router][place]))
    changed = copy.deepcopy(told)
    text = records[router]
    changed["runs"][run]["records"][router] = text[:place] + letter + text[place + 1 :]
    assert checked(changed).problems


def test_the_command_checks_offline(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_text(json.dumps(exported(*history())))
    answer = CliRunner().invoke(command, ["--verify", str(file)])
    assert answer.exit_code == 0 and "4 runs, each as it was written" in answer.output
    answer = CliRunner().invoke(command, ["--verify", str(file), "--head", "1" * 64])
    assert answer.exit_code == 1 and "was made anew" in answer.output
    file.write_text("{")
    assert CliRunner().invoke(command, ["--verify", str(file)]).exit_code == 1
    assert CliRunner().invoke(command, []).exit_code == 2
