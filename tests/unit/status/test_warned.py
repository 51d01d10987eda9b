"""Adapters that servers refuse are told once each, with their words, and nothing is told at rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.adapter_list import AdapterReport
from genset.status import warned

RANK = "the server answered 400: LoRA rank 64 is greater than max_lora_rank 16."


@pytest.mark.parametrize(
    ("told", "words", "unsaid"),
    [
        ({}, None, ""),
        ({"a": {}}, None, ""),
        ({"a": {"tune": RANK}}, f"not served: tune: {RANK}; correct their sources", "in pod"),
        ({"a": {"tune": RANK}, "b": {"tune": RANK}}, f"tune: {RANK}; correct", "in pod"),
        ({"a": {}, "b": {"tune": RANK}}, f"tune in pod b: {RANK}", "in pod a"),
        ({"a": dict.fromkeys("zyxwv", "no")}, "v: no; w: no; x: no; and 2 more; correct", "y:"),
    ],
)
def test_what_is_told(told: dict[str, dict[str, str]], words: str | None, unsaid: str) -> None:
    reports = {pod: AdapterReport("mark", refused) for pod, refused in told.items()}
    verdicts = warned.of_adapters(reports)
    if words is None:
        assert verdicts == ()
        return
    (found,) = verdicts
    assert found.reason == "AdapterRefused" and not found.needs_person
    assert words in found.message and (not unsaid or unsaid not in found.message)


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5)).map(repr).map(str.encode)
)
def test_what_is_no_report_is_nothing(body: bytes) -> None:
    found = AdapterReport.from_json(body)
    assert found is None or isinstance(found.mark, str)


def test_a_report_survives_and_is_bounded() -> None:
    report = AdapterReport("m", {"one": RANK, "two": "x" * 500}, 3)
    assert AdapterReport.from_json(report.to_json()) == report
    many = AdapterReport("m", {f"{number:03d}": "y" * 9000 for number in range(400)})
    read = AdapterReport.from_json(many.to_json())
    assert read is not None and len(read.refused) == 32 and len(many.to_json()) < 20_000
    assert AdapterReport.from_json(b'{"mark": "m", "refused": [1], "waiting": true}') == AdapterReport("m")
