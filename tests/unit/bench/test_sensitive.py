"""The micro-benchmark of sensitive content looks at what it says it looks at."""

from __future__ import annotations

import pytest

from bench.sensitive import microseconds, texts
from genset.sensitive.detector import Detector
from genset.sensitive.kinds import KINDS


@pytest.mark.parametrize("size", [1024, 100 * 1024])
def test_all_of_each_text_is_looked_at(size: int) -> None:
    detector = Detector(list(KINDS), (), ())
    for kind, text in texts(size).items():
        assert len(text) == size, kind
        assert detector.found({"messages": [{"role": "user", "content": text}]}) == (), kind
        last = {"messages": [{"role": "user", "content": f"{text} DE89370400440532013000"}]}
        assert detector.found(last) == ("iban",), f"{kind}: its end is not looked at"


def test_a_look_takes_time() -> None:
    assert microseconds(Detector(["iban"], (), ()), texts(1024)["prose"]) > 0
