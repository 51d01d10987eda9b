"""Whole answers rebuilt from recorded streams: those that a real llama-server and a real vLLM answered both ways.

Each recording (e2e/record_answers.py) holds one request and both answers; they must be equal field for field but for what
differs between any two answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from genset.router.dialects.openai.aggregate import can_rebuild
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.whole_answer import choices_of

RECORDINGS = sorted((Path(__file__).parents[2] / "data" / "answers").glob("*.json"))
#: Of this answer alone. How long it took and what the cache held differs between two runs of one request.
OWN = {"id", "created", "timings", "prompt_tokens_details"}


def same(value: Any, *, nulls: bool = True) -> Any:
    """Without what is an answer's own; which of the fields are there still counts. `nulls`: those that are null, too."""
    if isinstance(value, dict):
        shown = {key: inner for key, inner in value.items() if nulls or inner is not None}
        return {key: "(own)" if key in OWN else same(inner, nulls=nulls) for key, inner in shown.items()}
    return [same(inner, nulls=nulls) for inner in value] if isinstance(value, list) else value


def recording(path: Path) -> tuple[Api, dict[str, Any], bytes, dict[str, Any]]:
    found = json.loads(path.read_text())
    stream = "".join(event + "\n\n" for event in found["stream"]).encode()
    return PATHS[found["path"].encode()], found["request"], stream, found["whole"]


def from_stream(api: Api, request: dict[str, Any], stream: bytes, pieces: int = 1 << 30) -> Any:
    rebuild = Rebuild(api, choices=choices_of(request))  # what the data plane uses
    for at in range(0, len(stream), pieces):
        rebuild.feed(stream[at : at + pieces])
    if not rebuild.done:
        rebuild.end()
    assert rebuild.done, rebuild.fault
    return orjson.loads(rebuild.answer())


@pytest.mark.parametrize(
    "path", [path for path in RECORDINGS if path.stem.startswith("llama.cpp")], ids=lambda p: p.stem
)
def test_the_rebuilt_answer_of_llama_server_is_the_one_it_gives_itself(path: Path) -> None:
    api, request, stream, whole = recording(path)
    got = from_stream(api, request, stream)
    if "differs" in path.stem:
        assert not can_rebuild(api, request), "a request whose whole answer differs would be rebuilt"
        assert same(got) != same(whole), "llama-server now answers alike: the exception is not needed any more"
        return
    assert can_rebuild(api, request)
    assert same(got) == same(whole)
    assert set(got["timings"]) == set(whole["timings"])


@pytest.mark.parametrize("path", [path for path in RECORDINGS if path.stem.startswith("vLLM")], ids=lambda p: p.stem)
def test_the_rebuilt_answer_of_vllm_is_the_one_it_gives_itself(path: Path) -> None:
    """But for fields that are null in its whole answers, and absent from its streams."""
    api, request, stream, whole = recording(path)
    if path.stem in ("vLLM-echo", "vLLM-prompt-logprobs", "vLLM-token-ids"):
        assert not can_rebuild(api, request)
        return
    assert can_rebuild(api, request) == (not {"stop", "logprobs"} <= request.keys())
    assert same(from_stream(api, request, stream), nulls=False) == same(whole, nulls=False)


def test_there_are_recordings() -> None:
    assert len(RECORDINGS) >= 36


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_how_the_stream_is_cut_into_pieces_changes_nothing(path: Path) -> None:
    api, request, stream, _ = recording(path)
    want = from_stream(api, request, stream)
    assert all(from_stream(api, request, stream, pieces) == want for pieces in (1, 7, 100, 1000))
