"""docs/limits.md names every limit, with the value that the code has."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/limits.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("limits_page", ROOT / "tools" / "limits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_value_is_that_of_the_code(tool: ModuleType) -> None:
    assert tool.page() == tool.PAGE.read_text(), "docs/limits.md is behind: make docs"


def test_every_constant_and_every_number_of_a_policy_is_named(tool: ModuleType) -> None:
    rows = "".join(line for line in tool.PAGE.read_text().splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([^`]+)`", rows))
    assert set(tool.constants()) - tool.NO_LIMITS <= named
    how_many = {
        "router.egress.ports",
        "router.service.nodePort",
        "router.service.port",
        "router.replicas",
        "router.resources.cpu",
        "router.telemetry.samplePercent",
        "routes[].localShare.target",
        "routes[].tiers[].backends[].weight",
    }
    chosen = {
        name for name in tool.fields() if name.startswith("routes[].match.shape.")
    }  # which requests a route wants
    assert set(tool.fields()) - how_many - chosen <= named, "a field that bounds something is not named"


def test_private_numbers_are_limits_unless_they_are_said_to_be_none(tool: ModuleType) -> None:
    """Nobody sees to it that what bounds something has a public name."""
    private = {name for name in tool.constants() if name.rpartition(".")[2].startswith("_")}
    assert {"backends.suspicion._MOST", "dialects.openai.stream_reader._WORDS_BYTES"} <= private - tool.NO_LIMITS
    assert private >= tool.PRIVATE_NO_LIMITS, "a name on the list is no constant any more"
    assert set(tool.constants()) >= tool.NO_LIMITS


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("`--drain-grace`", "5 s"), ("`http.request_id.REQUEST_ID_CHARACTERS`", "128 characters"),
        ("`errors.FULL_SECONDS`", "1 s, 2 s, 5 s"), ("`backends.suspicion._MOST`", "16"),
        ("`dialects.openai.in_band._MOST_BYTES`", "64 KiB, 64 KiB"), ("`backends.known_head._MOST_HEAD_BYTES`", "2 KiB, 4 KiB"),
    ],
)  # fmt: skip
def test_tables_name_what_people_meet(tool: ModuleType, setting: str, value: str) -> None:
    (row,) = [line for line in tool.PAGE.read_text().splitlines() if line.startswith("|") and setting in line]
    assert row.split(" | ")[1] == value


def test_a_fixed_retry_after_has_a_name(tool: ModuleType) -> None:
    written = [
        f"{path.name}: {found}"
        for path in tool.ROUTER.rglob("*.py")
        for found in re.findall(r"retry_after=\d+", path.read_text())
    ]
    assert not written, "name it in errors.py, so that docs/limits.md tells it"


def test_what_no_table_explains_does_not_grow_unseen(tool: ModuleType) -> None:
    """Whoever meets a limit finds it by subject; the list at the end is for what nobody meets."""
    text = tool.PAGE.read_text()
    others = text[text.index("<!-- other limits") :].count("\n| `")
    assert others <= 60 and text[: text.index("<!-- other limits")].count("\n| ") >= 80


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("request line and headers", "64 KiB"),
        ("whole request, over all attempts", "600 s"),
        ("body", "32Mi"),
        ("refused key; unknown model", "1800 s, 300 s"),
        ("error message that is told", "512 characters"),
    ],
)
def test_values_are_shown_with_their_units(tool: ModuleType, what: str, value: str) -> None:
    known = re.search(rf"^\| {re.escape(what)} \| ([^|]*) \|", tool.PAGE.read_text(), re.MULTILINE)
    assert known is None or known[1] == value


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("a.B_BYTES", 65536, "64 KiB"), ("a.B_BYTES", 1000, "1,000 bytes"), ("a.B_BYTES", 16 << 20, "16 MiB"),
        ("a.SECONDS", 0.25, "0.25 s"), ("a.B_PER_SECOND", 240, "240"), ("x.seconds", 300, "300 s"),
        ("a.SHARE", 0.5, "50 %"), ("a.COUNT", 4096, "4,096"), ("a.FACTOR", 1.25, "1.25"), ("x.maxBody", "32Mi", "32Mi"),
    ],
)  # fmt: skip
def test_units(tool: ModuleType, name: str, value: float | str, shown: str) -> None:
    assert tool.shown(name, value) == shown
