"""A trail says what a line of the access log says, whatever a client or a server has put into it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genset import trails
from genset.cli import logs
from genset.kubectl import KubectlError, lines_of

LINE: dict[str, Any] = {
    "time": 1795264586.4,
    "id": "2a10a63f-1",
    "client": "10.0.3.7",
    "consumer": "contracts",
    "team": "law",
    "request": "POST /v1/chat/completions",
    "route": "everyday",
    "model": "assistant",
    "stream": True,
    "status": 200,
    "error": "",
    "backend": "frontier",
    "tier": 1,
    "reason": "provider_unavailable",
    "attempts": ["house:unavailable:0ms", "frontier:ok:844ms"],
    "continuations": 1,
    "seconds": 0.98,
    "queueSeconds": 0.00008,
    "waitedSeconds": 0.5,
    "firstTokenSeconds": 0.348,
    "inputTokens": 7,
    "outputTokens": 30,
    "cost": "0.001234 USD",
    "detail": 'answered 503 "Loading model"',
}
TRAIL = """\
request            2a10a63f-1  POST /v1/chat/completions
ended              2026-11-21 12:36:26Z
asked by           contracts of team law, from 10.0.3.7
model              assistant, route everyday
attempt 1          house: unavailable after 0ms
attempt 2          frontier: ok after 844ms
answer             200, a stream, by frontier (tier 2), continued 1 time after it had broken
tokens             7 in, 30 out
cost               0.001234 USD
times              first token after 0.35 s, in all 0.98 s, waited for a backend 0.50 s
why not the first  provider_unavailable
detail             answered 503 "Loading model"
router             assistant-router-0"""


def test_a_trail_says_what_the_line_says() -> None:
    assert trails.trail(LINE, "assistant-router-0") == TRAIL


def log(tmp_path: Path, *lines: dict[str, Any]) -> str:
    file = tmp_path / "access.log"
    file.write_text("Serving policy assistant\n" + "\n".join(json.dumps(line) for line in lines) + '\n{"torn": ')
    return str(file)


REFUSED = {
    **LINE,
    "id": "r-2",
    "time": 1.0,
    "status": 401,
    "error": "policy_key_unknown",
    "attempts": [],
    "consumer": "",
}
CUT = {**LINE, "id": "c-3", "time": 2.0, "error": "provider_stream_broken"}


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["r-2", "c-3", "2a10a63f-1"]),  # in the order of time
        (("--last", "2"), ["c-3", "2a10a63f-1"]),
        (("--failed",), ["r-2", "c-3"]),
        (("--consumer", "contracts"), ["c-3", "2a10a63f-1"]),
        (("--route", "everyday", "--failed"), ["r-2", "c-3"]),
        (("c-3",), ["c-3"]),
        (("c-",), []),  # an id is whole
    ],
)
def test_it_finds_what_is_asked_for(arguments: tuple[str, ...], ids: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(logs.command, ["-f", log(tmp_path, LINE, REFUSED, CUT), "-o", "json", *arguments])
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ids, done.output
    assert done.exit_code == (0 if ids else 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("some-id",), "-n NAMESPACE, or -f FILE"),
        (("-n", "law", "--since", "yesterday"), "30m"),
        (("-n", "law", "two words"), "x-request-id"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(logs.command, arguments)
    assert done.exit_code == 2 and said in done.output, done.output


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(
    st.fixed_dictionaries(
        {"id": st.text(), "attempts": VALUES},
        optional={name: VALUES for name in LINE if name not in ("id", "attempts")},
    )
)
def test_no_line_of_another_release_stops_it(line: dict[str, Any]) -> None:
    read = trails.read(json.dumps(line).encode(), trails.Filters())
    assert (read is not None) is isinstance(line["attempts"], list)
    for shown in (trails.trail(read, "router"), trails.table([read])) if read is not None else ():
        assert not any(category(one) in ("Cc", "Cs") for one in shown.replace("\n", "")), (
            "a terminal would obey a stranger"
        )


def test_a_program_that_fails_is_told_after_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('one')\nprint('two')\nsys.exit('the pod has gone')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = lines_of("logs", missing="install it", what="kubectl logs")
    assert [next(lines), next(lines)] == [b"one\n", b"two\n"]
    with pytest.raises(KubectlError, match="kubectl logs: the pod has gone"):
        next(lines)
