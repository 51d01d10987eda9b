"""`--compiled`: the same tests of the router as the image has it. See tools/compiled.py and `make compiled`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy with something else must not fail a property.
settings.register_profile("genset", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("genset")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compiled", action="store_true", help="the router on the path is a compiled one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--compiled"):
        return
    from genset.router.process import server

    if not server.__file__.endswith(".so"):
        raise pytest.UsageError(f"--compiled, but the router on the path is {server.__file__}")
    apart = [item for item in items if item.get_closest_marker("interpreted")]
    config.hook.pytest_deselected(items=apart)
    items[:] = [item for item in items if not item.get_closest_marker("interpreted")]
