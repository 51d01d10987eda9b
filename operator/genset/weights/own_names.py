"""Names that the puller gives to its own files, beside those of a model: no file of a source may have one."""

from __future__ import annotations

from typing import Final

MARKER: Final = "complete.json"  # in the folder of a model that is whole
#: Behind the name of a file in work: its bytes, the version that they are of, and a version that was found wrong.
PARTIAL: Final = ".partial"
NOTES: Final = ".partial.json"
REJECTED: Final = ".rejected"
ARCHIVE: Final = ".archive"  # a layer that is to be unpacked


def is_own(name: str) -> bool:
    """Returns whether the puller could take a file of this name for its own."""
    return name == MARKER or name.endswith((PARTIAL, NOTES, REJECTED, ARCHIVE, ".new"))
