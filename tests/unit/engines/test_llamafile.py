"""llamafile's command line, and a fake of the program that takes the flags of its documentation and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.engines.base import ModelPaths
from genset.engines.llamafile import LlamafileEngine
from tests.support.router.names import free_port

ENGINE = LlamafileEngine()
FAKE = Path(__file__).parents[2] / "support" / "fake_llamafile.py"


def resource(**spec: Any) -> ModelDeployment:
    spec = {"engine": "llamafile", "source": {"pvc": {"claimName": "weights", "path": "small.gguf"}}, **spec}
    return ModelDeployment.model_validate({"metadata": {"name": "house", "namespace": "models"}, "spec": spec})


def args(**spec: Any) -> list[str]:
    return ENGINE.args(resource(**spec), "/models/small.gguf")


def problems(**spec: Any) -> list[str]:
    return [problem.message for problem in ENGINE.problems(resource(**spec), {"cpu": "own:1", "nvidia": "own:1"})]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ["--server", "--nobrowser"]),
        ({"context": {"tokens": 1024, "parallel": 3}}, ["-c", "3072", "-np", "3"]),
        ({"resources": {"cpu": "2500m"}}, ["-t", "3"]),
        ({}, ["--gpu", "disable"]),
        ({"resources": {"accelerator": {"vendor": "amd"}}}, ["--gpu", "amd", "-ngl", "9999"]),
        (
            {"resources": {"accelerator": {}}, "llamafile": {"extraArgs": ["-ngl", "20"]}},
            ["--gpu", "nvidia", "-ngl", "20"],
        ),
        ({"task": "Embeddings"}, ["--embedding"]),
        ({"llamafile": {"release": "0.10"}}, ["--cache-ram", "0", "--metrics"]),
    ],
)
def test_args(spec: dict[str, Any], words: list[str]) -> None:
    assert " ".join(words) in " ".join(args(**spec))


def test_an_old_one_is_told_nothing_that_only_a_newer_one_knows() -> None:
    assert not {"--metrics", "--cache-ram", "--threads-http"} & set(args())
    assert "--nobrowser" not in args(llamafile={"release": "0.10"})


def test_sh_starts_it_and_it_unpacks_itself_where_it_may_write() -> None:
    of = resource(llamafile={"program": "/opt/model.llamafile"})
    assert ENGINE.command(of, ModelPaths("/models/small.gguf")) == ["sh", "/opt/model.llamafile"]
    assert {"name": "TMPDIR", "value": "/tmp"} in ENGINE.env(of)


def test_an_old_one_leaves_after_the_whole_time_and_a_newer_one_when_it_is_idle() -> None:
    assert ENGINE.drain(resource(rollout={"drainSeconds": 30})).pre_stop == {"sleep": {"seconds": 35}}
    assert "exec" in ENGINE.drain(resource(llamafile={"release": "0.10"})).pre_stop
    assert ENGINE.drain(resource(rollout={"drainSeconds": 0})).pre_stop == {"sleep": {"seconds": 5}}


def test_there_is_no_image_unless_somebody_names_one() -> None:
    found = [problem.message for problem in ENGINE.problems(resource(), {})]
    assert found == [
        "engine llamafile has no image for cpu: name one in spec.llamafile.image or have the operator run with --engine-image "
        "llamafile/cpu=IMAGE"
    ]
    assert problems() == []


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--unsecure", "takes the sandbox away"), ("--path", "files of the pod"), ("--api-key=x", "plain HTTP"),
        ("--model_url", "weights come from spec.source"), ("--recompile", "compiles code"), ("--unheard-of", "do no harm"),
        ("--temp", ""), ("0.7", ""), ("-fa", ""),
    ],
)  # fmt: skip
def test_refused_arguments(argument: str, told: str) -> None:
    found = problems(llamafile={"extraArgs": ["-fa", argument]})
    assert bool(found) is bool(told) and all(told in message for message in found)


@pytest.mark.parametrize("release", ["0.9", "0.10"])
def test_a_fake_of_the_program_serves_by_these_arguments(tmp_path: Path, release: str) -> None:
    """The real one could not be had. The fake keeps what its documentation says: flags that it does not know end it, /health
    is 503 while it loads, and SIGTERM ends it at once."""
    program, port = tmp_path / "llamafile", free_port()
    program.write_text(f'exec {sys.executable} {FAKE} {release} "$@"\n')
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    given = ENGINE.args(resource(llamafile={"release": release}), str(tmp_path / "small.gguf"))
    said = [{"$(LISTEN_ADDRESS)": "127.0.0.1", "8080": str(port)}.get(word, word) for word in given]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(["sh", str(program), *said], env=env)
    try:
        seen, deadline = set(), time.monotonic() + 20
        while 200 not in seen:
            assert running.poll() is None, "it ended: it does not know one of the flags"
            assert time.monotonic() < deadline, f"/health was not 200 within 20 s, but {seen}"
            seen.add(status(port))
            time.sleep(0.02)
        assert seen <= {0, 503, 200}
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == -signal.SIGTERM
    finally:
        running.kill()
        running.wait()


def status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
