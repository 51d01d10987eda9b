"""A listing of files is narrowed to those of one model: the one GGUF model that a pattern means, or a whole folder.

What counts as one model: a `.gguf` file, or the shards of one split file. Files that no engine serves on their own
(vision projectors `mmproj*`, importance matrices `*imatrix*`) are left out unless the pattern names them. Pure.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from genset.api.modeldeployment import Reason
from genset.contracts.shards import Shard, shard_names, shards_of
from genset.weights.failure import WeightsFailure, size_text
from genset.weights.own_names import is_own

#: Of a folder that says nothing else: weights, configuration, tokenizer. No pickles, and no code of the repository's.
INCLUDED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.vocab")
#: Folders in which publishers put the same weights once more, for other programs; Mistral's own format beside the common one.
LEFT_OUT = ("original/*", "onnx/*", "openvino/*", "metal/*", "gguf/*", "consolidated*.safetensors")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")  # by one of these ends the name of a file with weights
MOST_FILES = 10_000  # of one folder; the largest models have some hundreds
_COMPANIONS = ("mmproj", "imatrix")  # parts of file names
_SHOWN = 10  # names in a message


@dataclass(frozen=True)
class Listed:
    """This is one file of a listing, by its path; `size` in bytes, None if it was not told."""

    name: str
    size: int | None = None


@dataclass(frozen=True)
class Wish:
    """This is what is asked of a listing, in the words of messages: `where` it is of, and the `field` of the pattern."""

    where: str
    field: str
    pattern: str = ""
    source: str = ""  # shorter than `where`, if a message lists much


AnyListed = TypeVar("AnyListed", bound=Listed)


def stays_inside(name: str) -> bool:
    """Returns whether a name in a listing is a file of its source: a mirror may list what leads out of it."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in parts)


def one_model(wish: Wish, files: Iterable[AnyListed]) -> list[AnyListed]:
    """Returns the files of the one GGUF model that the pattern means, in the order of their shards."""
    by_name = {file.name: file for file in files if file.name.lower().endswith(".gguf") and stays_inside(file.name)}
    pattern = wish.pattern
    matching = [name for name in by_name if fnmatch.fnmatchcase(name, pattern) and _wanted(name, pattern)]
    models = sorted({(shard.stem, shard.count) for shard in map(Shard.of, matching)})
    if not models:
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"No file of {wish.where} matches {pattern!r} ({wish.field}); "
            + (f"it has: {listed(sorted(by_name), by_name)}" if by_name else "it has no .gguf file at all"),
        )
    if len(models) > 1:
        names = [shard_names(stem, count)[0] for stem, count in models]
        raise WeightsFailure(
            Reason.SOURCE_AMBIGUOUS,
            f"{pattern!r} matches {len(models)} models of {wish.source or wish.where}: {listed(names, by_name)}; make "
            f"{wish.field} match one",
        )
    names = shard_names(*models[0])
    missing = [name for name in names if name not in by_name]
    if missing:
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"The model is split into {len(names)} files, and {wish.where} lacks {', '.join(missing[:_SHOWN])}",
        )
    if len(names) != shards_of(pattern):
        raise WeightsFailure(
            Reason.SOURCE_AMBIGUOUS,
            f"{pattern!r} matches a model that is split into {len(names)} files; engines need the number in the "
            f'name of the first: write {wish.field}: "{names[0]}"',
        )
    return [by_name[name] for name in names]


def whole_folder(wish: Wish, files: Iterable[AnyListed], include: str, exclude: str) -> list[AnyListed]:
    """Returns the files of a model's folder, small ones first: what they say of the others is held against the listing.

    `include` and `exclude` are globs parted by commas; without any, what engines read.
    """
    wanted = _globs(include) or INCLUDED
    unwanted = _globs(exclude) + (() if include else LEFT_OUT)
    inside = [file for file in files if stays_inside(file.name)]
    found = [file for file in inside if _matches(file.name, wanted) and not _matches(file.name, unwanted)]
    if not found:
        by_name = {file.name: file for file in inside}
        has = f"it has: {listed(sorted(by_name), by_name)}" if by_name else "it has no file at all"
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"No file of {wish.where} is one of {', '.join(wanted)} ({wish.field}.include); {has}",
        )
    if not any(file.name.endswith(WEIGHTS) for file in found):
        ggufs = {file.name: file for file in inside if file.name.lower().endswith(".gguf")}
        if ggufs:
            raise WeightsFailure(
                Reason.NOT_A_MODEL,
                f"{wish.where} holds GGUF files and no .safetensors file that {wish.field}.include names: "
                f"{listed(sorted(ggufs), ggufs)}; engines llama.cpp, ollama and llamafile read those: change spec.engine, or "
                "name the repository of the model itself",
            )
    if len(found) > MOST_FILES:
        raise WeightsFailure(
            Reason.NOT_A_MODEL,
            f"{wish.where} has {len(found)} files, and a model at most {MOST_FILES}: narrow {wish.field}.include",
        )
    for file in found:
        if is_own(file.name):
            raise WeightsFailure(
                Reason.NOT_A_MODEL,
                f"{file.name} of {wish.where} has a name that the download needs for itself: name it in "
                f"{wish.field}.exclude",
            )
    return sorted(
        found, key=lambda file: (file.name.endswith(".safetensors"), not file.name.endswith(".json"), file.name)
    )


def listed(names: Sequence[str], files: Mapping[str, Listed]) -> str:
    """Returns names for a message, with sizes, and not too many of them."""
    shown = []
    for name in names[:_SHOWN]:
        size = files[name].size if name in files else None
        shown.append(f"{name} ({size_text(size)})" if size else name)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown) + more


def _wanted(name: str, pattern: str) -> bool:
    base = name.rpartition("/")[2].lower()
    return all(part not in base or part in pattern.lower() for part in _COMPANIONS)


def _globs(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
