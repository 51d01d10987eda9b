"""A model that is told between programs is the same model, as far as memory goes; what is no model is nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.sizing import gguf_model, hf_model, memory, mismatch, told
from genset.sizing.gguf import read_header
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import Placement
from genset.sizing.mismatch import Serving
from tests.support.sizing import families, kinds, states
from tests.support.sizing.generated import Generated

USE = ModelUse(8192, 3, drafts=3)


@pytest.mark.parametrize(
    "config", [families.GEMMA3_27B, families.DEEPSEEK_V3, families.QWEN35_397B, families.GPT_OSS_120B]
)
def test_a_model_survives(config: dict[str, Any]) -> None:
    model = hf_model.from_config(config)
    words = json.dumps(told.tell(model))
    read = told.read(json.loads(words))
    assert read is not None and len(words) < 1200
    for place in (Placement(), Placement(4)):
        assert memory.need(read, USE, place) == memory.need(model, USE, place)
    assert read.parameters == model.parameters


@pytest.mark.parametrize(
    "kind",
    [kinds.deepseek4, kinds.gemma4, kinds.indexed, states.lfm2, lambda: states.gated_delta("qwen35moe", nextn=2)],
)
def test_a_file_survives(kind: Callable[[], Generated], tmp_path: Path) -> None:
    with kind().write(tmp_path).open("rb") as stream:
        model = gguf_model.from_headers([read_header(stream, tensors=True)])
    read = told.read(json.loads(json.dumps(told.tell(model))))
    assert read is not None
    assert memory.need(read, USE, Placement()) == memory.need(model, USE, Placement())
    assert replace(read, layers=(), name=model.name) == replace(model, layers=())


def test_what_an_earlier_release_has_told_says_nothing_of_layers_ahead(tmp_path: Path) -> None:
    """A model that serves on after an upgrade is not told to lack what nobody looked for."""
    with kinds.gemma4().write(tmp_path).open("rb") as stream:
        model = gguf_model.from_headers([read_header(stream, tensors=True)])
    document = told.tell(model)
    read, earlier = told.read(document), told.read({key: value for key, value in document.items() if key != "ahead"})
    assert read is not None and earlier is not None
    assert list(mismatch.problems(read, Serving(USE))) and not list(mismatch.problems(earlier, Serving(USE)))


def test_companions_that_do_not_fit_are_told_within_bounds() -> None:
    model = hf_model.from_config(families.GEMMA3_1B)
    for unfit, told_ in (
        ((), ()),
        (("spec.projector: no",), ("spec.projector: no",)),
        (("x" * 900, "b", "c"), ("x" * 320, "2 more companions belong to another model")),
    ):
        read = told.read(told.tell(replace(model, unfit=unfit)))
        assert read is not None and read.unfit == told_
    for nonsense in (7, "words", [7, None], {"a": 1}, ["\x1b[31m"]):
        read = told.read({**told.tell(model), "unfit": nonsense})
        assert read is not None and read.unfit == ()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**60), st.floats(), st.text(max_size=4)),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.data())
def test_anything_else_is_read_or_nothing(data: st.DataObject) -> None:
    document = told.tell(hf_model.from_config(families.GEMMA3_1B))
    for key in data.draw(st.lists(st.sampled_from(sorted(document)), max_size=3)):
        document[key] = data.draw(JSON)
    read = told.read(document)
    assert read is None or memory.need(read, USE, Placement()).host.total >= 0
