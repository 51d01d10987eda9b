"""The settings of llamafile are those of its one program, which is llama-server of the llama.cpp that it was built from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from genset.api.base import CelRule
from genset.api.engines.base import ManagedEngineSettings, Task, WeightsForm


class Llamafile(ManagedEngineSettings):
    """Settings that only llamafile knows. Its makers publish no image: name one that holds the program."""

    engine: ClassVar[str] = "llamafile"
    weights: ClassVar[WeightsForm] = WeightsForm.GGUF
    tasks: ClassVar[tuple[Task, ...]] = (Task.CHAT, Task.EMBEDDINGS)
    spec_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "self.engine != 'llamafile' || !has(self.resources) || !has(self.resources.accelerator) || "
            "self.resources.accelerator.vendor != 'intel'",
            "engine llamafile runs on CPUs and on GPUs of nvidia and amd: for intel use engine llama.cpp",
            lambda spec: spec.engine != "llamafile" or spec.resources.vendor != "intel",
        ),
    )

    program: str = Field(
        default="/usr/local/bin/llamafile",
        pattern=r"^/[A-Za-z0-9._/-]+$",
        max_length=256,
        description="Path of the program in the image. It is run by sh, because not every kernel starts a file of its kind.",
    )
    release: Literal["0.9", "0.10"] = Field(
        default="0.9",
        description="Whose flags it knows: 0.9 has those of an old llama.cpp, 0.10 is built from a newer one.",
    )
    extra_args: list[str] = Field(
        default_factory=list,
        max_length=64,
        description="More arguments for llamafile, appended last: those that are known to do no harm.",
    )
