"""Quantities as the API server gives them back. The table was written by k8s.io/apimachinery v0.35.4 itself."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.api.quantity import parse_quantity
from genset.desired.canonical import quantity

FROM_APIMACHINERY = {
    "0": "0", "0Gi": "0", "1": "1", "1000m": "1", "1500m": "1500m", "0.5": "500m", ".5": "500m", "2.": "2",
    "2.0": "2", "1n": "1m", "1500u": "2m", "2000": "2k", "1e3": "1e3", "1E3": "1e3", "1.5e3": "1500", "1e4": "10e3",
    "1.5e0": "1500e-3", "512": "512", "1Ki": "1Ki", "0.5Ki": "512", "1024Ki": "1Mi", "1025Ki": "1025Ki",
    "1.5Gi": "1536Mi", "0.1Gi": "107374182400m", "1000Mi": "1000Mi", "0.5Ti": "512Gi", "1.772M": "1772k",
    "12Gi": "12Gi", "8Ei": "9223372036854775807", "20000M": "20G",
}  # fmt: skip


@pytest.mark.parametrize(("written", "read_back"), FROM_APIMACHINERY.items())
def test_quantity(written: str, read_back: str) -> None:
    assert quantity(written) == read_back


_UNITS = st.sampled_from(["m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e2", "E6"])
_NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str), st.decimals(0, 1000, places=2, allow_nan=False).map(lambda number: f"{number:f}")
)


@given(_NUMBERS, _UNITS)
@example("31.25", "Ki")
def test_the_form_is_final_and_the_amount_the_same(number: str, unit: str) -> None:
    written = number + unit
    form = quantity(written)
    assert quantity(form) == form, "a canonical quantity must stay as it is"
    assert 0 <= parse_quantity(form) - parse_quantity(written) < parse_quantity("1m"), (
        "at most rounded up to thousandths"
    )
