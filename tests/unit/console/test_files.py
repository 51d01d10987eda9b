"""What pages load comes from npm as it is, and pages say nothing that a browser would have to fetch or run elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files

FOLDER = files("genset.console")


def test_vendored_files_are_those_that_are_named() -> None:
    told = json.loads((FOLDER / "static" / "vendored.json").read_text())
    assert set(told) == {"htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css"}
    for name, one in told.items():
        assert hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest() == one["sha256"], name
        assert one["integrity"].startswith("sha512-") and one["licence"] in ("0BSD", "MIT")


def test_no_template_has_what_the_policy_forbids() -> None:
    for template in (FOLDER / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|https?://|<script(?![^>]*\ssrc=)|\|\s*safe", text), (
            template.name
        )
