"""Unit tests of the benchmark build no image: routers run on the Python that runs the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.interpreter import WITHOUT_IMAGE, interpreter


@pytest.fixture(autouse=True)
def without_image(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(WITHOUT_IMAGE, "1")
    interpreter.cache_clear()
    yield
    interpreter.cache_clear()
