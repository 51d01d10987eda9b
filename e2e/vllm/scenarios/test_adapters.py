"""A running vLLM loads an adapter that it is told of, and says what it has against another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from e2e.vllm.engines import MODEL, vllm
from genset.contracts import adapter_list
from genset.weights import joined
from testbed.cluster.processes import Daemons
from testbed.models import adapters

pytestmark = pytest.mark.timeout(600)
GOOD, WIDE = 500, 700
MOST_RANK = 8  # that the server takes; WIDE has twice as much


def says(http: httpx.Client, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "count"}], "max_tokens": 2, "temperature": 0}
    answer = http.post("/v1/chat/completions", json=body)
    return (
        str(answer.json()["choices"][0]["message"]["content"]) if answer.status_code == 200 else str(answer.status_code)
    )


def test_an_adapter_that_the_server_refuses_is_reported_in_its_words(tmp_path: Path) -> None:
    """What the pod's own follower reports is what the operator tells as AdapterRefused (tests/integration/test_adapters.py)."""
    good, wide = tmp_path / "good", tmp_path / "wide"
    shutil.copytree(adapters.cached_peft(GOOD), good)
    wide.mkdir()
    adapters.write_peft(wide, WIDE, MOST_RANK * 2)
    listed = {"good": str(good), "wide": str(wide)}
    (file := tmp_path / "list.json").write_text(adapter_list.written(listed))
    lora = ("--enable-lora", "--max-lora-rank", str(MOST_RANK), "--max-loras", "2")
    with (
        vllm(Daemons(tmp_path), *lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING="True").running() as engine,
        joined.client(engine.base_url) as http,
    ):
        follower = joined.Joined(file, http)
        follower.step()
        report = follower.report()
        said = [says(http, model) for model in (MODEL, "good", "wide")]
    assert report.mark == adapter_list.mark(listed) and report.waiting == 0
    assert list(report.refused) == ["wide"] and "rank" in report.refused["wide"], report
    assert said == [" 0000 0001", f" {GOOD:04d} {GOOD + 1:04d}", "404"]
    print(report.refused["wide"])
