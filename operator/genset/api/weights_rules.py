"""Rules over a whole spec hold what an engine reads against what its sources can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from genset.api.adapters import parts_of
from genset.api.base import CelRule
from genset.api.engines import engines_that
from genset.api.engines.base import WeightsForm
from genset.api.sources import TYPES, Source, alias
from genset.api.sources.base import ONE_MODEL

_FOLDERS = engines_that(lambda settings: settings.weights is WeightsForm.FOLDER)
_FILES = engines_that(lambda settings: settings.weights is WeightsForm.GGUF)
_WITH_PROJECTOR = engines_that(lambda settings: settings.takes_projector)
_WITH_ADAPTERS = engines_that(lambda settings: settings.takes_adapters)

_GLOBBED = [alias(name) for name, block in TYPES.items() if "include" in block.model_fields]
_FILES_ONLY = [alias(name) for name, block in TYPES.items() if not block.folders]


def weights_rules() -> Iterator[CelRule]:
    """Yields the rules: of companions that the engine takes, and of forms that it reads."""
    yield _only_for("projector", _WITH_PROJECTOR, "reads pictures by a file of its own", lambda spec: spec.projector)
    yield _only_for("adapters", _WITH_ADAPTERS, "serves LoRA adapters", lambda spec: spec.adapters)
    yield CelRule(
        "!has(self.adapters) || !has(self.model) || self.adapters.all(a, a.name != self.model)",
        "adapters: a name is that of the model itself: give the adapter one of its own",
        lambda spec: all(one.name != spec.model for one in spec.adapters),
    )
    yield CelRule(
        "!has(self.prefetch) || !self.prefetch || (has(self.cache) && has(self.source))",
        "prefetch needs cache, which keeps what is fetched: give it a size, or take prefetch out",
        lambda spec: not spec.prefetch or (spec.cache is not None and spec.source is not None),
    )
    yield _rule(
        [f"!(has(S.{name}) && (has(S.{name}.include) || has(S.{name}.exclude)))" for name in _GLOBBED],
        "include and exclude are for engines that read a whole folder: name the one GGUF file in file",
        lambda source: not (getattr(source.block, "include", None) or getattr(source.block, "exclude", None)),
        _FILES,
        projector=True,
    )
    yield _rule(
        ["!(has(S.oci) && has(S.oci.mount) && S.oci.mount == 'ImageVolume' && !has(S.oci.path))"],
        "oci.mount ImageVolume needs oci.path, the GGUF file in the image",
        lambda source: source.oci is None or source.oci.mount != "ImageVolume" or source.oci.path is not None,
        _FILES,
        projector=True,
    )
    if not _FOLDERS:
        return
    yield _rule(
        [f"!(has(S.{name}) && has(S.{name}.file) && S.{name}.file != '{ONE_MODEL}')" for name in _GLOBBED],
        f"file names a GGUF file, and engine {' or '.join(_FOLDERS)} reads a whole folder: use include and exclude",
        lambda source: getattr(source.block, "file", ONE_MODEL) == ONE_MODEL,
        _FOLDERS,
    )
    yield _rule(
        ["!(has(S.s3) && S.s3.uri.endsWith('.gguf'))"],
        f"s3.uri names a GGUF file, and engine {' or '.join(_FOLDERS)} reads a whole folder: write the prefix of one",
        lambda source: source.s3 is None or not source.s3.uri.endswith(".gguf"),
        _FOLDERS,
    )
    yield _rule(
        [f"!has(S.{name})" for name in _FILES_ONLY],
        f"{' and '.join(_FILES_ONLY)} gives one file, and engine {' or '.join(_FOLDERS)} reads a whole folder: use "
        "another source",
        lambda source: source.block.folders,
        _FOLDERS,
    )


def _only_for(field: str, engines: list[str], what: str, found: Callable[[Any], Any]) -> CelRule:
    known = f"self.engine in {engines}" if engines else "false"
    return CelRule(
        f"!has(self.{field}) || {known}",
        f"{field} needs an engine that {what}: {' or '.join(engines) or 'none does yet'}",
        lambda spec: not found(spec) or spec.engine in engines,
    )


def _rule(
    of_one: list[str],
    message: str,
    check: Callable[[Source], bool],
    engines: list[str],
    *,
    projector: bool = False,
) -> CelRule:
    """Returns the rule that sources of these engines keep. `S` in its parts is the path of one source.

    A projector is a GGUF file whatever the engine: its rules hold for all of them.
    """
    one = " && ".join(of_one)
    each = [
        f"!(self.engine in {engines}) || ((!has(self.source) || ({one.replace('S.', 'self.source.')})) && "
        f"(!has(self.adapters) || self.adapters.all(a, {one.replace('S.', 'a.source.')})))"
    ]
    if projector:
        each.append(f"!has(self.projector) || ({one.replace('S.', 'self.projector.')})")

    def holds(spec: Any) -> bool:
        parts = parts_of(spec.source, spec.projector, spec.adapters)
        judged = [part for part in parts if (projector if part.is_projector else spec.engine in engines)]
        return all(check(part.source) for part in judged)

    return CelRule(" && ".join(f"({rule})" for rule in each), message, holds)
