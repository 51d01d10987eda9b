"""What a fixture says while it works goes to the terminal past pytest's capture."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def saying(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Returns what prints a line at once."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {line}", end="", flush=True)

    return say
