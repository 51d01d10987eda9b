"""The files of a model are called NAME.gguf, or NAME-00001-of-00003.gguf and so on for one that is split.

llama.cpp derives the other shards' names from the *given* path, not from what a link points to: the path must end in
`-00001-of-<split.count>.gguf` (ggml-org/llama.cpp, `llama_split_prefix` in src/llama.cpp and `llama_get_list_splits` in
src/llama-model-loader.cpp, which raises "invalid split file name"). `model.gguf` can therefore never stand for a split
model, and the number of shards has to be part of every name and pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")
_END = re.compile(r"-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Shard:
    """A shard is what a file's name says of its place in a model.

    A model in one file has one shard, whose stem is the whole name.
    """

    stem: str
    number: int  # from 1
    count: int

    @classmethod
    def of(cls, name: str) -> Shard:
        """Reads a file name."""
        match = _SHARD.match(name)
        if match is None or int(match["count"]) <= 1:
            return cls(name, 1, 1)
        return cls(match["stem"], int(match["number"]), int(match["count"]))


def shard_names(stem: str, count: int) -> list[str]:
    """Returns the names of all files of a model, in order."""
    if count == 1:
        return [stem]
    return [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def shards_of(pattern: str) -> int:
    """Returns the number of shards that a pattern asks for: 3 for `*-of-00003.gguf`, else 1."""
    match = _END.search(pattern)
    return max(1, int(match[1])) if match else 1


def model_file_names(shards: int) -> list[str]:
    """Returns the names of the files of a model on the volume, first the one for `-m`."""
    return ["model.gguf"] if shards == 1 else shard_names("model", shards)
